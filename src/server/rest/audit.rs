//! The record, as rows: a decision each, with its approval and its result.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, streamed, with_type};
use super::filter::filtered;
use super::masks::Mask;
use super::query::{Many, Number, Parsed};
use super::words::{ApprovalMode, EndingKind, Object, Outcome, ResultStatus, RiskLevel, moment, present};
use crate::audit::follow::{Followed, History, Selection, View};
use crate::audit::{Order, RowFilter, row};
use crate::domain::{self, CallError, DecisionId};
use crate::governance::Governor;
use crate::server::problem::Problem;
use crate::server::streams::{Over, Sink};

filtered! {
    /// Which rows. Every filter that is given must match; of several values, one must.
    RowQuery {
        /// The approval that the rule asked for. May be given several times.
        #[serde(alias = "approval")]
        #[param(value_type = Option<Vec<ApprovalMode>>)]
        approval_mode: Many<ApprovalMode>,
        /// The outcome, as it is now. May be given several times.
        #[param(value_type = Option<Vec<Outcome>>)]
        outcome: Many<Outcome>,
        /// The result of the action. May be given several times.
        #[param(value_type = Option<Vec<ResultStatus>>)]
        result_status: Many<ResultStatus>,
        /// The id of the decision.
        #[param(value_type = Option<String>)]
        decision_id: Option<Parsed<DecisionId>>,
        /// The newest so many rows. Default: all.
        #[param(value_type = Option<u64>, minimum = 0, maximum = 9_007_199_254_740_991_usize)]
        limit: Option<Number>,
    }
}

/// A decision with its approval and its result.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuditRow {
    id: u64,
    session_id: String,
    #[schema(format = DateTime)]
    timestamp: String,
    action_type: String,
    action_target: String,
    action_params: Object,
    action_desc: String,
    risk_level: RiskLevel,
    approval: ApprovalMode,
    matched_rule: String,
    /// How the approval ended. Null while it is open, and where none was needed.
    human_decision: Option<EndingKind>,
    /// The result of the action. Null while it is not known.
    result_status: Option<ResultStatus>,
    result_data: Option<Value>,
    result_error: Option<String>,
    outcome: Outcome,
    reason: String,
    decision_id: String,
    approval_id: Option<String>,
    /// Who ended the approval. Null if time or the policy did.
    decided_by: Option<String>,
    /// When the approval ended.
    #[schema(format = DateTime)]
    decided_at: Option<String>,
    /// Why the approval ended as it did.
    decision_reason: Option<String>,
    /// The declared id of the actor.
    actor_id: String,
    /// The declared type of the actor.
    actor_type: String,
    /// Who proposed, as the daemon authenticated them. Null in a redacted row.
    identity: Option<String>,
    /// How they were authenticated.
    identity_how: Option<&'static str>,
    policy_revision: Option<String>,
    action_digest: Option<String>,
    audit_ref: String,
    masked: Vec<Mask>,
    metadata: Object,
    trace_id: Option<String>,
    redacted: bool,
    /// What is masked in `result_data` (below `/data`) and in `result_error` (`/error`).
    result_masked: Vec<Mask>,
}

/// Query the audit log
///
/// The newest `limit` rows that match, the oldest of them first. Sent while it is read, so it may be as long as the
/// log. An answer that ends before its last bracket broke off.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "audit", operation_id = "audit", params(RowQuery),
    responses(
        (status = 200, description = "The rows", body = Vec<AuditRow>),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rows(State(api): State<Api>, call: Call) -> Answer {
    let mut query: RowQuery = call.query()?;
    let limit = query.limit.map(|Number(limit)| limit);
    let shared = query.filter(api.governor.now(), api.limits)?;
    let filter = RowFilter {
        approval_modes: query.approval_mode.words(),
        outcomes: query.outcome.words(),
        statuses: query.result_status.words(),
        decision_id: query.decision_id.map(|Parsed(id)| id),
        ..shared
    };
    let standing = call.standing()?.clone();
    let selection = Selection::Newest(View::Rows(filter), limit);
    let governor = Arc::clone(&api.governor);
    let history = History::begin(governor.store(), selection, Order::OldestFirst, governor.status_time()).await?;
    let list = api.streams.open(standing, |sink| async move { send(&governor, history, &sink).await })?;
    Ok(with_type(StatusCode::OK, "application/json", streamed(list)))
}

/// Sends the rows as a list, as they are read.
async fn send(governor: &Governor, mut history: History, sink: &Sink) -> Result<(), Over> {
    let mut before = "[";
    loop {
        let (place, mut text) = (sink.batch().await?, Vec::new());
        let Some(batch) = history.next().await? else { break };
        for (_, item) in batch.items {
            let Followed::Row(row) = item else { continue };
            text.extend_from_slice(before.as_bytes());
            let row = AuditRow::of(*row, governor);
            serde_json::to_writer(&mut text, &row).map_err(|error| CallError::internal(error.to_string()))?;
            before = ",\n";
        }
        place.send(text)?;
    }
    let end = if before == "[" { "[]\n" } else { "]\n" };
    sink.send(end).await
}

impl AuditRow {
    pub(super) fn of(row: row::AuditRow, governor: &Governor) -> Self {
        let status = row.state.status(governor.now(), governor.unreported_after());
        let row::AuditRow { row: id, record_id, time, decision, state } = row;
        let known = state.redacted.is_none();
        let masked = Mask::of(&decision, true);
        let reported = state.reported.as_ref();
        let result_masked = reported.map(|reported| reported.marks.iter().map(Mask::at).collect()).unwrap_or_default();
        let domain::Action { r#type, target, params, description } = decision.action;
        let ending = state.approval.as_ref().and_then(row::ApprovalState::ending);
        Self {
            id,
            session_id: decision.session_id,
            timestamp: moment(time),
            action_type: r#type,
            action_target: target,
            action_params: params,
            action_desc: description,
            risk_level: decision.risk_level.into(),
            approval: decision.approval.into(),
            matched_rule: decision.matched_rule,
            human_decision: ending.map(|ending| ending.kind.into()),
            result_status: status.map(Into::into),
            result_data: state.result.as_ref().and_then(|report| report.data.clone()),
            result_error: state.result.as_ref().and_then(|report| present(report.error.clone())),
            outcome: state.outcome_now().into(),
            reason: decision.reason,
            decision_id: decision.decision_id.to_string(),
            approval_id: decision.approval_id.map(|id| id.to_string()),
            decided_by: ending.and_then(|ending| present(ending.by.clone())),
            decided_at: ending.map(|ending| moment(ending.at)),
            decision_reason: ending.and_then(|ending| present(ending.reason.clone())),
            actor_id: decision.actor.id,
            actor_type: decision.actor.r#type,
            identity_how: known.then(|| decision.identity.how.as_str()),
            identity: known.then_some(decision.identity.subject),
            policy_revision: known.then(|| decision.policy_revision.to_string()),
            action_digest: known.then(|| decision.action_digest.to_string()),
            audit_ref: record_id.to_string(),
            masked,
            metadata: decision.metadata,
            trace_id: present(decision.trace_id),
            redacted: !known,
            result_masked,
        }
    }
}
