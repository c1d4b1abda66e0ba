//! Execute: the whole way of an action: decide, ask a person, run, record. See [`Executions`].
//!
//! [`Executions`]: crate::governance::Executions

use std::time::Duration;

use axum::extract::State;
use futures_util::future::join_all;
use http::header::HeaderValue;
use http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json, wait};
use super::words::{Actor, Decision, Object, present};
use super::{fields, read};
use crate::domain::{Action, CallError, Checked, Proposal, ResultStatus};
use crate::governance::{Executed, Propose};
use crate::server::problem::Problem;
use crate::server::trace;

/// How long a call waits for a reviewer and for the action, if it does not say.
const WAIT: Duration = Duration::from_mins(1);
/// The most actions in one request.
const MAX_ACTIONS: usize = 100;
/// Names the decision of an answer with one result.
const DECISION_ID: HeaderName = HeaderName::from_static("aegis-decision-id");

/// An action to execute.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExecuteAction {
    #[serde(alias = "type")]
    #[schema(min_length = 1, max_length = 1024, example = "read")]
    action_type: String,
    #[schema(max_length = 8192, example = "crm")]
    target: String,
    params: Object,
    description: String,
    #[serde(deserialize_with = "read::member")]
    actor: Actor,
    #[schema(max_length = 256)]
    session_id: String,
    metadata: Object,
    #[schema(max_length = 256)]
    idempotency_key: String,
    #[schema(max_length = 256)]
    confirmation_token: String,
}

/// What goes for all actions of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    wait: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Actions {
    #[serde(deserialize_with = "read::objects")]
    actions: Vec<ExecuteAction>,
}

/// One action to execute.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Options` and `ExecuteAction` read")]
pub(super) struct ExecuteOne {
    #[schema(min_length = 1, max_length = 1024, example = "read")]
    action_type: String,
    #[schema(max_length = 8192, example = "crm", required = false)]
    target: String,
    #[schema(required = false)]
    params: Object,
    #[schema(required = false)]
    description: String,
    #[schema(required = false)]
    actor: Actor,
    #[schema(max_length = 256, required = false)]
    session_id: String,
    #[schema(required = false)]
    metadata: Object,
    #[schema(max_length = 256, required = false)]
    idempotency_key: String,
    #[schema(max_length = 256, required = false)]
    confirmation_token: String,
    /// How long to wait for a reviewer and for the action: `30s`, `5m`; at most `1h`. Default: `60s`.
    #[schema(example = "30s")]
    wait: Option<String>,
}

/// Several actions to execute. Each goes its own way: what becomes of one does not change another.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Options` and `ExecuteAction` read")]
pub(super) struct ExecuteSeveral {
    /// The actions: between 1 and 100.
    #[schema(min_items = 1, max_items = 100)]
    actions: Vec<ExecuteAction>,
    /// How long to wait for reviewers and for the actions: `30s`, `5m`; at most `1h`. Default: `60s`.
    #[schema(example = "30s")]
    wait: Option<String>,
}

/// What to execute: one action, several, or a bare list of several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, clippy::large_enum_variant, reason = "it describes what `Options` and `ExecuteAction` read")]
pub(super) enum ExecuteBody {
    One(ExecuteOne),
    Several(ExecuteSeveral),
    List(Vec<ExecuteAction>),
}

/// What became of an action.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Execution {
    action_type: String,
    target: String,
    status: ExecutionStatus,
    /// What the executor returned.
    data: Option<Value>,
    /// Why the action failed, or did not run.
    error: Option<String>,
    /// The decision, while the status is `pending`: it says what is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Decision>,
}

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum ExecutionStatus {
    /// It waits for a reviewer, for the agent's own user, or it still runs.
    Pending,
    /// It ran and succeeded.
    Success,
    /// It ran and failed.
    Failed,
    /// The policy blocked it.
    Blocked,
    /// A reviewer denied it, or nobody answered in time.
    Denied,
    /// It did not run.
    Skipped,
    /// It ran and was undone.
    RolledBack,
    /// The daemon ended while it ran: it may have run. It is not run again.
    Unknown,
}

/// One result, or one for each action of a list.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum ExecutionList {
    One(Box<Execution>),
    List(Vec<Execution>),
}

