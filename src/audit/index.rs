//! Indexing, counting and forgetting, some time after the rows were written.
//!
//! A decision that waits for its commit should not wait for six index entries as well. So rows are indexed a segment at a
//! time, when whole segments have gathered, in a transaction of their own between two batches: each value's rows in a
//! segment are one bitmap, written once, in the order of the keys. The transaction is not made durable by itself: how far
//! the index reaches is written with it, and what a power failure takes of it is indexed again. Queries look at the rows
//! after that mark one by one.

use std::collections::BTreeMap;

use redb::{ReadableTable, StorageError, Table, WriteTransaction};

use super::counts::{Changes, Counted};
use super::facts::{Short, decode_facts, decode_row};
use super::state::State;
use super::tables::{Bitmap, IndexKey, Kind, SEGMENT_LEN, Tables, bit_of, index_key, meta, segment_of};
use super::tx::{Remembered, is_over};

/// How many rows are looked at for keys to forget in one go, as a multiple of the rows indexed: more than one, so that
/// forgetting keeps up with remembering.
const FORGET_RATIO: u64 = 2;

type Index<'t> = Table<'t, &'static IndexKey, &'static Bitmap>;

/// Indexes all whole segments among the rows that are not indexed, in this transaction. The state says so at once; if the
/// commit then fails, it is to be read again.
pub(super) fn index_tail(transaction: &WriteTransaction, state: &mut State) -> Result<(), StorageError> {
    let whole = state.tail.len() - state.tail.len() % SEGMENT_LEN;
    let first = state.indexed + 1;
    let rows: Vec<_> = state.tail.drain(..whole).collect();
    let Some(now) = rows.last().map(|row| row.facts.time) else { return Ok(()) };
    let mut tables = Tables::new(transaction);
    let mut bitmaps = BTreeMap::<IndexKey, Bitmap>::new();
    let mut spans = BTreeMap::<u64, (i64, i64)>::new();
    let mut changes = Changes::default();
    for (row, tail_row) in (first..).zip(&rows) {
        let (segment, time) = (segment_of(row), tail_row.facts.time);
        let (byte, bit) = bit_of(row);
        for (kind, value) in tail_row.facts.index_values() {
            bitmaps.entry(index_key(kind, value, segment)).or_insert([0; 32])[byte] |= bit;
        }
        let span = spans.entry(segment).or_insert((time, time));
        *span = (span.0.min(time), span.1.max(time));
        changes.add(Counted::Risk, &[tail_row.facts.risk], 1);
        changes.add_changing(tail_row.changing, 1);
        changes.add_label(Counted::ActionType, &tail_row.action_type, &mut state.action_types);
        changes.add_label(Counted::Rule, &tail_row.rule, &mut state.rules);
    }
    let index = tables.index.get()?;
    for (key, bitmap) in &bitmaps {
        index.insert(key, bitmap)?;
    }
    let segments = tables.segments.get()?;
    for (segment, span) in spans {
        segments.insert(segment, span)?;
    }
    changes.write(tables.counts.get()?)?;
    state.indexed += rows.len() as u64;
    tables.meta.get()?.insert(meta::INDEXED, state.indexed.to_be_bytes().as_slice())?;
    forget(&mut tables, state, now, rows.len() as u64 * FORGET_RATIO)
}

/// Adds a row to those that have a value.
pub(super) fn set_bit(index: &mut Index<'_>, kind: Kind, value: Short, row: u64) -> Result<(), StorageError> {
    let key = index_key(kind, value, segment_of(row));
    let mut bitmap = index.get(&key)?.map_or([0; 32], |bitmap| *bitmap.value());
    let (byte, bit) = bit_of(row);
    bitmap[byte] |= bit;
    index.insert(&key, &bitmap)?;
    Ok(())
}

/// Takes a row from those that have a value.
pub(super) fn clear_bit(index: &mut Index<'_>, kind: Kind, value: Short, row: u64) -> Result<(), StorageError> {
    let key = index_key(kind, value, segment_of(row));
    let Some(mut bitmap) = index.get(&key)?.map(|bitmap| *bitmap.value()) else { return Ok(()) };
    let (byte, bit) = bit_of(row);
    bitmap[byte] &= !bit;
    if bitmap == [0; 32] {
        index.remove(&key)?;
    } else {
        index.insert(&key, &bitmap)?;
    }
    Ok(())
}

/// Removes idempotency keys that are not honoured any more: those of the oldest rows, a bounded number at a time.
///
/// A row from the future (the clock was put back since) is stepped over, lest it keep all later ones: its key stays.
fn forget(tables: &mut Tables<'_>, state: &mut State, now: i64, most: u64) -> Result<(), StorageError> {
    let mut over = Vec::new();
    let mut last = state.forgotten;
    for entry in tables.rows.get()?.range(state.forgotten + 1..=state.forgotten.saturating_add(most))? {
        let (row, value) = entry?;
        let damaged = |what: String| StorageError::Corrupted(what);
        let facts = decode_facts(value.value()).ok_or_else(|| damaged("a row is too short".into()))?;
        if facts.time <= now && !is_over(facts.time, now) {
            break;
        }
        last = row.value();
        if facts.has_key && facts.time <= now {
            let (_, row_state) = decode_row(value.value()).map_err(damaged)?;
            over.extend(row_state.idempotency.map(|key| (key, last)));
        }
    }
    if last == state.forgotten {
        return Ok(());
    }
    let keys = tables.idempotency.get()?;
    for (key, row) in over {
        // The key may have been used again since, once it was over.
        let is_its = keys.get(&key.0)?.is_some_and(|value| Remembered::decode(value.value()).row == row);
        if is_its {
            keys.remove(&key.0)?;
        }
    }
    state.forgotten = last;
    tables.meta.get()?.insert(meta::FORGOTTEN, last.to_be_bytes().as_slice())?;
    Ok(())
}
