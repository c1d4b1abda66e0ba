//! [`View`]: what a reader of the log sees. [`Batch`]: a part of it, read in one snapshot.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::stream_cursor::NO_LEAF;
use crate::audit::log::record::Event;
use crate::audit::log::stored::StoredRecord;
use crate::audit::rows::filter::RowFilter;
use crate::audit::rows::row::AuditRow;
use crate::domain::{Clock, DecisionId, Digest, Timestamp};
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
    /// A row that has changed and does not match the filter. It may have matched before.
    Left {
        /// The number of the row.
        row: u64,
        /// The decision.
        decision_id: DecisionId,
    },
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
    /// The leaf hashes of these sequence numbers, for cursors.
    pub(super) leaves: BTreeMap<u64, Digest>,
}

impl Batch {
    /// The leaf hash of an item's sequence number.
    pub fn leaf(&self, sequence: u64) -> Digest {
        self.leaves.get(&sequence).copied().unwrap_or(NO_LEAF)
    }
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
    let leaves = records.iter().map(|record| (record.sequence, record.leaf_hash)).collect();
    let items = match view {
        View::Records => records.into_iter().map(|record| (record.sequence, Followed::Record(record))).collect(),
        View::Rows(filter) => {
            let mut items = gaps(&records);
            let changed = last_changes(&records);
            let decisions: Vec<DecisionId> = changed.iter().map(|change| change.decision_id).collect();
            for (change, row) in changed.into_iter().zip(reader.by_decisions(&decisions)?) {
                let Some(row) = row else { continue };
                if filter.matches(&row, now, unreported_after) {
                    items.push((change.sequence, Followed::Row(Box::new(row))));
                } else if change.alters && may_have_matched(filter, &row) {
                    let left = Followed::Left { row: row.row, decision_id: change.decision_id };
                    items.push((change.sequence, left));
                }
            }
            items.sort_by_key(|(sequence, _)| *sequence);
            items
        }
    };
    Ok((Batch { items, leaves }, end))
}

/// A decision that records are about.
struct Change {
    /// The last of these records.
    sequence: u64,
    decision_id: DecisionId,
    /// Whether one of them alters a row that was there before.
    alters: bool,
}

/// The decisions that these records are about, each once, in the order of the last record about it.
fn last_changes(records: &[StoredRecord]) -> Vec<Change> {
    let mut changes: HashMap<DecisionId, Change> = HashMap::new();
    for record in records {
        let Some(event) = record.record().map(|whole| &whole.event) else { continue };
        let Some(decision_id) = event.decision_id() else { continue };
        let sequence = record.sequence;
        let change = changes.entry(decision_id).or_insert(Change { sequence, decision_id, alters: false });
        change.sequence = sequence;
        change.alters |=
            !matches!(event, Event::Decision(_) | Event::ApprovalRequested { .. } | Event::ReplayDenied { .. });
    }
    let mut changes: Vec<_> = changes.into_values().collect();
    changes.sort_by_key(|change| change.sequence);
    changes
}

/// Whether an altered row may have matched before. Redaction removes what would tell.
fn may_have_matched(filter: &RowFilter, row: &AuditRow) -> bool {
    row.state.redacted.is_some() || filter.matches_decision(&row.decision, row.time)
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
