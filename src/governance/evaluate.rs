//! Evaluate: what the policy would decide, without a record, a question or any other side effect.

use super::error::GovernanceError;
use super::generations::Generation;
use super::governor::Governor;
use crate::domain::{Action, Actor, Caller, Check, Checker, Timestamp};
use crate::policy::{Explanation, Question, Verdict};
use std::sync::Arc;

/// The most actions that a caller may evaluate in one call.
pub const MAX_EVALUATIONS: usize = 1000;

/// An action to evaluate.
#[derive(Clone, Debug)]
pub struct Hypothesis {
    /// The proposer.
    pub actor: Actor,
    /// The action.
    pub action: Action,
}

/// The decisions of one policy generation on several actions.
pub struct Evaluated {
    /// The generation.
    pub generation: Arc<Generation>,
    caller: Caller,
    at: Timestamp,
}

impl Check for Hypothesis {
    fn check(&self, at: &str, checker: &mut Checker) {
        self.actor.check(&format!("{at}actor."), checker);
        self.action.check(&format!("{at}action."), checker);
    }
}

impl Governor {
    /// An evaluator with the policy in force, for this caller at this time. Without a time, it uses the current time.
    pub fn evaluate(&self, caller: &Caller, at: Option<Timestamp>) -> Evaluated {
        Evaluated {
            generation: self.generations.current(),
            caller: caller.clone(),
            at: at.unwrap_or_else(|| self.clock.now()),
        }
    }
}

impl Evaluated {
    /// Refuses an actor that the caller's credential does not act for.
    pub fn check_actor(&self, hypothesis: &Hypothesis) -> Result<(), GovernanceError> {
        super::propose::check_actor(&self.caller, &hypothesis.actor.id)
    }

    /// The decision on a proposal of this action.
    pub fn verdict(&self, hypothesis: &Hypothesis) -> Verdict<'_> {
        self.generation.policy.evaluate(&self.question(hypothesis))
    }

    /// The explanation of that decision.
    pub fn explain(&self, hypothesis: &Hypothesis) -> Explanation {
        self.generation.policy.explain(&self.question(hypothesis))
    }

    fn question<'a>(&'a self, hypothesis: &'a Hypothesis) -> Question<'a> {
        Question {
            action: &hypothesis.action,
            declared_actor: &hypothesis.actor.id,
            authenticated_actor: self.caller.identity.authenticated_actor(),
            now: self.at,
            masked: &[],
        }
    }
}
