//! The policy in force, and changes of it.

use axum::extract::State;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json as answer};
use super::read;
use super::words::{ApprovalMode, Object, RiskLevel, moment, present};
use crate::audit::StoredPolicy;
use crate::domain::{CallError, Digest};
use crate::governance::{Generation, GovernanceError};
use crate::server::problem::Problem;

/// Which policy.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PolicyQuery {
    /// The revision. Default: the policy in force.
    revision: Option<String>,
}

/// A policy.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Policy {
    revision: String,
    /// When the policy came into force. Null if it is not in force now.
    #[schema(format = DateTime)]
    loaded_at: Option<String>,
    rule_count: usize,
    /// The risk level of an action that no rule matches.
    default_risk_level: Option<RiskLevel>,
    /// The approval mode of an action that no rule matches.
    default_approval: Option<ApprovalMode>,
    /// The rules, in the order in which they are tried.
    rules: Vec<PolicyRule>,
    layers: Vec<PolicyLayer>,
    /// The merged policy, in the form that `PUT` takes.
    policy: Value,
    /// What is doubtful in the policy, a sentence each.
    warnings: Vec<String>,
}

/// A rule.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyRule {
    /// The name of the rule. Decisions name it as `matched_rule`.
    name: String,
    /// The glob for the type of an action.
    match_type: String,
    /// The glob for the target of an action.
    match_target: String,
    /// The glob for the actor, if the rule has one.
    match_actor: Option<String>,
    risk_level: Option<RiskLevel>,
    /// The approval that the rule asks for.
    approval: Option<ApprovalMode>,
    /// The conditions, as the policy writes them.
    conditions: Object,
}

/// A source of a policy.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyLayer {
    name: String,
    yaml: String,
}

/// A new policy, as YAML.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyYaml {
    /// The policy as YAML text.
    #[schema(example = "rules:\n  - name: block_all\n    match: {type: \"*\"}\n    approval: block")]
    yaml: String,
    /// Change the policy only if this revision is in force. The header `If-Match` says the same.
    expected_revision: Option<String>,
}

/// A new policy: as YAML text, or as the object that the YAML stands for.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `update` reads")]
pub(super) enum PolicyBody {
    Yaml(PolicyYaml),
    Policy(Object),
}

/// What a change of the policy led to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyUpdated {
    /// Always `updated`.
    status: &'static str,
    rule_count: usize,
    revision: String,
}

