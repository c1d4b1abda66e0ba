//! After the answer: wait for what a reviewer says, report what came of the action.

use std::time::Duration;

use super::masking::{self, Masking};
use super::{Answer, GovernanceError, Governor};
use crate::audit::record::Event;
use crate::domain::{Caller, Checked, DecisionId, Outcome, RecordId, Report, ResultStatus};

impl Governor {
    /// The answer as it stands, or as it stands when a reviewer has decided or the wait is over.
    pub async fn await_decision(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        wait: Duration,
    ) -> Result<Answer, GovernanceError> {
        let mut answer = self.own_decision(caller, decision_id).await?;
        if !wait.is_zero() {
            self.wait_for(&mut answer, wait).await?;
        }
        Ok(answer)
    }

    /// Waits until the answer is no longer ESCALATE, or the wait is over.
    pub(super) async fn wait_for(&self, answer: &mut Answer, wait: Duration) -> Result<(), GovernanceError> {
        let Some(approval_id) = answer.decision.approval_id else { return Ok(()) };
        if answer.outcome() != Outcome::Escalate {
            return Ok(());
        }
        match tokio::time::timeout(wait, self.queue.ended(approval_id)).await {
            Ok(Some(ended)) => {
                if let Some(approval) = &mut answer.state.approval {
                    approval.ending = Some(ended.ending.clone());
                }
            }
            // Not open any more: the store knows how it ended.
            Ok(None) => {
                let decision_id = answer.decision.decision_id;
                if let Some(row) = self.store.look(move |reader| reader.by_decision(decision_id)).await? {
                    *answer = row.into();
                }
            }
            // Time is up: it still says ESCALATE.
            Err(_) => {}
        }
        Ok(())
    }

    /// The answer to a proposal of this very caller. Another caller's is not told from none.
    pub(super) async fn own_decision(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
    ) -> Result<Answer, GovernanceError> {
        let row = self.store.look(move |reader| reader.by_decision(decision_id)).await?;
        // Of what was redacted nothing is left that could be anybody's.
        row.filter(|row| row.state.redacted.is_none() && is_own(caller, &row.decision.identity))
            .map(Answer::from)
            .ok_or(GovernanceError::NoDecision(decision_id))
    }

    /// Takes an agent's word on what came of an action. The same word again is answered alike, with no new record.
    pub async fn report(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        report: Checked<Report>,
    ) -> Result<Option<RecordId>, GovernanceError> {
        let now = self.clock.now();
        // What a decision is never changes: it is looked at, and the report masked, before the writer's turn.
        let decision = self.own_decision(caller, decision_id).await?.decision;
        let held = self.held().get(decision_id);
        let values = held.or_else(|| decision.masked.is_empty().then(masking::Values::default));
        let generation = self.generations.current();
        let masking = Masking { redact: &decision.redact, secrets: generation.policy.secrets() };
        let (report, masked) = masking.report(report.into_inner(), values);
        self.store
            .transact(move |tx| {
                let Some((row, mut state)) = tx.row_by_decision(decision_id)? else {
                    return Ok(Err(GovernanceError::NoDecision(decision_id)));
                };
                if state.redacted.is_some() {
                    return Ok(Err(GovernanceError::NoDecision(decision_id)));
                }
                if state.result.as_ref() == Some(&report) {
                    return Ok(Ok(None));
                }
                if let Err(why) = may_report(state.outcome_now(), state.result.as_ref(), report.status) {
                    let status = report.status.as_str();
                    return Ok(Err(GovernanceError::NotReportable { decision_id, status, why }));
                }
                let appended = tx.append(now, &Event::Result { decision_id, report: report.clone(), masked })?;
                state.result = Some(report);
                tx.update_row(row, &state)?;
                Ok(Ok(Some(appended.record_id)))
            })
            .await?
    }
}

fn is_own(caller: &Caller, proposer: &crate::audit::record::IdentityRecord) -> bool {
    let identity = &caller.identity;
    match proposer.how {
        crate::domain::How::Anonymous => !identity.is_authenticated(),
        // A credential that is bound to one actor reaches what that actor proposed, and not what its subject did besides.
        how => {
            let same_actor = identity.actor.is_none() || identity.actor.as_deref() == proposer.actor.as_deref();
            same_actor && identity.is_same_subject(&proposer.subject, how)
        }
    }
}

/// Whether an action that stands like this may be reported so.
fn may_report(outcome: Outcome, earlier: Option<&Report>, status: ResultStatus) -> Result<(), String> {
    match (outcome, earlier.map(|report| report.status), status) {
        (Outcome::Allow, None, _)
        | (Outcome::Allow, Some(ResultStatus::Success | ResultStatus::Failed), ResultStatus::RolledBack) => Ok(()),
        (_, Some(earlier), _) => Err(format!("it is reported as {} already", earlier.as_str())),
        (outcome, None, _) => Err(format!("the outcome is {}, so the action must not have run", outcome.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::propose::settled;

    #[test]
    fn what_ran_can_be_undone_and_nothing_else_is_said_twice() {
        let failed = settled(ResultStatus::Failed, "");
        assert!(may_report(Outcome::Allow, None, ResultStatus::Success).is_ok());
        assert!(may_report(Outcome::Allow, Some(&failed), ResultStatus::RolledBack).is_ok());
        assert!(may_report(Outcome::Allow, Some(&failed), ResultStatus::Success).is_err());
        let undone = settled(ResultStatus::RolledBack, "");
        assert!(may_report(Outcome::Allow, Some(&undone), ResultStatus::RolledBack).is_err());
    }

    #[test]
    fn what_was_not_allowed_cannot_have_run() {
        for outcome in [Outcome::Deny, Outcome::Escalate, Outcome::RequireConfirmation] {
            assert!(may_report(outcome, None, ResultStatus::Success).is_err());
        }
    }
}
