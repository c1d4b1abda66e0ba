//! Rules that are never tried, because an earlier one certainly matches whatever they match.
//!
//! An earlier rule hides a later one in two cases: it has no conditions, or only conditions on the clock that hold
//! whenever those of the later rule do. Conditions on the clock are never unknown. In both cases its globs must
//! contain those of the later rule. Only earlier rules that match an example of the later rule are compared, so the
//! cost stays close to one decision for each rule.

use super::place::warn;
use crate::policy::code::Code;
use crate::policy::condition::Condition;
use crate::policy::diagnostic::{Report, quoted};
use crate::policy::index::Index;
use crate::policy::rule::Rule;

/// How many steps of comparing globs one load may take. A policy that needs more is not checked to the end.
const MAX_STEPS: usize = 20_000_000;

pub(super) fn check(rules: &[Rule], report: &mut Report) {
    // One line covers all rules after a rule that matches everything.
    let reached = rules.iter().position(Rule::is_catch_all).map_or(rules.len(), |last| last + 1);
    let (rules, rest) = rules.split_at(reached);
    let hiders: Vec<(usize, &Rule)> =
        rules.iter().enumerate().filter(|(_, rule)| rule.conditions.iter().all(is_about_the_clock)).collect();
    let index = Index::new(hiders.iter().map(|(_, rule)| (&rule.type_pattern, &rule.target_pattern)));
    let mut steps = 0;
    for (at, rule) in rules.iter().enumerate() {
        let (Some(kind), Some(target)) = (rule.type_pattern.example(), rule.target_pattern.example()) else { continue };
        let hider = index.find(&kind, &target, |i| {
            let (before, hider) = hiders.get(i)?;
            if *before >= at || steps > MAX_STEPS {
                return Some(None);
            }
            steps += cost(hider, rule);
            hides(hider, rule).then_some(Some(*hider))
        });
        if let Some(hider) = hider.flatten() {
            let message = format!(
                "rule `{}` is never tried: rule `{}` ({}:{}) comes first and matches everything that it matches; put \
                 it before that rule, or remove it",
                quoted(&rule.name),
                quoted(&hider.name),
                hider.position.file,
                hider.position.line
            );
            warn(report, rule, Code::HiddenRule, message);
        }
    }
    if let (Some(last), Some(first)) = (rules.last(), rest.first()) {
        let others = match rest.len() - 1 {
            0 => " is".to_owned(),
            count => format!(" and the {count} after it are"),
        };
        let message = format!(
            "rule `{}`{others} never tried: rule `{}` ({}:{}) comes first and matches everything; put it last",
            quoted(&first.name),
            quoted(&last.name),
            last.position.file,
            last.position.line
        );
        warn(report, first, Code::HiddenRule, message);
    }
}

fn cost(one: &Rule, other: &Rule) -> usize {
    let length = |rule: &Rule| rule.type_pattern.as_str().len() + rule.target_pattern.as_str().len() + 1;
    length(one) * length(other)
}

fn is_about_the_clock(condition: &Condition) -> bool {
    matches!(condition, Condition::Time(..) | Condition::Weekdays(..))
}

/// Whether `hider` certainly matches every action that `rule` matches or may match.
fn hides(hider: &Rule, rule: &Rule) -> bool {
    hider.type_pattern.contains(&rule.type_pattern)
        && hider.target_pattern.contains(&rule.target_pattern)
        && hider.target_path_pattern.is_none()
        && hides_actor(hider, rule)
        && hider.conditions.iter().all(|wanted| rule.conditions.iter().any(|given| follows(wanted, given)))
}

/// A rule that may allow without a reviewer matches authenticated names alone. Any other rule also matches declared
/// names.
fn hides_actor(hider: &Rule, rule: &Rule) -> bool {
    let Some(wanted) = &hider.actor_pattern else { return true };
    let is_as_wide = !hider.may_need_no_reviewer() || rule.actor_pattern.is_some() && rule.may_need_no_reviewer();
    is_as_wide
        && (wanted.matches_everything() || rule.actor_pattern.as_ref().is_some_and(|given| wanted.contains(given)))
}

/// Whether a condition about the clock holds whenever the other one does.
fn follows(wanted: &Condition, given: &Condition) -> bool {
    match (wanted, given) {
        (Condition::Time(wanted, zone), Condition::Time(given, other)) => zone == other && wanted.covers(*given),
        (Condition::Weekdays(wanted, zone), Condition::Weekdays(given, other)) => {
            zone == other && wanted.covers(*given)
        }
        _ => false,
    }
}