/// Get the policy
///
/// The policy in force, or an earlier one by its revision. `ETag` is the revision.
#[utoipa::path(
    get, path = "/api/v1/policy", tag = "policy", operation_id = "getPolicy", params(PolicyQuery),
    responses(
        (status = 200, description = "The policy", body = Policy),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(State(api): State<Api>, call: Call) -> Answer {
    let query: PolicyQuery = call.query()?;
    let current = api.governor.generations().current();
    let policy = match query.revision.and_then(present) {
        Some(wanted) if wanted != current.policy.revision().to_string() => {
            let revision = Digest::from_hex(&wanted).ok_or_else(|| {
                CallError::invalid_field("revision", "must be the revision of a policy: 64 hex digits")
            })?;
            let stored = api.governor.store().look(move |reader| reader.policy(revision)).await?;
            Policy::stored(revision, stored.ok_or(GovernanceError::NoRevision(wanted))?)
        }
        _ => Policy::in_force(&current),
    };
    let tag = HeaderValue::try_from(format!("\"{}\"", policy.revision));
    let mut answer = answer(StatusCode::OK, &policy)?;
    answer.headers_mut().extend(tag.ok().map(|tag| (header::ETAG, tag)));
    Ok(answer)
}

/// Change the policy
///
/// Writes the policy to the daemon's policy file and puts it in force. A policy with a mistake changes nothing; the
/// answer names every mistake.
#[utoipa::path(
    put, path = "/api/v1/policy", tag = "policy", operation_id = "updatePolicy",
    request_body = PolicyBody,
    responses(
        (status = 200, description = "The policy is in force", body = PolicyUpdated),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn update(State(api): State<Api>, call: Call) -> Answer {
    let (yaml, expected) = source(read::any(call.bytes())?)?;
    // A tag is a revision in quotes.
    let matches = call.header(header::IF_MATCH).map(|tag| tag.trim_matches('"').to_owned());
    let expected = expected.or(matches).unwrap_or_default();
    let generation = api.governor.update_policy(call.caller()?, yaml, &expected).await?;
    let (rule_count, revision) = (generation.policy.rules().len(), generation.policy.revision().to_string());
    answer(StatusCode::OK, &PolicyUpdated { status: "updated", rule_count, revision })
}

/// The text of a new policy, and the revision that it replaces, if the request names it.
fn source(body: Value) -> Result<(String, Option<String>), CallError> {
    let is_policy = ["rules", "defaults"].iter().any(|key| body.get(key).is_some());
    if !is_policy {
        let why = "send the policy as `yaml`, a text, or as an object with `rules`";
        let is_yaml = body.get("yaml").is_some();
        let PolicyYaml { yaml, expected_revision } =
            read::object(body).map_err(|error| if is_yaml { error } else { CallError::invalid_field("yaml", why) })?;
        return Ok((yaml, expected_revision));
    }
    // JSON is YAML.
    let text = serde_json::to_string_pretty(&body).map_err(|error| CallError::internal(error.to_string()))?;
    Ok((text + "\n", None))
}

impl Policy {
    fn in_force(generation: &Generation) -> Self {
        let policy = &generation.policy;
        let layer = |layer: &crate::policy::Source| PolicyLayer { name: layer.name.clone(), yaml: layer.text.clone() };
        Self {
            loaded_at: Some(moment(generation.loaded_at)),
            warnings: policy.warnings().iter().map(ToString::to_string).collect(),
            ..Self::of(policy.revision(), policy.merged().clone(), policy.layers().iter().map(layer).collect())
        }
    }

    fn stored(revision: Digest, stored: StoredPolicy) -> Self {
        let layer = |layer: crate::audit::StoredLayer| PolicyLayer { name: layer.name, yaml: layer.source };
        Self::of(revision, stored.merged, stored.layers.into_iter().map(layer).collect())
    }

    fn of(revision: Digest, merged: Value, layers: Vec<PolicyLayer>) -> Self {
        let word = |value: &Value| serde_json::from_value(value.clone()).ok();
        let mode = |value: &Value| serde_json::from_value(value.clone()).ok();
        let rules = merged["rules"].as_array().into_iter().flatten().map(|rule| PolicyRule {
            name: text(&rule["name"]).unwrap_or_default(),
            match_type: text(&rule["match"]["type"]).unwrap_or_else(|| "*".to_owned()),
            match_target: text(&rule["match"]["target"]).unwrap_or_else(|| "*".to_owned()),
            match_actor: text(&rule["match"]["actor"]),
            risk_level: word(&rule["risk_level"]),
            approval: mode(&rule["approval"]),
            conditions: rule["conditions"].as_object().cloned().unwrap_or_default(),
        });
        let rules: Vec<_> = rules.collect();
        Self {
            revision: revision.to_string(),
            loaded_at: None,
            rule_count: rules.len(),
            default_risk_level: word(&merged["defaults"]["risk_level"]),
            default_approval: mode(&merged["defaults"]["approval"]),
            rules,
            layers,
            policy: merged,
            warnings: Vec::new(),
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{Policy as Loaded, Source};

    #[test]
    fn what_is_shown_can_be_sent_back_and_is_the_same_policy() {
        let yaml = "defaults: {risk_level: high}\nrules:\n  - {name: 'yes', match: {type: 'a*'}, approval: auto, \
                    conditions: {param_gt: {count: 5}, time_after: '18:00'}}\n";
        let load = |text: &str| {
            Loaded::load(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }]).expect("a good policy")
        };
        let policy = load(yaml);
        let shown = Policy::of(policy.revision(), policy.merged().clone(), Vec::new());
        assert_eq!(shown.default_risk_level, Some(RiskLevel::High));
        assert_eq!((shown.rules[0].match_target.as_str(), shown.rules[0].approval), ("*", Some(ApprovalMode::Auto)));
        let (text, expected) = source(shown.policy).unwrap();
        assert_eq!((load(&text).revision(), expected), (policy.revision(), None));
    }

    #[test]
    fn a_body_is_text_or_a_policy() {
        let (yaml, expected) = source(json!({"yaml": "rules: []", "expected_revision": "ab"})).unwrap();
        assert_eq!((yaml.as_str(), expected.as_deref()), ("rules: []", Some("ab")));
        for wrong in [json!({}), json!([]), json!({"yaml": 5}), json!({"yaml": "", "rule": []}), json!("rules: []")] {
            assert!(source(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
