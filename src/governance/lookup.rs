//! Looks decisions up for auditors: the whole life of one, and what a record is about.

use serde::Deserialize;

use super::error::GovernanceError;
use super::governor::Governor;
use crate::audit::follow::{Followed, History, Selection, StatusTime};
use crate::audit::record::Record;
use crate::audit::row::AuditRow;
use crate::audit::{Content, MOST_FOUND, Order, StoreError, StoredRecord};
use crate::domain::{DecisionId, IdKind, IdPrefix, RecordId, Timestamp};

/// How many records before and after the guess are read first.
const NEAR: u64 = 2048;

/// The whole life of one decision.
#[derive(Debug)]
pub struct DecisionLife {
    /// The decision, as it is now.
    pub row: AuditRow,
    /// Its records, in the order of the log.
    pub records: Vec<RecordReference>,
}

/// A record, by its name and its place.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordReference {
    /// Its sequence number.
    pub sequence: u64,
    /// What the record says of itself; `None` if it is redacted.
    pub heading: Option<RecordHeading>,
}

/// What a record says of itself.
#[derive(Debug, PartialEq, Eq)]
pub struct RecordHeading {
    /// Its id.
    pub record_id: RecordId,
    /// The kind of its event: `decision`, `approval_ended`, `result`.
    pub kind: String,
    /// When it was written.
    pub recorded_at: Timestamp,
}

impl Governor {
    /// The whole life of the decision that a person names: by its id, by that of its approval or of one of its records,
    /// or by the beginning of one. `text` is what the person wrote.
    pub async fn decision_life(&self, sought: IdPrefix, text: &str) -> Result<DecisionLife, GovernanceError> {
        let decision_id = self.named(sought, text).await?;
        let row = self.store.look(move |reader| reader.by_decision(decision_id)).await?;
        let row = row.ok_or_else(|| GovernanceError::NothingNamed(text.to_owned()))?;
        let mut records = Vec::new();
        let (selection, order) = (Selection::RecordsOf(decision_id), Order::OldestFirst);
        let mut history = History::begin(&self.store, selection, order, self.status_time()).await?;
        while let Some(batch) = history.next().await? {
            records.extend(batch.items.into_iter().filter_map(|(_, item)| match item {
                Followed::Record(record) => Some(reference(&record)),
                Followed::Row(_) | Followed::Left { .. } | Followed::Gap { .. } => None,
            }));
        }
        Ok(DecisionLife { row, records })
    }

    /// What makes the status of a row at this moment.
    pub fn status_time(&self) -> StatusTime {
        StatusTime { clock: std::sync::Arc::clone(&self.clock), unreported_after: self.settings.unreported_after }
    }

    async fn named(&self, sought: IdPrefix, text: &str) -> Result<DecisionId, GovernanceError> {
        let found = self.store.scan(move |reader| {
            let rows = reader.rows_with(&sought)?;
            rows.into_iter().map(|row| reader.decision_of_row(row)).collect::<Result<Vec<_>, StoreError>>()
        });
        let found = found.await?;
        match found[..] {
            [decision_id] => return Ok(decision_id),
            [] => {}
            _ => {
                let mut names: Vec<_> = found.iter().map(ToString::to_string).collect();
                if names.len() == MOST_FOUND {
                    names.push("...".to_owned());
                }
                return Err(GovernanceError::Ambiguous(names));
            }
        }
        let later = if sought.kind == IdKind::Record && sought.is_whole() {
            self.record_named(RecordId::from_bytes(sought.first)).await?.and_then(|record| record.event.decision_id())
        } else {
            None
        };
        later.ok_or_else(|| GovernanceError::NothingNamed(text.to_owned()))
    }

    /// The decision that a record is about. `None` if there is no such record, or if it is about none.
    pub async fn decision_of_record(&self, id: RecordId) -> Result<Option<DecisionId>, GovernanceError> {
        match self.named(IdPrefix::of_record(id), "").await {
            Ok(decision_id) => Ok(Some(decision_id)),
            Err(GovernanceError::NothingNamed(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The sequence number of a record. `None` if there is no such record.
    pub async fn sequence_of_record(&self, id: RecordId) -> Result<Option<u64>, StoreError> {
        let own = self.store.scan(move |reader| {
            let rows = reader.rows_with(&IdPrefix::of_record(id))?;
            rows.first().map(|row| reader.row(*row)).transpose()
        });
        if let Some(row) = own.await?.flatten() {
            return Ok(Some(row.state.sequence));
        }
        Ok(self.record_named(id).await?.map(|record| record.sequence))
    }

    /// Reads the log for a record: first where its time says that it is, then everywhere.
    async fn record_named(&self, id: RecordId) -> Result<Option<Record>, StoreError> {
        let (guess, end) =
            self.store.scan(move |reader| Ok((reader.guess_sequence(id)?, reader.last_sequence()?))).await?;
        let near = guess.saturating_sub(NEAR).max(1)..=guess.saturating_add(NEAR).min(end);
        for among in [near.clone(), 1..=near.start() - 1, near.end() + 1..=end] {
            let mut next = *among.start();
            while next <= *among.end() {
                let rest = next..=*among.end();
                let (found, after) = self.store.scan(move |reader| reader.record_with(id, rest)).await?;
                if found.is_some() {
                    return Ok(found);
                }
                next = after;
            }
        }
        Ok(None)
    }
}

fn reference(stored: &StoredRecord) -> RecordReference {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    let heading = match &stored.content {
        Content::Whole { record, payload, .. } => serde_json::from_slice(payload).ok().map(|Kind { kind }| {
            let (record_id, recorded_at) = (record.record_id, record.time);
            RecordHeading { record_id, kind, recorded_at }
        }),
        Content::Redacted { .. } => None,
    };
    RecordReference { sequence: stored.sequence, heading }
}