/// Execute actions
///
/// Takes one action or several the whole way: decision, approval by a person where the policy asks for it, execution
/// and record. Answers when the result is known. After `wait` it answers 202 with the decision, and the action goes on:
/// `GET /api/v1/governance/decisions/{decision_id}?wait=60s` says what became of it. A blocked action is answered with
/// 200 and the status `blocked`. An action runs at most once for each decision. Send an `idempotency_key`, and repeat
/// the request with the same key after a broken connection: it is one action.
#[utoipa::path(
    post, path = "/api/v1/execute", tag = "actions", operation_id = "execute",
    request_body = ExecuteBody,
    responses(
        (status = 200, description = "What became of every action", body = ExecutionList),
        (status = 202, description = "At least one action is pending", body = ExecutionList),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn execute(State(api): State<Api>, call: Call) -> Answer {
    let standing = call.standing()?;
    let (options, actions, list) = split(read::any(call.bytes())?)?;
    let wait = wait("wait", options.wait.as_deref(), WAIT)?;
    if actions.is_empty() || actions.len() > MAX_ACTIONS {
        let why = format!("{} actions; between 1 and {MAX_ACTIONS}", actions.len());
        return Err(CallError::invalid_field("actions", why).into());
    }
    let trace_id = call.trace_id();
    let asks: Vec<_> = actions.into_iter().map(|action| action.ask(&trace_id)).collect();
    // All are checked before the first of them runs.
    Checked::new(asks.clone(), api.limits, Vec::new()).map_err(|error| fields::of_actions(error, list))?;
    let executing = asks.into_iter().map(|ask| {
        let api = &api;
        async move {
            let (r#type, target) = (ask.proposal.action.r#type.clone(), ask.proposal.action.target.clone());
            let ask = Checked::new(ask, api.limits, Vec::new())?;
            let executed = api.executions.execute(&standing.caller, ask, wait).await.map_err(CallError::from)?;
            Ok::<_, CallError>((r#type, target, executed))
        }
    });
    let executed = standing.unless_over(async { join_all(executing).await.into_iter().collect::<Result<Vec<_>, _>>() });
    let executed = executed.await.map_err(|error| fields::of_actions(error, list))?;
    let decision_id = executed.first().map(|(_, _, executed)| executed.decision.decision_id.to_string());
    for (_, _, executed) in &executed {
        trace::record_decision(&executed.decision);
    }
    let mut results: Vec<_> =
        executed.into_iter().map(|(action_type, target, executed)| execution(action_type, target, executed)).collect();
    let pending = results.iter().any(|result| result.status == ExecutionStatus::Pending);
    let status = if pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    if list.is_some() {
        return json(status, &ExecutionList::List(results));
    }
    let result = results.pop().ok_or_else(|| CallError::internal("an action has no result"))?;
    let mut answer = json(status, &ExecutionList::One(Box::new(result)))?;
    if let Some(decision_id) = decision_id.and_then(|id| HeaderValue::try_from(id).ok()) {
        answer.headers_mut().insert(DECISION_ID, decision_id.clone());
        if pending {
            let place = [b"/api/v1/governance/decisions/", decision_id.as_bytes()].concat();
            answer.headers_mut().extend(HeaderValue::from_bytes(&place).ok().map(|place| (header::LOCATION, place)));
        }
    }
    Ok(answer)
}

/// The options, the actions, and where the list of actions is: `None` if there is one action and no list.
fn split(body: Value) -> Result<(Options, Vec<ExecuteAction>, Option<&'static str>), CallError> {
    let Value::Object(mut members) = body else {
        return Ok((Options::default(), read::list(body)?, Some("")));
    };
    let options: Object = members.remove_entry("wait").into_iter().collect();
    let options = read::object(Value::Object(options));
    if members.contains_key("actions") {
        let (options, Actions { actions }) = fields::both(options, read::object(Value::Object(members)))?;
        return Ok((options, actions, Some("actions")));
    }
    let (options, action) = fields::both(options, read::object(Value::Object(members)))?;
    Ok((options, vec![action], None))
}

impl ExecuteAction {
    fn ask(self, trace_id: &str) -> Propose {
        let Self { action_type, target, params, description, actor, session_id, metadata, .. } = self;
        let action = Action { r#type: action_type, target, params, description };
        Propose {
            proposal: Proposal { actor: actor.into(), action, session_id, metadata, trace_id: trace_id.to_owned() },
            idempotency_key: present(self.idempotency_key),
            confirmation_token: present(self.confirmation_token),
            wait: Duration::ZERO,
            before_wait: None,
        }
    }
}

fn execution(action_type: String, target: String, executed: Executed) -> Execution {
    let Executed { decision, result } = executed;
    match result {
        None => {
            let (status, decision) = (ExecutionStatus::Pending, Some(decision.into()));
            Execution { action_type, target, status, data: None, error: None, decision }
        }
        Some(report) => {
            let (status, error) = (report.status.into(), present(report.error));
            Execution { action_type, target, status, data: report.data, error, decision: None }
        }
    }
}

impl From<ResultStatus> for ExecutionStatus {
    fn from(status: ResultStatus) -> Self {
        match status {
            ResultStatus::Success => Self::Success,
            ResultStatus::Failed => Self::Failed,
            ResultStatus::Blocked => Self::Blocked,
            ResultStatus::Denied => Self::Denied,
            ResultStatus::Skipped => Self::Skipped,
            ResultStatus::RolledBack => Self::RolledBack,
            ResultStatus::Unknown => Self::Unknown,
        }
    }
}
