//! The results as a tree for people, and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::run::{CoverageResult, Results, SuiteResult, TestResult};
use crate::cli::object::Object;
use crate::cli::paint;
use crate::domain::{RiskLevel, visible};

/// The results for people: each suite, its tests, and what failed.
pub(super) fn tree(results: &Results, with_coverage: bool) -> String {
    let mut text = String::new();
    for suite in &results.suites {
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            text,
            "{}{}{:#} ({})",
            paint::HEADING,
            visible(&suite.file),
            paint::HEADING,
            visible(&suite.layers.join(", "))
        );
        for test in &suite.tests {
            let (style, word) = if test.passed() { (paint::GOOD, "ok  ") } else { (paint::BAD, "FAIL") };
            let _ = writeln!(text, "  {style}{word}{style:#} {}", visible(&test.title()));
            if !test.passed() {
                let _ = writeln!(text, "       {}", visible(&test.difference()));
            }
        }
        if let (Some(coverage), true) = (&suite.coverage, with_coverage) {
            text.push_str(&untried(coverage));
        }
    }
    let (total, failed) = (results.total(), results.failed());
    let tests = if total == 1 { "test" } else { "tests" };
    let style = if failed == 0 { paint::GOOD } else { paint::BAD };
    let _ = writeln!(text, "\n{style}{total} {tests}, {} passed, {failed} failed{style:#}", total - failed);
    text
}

fn untried(coverage: &CoverageResult) -> String {
    let CoverageResult { tried, all, untried } = coverage;
    let mut text = format!("  coverage: {tried} of {all} rules and conditions\n");
    for one in untried {
        let condition = if one.condition.is_empty() { String::new() } else { format!(" {}", visible(&one.condition)) };
        let _ = writeln!(text, "       {}: rule `{}`{condition} {}", visible(&one.place), visible(&one.rule), one.what);
    }
    text
}

/// The results as one JSON document.
pub(super) fn json(results: &Results, with_coverage: bool) -> Object {
    let suites: Vec<Value> = results.suites.iter().map(|suite| json!(self::suite(suite, with_coverage))).collect();
    let failed = results.failed();
    Object::default().with("passed", results.total() - failed).with("failed", failed).with("suites", suites)
}

fn suite(suite: &SuiteResult, with_coverage: bool) -> Object {
    let tests: Vec<Value> = suite.tests.iter().map(|test| json!(self::test(test))).collect();
    let coverage = suite.coverage.as_ref().filter(|_| with_coverage).map(|coverage| {
        let untried = coverage
            .untried
            .iter()
            .map(|one| json!({"rule": one.rule, "place": one.place, "condition": one.condition, "what": one.what}));
        json!({"tried": coverage.tried, "all": coverage.all, "untried": untried.collect::<Vec<_>>()})
    });
    Object::default()
        .with("file", suite.file.as_str())
        .with("policy", suite.layers.clone())
        .with("policy_revision", suite.revision.as_str())
        .with("tests", tests)
        .with("coverage", coverage)
}

fn test(test: &TestResult) -> Object {
    let case = &test.case;
    Object::default()
        .with("name", case.name.as_str())
        .with("actor", case.actor_name.as_str())
        .with("action", case.action_name.as_str())
        .with("passed", test.passed())
        .with("expected", case.expected.outcome.as_str())
        .with("expected_rule", case.expected.rule.clone())
        .with("expected_risk_level", case.expected.risk_level.map(RiskLevel::as_upper))
        .with("outcome", test.outcome.as_str())
        .with("matched_rule", test.rule.as_str())
        .with("risk_level", test.risk_level.as_upper())
        .with("reason", test.reason.as_str())
}
