//! The one thread that writes.
//!
//! ```text
//!  callers ──try_send──▶ bounded queue ──▶ writer: run job, run job, … until the queue is drained or the batch is full
//!                                            │
//!                                            ├─ commit (durable)
//!                                            ├─ what jobs left to do after the commit, in order
//!                                            ├─ publish the last sequence number
//!                                            ├─ answer every caller
//!                                            └─ now and then: index the tail (not durable by itself)
//! ```
//!
//! No delay is ever added: while one batch is on its way to the disk the next one gathers by itself.
//!
//! **What an answer means.** A caller is told that its job is done only after the commit returned. If the commit fails,
//! every job of the batch fails. Whether its records reached the disk is then not known: with two-phase commit, either all
//! of them did (only the flip of the header was in doubt) or none is ever seen.
//!
//! **A fault** (no space, a failed sync) leaves a redb handle refusing every further write, so the handle is dropped and the
//! file opened again, with growing pauses and whenever a job arrives, until a durable write succeeds. That write also
//! settles what was in doubt: the data pages of a batch are synced before its header is written, and the header is written
//! and synced again before anybody reads from the reopened file. It puts the fault on the record.
//!
//! **A full disk** is a fault whose record can be written at once, into the space that is held in reserve ([`Medium`]).
//! Then the record can be read and nothing else is written until the reserve could be made again.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{Durability, StorageError, WriteTransaction};
use tokio::sync::watch;

use super::answers::Answers;
use super::error::{OpenError, StoreError, TxError, guarded, is_disk_full, panic_text, storage};
use super::file::Medium;
use super::health::StoreHealth;
use super::job::{Job, Message, Verdict};
use super::open::{explain_storage, open};
use super::options::Options;
use super::pulse::Pulse;
use super::slot::{Slot, close};
use super::state::State;
use super::tables::meta;
use super::tx::{AfterCommit, Tx};
use crate::audit::log::record::Event;
use crate::audit::log::tree::hash_tail;
use crate::audit::rows::index::index_tail;
use crate::audit::rows::keys::SEGMENT_LEN;
use crate::domain::Timestamp;

/// The first pause before a failed store is opened again, and the least time between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often an idle writer looks whether its file is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the writer tells the rest of the process.
#[derive(Clone, Debug)]
pub(crate) struct Announcements {
    pub(crate) committed: watch::Sender<u64>,
    pub(crate) durable: watch::Sender<u64>,
    pub(crate) health: watch::Sender<StoreHealth>,
    pub(crate) recoveries: watch::Sender<u64>,
}

/// The writer.
pub(crate) struct Writer {
    pub(crate) queue: Receiver<Message>,
    pub(crate) slot: Slot,
    pub(crate) state: State,
    pub(crate) options: Options,
    pub(crate) medium: Box<dyn Medium>,
    pub(crate) path: PathBuf,
    pub(crate) announce: Announcements,
    pub(crate) answers: Answers,
    pub(crate) pulse: Pulse,
}

/// Whether there is a database to write to.
enum Mode {
    Running {
        /// Since when a relaxed store has answered for what is not durable yet.
        unsynced: Option<Instant>,
    },
    /// There is one, to read: there is no space to write.
    Full(Fault),
    /// There is none.
    Failing(Fault),
}

impl Mode {
    fn health(&self) -> StoreHealth {
        match self {
            Self::Running { .. } => StoreHealth::Ok,
            Self::Full(fault) | Self::Failing(fault) => StoreHealth::Failing { why: fault.why.to_string().into() },
        }
    }
}

/// What keeps the writer from writing.
struct Fault {
    why: StoreError,
    since: Timestamp,
    last_try: Instant,
    pause: Duration,
    /// Whether the record says already that the disk is full.
    told: bool,
}

impl Fault {
    fn is_for_lack_of_space(&self) -> bool {
        matches!(self.why, StoreError::Unavailable { disk_full: true, .. })
    }
}

/// How a batch ended that was not committed.
enum Failure {
    /// By a fault of the program: the database is as it was.
    RolledBack(StoreError),
    /// By a fault of the storage: the database must be reopened.
    Lost(StorageError),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Lost(error)
    }
}

