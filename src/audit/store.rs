//! The handle that the rest of the daemon holds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::answers::Answers;
use super::error::{OpenError, StoreError, TxError};
use super::file::{Medium, Opener, RecordFile};
use super::health::StoreHealth;
use super::job::{Call, Message};
use super::open::{explain_storage, open};
use super::options::Options;
use super::pulse::Pulse;
use super::reader::Reader;
use super::slot::Slot;
use super::tx::Tx;
use super::writer::{Announcements, Writer};

/// The record: an open store and its writer. Clones are handles of the same store.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: SyncSender<Message>,
    slot: Slot,
    announce: Announcements,
    closed: AtomicBool,
    pulse: Pulse,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store in this file, which is created with mode 0600 if it is not there, and starts its writer.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(Box::new(RecordFile::new(path.to_owned())), path, options)
    }

    /// Opens the store with whatever the opener opens, each time that it is called. The path is for messages.
    pub fn open_with(opener: Opener, path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(Box::new(opener), path, options)
    }

    fn start(mut medium: Box<dyn Medium>, path: &Path, mut options: Options) -> Result<Self, OpenError> {
        let (database, state) = open(&mut *medium, options.cache_size, &mut *options.entropy, path)?;
        medium.hold_reserve().map_err(|error| explain_storage(error.into(), path.to_owned()))?;
        let announce = Announcements {
            committed: watch::Sender::new(state.last_sequence),
            durable: watch::Sender::new(state.last_sequence),
            health: watch::Sender::new(StoreHealth::Ok),
            recoveries: watch::Sender::new(0),
        };
        let slot = Slot::new(database);
        let pulse = Pulse::new(options.patience);
        let (queue, jobs) = sync_channel(options.queue.max(1));
        let writer = Writer {
            queue: jobs,
            slot: slot.clone(),
            state,
            options,
            medium,
            path: path.to_owned(),
            announce: announce.clone(),
            answers: Answers::start(),
            pulse: pulse.clone(),
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map_err(|source| OpenError::Io { path: path.to_owned(), source })
        };
        let thread = spawn("aegis-record", Box::new(move || writer.run()))?;
        let (watched, health) = (pulse.clone(), announce.health.clone());
        spawn("aegis-pulse", Box::new(move || watched.watch(&health)))?;
        let (closed, thread) = (AtomicBool::new(false), Mutex::new(Some(thread)));
        Ok(Self { shared: Arc::new(Shared { queue, slot, announce, closed, pulse, thread }) })
    }

    /// Runs a job in the writer's next transaction, and answers when that is durable.
    ///
    /// What the caller's own rules refuse is a value of the job: let `T` be a `Result`. An error is always a failure of
    /// the store; a job passes those it meets on with `?`.
    ///
    /// A call that is queued is carried out even if its future is dropped; one whose turn has not come when its time
    /// ([`Options::patience`]) is over is not.
    pub async fn transact<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, TxError> + Send + 'static,
        T: Send + 'static,
    {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(StoreError::Closed);
        }
        if let Some(stalled) = self.shared.pulse.stalled() {
            return Err(stalled);
        }
        let until = Instant::now() + self.shared.pulse.patience();
        // Whatever else is ready to run comes as far as this first. So calls that arrived together are one batch, and not
        // one for the first of them and then another: a commit costs far more than a decision.
        tokio::task::yield_now().await;
        let (answer, answered) = oneshot::channel();
        // A full queue is an answer, not a wait: those who wait would be a second queue, without a bound.
        self.shared.queue.try_send(Message::Job(Box::new(Call::new(job, answer, until)))).map_err(
            |error| match error {
                TrySendError::Full(_) => StoreError::Overloaded,
                TrySendError::Disconnected(_) => StoreError::Closed,
            },
        )?;
        match tokio::time::timeout_at(until.into(), answered).await {
            Ok(answer) => answer.unwrap_or(Err(StoreError::Closed)),
            Err(_) => Err(self.shared.pulse.late()),
        }
    }

    /// The sequence number of the last record that is durable (in a relaxed store: that was acknowledged). It is
    /// announced before callers are answered; a follower reads on from its own cursor whenever it changes.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.shared.announce.committed.subscribe()
    }

    /// The sequence number of the last record that is durable: what may be signed. In a relaxed store this follows
    /// [`Store::committed`] by up to [`Options::sync_every`].
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared.announce.durable.subscribe()
    }

    /// Whether the store can be written.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.announce.health.subscribe()
    }

    /// How often the store recovered from a fault since it was opened. A batch that failed may turn out to be on the record
    /// after all: whoever keeps a copy of its state in memory reads it again when this changes.
    pub fn recoveries(&self) -> watch::Receiver<u64> {
        self.shared.announce.recoveries.subscribe()
    }

    /// A snapshot of what is committed. Reading takes as long as the disk does: do it where blocking is allowed.
    pub fn read(&self) -> Result<Reader, StoreError> {
        Ok(Reader::new(self.shared.slot.begin_read()?))
    }

    /// Writes what is queued, closes the file and waits until that is done. Later calls are refused. Blocks.
    pub fn shutdown(&self) {
        self.shared.closed.store(true, Ordering::Release);
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // If the writer is gone already, there is nobody to tell.
        let _ = self.shared.queue.send(Message::Shutdown);
        let _ = thread.join();
    }
}
