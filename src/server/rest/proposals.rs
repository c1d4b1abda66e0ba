//! Proposals, for agents that run their actions themselves.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json, wait};
use super::words::{Actor, Decision, Object, ResultStatus, present};
use super::{fields, read};
use crate::domain::check::TEXT_BYTES;
use crate::domain::{Action, CallError, Checked, Checker, DecisionId, Proposal, Report, times};
use crate::governance::Propose;
use crate::server::problem::Problem;
use crate::server::trace;

/// A proposal of an action.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProposeRequest {
    #[serde(deserialize_with = "read::member")]
    actor: Actor,
    #[serde(deserialize_with = "read::member")]
    #[schema(required)]
    action: ProposedAction,
    #[serde(deserialize_with = "read::member")]
    context: ProposalContext,
    #[schema(max_length = 256)]
    idempotency_key: String,
    #[schema(max_length = 256)]
    confirmation_token: String,
    /// How long to wait for a reviewer: `30s`, `5m`; at most `1h`. Default: not at all.
    #[schema(example = "30s")]
    wait: Option<String>,
}

/// What an agent wants to do.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProposedAction {
    /// The type of the action, for example `database.query`. Rules match it with globs. `type` is another name for it.
    #[serde(alias = "type")]
    #[schema(required, min_length = 1, max_length = 1024, example = "database.query")]
    capability: String,
    #[schema(max_length = 8192)]
    target: String,
    /// The arguments of the action. `params` is another name for it.
    #[serde(alias = "params")]
    parameters: Object,
    description: String,
}

/// The session and the labels of a proposal.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProposalContext {
    #[schema(max_length = 256)]
    session_id: String,
    metadata: Object,
}

/// Propose an action
///
/// Asks whether an action may run. All four outcomes are answered with 200: a denial is an answer, not an error. Run
/// the action on `ALLOW` and on nothing else, and report its result.
#[utoipa::path(
    post, path = "/api/v1/governance/propose", tag = "proposals", operation_id = "propose",
    request_body = ProposeRequest,
    responses(
        (status = 200, description = "The decision", body = Decision),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn propose(State(api): State<Api>, call: Call) -> Answer {
    let standing = call.standing()?;
    let request: ProposeRequest = call.body()?;
    let wait = wait("wait", request.wait.as_deref(), Duration::ZERO)?;
    let ask = Propose { wait, before_wait: call.before_wait(), ..request.ask(call.trace_id()) };
    let ask = Checked::new(ask, api.limits, Vec::new()).map_err(fields::of_proposal)?;
    let proposing = api.governor.propose(&standing.caller, ask);
    // A decision that needs no wait is given whatever becomes of the credential.
    let decision = if wait.is_zero() { proposing.await? } else { standing.unless_over(proposing).await? };
    trace::record_decision(&decision);
    json(StatusCode::OK, &Decision::from(decision))
}

impl ProposeRequest {
    fn ask(self, trace_id: String) -> Propose {
        let ProposedAction { capability, target, parameters, description } = self.action;
        let ProposalContext { session_id, metadata } = self.context;
        let action = Action { r#type: capability, target, params: parameters, description };
        Propose {
            proposal: Proposal { actor: self.actor.into(), action, session_id, metadata, trace_id },
            idempotency_key: present(self.idempotency_key),
            confirmation_token: present(self.confirmation_token),
            wait: Duration::ZERO,
            before_wait: None,
        }
    }
}

/// How long to wait.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// How long to wait for a reviewer: `30s`, `5m`; at most `1h`. Default: not at all.
    #[param(example = "30s")]
    wait: Option<String>,
}

/// Get a decision
///
/// Says where a decision stands, to whoever proposed it. With `wait` it answers when a reviewer has answered, or after
/// this time. Of an action that the daemon executes it waits for the result.
#[utoipa::path(
    get, path = "/api/v1/governance/decisions/{decision_id}", tag = "proposals", operation_id = "getOwnDecision",
    params(("decision_id" = String, Path, description = "The id of the decision: `dec_` and a UUID"), WaitQuery),
    responses(
        (status = 200, description = "The decision", body = Decision),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn decision(State(api): State<Api>, call: Call) -> Answer {
    let standing = call.standing()?;
    let (decision_id, query) = fields::both(call.id::<DecisionId>("decision_id"), call.query::<WaitQuery>())?;
    let wait = wait("wait", query.wait.as_deref(), Duration::ZERO)?;
    let caller = &standing.caller;
    let decision = if api.executions.has(decision_id) {
        let decision = api.governor.await_decision(caller, decision_id, Duration::ZERO).await?;
        standing.unless_over(api.executions.progress(decision, wait)).await?;
        api.governor.await_decision(caller, decision_id, Duration::ZERO).await?
    } else {
        standing.unless_over(api.governor.await_decision(caller, decision_id, wait)).await?
    };
    trace::record_decision(&decision);
    json(StatusCode::OK, &Decision::from(decision))
}

/// What became of an action.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ResultReport {
    /// `success`, `failed`, `skipped` or `rolled_back`. The other words are the daemon's own.
    status: ResultStatus,
    #[serde(default, deserialize_with = "read::given")]
    data: Option<Value>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    #[schema(format = DateTime)]
    started_at: Option<String>,
    #[serde(default)]
    #[schema(format = DateTime)]
    completed_at: Option<String>,
}

/// A report that is on the record.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ResultReported {
    /// The id of the record of the report.
    audit_ref: Option<String>,
}

