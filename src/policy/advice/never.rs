//! Conditions that contradict each other, and patterns that are found in no text.

use std::cmp::Ordering;

use regex_syntax::hir::{Hir, HirKind, Look};
use serde_json::Value;

use crate::policy::code::Code;
use crate::policy::condition::{Condition, Group, Test};
use crate::policy::diagnostic::{Report, quoted};
use crate::policy::lint::place::warn;
use crate::policy::rule::Rule;
use crate::policy::value;

/// How many pairs of conditions of one rule are compared.
const MAX_PAIRS: usize = 100_000;

pub(super) fn check(rules: &[Rule], report: &mut Report) {
    for rule in rules {
        let mut together = Vec::new();
        all_of(&rule.conditions, &mut together);
        if let Some((one, other)) = contradiction(&together) {
            let (name, one, other) = (quoted(&rule.name), quoted(&one), quoted(&other));
            let message = format!("rule `{name}` never matches: `{one}` and `{other}` never hold together");
            warn(report, rule, Code::NeverHolds, message);
        }
        patterns(&rule.conditions, &mut |pattern| {
            let message = format!("`{}` in rule `{}` is found in no text", quoted(pattern), quoted(&rule.name));
            warn(report, rule, Code::NeverMatches, message);
        });
    }
}

/// The conditions that must hold together: those of a group and of its `all`.
fn all_of<'r>(group: &'r Group, into: &mut Vec<&'r Condition>) {
    for condition in group {
        match condition {
            Condition::All(groups) => groups.iter().for_each(|group| all_of(group, into)),
            Condition::Any(_) | Condition::Not(_) => {}
            leaf => into.push(leaf),
        }
    }
}

/// Two conditions that never hold together.
fn contradiction(conditions: &[&Condition]) -> Option<(String, String)> {
    let pairs =
        conditions.iter().enumerate().flat_map(|(i, one)| conditions[..i].iter().map(move |other| (other, one)));
    let mut pairs = pairs.take(MAX_PAIRS);
    pairs
        .find(|(one, other)| excludes(one, other) || excludes(other, one))
        .map(|(one, other)| (shown(one), shown(other)))
}

fn shown(condition: &Condition) -> String {
    match condition {
        Condition::Time(window, _) => window.to_string(),
        Condition::Weekdays(days, _) => days.to_string(),
        Condition::Param(path, test) | Condition::Caller(path, test) => format!("{path}: {test}"),
        Condition::All(_) | Condition::Any(_) | Condition::Not(_) => condition.key(),
    }
}

/// Whether the first condition keeps the second from holding.
fn excludes(one: &Condition, other: &Condition) -> bool {
    match (one, other) {
        (Condition::Time(one, zone), Condition::Time(other, other_zone)) => zone == other_zone && !one.meets(*other),
        (Condition::Weekdays(one, zone), Condition::Weekdays(other, other_zone)) => {
            zone == other_zone && !one.days().any(|day| other.days().any(|other| other == day))
        }
        (Condition::Param(path, one), Condition::Param(other_path, other)) if path == other_path => {
            excludes_test(one, other)
        }
        _ => false,
    }
}

fn excludes_test(one: &Test, other: &Test) -> bool {
    let order = |one: &Value, other: &Value| value::compare(one, other);
    match (one, other) {
        (Test::Exists(false), test) => !matches!(test, Test::Exists(false)),
        (Test::Eq(one), Test::Eq(other)) => !value::equal(one, other),
        (Test::Eq(value), Test::In(values)) => !values.iter().any(|one| value::equal(one, value)),
        (Test::Eq(value), Test::NotIn(values)) => values.iter().any(|one| value::equal(one, value)),
        (Test::In(ones), Test::In(others)) => {
            !ones.iter().any(|one| others.iter().any(|other| value::equal(one, other)))
        }
        // Numbers and texts are never in order to each other, and nothing is known of a value in doubt.
        (Test::Gt(low), Test::Lt(high) | Test::Lte(high)) | (Test::Gte(low), Test::Lt(high)) => {
            order(low, high).is_some_and(Ordering::is_ge)
        }
        (Test::Gte(low), Test::Lte(high)) => order(low, high).is_some_and(Ordering::is_gt),
        (Test::Eq(value), Test::Gt(low)) => order(value, low).is_some_and(Ordering::is_le),
        (Test::Eq(value), Test::Gte(low)) => order(value, low).is_some_and(Ordering::is_lt),
        (Test::Eq(value), Test::Lt(high)) => order(value, high).is_some_and(Ordering::is_ge),
        (Test::Eq(value), Test::Lte(high)) => order(value, high).is_some_and(Ordering::is_gt),
        _ => false,
    }
}

/// Calls `found` with every pattern that is found in no text.
fn patterns(group: &Group, found: &mut impl FnMut(&str)) {
    for condition in group {
        match condition {
            // A pattern that was compiled can be parsed.
            Condition::Param(_, Test::Matches(pattern))
                if regex_syntax::parse(pattern.as_str()).is_ok_and(|hir| is_impossible(&hir)) =>
            {
                found(pattern.as_str());
            }
            Condition::All(groups) | Condition::Any(groups) => groups.iter().for_each(|group| patterns(group, found)),
            Condition::Not(group) => patterns(group, found),
            _ => {}
        }
    }
}

/// Whether nothing matches: an empty class, `^` after a character, or a character after `$`. The parser bounds the
/// depth.
fn is_impossible(hir: &Hir) -> bool {
    let takes = |hir: &Hir| hir.properties().minimum_len().is_none_or(|length| length > 0);
    match hir.kind() {
        HirKind::Class(_) => hir.properties().minimum_len().is_none(),
        HirKind::Repetition(repetition) => repetition.min > 0 && is_impossible(&repetition.sub),
        HirKind::Capture(capture) => is_impossible(&capture.sub),
        HirKind::Alternation(parts) => parts.iter().all(is_impossible),
        HirKind::Concat(parts) => {
            let needs = |part: &Hir, look: Look| part.kind() == &HirKind::Look(look);
            // `$` also stands before one last newline, so a newline may follow it.
            let is_newline = |part: &Hir| part.properties().minimum_len() == Some(1) && is_only_newline(part);
            parts.iter().any(is_impossible)
                || parts.iter().enumerate().any(|(i, part)| {
                    needs(part, Look::Start) && parts[..i].iter().any(takes)
                        || needs(part, Look::End) && parts[i + 1..].iter().any(|part| takes(part) && !is_newline(part))
                })
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Look(_) => false,
    }
}

fn is_only_newline(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Literal(literal) if &*literal.0 == b"\n")
}
