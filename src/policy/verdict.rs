//! The question that a policy is asked, and its answer.

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value};

use super::condition::Doubt;
use super::rule::{DEFAULT_TIMEOUT, OnTimeout, Rule};
use crate::domain::{Action, Approval, ParamPath, RiskLevel, Timestamp};

/// What stands for a rule's name where no rule matched.
pub const DEFAULT_RULE: &str = "<default>";

/// What a policy is asked: may this actor do this now?
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What is proposed.
    pub action: &'a Action,
    /// The actor's own claim of who it is.
    pub declared_actor: &'a str,
    /// Who it was proved to be, if anybody.
    pub authenticated_actor: Option<&'a str>,
    /// The moment that conditions on the clock read.
    pub now: Timestamp,
    /// Parameters whose values are gone. A condition on one of them, on what holds it or on what is in it, cannot be told.
    pub masked: &'a [ParamPath],
}

/// A policy's answer.
#[derive(Clone, Copy, Debug)]
pub struct Verdict<'p> {
    /// How dangerous the action is.
    pub risk_level: RiskLevel,
    /// What must happen before it may run.
    pub approval: Approval,
    /// The name of the rule that decided, or [`DEFAULT_RULE`].
    pub matched_rule: &'p str,
    /// The rule that decided; `None` for the defaults.
    pub rule: Option<&'p Rule>,
    /// The condition of that rule which could not be told and was counted as holding.
    pub counted: Option<Doubt<'p>>,
    /// The first rule that would have allowed the action, had this condition of it not been beyond telling.
    pub passed_over: Option<(&'p Rule, Doubt<'p>)>,
    pub(super) redact_always: &'p [ParamPath],
}

impl<'p> Verdict<'p> {
    /// Whether the action may run at all: at once or after somebody agreed.
    pub fn is_allowed(&self) -> bool {
        self.approval != Approval::Block
    }

    /// Why, in a sentence for a person. What an agent wrote is never part of it.
    pub fn reason(&self) -> String {
        let reason = match self.rule {
            Some(Rule { reason: Some(own), .. }) => own.clone(),
            Some(rule) => format!("rule `{}` {}", rule.name, consequence(self.approval)),
            None => format!("no rule matches, and the default {}", consequence(self.approval)),
        };
        let counted = self.counted.map(|doubt| format!("; {doubt} and counts as holding"));
        let passed_over = self
            .passed_over
            .map(|(rule, doubt)| format!("; rule `{}` allows nothing here, because {doubt}", rule.name));
        reason + &counted.unwrap_or_default() + &passed_over.unwrap_or_default()
    }

    /// What the agent is told to keep to.
    pub fn constraints(&self) -> &'p Map<String, Value> {
        static NONE: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);
        self.rule.map_or(&*NONE, |rule| &rule.constraints)
    }

    /// How long an approval stays open.
    pub fn timeout(&self) -> Duration {
        self.rule.and_then(|rule| rule.timeout).unwrap_or(DEFAULT_TIMEOUT)
    }

    /// What becomes of an approval that nobody answered in time.
    pub fn on_timeout(&self) -> OnTimeout {
        self.rule.map_or(OnTimeout::Deny, |rule| rule.on_timeout)
    }

    /// The parameters to mask: those of the rule and those of the whole policy.
    pub fn redact(&self) -> impl Iterator<Item = &'p ParamPath> + use<'p> {
        self.rule.map_or(&[][..], |rule| &rule.redact).iter().chain(self.redact_always)
    }
}

const fn consequence(approval: Approval) -> &'static str {
    match approval {
        Approval::Auto => "allows this action",
        Approval::Confirm => "asks for the confirmation of the agent's own user",
        Approval::Approve => "asks for a reviewer's approval",
        Approval::Block => "blocks this action",
    }
}
