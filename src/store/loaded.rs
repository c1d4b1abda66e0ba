//! What the writer keeps in memory while the file is open, and the events of the store itself.

use std::cell::RefCell;

use redb::{Database, ReadableDatabase, StorageError, WriteTransaction};

use super::error::{TxError, storage};
use super::host::{Host, Incident};
use super::journal::changes::Changes;
use super::meta;
use super::options::Options;
use super::table::Session;

/// What the writer keeps in memory while the file is open.
pub(super) struct Loaded<H> {
    /// The state of the floor above.
    pub(super) host: H,
    /// How often the store was reopened after a fault, over its whole life.
    pub(super) recoveries: u64,
}

impl<H: Host> Loaded<H> {
    /// Loads the state from the file.
    pub(super) fn load(database: &Database) -> Result<Self, StorageError> {
        let read = database.begin_read().map_err(storage)?;
        Ok(Self { host: H::load(&read)?, recoveries: meta::number(&read, meta::RECOVERIES)? })
    }

    /// Writes an event of the store itself, and how often the store was reopened. Returns these changes.
    pub(super) fn note(
        &mut self,
        transaction: &WriteTransaction,
        options: &mut Options,
        incident: Option<Incident>,
    ) -> Result<Changes, StorageError> {
        let changes = RefCell::default();
        let mut tables = H::tables(Session::new(transaction, &changes));
        if let Some(incident) = incident {
            let (entropy, now) = (&mut *options.entropy, options.clock.now());
            self.host.note(&mut tables, entropy, now, incident).map_err(|error| match error {
                TxError::Storage(error) => error,
                other => StorageError::Corrupted(other.to_string()),
            })?;
        }
        H::meta(&mut tables).insert(meta::RECOVERIES, self.recoveries.to_be_bytes().as_slice())?;
        drop(tables);
        Ok(changes.into_inner())
    }
}
