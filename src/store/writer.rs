//! The writer: the only thread that writes to the file.
//!
//! ```text
//!  callers ──push, ring──▶ bounded queue ──▶ writer: run job after job, until the queue is empty or the batch is full
//!                                            │
//!                                            ├─ write and sync the changes in the journal
//!                                            ├─ commit them to the database, without a sync
//!                                            ├─ what jobs left to do after the commit, in order
//!                                            ├─ publish the last sequence number
//!                                            ├─ answer every caller
//!                                            ├─ now and then: derive what lags behind
//!                                            └─ now and then: a checkpoint, see `journal`
//! ```
//!
//! The writer adds no delay. While one batch is on its way to the disk, the next one fills up.
//!
//! **What an answer means.** A caller gets its answer only after the batch is in the [`journal`](super::journal). If
//! that fails, every job of the batch fails. It is then unknown whether the records reached the disk: either all of
//! them did, or none of them ever appears.
//!
//! **A fault** (no space, a failed sync) makes a redb handle refuse every further write, and leaves in doubt what is on
//! the disk. So the writer drops the handle and opens both files again until a durable write succeeds. It tries with
//! growing pauses, and whenever a job arrives. That write also records the fault, and makes certain what was in doubt,
//! before anyone reads from the reopened file.
//!
//! **A full disk** is a fault that the writer can record at once, in the space of the reserve ([`Medium`]). After that,
//! the record can be read. Nothing else is written until there is space for the reserve again.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::StorageError;

use super::answers::Answers;
use super::begin::begin;
use super::disk_use::DiskUse;
use super::error::{StoreError, guarded, panic_text};
use super::file::Medium;
use super::host::Host;
use super::job::{Job, Ran, answer_all};
use super::journal::commit::{Sync, checkpoint, commit};
use super::journal::file::Journal;
use super::loaded::Loaded;
use super::mode::{Announcements, FIRST_PAUSE, Mode};
use super::options::Options;
use super::pulse::Pulse;
use super::queue::{Next, Queue};
use super::slot::Slot;
use super::table::Session;
use super::tx::{AfterCommit, Tx};

/// How often an idle writer checks that its files are still at their paths.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How old a checkpoint is before an idle writer makes another.
const CHECKPOINT_EVERY: Duration = Duration::from_mins(1);
/// A batch ends when it has this many bytes of changes, so that no frame of the journal is endless.
const BATCH_BYTES: usize = 1 << 20;

/// The writer.
pub(super) struct Writer<H: Host> {
    pub(super) queue: Arc<Queue<H>>,
    pub(super) slot: Slot,
    pub(super) state: Loaded<H>,
    pub(super) options: Options,
    pub(super) medium: Box<dyn Medium>,
    /// `None` while no database is open.
    pub(super) journal: Option<Journal>,
    /// When the last checkpoint was.
    pub(super) checkpointed: Instant,
    pub(super) path: PathBuf,
    pub(super) announce: Announcements,
    pub(super) answers: Answers<H>,
    pub(super) pulse: Pulse,
    pub(super) disk_use: Arc<DiskUse>,
}

/// Why a batch was not committed.
enum Failure {
    /// A bug of the program. The database is unchanged.
    RolledBack(StoreError),
    /// A fault of the storage. The writer must reopen the database.
    Lost(StorageError),
}

impl<H: Host> Drop for Writer<H> {
    /// Jobs that came after the last batch get an error.
    fn drop(&mut self) {
        self.queue.abandon();
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Lost(error)
    }
}

