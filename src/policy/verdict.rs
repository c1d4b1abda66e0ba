//! A policy's answer: the strictest rule that may apply.
//!
//! The first rule that certainly matches decides, or the defaults if there is none. But an earlier rule decides if it
//! is stricter and its conditions are unknown. So the type of a value cannot dodge a guard, and a weaker rule cannot
//! hide a block. The order is block > approve > approve with `on_timeout: allow` > confirm > auto; an unknown `auto`
//! never wins. The first of the strictest rules is the matched rule. Its question takes from all equally strict rules
//! the highest risk, the shortest timeout, every `redact` and every constraint. Without an answer in time it is
//! denied, unless all of them allow.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use serde_json::{Map, Value};

use super::limit::{Limit, Quantity};
use super::question::Question;
use super::rule::{DEFAULT_TIMEOUT, OnTimeout, Rule, Strictness};
use super::truth::Doubt;
use crate::domain::{Approval, Defence, ParamPath, RiskLevel};

/// Stands for the name of the rule when no rule matches.
pub const DEFAULT_RULE: &str = "<default>";

/// What an action spends of a limit if it is allowed.
#[derive(Clone, Copy, Debug)]
pub struct Charge<'p> {
    /// The limit.
    pub limit: &'p Arc<Limit>,
    /// How much.
    pub amount: Quantity,
}

/// A limit that an action would exceed.
#[derive(Clone, Debug)]
pub struct Reached {
    /// The limit.
    pub limit: Arc<Limit>,
    /// Why, in a clause for a person: `3 of 3 are spent`.
    pub why: String,
}

/// A policy's answer.
#[derive(Clone, Debug)]
pub struct Verdict<'p> {
    /// How dangerous the action is.
    pub risk_level: RiskLevel,
    /// What must happen before it may run.
    pub approval: Approval,
    /// The name of the rule that decided, or [`DEFAULT_RULE`].
    pub matched_rule: &'p str,
    /// The rule that decided; `None` for the defaults.
    pub rule: Option<&'p Rule>,
    /// Why it is unknown whether that rule matches. It decides because it is the strictest that may.
    pub doubt: Option<Doubt<'p>>,
    /// The first other rule that may match too, and why that is unknown. It is weaker, or allows.
    pub passed_over: Option<(&'p Rule, Doubt<'p>)>,
    /// The other rules that are equally strict. Empty, and so not allocated, if nothing is unknown.
    equals: Vec<&'p Rule>,
    timeout: Duration,
    on_timeout: OnTimeout,
    /// The merged constraints, if another equally strict rule has some.
    constraints: Option<Box<Map<String, Value>>>,
    redact_always: &'p [ParamPath],
    /// What must happen if no rule matches.
    by_default: Approval,
    /// What limits and halts say. Without either it is not allocated, so that such an answer costs nothing more.
    beyond: Option<Box<Beyond<'p>>>,
}

/// What limits and halts say about an action.
#[derive(Clone, Debug, Default)]
struct Beyond<'p> {
    /// What it spends if it is allowed.
    charges: Vec<Charge<'p>>,
    /// The limits that it would exceed.
    reached: Vec<Reached>,
    /// What is left of limits, for people.
    notes: Vec<String>,
    /// Why the answer is no, whatever the rules say.
    stopped: Option<String>,
}

impl<'p> Verdict<'p> {
    /// The answer, from the first rule that certainly matches (or the defaults) and the unknown rules before it.
    pub(super) fn strictest(
        certain: Option<&'p Rule>,
        unknown: &[(&'p Rule, Doubt<'p>)],
        defaults: (RiskLevel, Approval),
        redact_always: &'p [ParamPath],
    ) -> Self {
        let verdict = Self::alone(certain, defaults, redact_always);
        if unknown.is_empty() {
            return verdict;
        }
        let certain_is = certain.map_or(Strictness::of(defaults.1, OnTimeout::Deny), Rule::strictness);
        let greatest = unknown.iter().map(|(rule, _)| rule.strictness()).fold(certain_is, Ord::max);
        // Nothing is weaker than an unknown `auto`, so it could win only if that changed nothing.
        let counts = |rule: &Rule| {
            let is_greatest = rule.strictness() == greatest || !Defence::Strictest.on();
            is_greatest && rule.strictness() > Strictness::Auto
        };
        let passed_over = unknown.iter().find(|(rule, _)| !counts(rule)).copied();
        let mut strictest = unknown.iter().filter(|(rule, _)| counts(rule));
        let Some((rule, doubt)) = strictest.next() else { return Self { passed_over, ..verdict } };
        let equals: Vec<&Rule> =
            strictest.map(|(rule, _)| *rule).chain(certain.filter(|certain| counts(certain))).collect();
        // The defaults can be as strict as the matched rule; then what they ask for counts too.
        let with_defaults = certain.is_none() && certain_is == greatest;
        let verdict = Self { doubt: Some(*doubt), passed_over, ..Self::alone(Some(rule), defaults, redact_always) };
        verdict.together_with(equals, with_defaults.then_some(defaults.0))
    }

