//! The policy in force, and changes of it.

use axum::extract::State;
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json as answer};
use super::words::{ApprovalMode, Object, RiskLevel, moment, present};
use super::{fields, read};
use crate::audit::StoredLayer;
use crate::domain::check::{NAME_BYTES, TEXT_BYTES};
use crate::domain::{CallError, Checker, Digest};
use crate::governance::{FoundPolicy, Generation, PolicyUpdate, UpdateSource, UpdatedPolicy};
use crate::policy::{Diagnostic, Policy as Loaded, Source};
use crate::server::problem::{PolicyFinding, Problem};

/// The fewest digits of a revision that name it.
const REVISION_DIGITS: usize = 4;

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
    comment: String,
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
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyYaml {
    /// The policy as YAML text.
    #[schema(required, example = "rules:\n  - name: block_all\n    match: {type: \"*\"}\n    approval: block")]
    yaml: String,
    /// Change the policy only if this revision is in force. The header `If-Match` says the same.
    expected_revision: String,
    comment: String,
    validate_only: bool,
    #[schema(max_length = 256)]
    request_id: String,
}

/// An earlier policy, to put in force again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PolicyRevision {
    /// The revision of the earlier policy, or at least its first 4 digits.
    #[schema(required, min_length = 4, max_length = 64)]
    revision: String,
    /// Change the policy only if this revision is in force. The header `If-Match` says the same.
    expected_revision: String,
    comment: String,
    validate_only: bool,
    #[schema(max_length = 256)]
    request_id: String,
}

/// A policy: as YAML text, or as the object that the YAML stands for.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `validate` reads")]
pub(super) enum PolicyBody {
    Yaml(PolicyYaml),
    Policy(PolicyObject),
}

/// A new policy as YAML text or as the object that the YAML stands for, or an earlier policy by its revision.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it describes what `update` reads")]
pub(super) enum PolicyChange {
    Yaml(PolicyYaml),
    Policy(PolicyObject),
    Revision(PolicyRevision),
}

/// A new policy, as the object that its YAML stands for.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what `update` reads")]
pub(super) struct PolicyObject {
    /// The rules. Beside them stands what else the policy has, for example `defaults`.
    rules: Value,
}

/// What a change of the policy led to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyUpdated {
    /// `updated`, or `valid` if nothing was to change.
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
        None => Policy::in_force(&current),
        Some(wanted) => {
            check_revision(&wanted)?;
            let found = api.governor.find_policy(&wanted).await?;
            let is_current = found.revision == current.policy.revision();
            if is_current { Policy::in_force(&current) } else { Policy::found(found) }
        }
    };
    let tag = HeaderValue::try_from(format!("\"{}\"", policy.revision));
    let mut answer = answer(StatusCode::OK, &policy)?;
    answer.headers_mut().extend(tag.ok().map(|tag| (header::ETAG, tag)));
    Ok(answer)
}

/// Change the policy
///
/// Writes the policy to the daemon's policy file and puts it in force. A policy with a mistake changes nothing; the
/// answer names every mistake. `revision` puts an earlier policy in force again.
#[utoipa::path(
    put, path = "/api/v1/policy", tag = "policy", operation_id = "updatePolicy",
    request_body = PolicyChange,
    responses(
        (status = 200, description = "The policy is in force, or valid", body = PolicyUpdated),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn update(State(api): State<Api>, call: Call) -> Answer {
    let (source, asked) = change(read::any(call.bytes())?)?;
    let PolicyRevision { expected_revision, comment, validate_only, request_id, .. } = checked(&api, asked)?;
    // A tag is a revision in quotes.
    let matches = call.header(header::IF_MATCH).map(|tag| tag.trim_matches('"').to_owned());
    let expected_revision = present(expected_revision).or(matches).unwrap_or_default();
    let request_id = present(request_id);
    let update = PolicyUpdate { source, expected_revision, comment, validate_only, request_id };
    let updated = api.governor.update_policy(call.caller()?, update).await;
    let updated = match updated.map_err(|error| fields::of_policy(error.into()))? {
        UpdatedPolicy::InForce(generation) => PolicyUpdated::of("updated", &generation.policy),
        UpdatedPolicy::Valid { policy, .. } => PolicyUpdated::of("valid", &policy),
        UpdatedPolicy::Earlier { policy, .. } => {
            let FoundPolicy { revision, stored, .. } = policy;
            let rule_count = stored.merged["rules"].as_array().map_or(0, Vec::len);
            PolicyUpdated { status: "updated", rule_count, revision: revision.to_string() }
        }
    };
    answer(StatusCode::OK, &updated)
}

/// Whether a policy is valid.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PolicyValidated {
    /// Whether the policy has no errors.
    valid: bool,
    /// What is wrong.
    errors: Vec<PolicyFinding>,
    /// What is doubtful.
    warnings: Vec<PolicyFinding>,
    /// The revision that the policy would have. Null if it has errors.
    revision: Option<String>,
}

/// What is checked of every request about a policy.
fn checked(api: &Api, asked: PolicyRevision) -> Result<PolicyRevision, CallError> {
    let mut checker = Checker::new(api.limits);
    checker.text("comment", &asked.comment, TEXT_BYTES);
    checker.text("request_id", &asked.request_id, NAME_BYTES);
    checker.finish(asked)
}

