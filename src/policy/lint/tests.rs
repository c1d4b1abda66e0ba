//! Which rules are reported as hidden, which targets as escapable, and that no such warning is wrong.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use crate::domain::{Action, Timestamp};
use crate::policy::{Code, Policy, Question, Source};

fn load(text: &str) -> Policy {
    Policy::load(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }])
        .unwrap_or_else(|errors| panic!("{errors}"))
}

/// The warnings of this kind, as they are shown.
fn warnings(text: &str, code: Code) -> Vec<String> {
    load(text).warnings().iter().filter(|warning| warning.code == code).map(ToString::to_string).collect()
}

fn hidden(rules: &str) -> bool {
    !warnings(&format!("rules:\n{rules}"), Code::HiddenRule).is_empty()
}

#[test]
fn a_hidden_rule_is_named_with_its_place_and_what_hides_it() {
    let text = "\
rules:
  - name: phi
    match: { type: \"access_phi\" }
  - name: phi_at_night
    match: { type: \"access_phi\" }
    conditions: { time_after: \"22:00\" }
    approval: block
";
    assert_eq!(
        warnings(text, Code::HiddenRule),
        ["p.yaml:4:5: rule `phi_at_night` is never tried: rule `phi` (p.yaml:2) comes first and matches everything \
             that it matches; put it before that rule, or remove it [HIDDEN_RULE]"]
    );
    let text = "rules: [{name: a}, {name: b}, {name: c}, {name: d}]";
    assert_eq!(
        warnings(text, Code::HiddenRule),
        ["p.yaml:1:20: rule `b` and the 2 after it are never tried: rule `a` (p.yaml:1) comes first and matches \
             everything; put it last [HIDDEN_RULE]"]
    );
}

#[test]
fn a_rule_is_hidden_only_if_another_certainly_contains_it() {
    for rules in [
        "  - {match: {type: 'read*'}}\n  - {match: {type: 'read_*', target: 'crm'}}",
        "  - {match: {type: '*_?'}}\n  - {match: {type: 'a[bc]_[0-9]'}}",
        "  - {match: {type: '[!x]*'}}\n  - {match: {type: '[a-c]*z'}}",
        "  - {match: {type: a}, conditions: {time_after: 08:00}}\n  - {match: {type: a}, conditions: {time_after: \
         09:00, param_gt: {n: 1}}}",
        "  - {match: {type: a}, conditions: {time_after: 20:00, time_before: 06:00}}\n  - {match: {type: a}, \
         conditions: {time_after: 22:00}}",
        "  - {match: {type: a}, conditions: {weekdays: [1, 2, 3]}}\n  - {match: {type: a}, conditions: {weekdays: \
         [2]}}",
        "  - {match: {type: a, actor: 'b*'}}\n  - {match: {type: a, actor: bot}, approval: auto}",
        "  - {match: {type: a}}\n  - {match: {type: b}}\n  - {match: {type: a, actor: bot}}",
    ] {
        assert!(hidden(rules), "{rules}");
    }
    for rules in [
        "  - {match: {type: 'read_*'}}\n  - {match: {type: 'read*'}}",
        "  - {match: {type: 'a?'}}\n  - {match: {type: 'a*'}}",
        "  - {match: {type: '[a-c]'}}\n  - {match: {type: '[a-d]'}}",
        "  - {match: {type: 'a*', target: x}}\n  - {match: {type: 'ab'}}",
        // A condition on a parameter can be unknown, and then the later rule can decide.
        "  - {match: {type: a}, conditions: {param_gt: {n: 1}}}\n  - {match: {type: a}, conditions: {param_gt: {n: \
         1}}, approval: block}",
        "  - {match: {type: a}, conditions: {time_after: 09:00}}\n  - {match: {type: a}, conditions: {time_after: \
         08:00}}",
        "  - {match: {type: a}, conditions: {weekdays: [1]}}\n  - {match: {type: a}, conditions: {weekdays: [1], \
         timezone: Europe/Berlin}}",
        // A declared name is enough for the second rule but not for the first.
        "  - {match: {type: a, actor: bot}, approval: auto}\n  - {match: {type: a, actor: bot}, approval: block}",
        "  - {match: {type: a, actor: '*'}, approval: auto}\n  - {match: {type: a}, approval: block}",
        "  - {match: {type: a}, approval: block}\n  - {match: {type: '*'}}",
    ] {
        assert!(!hidden(rules), "{rules}");
    }
}

#[test]
fn an_escapable_target_is_warned_of_on_a_rule_that_allows() {
    let escapes = |rules: &str| warnings(&format!("rules:\n{rules}"), Code::EscapableTarget).len();
    let auto = "  - {match: {type: read, target: '/data/*'}, approval: auto}\n";
    assert_eq!(escapes(auto), 1);
    assert_eq!(escapes("  - {match: {target: '/data/*'}, approval: confirm}"), 1);
    assert_eq!(escapes("  - {match: {target: '/data/*'}, on_timeout: allow}"), 1);
    assert_eq!(escapes("  - {match: {target: '/data/*'}, approval: block}"), 0);
    for guard in ["*/../*", "*..*", "/data/*..*", "*"] {
        let is_enough = guard.contains("..");
        let rules = format!("  - {{match: {{target: '{guard}', type: 'r*'}}, approval: block}}\n{auto}");
        assert_eq!(escapes(&rules) == 0, is_enough, "{rules}");
    }
    let elsewhere = format!("  - {{match: {{target: '*/../*', type: write}}, approval: block}}\n{auto}");
    let weaker = format!("  - {{match: {{target: '*/../*'}}, approval: confirm}}\n{auto}");
    let later = format!("{auto}  - {{match: {{target: '*/../*'}}, approval: block}}\n");
    for rules in [elsewhere, weaker, later] {
        assert_eq!(escapes(&rules), 1, "{rules}");
    }
}

fn rule() -> impl Strategy<Value = Value> {
    let glob = || prop_oneof!["[ab]{0,2}\\*?[ab]{0,1}", "(\\[!?[ab]\\]|a|b|\\*|\\?){1,3}"];
    let approval = select(vec!["auto", "confirm", "approve", "block"]);
    let conditions = select(vec![
        json!({}),
        json!({}),
        json!({"time_after": "09:00"}),
        json!({"time_after": "08:00", "time_before": "12:00"}),
        json!({"weekdays": [1]}),
        json!({"weekdays": [1, 2]}),
        json!({"param_gt": {"n": 1}}),
    ]);
    let actor =
        select(vec![json!({}), json!({}), json!({"actor": "a*"}), json!({"actor": "*"}), json!({"actor": "ab"})]);
    (glob(), glob(), approval, conditions, actor).prop_map(|(kind, target, approval, conditions, actor)| {
        let mut matching = json!({"type": kind, "target": target});
        matching.as_object_mut().unwrap().extend(actor.as_object().unwrap().clone());
        json!({"match": matching, "approval": approval, "conditions": conditions})
    })
}

/// A type, a target, an actor and whether it is authenticated, a minute of a week, and a parameter.
fn asked() -> impl Strategy<Value = (String, String, String, bool, i64, Value)> {
    let n = select(vec![json!(5), json!("5")]);
    ("[ab]{0,3}", "[ab]{0,3}", "a?b?", any::<bool>(), 0..10_080_i64, n)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_rule_reported_as_hidden_never_decides(
        rules in prop::collection::vec(rule(), 2..8),
        asked in prop::collection::vec(asked(), 16),
    ) {
        let policy = load(&json!({"rules": rules}).to_string());
        let is_hidden = |name: &str| policy.warnings().iter()
            .filter(|warning| warning.code == Code::HiddenRule)
            .any(|warning| warning.message.starts_with(&format!("rule `{name}`")));
        for (kind, target, actor, is_authenticated, minute, n) in asked {
            let params = json!({"n": n}).as_object().unwrap().clone();
            let action = Action { r#type: kind, target, params, description: String::new() };
            let question = Question {
                action: &action,
                declared_actor: &actor,
                authenticated_actor: is_authenticated.then_some(actor.as_str()),
                now: Timestamp::from_second(minute * 60).unwrap(),
                masked: &[],
            };
            for rule in policy.explain(&question).rules {
                prop_assert!(!rule.decides || !is_hidden(&rule.name), "{}", rule.name);
            }
        }
    }

    #[test]
    fn a_glob_that_contains_another_matches_all_that_the_other_matches(
        one in "([ab]|\\*|\\?|\\[!?[a-c]\\]|\\[a-b\\]){0,5}",
        other in "([ab]|\\*|\\?|\\[!?[a-c]\\]|\\[a-b\\]){0,5}",
        text in "[abcd]{0,5}",
    ) {
        let (one, other) = (crate::policy::Glob::new(&one), crate::policy::Glob::new(&other));
        prop_assert!(!(one.contains(&other) && other.matches(&text)) || one.matches(&text));
        if let Some(example) = other.example() {
            prop_assert!(other.matches_nfc(&example));
        }
        prop_assert!(one.contains(&one));
        match one.common(&other) {
            Some(common) => prop_assert!(one.matches_nfc(&common) && other.matches_nfc(&common), "{}", common),
            None => prop_assert!(!(one.matches(&text) && other.matches(&text)), "{} {}", one, other),
        }
    }
}
