//! Decisions for auditors: lists in pages, and one decision's whole life.

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::approvals::Approval;
use super::audit::AuditRow;
use super::call::{Answer, Call, json};
use super::filter::filtered;
use super::pages::{self, Page};
use super::query::{Many, Number, Parsed};
use super::words::{ApprovalMode, Outcome, ResultStatus, moment, present};
use crate::audit::{Order, RowFilter};
use crate::domain::page::PageTokens;
use crate::domain::{DecisionId, IdPrefix};
use crate::governance::{DecisionLife as Life, GovernanceError, Listed, RecordReference as Reference};
use crate::server::problem::Problem;

filtered! {
    /// Which decisions. Every filter that is given must match; of several values, one must.
    DecisionQuery {
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
        /// The most rows to return: at most 1,000. Default: 100.
        #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
        page_size: Option<Number>,
        /// The `next_page_token` of the page before, with the same filter and order.
        page_token: String,
        /// Whether the newest row comes first. Default: no.
        #[param(value_type = Option<bool>)]
        newest_first: Option<Parsed<bool>>,
    }
}

/// A page of rows. A page can have fewer rows than requested, or none, and not be the last one.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Decisions {
    rows: Vec<AuditRow>,
    /// The `page_token` of the next page. Null on the last page.
    next_page_token: Option<String>,
}

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
    sequence: u64,
    /// The id of the record. Null if the record is redacted.
    audit_ref: Option<String>,
    /// What the record is, for example `decision` or `result`. Null if the record is redacted.
    kind: Option<String>,
    /// When the record was written. Null if the record is redacted.
    #[schema(format = DateTime)]
    recorded_at: Option<String>,
}

/// List decisions
///
/// Rows in pages, oldest first or newest first. `GET /api/v1/audit` sends the newest rows at once.
#[utoipa::path(
    get, path = "/api/v1/audit/decisions", tag = "audit", operation_id = "listDecisions", params(DecisionQuery),
    responses(
        (status = 200, description = "A page of rows", body = Decisions),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    let mut query: DecisionQuery = call.query()?;
    let size = Number::page_size(query.page_size)?;
    let shared = query.filter(api.governor.now(), api.limits)?;
    let filter = RowFilter {
        approval_modes: query.approval_mode.words(),
        outcomes: query.outcome.words(),
        statuses: query.result_status.words(),
        decision_id: query.decision_id.map(|Parsed(id)| id),
        ..shared
    };
    let (name, order) = match query.newest_first {
        Some(Parsed(true)) => ("decisions newest first", Order::NewestFirst),
        _ => ("decisions", Order::OldestFirst),
    };
    let tokens = PageTokens::new(name, filter.digest().map_err(GovernanceError::from)?);
    let after = present(query.page_token).map(|token| tokens.number(&token)).transpose();
    let after = after.map_err(GovernanceError::from)?;
    let Listed { entries, next } = api.governor.rows(&filter, order, after, size).await?;
    let rows = entries.into_iter().map(|(number, row)| (number, AuditRow::of(row, &api.governor)));
    let Page { entries: rows, next } = pages::fitting(rows, next)?;
    json(StatusCode::OK, &Decisions { rows, next_page_token: next.map(|number| tokens.after_number(number)) })
}

/// Get the life of a decision
///
/// The decision as it is now, its approval, and every record about it.
#[utoipa::path(
    get, path = "/api/v1/audit/decisions/{id}", tag = "audit", operation_id = "getDecision",
    params(("id" = String, Path, description = "The id of the decision (`dec_`), of its approval (`apr_`) or of one of \
                                                its records (`aud_`), or the beginning of one")),
    responses(
        (status = 200, description = "The decision", body = DecisionLife),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answer {
    let (sought, text) = (call.id::<IdPrefix>("id")?, call.id::<String>("id")?);
    let Life { row, records } = api.governor.decision_life(sought, &text).await?;
    let approval = row.state.approval.is_some().then(|| Approval::recorded(&row)).transpose()?;
    let records = records.into_iter().map(RecordReference::of).collect();
    json(StatusCode::OK, &DecisionLife { row: AuditRow::of(row, &api.governor), approval, records })
}

impl RecordReference {
    fn of(Reference { sequence, heading }: Reference) -> Self {
        let (audit_ref, kind, recorded_at) = match heading {
            None => (None, None, None),
            Some(heading) => {
                (Some(heading.record_id.to_string()), Some(heading.kind), Some(moment(heading.recorded_at)))
            }
        };
        Self { sequence, audit_ref, kind, recorded_at }
    }
}
