//! What rules say beyond the seeds: lists of globs, paths, named sets, comparisons with the caller, and more tests of
//! parameters. Each is held against the explanation and the merged form too.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{action, ask, law, policy};
use crate::domain::{Action, Approval};
use crate::policy::{Policy, Question, Source};

/// The rule that decides. Evaluating, explaining and the merged form agree.
fn decide(policy: &Policy, question: &Question<'_>) -> String {
    let rule = policy.evaluate(question).matched_rule.to_owned();
    law::check(policy, question).unwrap();
    let merged = Source { name: "merged".to_owned(), text: policy.merged().to_string() };
    let again = Policy::load(&[merged]).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(again.revision(), policy.revision());
    assert_eq!(again.evaluate(question).matched_rule, rule);
    rule
}

fn on(policy: &Policy, kind: &str, target: &str) -> String {
    decide(policy, &ask(&action(kind, target, &Value::Null)))
}

fn with(policy: &Policy, params: &Value) -> String {
    decide(policy, &ask(&action("a", "", params)))
}

#[test]
fn a_list_of_globs_matches_if_one_of_them_does() {
    let policy = policy(&["
sets: {prod: [db-1, 'eu-*']}
rules:
  - {name: block, match: {type: ['delete*', drop], target: {set: prod}}, approval: block}
  - {name: read, match: {type: ['list*', 'read*', 'get*'], actor: ['agent-*', bot]}, approval: approve}
"]);
    for (kind, target, rule) in [
        ("delete_row", "db-1", "block"),
        ("drop", "eu-west", "block"),
        ("drop", "db-2", "<default>"),
        ("list", "x", "read"),
        ("read_list_get", "x", "read"),
        ("write", "x", "<default>"),
    ] {
        assert_eq!(on(&policy, kind, target), rule, "{kind} {target}");
    }
    let globs: Vec<_> = policy.rules().iter().map(|rule| rule.type_pattern.as_str()).collect();
    assert_eq!(globs, ["delete*, drop", "get*, list*, read*"]);
}

const PATHS: &str = "
rules:
  - {name: system, match: {target_path: ['/etc', '/etc/*']}, approval: block}
  - {name: data, match: {target_path: '/data/*'}, approval: auto}
  - {name: api, match: {target_path: 'https://api.example.com/v1/*'}, approval: auto}
";

#[test]
fn a_path_is_matched_where_it_leads_and_not_as_it_is_spelled() {
    let policy = policy(&[PATHS]);
    for (target, rule) in [
        ("/data/a.csv", "data"),
        ("/data/x/../a.csv", "data"),
        ("/data", "<default>"),
        ("/data/../etc/passwd", "system"),
        ("/etc/", "system"),
        ("file:///data/%2e%2e/etc/passwd", "system"),
        ("https://API.example.com:443/v1/users?x=1", "api"),
        ("https://api.example.com/v1/../v2/users", "<default>"),
        ("https://api.example.com/v1/%2e%2e/v2", "<default>"),
        // What has no one reading is in doubt: the block counts, the yes does not.
        ("/data/%2e%2e/etc/passwd", "system"),
        ("/data\\..\\x", "system"),
        ("../etc/passwd", "system"),
        ("https://user@api.example.com/v1/x", "system"),
    ] {
        assert_eq!(on(&policy, "read", target), rule, "{target}");
    }
    let doubtful = action("read", "../x", &Value::Null);
    assert_eq!(
        policy.evaluate(&ask(&doubtful)).reason(),
        "rule `system` blocks this action; `target_path` is unknown (the target has no normal form: it leaves the \
         directory that it begins in by `..`), so the strictest rule that may apply decides; rule `data` allows \
         nothing here, because `target_path` is unknown (the target has no normal form: it leaves the directory that \
         it begins in by `..`)"
    );
    let explained = policy.explain(&ask(&doubtful));
    assert_eq!(explained.rules[0].conditions[0].path, "match.target_path");
    let elsewhere = policy.explain(&ask(&action("read", "/data/x", &Value::Null))).rules[0].because.clone();
    assert_eq!(elsewhere, "the target, read as a path, does not match");
}

#[test]
fn a_condition_that_fails_settles_a_path_in_doubt() {
    let policy = policy(&["
rules:
  - {name: r, match: {target_path: '/x/*'}, conditions: {param_eq: {a: 1}}, approval: block}
"]);
    for (params, rule) in [(json!({"a": 1}), "r"), (json!({"a": "1"}), "r"), (json!({"a": 2}), "<default>")] {
        assert_eq!(decide(&policy, &ask(&action("read", "../y", &params))), rule, "{params}");
    }
}

#[test]
fn a_parameter_is_compared_with_the_caller() {
    let policy = policy(&["
rules:
  - {name: own, match: {type: auto}, conditions: {param_eq: {owner: '${actor.id}'}}, approval: auto}
  - {name: others, match: {type: auto}, conditions: {not: {param_in: {owner: [admin, '${actor.id}']}}}, approval: auto}
  - {name: mine, match: {type: ask}, conditions: {param_contains: {owners: '${actor.id}'}}, approval: approve}
  - {name: named, match: {type: ask}, conditions: {param_ends: {owner: '${actor.id}'}}, approval: block}
"]);
    let decide = |kind: &str, declared: &str, proved: Option<&str>, params: Value| {
        let action = action(kind, "", &params);
        let question = ask(&action);
        decide(&policy, &Question { declared_actor: declared, authenticated_actor: proved, ..question })
    };
    let owner = |name: &str| json!({"owner": name});
    assert_eq!(decide("auto", "ada", Some("ada"), owner("ada")), "own");
    assert_eq!(decide("auto", "bob", Some("ada"), owner("bob")), "others", "the proved name counts");
    // A name that is only claimed allows nothing, whichever way the rule is turned.
    assert_eq!(decide("auto", "ada", None, owner("ada")), "<default>");
    assert_eq!(decide("auto", "ada", None, owner("bob")), "<default>");
    assert_eq!(decide("ask", "ada", None, json!({"owners": ["ada"]})), "mine");
    assert_eq!(decide("ask", "eve", Some("ada"), json!({"owners": ["ada"]})), "mine", "two names are in doubt");
    assert_eq!(decide("ask", "eve", Some("ada"), json!({"owners": ["bob"]})), "<default>");
    assert_eq!(decide("ask", "eve", None, json!({"owner": "not-eve"})), "named");
}

#[test]
fn texts_begin_and_end_and_have_a_length() {
    let policy = policy(&["
sets: {blocked: [evil.example, 7]}
rules:
  - {name: start, match: {type: a}, conditions: {param_starts: {path: /home/}}, approval: block}
  - {name: end, match: {type: a}, conditions: {param_ends: {to: '@example.com'}}, approval: block}
  - {name: long, match: {type: a}, conditions: {param_len: {note: {min: 3, max: 4}}}, approval: block}
  - {name: other, match: {type: a}, conditions: {param_not_in: {host: {set: blocked}}}, approval: block}
"]);
    for (params, rule) in [
        (json!({"path": "/home/ada"}), "start"),
        (json!({"path": "home/"}), "<default>"),
        (json!({"path": ["x", "/home/"]}), "start"),
        (json!({"path": 5}), "start"),
        (json!({"to": "ada@example.com"}), "end"),
        (json!({"to": "ada@example.com.evil"}), "<default>"),
        (json!({"note": "äöü"}), "long"),
        (json!({"note": "ab"}), "<default>"),
        (json!({"note": ["a", "b", "c"]}), "long"),
        (json!({"note": {"a": 1, "b": 2, "c": 3, "d": 4}}), "long"),
        (json!({"note": ["abc"]}), "long"),
        (json!({"note": [[1, 2, 3], 2]}), "long"),
        (json!({"note": ["abc", "def"]}), "<default>"),
        (json!({"note": 123}), "long"),
        (json!({"host": "good.example"}), "other"),
        (json!({"host": "evil.example"}), "<default>"),
        (json!({"host": "7"}), "other"),
        (json!({"host": null}), "<default>"),
    ] {
        assert_eq!(with(&policy, &params), rule, "{params}");
    }
}

#[test]
fn what_does_not_fit_a_schema_is_in_doubt() {
    let order = "{type: object, required: [id], properties: {id: {type: integer, minimum: 1}}, \
                 additionalProperties: false}";
    let policy = policy(&[&format!(
        "
rules:
  - {{name: fits, match: {{type: a}}, conditions: {{param_schema: {{order: {order}}}}}, approval: auto}}
  - {{name: misfits, match: {{type: b}}, conditions: {{not: {{param_schema: {{order: {order}}}}}}}, approval: block}}
"
    )]);
    for (order, is_fit) in
        [(json!({"id": 1}), true), (json!({"id": 0}), false), (json!({"id": 1, "x": 2}), false), (json!("{}"), false)]
    {
        let params = json!({"order": order});
        assert_eq!(with(&policy, &params), if is_fit { "fits" } else { "<default>" }, "{order}");
        let guarded = decide(&policy, &ask(&action("b", "", &params)));
        assert_eq!(guarded, if is_fit { "<default>" } else { "misfits" }, "{order}");
    }
    assert_eq!(with(&policy, &json!({})), "<default>");
}

#[test]
fn a_later_layer_replaces_a_set() {
    let base = "
sets: {regions: [eu], kinds: [a]}
rules: [{name: r, match: {type: {set: kinds}}, conditions: {param_in: {region: {set: regions}}}, approval: block}]
";
    let layered = policy(&[base, "sets: {regions: [us, ap]}"]);
    assert_eq!(with(&layered, &json!({"region": "ap"})), "r");
    assert_eq!(with(&layered, &json!({"region": "eu"})), "<default>");
    let written_out = policy(&["
rules: [{name: r, match: {type: a}, conditions: {param_in: {region: [us, ap]}}, approval: block}]
"]);
    assert_eq!(layered.revision(), written_out.revision(), "the values count, not their names");
}

/// A target of a few pieces, some of which lead elsewhere.
fn target() -> impl Strategy<Value = String> {
    let piece = select(vec!["/", "a", "data", "etc", "..", ".", "%2e%2e", "%2f", "\\", "~", "//", "é", " "]);
    let start = select(vec!["", "/", "/data/", "https://h/", "HTTPS://H/", "file:///", "s3://h/"]);
    (start, prop::collection::vec(piece, 0..6)).prop_map(|(start, pieces)| start.to_owned() + &pieces.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn new_conditions_decide_like_the_definition(
        approvals in prop::collection::vec(select(vec!["auto", "confirm", "approve", "block"]), 6),
        order in Just([0, 1, 2, 3, 4, 5]).prop_shuffle(),
        target in target(),
        owner in select(vec![json!("ada"), json!(["ada"]), json!("bob"), json!(null), json!({"x": ["ada"]})]),
        proved in select(vec![None, Some("ada"), Some("bob")]),
    ) {
        let matches = [
            json!({"match": {"target_path": "/data/*"}}),
            json!({"match": {"target_path": ["/etc/*", "https://h/data/*"], "type": ["p*", "r*"]}}),
            json!({"conditions": {"param_eq": {"owner": "${actor.id}"}}}),
            json!({"conditions": {"not": {"param_in": {"owner": ["${actor.id}", "root"]}}}}),
            json!({"conditions": {"param_len": {"owner": {"max": 3}}, "param_starts": {"owner": "a"}}}),
            json!({"conditions": {"param_schema": {"owner": {"type": "string"}}}, "match": {"type": ["x", "pay"]}}),
        ];
        let rules: Vec<Value> = order.into_iter().zip(&approvals).map(|(i, approval)| {
            let mut rule = matches[i].clone();
            rule["approval"] = json!(approval);
            rule
        }).collect();
        let policy = policy(&[&json!({"rules": rules}).to_string()]);
        let action = action("pay", &target, &json!({"owner": owner}));
        law::check(&policy, &Question { authenticated_actor: proved, ..ask(&action) })?;
    }

    /// A guard before a rule that allows is not dodged by another spelling of what it guards.
    #[test]
    fn no_spelling_of_a_path_gets_past_a_guard(target in target()) {
        let policy = policy(&["
rules:
  - {name: guard, match: {target_path: ['/etc', '/etc/*']}, approval: block}
  - {name: rest, approval: auto}
"]);
        let action = Action { target: target.clone(), ..action("read", "", &Value::Null) };
        let allowed = policy.evaluate(&ask(&action)).approval == Approval::Auto;
        // What a file system or a server makes of it, each by its own simple rules.
        let decoded = target.replace("%2e", ".").replace("%2f", "/").replace('\\', "/");
        for reading in [target.clone(), decoded] {
            let path = reading.strip_prefix("file://").unwrap_or(&reading);
            let mut kept = Vec::new();
            for segment in path.split('/').filter(|segment| !segment.is_empty() && *segment != ".") {
                if segment == ".." { kept.pop(); } else { kept.push(segment); }
            }
            let leads_there = path.starts_with('/') && kept.first() == Some(&"etc");
            prop_assert!(!(allowed && leads_there), "{} reaches {:?}", target, kept);
        }
    }
}
