//! How the writer handles a fault: it closes the database, tries to reopen it, and records the fault.

use std::time::{Duration, Instant};

use redb::StorageError;

use super::begin::{begin, prepare};
use super::error::{OpenError, StoreError, guarded, is_disk_full, storage};
use super::health::StoreHealth;
use super::host::{Host, Incident};
use super::job::{Job, answer_all};
use super::journal::commit::{Sync, checkpoint, commit};
use super::loaded::Loaded;
use super::mode::{FIRST_PAUSE, Fault, Mode};
use super::open::{Opened, explain_storage, open};
use super::slot::close;
use super::writer::Writer;

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

impl<H: Host> Writer<H> {
    /// Closes the database and reports the fault.
    pub(super) fn fail(&mut self, why: StoreError, jobs: Vec<Box<dyn Job<H>>>) -> Mode {
        let why = match why {
            StoreError::Corrupt { what } => StoreError::Unavailable { why: what, disk_full: false },
            why => why,
        };
        tracing::error!(error = %why, jobs = jobs.len(), "the record cannot be written");
        self.close(why.clone());
        self.announce.health.send_replace(StoreHealth::Failing { why: why.to_string().into() });
        answer_all(jobs, &why);
        let since = self.options.clock.now();
        Mode::Failing(Fault { why, since, last_try: Instant::now(), pause: FIRST_PAUSE, told: false })
    }

    /// Closes the database and the journal. From now on readers get this reason as their error.
    fn close(&mut self, why: StoreError) {
        self.slot.close(why);
        self.journal = None;
    }

    /// Tries to recover, unless the last attempt was less than `at_least` ago.
    pub(super) fn recovered(&mut self, mode: Mode, at_least: Duration) -> Mode {
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
                tracing::info!(last_sequence = self.state.host.last_sequence(), "the record can be written again");
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
                self.close(fault.why.clone());
                self.announce.health.send_replace(StoreHealth::Failing { why: fault.why.to_string().into() });
                Mode::Failing(fault)
            }
        }
    }

    /// Opens the file and proves with a durable write that it can be written, before anyone reads from it. Returns
    /// false if the disk is still full and the reserve had to hold the record of that.
    fn reopen(&mut self, fault: &mut Fault) -> Result<bool, OpenError> {
        if fault.is_for_lack_of_space() {
            self.medium.release_reserve().map_err(|error| explain_storage(error.into(), self.path.clone()))?;
        }
        let Opened { database, loaded: mut state, mut journal, .. } =
            open::<H>(&mut *self.medium, &mut self.options, false, &self.path)?;
        let roomy = match self.hold_reserve() {
            Ok(roomy) => roomy,
            Err(error) => {
                close(database);
                return Err(error);
            }
        };
        state.recoveries += 1;
        let incident = if roomy {
            Some(Incident::Recovered { since: fault.since, why: fault.why.to_string() })
        } else {
            (!fault.told).then_some(Incident::DiskFull { since: fault.since })
        };
        let written = guarded(|| {
            let in_database = roomy || journal.needs_checkpoint();
            let transaction = prepare(database.begin_write().map_err(storage)?, in_database)?;
            let changes = state.note(&transaction, &mut self.options, incident)?;
            if in_database {
                checkpoint(&mut journal, transaction, &mut *self.options.entropy, false)?;
            } else {
                // The space for a checkpoint is missing, and the journal has some of its own.
                journal.settle()?;
                commit(&mut journal, transaction, &changes, Sync::Now)?;
            }
            Ok(self.medium.check()?)
        });
        if let Err(error) = written {
            close(database);
            return Err(explain_storage(error, self.path.clone()));
        }
        fault.told |= !roomy;
        self.slot.put(database);
        self.journal = Some(journal);
        self.state = state;
        Ok(roomy)
    }

    /// Checks whether there is space again, and records that.
    fn refill(&mut self, fault: &Fault) -> Result<bool, OpenError> {
        if !self.hold_reserve()? {
            return Ok(false);
        }
        let incident = Incident::Recovered { since: fault.since, why: fault.why.to_string() };
        let written = guarded(|| {
            let (transaction, mut state) = (begin(&self.slot, true)?, self.slot.with(Loaded::load)?);
            state.note(&transaction, &mut self.options, Some(incident))?;
            let journal = self.journal.as_mut().ok_or(StorageError::DatabaseClosed)?;
            checkpoint(journal, transaction, &mut *self.options.entropy, false)?;
            self.medium.check()?;
            Ok(state)
        });
        self.state = written.map_err(|error: StorageError| explain_storage(error, self.path.clone()))?;
        Ok(true)
    }

    /// Creates a missing reserve. Returns false if there is no space for it.
    fn hold_reserve(&mut self) -> Result<bool, OpenError> {
        match self.medium.hold_reserve() {
            Ok(()) => Ok(true),
            Err(error) if is_disk_full(&error) => Ok(false),
            Err(error) => Err(explain_storage(error.into(), self.path.clone())),
        }
    }
}
