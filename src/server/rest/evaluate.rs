//! Evaluate: what the policy would decide. Nothing is recorded, and nobody is asked.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::words::{Actor, ApprovalMode, Object, Outcome, RiskLevel};
use super::{fields, read};
use crate::domain::{Action, CallError, Checked, Timestamp, times};
use crate::governance::{Evaluated, Hypothesis, MAX_EVALUATIONS};
use crate::policy::{Outcome as Told, Verdict};
use crate::server::access;
use crate::server::problem::Problem;

/// An action to evaluate.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct EvaluateAction {
    #[serde(alias = "type")]
    #[schema(min_length = 1, max_length = 1024, example = "delete")]
    action_type: String,
    #[schema(max_length = 8192, example = "db")]
    target: String,
    params: Object,
    description: String,
    #[serde(deserialize_with = "read::member")]
    actor: Actor,
}

/// What goes for all actions of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Options {
    at: Option<String>,
    explain: bool,
}

/// One action to evaluate.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Options` and `EvaluateAction` read")]
pub(super) struct EvaluateOne {
    #[schema(min_length = 1, max_length = 1024, example = "delete")]
    action_type: String,
    #[schema(max_length = 8192, example = "db", required = false)]
    target: String,
    #[schema(required = false)]
    params: Object,
    #[schema(required = false)]
    description: String,
    #[schema(required = false)]
    actor: Actor,
    /// Evaluate as if at this moment. Needs the role auditor or admin.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// Say why: which rules were tried, and how each condition turned out. Needs the role auditor or admin.
    explain: Option<bool>,
}

/// Several actions to evaluate, under one revision of the policy.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Options` and `EvaluateAction` read")]
pub(super) struct EvaluateSeveral {
    #[schema(min_items = 1, max_items = 1000)]
    actions: Vec<EvaluateAction>,
    /// Evaluate as if at this moment. Needs the role auditor or admin.
    #[schema(format = DateTime)]
    at: Option<String>,
    /// Say why: which rules were tried, and how each condition turned out. Needs the role auditor or admin.
    explain: Option<bool>,
}

/// What to evaluate: one action, several, or a bare list of several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `Options` and `EvaluateAction` read")]
pub(super) enum EvaluateBody {
    One(EvaluateOne),
    Several(EvaluateSeveral),
    List(Vec<EvaluateAction>),
}

/// What the policy would decide.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Evaluation {
    action_type: String,
    target: String,
    risk_level: RiskLevel,
    approval: ApprovalMode,
    /// False if the rule blocks the action. An action that a person must approve first is allowed in this sense.
    is_allowed: bool,
    matched_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explained>,
}

/// Why, if the request asks for it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Explained {
    outcome: Outcome,
    reason: String,
    risk_score: f64,
    constraints: Object,
    policy_revision: String,
    /// The rules that were tried, in their order.
    rules: Vec<RuleTrace>,
    /// How many more rules were tried.
    rules_left_out: usize,
}

/// A rule that was tried.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RuleTrace {
    rule: String,
    matched: bool,
    reason: String,
    file: String,
    line: usize,
    conditions: Vec<ConditionTrace>,
}

/// A condition that was tried.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ConditionTrace {
    condition: String,
    /// `holds`, `fails`, or `doubt` if it cannot be known from what was sent.
    result: &'static str,
    seen: String,
    reason: String,
}

/// One evaluation, or one for each action of a list.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Evaluations {
    One(Box<Evaluation>),
    List(Vec<Evaluation>),
}

