//! What the policy would answer: no record, no question, no side effect.

use super::error::GovernanceError;
use super::generations::Generation;
use super::governor::Governor;
use crate::domain::{Action, Actor, Caller, Check, Checker, Timestamp};
use crate::policy::{Explanation, Question, Verdict};
use std::sync::Arc;

/// One action to ask about.
#[derive(Clone, Debug)]
pub struct Hypothesis {
    /// Who would propose it.
    pub actor: Actor,
    /// The action.
    pub action: Action,
}

/// What the policy would answer to several actions, all under one generation.
pub struct Evaluated {
    /// The generation that answered.
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
    /// The policy in force, ready to be asked on behalf of this caller as of one moment; now, where none is given.
    pub fn evaluate(&self, caller: &Caller, at: Option<Timestamp>) -> Evaluated {
        Evaluated {
            generation: self.generations.current(),
            caller: caller.clone(),
            at: at.unwrap_or_else(|| self.clock.now()),
        }
    }
}

impl Evaluated {
    /// Refuses a question about an actor that the caller's credential is not for.
    pub fn check_actor(&self, hypothesis: &Hypothesis) -> Result<(), GovernanceError> {
        super::propose::check_actor(&self.caller, &hypothesis.actor.id)
    }

    /// What a proposal of this action would be answered.
    pub fn verdict(&self, hypothesis: &Hypothesis) -> Verdict<'_> {
        self.generation.policy.evaluate(&self.question(hypothesis))
    }

    /// Why.
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
