//! Reading on threads that may wait for the disk, so that no thread that answers ever does.
//!
//! A lane has a few threads, a queue with a bound, and a deadline for each look. A full queue is an answer, not a wait.
//! A look that nobody waits for any more is not begun. One that hangs with the disk keeps its thread: when all of them
//! hang, the queue fills, and callers are told.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::error::{StoreError, guarded};
use super::reader::Reader;
use super::slot::Slot;

/// A look that waits for a thread.
type Waiting = Box<dyn FnOnce(&Slot) + Send>;

/// Threads that read. They start with the first look, and end when the lane goes.
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
    /// A lane of so many threads with room for so many looks to wait. None waits for longer than this.
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

    /// Looks at a snapshot that is taken when a thread has come to it. Looks of a lane with one thread are answered in
    /// the order in which they came.
    pub(super) async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        let until = Instant::now() + self.patience;
        let (answer, answered) = oneshot::channel();
        let waiting = Box::new(move |slot: &Slot| {
            if answer.is_closed() || Instant::now() >= until {
                return;
            }
            let found = guarded(|| look(&Reader::new(slot.begin_read()?)));
            // A caller that went away does not want to know.
            let _ = answer.send(found);
        });
        let queue = self.queue.get_or_init(|| self.start()).as_ref().map_err(Clone::clone)?;
        queue.try_send(waiting).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })?;
        match tokio::time::timeout_at(until.into(), answered).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) | Err(_) => Err(unavailable(format!("the disk has not answered for {:?}", self.patience))),
        }
    }
}

fn work(looks: &Mutex<Receiver<Waiting>>, slot: &Slot) {
    loop {
        // Held while waiting: another thread of the lane waits for the lock instead.
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