/// Evaluate actions
///
/// Says what the policy would decide on one action or several. Nothing is recorded, and nobody is asked. One action is
/// answered with an object; `actions`, or a bare list, with a list.
#[utoipa::path(
    post, path = "/api/v1/evaluate", tag = "actions", operation_id = "evaluate",
    request_body = EvaluateBody,
    responses(
        (status = 200, description = "What the policy would decide", body = Evaluations),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn evaluate(State(api): State<Api>, call: Call) -> Answer {
    let caller = call.caller()?;
    let (options, actions, prefix) = split(read::any(call.bytes())?)?;
    let at = options.at.as_deref().map(|at| times::moment(at, api.governor.now())).transpose();
    let at: Option<Timestamp> = at.map_err(|why| CallError::invalid_field("at", why))?;
    if at.is_some() || options.explain {
        access::check_explains(&caller.identity)?;
    }
    if actions.is_empty() || actions.len() > MAX_EVALUATIONS {
        let why = format!("{} actions; between 1 and {MAX_EVALUATIONS}", actions.len());
        return Err(CallError::invalid_field("actions", why).into());
    }
    let hypotheses: Vec<_> = actions.into_iter().map(Hypothesis::from).collect();
    let hypotheses = Checked::new(hypotheses, api.limits, Vec::new());
    let hypotheses = hypotheses.map_err(|error| fields::of_actions(error, prefix))?;
    let evaluated = api.governor.evaluate(caller, at);
    for hypothesis in hypotheses.iter() {
        evaluated.check_actor(hypothesis)?;
    }
    let verdicts = api.governor.verdicts(&evaluated, &hypotheses).await?;
    let each = hypotheses.iter().zip(&verdicts);
    let mut evaluations: Vec<_> =
        each.map(|(hypothesis, verdict)| evaluation(&evaluated, hypothesis, verdict, options.explain)).collect();
    let answer = match (prefix, evaluations.pop()) {
        (None, Some(one)) => Evaluations::One(Box::new(one)),
        (_, last) => {
            evaluations.extend(last);
            Evaluations::List(evaluations)
        }
    };
    json(StatusCode::OK, &answer)
}

/// The options, the actions, and where the list of actions is: `None` if there is one action and no list.
fn split(body: Value) -> Result<(Options, Vec<EvaluateAction>, Option<&'static str>), CallError> {
    let Value::Object(mut members) = body else {
        return Ok((Options::default(), read::list(body)?, Some("")));
    };
    let options: Object = ["at", "explain"].into_iter().filter_map(|name| members.remove_entry(name)).collect();
    let options = read::object(Value::Object(options));
    // What is wrong with either is said together.
    if members.contains_key("actions") {
        let actions = read::object(Value::Object(members));
        let (options, Actions { actions }) = fields::both(options, actions)?;
        return Ok((options, actions, Some("actions")));
    }
    let (options, action) = fields::both(options, read::object(Value::Object(members)))?;
    Ok((options, vec![action], None))
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Actions {
    #[serde(deserialize_with = "read::objects")]
    actions: Vec<EvaluateAction>,
}

impl From<EvaluateAction> for Hypothesis {
    fn from(EvaluateAction { action_type, target, params, description, actor }: EvaluateAction) -> Self {
        Self { actor: actor.into(), action: Action { r#type: action_type, target, params, description } }
    }
}

fn evaluation(evaluated: &Evaluated, hypothesis: &Hypothesis, verdict: &Verdict<'_>, explain: bool) -> Evaluation {
    let explanation = explain.then(|| {
        let told = evaluated.explain(hypothesis);
        let rules = told.rules.into_iter().map(|rule| RuleTrace {
            rule: rule.name,
            matched: rule.decides,
            reason: rule.because,
            file: rule.file,
            line: rule.line,
            conditions: rule.conditions.into_iter().map(condition).collect(),
        });
        Explained {
            outcome: verdict.approval.first_outcome().into(),
            reason: verdict.reason(),
            risk_score: verdict.risk_level.score(),
            constraints: verdict.constraints().clone(),
            policy_revision: evaluated.generation.policy.revision().to_string(),
            rules: rules.collect(),
            rules_left_out: told.left_out,
        }
    });
    Evaluation {
        action_type: hypothesis.action.r#type.clone(),
        target: hypothesis.action.target.clone(),
        risk_level: verdict.risk_level.into(),
        approval: verdict.approval.into(),
        is_allowed: verdict.is_allowed(),
        matched_rule: verdict.matched_rule.to_owned(),
        explanation,
    }
}

fn condition(condition: crate::policy::ConditionTrace) -> ConditionTrace {
    ConditionTrace {
        condition: format!("{}: {}", condition.path, condition.wanted),
        result: match condition.outcome {
            Told::Holds => "holds",
            Told::Fails => "fails",
            Told::Indeterminate => "doubt",
        },
        seen: condition.seen,
        reason: condition.because,
    }
}
