//! Why a policy decides as it does: slower than `evaluate`, with a reason for every step.
//!
//! It tries every rule in order without the index, so the tests compare the index with it. Values from an agent are
//! shortened and made visible. A value that any rule of the policy masks is masked.

use serde::Serialize;

use super::compiled::Policy;
use super::condition::{Condition, Facts, Group};
use super::globs::Globs;
use super::mask::placeholder;
use super::question::{Asked, Question};
use super::rule::{Fit, Rule};
use super::secrets::Secrets;
use super::truth::Truth;
use super::value::{self, Found};
use super::verdict::Verdict;
use crate::domain::{Approval, Marks, ParamPath, Pointer, RiskLevel, visible};

/// How many rules with matching globs are described at most. The matched rule and the rule that certainly matches
/// are always described.
const MAX_NEAR: usize = 100;

/// How many other rules are described at most.
const MAX_FAR: usize = 20;

/// How many conditions of one rule are described at most.
const MAX_CONDITIONS: usize = 100;

/// How many characters of a value are shown.
const MAX_VALUE: usize = 120;

/// Why a policy decided as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// How dangerous the action is.
    pub risk_level: RiskLevel,
    /// What must happen before it may run.
    pub approval: Approval,
    /// The name of the rule that decided, or `<default>`.
    pub matched_rule: String,
    /// Why, in a sentence.
    pub reason: String,
    /// The rules that were tried, in their order, up to the first that certainly matches.
    pub rules: Vec<RuleTrace>,
    /// How many more rules were tried but are not described.
    pub left_out: usize,
}

/// The outcome of one rule.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleTrace {
    /// Its name.
    pub name: String,
    /// The layer it is written in.
    pub file: String,
    /// The line it begins on.
    pub line: usize,
    /// Whether it matches.
    pub outcome: Outcome,
    /// Whether it decided, alone or together with others that are equally strict.
    pub decides: bool,
    /// Why, in a sentence.
    pub because: String,
    /// Its conditions, if its globs matched.
    pub conditions: Vec<ConditionTrace>,
    /// How many more conditions it has.
    pub conditions_left_out: usize,
}

/// Whether something holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// It is unknown.
    Indeterminate,
}

/// The outcome of one condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionTrace {
    /// Where it is in the rule, for example `conditions.any[0].param_gt.count`.
    pub path: String,
    /// What it asks for, for example `param_gt 100`.
    pub wanted: String,
    /// What was seen: the value (masked if the policy masks it) or the local time. Empty for `all`, `any` and `not`.
    pub seen: String,
    /// Whether it holds.
    pub outcome: Outcome,
    /// Why it is unknown; empty if it is known.
    pub because: String,
}

impl Policy {
    /// Says why the policy decides a question as it does.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let verdict = self.evaluate(question);
        let asked = Asked::new(question);
        // The explanation of one rule must not show a value that another rule masks.
        let mut hidden: Vec<&ParamPath> =
            self.rules().iter().flat_map(|rule| &rule.redact).chain(self.redact()).collect();
        hidden.sort_unstable();
        hidden.dedup();
        let (mut rules, mut left_out, mut near, mut far) = (Vec::new(), 0, 0, 0);
        for rule in self.rules() {
            let fit = rule.fits(&asked);
            let (count, max) = if rule.is_about(&asked) { (&mut near, MAX_NEAR) } else { (&mut far, MAX_FAR) };
            *count += 1;
            let is_matched = verdict.rule.is_some_and(|matched| std::ptr::eq(matched, rule));
            if is_matched || fit == Fit::Yes || *count <= max {
                rules.push(trace(rule, fit, &verdict, &asked, &hidden, self.secrets()));
            } else {
                left_out += 1;
            }
            if fit == Fit::Yes {
                break;
            }
        }
        Explanation {
            risk_level: verdict.risk_level,
            approval: verdict.approval,
            matched_rule: verdict.matched_rule.to_owned(),
            reason: verdict.reason(),
            rules,
            left_out,
        }
    }
}

fn trace(
    rule: &Rule,
    fit: Fit<'_>,
    verdict: &Verdict<'_>,
    asked: &Asked<'_>,
    hidden: &[&ParamPath],
    secrets: &Secrets,
) -> RuleTrace {
    let facts = rule.facts(asked.question);
    let mut traces = Traces { question: asked.question, facts, hidden, secrets, kept: Vec::new(), left_out: 0 };
    let decides = verdict.takes_part(rule);
    let (outcome, because) = if let Some(because) = mismatch(rule, asked) {
        (Outcome::Fails, because)
    } else {
        let mut is_elsewhere = false;
        if let Some(globs) = &rule.target_path_pattern {
            let trace = target_path(globs, asked);
            is_elsewhere = trace.outcome == Outcome::Fails;
            traces.kept.push(trace);
        }
        traces.group(&rule.conditions, "conditions");
        let (outcome, because) = match fit {
            Fit::Yes if decides => (Outcome::Holds, "it matches".to_owned()),
            Fit::Yes => (Outcome::Holds, "it matches, and a rule before it that may match is stricter".to_owned()),
            Fit::Unknown(doubt) if decides => {
                (Outcome::Indeterminate, format!("{doubt}, and no rule that may match is stricter"))
            }
            Fit::Unknown(doubt) if rule.approval == Approval::Auto => {
                (Outcome::Indeterminate, format!("{doubt}, and nothing is allowed on a guess"))
            }
            Fit::Unknown(doubt) => (Outcome::Indeterminate, format!("{doubt}, and a stricter rule decides")),
            Fit::No if is_elsewhere => (Outcome::Fails, "the target, read as a path, does not match".to_owned()),
            Fit::No => (Outcome::Fails, "a condition does not hold".to_owned()),
        };
        (outcome, because)
    };
    RuleTrace {
        name: rule.name.clone(),
        file: rule.position.file.clone(),
        line: rule.position.line,
        outcome,
        decides,
        because,
        conditions: traces.kept,
        conditions_left_out: traces.left_out,
    }
}

