//! What the writer keeps in memory of the file: the ends of the log, and the rows that are not indexed yet.
//!
//! Nothing here is the truth: it is read from the file when the store opens, and again whenever a batch was rolled back.

use std::borrow::Cow;
use std::collections::BTreeSet;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError};
use serde::Deserialize;

use super::counts::{Changing, Counted, Label, label};
use super::entry::HEADER_LEN;
use super::error::storage;
use super::facts::{Facts, decode_row};
use super::tables::{COUNTS, META, PENDING, RECORDS, ROWS, meta, meta_u64};

/// What the writer keeps in memory of the file.
#[derive(Debug, PartialEq)]
pub(super) struct State {
    /// The sequence number of the last record; 0 while there is none.
    pub(super) last_sequence: u64,
    /// The number of the last row; 0 while there is none.
    pub(super) last_row: u64,
    /// How many approvals are open.
    pub(super) pending: u64,
    /// The last row that is indexed and counted.
    pub(super) indexed: u64,
    /// The last row whose idempotency key was considered for forgetting.
    pub(super) forgotten: u64,
    /// How often the store was reopened after a fault, over its whole life.
    pub(super) recoveries: u64,
    /// The rows after `indexed`, in order.
    pub(super) tail: Vec<TailRow>,
    pub(super) action_types: BTreeSet<Label>,
    pub(super) rules: BTreeSet<Label>,
}

/// What indexing a row needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TailRow {
    pub(super) facts: Facts,
    pub(super) changing: Changing,
    pub(super) action_type: Label,
    pub(super) rule: Label,
}

impl State {
    /// Reads the state from the file.
    pub(super) fn load(database: &Database) -> Result<Self, StorageError> {
        let read = database.begin_read().map_err(storage)?;
        let records = read.open_table(RECORDS).map_err(storage)?;
        let rows = read.open_table(ROWS).map_err(storage)?;
        let mut state = Self {
            last_sequence: records.last()?.map_or(0, |(key, _)| key.value()),
            last_row: rows.last()?.map_or(0, |(key, _)| key.value()),
            pending: read.open_table(PENDING).map_err(storage)?.len()?,
            indexed: meta_number(&read, meta::INDEXED)?,
            forgotten: meta_number(&read, meta::FORGOTTEN)?,
            recoveries: meta_number(&read, meta::RECOVERIES)?,
            tail: Vec::new(),
            action_types: known_labels(&read, Counted::ActionType)?,
            rules: known_labels(&read, Counted::Rule)?,
        };
        for entry in rows.range(state.indexed + 1..)? {
            let value = entry?.1;
            let (facts, row) = decode_row(value.value()).map_err(StorageError::Corrupted)?;
            let record = records.get(row.sequence)?.ok_or_else(|| missing("record", row.sequence))?;
            let names = Names::of(record.value())?;
            state.tail.push(TailRow {
                changing: Changing::of(&facts, &row),
                facts,
                action_type: label(&names.action.r#type),
                rule: label(&names.matched_rule),
            });
        }
        Ok(state)
    }

    /// The tail's entry of a row, if the row is not indexed yet.
    pub(super) fn tail_mut(&mut self, row: u64) -> Option<&mut TailRow> {
        let place = row.checked_sub(self.indexed + 1)?;
        self.tail.get_mut(usize::try_from(place).ok()?)
    }
}

/// The two texts of a decision's record that are counted.
#[derive(Deserialize)]
pub(super) struct Names<'a> {
    #[serde(borrow)]
    pub(super) action: ActionType<'a>,
    #[serde(borrow)]
    pub(super) matched_rule: Cow<'a, str>,
}

#[derive(Deserialize)]
pub(super) struct ActionType<'a> {
    #[serde(borrow)]
    pub(super) r#type: Cow<'a, str>,
}

impl<'a> Names<'a> {
    /// Reads them from the value of a record.
    pub(super) fn of(value: &'a [u8]) -> Result<Self, StorageError> {
        let payload = value.get(HEADER_LEN..).ok_or_else(|| StorageError::Corrupted("a record is too short".into()))?;
        serde_json::from_slice(payload)
            .map_err(|error| StorageError::Corrupted(format!("the record of a decision: {error}")))
    }
}

/// A number of the `meta` table; 0 while it is not there.
fn meta_number(read: &ReadTransaction, key: &str) -> Result<u64, StorageError> {
    let table = read.open_table(META).map_err(storage)?;
    let Some(value) = table.get(key)? else { return Ok(0) };
    meta_u64(value.value()).ok_or_else(|| StorageError::Corrupted(format!("`{key}` is no number")))
}

fn known_labels(read: &ReadTransaction, kind: Counted) -> Result<BTreeSet<Label>, StorageError> {
    let counts = read.open_table(COUNTS).map_err(storage)?;
    let mut labels = BTreeSet::new();
    for entry in counts.range([kind as u8].as_slice()..[kind as u8 + 1].as_slice())? {
        if let Ok(label) = std::str::from_utf8(&entry?.0.value()[1..]) {
            labels.insert(label.into());
        }
    }
    Ok(labels)
}

/// The error for something that another part of the file points at and that is not there.
pub(super) fn missing(what: &str, number: u64) -> StorageError {
    StorageError::Corrupted(format!("{what} {number} is missing"))
}
