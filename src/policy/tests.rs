//! What policies decide beyond the conformance data, and the laws that hold for every policy.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::{Action, Approval, ParamPath, RiskLevel, Timestamp};

mod language;
mod law;
mod limits;

fn policy(layers: &[&str]) -> Policy {
    let sources: Vec<Source> = layers
        .iter()
        .enumerate()
        .map(|(i, text)| Source { name: format!("{i}.yaml"), text: (*text).to_owned() })
        .collect();
    Policy::load(&sources).unwrap_or_else(|errors| panic!("{errors}"))
}

fn action(kind: &str, target: &str, params: &Value) -> Action {
    let params = params.as_object().cloned().unwrap_or_default();
    Action { r#type: kind.to_owned(), target: target.to_owned(), params, description: String::new() }
}

fn ask(action: &Action) -> Question<'_> {
    Question {
        action,
        declared_actor: "agent-7",
        authenticated_actor: None,
        now: "2026-03-18T12:00:00Z".parse().unwrap(),
        masked: &[],
    }
}

fn decide(policy: &Policy, kind: &str, params: &Value) -> String {
    policy.evaluate(&ask(&action(kind, "x", params))).matched_rule.to_owned()
}

const GUARDS: &str = "
rules:
  - {name: auto, match: {type: auto}, approval: auto, conditions: {param_gt: {n: 100}}}
  - {name: confirm, match: {type: confirm}, approval: confirm, conditions: {param_gt: {n: 100}}}
  - {name: approve, match: {type: approve}, approval: approve, conditions: {param_gt: {n: 100}}}
  - {name: block, match: {type: block}, approval: block, conditions: {param_gt: {n: 100}}}
";

#[test]
fn another_type_does_not_dodge_a_guard_and_an_unknown_condition_allows_nothing() {
    let policy = policy(&[GUARDS]);
    for (value, expected) in [(json!(150), [true; 4]), (json!(5), [false; 4]), (json!(null), [false; 4])] {
        for (kind, matches) in ["auto", "confirm", "approve", "block"].into_iter().zip(expected) {
            let rule = decide(&policy, kind, &json!({"n": value}));
            assert_eq!(rule, if matches { kind } else { "<default>" }, "{kind} {value}");
        }
    }
    for value in [json!("150"), json!([150]), json!({"v": 1}), json!(true)] {
        // The default asks a reviewer, which is stricter than asking the agent's own user.
        for kind in ["auto", "confirm"] {
            assert_eq!(decide(&policy, kind, &json!({"n": value})), "<default>", "{value}");
        }
        for kind in ["approve", "block"] {
            assert_eq!(decide(&policy, kind, &json!({"n": value})), kind, "{value}");
        }
    }
}