    /// The answer of one rule, or of the defaults.
    fn alone(rule: Option<&'p Rule>, defaults: (RiskLevel, Approval), redact_always: &'p [ParamPath]) -> Self {
        Self {
            risk_level: rule.map_or(defaults.0, |rule| rule.risk_level),
            approval: rule.map_or(defaults.1, |rule| rule.approval),
            matched_rule: rule.map_or(DEFAULT_RULE, |rule| &rule.name),
            rule,
            doubt: None,
            passed_over: None,
            equals: Vec::new(),
            timeout: rule.and_then(|rule| rule.timeout).unwrap_or(DEFAULT_TIMEOUT),
            on_timeout: rule.map_or(OnTimeout::Deny, |rule| rule.on_timeout),
            constraints: None,
            redact_always,
            by_default: defaults.1,
            beyond: None,
        }
    }

    /// The answer under the limits of its rules and these. A limit that the action exceeds alone, whatever was spent
    /// before, is reached.
    pub(super) fn under(mut self, others: impl Iterator<Item = &'p Arc<Limit>>, question: &Question<'_>) -> Self {
        if self.approval == Approval::Block {
            return self;
        }
        let params = &question.action.params;
        let own = self.rule.iter().chain(&self.equals).filter_map(|rule| rule.limit.as_ref());
        let (mut charges, mut reached): (Vec<Charge<'p>>, Vec<Reached>) = (Vec::new(), Vec::new());
        for limit in own.chain(others) {
            let is_counted = charges.iter().any(|charge| Arc::ptr_eq(charge.limit, limit))
                || reached.iter().any(|reached| Arc::ptr_eq(&reached.limit, limit));
            if is_counted || !Defence::Limits.on() {
                continue;
            }
            match limit.amount(params, question.masked) {
                Some(amount) if amount <= limit.max => charges.push(Charge { limit, amount }),
                Some(amount) => {
                    let why = format!("this action alone would spend {amount} of {}", limit.text());
                    reached.push(Reached { limit: Arc::clone(limit), why });
                }
                None => {
                    let why = "what it would spend is not a number from 0 to 10^12".to_owned();
                    reached.push(Reached { limit: Arc::clone(limit), why });
                }
            }
        }
        if !charges.is_empty() {
            self.beyond().charges = charges;
        }
        reached.into_iter().fold(self, Self::reach)
    }

    /// Whether a limit makes the answer stricter once it is reached.
    pub fn is_changed_by(&self, limit: &Limit) -> bool {
        let stricter = Strictness::of(limit.approval, OnTimeout::Deny) > Strictness::of(self.approval, self.on_timeout);
        stricter || limit.risk_level.is_some_and(|risk| risk > self.risk_level)
    }

    /// The answer once a limit is reached: the stricter of both.
    #[must_use]
    pub fn reach(mut self, reached: Reached) -> Self {
        let limit = &reached.limit;
        let asked = Strictness::of(limit.approval, OnTimeout::Deny);
        if asked > Strictness::of(self.approval, self.on_timeout) {
            (self.approval, self.on_timeout) = (limit.approval, OnTimeout::Deny);
        }
        self.risk_level = self.risk_level.max(limit.risk_level.unwrap_or(self.risk_level));
        if self.risk_level >= RiskLevel::High {
            self.on_timeout = OnTimeout::Deny;
        }
        let is_blocked = self.approval == Approval::Block;
        let beyond = self.beyond();
        if is_blocked {
            beyond.charges.clear();
        }
        beyond.reached.push(reached);
        self
    }

    /// The answer to somebody who is halted: no, for this reason.
    #[must_use]
    pub fn stop(mut self, why: String) -> Self {
        (self.approval, self.on_timeout) = (Approval::Block, OnTimeout::Deny);
        *self.beyond() = Beyond { stopped: Some(why), ..Beyond::default() };
        self
    }

    /// What the action spends if it is allowed.
    pub fn charges(&self) -> &[Charge<'p>] {
        self.beyond.as_ref().map_or(&[], |beyond| &beyond.charges)
    }

    /// The limits that the action would exceed.
    pub fn reached(&self) -> &[Reached] {
        self.beyond.as_ref().map_or(&[], |beyond| &beyond.reached)
    }

    /// Adds to the reason what is left of a limit.
    pub fn note(&mut self, left: String) {
        self.beyond().notes.push(left);
    }

    fn beyond(&mut self) -> &mut Beyond<'p> {
        self.beyond.get_or_insert_default()
    }

