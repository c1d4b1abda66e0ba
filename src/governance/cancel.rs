//! Cancel: a proposer withdraws a proposal that still waits for a reviewer or for a confirmation.

use std::sync::Arc;

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::write::settled;
use crate::approvals::Act;
use crate::audit::record::Event;
use crate::audit::row::ConfirmationClosed;
use crate::domain::{Caller, Decision, DecisionId, Outcome, ResultStatus};

impl Governor {
    /// Withdraws a proposal that still waits for a reviewer or for a confirmation.
    pub async fn cancel(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        reason: String,
    ) -> Result<Decision, GovernanceError> {
        let reason = self.without_secrets(&reason);
        let given = self.own(caller, decision_id).await?;
        let outcome = given.state.outcome_now();
        match (outcome, given.decision.approval_id.and_then(|id| self.queue.get(id))) {
            (Outcome::Escalate, Some(pending)) => {
                let (turn, by) = (self.turn(&pending), caller.clone());
                job::run(&self.store, move |tx| {
                    turn.act(tx, |_, _| Ok(Act::Withdraw { by: &by, reason }), Some(by.identity.how))
                })
                .await?;
            }
            (Outcome::RequireConfirmation, _) => self.cancel_confirmation(decision_id).await?,
            _ => {
                let state = format!("{} already", outcome.as_str());
                return Err(GovernanceError::NotPending { decision_id, state });
            }
        }
        Ok(self.tell(&self.own(caller, decision_id).await?))
    }

    async fn cancel_confirmation(&self, decision_id: DecisionId) -> Result<(), GovernanceError> {
        let (now, held) = (self.clock.now(), Arc::clone(&self.held));
        job::run(&self.store, move |tx| {
            let Some((row, mut state)) = tx.row_by_decision(decision_id)? else {
                return Err(Refused::By(GovernanceError::NoDecision(decision_id)));
            };
            if let Some(confirmation) = &mut state.confirmation {
                if let Some(ConfirmationClosed::Redeemed(by)) = confirmation.closed {
                    let state = format!("already confirmed by {by}");
                    return Err(Refused::By(GovernanceError::NotPending { decision_id, state }));
                }
                confirmation.closed = Some(ConfirmationClosed::Cancelled);
            }
            state.result = Some(settled(ResultStatus::Skipped, "cancelled by its proposer"));
            tx.append(now, &Event::ConfirmationCancelled { decision_id })?;
            tx.update_row(row, &state)?;
            tx.after_commit(move || held.forget(decision_id));
            Ok(())
        })
        .await
    }
}
