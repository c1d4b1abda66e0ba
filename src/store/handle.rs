//! [`Store`]: the handle through which the rest of the daemon writes and reads the record.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, oneshot, watch};

use super::answers::Answers;
use super::begin::prepare;
use super::disk_use::DiskUse;
use super::error::{OpenError, StoreError, TxError, guarded, storage};
use super::file::{Medium, Opener, RecordFiles};
use super::health::StoreHealth;
use super::host::{Host, Incident};
use super::job::Call;
use super::journal::commit::checkpoint;
use super::look::Lane;
use super::mode::Announcements;
use super::open::{Opened, explain_storage, open};
use super::options::Options;
use super::pulse::Pulse;
use super::queue::{Queue, Ring};
use super::reader::Reader;
use super::slot::Slot;
use super::tx::Tx;
use super::writer::Writer;

/// How long the first look at the store may take, when a run begins.
const AT_START: Duration = Duration::from_mins(10);
/// How many scans run at the same time.
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
    disk_use: Arc<DiskUse>,
    /// The turn of long reads: see `copy`.
    turns: Arc<Semaphore>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<H: Host> Drop for Shared<H> {
    /// The last handle is gone. The writer finishes what is queued and ends.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl<H: Host> Store<H> {
    /// Opens the store in this file and starts its writer. Creates a missing file with mode 0600.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let disk_use = Arc::default();
        Self::start(Box::new(RecordFiles::new(path.to_owned(), &disk_use)), &disk_use, path, options)
    }

    /// Opens the store with this opener, at the start and after each fault. The path is only for messages.
    pub fn open_with(opener: Opener, path: &Path, options: Options) -> Result<Self, OpenError> {
        Self::start(Box::new(opener), &Arc::default(), path, options)
    }

    fn start(
        mut medium: Box<dyn Medium>,
        disk_use: &Arc<DiskUse>,
        path: &Path,
        mut options: Options,
    ) -> Result<Self, OpenError> {
        let disk_use = Arc::clone(disk_use);
        let discard = options.discard_journal;
        let Opened { database, loaded: mut state, mut journal, discarded } =
            open::<H>(&mut *medium, &mut options, discard, path)?;
        medium.hold_reserve().map_err(|error| explain_storage(error.into(), path.to_owned()))?;
        // Before anyone reads: what the last run has left in doubt is certain afterwards.
        let certain = guarded(|| {
            let transaction = prepare(database.begin_write().map_err(storage)?, true)?;
            if let Some(fault) = discarded {
                tracing::warn!(%fault, "the journal of the record was discarded");
                let (since, why) = (options.clock.now(), format!("the journal was discarded: {fault}"));
                state.note(&transaction, &mut options, Some(Incident::Recovered { since, why }))?;
            }
            checkpoint(&mut journal, transaction, &mut *options.entropy, false)
        });
        certain.map_err(|error| explain_storage(error, path.to_owned()))?;
        let announce = Announcements {
            committed: watch::Sender::new(state.host.last_sequence()),
            durable: watch::Sender::new(state.host.last_sequence()),
            health: watch::Sender::new(StoreHealth::Ok),
            recoveries: watch::Sender::new(0),
        };
        let slot = Slot::new(database);
        let pulse = Pulse::new(options.patience);
        // One thread, so that looks are answered in the order of the calls.
        let looks = Lane::new("aegis-look", 1, options.queue.max(1), options.patience, &slot);
        let scans = Lane::new("aegis-scan", SCANS, options.queue.max(1), options.patience, &slot);
        let queue = Arc::new(Queue::new(options.queue.max(1)));
        let writer = Writer {
            queue: Arc::clone(&queue),
            slot: slot.clone(),
            state,
            options,
            medium,
            journal: Some(journal),
            checkpointed: Instant::now(),
            path: path.to_owned(),
            announce: announce.clone(),
            answers: Answers::start(),
            pulse: pulse.clone(),
            disk_use: Arc::clone(&disk_use),
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let thread = std::thread::Builder::new().name(name.into()).spawn(run);
            thread.map_err(|source| OpenError::Io { path: path.to_owned(), source })
        };
        let thread = spawn("aegis-record", Box::new(move || writer.run()))?;
        let (watched, health) = (pulse.clone(), announce.health.clone());
        spawn("aegis-pulse", Box::new(move || watched.watch(&health)))?;
        let thread = Mutex::new(Some(thread));
        let turns = Arc::new(Semaphore::new(1));
        Ok(Self { shared: Arc::new(Shared { queue, slot, announce, pulse, looks, scans, disk_use, turns, thread }) })
    }

    /// Runs a job in the writer's next transaction and returns when that is durable.
    ///
    /// An error of this call is always a failure of the store; a job passes such errors on with `?`. A refusal by the
    /// caller's own rules is a value of the job: let `T` be a `Result`.
    ///
    /// Jobs run in the order of the calls. A queued job runs even if the caller drops the future. A job whose turn has
    /// not come within [`Options::patience`] does not run.
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
        // The call takes its place in the queue before it waits for anything, so the record keeps the order of the
        // calls.
        self.shared.queue.push(Box::new(Call::new(job, answer, until)))?;
        let ring = Ring(&self.shared.queue);
        // Other tasks that are ready queue their jobs before the writer wakes, so that they share one batch.
        tokio::task::yield_now().await;
        drop(ring);
        match tokio::time::timeout_at(until.into(), answered).await {
            Ok(answer) => answer.unwrap_or(Err(StoreError::Closed)),
            Err(_) => Err(self.shared.pulse.late()),
        }
    }

    /// The sequence number of the last durable record (in a relaxed store: the last acknowledged one). The writer
    /// updates it before it answers the callers. A follower reads on from its own cursor when it changes.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.shared.announce.committed.subscribe()
    }

    /// The sequence number of the last durable record: checkpoints may cover records up to it. A relaxed store updates
    /// it up to [`Options::sync_every`] later than [`Store::committed`].
    pub fn durable(&self) -> watch::Receiver<u64> {
        self.shared.announce.durable.subscribe()
    }

    /// Whether the store can be written.
    pub fn health(&self) -> watch::Receiver<StoreHealth> {
        self.shared.announce.health.subscribe()
    }

    /// How often the store recovered from a fault since it was opened. A batch that failed may be on the record after
    /// all. So a caller that keeps a copy of the state in memory reads it again when this changes.
    pub fn recoveries(&self) -> watch::Receiver<u64> {
        self.shared.announce.recoveries.subscribe()
    }

    /// Looks up entries by key in a snapshot. For short reads: well under a millisecond while the disk works.
    ///
    /// Looks run on a separate thread, in the order of the calls. A look fails if it takes longer than
    /// [`Options::patience`], or if the queue ([`Options::queue`]) is full.
    pub async fn look<T, F>(&self, look: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.shared.looks.look(look).await
    }

    /// Reads the store at the start of a run, when nobody waits for an answer yet. Like [`Store::scan`], but it may
    /// take [`AT_START`]: a daemon starts with any store that it could write.
    pub async fn scan_at_start<T, F>(&self, scan: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.shared.scans.look_within(AT_START, scan).await
    }

    /// Reads many entries of a snapshot. Like [`Store::look`], but on other threads, so that no look waits for a scan.
    /// The caller must bound a scan, for example to one page: while it runs, other scans wait and the file cannot reuse
    /// old pages.
    pub async fn scan<T, F>(&self, scan: F) -> Result<T, StoreError>
    where
        F: FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
        T: Send + 'static,
    {
        self.shared.scans.look(scan).await
    }

    /// What the store has asked of its disk since it was opened.
    pub fn disk_use(&self) -> &DiskUse {
        &self.shared.disk_use
    }

    /// The open database, and the turn of long reads of it.
    pub(super) fn aside(&self) -> (&Slot, &Arc<Semaphore>) {
        (&self.shared.slot, &self.shared.turns)
    }

    /// A snapshot for code that may block on the disk: see [`Standalone`](super::standalone::Standalone).
    pub(super) fn snapshot(&self) -> Result<Reader, StoreError> {
        Ok(Reader::new(self.shared.slot.begin_read()?))
    }

    /// A snapshot, for tests of this crate.
    #[cfg(test)]
    pub(crate) fn read(&self) -> Result<Reader, StoreError> {
        self.snapshot()
    }

    /// Writes what is queued, closes the file and waits for both. Refuses later calls. Blocks the thread.
    pub fn shutdown(&self) {
        self.shared.queue.close();
        let thread = self.shared.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return };
        // A writer that panicked has logged that.
        let _ = thread.join();
    }
}