impl<H: Host> Writer<H> {
    /// Runs batches until the store is closed or no handle is left.
    pub(super) fn run(mut self) {
        let mut mode = Mode::Running { unsynced: None };
        let mut stop = false;
        while !stop {
            let next = self.queue.next(self.patience(&mode));
            self.pulse.begin();
            mode = match next {
                Next::Job(job) => match self.recovered(mode, FIRST_PAUSE) {
                    Mode::Running { unsynced } => self.batch(job, unsynced),
                    out @ (Mode::Full(_) | Mode::Failing(_)) => {
                        if let Mode::Full(fault) | Mode::Failing(fault) = &out {
                            job.answer(Err(fault.why.clone()));
                        }
                        out
                    }
                },
                Next::End => {
                    stop = true;
                    mode
                }
                Next::Nothing => match mode {
                    Mode::Running { unsynced: Some(_) } => self.sync(),
                    Mode::Running { unsynced: None } => self.look(),
                    out => self.recovered(out, Duration::ZERO),
                },
            };
            self.pulse.end(&self.announce.health, || mode.health());
        }
        if let Mode::Running { .. } = mode {
            // The journal has everything, so nothing is lost if this fails.
            match guarded(|| self.checkpoint(true)) {
                Ok(()) => self.announce_durable(),
                Err(error) => tracing::error!(%error, "the record was not closed in good order"),
            }
        }
        self.slot.close(StoreError::Closed);
        self.pulse.stop();
    }

    /// How long to wait for a job before other work is due.
    fn patience(&self, mode: &Mode) -> Duration {
        match mode {
            Mode::Running { unsynced: None } => LOOK_EVERY,
            Mode::Running { unsynced: Some(since) } => self.options.sync_every.saturating_sub(since.elapsed()),
            Mode::Full(fault) | Mode::Failing(fault) => fault.pause.saturating_sub(fault.last_try.elapsed()),
        }
    }

