//! Explains an answer of the policy: the rules that were tried, in order, and the result of each condition.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::paint;
use crate::domain::visible;

/// One rule that was tried, and its result.
pub(super) struct TriedRule {
    pub(super) name: String,
    pub(super) matched: bool,
    pub(super) reason: String,
    pub(super) conditions: Vec<TriedCondition>,
}

/// One condition that was tried, and its result.
pub(super) struct TriedCondition {
    pub(super) text: String,
    pub(super) result: String,
    pub(super) seen: String,
    pub(super) reason: String,
}

/// One line for each rule, with one line for each of its conditions below.
pub(super) fn text(rules: &[TriedRule], left_out: u64) -> String {
    let mut text = String::new();
    for rule in rules {
        let (style, mark) = if rule.matched { (paint::HEADING, "matches") } else { (paint::FAINT, "no match") };
        let because = if rule.reason.is_empty() { mark.into() } else { visible(&rule.reason) };
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(text, "     {style}{}{style:#}: {because}", visible(&rule.name));
        for condition in &rule.conditions {
            let TriedCondition { text: condition, result, seen, reason } = condition;
            let seen = if seen.is_empty() { String::new() } else { format!(", saw {}", visible(seen)) };
            let _ = writeln!(text, "       {}: {}{seen}{}", visible(condition), visible(result), dash(reason));
        }
    }
    if left_out > 0 {
        let rules = if left_out == 1 { "rule was" } else { "rules were" };
        let _ = writeln!(text, "     {left_out} {rules} left out: type or target did not match");
    }
    text
}

fn dash(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(" ({})", visible(reason)) }
}

/// A rule as JSON.
pub(super) fn json(rule: &TriedRule) -> Value {
    let conditions: Vec<Value> = rule
        .conditions
        .iter()
        .map(|TriedCondition { text, result, seen, reason }| {
            json!({"condition": text, "result": result, "seen": seen, "reason": reason})
        })
        .collect();
    json!({"rule": rule.name, "matched": rule.matched, "reason": rule.reason, "conditions": conditions})
}
