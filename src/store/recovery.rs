//! How the writer handles a fault: it closes the database, tries to reopen it, and records the fault.

use std::cell::Cell;
use std::time::{Duration, Instant};

use redb::{StorageError, WriteTransaction};

use super::begin::{begin, prepare};
use super::error::{OpenError, StoreError, TxError, guarded, is_disk_full, storage};
use super::health::StoreHealth;
use super::host::{Host, Incident};
use super::job::{Job, answer_all};
use super::meta;
use super::mode::{FIRST_PAUSE, Fault, Mode};
use super::open::{Loaded, explain_storage, open};
use super::slot::close;
use super::table::Session;
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
        self.slot.close(why.clone());
        self.announce.health.send_replace(StoreHealth::Failing { why: why.to_string().into() });
        answer_all(jobs, &why);
        let since = self.options.clock.now();
        Mode::Failing(Fault { why, since, last_try: Instant::now(), pause: FIRST_PAUSE, told: false })
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
                self.slot.close(fault.why.clone());
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
        let (database, mut state) =
            open::<H>(&mut *self.medium, self.options.cache_size, &mut *self.options.entropy, &self.path)?;
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
            let transaction = prepare(database.begin_write().map_err(storage)?, false)?;
            self.note(transaction, &mut state, incident)
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

    /// Checks whether there is space again, and records that.
    fn refill(&mut self, fault: &Fault) -> Result<bool, OpenError> {
        if !self.hold_reserve()? {
            return Ok(false);
        }
        let incident = Incident::Recovered { since: fault.since, why: fault.why.to_string() };
        let written = guarded(|| {
            let (transaction, mut state) = (begin(&self.slot, false)?, self.slot.with(Loaded::load)?);
            self.note(transaction, &mut state, Some(incident))?;
            Ok(state)
        });
        self.state = written.map_err(|error: StorageError| explain_storage(error, self.path.clone()))?;
        Ok(true)
    }

    /// Writes an event of the store itself, and how often the store was reopened.
    fn note(
        &mut self,
        transaction: WriteTransaction,
        state: &mut Loaded<H>,
        incident: Option<Incident>,
    ) -> Result<(), StorageError> {
        let changes = Cell::new(0);
        let mut tables = H::tables(Session::new(&transaction, &changes));
        if let Some(incident) = incident {
            let (entropy, now) = (&mut *self.options.entropy, self.options.clock.now());
            state.host.note(&mut tables, entropy, now, incident).map_err(|error| match error {
                TxError::Storage(error) => error,
                other => StorageError::Corrupted(other.to_string()),
            })?;
        }
        H::meta(&mut tables).insert(meta::RECOVERIES, state.recoveries.to_be_bytes().as_slice())?;
        drop(tables);
        transaction.commit().map_err(storage)?;
        Ok(self.medium.check()?)
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
