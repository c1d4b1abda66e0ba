//! The one thread that writes.
//!
//! ```text
//!  callers ──push, ring──▶ bounded queue ──▶ writer: run job after job, until the queue is empty or the batch is full
//!                                            │
//!                                            ├─ commit (durable)
//!                                            ├─ what jobs left to do after the commit, in order
//!                                            ├─ publish the last sequence number
//!                                            ├─ answer every caller
//!                                            └─ now and then: derive what lags behind (not durable by itself)
//! ```
//!
//! No delay is ever added: while one batch is on its way to the disk the next one gathers by itself.
//!
//! **What an answer means.** A caller is told that its job is done only after the commit returned. If the commit fails,
//! every job of the batch fails. Whether its records reached the disk is then not known: with two-phase commit, either
//! all of them did (only the flip of the header was in doubt) or none is ever seen.
//!
//! **A fault** (no space, a failed sync) leaves a redb handle refusing every further write, so the handle is dropped
//! and the file opened again, with growing pauses and whenever a job arrives, until a durable write succeeds. That
//! write also settles what was in doubt: the data pages of a batch are synced before its header is written, and the
//! header is written and synced again before anybody reads from the reopened file. It puts the fault on the record.
//!
//! **A full disk** is a fault whose record can be written at once, into the space that is held in reserve ([`Medium`]).
//! Then the record can be read and nothing else is written until the reserve could be made again.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::StorageError;

use super::answers::Answers;
use super::begin::begin;
use super::error::{StoreError, guarded, panic_text, storage};
use super::file::Medium;
use super::host::Host;
use super::job::{Job, Ran, answer_all};
use super::mode::{Announcements, FIRST_PAUSE, Mode};
use super::open::Loaded;
use super::options::Options;
use super::pulse::Pulse;
use super::queue::{Next, Queue};
use super::slot::Slot;
use super::table::Session;
use super::tx::{AfterCommit, Tx};

/// How often an idle writer looks whether its file is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The writer.
pub(super) struct Writer<H: Host> {
    pub(super) queue: Arc<Queue<H>>,
    pub(super) slot: Slot,
    pub(super) state: Loaded<H>,
    pub(super) options: Options,
    pub(super) medium: Box<dyn Medium>,
    pub(super) path: PathBuf,
    pub(super) announce: Announcements,
    pub(super) answers: Answers<H>,
    pub(super) pulse: Pulse,
}

/// How a batch ended that was not committed.
enum Failure {
    /// By a fault of the program: the database is as it was.
    RolledBack(StoreError),
    /// By a fault of the storage: the database must be reopened.
    Lost(StorageError),
}

impl<H: Host> Drop for Writer<H> {
    /// Whoever came too late for the last batch is told so.
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
    /// Works until it is told to stop, or until no caller is left.
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
        if let Mode::Running { unsynced: Some(_) } = mode {
            self.sync();
        }
        self.slot.close(StoreError::Closed);
        self.pulse.stop();
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
        let transaction = match begin(&self.slot, self.options.relaxed) {
            Ok(transaction) => transaction,
            Err(error) => {
                jobs.extend(next);
                return Err(error.into());
            }
        };
        let changes = Cell::new(0);
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
            if jobs.len() < self.options.batch {
                next = self.queue.try_next();
            }
        }
        let after = tx.finish()?;
        let written = changes.get() > 0;
        if written {
            transaction.commit().map_err(storage)?;
            // Durable, and yet nobody would find it, if the file is not where it is looked for.
            self.medium.check().map_err(StorageError::from)?;
        } else {
            transaction.abort()?;
        }
        Ok(after)
    }

    /// What is due now and then: a relaxed store's sync, and what is derived.
    fn after_batch(&mut self, unsynced: Option<Instant>) -> Mode {
        let mut unsynced = self.options.relaxed.then(|| unsynced.unwrap_or_else(Instant::now));
        if unsynced.is_some_and(|since| since.elapsed() >= self.options.sync_every) {
            if let failing @ Mode::Failing(_) = self.sync() {
                return failing;
            }
            unsynced = None;
        }
        let lag = (self.options.index_lag as u64).max(H::SEGMENT);
        let host = &mut self.state.host;
        if H::DERIVATIONS.iter().all(|derivation| (derivation.behind)(host) < lag) {
            return Mode::Running { unsynced };
        }
        let derived = guarded(|| {
            let transaction = begin(&self.slot, true)?;
            let changes = Cell::new(0);
            let mut tables = H::tables(Session::new(&transaction, &changes));
            for derivation in H::DERIVATIONS {
                (derivation.run)(host, &mut tables).inspect_err(
                    |error| tracing::error!(derivation = derivation.name, %error, "what lags behind cannot be derived"),
                )?;
            }
            drop(tables);
            transaction.commit().map_err(storage)
        });
        match derived {
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
        match guarded(|| self.slot.with(Loaded::load)) {
            Ok(state) => {
                self.state = state;
                Mode::Running { unsynced }
            }
            Err(error) => self.fail(error.into(), Vec::new()),
        }
    }

    /// Looks whether the file is where it is looked for. Batches do that, too.
    fn look(&mut self) -> Mode {
        match self.medium.check() {
            Ok(()) => Mode::Running { unsynced: None },
            Err(error) => self.fail(StorageError::from(error).into(), Vec::new()),
        }
    }
}
