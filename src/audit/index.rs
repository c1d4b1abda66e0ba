//! Indexing, counting and forgetting, some time after the rows were written.
//!
//! A decision that waits for its commit should not wait for six index entries as well, and entries that are written many
//! at a time, in order, share their pages. So rows are indexed when some have gathered, in a transaction of their own
//! between two batches. It is not made durable by itself: how far the index reaches is written with it, and what a power
//! failure takes of it is indexed again. Queries look at the rows after that mark one by one.

use redb::{ReadableTable, StorageError, WriteTransaction};

use super::counts::{Changes, Counted};
use super::facts::{decode_facts, decode_row};
use super::state::State;
use super::tables::{Tables, index_key, meta, segment_of};
use super::tx::{Remembered, is_over};

/// How many rows are looked at for keys to forget in one go, as a multiple of the rows indexed: more than one, so that
/// forgetting keeps up with remembering.
const FORGET_RATIO: u64 = 2;

/// Indexes the rows that are not, in this transaction. On success the state says so; if the commit then fails, the state
/// is to be read again.
pub(super) fn index_tail(transaction: &WriteTransaction, state: &mut State) -> Result<(), StorageError> {
    let mut tables = Tables::new(transaction);
    let first = state.indexed + 1;
    let tail = std::mem::take(&mut state.tail);
    let Some(now) = tail.last().map(|row| row.facts.time) else { return Ok(()) };
    let mut keys = Vec::with_capacity(tail.len() * 6);
    let mut changes = Changes::default();
    let segments = tables.segments.get()?;
    let mut segment: Option<(u64, (i64, i64))> = None;
    for (row, tail_row) in (first..).zip(&tail) {
        keys.extend(tail_row.facts.index_values().map(|(kind, value)| index_key(kind, value, row)));
        changes.add(Counted::Risk, &[tail_row.facts.risk], 1);
        changes.add_changing(tail_row.changing, 1);
        changes.add_label(Counted::ActionType, &tail_row.action_type, &mut state.action_types);
        changes.add_label(Counted::Rule, &tail_row.rule, &mut state.rules);
        let (number, time) = (segment_of(row), tail_row.facts.time);
        let (earliest, latest) = match segment {
            Some((current, span)) if current == number => span,
            _ => {
                if let Some((done, span)) = segment {
                    segments.insert(done, span)?;
                }
                segments.get(number)?.map_or((time, time), |span| span.value())
            }
        };
        segment = Some((number, (earliest.min(time), latest.max(time))));
    }
    if let Some((done, span)) = segment {
        segments.insert(done, span)?;
    }
    keys.sort_unstable();
    let index = tables.index.get()?;
    for key in &keys {
        index.insert(key, ())?;
    }
    changes.write(tables.counts.get()?)?;
    let rows = tail.len() as u64;
    state.indexed += rows;
    tables.meta.get()?.insert(meta::INDEXED, state.indexed.to_be_bytes().as_slice())?;
    forget(&mut tables, state, now, rows * FORGET_RATIO)
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
        let is_its = keys.get(&key.0)?.is_some_and(|value| Remembered::decode(&value.value()).row == row);
        if is_its {
            keys.remove(&key.0)?;
        }
    }
    state.forgotten = last;
    tables.meta.get()?.insert(meta::FORGOTTEN, last.to_be_bytes().as_slice())?;
    Ok(())
}
