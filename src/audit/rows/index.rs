//! Derives the index and the counters from rows, and removes expired idempotency keys, some time after the rows were
//! written.
//!
//! A decision should not wait for its index entries too: a random key costs a page each. So the writer indexes whole
//! segments of rows, in a separate transaction between two batches. The rows of a segment with the same value are one
//! bitmap, written once in key order.
//!
//! That transaction is not made durable by itself. It also writes the last indexed row, so after a power failure the
//! lost part is indexed again. Queries read the later rows one by one.

use std::collections::BTreeMap;

use redb::{ReadableTable, StorageError};

use super::counts::{Changes, Counted};
use super::facts::{decode_facts, decode_row};
use super::idempotency::{is_over, key_prefix};
use super::keys::{Bitmap, IndexKey, bit_of, index_key, segment_of};
use super::tables::{FORGOTTEN, INDEXED};
use super::tail::Tail;
use crate::audit::state::State;
use crate::audit::tables::Tables;

/// How many rows one step checks for expired keys, as a multiple of the indexed rows. It is more than one, so that keys
/// are removed faster than they are added.
const FORGET_RATIO: u64 = 2;

/// Indexes all whole segments of unindexed rows in this transaction. Updates the state at once; if the commit fails,
/// the state must be loaded again.
pub(crate) fn index_tail(state: &mut State, tables: &mut Tables<'_>) -> Result<(), StorageError> {
    let tail = &mut state.rows;
    let first = tail.indexed + 1;
    let rows = tail.take_segments();
    let Some(now) = rows.last().map(|row| row.facts.time) else { return Ok(()) };
    let mut bitmaps = BTreeMap::<IndexKey, Bitmap>::new();
    let mut spans = BTreeMap::<u64, (i64, i64)>::new();
    let (mut decisions, mut keys) = (BTreeMap::new(), BTreeMap::new());
    let mut changes = Changes::default();
    for (row, tail_row) in (first..).zip(&rows) {
        let (segment, time) = (segment_of(row), tail_row.facts.time);
        let (byte, bit) = bit_of(row);
        for (kind, value) in tail_row.facts.index_values() {
            bitmaps.entry(index_key(kind, value, segment)).or_insert([0; 32])[byte] |= bit;
        }
        decisions.insert(tail_row.facts.decision, row);
        keys.extend(tail_row.key.map(|key| (key, row)));
        let span = spans.entry(segment).or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
        changes.add(Counted::Risk, &[tail_row.facts.risk], 1);
        changes.add_changing(tail_row.changing, 1);
        changes.add_label(Counted::ActionType, &tail_row.action_type, &mut tail.action_types);
        changes.add_label(Counted::Rule, &tail_row.rule, &mut tail.rules);
    }
    let index = &mut tables.index;
    for (key, bitmap) in &bitmaps {
        index.insert(key, bitmap)?;
    }
    let by_decision = &mut tables.decisions;
    for (decision, row) in &decisions {
        by_decision.insert(decision, row)?;
    }
    if !keys.is_empty() {
        let by_key = &mut tables.idempotency;
        for (key, row) in &keys {
            by_key.insert(key, row)?;
        }
    }
    let segments = &mut tables.segments;
    for (segment, span) in spans {
        segments.insert(segment, span)?;
    }
    changes.write(&mut tables.counts)?;
    tail.indexed += rows.len() as u64;
    tables.meta.insert(INDEXED, tail.indexed.to_be_bytes().as_slice())?;
    forget(tables, tail, now, rows.len() as u64 * FORGET_RATIO)
}

/// Removes expired idempotency keys of the oldest rows, a bounded number at a time.
///
/// Skips a row with a time in the future (the clock was set back) and keeps its key. Otherwise it would block all later
/// rows.
fn forget(tables: &mut Tables<'_>, tail: &mut Tail, now: i64, most: u64) -> Result<(), StorageError> {
    let mut over = Vec::new();
    let mut last = tail.forgotten;
    for entry in tables.rows.read()?.range(tail.forgotten + 1..=tail.indexed.min(tail.forgotten + most))? {
        let (row, value) = entry?;
        let damaged = |what: String| StorageError::Corrupted(what);
        let facts = decode_facts(value.value()).ok_or_else(|| damaged("a row is too short".into()))?;
        if facts.time <= now && !is_over(facts.time, now) {
            break;
        }
        last = row.value();
        if facts.has_key && facts.time <= now {
            let (_, row_state) = decode_row(value.value()).map_err(damaged)?;
            over.extend(row_state.idempotency.map(|key| (key_prefix(key), last)));
        }
    }
    if last == tail.forgotten {
        return Ok(());
    }
    let keys = &mut tables.idempotency;
    for (key, row) in over {
        // A later row may have used the key again after it expired.
        if keys.read()?.get(&key)?.is_some_and(|now| now.value() == row) {
            keys.remove(&key)?;
        }
    }
    tail.forgotten = last;
    tables.meta.insert(FORGOTTEN, last.to_be_bytes().as_slice())?;
    Ok(())
}
