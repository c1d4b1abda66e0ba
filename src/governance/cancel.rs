//! Cancel: a proposer withdraws a proposal that still waits for a reviewer or for a confirmation.

use std::sync::Arc;

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::write::on_disk;
use crate::approvals::{Act, Pending, quota_key};
use crate::audit::record::Event;
use crate::audit::row::ConfirmationClosed;
use crate::domain::{Caller, Decision, DecisionCode, DecisionId, EndingKind, Outcome, Report, ResultStatus};

impl Governor {
    /// Withdraws a proposal that still waits for a reviewer or for a confirmation. What its proposer withdrew already
    /// is answered as it was the first time.
    pub async fn cancel(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        reason: String,
    ) -> Result<Decision, GovernanceError> {
        let reason = self.without_secrets(&reason);
        let given = self.own(caller, decision_id).await?;
        let quota = quota_key(&given.decision.identity);
        if matches!(given.state.outcome_now(), Outcome::Escalate | Outcome::RequireConfirmation) {
            self.growth.take(&quota, on_disk(reason.len()), self.clock.uptime())?;
        }
        match (given.state.outcome_now(), given.decision.approval_id.and_then(|id| self.queue.get(id))) {
            (Outcome::Escalate, Some(pending)) => self.withdraw(caller, &pending, reason).await?,
            (Outcome::RequireConfirmation, _) => self.cancel_confirmation(decision_id, reason).await?,
            _ => {}
        }
        let decision = self.tell(&self.own(caller, decision_id).await?);
        if decision.code == DecisionCode::Cancelled {
            return Ok(decision);
        }
        let state = format!("{} already", decision.outcome.as_str());
        Err(GovernanceError::NotPending { decision_id, state })
    }

    async fn withdraw(&self, caller: &Caller, pending: &Arc<Pending>, reason: String) -> Result<(), GovernanceError> {
        let (turn, by) = (self.turn(pending), caller.clone());
        let withdrawn = job::run(&self.store, move |tx| {
            turn.act(tx, |_, _| Ok(Act::Withdraw { by: &by, reason }), Some(by.identity.how))
        });
        match withdrawn.await {
            // Only its proposer withdraws a question, and that is this caller: another call was quicker.
            Err(GovernanceError::AlreadyDecided { ending, .. }) if ending.kind == EndingKind::Cancelled => Ok(()),
            withdrawn => withdrawn.map(drop),
        }
    }

    async fn cancel_confirmation(&self, decision_id: DecisionId, reason: String) -> Result<(), GovernanceError> {
        let (now, held) = (self.clock.now(), Arc::clone(&self.held));
        job::run(&self.store, move |tx| {
            let Some((row, mut state)) = tx.row_by_decision(decision_id)? else {
                return Err(Refused::By(GovernanceError::NoDecision(decision_id)));
            };
            if let Some(confirmation) = &mut state.confirmation {
                match confirmation.closed {
                    Some(ConfirmationClosed::Redeemed(by)) => {
                        let state = format!("confirmed already, by {by}");
                        return Err(Refused::By(GovernanceError::NotPending { decision_id, state }));
                    }
                    // By another call of the same proposer, which was quicker.
                    Some(ConfirmationClosed::Cancelled) => return Ok(()),
                    None => {}
                }
                confirmation.closed = Some(ConfirmationClosed::Cancelled);
            }
            let why = if reason.is_empty() { "cancelled by its proposer" } else { &reason };
            state.result = Some(Report::settled(ResultStatus::Skipped, why));
            tx.append(now, &Event::ConfirmationCancelled { decision_id, reason })?;
            tx.update_row(row, &state)?;
            tx.after_commit(move || held.forget(decision_id));
            Ok(())
        })
        .await
    }
}