impl Writer {
    /// Works until it is told to stop, or until no caller is left.
    pub(crate) fn run(mut self) {
        let mut mode = Mode::Running { unsynced: None };
        let mut stop = false;
        while !stop {
            let message = self.queue.recv_timeout(self.patience(&mode));
            self.pulse.begin();
            mode = match message {
                Ok(Message::Job(job)) => match self.recovered(mode, FIRST_PAUSE) {
                    Mode::Running { unsynced } => self.batch(job, unsynced, &mut stop),
                    out @ (Mode::Full(_) | Mode::Failing(_)) => {
                        if let Mode::Full(fault) | Mode::Failing(fault) = &out {
                            job.answer(Err(fault.why.clone()));
                        }
                        out
                    }
                },
                Ok(Message::Shutdown) | Err(RecvTimeoutError::Disconnected) => {
                    stop = true;
                    mode
                }
                Err(RecvTimeoutError::Timeout) => match mode {
                    Mode::Running { unsynced: Some(_) } => self.sync(),
                    Mode::Running { unsynced: None } => self.look(),
                    out => self.recovered(out, Duration::ZERO),
                },
            };
            self.pulse.end(&self.announce.health, || mode.health());
        }
        if let Mode::Running { unsynced: Some(_) } = mode {
            self.sync();
        }
        self.slot.close(StoreError::Closed);
        self.pulse.stop();
        // Whoever came too late for the last batch is told so by the closing of the queue.
    }

    /// How long to wait for a message before there is something else to do.
    fn patience(&self, mode: &Mode) -> Duration {
        match mode {
            Mode::Running { unsynced: None } => LOOK_EVERY,
            Mode::Running { unsynced: Some(since) } => self.options.sync_every.saturating_sub(since.elapsed()),
            Mode::Full(fault) | Mode::Failing(fault) => fault.pause.saturating_sub(fault.last_try.elapsed()),
        }
    }