/// The outcome of `match.target_path`.
fn target_path(globs: &Globs, asked: &Asked<'_>) -> ConditionTrace {
    let seen = match asked.target_path() {
        Ok(read) => match &read.unescaped {
            None => shown(&read.path),
            Some(other) => format!("{} or {}", shown(&read.path), shown(other)),
        },
        Err(_) => shown(&asked.target),
    };
    let (outcome, because) = outcome(asked.matches_path(globs));
    ConditionTrace { path: "match.target_path".to_owned(), wanted: shown(globs.as_str()), seen, outcome, because }
}

fn outcome(truth: Truth<'_>) -> (Outcome, String) {
    match truth {
        Truth::True => (Outcome::Holds, String::new()),
        Truth::False => (Outcome::Fails, String::new()),
        Truth::Unknown(doubt) => (Outcome::Indeterminate, doubt.why.to_string()),
    }
}

/// The glob that does not match, if there is one.
fn mismatch(rule: &Rule, asked: &Asked<'_>) -> Option<String> {
    let (question, action) = (asked.question, asked.question.action);
    let says = |what: &str, glob: &str, value: &str| Some(format!("{what} `{glob}` does not match `{}`", shown(value)));
    if !rule.type_pattern.matches_nfc(&asked.kind) {
        return says("type", rule.type_pattern.as_str(), &action.r#type);
    }
    if !rule.target_pattern.matches_nfc(&asked.target) {
        return says("target", rule.target_pattern.as_str(), &action.target);
    }
    let glob = rule.actor_pattern.as_ref().filter(|glob| !rule.is_about_actor(glob, question))?;
    if glob.matches(question.declared_actor) {
        return Some(format!(
            "actor `{glob}` matches only the name that the actor gives itself; a rule that can end in a yes without a \
             reviewer needs an authenticated one"
        ));
    }
    says("actor", glob.as_str(), question.authenticated_actor.unwrap_or(question.declared_actor))
}

/// Collects the outcomes of conditions, up to a bound.
struct Traces<'t> {
    question: &'t Question<'t>,
    facts: Facts<'t>,
    hidden: &'t [&'t ParamPath],
    secrets: &'t Secrets,
    kept: Vec<ConditionTrace>,
    left_out: usize,
}

impl Traces<'_> {
    fn group(&mut self, group: &Group, path: &str) {
        for condition in group {
            self.condition(condition, path);
        }
    }

    fn condition(&mut self, condition: &Condition, path: &str) {
        let path = format!("{path}.{}", condition.key());
        let (wanted, seen) = match condition {
            Condition::Time(window, zone) => (format!("{window} ({zone})"), zone.show(self.question.now)),
            Condition::Weekdays(days, zone) => (format!("{days} ({zone})"), zone.show(self.question.now)),
            Condition::Param(param, test) | Condition::Caller(param, test) => {
                (shown(&test.to_string()), self.value(param))
            }
            Condition::All(_) => ("every one of these".to_owned(), String::new()),
            Condition::Any(_) => ("one of these".to_owned(), String::new()),
            Condition::Not(_) => ("not this".to_owned(), String::new()),
        };
        let (outcome, because) = outcome(condition.truth(&self.facts));
        if self.kept.len() == MAX_CONDITIONS {
            self.left_out += 1;
            return;
        }
        let here = path.clone();
        self.kept.push(ConditionTrace { path, wanted, seen, outcome, because });
        match condition {
            Condition::All(groups) | Condition::Any(groups) => {
                for (i, group) in groups.iter().enumerate() {
                    self.group(group, &format!("{here}[{i}]"));
                }
            }
            Condition::Not(group) => self.group(group, &here),
            _ => {}
        }
    }

    /// The value of a parameter, masked if the policy masks it.
    fn value(&self, param: &ParamPath) -> String {
        if self.question.masked.iter().any(|masked| value::overlap(masked, param)) {
            return "masked".to_owned();
        }
        let is_hidden = self.hidden.iter().any(|hidden| value::overlap(hidden, param))
            || param.as_str().split('.').any(|name| self.secrets.is_name(name));
        let show = |value: &serde_json::Value| {
            if is_hidden {
                placeholder(value)
            } else {
                shown(&self.secrets.mask_alone(value, &Pointer::default(), &mut Marks::default()).0.to_string())
            }
        };
        match value::find(&self.question.action.params, param) {
            Found::Missing => "missing".to_owned(),
            Found::Value(value) => show(value),
            Found::Conflict(literal, nested) => format!("{} and {}", show(literal), show(nested)),
            Found::Blocked(None, by) => format!("{} on the way", show(by)),
            Found::Blocked(Some(literal), by) => format!("{} and {} on the way", show(literal), show(by)),
        }
    }
}

/// Text that an agent controls: shortened, with hidden characters made visible.
fn shown(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_VALUE).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    visible(&short).into_owned()
}
