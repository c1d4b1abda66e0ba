//! A rule, and whether it fits an action.

use std::time::Duration;

use serde_json::{Map, Value};

use super::condition::{Condition, Doubt, Facts, Group, Truth};
use super::glob::Glob;
use super::verdict::Question;
use crate::domain::{Approval, ParamPath, RiskLevel};

/// How long an approval stays open where the rule does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(15);

/// What becomes of an approval that nobody answered in time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnTimeout {
    /// It is denied.
    #[default]
    Deny,
    /// It is allowed; the record says that it expired. Never on high or critical risk.
    Allow,
}

impl OnTimeout {
    /// The word as policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Allow => "allow",
        }
    }
}

/// Where a rule is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The name of the layer, typically a path.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, or `rule_<index>` with its place in its own file.
    pub name: String,
    /// Whether the policy gives it that name. Automatic names replace nothing and may occur more than once.
    pub is_named: bool,
    /// The action types that it is about.
    pub type_pattern: Glob,
    /// The targets that it is about.
    pub target_pattern: Glob,
    /// The actors that it is about; everybody where there is none.
    pub actor_pattern: Option<Glob>,
    /// What must hold besides.
    pub conditions: Group,
    /// How dangerous a matching action is.
    pub risk_level: RiskLevel,
    /// What must happen before it may run.
    pub approval: Approval,
    /// The author's words for the decision.
    pub reason: Option<String>,
    /// What an agent is told to keep to.
    pub constraints: Map<String, Value>,
    /// How long an approval stays open, if the rule says.
    pub timeout: Option<Duration>,
    /// What becomes of an approval that nobody answered in time.
    pub on_timeout: OnTimeout,
    /// Parameters whose values are masked before they are stored or shown.
    pub redact: Vec<ParamPath>,
    /// Where it is written.
    pub position: Position,
}

/// Whether a rule fits an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit<'p> {
    /// It is about something else.
    No,
    /// It decides; a condition that could not be told may have been counted as holding.
    Yes(Option<Doubt<'p>>),
    /// It would allow, but a condition could not be told.
    PassedOver(Doubt<'p>),
}

impl Rule {
    /// Whether the globs match. An actor who proved nothing can be asked or blocked by name, but not allowed.
    pub(super) fn is_about(&self, question: &Question<'_>) -> bool {
        self.type_pattern.matches(&question.action.r#type)
            && self.target_pattern.matches(&question.action.target)
            && self.actor_pattern.as_ref().is_none_or(|glob| self.is_about_actor(glob, question))
    }

    pub(super) fn is_about_actor(&self, glob: &Glob, question: &Question<'_>) -> bool {
        question.authenticated_actor.is_some_and(|actor| glob.matches(actor))
            || !self.allows() && glob.matches(question.declared_actor)
    }

    /// Whether a match lets the action run at once. Asking the agent's own user is asking.
    fn allows(&self) -> bool {
        self.approval == Approval::Auto
    }

    /// What the conditions come to.
    pub(super) fn conditions_hold<'p>(&'p self, question: &Question<'_>) -> Truth<'p> {
        let facts = Facts { params: &question.action.params, masked: question.masked, now: question.now };
        Condition::group(&self.conditions, &facts)
    }

    /// Whether the rule decides. Here, once per rule, a doubt falls to the safe side: a guard is not dodged by a type, and
    /// nothing is allowed on a guess.
    pub(super) fn fits<'p>(&'p self, question: &Question<'_>) -> Fit<'p> {
        if !self.is_about(question) {
            return Fit::No;
        }
        match self.conditions_hold(question) {
            Truth::True => Fit::Yes(None),
            Truth::False => Fit::No,
            Truth::Unknown(doubt) if self.allows() => Fit::PassedOver(doubt),
            Truth::Unknown(doubt) => Fit::Yes(Some(doubt)),
        }
    }

    /// Whether it decides everything that comes to it.
    pub(super) fn is_catch_all(&self) -> bool {
        self.type_pattern.matches_everything()
            && self.target_pattern.matches_everything()
            && self.actor_pattern.is_none()
            && self.conditions.is_empty()
    }
}