    /// Combines this answer with those of equally strict rules, or of the defaults with their risk.
    fn together_with(mut self, equals: Vec<&'p Rule>, default_risk: Option<RiskLevel>) -> Self {
        for rule in &equals {
            self.risk_level = self.risk_level.max(rule.risk_level);
            self.timeout = self.timeout.min(rule.timeout.unwrap_or(DEFAULT_TIMEOUT));
            if rule.on_timeout == OnTimeout::Deny {
                self.on_timeout = OnTimeout::Deny;
            }
        }
        if let Some(risk) = default_risk {
            self.risk_level = self.risk_level.max(risk);
            self.timeout = self.timeout.min(DEFAULT_TIMEOUT);
            self.on_timeout = OnTimeout::Deny;
        }
        if equals.iter().any(|rule| !rule.constraints.is_empty()) {
            self.constraints = Some(Box::new(constraints(self.rule.into_iter().chain(equals.iter().copied()))));
        }
        self.equals = equals;
        self
    }

    /// Whether the action may run at all: at once, or after somebody agrees.
    pub fn is_allowed(&self) -> bool {
        self.approval != Approval::Block
    }

    /// Why, in a sentence for a person. It contains no text of the agent.
    pub fn reason(&self) -> String {
        if let Some(why) = self.beyond.as_ref().and_then(|beyond| beyond.stopped.as_ref()) {
            return why.clone();
        }
        let reason = match self.rule {
            Some(Rule { reason: Some(own), .. }) => own.clone(),
            Some(rule) => format!("rule `{}` {}", rule.name, consequence(rule.approval)),
            None => format!("no rule matches, and the default {}", consequence(self.by_default)),
        };
        let doubt = self.doubt.map(|doubt| format!("; {doubt}, so the strictest rule that may apply decides"));
        let passed_over = self.passed_over.map(|(rule, doubt)| match rule.approval {
            Approval::Auto => format!("; rule `{}` allows nothing here, because {doubt}", rule.name),
            _ => format!("; rule `{}` does not decide, because {doubt}", rule.name),
        });
        let mut reason = reason + &doubt.unwrap_or_default() + &passed_over.unwrap_or_default();
        for Reached { limit, why } in self.reached() {
            // Writing to a text does not fail.
            let _ = write!(reason, "; limit `{}` {}: {why}", limit.name, consequence(limit.approval));
        }
        for note in self.beyond.iter().flat_map(|beyond| &beyond.notes) {
            let _ = write!(reason, "; {note}");
        }
        reason
    }

    /// Whether this rule decided, or is equally strict and takes part in the question.
    pub(super) fn takes_part(&self, rule: &Rule) -> bool {
        self.rule.iter().chain(&self.equals).any(|taking| std::ptr::eq(*taking, rule))
    }

    /// The limits that the agent is told to keep to. If two rules give the same name, the first wins.
    pub fn constraints(&self) -> &Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        match (&self.constraints, self.rule) {
            (Some(merged), _) => merged,
            (None, Some(rule)) => &rule.constraints,
            (None, None) => &NONE,
        }
    }

    /// How long an approval stays open.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// What happens to an approval that nobody answers in time.
    pub fn on_timeout(&self) -> OnTimeout {
        self.on_timeout
    }

    /// The parameters to mask: those of the rules and those of the whole policy.
    pub fn redact(&self) -> impl Iterator<Item = &'p ParamPath> + use<'p, '_> {
        self.rule.iter().chain(&self.equals).flat_map(|rule| &rule.redact).chain(self.redact_always)
    }
}

fn constraints<'p>(rules: impl Iterator<Item = &'p Rule>) -> Map<String, Value> {
    let mut merged = Map::new();
    for (name, value) in rules.flat_map(|rule| &rule.constraints) {
        merged.entry(name.as_str()).or_insert_with(|| value.clone());
    }
    merged
}

const fn consequence(approval: Approval) -> &'static str {
    match approval {
        Approval::Auto => "allows this action",
        Approval::Confirm => "asks for the confirmation of the agent's own user",
        Approval::Approve => "asks for a reviewer's approval",
        Approval::Block => "blocks this action",
    }
}
