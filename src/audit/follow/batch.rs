//! [`View`]: what a reader of the log sees. [`Batch`]: a part of it, read in one snapshot.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::log::stored::StoredRecord;
use crate::audit::rows::row::{AuditRow, RowFilter};
use crate::domain::{Clock, DecisionId, Timestamp};
use crate::store::{Reader, StoreError};

/// The most records or rows in a batch.
pub(super) const BATCH: usize = 256;

/// What a reader sees of the log.
#[derive(Clone, Debug)]
pub enum View {
    /// Every record.
    Records,
    /// The rows that match a filter. A row is sent again each time that it changed. Several changes may be sent as one.
    Rows(RowFilter),
}

/// The input for the status of a row: an action that is not reported in time is `unknown`.
#[derive(Clone)]
pub struct StatusTime {
    /// The current time.
    pub clock: Arc<dyn Clock>,
    /// How long an allowed action may go unreported.
    pub unreported_after: Duration,
}

impl StatusTime {
    /// The current time, and how long an action may go unreported.
    pub(super) fn now(&self) -> (Timestamp, Duration) {
        (self.clock.now(), self.unreported_after)
    }
}

/// An item of a batch.
#[derive(Clone, Debug)]
pub enum Followed {
    /// A record.
    Record(StoredRecord),
    /// A row.
    Row(Box<AuditRow>),
    /// Records without payloads, in a view of rows. Retention or redaction removed the payloads, so it is unknown which
    /// rows these records changed.
    Gap {
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
}

/// The items that were read in one snapshot.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The items, each with the sequence number to resume after. It is 0 in a view with the newest first, which cannot
    /// be resumed.
    pub items: Vec<(u64, Followed)>,
}

/// Reads at most [`BATCH`] records after a sequence number, none past `until`. Returns the sequence number where it
/// ended.
pub(super) fn read_after(
    reader: &Reader,
    view: &View,
    after: u64,
    until: u64,
    (now, unreported_after): (Timestamp, Duration),
) -> Result<(Batch, u64), StoreError> {
    let limit = usize::try_from(until.saturating_sub(after)).unwrap_or(BATCH).min(BATCH);
    let records = reader.records(after, limit)?;
    let end = records.last().map_or(after, |last| last.sequence);
    let items = match view {
        View::Records => records.into_iter().map(|record| (record.sequence, Followed::Record(record))).collect(),
        View::Rows(filter) => {
            let mut items = gaps(&records);
            let changed = last_changes(&records);
            let decisions: Vec<DecisionId> = changed.iter().map(|(_, decision)| *decision).collect();
            for ((sequence, _), row) in changed.into_iter().zip(reader.by_decisions(&decisions)?) {
                if let Some(row) = row.filter(|row| filter.matches(row, now, unreported_after)) {
                    items.push((sequence, Followed::Row(Box::new(row))));
                }
            }
            items.sort_by_key(|(sequence, _)| *sequence);
            items
        }
    };
    Ok((Batch { items }, end))
}

/// The decisions that these records are about, each once, with the last record about it.
fn last_changes(records: &[StoredRecord]) -> Vec<(u64, DecisionId)> {
    let mut changes: Vec<(u64, DecisionId)> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for record in records.iter().rev() {
        if let Some(decision) = record.record().and_then(|whole| whole.event.decision_id())
            && known.insert(decision)
        {
            changes.push((record.sequence, decision));
        }
    }
    changes.reverse();
    changes
}

/// The ranges of these records that have no payload.
fn gaps(records: &[StoredRecord]) -> Vec<(u64, Followed)> {
    let mut gaps: Vec<(u64, Followed)> = Vec::new();
    for record in records.iter().filter(|record| record.record().is_none()) {
        match gaps.last_mut() {
            Some((end, Followed::Gap { last, .. })) if *last + 1 == record.sequence => {
                (*end, *last) = (record.sequence, record.sequence);
            }
            _ => gaps.push((record.sequence, Followed::Gap { first: record.sequence, last: record.sequence })),
        }
    }
    gaps
}
