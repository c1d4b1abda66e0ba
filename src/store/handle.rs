//! The handle that the rest of the daemon holds.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use super::answers::Answers;
use super::error::{OpenError, StoreError, TxError};
use super::file::{Medium, Opener, RecordFile};
use super::health::StoreHealth;
use super::host::Host;
use super::job::Call;
use super::look::Lane;
use super::mode::Announcements;
use super::open::{explain_storage, open};
use super::options::Options;
use super::pulse::Pulse;
use super::queue::{Queue, Ring};
use super::reader::Reader;
use super::slot::Slot;
use super::tx::Tx;
use super::writer::Writer;

/// How many scans are under way at the same time.
const SCANS: usize = 2;

/// An open store and its writer. Clones are handles of the same store.
#[derive(Debug)]
pub struct Store<H: Host> {
    shared: Arc<Shared<H>>,
}

impl<H: Host> Clone for Store<H> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

#[derive(Debug)]
struct Shared<H: Host> {
    queue: Arc<Queue<H>>,
    slot: Slot,
    announce: Announcements,
    pulse: Pulse,
    looks: Lane,
    scans: Lane,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<H: Host> Drop for Shared<H> {
    /// Nobody can call any more: the writer ends when it has done what is queued.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<H: Host> Store<H> {
    /// Opens the store in this file, which is created with mode 0600 if it is not there, and starts its writer.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(Box::new(RecordFile::new(path.to_owned())), path, options)
    }

    /// Opens the store with whatever the opener opens, each time that it is called. The path is for messages.
    pub fn open_with(opener: Opener, path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(Box::new(opener), path, options)
    }

    fn start(mut medium: Box<dyn Medium>, path: &Path, mut options: Options) -> Result<Self, OpenError> {
        let (database, state) = open::<H>(&mut *medium, options.cache_size, &mut *options.entropy, path)?;
        medium.hold_reserve().map_err(|error| explain_storage(error.into(), path.to_owned()))?;
        let announce = Announcements {
            committed: watch::Sender::new(state.host.last_sequence()),
            durable: watch::Sender::new(state.host.last_sequence()),
            health: watch::Sender::new(StoreHealth::Ok),
            recoveries: watch::Sender::new(0),
        };
        let slot = Slot::new(database);
        let pulse = Pulse::new(options.patience);
        // One thread, so that looks are answered in their order.
        let looks = Lane::new("aegis-look", 1, options.queue.max(1), options.patience, &slot);
        let scans = Lane::new("aegis-scan", SCANS, options.queue.max(1), options.patience, &slot);
        let queue = Arc::new(Queue::new(options.queue.max(1)));
        let writer = Writer {
            queue: Arc::clone(&queue),
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
        let thread = Mutex::new(Some(thread));
        Ok(Self { shared: Arc::new(Shared { queue, slot, announce, pulse, looks, scans, thread }) })
    }

    /// Runs a job in the writer's next transaction, and answers when that is durable.
    ///
    /// What the caller's own rules refuse is a value of the job: let `T` be a `Result`. An error is always a failure of
    /// the store; a job passes those it meets on with `?`.
    ///
    /// A call that is queued is carried out even if its future is dropped; one whose turn has not come when its time
    /// ([`Options::patience`]) is over is not. Jobs run in the order of the calls.
    pub async fn transact<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        F: FnOnce(&mut Tx<'_, H>) -> Result<T, TxError> + Send + 'static,
        T: Send + 'static,
    {
        if let Some(stalled) = self.shared.pulse.stalled() {
            return Err(stalled);
        }
        let until = Instant::now() + self.shared.pulse.patience();
        let (answer, answered) = oneshot::channel();
        // The place in the queue is taken before anything is waited for: who came first is recorded first.
        self.shared.queue.push(Box::new(Call::new(job, answer, until)))?;
        let ring = Ring(&self.shared.queue);
        // Whatever else is ready to run takes its place before the writer is woken.
        tokio::task::yield_now().await;
        drop(ring);
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

    /// How often the store recovered from a fault since it was opened. A batch that failed may turn out to be on the
    /// record after all: whoever keeps a copy of its state in memory reads it again when this changes.
    pub fn recoveries(&self) -> watch::Receiver<u64> {
        self.shared.announce.recoveries.subscribe()
    }

    /// Looks something up in a snapshot: what is found by its key, in well under a millisecond once the disk answers.
    ///
    /// Runs on a thread of its own, never on the caller's. Looks are answered in the order of the calls. One that the
    /// disk keeps for longer than [`Options::patience`] fails, and so does one for which there is no room
    /// ([`Options::queue`]).
    pub async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.shared.looks.look(look).await
    }

    /// Reads many entries of a snapshot: as [`Store::look`], on other threads, so that no look waits for a scan. A scan
    /// has a bound of its own, a page: as long as it lasts, it keeps other scans waiting, and old pages of the file in
    /// use.
    pub async fn scan<T, F>(&self, scan: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.shared.scans.look(scan).await
    }

    /// A snapshot, for code that may wait for the disk: see [`Standalone`](super::standalone::Standalone).
    pub(super) fn snapshot(&self) -> Result<Reader, StoreError> {
        Ok(Reader::new(self.shared.slot.begin_read()?))
    }

    /// A snapshot, for tests of this crate.
    #[cfg(test)]
    pub(crate) fn read(&self) -> Result<Reader, StoreError> {
        self.snapshot()
    }

    /// Writes what is queued, closes the file and waits until that is done. Later calls are refused. Blocks.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // If it panicked, it has logged that.
        let _ = thread.join();
    }
}
