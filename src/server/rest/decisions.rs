//! One decision's whole life, for auditors.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::approvals::Approval;
use super::audit::{AuditRow, status_time};
use super::call::{Answer, Call, json};
use super::words::moment;
use crate::audit::follow::{Followed, History, Selection};
use crate::audit::{Content, Order, StoredRecord};
use crate::domain::DecisionId;
use crate::governance::GovernanceError;
use crate::server::problem::Problem;

/// The whole life of a decision.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DecisionLife {
    /// The decision, as it is now.
    row: AuditRow,
    /// Its approval. Null if none was needed.
    approval: Option<Approval>,
    /// Its records, in the order of the log.
    records: Vec<RecordReference>,
}

/// A record, by its name and its place.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RecordReference {
    /// The position of the record in the log, from 1.
    sequence: u64,
    /// The id of the record. Null if the record is redacted.
    audit_ref: Option<String>,
    /// What the record is, for example `decision` or `result`. Null if the record is redacted.
    kind: Option<String>,
    /// When the record was written. Null if the record is redacted.
    #[schema(format = DateTime)]
    recorded_at: Option<String>,
}

/// Get the life of a decision
///
/// The decision as it is now, its approval, and every record about it.
#[utoipa::path(
    get, path = "/api/v1/audit/decisions/{decision_id}", tag = "audit", operation_id = "getDecision",
    params(("decision_id" = String, Path, description = "The id of the decision: `dec_` and a UUID")),
    responses(
        (status = 200, description = "The decision", body = DecisionLife),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answer {
    let decision_id: DecisionId = call.id("decision_id")?;
    let governor = &api.governor;
    let row = governor.store().look(move |reader| reader.by_decision(decision_id)).await?;
    let row = row.ok_or(GovernanceError::NoSuchDecision(decision_id))?;
    let (selection, order) = (Selection::RecordsOf(decision_id), Order::OldestFirst);
    let mut history = History::begin(governor.store(), selection, order, status_time(governor)).await?;
    let mut records = Vec::new();
    while let Some(batch) = history.next().await? {
        records.extend(batch.items.into_iter().filter_map(|(_, item)| match item {
            Followed::Record(record) => Some(RecordReference::of(&record)),
            _ => None,
        }));
    }
    let approval = row.state.approval.is_some().then(|| Approval::recorded(row.clone())).transpose()?;
    json(StatusCode::OK, &DecisionLife { row: AuditRow::of(row, governor), approval, records })
}

impl RecordReference {
    fn of(stored: &StoredRecord) -> Self {
        #[derive(Deserialize)]
        struct Kind {
            kind: String,
        }

        let sequence = stored.sequence;
        match &stored.content {
            Content::Whole { record, payload, .. } => Self {
                sequence,
                audit_ref: Some(record.record_id.to_string()),
                kind: serde_json::from_slice(payload).ok().map(|Kind { kind }| kind),
                recorded_at: Some(moment(record.time)),
            },
            Content::Redacted { .. } => Self { sequence, audit_ref: None, kind: None, recorded_at: None },
        }
    }
}
