//! Tests the policy floor with data from the original implementation: decisions that must be the same, and policies
//! that must be refused.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by unwrapping it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use aegis::domain::{Action, Timestamp};
use aegis::policy::{Policy, Question, Source};
use serde::Deserialize;

#[derive(Deserialize)]
struct Decisions {
    id: String,
    policies: Vec<String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    now: Timestamp,
    action: Action,
    expect: Expected,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Expected {
    risk_level: String,
    approval: String,
    matched_rule: String,
    is_allowed: bool,
}

#[derive(Deserialize)]
struct Refused {
    id: String,
    policies: Vec<String>,
}

fn read<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance").join(name);
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn layers(policies: &[String]) -> Vec<Source> {
    policies.iter().enumerate().map(|(i, text)| Source { name: format!("layer{i}.yaml"), text: text.clone() }).collect()
}

#[test]
fn every_decision_is_the_same_as_in_the_original() {
    let mut count = 0;
    for decisions in read::<Decisions>("policy-decisions.jsonl") {
        let policy =
            Policy::load(&layers(&decisions.policies)).unwrap_or_else(|errors| panic!("{}: {errors}", decisions.id));
        let merged = Policy::load(&layers(&[policy.merged().to_string()]));
        for case in &decisions.cases {
            let question = Question {
                action: &case.action,
                declared_actor: "",
                authenticated_actor: None,
                now: case.now,
                masked: &[],
            };
            let decide = |policy: &Policy| {
                let verdict = policy.evaluate(&question);
                Expected {
                    risk_level: verdict.risk_level.as_upper().to_owned(),
                    approval: verdict.approval.to_string(),
                    matched_rule: verdict.matched_rule.to_owned(),
                    is_allowed: verdict.is_allowed(),
                }
            };
            assert_eq!(decide(&policy), case.expect, "{}: {:?}", case.id, case.action);
            // The merged policy must load too, unless two layers share an automatic name.
            if let Ok(merged) = &merged {
                assert_eq!(decide(merged), case.expect, "{}: merged", case.id);
                assert_eq!(merged.revision(), policy.revision(), "{}", case.id);
            } else {
                assert!(decisions.policies.len() > 1, "{}", decisions.id);
            }
            count += 1;
        }
    }
    assert_eq!(count, 1179);
}

#[test]
fn every_wrong_policy_is_refused_with_the_place_and_what_would_be_right() {
    let mut shown = Vec::new();
    for refused in read::<Refused>("policies-to-refuse.jsonl") {
        let errors = Policy::load(&layers(&refused.policies)).expect_err(&refused.id);
        for error in &errors {
            assert!(error.line > 0 && error.column > 0, "{}: {error}", refused.id);
            let layer: usize = error.file.trim_start_matches("layer").trim_end_matches(".yaml").parse().unwrap();
            let lines = refused.policies[layer].lines().count().max(1);
            assert!(error.line <= lines + 1, "{}: {error}", refused.id);
        }
        shown.push(format!("{}: {:?}\n{errors}\n", refused.id, refused.policies));
    }
    // The messages to authors are part of the product: read a change of them before you accept it.
    insta::assert_snapshot!(shown.join("\n"));
}

/// Counts the allocations of this thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: it only counts, and passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // A thread that is ending no longer has a counter.
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn a_decision_without_unknown_conditions_allocates_nothing() {
    let text = "
rules:
  - {name: doubtful, match: {type: pay}, conditions: {param_gt: {amount: 1000}}, approval: block}
  - name: everything
    match: {type: 'pay*', target: '*é*'}
    conditions:
      param_lte: {order.amount: 100}
      param_eq: {currency: EUR, tags: [a, b]}
      param_in: {country: [DE, FR]}
      param_contains: {tags: a, note: x}
      param_matches: {note: '^x.*z$'}
      param_exists: {gone: false}
      any: [{weekdays: [1]}, {not: {time_after: '09:00'}}, {param_eq: {currency: EUR}}]
    approval: auto
";
    let policy = Policy::load(&layers(&[text.to_owned()])).unwrap();
    let action: Action = serde_json::from_value(serde_json::json!({
        "type": "pay_small", "target": "café 1",
        "params": {"order": {"amount": 5}, "currency": "EUR", "tags": ["a", "b"], "country": "FR", "note": "x y z"},
    }))
    .unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let question = Question { action: &action, declared_actor: "a", authenticated_actor: None, now, masked: &[] };
    // The first search with a pattern allocates its memory.
    assert_eq!(policy.evaluate(&question).matched_rule, "everything");
    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        assert_eq!(policy.evaluate(&question).matched_rule, "everything");
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);

    let mut doubtful = Action { r#type: "pay".to_owned(), ..action.clone() };
    doubtful.params.insert("amount".to_owned(), "5".into());
    let verdict = policy.evaluate(&Question { action: &doubtful, ..question });
    assert_eq!(verdict.matched_rule, "doubtful");
    assert!(ALLOCATIONS.get() > before, "unknown rules are collected, so the counter works");
}

#[derive(Deserialize)]
struct Quirk {
    id: String,
    category: String,
    policies: Vec<String>,
    now: Timestamp,
    action: serde_json::Value,
}

/// Inputs that the original decides wrongly or in its own way, and what is decided here instead.
#[test]
fn every_quirk_of_the_original_is_refused_or_decided_with_a_reason() {
    let mut shown = Vec::new();
    for quirk in read::<Quirk>("quirks.jsonl") {
        let decided = match (Policy::load(&layers(&quirk.policies)), serde_json::from_value(quirk.action)) {
            (Err(errors), _) => format!("refused: {}", errors.diagnostics()[0]),
            (Ok(_), Err(error)) => format!("no action: {error}"),
            (Ok(policy), Ok(action)) => {
                let now = quirk.now;
                let question =
                    Question { action: &action, declared_actor: "", authenticated_actor: None, now, masked: &[] };
                let verdict = policy.evaluate(&question);
                assert_eq!(policy.explain(&question).matched_rule, verdict.matched_rule, "{}", quirk.id);
                format!("{}/{}: {}", verdict.risk_level.as_upper(), verdict.approval, verdict.reason())
            }
        };
        shown.push(format!("{} ({}) {decided}", quirk.id, quirk.category));
    }
    insta::assert_snapshot!(shown.join("\n"));
}
