//! The policy floor against data made with the original: decisions that must come out exactly, policies that must be refused.

#![expect(clippy::unwrap_used, reason = "tests say what they expect by unwrapping it")]

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
fn every_decision_of_the_original_comes_out_exactly() {
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
            // The merged policy is a policy too, unless automatic names of two layers are the same.
            if let Ok(merged) = &merged {
                assert_eq!(decide(merged), case.expect, "{}: merged", case.id);
                assert_eq!(merged.revision(), policy.revision(), "{}", case.id);
            } else {
                assert!(decisions.policies.len() > 1, "{}", decisions.id);
            }
            count += 1;
        }
    }
    assert_eq!(count, 1185);
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
    // What an author is told is a part of the product: read it before you accept a change of it.
    insta::assert_snapshot!(shown.join("\n"));
}