#[test]
fn an_unknown_weaker_rule_does_not_hide_a_stricter_one() {
    let policy = policy(&["
rules:
  - {name: small_payments, match: {type: pay}, conditions: {param_lt: {amount: 100}}, approval: confirm}
  - {name: no_large_payments, match: {type: pay}, risk_level: critical, approval: block}
  - {name: small_refunds, match: {type: refund}, conditions: {param_lte: {amount: 100}}, timeout: 1s, on_timeout: allow}
  - {name: no_large_refunds, match: {type: refund}, risk_level: critical, approval: block}
  - {name: staging, match: {type: deploy}, conditions: {param_matches: {env: '^staging$'}}}
  - {name: no_prod, match: {type: deploy}, approval: block}
  - {name: big_orders, match: {type: order}, conditions: {param_gt: {order.amount: 100}}, approval: approve}
  - {name: other_orders, match: {type: order}, approval: auto}
"]);
    for amount in [json!("5000000"), json!([5_000_000]), json!(true), json!({"v": 50}), json!(5000)] {
        assert_eq!(decide(&policy, "pay", &json!({"amount": amount})), "no_large_payments", "{amount}");
        assert_eq!(decide(&policy, "refund", &json!({"amount": amount})), "no_large_refunds", "{amount}");
    }
    assert_eq!(decide(&policy, "pay", &json!({"amount": 50})), "small_payments");
    for env in [json!("prod"), json!(["prod"]), json!(["staging"]), json!({"x": "staging"}), json!(true)] {
        assert_eq!(decide(&policy, "deploy", &json!({"env": env})), "no_prod", "{env}");
    }
    assert_eq!(decide(&policy, "deploy", &json!({"env": "staging\n"})), "staging");
    for order in [
        json!({"amount": 500}),
        json!("{\"amount\": 500}"),
        json!([{"amount": 500}]),
        json!({"amount": "500"}),
        json!({"amount": [500]}),
    ] {
        assert_eq!(decide(&policy, "order", &json!({"order": order})), "big_orders", "{order}");
    }
    for order in [json!(null), json!({}), json!({"amount": null}), json!({"amount": 50})] {
        assert_eq!(decide(&policy, "order", &json!({"order": order})), "other_orders", "{order}");
    }
}

#[test]
fn a_question_combines_the_demands_of_equally_strict_rules() {
    let policy = policy(&["
redact: [z]
rules:
  - {name: weaker, approval: confirm, conditions: {param_gt: {n: 1}}}
  - {name: first, risk_level: low, conditions: {param_gt: {n: 1}}, timeout: 1h, constraints: {a: 1, b: 1}, redact: [x]}
  - {name: auto, approval: auto, conditions: {param_gt: {n: 1}}, constraints: {d: 4}, redact: [no]}
  - name: second
    risk_level: critical
    conditions: {param_lt: {n: 9}}
    timeout: 5m
    constraints: {b: 2, c: 3}
    redact: [y]
  - {name: certain, match: {type: with}, risk_level: high, constraints: {c: 5}, redact: [w]}
"]);
    let (with, without) = (action("with", "", &json!({"n": "5"})), action("without", "", &json!({"n": "5"})));
    let verdict = policy.evaluate(&ask(&with));
    assert_eq!((verdict.matched_rule, verdict.risk_level), ("first", RiskLevel::Critical));
    assert_eq!((verdict.timeout().as_secs(), verdict.on_timeout()), (300, OnTimeout::Deny));
    assert_eq!(Value::Object(verdict.constraints().clone()), json!({"a": 1, "b": 1, "c": 3}));
    assert_eq!(verdict.redact().map(ParamPath::as_str).collect::<Vec<_>>(), ["x", "y", "w", "z"]);
    assert_eq!(
        verdict.reason(),
        "rule `first` asks for a reviewer's approval; `param_gt` on `n` is unknown (it needs a number and the value is \
         text), so the strictest rule that may apply decides; rule `weaker` does not decide, because `param_gt` on `n` \
         is unknown (it needs a number and the value is text)"
    );
    let verdict = policy.evaluate(&ask(&without));
    assert_eq!((verdict.matched_rule, verdict.risk_level), ("first", RiskLevel::Critical));
    let explained = policy.explain(&ask(&with));
    let decides: Vec<_> = explained.rules.iter().filter(|rule| rule.decides).map(|rule| rule.name.as_str()).collect();
    assert_eq!(decides, ["first", "second", "certain"]);
}

#[test]
fn a_timeout_allows_only_if_all_equally_strict_rules_allow_it() {
    let policy = policy(&["
rules:
  - {name: first, risk_level: low, conditions: {param_gt: {n: 1}}, timeout: 1h, on_timeout: allow}
  - {name: second, match: {type: same}, risk_level: low, timeout: 5m, on_timeout: allow}
  - {name: third, match: {type: stricter}, risk_level: low, timeout: 2h}
"]);
    for (kind, rule, seconds, on_timeout) in [
        ("same", "first", 300, OnTimeout::Allow),
        ("stricter", "third", 7200, OnTimeout::Deny),
        ("none", "<default>", 900, OnTimeout::Deny),
    ] {
        let asked = action(kind, "", &json!({"n": "5"}));
        let verdict = policy.evaluate(&ask(&asked));
        assert_eq!(
            (verdict.matched_rule, verdict.timeout().as_secs(), verdict.on_timeout()),
            (rule, seconds, on_timeout)
        );
    }
}

#[test]
fn the_reason_says_what_is_unknown() {
    let policy = policy(&[GUARDS]);
    let block = action("block", "x", &json!({"n": "5"}));
    assert_eq!(
        policy.evaluate(&ask(&block)).reason(),
        "rule `block` blocks this action; `param_gt` on `n` is unknown (it needs a number and the value is text), so \
         the strictest rule that may apply decides"
    );
    let auto = action("auto", "x", &json!({"n": "5"}));
    assert_eq!(
        policy.evaluate(&ask(&auto)).reason(),
        "no rule matches, and the default asks for a reviewer's approval; rule `auto` allows nothing here, because \
         `param_gt` on `n` is unknown (it needs a number and the value is text)"
    );
}

#[test]
fn a_rule_has_its_own_reason_constraints_and_timeout() {
    let policy = policy(&["
redact: [password]
rules:
  - name: r
    match: {type: a}
    reason: Ask the DBA.
    constraints: {max_rows: 10, tables: [a, ~]}
    timeout: 1h
    on_timeout: allow
    redact: [card]
"]);
    let first = action("a", "", &Value::Null);
    let verdict = policy.evaluate(&ask(&first));
    assert_eq!(verdict.reason(), "Ask the DBA.");
    assert_eq!(Value::Object(verdict.constraints().clone()), json!({"max_rows": 10, "tables": ["a", null]}));
    assert_eq!((verdict.timeout().as_secs(), verdict.on_timeout()), (3600, OnTimeout::Allow));
    assert_eq!(verdict.redact().map(ParamPath::as_str).collect::<Vec<_>>(), ["card", "password"]);

    let other = action("b", "", &Value::Null);
    let verdict = policy.evaluate(&ask(&other));
    assert_eq!((verdict.timeout(), verdict.on_timeout()), (DEFAULT_TIMEOUT, OnTimeout::Deny));
    assert!(verdict.constraints().is_empty() && verdict.rule.is_none());
    assert_eq!(verdict.redact().map(ParamPath::as_str).collect::<Vec<_>>(), ["password"]);
}

#[test]
fn an_unauthenticated_name_is_not_allowed_without_a_reviewer() {
    let policy = policy(&["
rules:
  - {name: block, match: {type: block, actor: 'agent-*'}, approval: block}
  - {name: approve, match: {type: approve, actor: 'agent-*'}, approval: approve}
  - {name: auto, match: {type: auto, actor: 'agent-*'}, approval: auto}
  - {name: confirm, match: {type: confirm, actor: 'agent-*'}, approval: confirm}
  - {name: silence, match: {type: silence, actor: 'agent-*'}, approval: approve, on_timeout: allow}
"]);
    let decide = |kind: &str, declared_actor: &str, authenticated_actor: Option<&str>| {
        let action = action(kind, "", &Value::Null);
        policy.evaluate(&Question { declared_actor, authenticated_actor, ..ask(&action) }).matched_rule.to_owned()
    };
    for kind in ["block", "approve"] {
        assert_eq!(decide(kind, "agent-7", None), kind);
        assert_eq!(decide(kind, "x", Some("agent-7")), kind);
        assert_eq!(decide(kind, "agent-7", Some("x")), kind);
        assert_eq!(decide(kind, "x", Some("y")), "<default>");
    }
    for kind in ["auto", "confirm", "silence"] {
        assert_eq!(decide(kind, "agent-7", None), "<default>");
        assert_eq!(decide(kind, "agent-7", Some("x")), "<default>");
        assert_eq!(decide(kind, "x", Some("agent-7")), kind);
    }
}

#[test]
fn types_targets_and_globs_are_compared_in_nfc() {
    let policy = policy(&["
rules:
  - {name: composed, match: {type: \"caf\\u00e9*\", target: \"*\\u00e9\"}, approval: block}
  - {name: decomposed, match: {type: \"re\\u0301sume\\u0301\"}, approval: block}
"]);
    for (kind, target, rule) in [
        ("cafe\u{301}_x", "e\u{301}", "composed"),
        ("caf\u{e9}", "\u{e9}", "composed"),
        ("r\u{e9}sum\u{e9}", "", "decomposed"),
        ("re\u{301}sum\u{e9}", "", "decomposed"),
        ("cafe", "e", "<default>"),
    ] {
        let action = action(kind, target, &Value::Null);
        assert_eq!(policy.evaluate(&ask(&action)).matched_rule, rule, "{kind}@{target}");
        assert_eq!(policy.explain(&ask(&action)).matched_rule, rule, "{kind}@{target}");
    }
}

#[test]
fn a_later_layer_wins() {
    let base = "
defaults: {risk_level: low, approval: auto}
redact: [b]
secrets: {defaults: false, names: [b]}
rules:
  - {name: kept, match: {type: a}, approval: auto}
  - {name: replaced, match: {type: b}, approval: auto}
  - {match: {type: c}, approval: auto}
";
    let env = "
defaults: {approval: block}
redact: [a]
secrets: {names: [A]}
rules:
  - {match: {type: d}}
  - {name: replaced, match: {type: e}, approval: block}
  - {name: rule_2, match: {type: f}, approval: block}
";
    let policy = policy(&[base, env]);
    assert_eq!(
        policy.rules().iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(),
        ["rule_0", "replaced", "rule_2", "kept", "rule_2"]
    );
    assert_eq!(policy.defaults(), (RiskLevel::Low, Approval::Block));
    assert_eq!(policy.redact(), [ParamPath::new("a"), ParamPath::new("b")]);
    assert!(!policy.secrets().defaults && policy.secrets().is_name("a") && policy.secrets().is_name("B"));
    assert_eq!(policy.rules()[4].position, Position { file: "0.yaml".to_owned(), line: 8, column: 5 });
    assert_eq!(decide(&policy, "b", &Value::Null), "<default>");
}

#[test]
fn a_name_is_replaced_in_all_earlier_layers() {
    let layer = |kind: &str| format!("rules: [{{name: n, match: {{type: {kind}}}}}]");
    let policy = policy(&[&layer("a"), &layer("b"), &layer("c")]);
    assert_eq!(policy.rules().len(), 1);
    assert_eq!(policy.rules()[0].type_pattern.as_str(), "c");
}

#[test]
fn a_policy_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Policy>();
}

#[test]
fn masked_values_are_unknown() {
    let policy = policy(&[GUARDS]);
    let (block, auto) =
        (action("block", "x", &json!({"n": "[masked, 1 characters]"})), action("auto", "x", &json!({"n": 500})));
    let masked = [ParamPath::new("n")];
    assert_eq!(policy.evaluate(&Question { masked: &masked, ..ask(&block) }).matched_rule, "block");
    assert_eq!(policy.evaluate(&Question { masked: &masked, ..ask(&auto) }).matched_rule, "<default>");
}

#[test]
fn the_starter_is_what_aegis_init_writes() {
    let policy = Policy::starter();
    assert!(policy.warnings().is_empty());
    assert_eq!(policy.defaults(), (RiskLevel::Medium, Approval::Approve));
    let rules: Vec<_> = policy
        .rules()
        .iter()
        .map(|rule| (rule.name.as_str(), rule.type_pattern.as_str(), rule.risk_level.as_str(), rule.approval.as_str()))
        .collect();
    assert_eq!(
        rules,
        [
            ("read_auto", "read*", "low", "auto"),
            ("get_auto", "get*", "low", "auto"),
            ("write_approve", "write*", "medium", "approve"),
            ("update_approve", "update*", "medium", "approve"),
            ("bulk_high", "bulk_*", "high", "approve"),
            ("delete_block", "delete*", "critical", "block"),
        ]
    );
    assert!(policy.rules().iter().all(|rule| rule.conditions.is_empty()));
}

#[test]
fn a_revision_depends_on_the_meaning_and_not_on_the_text() {
    let one = policy(&["
# a comment
rules:
  - name: r
    conditions: {weekdays: [3, 1], time_after: 9:00, param_gt: {n: 100.0}}
    timeout: 60m
    redact: [b, a, a]
"]);
    let same = policy(&["{\"rules\": [{\"timeout\": \"1h\", \"redact\": [\"a\", \"b\"], \"match\": {\"type\": \"*\"},
        \"conditions\": {\"param_gt\": {\"n\": 100}, \"time_after\": \"09:00\", \"weekdays\": [1, 3]}, \"name\": \
            \"r\"}], \"version\": 1}"]);
    let other = policy(&["rules: [{name: r, conditions: {weekdays: [3, 1], time_after: 9:00, param_gt: {n: 101}}}]"]);
    assert_eq!(one.revision(), same.revision());
    assert_ne!(one.revision(), other.revision());
}

#[test]
fn an_explanation_shows_every_step_and_masks_secrets() {
    let policy = policy(&["
redact: [card]
rules:
  - {name: other, match: {type: write}}
  - name: small
    match: {type: pay}
    approval: auto
    conditions: {param_lt: {amount: 10}, any: [{param_eq: {card: '4111'}}, {not: {weekdays: [7]}}]}
  - {name: large, match: {type: pay}, approval: block, conditions: {param_gte: {amount: 10}}}
  - {name: never}
"]);
    let pay = action("pay", "x", &json!({"amount": "12\u{202e}", "card": "5500"}));
    let explanation = serde_json::to_value(policy.explain(&ask(&pay))).unwrap();
    assert!(!explanation.to_string().contains("5500"), "{explanation}");
    insta::assert_snapshot!(serde_json::to_string_pretty(&explanation).unwrap());
}

#[test]
fn an_explanation_is_bounded_and_says_so() {
    let rules: Vec<Value> = (0..5_000).map(|i| json!({"match": {"type": format!("t{i}")}})).collect();
    let policy = policy(&[&json!({"rules": rules}).to_string()]);
    let explanation = policy.explain(&ask(&action("t4000", "x", &Value::Null)));
    assert_eq!(
        (explanation.matched_rule.as_str(), explanation.rules.len(), explanation.left_out),
        ("rule_4000", 21, 3980)
    );
}

/// Rules that overlap a lot, so that order and conditions decide.
fn any_rule() -> impl Strategy<Value = Value> {
    let glob = prop_oneof!["[ab]{0,2}\\*?[ab]{0,2}", "\\*[ab]{0,2}\\*", "[ab?]{1,3}", "(\\[!?a\\]|a|\\*){1,3}"];
    let approval = prop::sample::select(vec!["auto", "confirm", "approve", "block"]);
    let condition = prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"param_gt": {"n": 1}})),
        1 => Just(json!({"not": {"param_lt": {"n": 1}}})),
        1 => Just(json!({"any": [{"param_eq": {"a.b": 1}}, {"param_matches": {"s": "^a"}}]})),
        1 => Just(json!({"param_contains": {"s": "a"}, "param_exists": {"n": true}})),
        1 => Just(json!({"param_in": {"n": [0, 1]}, "weekdays": [3]})),
    ];
    (glob.clone(), glob, approval, condition).prop_map(|(kind, target, approval, conditions)| {
        json!({"match": {"type": kind, "target": target}, "approval": approval, "conditions": conditions})
    })
}

fn any_params() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        Just(json!(null)),
        Just(json!(0)),
        Just(json!(1.0)),
        Just(json!(5)),
        Just(json!("a")),
        Just(json!(["a"])),
        Just(json!(true))
    ];
    prop::collection::btree_map(prop::sample::select(vec!["n", "s", "a.b"]), value, 0..4).prop_map(|map| json!(map))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_index_decides_like_a_scan_of_all_rules(
        rules in prop::collection::vec(any_rule(), 0..40),
        actions in prop::collection::vec(("[ab]{0,4}", "[ab]{0,4}", any_params()), 8),
    ) {
        let policy = policy(&[&json!({"rules": rules}).to_string()]);
        for (kind, target, params) in &actions {
            let action = action(kind, target, params);
            law::check(&policy, &ask(&action))?;
        }
    }

    #[test]
    fn loading_a_merged_policy_gives_the_same_revision(rules in prop::collection::vec(any_rule(), 0..10)) {
        let first = policy(&[&json!({"rules": rules}).to_string()]);
        let again = policy(&[&first.merged().to_string()]);
        prop_assert_eq!(first.revision(), again.revision());
        prop_assert_eq!(first.merged(), again.merged());
        // Only the text matters: loading it twice gives the same findings and rules in the same order.
        let twice = policy(&[&json!({"rules": rules}).to_string()]);
        prop_assert_eq!(first.warnings(), twice.warnings());
        prop_assert_eq!(format!("{:?}", first.rules()), format!("{:?}", twice.rules()));
    }

    #[test]
    fn no_text_makes_loading_or_deciding_panic(text in mutated(), params in any_params()) {
        if let Ok(policy) = Policy::load(&[Source { name: "p".to_owned(), text }]) {
            let action = action("read", "crm", &params);
            let question = Question { now: Timestamp::MIN, ..ask(&action) };
            policy.evaluate(&question).reason();
            policy.explain(&question);
            if policy.warnings().is_empty() {
                let merged = Source { name: "merged".to_owned(), text: policy.merged().to_string() };
                prop_assert_eq!(Policy::load(&[merged]).map(|again| again.revision()), Ok(policy.revision()));
            }
        }
    }
}

/// The starter, and a policy that uses every feature, cut up and put together wrongly.
fn mutated() -> impl Strategy<Value = String> {
    const EVERYTHING: &str = include_str!("../../tests/data/everything.yaml");
    let base = prop::sample::select(vec![STARTER, EVERYTHING]);
    let edit = (any::<prop::sample::Index>(), 0..12_usize, "[-:{}\\[\\]*&!|>'\"# \n?,@a0~<.%\t\u{85}é]{0,4}");
    (base, prop::collection::vec(edit, 1..6)).prop_map(|(base, edits)| {
        let mut chars: Vec<char> = base.chars().collect();
        for (at, cut, insert) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + cut).min(chars.len());
            chars.splice(at..end, insert.chars());
        }
        chars.into_iter().collect()
    })
}
