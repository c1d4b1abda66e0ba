//! Evaluate: what the policy would decide, without a record, a question or any other side effect.

use std::sync::Arc;

use super::error::GovernanceError;
use super::generations::Generation;
use super::governor::Governor;
use super::halts::{Who, why};
use super::spending::{Proposed, Spending};
use crate::audit::StoreError;
use crate::audit::record::IdentityRecord;
use crate::domain::{Action, Actor, Caller, Check, Checker, Timestamp};
use crate::policy::{Explanation, Question, Verdict};

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

impl Governor {
    /// The decisions on proposals of these actions, and what is left of the limits that they come under. Nothing is
    /// spent.
    pub async fn verdicts<'e>(
        &self,
        evaluated: &'e Evaluated,
        hypotheses: &[Hypothesis],
    ) -> Result<Vec<Verdict<'e>>, GovernanceError> {
        let identity = IdentityRecord::of(&evaluated.caller);
        let (mut verdicts, mut spendings) = (Vec::with_capacity(hypotheses.len()), Vec::new());
        for (i, hypothesis) in hypotheses.iter().enumerate() {
            let Hypothesis { actor, action } = hypothesis;
            let who = Who { identity: &identity, declared: &actor.id, session_id: "" };
            let mut verdict = evaluated.verdict(hypothesis);
            if let Some(halt) = self.halts.of(who) {
                verdict = verdict.stop(why(&halt.halt));
            }
            let proposed = Proposed {
                action,
                shown: action,
                declared: &actor.id,
                authenticated: evaluated.caller.identity.authenticated_actor(),
                identity: &identity,
                session_id: "",
            };
            let spending = self.spender.spending(&verdict, &proposed)?;
            if !spending.is_empty() {
                spendings.push((i, spending));
            }
            verdicts.push(verdict);
        }
        if spendings.is_empty() {
            return Ok(verdicts);
        }
        let at = evaluated.at;
        let seen = self.store.scan(move |reader| {
            let of = |(i, spending): (usize, Spending)| Ok((i, spending.standings_seen(reader, at)?));
            spendings.into_iter().map(of).collect::<Result<Vec<_>, StoreError>>()
        });
        for (i, standings) in seen.await? {
            let Some(place) = verdicts.get_mut(i) else { continue };
            for standing in standings {
                match standing.reached {
                    Some(reached) => *place = place.clone().reach(reached),
                    None => place.note(standing.left),
                }
            }
        }
        Ok(verdicts)
    }
}

impl Evaluated {
    /// Refuses an actor that the caller's credential does not act for.
    pub fn check_actor(&self, hypothesis: &Hypothesis) -> Result<(), GovernanceError> {
        super::propose::check_actor(&self.caller, &hypothesis.actor.id)
    }

    /// The decision on a proposal of this action, before anything is spent.
    fn verdict(&self, hypothesis: &Hypothesis) -> Verdict<'_> {
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
