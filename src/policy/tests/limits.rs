//! Limits, as far as a policy knows them: which apply, and what an action spends.

use serde_json::{Value, json};

use crate::domain::{Action, Approval, RiskLevel, Timestamp};
use crate::policy::{Code, Limit, Policy, Question, Reached, Source, Verdict};

fn policy(text: &str) -> Policy {
    Policy::load(&[Source { name: "p".to_owned(), text: text.to_owned() }]).unwrap_or_else(|errors| panic!("{errors}"))
}

fn action(kind: &str, params: &Value) -> Action {
    Action { r#type: kind.to_owned(), params: params.as_object().unwrap().clone(), ..Action::default() }
}

fn verdict<'p>(policy: &'p Policy, action: &Action) -> Verdict<'p> {
    let now = Timestamp::UNIX_EPOCH;
    policy.evaluate(&Question { action, declared_actor: "", authenticated_actor: None, now, masked: &[] })
}

fn charged(verdict: &Verdict<'_>) -> Vec<String> {
    verdict.charges().iter().map(|charge| format!("{} {}", charge.limit.name, charge.amount)).collect()
}

#[test]
fn an_action_comes_under_the_limit_of_its_rule_and_every_limit_that_may_be_about_it() {
    let policy = policy(
        "
limits:
  - {name: all, max: 100}
  - {name: pays, match: {type: pay}, sum: amount, max: 50}
  - {name: big, match: {type: pay}, conditions: {param_gt: {amount: 10}}, max: 2}
rules:
  - {name: pay, match: {type: pay}, approval: auto, limit: {max: 3}}
  - {name: never, match: {type: drop}, approval: block}
  - {name: rest, approval: auto}
",
    );
    let charged = |kind: &str, params: &Value| charged(&verdict(&policy, &action(kind, params)));
    assert_eq!(charged("pay", &json!({"amount": 20})), ["pay 1", "all 1", "pays 20", "big 1"]);
    assert_eq!(charged("pay", &json!({"amount": 9.5})), ["pay 1", "all 1", "pays 9.5"]);
    assert_eq!(charged("read", &json!({})), ["all 1"]);
    assert!(charged("drop", &json!({})).is_empty(), "what is blocked spends nothing");
}

#[test]
fn a_rule_in_doubt_does_not_take_its_limit_away() {
    let policy = policy(
        "
rules:
  - {name: few, match: {type: pay}, conditions: {param_lt: {amount: 10}}, approval: auto, limit: {max: 3}}
  - {name: rest, approval: auto}
",
    );
    let of = |amount: Value| charged(&verdict(&policy, &action("pay", &json!({"amount": amount}))));
    assert_eq!((of(json!(5)), of(json!("5"))), (vec!["few 1".to_owned()], vec!["few 1".to_owned()]));
    assert!(of(json!(50)).is_empty(), "it certainly does not match");
}

#[test]
fn what_is_no_amount_exceeds_a_sum_and_so_does_too_much_at_once() {
    let policy =
        policy("rules: [{name: pay, approval: auto, risk_level: low, limit: {sum: a.b, max: 50, risk_level: high}}]");
    let spends = |params: &Value| {
        let action = action("pay", params);
        let verdict = verdict(&policy, &action);
        let is_blocked = verdict.approval == Approval::Block && verdict.risk_level == RiskLevel::High;
        assert_eq!(is_blocked, !verdict.reached().is_empty(), "{params}");
        charged(&verdict).pop()
    };
    for (params, expected) in [
        (json!({"a": {"b": 50}}), "pay 50"),
        (json!({"a.b": 0.1}), "pay 0.1"),
        (json!({"a": {"b": 0}}), "pay 0"),
        (json!({"a": {"b": 5}, "a.b": 5.0}), "pay 5"),
    ] {
        assert_eq!(spends(&params).as_deref(), Some(expected), "{params}");
    }
    for params in [
        json!({}),
        json!({"a": {"b": null}}),
        json!({"a": {"b": "5"}}),
        json!({"a": {"b": true}}),
        json!({"a": {"b": [5]}}),
        json!({"a": {"b": -1}}),
        json!({"a": {"b": 1e308}}),
        json!({"a": {"b": 51}}),
        json!({"a": [{"b": 5}]}),
        json!({"a": "{\"b\": 5}"}),
        json!({"a": {"b": 5}, "a.b": 6}),
        json!({"a": {"b": 5}, "a.b": null}),
    ] {
        assert_eq!(spends(&params), None, "{params}");
    }
}

