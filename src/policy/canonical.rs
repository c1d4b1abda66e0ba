//! The merged policy as JSON: what a revision is the hash of, and what is shown as the policy in force.
//!
//! It is made from the compiled rules, not from the text. So comments, layout, the order of keys, and the ways to
//! write one time or one number do not change a revision. The result is a policy itself, and loading it gives the same
//! decisions. It fails to load in two cases: unnamed rules of two layers share an automatic name (one file may not
//! give a name twice), or it is larger than one file may be.

use serde_json::{Map, Value, json};

use super::condition::{Condition, Length, Test};
use super::limit::{Counted, Limit, per_text};
use super::read::timeout_text;
use super::rule::{OnTimeout, Rule};
use super::scoped::Scoped;
use super::secrets::Secrets;
use super::window::{Weekdays, Window, Zone};
use crate::domain::{Approval, ParamPath, RiskLevel};

/// The JSON of a policy.
pub(super) fn policy(
    defaults: (RiskLevel, Approval),
    rules: &[Rule],
    limits: &[Scoped],
    redact: &[ParamPath],
    secrets: &Secrets,
) -> Value {
    let mut policy = Map::new();
    policy.insert("version".to_owned(), json!("1"));
    policy.insert("defaults".to_owned(), json!({"risk_level": defaults.0, "approval": defaults.1}));
    policy.insert("rules".to_owned(), rules.iter().map(rule).collect());
    if !limits.is_empty() {
        policy.insert("limits".to_owned(), limits.iter().map(scoped).collect());
    }
    if !redact.is_empty() {
        policy.insert("redact".to_owned(), json!(redact));
    }
    if !secrets.is_default() {
        policy.insert("secrets".to_owned(), self::secrets(secrets));
    }
    Value::Object(policy)
}

fn secrets(secrets: &Secrets) -> Value {
    let mut out = json!({"defaults": secrets.defaults});
    if !secrets.names().is_empty() {
        out["names"] = json!(secrets.names());
    }
    if !secrets.patterns.is_empty() {
        out["patterns"] = secrets.patterns.iter().map(|pattern| json!(pattern.as_str())).collect();
    }
    out
}

fn scoped(scoped: &Scoped) -> Value {
    let mut out = limit(&scoped.limit);
    out["name"] = json!(scoped.limit.name);
    out["match"] = matching(&scoped.scope);
    if !scoped.scope.conditions.is_empty() {
        out["conditions"] = group(&scoped.scope.conditions);
    }
    out
}

fn limit(limit: &Limit) -> Value {
    let mut out = json!({"max": limit.max.to_json(), "approval": limit.approval});
    match &limit.counted {
        Counted::Actions => {}
        Counted::Sum(path) => out["sum"] = json!(path),
        Counted::Failures => out["count"] = json!("failures"),
    }
    if let Some(per) = limit.per {
        out["per"] = json!(per_text(per));
    }
    if !limit.by.is_empty() {
        out["by"] = limit.by.iter().map(|by| by.as_str()).collect();
    }
    if let Some(risk_level) = limit.risk_level {
        out["risk_level"] = json!(risk_level);
    }
    if !limit.release_on.is_empty() {
        out["release_on"] = limit.release_on.iter().map(|status| status.as_str()).collect();
    }
    out
}

fn matching(rule: &Rule) -> Value {
    let mut matching = json!({"type": rule.type_pattern.to_json(), "target": rule.target_pattern.to_json()});
    if let Some(actor) = &rule.actor_pattern {
        matching["actor"] = actor.to_json();
    }
    if let Some(path) = &rule.target_path_pattern {
        matching["target_path"] = path.to_json();
    }
    matching
}

fn rule(rule: &Rule) -> Value {
    let matching = matching(rule);
    let mut out =
        json!({"name": rule.name, "match": matching, "risk_level": rule.risk_level, "approval": rule.approval});
    if !rule.conditions.is_empty() {
        out["conditions"] = group(&rule.conditions);
    }
    if let Some(reason) = &rule.reason {
        out["reason"] = json!(reason);
    }
    if !rule.constraints.is_empty() {
        out["constraints"] = Value::Object(rule.constraints.clone());
    }
    if let Some(timeout) = rule.timeout {
        out["timeout"] = json!(timeout_text(timeout));
    }
    if rule.on_timeout != OnTimeout::Deny {
        out["on_timeout"] = json!(rule.on_timeout.as_str());
    }
    if !rule.redact.is_empty() {
        out["redact"] = json!(rule.redact);
    }
    if let Some(own) = &rule.limit {
        out["limit"] = limit(own);
    }
    out
}

fn group(conditions: &[Condition]) -> Value {
    let mut out = Map::new();
    for condition in conditions {
        match condition {
            Condition::Time(Window { after, before }, zone) => {
                put_time(&mut out, "time_after", after.map(|time| time.to_string()));
                put_time(&mut out, "time_before", before.map(|time| time.to_string()));
                put_zone(&mut out, zone);
            }
            Condition::Weekdays(weekdays, zone) => {
                out.insert("weekdays".to_owned(), days(*weekdays));
                put_zone(&mut out, zone);
            }
            Condition::Param(path, test) | Condition::Caller(path, test) => {
                out.entry(test.name()).or_insert_with(|| json!({}))[path.as_str()] = expected(test);
            }
            Condition::All(groups) => {
                out.insert("all".to_owned(), groups.iter().map(|inner| group(inner)).collect());
            }
            Condition::Any(groups) => {
                out.insert("any".to_owned(), groups.iter().map(|inner| group(inner)).collect());
            }
            Condition::Not(inner) => {
                out.insert("not".to_owned(), group(inner));
            }
        }
    }
    Value::Object(out)
}

fn put_time(out: &mut Map<String, Value>, key: &str, time: Option<String>) {
    if let Some(time) = time {
        out.insert(key.to_owned(), Value::String(time));
    }
}

fn put_zone(out: &mut Map<String, Value>, zone: &Zone) {
    if !zone.is_utc() {
        out.insert("timezone".to_owned(), json!(zone.to_string()));
    }
}

fn days(weekdays: Weekdays) -> Value {
    weekdays.days().map(Value::from).collect()
}

fn expected(test: &Test) -> Value {
    match test {
        Test::Eq(value)
        | Test::Gt(value)
        | Test::Gte(value)
        | Test::Lt(value)
        | Test::Lte(value)
        | Test::Contains(value) => value.clone(),
        Test::In(values) | Test::NotIn(values) => json!(values),
        Test::Starts(part) | Test::Ends(part) => json!(part),
        Test::Len(Length { min, max: Some(max) }) if min == max => json!(min),
        Test::Len(Length { min, max: Some(max) }) => json!({"min": min, "max": max}),
        Test::Len(Length { min, max: None }) => json!({"min": min}),
        Test::Schema(shape) => shape.source().clone(),
        Test::Matches(pattern) => json!(pattern.as_str()),
        Test::Exists(wanted) => json!(wanted),
    }
}
