//! What the writer keeps in memory of the file: the ends of the log, and the rows that are not indexed yet.
//!
//! Nothing here is the truth: it is read from the file when the store opens, and again whenever a batch was rolled back.

use std::collections::BTreeSet;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTableMetadata, StorageError, TableError};

use super::error::{missing, storage};
use super::tables::{META, PENDING, RECORDS, ROWS, TREE, meta, meta_u64};
use crate::audit::log::stored::last_of;
use crate::audit::log::tiles::hashed;
use crate::audit::rows::counts::{Changing, Counted, Label, label};
use crate::audit::rows::facts::decode_row;
use crate::audit::rows::idempotency::key_prefix;
use crate::audit::rows::names::{Names, known_labels};
use crate::audit::rows::tail::{Tail, TailRow};

/// What the writer keeps in memory of the file.
#[derive(Debug, PartialEq)]
pub(crate) struct State {
    /// The sequence number of the last record; 0 while there is none.
    pub(crate) last_sequence: u64,
    /// The number of the last row; 0 while there is none.
    pub(crate) last_row: u64,
    /// How many approvals are open.
    pub(crate) pending: u64,
    /// The last row that is indexed and counted.
    pub(crate) indexed: u64,
    /// The last row whose idempotency key was considered for forgetting.
    pub(crate) forgotten: u64,
    /// How many records the stored part of the Merkle tree covers.
    pub(crate) hashed: u64,
    /// How often the store was reopened after a fault, over its whole life.
    pub(crate) recoveries: u64,
    /// The rows after `indexed`.
    pub(crate) tail: Tail,
    pub(crate) action_types: BTreeSet<Label>,
    pub(crate) rules: BTreeSet<Label>,
}

impl State {
    /// Reads the state from the file.
    pub(crate) fn load(database: &Database) -> Result<Self, StorageError> {
        let read = database.begin_read().map_err(storage)?;
        let records = read.open_table(RECORDS).map_err(storage)?;
        let rows = read.open_table(ROWS).map_err(storage)?;
        let mut state = Self {
            last_sequence: last_of(&records, "records")?,
            last_row: last_of(&rows, "rows")?,
            pending: read.open_table(PENDING).map_err(storage)?.len()?,
            indexed: meta_number(&read, meta::INDEXED)?,
            forgotten: meta_number(&read, meta::FORGOTTEN)?,
            hashed: match read.open_table(TREE) {
                Ok(tree) => hashed(&tree)?,
                // A store from before there was a tree: it is derived from now on.
                Err(TableError::TableDoesNotExist(_)) => 0,
                Err(error) => return Err(storage(error)),
            },
            recoveries: meta_number(&read, meta::RECOVERIES)?,
            tail: Tail::default(),
            action_types: known_labels(&read, Counted::ActionType)?,
            rules: known_labels(&read, Counted::Rule)?,
        };
        for entry in rows.range(state.indexed + 1..)? {
            let value = entry?.1;
            let (facts, row) = decode_row(value.value()).map_err(StorageError::Corrupted)?;
            let record = records.get(row.sequence)?.ok_or_else(|| missing("record", row.sequence))?;
            let names = Names::of(record.value())?;
            let tail_row = TailRow {
                changing: Changing::of(&facts, &row),
                facts,
                key: row.idempotency.map(key_prefix),
                action_type: label(&names.action.r#type),
                rule: label(&names.matched_rule),
            };
            let number = state.indexed + 1 + state.tail.rows.len() as u64;
            state.tail.push(number, tail_row);
        }
        Ok(state)
    }

    /// The tail's entry of a row, if the row is not indexed yet.
    pub(crate) fn tail_mut(&mut self, row: u64) -> Option<&mut TailRow> {
        let place = row.checked_sub(self.indexed + 1)?;
        self.tail.rows.get_mut(usize::try_from(place).ok()?)
    }
}

/// A number of the `meta` table; 0 while it is not there.
fn meta_number(read: &ReadTransaction, key: &str) -> Result<u64, StorageError> {
    let table = read.open_table(META).map_err(storage)?;
    let Some(value) = table.get(key)? else { return Ok(0) };
    meta_u64(value.value()).ok_or_else(|| StorageError::Corrupted(format!("`{key}` is no number")))
}
