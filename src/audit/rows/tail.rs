//! The rows that are not indexed yet, as the writer keeps them in memory, and how to find them.

use std::collections::HashMap;

use super::counts::{Changing, Label};
use super::facts::Facts;

/// The rows that are not indexed yet, and how to find them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Tail {
    /// The rows, in order.
    pub(crate) rows: Vec<TailRow>,
    decisions: HashMap<[u8; 16], u64>,
    keys: HashMap<[u8; 16], u64>,
}

impl Tail {
    pub(crate) fn push(&mut self, number: u64, row: TailRow) {
        self.decisions.insert(row.facts.decision, number);
        self.keys.extend(row.key.map(|key| (key, number)));
        self.rows.push(row);
    }

    /// Takes the first rows out.
    pub(crate) fn take_first(&mut self, count: usize) -> Vec<TailRow> {
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

    /// A key that points at this row does so no more.
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
