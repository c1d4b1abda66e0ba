//! [`Tail`]: the rows that are not indexed yet. The writer keeps them in memory.

use std::collections::{BTreeSet, HashMap};

use redb::{ReadTransaction, ReadableTableMetadata as _, StorageError};

use super::counts::{Changing, Counted, Label, label};
use super::facts::{Facts, decode_row};
use super::idempotency::key_prefix;
use super::keys::SEGMENT_LEN;
use super::names::{Names, known_labels};
use super::tables::{FORGOTTEN, INDEXED, PENDING, ROWS};
use crate::audit::log::stored::last_of;
use crate::audit::log::tables::RECORDS;
use crate::store::error::{missing, storage};
use crate::store::meta::number;

/// The end of the rows: the unindexed rows, with maps to find them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tail {
    /// The number of the last row; 0 if there is none.
    pub(crate) last_row: u64,
    /// How many approvals are open.
    pub(crate) pending: u64,
    /// The last row that is indexed and counted.
    pub(crate) indexed: u64,
    /// The last row whose idempotency key was checked for removal.
    pub(crate) forgotten: u64,
    /// The action types and the rules that have their own counter.
    pub(crate) action_types: BTreeSet<Label>,
    pub(crate) rules: BTreeSet<Label>,
    /// The rows after `indexed`, in order.
    rows: Vec<TailRow>,
    decisions: HashMap<[u8; 16], u64>,
    keys: HashMap<[u8; 16], u64>,
}

impl Tail {
    /// Loads it from the file.
    pub(crate) fn load(read: &ReadTransaction) -> Result<Self, StorageError> {
        let records = RECORDS.open(read).map_err(storage)?;
        let rows = ROWS.open(read).map_err(storage)?;
        let mut tail = Self {
            last_row: last_of(&rows, "rows")?,
            pending: PENDING.open(read).map_err(storage)?.len()?,
            indexed: number(read, INDEXED)?,
            forgotten: number(read, FORGOTTEN)?,
            action_types: known_labels(read, Counted::ActionType)?,
            rules: known_labels(read, Counted::Rule)?,
            ..Self::default()
        };
        for entry in rows.range(tail.indexed + 1..)? {
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
            tail.keep(tail.indexed + 1 + tail.len(), tail_row);
        }
        Ok(tail)
    }

    /// Adds the next row.
    pub(crate) fn push(&mut self, row: TailRow) {
        self.last_row += 1;
        self.keep(self.last_row, row);
    }

    fn keep(&mut self, number: u64, row: TailRow) {
        self.decisions.insert(row.facts.decision, number);
        self.keys.extend(row.key.map(|key| (key, number)));
        self.rows.push(row);
    }

    /// How many rows are not indexed.
    pub(crate) fn len(&self) -> u64 {
        self.rows.len() as u64
    }

    /// The entry of an unindexed row.
    pub(crate) fn get_mut(&mut self, row: u64) -> Option<&mut TailRow> {
        let place = row.checked_sub(self.indexed + 1)?;
        self.rows.get_mut(usize::try_from(place).ok()?)
    }

    /// Removes the rows of all whole segments, to index them.
    pub(crate) fn take_segments(&mut self) -> Vec<TailRow> {
        let whole = self.rows.len() - self.rows.len() % SEGMENT_LEN;
        let rows: Vec<_> = self.rows.drain(..whole).collect();
        for row in &rows {
            self.decisions.remove(&row.facts.decision);
        }
        let keys = self.rows.iter().filter_map(|row| row.key);
        // If a later row of the tail uses the key again, the key stays with that row.
        let kept: HashMap<_, _> = keys.filter_map(|key| self.keys.remove_entry(&key)).collect();
        self.keys = kept;
        rows
    }

    /// Removes the key that points at this row.
    pub(crate) fn forget_key(&mut self, key: &[u8; 16], row: u64) {
        if self.by_key(key) == Some(row) {
            self.keys.remove(key);
        }
    }

    pub(crate) fn by_decision(&self, decision: &[u8; 16]) -> Option<u64> {
        self.decisions.get(decision).copied()
    }

    pub(crate) fn by_key(&self, key: &[u8; 16]) -> Option<u64> {
        self.keys.get(key).copied()
    }
}

/// What indexing a row needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TailRow {
    pub(crate) facts: Facts,
    /// The idempotency key that points at it.
    pub(crate) key: Option<[u8; 16]>,
    pub(crate) changing: Changing,
    pub(crate) action_type: Label,
    pub(crate) rule: Label,
}
