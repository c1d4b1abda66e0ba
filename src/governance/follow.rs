//! Calls after a proposal: wait for a reviewer, and report the result of the action.

use std::sync::Arc;
use std::time::Duration;

use super::decision::OnRecord;
use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::masking::{Masking, Values};
use crate::approvals::is_own;
use crate::audit::StoreError;
use crate::audit::record::Event;
use crate::audit::row::Reported;
use crate::domain::{
    Caller, Checked, Decision, DecisionId, Outcome, QuestionState, RecordId, Report, ResultStatus, canonical_json,
};

impl Governor {
    /// The decision in its current state. With a wait, the state after a reviewer decided or the wait ended.
    pub async fn await_decision(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        wait: Duration,
    ) -> Result<Decision, GovernanceError> {
        let mut given = self.own(caller, decision_id).await?;
        if !wait.is_zero() {
            self.wait_for(&mut given, wait).await?;
        }
        Ok(self.tell(&given))
    }

    /// Waits until the outcome is no longer ESCALATE, or the wait ends.
    pub(super) async fn wait_for(&self, given: &mut OnRecord, wait: Duration) -> Result<(), GovernanceError> {
        let Some(approval) = &mut given.state.approval else { return Ok(()) };
        if !approval.state.is_open() {
            return Ok(());
        }
        match tokio::time::timeout(wait, self.queue.ended(approval.approval_id)).await {
            Ok(Some(ended)) => approval.state = QuestionState::Ended(ended.ending.clone()),
            // The question is not open any more: the store has its ending.
            Ok(None) => {
                let decision_id = given.decision.decision_id;
                if let Some(now) = self.on_record(decision_id).await? {
                    *given = now;
                }
            }
            // The wait ended, and the outcome is still ESCALATE.
            Err(_) => {}
        }
        Ok(())
    }

    /// Finds a decision. What its proposer sent stays on the thread that reads.
    pub(super) async fn on_record(&self, decision_id: DecisionId) -> Result<Option<OnRecord>, StoreError> {
        self.store.look(move |reader| Ok(reader.head_by_decision(decision_id)?.map(OnRecord::from))).await
    }

    /// Finds a decision of this caller. Another caller's decision gives the same error as a missing one.
    pub(super) async fn own(&self, caller: &Caller, decision_id: DecisionId) -> Result<OnRecord, GovernanceError> {
        let found = self.on_record(decision_id).await?;
        // A redacted decision has no proposer any more.
        found
            .filter(|found| found.state.redacted.is_none() && is_own(&found.decision.identity, caller))
            .ok_or(GovernanceError::NoDecision(decision_id))
    }

    /// Takes an agent's report of what came of an action, and names its record. The same report again makes no second
    /// record and is answered with the first. `None` where the store is too old to know which that is.
    pub async fn report(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        report: Checked<Report>,
    ) -> Result<Option<RecordId>, GovernanceError> {
        let now = self.clock.now();
        // The decision itself never changes, so it is read, and the report masked, before the job runs.
        let decision = self.own(caller, decision_id).await?.decision;
        let report = report.into_inner();
        // Of the report as it was sent: once the masked values are forgotten, the same report is masked otherwise.
        let key = self.secret.report_key(&canonical_json(&report)?);
        let known = self.held.get(decision_id);
        let values = known.or_else(|| decision.masked.is_empty().then(Values::default));
        let generation = self.generations.current();
        let masking = Masking { redact: &decision.redact, secrets: generation.policy.secrets() };
        let (report, masked) = masking.report(report, values);
        let held = Arc::clone(&self.held);
        job::run(&self.store, move |tx| {
            let found = tx.row_by_decision(decision_id)?.filter(|(_, state)| state.redacted.is_none());
            let Some((row, mut state)) = found else {
                return Err(Refused::By(GovernanceError::NoDecision(decision_id)));
            };
            match state.reported {
                Some(earlier) if earlier.key == key => return Ok(Some(earlier.record_id)),
                None if state.result.as_ref() == Some(&report) => return Ok(None),
                _ => {}
            }
            if let Err(why) = may_report(state.outcome_now(), state.result.as_ref(), report.status) {
                let status = report.status.as_str();
                return Err(Refused::By(GovernanceError::NotReportable { decision_id, status, why }));
            }
            let appended = tx.append(now, &Event::Result { decision_id, report: report.clone(), masked })?;
            state.result = Some(report);
            state.reported = Some(Reported { record_id: appended.record_id, key });
            tx.update_row(row, &state)?;
            // The action has ended, so its masked values are dropped. A later report of a rollback gets all its text
            // masked.
            tx.after_commit(move || held.forget(decision_id));
            Ok(Some(appended.record_id))
        })
        .await
    }
}

/// Whether an action in this state accepts this report.
fn may_report(outcome: Outcome, earlier: Option<&Report>, status: ResultStatus) -> Result<(), String> {
    match (outcome, earlier.map(|report| report.status), status) {
        (Outcome::Allow, None, _)
        | (Outcome::Allow, Some(ResultStatus::Success | ResultStatus::Failed), ResultStatus::RolledBack) => Ok(()),
        (_, Some(earlier), _) => Err(format!("its result is already reported as {}", earlier.as_str())),
        (outcome, None, _) => Err(format!("the outcome is {}, so the action must not have run", outcome.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::write::settled;

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