/// The policy that a body puts in force, and what else it says.
fn change(body: Value) -> Result<(UpdateSource, PolicyRevision), CallError> {
    // A policy as an object has `rules` or `defaults`, and no key of this name.
    if body.get("revision").is_some() && ["yaml", "rules", "defaults"].iter().all(|key| body.get(key).is_none()) {
        let asked: PolicyRevision = read::object(body)?;
        check_revision(&asked.revision)?;
        return Ok((UpdateSource::Revision(asked.revision.clone()), asked));
    }
    let PolicyYaml { yaml, expected_revision, comment, validate_only, request_id } = source(body)?;
    let layer = StoredLayer { name: String::new(), source: yaml };
    let asked = PolicyRevision { revision: String::new(), expected_revision, comment, validate_only, request_id };
    Ok((UpdateSource::Layers(vec![layer]), asked))
}

/// Refuses what is no revision, nor the beginning of one.
fn check_revision(text: &str) -> Result<(), CallError> {
    let is_right = (REVISION_DIGITS..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit());
    if is_right {
        return Ok(());
    }
    let why = format!("must be 64 hex digits, or at least the first {REVISION_DIGITS}");
    Err(CallError::invalid_field("revision", why))
}

/// Validate a policy
///
/// Checks a policy and changes nothing.
#[utoipa::path(
    post, path = "/api/v1/policy/validate", tag = "policy", operation_id = "validatePolicy",
    request_body = PolicyBody,
    responses(
        (status = 200, description = "What was found", body = PolicyValidated),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn validate(State(api): State<Api>, call: Call) -> Answer {
    let PolicyYaml { yaml, expected_revision, comment, validate_only, request_id } = source(read::any(call.bytes())?)?;
    checked(&api, PolicyRevision { revision: String::new(), expected_revision, comment, validate_only, request_id })?;
    let sources = vec![Source { name: "policy".to_owned(), text: yaml }];
    let loaded = tokio::task::spawn_blocking(move || Loaded::load(&sources)).await;
    let loaded = loaded.map_err(|error| CallError::internal(format!("the policy could not be read: {error}")))?;
    let validated = match loaded {
        Ok(policy) => PolicyValidated {
            valid: true,
            errors: Vec::new(),
            warnings: findings(policy.warnings()),
            revision: Some(policy.revision().to_string()),
        },
        Err(errors) => PolicyValidated {
            valid: false,
            errors: findings(errors.diagnostics()),
            warnings: Vec::new(),
            revision: None,
        },
    };
    answer(StatusCode::OK, &validated)
}

fn findings(findings: &[Diagnostic]) -> Vec<PolicyFinding> {
    findings.iter().map(|finding| PolicyFinding::of(finding.into())).collect()
}

/// The new policy that a body has, as YAML.
fn source(body: Value) -> Result<PolicyYaml, CallError> {
    if body.get("yaml").is_some() {
        return read::object(body);
    }
    if ["rules", "defaults"].iter().all(|key| body.get(key).is_none()) {
        let why = "send the policy as `yaml`, a text, or as an object with `rules`";
        return Err(CallError::invalid_field("yaml", why));
    }
    // JSON is YAML.
    let text = serde_json::to_string_pretty(&body).map_err(|error| CallError::internal(error.to_string()))?;
    Ok(PolicyYaml { yaml: text + "\n", ..PolicyYaml::default() })
}

impl PolicyUpdated {
    fn of(status: &'static str, policy: &Loaded) -> Self {
        Self { status, rule_count: policy.rules().len(), revision: policy.revision().to_string() }
    }
}

impl Policy {
    fn in_force(generation: &Generation) -> Self {
        let policy = &generation.policy;
        let layer = |layer: &Source| PolicyLayer { name: layer.name.clone(), yaml: layer.text.clone() };
        Self {
            loaded_at: Some(moment(generation.loaded_at)),
            comment: generation.comment.clone(),
            warnings: policy.warnings().iter().map(ToString::to_string).collect(),
            ..Self::of(policy.revision(), policy.merged().clone(), policy.layers().iter().map(layer).collect())
        }
    }

    fn found(FoundPolicy { revision, stored, comment }: FoundPolicy) -> Self {
        let layer = |layer: StoredLayer| PolicyLayer { name: layer.name, yaml: layer.source };
        Self { comment, ..Self::of(revision, stored.merged, stored.layers.into_iter().map(layer).collect()) }
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
            comment: String::new(),
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
        let sent = source(shown.policy).unwrap();
        assert_eq!((load(&sent.yaml).revision(), sent.expected_revision.as_str()), (policy.revision(), ""));
    }

    #[test]
    fn a_body_is_text_or_a_policy() {
        let sent = source(json!({"yaml": "rules: []", "expected_revision": "ab"})).unwrap();
        assert_eq!((sent.yaml.as_str(), sent.expected_revision.as_str()), ("rules: []", "ab"));
        for wrong in [json!({}), json!([]), json!({"yaml": 5}), json!({"yaml": "", "rule": []}), json!("rules: []")] {
            assert!(source(wrong.clone()).is_err(), "{wrong}");
            assert!(change(wrong.clone()).is_err(), "{wrong}");
        }
        let (source, asked) = change(json!({"revision": "abcd", "comment": "back"})).unwrap();
        assert!(matches!(source, UpdateSource::Revision(revision) if revision == "abcd"));
        assert_eq!(asked.comment, "back");
        for wrong in [json!({"revision": "abc"}), json!({"revision": "wxyz"}), json!({"revision": "abcd", "yaml": ""})]
        {
            assert!(change(wrong.clone()).is_err(), "{wrong}");
        }
    }
}