/// Report a result
///
/// Says what became of an allowed action. Safe to repeat: the same report gets the first answer again. The result of an
/// action that the daemon executes is the daemon's to report.
#[utoipa::path(
    post, path = "/api/v1/governance/decisions/{decision_id}/result", tag = "proposals", operation_id = "reportResult",
    params(("decision_id" = String, Path, description = "The id of the decision: `dec_` and a UUID")),
    request_body = ResultReport,
    responses(
        (status = 200, description = "The result is on the record", body = ResultReported),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn report(State(api): State<Api>, call: Call) -> Answer {
    let (decision_id, report) = fields::both(call.id::<DecisionId>("decision_id"), call.body::<ResultReport>())?;
    let ResultReport { status, data, error, started_at, completed_at } = report;
    let time = |field: &str, text: Option<String>| {
        let read = text.map(|text| times::point(&text)).transpose();
        read.map_err(|why| CallError::invalid_field(field, why))
    };
    let (started_at, completed_at) = fields::both(time("started_at", started_at), time("completed_at", completed_at))?;
    let report = Report { status: status.into(), data, error, started_at, completed_at };
    let report = Checked::new(report, api.limits, Vec::new())?;
    let audit_ref = api.governor.report(call.caller()?, decision_id, report).await?;
    json(StatusCode::OK, &ResultReported { audit_ref: audit_ref.map(|id| id.to_string()) })
}

/// Why a proposal is withdrawn.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Cancellation {
    /// The reason, for the record.
    reason: String,
}

/// Cancel a proposal
///
/// Withdraws a proposal that waits for a reviewer or a confirmation. Safe to repeat.
#[utoipa::path(
    post, path = "/api/v1/governance/decisions/{decision_id}/cancel",
    tag = "proposals", operation_id = "cancelProposal",
    params(("decision_id" = String, Path, description = "The id of the decision: `dec_` and a UUID")),
    request_body = Cancellation,
    responses(
        (status = 200, description = "The decision, now DENY", body = Decision),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn cancel(State(api): State<Api>, call: Call) -> Answer {
    let (decision_id, Cancellation { reason }) =
        fields::both(call.id::<DecisionId>("decision_id"), call.body::<Cancellation>())?;
    let mut checker = Checker::new(api.limits);
    checker.text("reason", &reason, TEXT_BYTES);
    let reason = checker.finish(reason)?;
    let decision = api.governor.cancel(call.caller()?, decision_id, reason).await?;
    json(StatusCode::OK, &Decision::from(decision))
}