    /// Runs the job and those queued after it as one transaction.
    fn batch(&mut self, first: Box<dyn Job<H>>, unsynced: Option<Instant>) -> Mode {
        let mut jobs = Vec::with_capacity(64);
        let written = guarded(|| self.write(first, &mut jobs));
        match written {
            Ok(after) => {
                for then in after {
                    let slot = &self.slot;
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| then(slot))) {
                        tracing::error!(panic = panic_text(&*panic), "what was to be done after a commit panicked");
                    }
                }
                // After the actions above: a follower that reads of an approval on the record then finds it open in
                // memory.
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

    pub(super) fn announce_committed(&self) {
        let last = self.state.host.last_sequence();
        self.announce.committed.send_if_modified(|committed| std::mem::replace(committed, last) != last);
        if !self.options.relaxed {
            self.announce_durable();
        }
    }

    pub(super) fn announce_durable(&self) {
        let last = self.state.host.last_sequence();
        self.announce.durable.send_if_modified(|durable| std::mem::replace(durable, last) != last);
    }

    fn write(&mut self, first: Box<dyn Job<H>>, jobs: &mut Vec<Box<dyn Job<H>>>) -> Result<Vec<AfterCommit>, Failure> {
        let mut next = Some(first);
        let transaction = match begin(&self.slot, false) {
            Ok(transaction) => transaction,
            Err(error) => {
                jobs.extend(next);
                return Err(error.into());
            }
        };
        let changes = RefCell::default();
        let session = Session::new(&transaction, &changes);
        let mut tx = Tx::new(session, &mut self.state.host, &mut *self.options.entropy);
        while let Some(mut job) = next.take() {
            let ran = job.run(&mut tx);
            jobs.push(job);
            match ran {
                Ran::Done | Ran::LeftOut => {}
                Ran::Abort(why) => return Err(Failure::RolledBack(StoreError::Aborted { why: why.into() })),
                Ran::Fault(error) => return Err(error.into()),
            }
            if jobs.len() < self.options.batch && session.changed_bytes() < BATCH_BYTES {
                next = self.queue.try_next();
            }
        }
        let after = tx.finish()?;
        let changes = changes.into_inner();
        if changes.count() > 0 {
            let journal = self.journal.as_mut().ok_or(StorageError::DatabaseClosed)?;
            if !Journal::takes(&changes) {
                let why = "its changes are too many for one frame of the journal".into();
                return Err(Failure::RolledBack(StoreError::Aborted { why }));
            }
            let sync = if self.options.relaxed { Sync::Later } else { Sync::Now };
            let begun = Instant::now();
            commit(journal, transaction, &changes, sync)?;
            if let Some(tell) = &self.options.on_batch {
                tell(jobs.len(), begun.elapsed());
            }
            // A durable batch is lost to readers if the file is no longer at its path.
            self.medium.check().map_err(StorageError::from)?;
        } else {
            transaction.abort()?;
        }
        Ok(after)
    }

    /// Periodic work: the sync of a relaxed store, derived tables, and checkpoints.
    fn after_batch(&mut self, unsynced: Option<Instant>) -> Mode {
        let mut unsynced = self.options.relaxed.then(|| unsynced.unwrap_or_else(Instant::now));
        if unsynced.is_some_and(|since| since.elapsed() >= self.options.sync_every) {
            if let failing @ Mode::Failing(_) = self.sync() {
                return failing;
            }
            unsynced = None;
        }
        if self.journal.as_ref().is_some_and(Journal::is_full) {
            match guarded(|| self.checkpoint(false)) {
                Ok(()) => self.announce_durable(),
                Err(error) => return self.fail(error.into(), Vec::new()),
            }
            unsynced = None;
        }
        let lag = (self.options.index_lag as u64).max(H::SEGMENT);
        let host = &mut self.state.host;
        if H::DERIVATIONS.iter().all(|derivation| (derivation.behind)(host) < lag) {
            return Mode::Running { unsynced };
        }
        let derived = guarded(|| {
            let transaction = begin(&self.slot, false)?;
            let changes = RefCell::default();
            let mut tables = H::tables(Session::new(&transaction, &changes));
            for derivation in H::DERIVATIONS {
                (derivation.run)(host, &mut tables).inspect_err(
                    |error| tracing::error!(derivation = derivation.name, %error, "what lags behind cannot be derived"),
                )?;
            }
            drop(tables);
            let journal = self.journal.as_mut().ok_or(StorageError::DatabaseClosed)?;
            commit(journal, transaction, &changes.into_inner(), Sync::WithTheNext)
        });
        match derived {
            Ok(()) => Mode::Running { unsynced },
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Syncs what a relaxed store has acknowledged.
    fn sync(&mut self) -> Mode {
        let journal = self.journal.as_mut();
        let synced = journal.ok_or(StorageError::DatabaseClosed).and_then(|journal| Ok(journal.sync()?));
        match synced {
            Ok(()) => {
                self.announce_durable();
                Mode::Running { unsynced: None }
            }
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Loads the state again after a batch was rolled back.
    fn reload(&mut self, unsynced: Option<Instant>) -> Mode {
        match guarded(|| self.slot.with(Loaded::load)) {
            Ok(state) => {
                self.state = state;
                Mode::Running { unsynced }
            }
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Checks that the files are still at their paths, as every batch does. Makes a checkpoint while nobody waits.
    fn look(&mut self) -> Mode {
        let used = self.journal.as_ref().map_or(0, Journal::used);
        let is_due = used >= self.options.journal_bytes / 8 || self.checkpointed.elapsed() >= CHECKPOINT_EVERY;
        let looked = guarded(|| {
            self.medium.check()?;
            if used > 0 && is_due { self.checkpoint(false) } else { Ok(()) }
        });
        match looked {
            Ok(()) => Mode::Running { unsynced: None },
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Commits the database durably and lets the journal begin again.
    fn checkpoint(&mut self, closed: bool) -> Result<(), StorageError> {
        let began = Instant::now();
        let transaction = begin(&self.slot, true)?;
        let journal = self.journal.as_mut().ok_or(StorageError::DatabaseClosed)?;
        checkpoint(journal, transaction, &mut *self.options.entropy, closed)?;
        self.checkpointed = Instant::now();
        self.disk_use.checkpoint(self.checkpointed - began);
        Ok(self.medium.check()?)
    }
}