    /// Runs the job and all that are waiting behind it as one transaction.
    fn batch(&mut self, first: Box<dyn Job>, unsynced: Option<Instant>, stop: &mut bool) -> Mode {
        let mut jobs = Vec::with_capacity(64);
        let written = guarded(|| self.write(first, &mut jobs, stop));
        match written {
            Ok(after) => {
                for then in after {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(then)) {
                        tracing::error!(panic = panic_text(&*panic), "what was to be done after a commit panicked");
                    }
                }
                // Last, so that who reads of an approval on the record finds it open.
                self.announce_committed();
                self.answers.send(jobs);
                self.after_batch(unsynced)
            }
            Err(Failure::RolledBack(error)) => {
                tracing::error!(%error, jobs = jobs.len(), "a batch was rolled back");
                answer_all(jobs, &error);
                self.reload(unsynced)
            }
            Err(Failure::Lost(error)) => self.fail(error.into(), jobs),
        }
    }

    fn announce_committed(&self) {
        let last = self.state.last_sequence;
        self.announce.committed.send_if_modified(|committed| std::mem::replace(committed, last) != last);
        if !self.options.relaxed {
            self.announce_durable();
        }
    }

    fn announce_durable(&self) {
        let last = self.state.last_sequence;
        self.announce.durable.send_if_modified(|durable| std::mem::replace(durable, last) != last);
    }

    fn write(
        &mut self,
        first: Box<dyn Job>,
        jobs: &mut Vec<Box<dyn Job>>,
        stop: &mut bool,
    ) -> Result<Vec<AfterCommit>, Failure> {
        let mut next = Some(first);
        let transaction = match begin(&self.slot, self.options.relaxed) {
            Ok(transaction) => transaction,
            Err(error) => {
                jobs.extend(next);
                return Err(error.into());
            }
        };
        let mut tx = Tx::new(&transaction, &mut self.state, &mut *self.options.entropy);
        while let Some(mut job) = next.take() {
            let verdict = job.run(&mut tx);
            jobs.push(job);
            match verdict {
                Verdict::Done | Verdict::LeftOut => {}
                Verdict::Abort(why) => return Err(Failure::RolledBack(StoreError::Aborted { why: why.into() })),
                Verdict::Fault(error) => return Err(error.into()),
            }
            if jobs.len() < self.options.batch {
                next = match self.queue.try_recv() {
                    Ok(Message::Job(job)) => Some(job),
                    Ok(Message::Shutdown) => {
                        *stop = true;
                        None
                    }
                    Err(_) => None,
                };
            }
        }
        let written = tx.writes > 0;
        let after = tx.finish()?;
        if written {
            transaction.commit().map_err(storage)?;
            // Durable, and yet nobody would find it, if the file is not where it is looked for.
            self.medium.check().map_err(StorageError::from)?;
        } else {
            transaction.abort()?;
        }
        Ok(after)
    }

    /// What is due now and then: a relaxed store's sync, and the index.
    fn after_batch(&mut self, unsynced: Option<Instant>) -> Mode {
        let mut unsynced = self.options.relaxed.then(|| unsynced.unwrap_or_else(Instant::now));
        if unsynced.is_some_and(|since| since.elapsed() >= self.options.sync_every) {
            if let failing @ Mode::Failing(_) = self.sync() {
                return failing;
            }
            unsynced = None;
        }
        let lag = self.options.index_lag.max(SEGMENT_LEN);
        let (rows, leaves) = (self.state.tail.rows.len(), self.state.last_sequence - self.state.hashed);
        if rows < lag && leaves < lag as u64 {
            return Mode::Running { unsynced };
        }
        let indexed = guarded(|| {
            let transaction = begin(&self.slot, true)?;
            index_tail(&transaction, &mut self.state)?;
            self.state.hashed = hash_tail(&transaction, self.state.hashed, self.state.last_sequence)?;
            transaction.commit().map_err(storage)
        });
        match indexed {
            Ok(()) => Mode::Running { unsynced },
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Makes durable what a relaxed store has answered for.
    fn sync(&mut self) -> Mode {
        let synced = guarded(|| begin(&self.slot, false)?.commit().map_err(storage));
        match synced {
            Ok(()) => {
                self.announce_durable();
                Mode::Running { unsynced: None }
            }
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Reads the state again after a batch was rolled back.
    fn reload(&mut self, unsynced: Option<Instant>) -> Mode {
        match guarded(|| self.slot.with(State::load)) {
            Ok(state) => {
                self.state = state;
                Mode::Running { unsynced }
            }
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Gives the database up and tells everybody.
    fn fail(&mut self, why: StoreError, jobs: Vec<Box<dyn Job>>) -> Mode {
        let why = match why {
            StoreError::Corrupt { what } => StoreError::Unavailable { why: what, disk_full: false },
            why => why,
        };
        tracing::error!(error = %why, jobs = jobs.len(), "the record cannot be written");
        self.slot.close(why.clone());
        self.announce.health.send_replace(StoreHealth::Failing { why: why.to_string().into() });
        answer_all(jobs, &why);
        let since = self.options.clock.now();
        Mode::Failing(Fault { why, since, last_try: Instant::now(), pause: FIRST_PAUSE, told: false })
    }

    /// Looks whether the file is where it is looked for. Batches do that, too.
    fn look(&mut self) -> Mode {
        match self.medium.check() {
            Ok(()) => Mode::Running { unsynced: None },
            Err(error) => self.fail(StorageError::from(error).into(), Vec::new()),
        }
    }

    /// Tries to get over a fault, unless that was tried less than `at_least` ago.
    fn recovered(&mut self, mode: Mode, at_least: Duration) -> Mode {
        let (mut fault, is_open) = match mode {
            Mode::Running { .. } => return mode,
            Mode::Full(fault) => (fault, true),
            Mode::Failing(fault) => (fault, false),
        };
        if fault.last_try.elapsed() < at_least {
            return if is_open { Mode::Full(fault) } else { Mode::Failing(fault) };
        }
        let tried = if is_open { self.refill(&fault) } else { self.reopen(&mut fault) };
        fault.last_try = Instant::now();
        fault.pause = (fault.pause * 2).min(LONGEST_PAUSE);
        match tried {
            Ok(true) => {
                tracing::info!(last_sequence = self.state.last_sequence, "the record can be written again");
                self.announce_committed();
                self.announce_durable();
                self.announce.recoveries.send_modify(|recoveries| *recoveries += 1);
                self.announce.health.send_replace(StoreHealth::Ok);
                Mode::Running { unsynced: None }
            }
            Ok(false) => {
                self.announce_committed();
                Mode::Full(fault)
            }
            Err(error) => {
                let disk_full = matches!(error, OpenError::DiskFull { .. });
                fault.why = StoreError::Unavailable { why: error.to_string().into(), disk_full };
                tracing::warn!(error = %fault.why, "the record is still failing");
                self.slot.close(fault.why.clone());
                self.announce.health.send_replace(StoreHealth::Failing { why: fault.why.to_string().into() });
                Mode::Failing(fault)
            }
        }
    }

    /// Opens the file and proves that it can be written, before anybody reads from it. False where there is only the space
    /// to say that there is none.
    fn reopen(&mut self, fault: &mut Fault) -> Result<bool, OpenError> {
        if fault.is_for_lack_of_space() {
            self.medium.release_reserve().map_err(|error| explain_storage(error.into(), self.path.clone()))?;
        }
        let (database, mut state) =
            open(&mut *self.medium, self.options.cache_size, &mut *self.options.entropy, &self.path)?;
        let roomy = match self.hold_reserve() {
            Ok(roomy) => roomy,
            Err(error) => {
                close(database);
                return Err(error);
            }
        };
        state.recoveries += 1;
        let event = if roomy {
            Some(Event::RecordRecovered { since: fault.since, why: fault.why.to_string() })
        } else {
            (!fault.told).then_some(Event::DiskFull { since: fault.since })
        };
        let written = guarded(|| {
            let transaction = prepare(database.begin_write().map_err(storage)?, false)?;
            self.note(transaction, &mut state, event.as_ref())
        });
        if let Err(error) = written {
            close(database);
            return Err(explain_storage(error, self.path.clone()));
        }
        fault.told |= !roomy;
        self.slot.put(database);
        self.state = state;
        Ok(roomy)
    }

    /// Looks whether there is space again, and says so on the record.
    fn refill(&mut self, fault: &Fault) -> Result<bool, OpenError> {
        if !self.hold_reserve()? {
            return Ok(false);
        }
        let event = Event::RecordRecovered { since: fault.since, why: fault.why.to_string() };
        let written = guarded(|| {
            let (transaction, mut state) = (begin(&self.slot, false)?, self.slot.with(State::load)?);
            self.note(transaction, &mut state, Some(&event))?;
            Ok(state)
        });
        self.state = written.map_err(|error: StorageError| explain_storage(error, self.path.clone()))?;
        Ok(true)
    }

    /// Writes what the store itself has to say, and how often it was reopened.
    fn note(
        &mut self,
        transaction: WriteTransaction,
        state: &mut State,
        event: Option<&Event>,
    ) -> Result<(), StorageError> {
        let recoveries = state.recoveries.to_be_bytes();
        let mut tx = Tx::new(&transaction, state, &mut *self.options.entropy);
        if let Some(event) = event {
            tx.append(self.options.clock.now(), event).map_err(|error| match error {
                TxError::Storage(error) => error,
                other => StorageError::Corrupted(other.to_string()),
            })?;
        }
        tx.tables.meta.get()?.insert(meta::RECOVERIES, recoveries.as_slice())?;
        tx.finish()?;
        transaction.commit().map_err(storage)?;
        Ok(self.medium.check()?)
    }

    /// Makes the reserve where there is none. False for lack of space.
    fn hold_reserve(&mut self) -> Result<bool, OpenError> {
        match self.medium.hold_reserve() {
            Ok(()) => Ok(true),
            Err(error) if is_disk_full(&error) => Ok(false),
            Err(error) => Err(explain_storage(error.into(), self.path.clone())),
        }
    }
}

/// A write transaction, durable or not.
fn begin(slot: &Slot, relaxed: bool) -> Result<WriteTransaction, StorageError> {
    prepare(slot.begin_write()?, relaxed)
}

fn prepare(mut transaction: WriteTransaction, relaxed: bool) -> Result<WriteTransaction, StorageError> {
    if relaxed {
        transaction.set_durability(Durability::None).map_err(|error| StorageError::Corrupted(error.to_string()))?;
    } else {
        // The header is flipped only when all it names is on disk; and the next start need not rebuild anything.
        transaction.set_two_phase_commit(true);
        transaction.set_quick_repair(true);
    }
    Ok(transaction)
}

fn answer_all(jobs: Vec<Box<dyn Job>>, error: &StoreError) {
    for job in jobs {
        job.answer(Err(error.clone()));
    }
}
