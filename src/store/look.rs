//! Threads that read the file and may wait for the disk, so that the threads that answer calls never wait for it.
//!
//! A lane has a few threads, a bounded queue, and a deadline for each look. A full queue fails at once instead of
//! waiting. The lane does not start a look whose caller has gone. A look that hangs with the disk blocks its thread.
//! When all threads hang, the queue fills up, and callers get an error.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::{StoreError, guarded};
use super::reader::Reader;
use super::slot::Slot;

/// A queued look.
type Waiting = Box<dyn FnOnce(&Slot) + Send>;

/// A few reading threads. They start with the first look and end when the lane is dropped.
#[derive(Debug)]
pub(super) struct Lane {
    name: &'static str,
    threads: usize,
    bound: usize,
    patience: Duration,
    slot: Slot,
    queue: OnceLock<Result<SyncSender<Waiting>, StoreError>>,
}

impl Lane {
    /// A lane with this many threads, this many places in its queue, and this deadline for each look.
    pub(super) fn new(name: &'static str, threads: usize, bound: usize, patience: Duration, slot: &Slot) -> Self {
        Self { name, threads, bound, patience, slot: slot.clone(), queue: OnceLock::new() }
    }

    fn start(&self) -> Result<SyncSender<Waiting>, StoreError> {
        let (queue, looks) = sync_channel(self.bound);
        let looks = Arc::new(Mutex::new(looks));
        for _ in 0..self.threads {
            let (looks, slot) = (Arc::clone(&looks), self.slot.clone());
            let started = std::thread::Builder::new().name(self.name.into()).spawn(move || work(&looks, &slot));
            started.map_err(|error| unavailable(format!("no thread to read on: {error}")))?;
        }
        Ok(queue)
    }

    /// Runs a look on a snapshot, which a thread takes when it starts the look. A lane with one thread answers looks in
    /// the order of the calls.
    pub(super) async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.look_within(self.patience, look).await
    }

    /// Runs a look with a deadline of its own.
    pub(super) async fn look_within<T, F>(&self, patience: Duration, look: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let until = Instant::now() + patience;
        let (answer, answered) = oneshot::channel();
        let waiting = Box::new(move |slot: &Slot| {
            if answer.is_closed() || Instant::now() >= until {
                return;
            }
            let found = guarded(|| look(&Reader::new(slot.begin_read()?)));
            // The caller may have gone; then nobody needs the answer.
            let _ = answer.send(found);
        });
        let queue = self.queue.get_or_init(|| self.start()).as_ref().map_err(Clone::clone)?;
        queue.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        match tokio::time::timeout_at(until.into(), answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => Err(unavailable(format!("the disk has not answered for {patience:?}"))),
        }
    }
}

fn work(looks: &Mutex<Receiver<Waiting>>, slot: &Slot) {
    loop {
        // One thread waits for the next look and holds the lock; the other threads of the lane wait for the lock.
        let next = looks.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(look) => look(slot),
            Err(_) => return,
        }
    }
}

fn unavailable(why: String) -> StoreError {
    StoreError::Unavailable { why: why.into(), disk_full: false }
}
