//! A rule, and whether it fits an action.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::condition::{Condition, Facts, Group, Names};
use super::glob::Glob;
use super::globs::Globs;
use super::limit::Limit;
use super::question::{Asked, Question};
use super::truth::{Doubt, Truth};
use crate::domain::{Approval, Defence, ParamPath, RiskLevel};

/// How long an approval stays open if the rule does not say.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(15);

/// What happens to an approval that nobody answers in time.
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
    /// The column in characters, counted from 1.
    pub column: usize,
}

/// How much an answer lets through, from the most to the least. Of several answers that may apply, the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Strictness {
    /// It runs at once.
    Auto,
    /// The agent's own user is asked.
    Confirm,
    /// A reviewer is asked; without an answer in time, the action is allowed.
    ApproveOrSilence,
    /// A reviewer must say yes.
    Approve,
    /// It never runs.
    Block,
}

impl Strictness {
    pub(super) const fn of(approval: Approval, on_timeout: OnTimeout) -> Self {
        match (approval, on_timeout) {
            (Approval::Auto, _) => Self::Auto,
            (Approval::Confirm, _) => Self::Confirm,
            (Approval::Approve, OnTimeout::Allow) => Self::ApproveOrSilence,
            (Approval::Approve, OnTimeout::Deny) => Self::Approve,
            (Approval::Block, _) => Self::Block,
        }
    }
}

/// A compiled rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name, or `rule_<index>` with its place in its own file.
    pub name: String,
    /// Whether the policy gives it that name. Automatic names replace nothing, and two rules can have the same one.
    pub is_named: bool,
    /// The action types that it matches.
    pub type_pattern: Globs,
    /// The targets that it matches.
    pub target_pattern: Globs,
    /// The targets that it matches as paths or URLs in their normal form; every target if there is none.
    pub target_path_pattern: Option<Box<Globs>>,
    /// The actors that it matches; everybody if there is none.
    pub actor_pattern: Option<Globs>,
    /// The conditions that must hold too.
    pub conditions: Group,
    /// How dangerous a matching action is.
    pub risk_level: RiskLevel,
    /// What must happen before it may run.
    pub approval: Approval,
    /// The author's explanation of the decision.
    pub reason: Option<String>,
    /// The limits that the agent is told to keep to.
    pub constraints: Map<String, Value>,
    /// How long an approval stays open, if the rule says.
    pub timeout: Option<Duration>,
    /// What happens to an approval that nobody answers in time.
    pub on_timeout: OnTimeout,
    /// Parameters whose values are masked before they are stored or shown.
    pub redact: Vec<ParamPath>,
    /// How often, or how much, it may happen.
    pub limit: Option<Arc<Limit>>,
    /// Where it is written.
    pub position: Position,
}

/// Whether a rule matches an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit<'p> {
    /// It does not match.
    No,
    /// It certainly matches.
    Yes,
    /// Its globs match, but its conditions are unknown.
    Unknown(Doubt<'p>),
}

impl Rule {
    /// A rule that says nothing: it matches everything and asks a reviewer. `index` is its place in its file.
    pub(super) fn new(index: usize, position: Position) -> Self {
        Self {
            name: format!("rule_{index}"),
            is_named: false,
            type_pattern: Glob::new("*").into(),
            target_pattern: Glob::new("*").into(),
            target_path_pattern: None,
            actor_pattern: None,
            conditions: Vec::new(),
            risk_level: RiskLevel::Medium,
            approval: Approval::Approve,
            reason: None,
            constraints: Map::new(),
            timeout: None,
            on_timeout: OnTimeout::Deny,
            redact: Vec::new(),
            limit: None,
            position,
        }
    }

    /// Whether the globs match. A rule can block or ask about an unauthenticated actor by name, but not allow one
    /// without a reviewer.
    pub(super) fn is_about(&self, asked: &Asked<'_>) -> bool {
        self.type_pattern.matches_nfc(&asked.kind)
            && self.target_pattern.matches_nfc(&asked.target)
            && self.actor_pattern.as_ref().is_none_or(|globs| self.is_about_actor(globs, asked.question))
    }

    pub(super) fn is_about_actor(&self, globs: &Globs, question: &Question<'_>) -> bool {
        question.authenticated_actor.is_some_and(|actor| globs.matches(actor))
            || !(self.may_need_no_reviewer() && Defence::ProvedActor.on()) && globs.matches(question.declared_actor)
    }

    /// How strict it is.
    pub(super) fn strictness(&self) -> Strictness {
        Strictness::of(self.approval, self.on_timeout)
    }

    /// Whether a match can allow an action without a reviewer.
    pub(super) fn may_need_no_reviewer(&self) -> bool {
        self.strictness() < Strictness::Approve
    }

    /// The truth of all conditions together.
    fn conditions_hold<'p>(&'p self, question: &Question<'_>) -> Truth<'p> {
        if self.conditions.is_empty() {
            return Truth::True;
        }
        Condition::group(&self.conditions, &self.facts(question))
    }

    /// The facts that its conditions are tested against. On a rule that can allow without a reviewer, only a proved
    /// name counts as the caller's.
    pub(super) fn facts<'q>(&self, question: &Question<'q>) -> Facts<'q> {
        let declared = (!self.may_need_no_reviewer()).then_some(question.declared_actor);
        let names = Names { authenticated: question.authenticated_actor, declared };
        Facts { params: &question.action.params, masked: question.masked, now: question.now, names }
    }

    /// Whether it matches, may match, or does not match.
    pub(super) fn fits<'p>(&'p self, asked: &Asked<'_>) -> Fit<'p> {
        if !self.is_about(asked) {
            return Fit::No;
        }
        let truth = match &self.target_path_pattern {
            None => self.conditions_hold(asked.question),
            Some(globs) => Truth::both(asked.matches_path(globs), || self.conditions_hold(asked.question)),
        };
        match truth {
            Truth::True => Fit::Yes,
            Truth::False => Fit::No,
            Truth::Unknown(_) if !Defence::Doubt.on() => Fit::No,
            Truth::Unknown(doubt) => Fit::Unknown(doubt),
        }
    }

    /// Whether it decides every action that reaches it.
    pub(super) fn is_catch_all(&self) -> bool {
        self.type_pattern.matches_everything()
            && self.target_pattern.matches_everything()
            && self.target_path_pattern.is_none()
            && self.actor_pattern.is_none()
            && self.conditions.is_empty()
    }
}
