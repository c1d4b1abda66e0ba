//! Durable cursors: named positions in the log of consumers outside the daemon.
//!
//! A cursor has a name and the last sequence number that its consumer has confirmed. A transaction moves it, and only
//! forwards. So after a crash a consumer may get a record twice, but never misses one. Drop a cursor that is no longer
//! used, because retention waits for it.

use redb::ReadableTable as _;

use crate::audit::log::record::Cursor;
use crate::audit::state::Tx;
use crate::store::table::TableDef;
use crate::store::{Reader, StoreError, TxError};

/// The table.
pub(crate) const CURSORS: TableDef<&str, u64> = TableDef::source("cursors");

/// The longest name of a cursor, in bytes.
const LONGEST_NAME: usize = 256;

impl Tx<'_> {
    /// Moves a cursor forwards, or creates it. Never moves it backwards.
    pub fn advance_cursor(&mut self, name: &str, sequence: u64) -> Result<(), TxError> {
        if name.is_empty() || name.len() > LONGEST_NAME {
            return Err(TxError::Misuse("a cursor's name has between 1 and 256 bytes"));
        }
        if sequence > self.host.log.last_sequence {
            return Err(TxError::Misuse("a cursor cannot stand past the end of the log"));
        }
        let now = self.tables.cursors.read()?.get(name)?.map(|now| now.value());
        if now.is_none_or(|now| now < sequence) {
            self.tables.cursors.insert(name, sequence)?;
        }
        Ok(())
    }

    /// Deletes a cursor.
    pub fn drop_cursor(&mut self, name: &str) -> Result<(), TxError> {
        if self.tables.cursors.read()?.get(name)?.is_some() {
            self.tables.cursors.remove(name)?;
        }
        Ok(())
    }

    /// The cursors that have not reached this sequence number, by name.
    pub fn cursors_before(&mut self, sequence: u64) -> Result<Vec<Cursor>, TxError> {
        let mut before = Vec::new();
        for entry in self.tables.cursors.read()?.iter()? {
            let (name, at) = entry?;
            if at.value() < sequence {
                before.push(Cursor { name: name.value().to_owned(), sequence: at.value() });
            }
        }
        Ok(before)
    }
}

impl Reader {
    /// The position of a cursor, if it exists.
    pub fn cursor(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let Some(cursors) = self.table_if_there(CURSORS)? else { return Ok(None) };
        Ok(cursors.get(name)?.map(|at| at.value()))
    }
}