#[test]
fn a_reached_limit_makes_an_answer_stricter_and_never_weaker() {
    let policy = policy(
        "
rules:
  - {name: one, match: {type: one}, approval: auto, limit: {max: 1, approval: approve, risk_level: high}}
  - {name: two, match: {type: two}, approval: approve, risk_level: low, on_timeout: allow, limit: {max: 1, approval: confirm}}
",
    );
    let reach = |kind: &str| {
        let (action, why) = (action(kind, &json!({})), "1 of 1 is spent".to_owned());
        let verdict = verdict(&policy, &action);
        let limit = std::sync::Arc::clone(verdict.charges()[0].limit);
        let changes = verdict.is_changed_by(&limit);
        let verdict = verdict.reach(Reached { limit, why });
        (verdict.approval, verdict.risk_level, changes, verdict.reason())
    };
    let (approval, risk, changes, reason) = reach("one");
    assert_eq!((approval, risk, changes), (Approval::Approve, RiskLevel::High, true));
    assert_eq!(reason, "rule `one` allows this action; limit `one` asks for a reviewer's approval: 1 of 1 is spent");
    let (approval, risk, changes, _) = reach("two");
    assert_eq!((approval, risk, changes), (Approval::Approve, RiskLevel::Low, false), "confirm is weaker");
}

#[test]
fn a_later_layer_replaces_the_limit_of_that_name() {
    let layer = |text: &str| Source { name: "p".to_owned(), text: text.to_owned() };
    let base = layer("limits: [{name: a, max: 1}, {name: b, max: 2}]\nrules: [{approval: auto}]");
    let policy = Policy::load(&[base, layer("limits: [{name: a, max: 5, per: 24h}]\nrules: []")]).unwrap();
    let texts: Vec<String> = policy.limits().iter().map(|scoped| scoped.limit.text()).collect();
    assert_eq!(texts, ["5 per 1d", "2"]);
    assert!(policy.has_limits());
}

#[test]
fn what_an_agent_chooses_or_says_is_warned_of() {
    let codes = |limit: &str| -> Vec<Code> {
        let text = format!("rules: [{{name: a, match: {{type: a}}, approval: auto, limit: {limit}}}]");
        policy(&text).warnings().iter().map(|warning| warning.code).collect()
    };
    assert!(codes("{max: 1, per: 1h, by: [subject, target, rule, action]}").is_empty());
    assert_eq!(codes("{max: 1, by: session}"), [Code::SelfChosenKey]);
    assert_eq!(codes("{max: 1, by: [actor, target]}"), [Code::SelfChosenKey]);
    assert_eq!(codes("{max: 1, release_on: [failed]}"), [Code::ReleasedByAgent]);
    let warnings = policy("rules: [{approval: block, match: {type: a}, limit: {max: 1}}]");
    let codes: Vec<Code> = warnings.warnings().iter().map(|warning| warning.code).collect();
    assert_eq!(codes, [Code::UnusedLimit, Code::AutomaticName]);
}

#[test]
fn a_limit_says_what_it_permits() {
    let policy = policy(
        "
limits:
  - {name: a, sum: amount, max: 2.5, per: 90s, by: [target, actor]}
  - {name: b, count: failures, max: 5}
rules: [{approval: auto}]
",
    );
    let texts: Vec<String> = policy.limits().iter().map(|scoped| Limit::text(&scoped.limit)).collect();
    assert_eq!(texts, ["2.5 of `amount` per 90s by actor, target", "5 failures in a row"]);
}
