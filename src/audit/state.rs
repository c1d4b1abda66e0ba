//! What the writer keeps in memory of the file: the ends of the log, and the rows that are not indexed yet.
//!
//! Nothing here is the truth: it is read from the file when the store opens, and again whenever a batch was rolled back.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError};
use serde::Deserialize;

use super::counts::{Changing, Counted, Label, label};
use super::entry::HEADER_LEN;
use super::error::storage;
use super::facts::{Facts, decode_row};
use super::tables::{Bytes, COUNTS, META, PENDING, RECORDS, ROWS, meta, meta_u64};
use crate::domain::Digest;

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
    /// The rows after `indexed`.
    pub(super) tail: Tail,
    pub(super) action_types: BTreeSet<Label>,
    pub(super) rules: BTreeSet<Label>,
}

/// The rows that are not indexed yet, and how to find them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Tail {
    /// The rows, in order.
    pub(super) rows: Vec<TailRow>,
    decisions: HashMap<[u8; 16], u64>,
    keys: HashMap<[u8; 16], u64>,
}

impl Tail {
    pub(super) fn push(&mut self, number: u64, row: TailRow) {
        self.decisions.insert(row.facts.decision, number);
        self.keys.extend(row.key.map(|key| (key, number)));
        self.rows.push(row);
    }

    /// Takes the first rows out.
    pub(super) fn take_first(&mut self, count: usize) -> Vec<TailRow> {
        let rows: Vec<_> = self.rows.drain(..count).collect();
        for row in &rows {
            self.decisions.remove(&row.facts.decision);
        }
        let keys = self.rows.iter().filter_map(|row| row.key);
        // A key that a later row of the tail uses again stays that row's.
        let kept: HashMap<_, _> = keys.filter_map(|key| self.keys.remove_entry(&key)).collect();
        self.keys = kept;
        rows
    }

    pub(super) fn by_decision(&self, decision: &[u8; 16]) -> Option<u64> {
        self.decisions.get(decision).copied()
    }

    pub(super) fn by_key(&self, key: &[u8; 16]) -> Option<u64> {
        self.keys.get(key).copied()
    }
}

/// What the key of the `idempotency` table keeps of a hash.
pub(super) fn key_prefix(key: Digest) -> [u8; 16] {
    let mut prefix = [0; 16];
    prefix.copy_from_slice(&key.0[..16]);
    prefix
}

/// What indexing a row needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TailRow {
    pub(super) facts: Facts,
    /// The idempotency key that points at it.
    pub(super) key: Option<[u8; 16]>,
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
            last_sequence: last_of(&records, "records")?,
            last_row: last_of(&rows, "rows")?,
            pending: read.open_table(PENDING).map_err(storage)?.len()?,
            indexed: meta_number(&read, meta::INDEXED)?,
            forgotten: meta_number(&read, meta::FORGOTTEN)?,
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
    pub(super) fn tail_mut(&mut self, row: u64) -> Option<&mut TailRow> {
        let place = row.checked_sub(self.indexed + 1)?;
        self.tail.rows.get_mut(usize::try_from(place).ok()?)
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

/// The last key of a table that has no gaps. It must be how many entries the table has: a page that was emptied can make a
/// table look shorter than it is, and what is written after a wrong end would stand where something else stood.
pub(super) fn last_of(table: &impl ReadableTable<u64, Bytes>, what: &str) -> Result<u64, StorageError> {
    let last = table.last()?.map_or(0, |(key, _)| key.value());
    let len = table.len()?;
    if last == len {
        return Ok(last);
    }
    Err(StorageError::Corrupted(format!("there are {len} {what} and the last one is {last}")))
}

/// The error for something that another part of the file points at and that is not there.
pub(super) fn missing(what: &str, number: u64) -> StorageError {
    StorageError::Corrupted(format!("{what} {number} is missing"))
}
