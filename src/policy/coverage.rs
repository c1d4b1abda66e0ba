//! What a series of questions has tried of a policy: for the tests of policies.
//!
//! A rule is covered if it decided a question, alone or together with equally strict ones. A condition is covered if it
//! held for one question and did not hold for another, each time where its rule was reached and its globs matched. So a
//! condition that is always true, and could be left out, is not covered.

use super::compiled::Policy;
use super::condition::{Condition, Facts, Group};
use super::question::{Asked, Question};
use super::rule::{Fit, Rule};
use super::truth::Truth;

/// Counts what questions try of a policy.
#[derive(Debug)]
pub struct Coverage<'p> {
    policy: &'p Policy,
    /// One for each rule, in the order of the policy.
    rules: Vec<Tried>,
}

/// What has been tried of one rule.
#[derive(Clone, Debug, Default)]
struct Tried {
    has_decided: bool,
    /// Whether each condition that is no `all`, `any` or `not` has held, and has not held, in the order of the rule.
    conditions: Vec<[bool; 2]>,
}

/// A rule or a condition that no question has tried.
#[derive(Clone, Debug)]
pub struct Uncovered<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// The place of the condition in the rule, for example `conditions.param_gt.count`; empty for the rule itself.
    pub condition: String,
    /// What never happened: `never decides`, `never holds`, `always holds`.
    pub what: &'static str,
}

impl<'p> Coverage<'p> {
    /// Nothing of the policy has been tried yet.
    pub fn new(policy: &'p Policy) -> Self {
        Self { policy, rules: vec![Tried::default(); policy.rules().len()] }
    }

    /// Counts a question.
    pub fn count(&mut self, question: &Question<'_>) {
        let verdict = self.policy.evaluate(question);
        let asked = Asked::new(question);
        for (rule, tried) in self.policy.rules().iter().zip(&mut self.rules) {
            tried.has_decided |= verdict.takes_part(rule);
            if rule.is_about(&asked) {
                let mut at = 0;
                tried.group(&rule.conditions, &rule.facts(question), &mut at);
            }
            if matches!(rule.fits(&asked), Fit::Yes) {
                break;
            }
        }
    }

    /// Adds what another series of questions has tried of the same policy.
    pub fn add(&mut self, other: &Self) {
        for (own, other) in self.rules.iter_mut().zip(&other.rules) {
            own.has_decided |= other.has_decided;
            own.conditions.resize(own.conditions.len().max(other.conditions.len()), [false; 2]);
            for (own, other) in own.conditions.iter_mut().zip(&other.conditions) {
                *own = [own[0] | other[0], own[1] | other[1]];
            }
        }
    }

    /// How many rules and conditions have been tried, and how many there are.
    pub fn share(&self) -> (usize, usize) {
        let all: usize = self.policy.rules().iter().map(|rule| 1 + leaves(&rule.conditions)).sum();
        (all - self.uncovered().len(), all)
    }

    /// The rules and conditions that no question has tried, in the order of the policy.
    pub fn uncovered(&self) -> Vec<Uncovered<'p>> {
        let mut found = Vec::new();
        for (rule, tried) in self.policy.rules().iter().zip(&self.rules) {
            if !tried.has_decided {
                found.push(Uncovered { rule, condition: String::new(), what: "never decides" });
            }
            let mut seen = tried.conditions.iter().copied();
            uncovered(rule, &rule.conditions, "conditions", &mut seen, &mut found);
        }
        found
    }
}

impl Tried {
    /// Counts the answers of the conditions of a group. The depth of conditions is bounded.
    fn group(&mut self, group: &Group, facts: &Facts<'_>, at: &mut usize) {
        for condition in group {
            match condition {
                Condition::All(groups) | Condition::Any(groups) => {
                    for group in groups {
                        self.group(group, facts, at);
                    }
                }
                Condition::Not(group) => self.group(group, facts, at),
                leaf => {
                    if self.conditions.len() <= *at {
                        self.conditions.resize(*at + 1, [false; 2]);
                    }
                    match leaf.truth(facts) {
                        Truth::True => self.conditions[*at][0] = true,
                        Truth::False => self.conditions[*at][1] = true,
                        Truth::Unknown(_) => {}
                    }
                    *at += 1;
                }
            }
        }
    }
}

