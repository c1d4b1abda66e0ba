//! Redaction of one decision, for admins.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::fields;
use super::words::present;
use crate::domain::check::{NAME_BYTES, TEXT_BYTES};
use crate::domain::{Checker, DecisionId};
use crate::governance::Redacted;
use crate::server::problem::Problem;

/// Why a decision is redacted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Redaction {
    #[schema(required, min_length = 1)]
    reason: String,
    #[schema(max_length = 256)]
    request_id: String,
}

/// A decision that is redacted.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RedactedDecision {
    sequence: u64,
    redacted_sequences: Vec<u64>,
}

/// Redact a decision
///
/// Deletes the payloads of its records, and every hash from which a payload could be guessed. The record says who
/// redacted it, when and why. Proofs stay valid. A decision that is pending, or whose result is not reported yet, cannot
/// be redacted.
#[utoipa::path(
    post, path = "/api/v1/audit/decisions/{id}/redact", tag = "audit", operation_id = "redactDecision",
    params(("id" = String, Path, description = "The id of the decision: `dec_` and a UUID")),
    request_body = Redaction,
    responses(
        (status = 200, description = "What was redacted", body = RedactedDecision),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn redact(State(api): State<Api>, call: Call) -> Answer {
    let (decision_id, redaction) = fields::both(call.id::<DecisionId>("id"), call.body::<Redaction>())?;
    let Redaction { reason, request_id } = redaction;
    let mut checker = Checker::new(api.limits);
    if reason.trim().is_empty() {
        checker.wrong("reason", "must be given: it goes on the record");
    }
    checker.text("reason", &reason, TEXT_BYTES);
    checker.text("request_id", &request_id, NAME_BYTES);
    let (reason, request_id) = checker.finish((reason, present(request_id)))?;
    let redacted = api.governor.redact(call.caller()?, decision_id, reason, request_id.as_deref()).await?;
    let Redacted { sequence, sequences } = redacted;
    json(StatusCode::OK, &RedactedDecision { sequence, redacted_sequences: sequences })
}