fn leaves(group: &Group) -> usize {
    let count = |condition: &Condition| match condition {
        Condition::All(groups) | Condition::Any(groups) => groups.iter().map(leaves).sum(),
        Condition::Not(group) => leaves(group),
        _ => 1,
    };
    group.iter().map(count).sum()
}

fn uncovered<'p>(
    rule: &'p Rule,
    group: &Group,
    path: &str,
    seen: &mut impl Iterator<Item = [bool; 2]>,
    found: &mut Vec<Uncovered<'p>>,
) {
    for condition in group {
        let path = format!("{path}.{}", condition.key());
        match condition {
            Condition::All(groups) | Condition::Any(groups) => {
                for (i, group) in groups.iter().enumerate() {
                    uncovered(rule, group, &format!("{path}[{i}]"), seen, found);
                }
            }
            Condition::Not(group) => uncovered(rule, group, &path, seen, found),
            _ => {
                let what = match seen.next().unwrap_or_default() {
                    [true, true] => continue,
                    [true, false] => "always holds",
                    [false, _] => "never holds",
                };
                found.push(Uncovered { rule, condition: path, what });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{Action, Timestamp};
    use crate::policy::Source;

    fn policy() -> Policy {
        let text = "
rules:
  - name: large
    match: {type: pay}
    conditions: {param_gt: {n: 10}, any: [{param_eq: {c: EUR}}, {not: {param_exists: {x: true}}}]}
    approval: block
  - {name: pay, match: {type: pay}, approval: auto}
  - {name: read, match: {type: read}, approval: auto}
";
        Policy::load(&[Source { name: "p.yaml".to_owned(), text: text.to_owned() }]).unwrap()
    }

    fn shown(policy: &Policy, asked: &[(&str, Value)]) -> Vec<String> {
        let mut coverage = Coverage::new(policy);
        for (kind, params) in asked {
            let params = params.as_object().cloned().unwrap_or_default();
            let action = Action { r#type: (*kind).to_owned(), params, ..Action::default() };
            coverage.count(&Question {
                action: &action,
                declared_actor: "",
                authenticated_actor: None,
                now: Timestamp::UNIX_EPOCH,
                masked: &[],
            });
        }
        let shown = coverage.uncovered().into_iter();
        shown.map(|one| format!("{} {} {}", one.rule.name, one.condition, one.what)).collect()
    }

    #[test]
    fn what_no_question_tried_is_named() {
        let policy = policy();
        let (eur, x) = (json!({"n": 11, "c": "EUR"}), json!({"n": 1, "c": "USD", "x": 1}));
        assert_eq!(
            shown(&policy, &[("pay", eur.clone())]),
            [
                "large conditions.param_gt.n always holds",
                "large conditions.any[0].param_eq.c always holds",
                "large conditions.any[1].not.param_exists.x never holds",
                "pay  never decides",
                "read  never decides",
            ]
        );
        assert_eq!(shown(&policy, &[("pay", eur.clone()), ("pay", x.clone()), ("read", json!({}))]), [""; 0]);
        // A doubt decides by the rule, but shows nothing of the condition.
        let doubtful = shown(&policy, &[("pay", json!({"n": "11", "c": "EUR"}))]);
        assert!(!doubtful.iter().any(|line| line.starts_with("large  ")), "{doubtful:?}");
        assert_eq!(doubtful[0], "large conditions.param_gt.n never holds");
    }

    #[test]
    fn series_add_up() {
        let policy = policy();
        let ask = |kind: &str| {
            let mut coverage = Coverage::new(&policy);
            let action = Action { r#type: kind.to_owned(), ..Action::default() };
            let now = Timestamp::UNIX_EPOCH;
            coverage.count(&Question {
                action: &action,
                declared_actor: "",
                authenticated_actor: None,
                now,
                masked: &[],
            });
            coverage
        };
        let mut both = ask("pay");
        assert_eq!(both.share(), (1, 6));
        both.add(&ask("read"));
        assert_eq!(both.share(), (2, 6));
    }
}
