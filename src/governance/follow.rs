//! Calls after a proposal: wait for a reviewer, and report the result of the action.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::decision::OnRecord;
use super::error::GovernanceError;
use super::governor::Governor;
use super::halts::Who;
use super::job::{self, Refused};
use super::masking::{Masking, Values};
use super::spending;
use super::write::{check_growth, on_disk, refused};
use crate::approvals::{Queue, is_own, quota_key};
use crate::audit::StoreError;
use crate::audit::record::{DecisionRecord, Event};
use crate::audit::row::{AuditRow, Reported};
use crate::domain::{
    ApprovalId, Caller, Checked, Clock, Decision, DecisionId, Mark, Marks, Outcome, ParamPath, Pointer, RecordId,
    Report, ResultStatus, canonical_json, content_len, json_len, placeholder,
};

/// The most characters of the error of a report whose data is masked as a whole.
const LONGEST_ERROR: usize = 1024;
/// The largest report, in bytes of JSON, that a row has as well as its record.
const DATA_IN_ROW: usize = 1024;

/// A call of a proposer, for those who see whether somebody waits.
pub(super) struct Attendance {
    approval_id: ApprovalId,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.queue.left(self.approval_id, self.clock.uptime());
    }
}

impl Governor {
    /// The decision in its current state. With a wait, the state after a reviewer decided or the wait ended.
    pub async fn await_decision(
        &self,
        caller: &Caller,
        decision_id: DecisionId,
        wait: Duration,
    ) -> Result<Decision, GovernanceError> {
        let mut given = self.own(caller, decision_id).await?;
        let _attendance = self.attend(caller, &given);
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
        let (mut changes, approval_id) = (self.halts.changes(), approval.approval_id);
        let who = Who::of(&given.decision);
        let halted = async {
            while self.halts.of(who).is_none() {
                // The sender lives as long as the governor.
                let _ = changes.changed().await;
            }
        };
        let ended = tokio::select! {
            ended = tokio::time::timeout(wait, self.queue.ended(approval_id)) => ended,
            // The question stays open, and the answer is no.
            () = halted => return Ok(()),
        };
        match ended {
            Ok(Some(ended)) => approval.clone_from(&ended.approval),
            // The question is not open any more: the store has its ending.
            Ok(None) => {
                let decision_id = given.decision.decision_id;
                if let Some(now) = self.on_record(decision_id).await? {
                    *given = self.in_force(now);
                }
            }
            // The wait ended, and the outcome is still ESCALATE.
            Err(_) => {}
        }
        Ok(())
    }

    /// Finds a decision without what its proposer sent, which can be large and which the proposer has.
    pub(super) async fn on_record(&self, decision_id: DecisionId) -> Result<Option<AuditRow>, StoreError> {
        self.store.look(move |reader| reader.head_by_decision(decision_id)).await
    }

    /// Notes that the proposer waits for its question, until the value is dropped.
    pub(super) fn attend(&self, caller: &Caller, given: &OnRecord) -> Option<Attendance> {
        let approval_id = given.decision.approval_id?;
        let is_open = self.queue.called(approval_id, caller.connection);
        let (queue, clock) = (Arc::clone(&self.queue), Arc::clone(&self.clock));
        is_open.then_some(Attendance { approval_id, queue, clock })
    }

    /// Finds a decision of this caller. Another caller's decision gives the same error as a missing one.
    pub(super) async fn own(&self, caller: &Caller, decision_id: DecisionId) -> Result<OnRecord, GovernanceError> {
        let row = match self.on_record(decision_id).await {
            Ok(row) => row,
            // A denial needs no record to be told.
            Err(error) => return self.own_denied(caller, decision_id).ok_or(error.into()),
        };
        // A redacted decision has no proposer any more.
        row.filter(|row| row.state.redacted.is_none() && is_own(&row.decision.identity, caller))
            .map(|row| self.in_force(row))
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
        // The decision itself never changes, so it is read, and the report masked, before the job runs.
        let decision = self.own(caller, decision_id).await?.decision;
        let report = report.into_inner();
        if decision.executes {
            let (status, why) =
                (report.status.as_str(), "the daemon runs this action and reports its result".to_owned());
            return Err(GovernanceError::NotReportable { decision_id, status, why });
        }
        self.record_report(&decision, report).await
    }

    /// Records what came of an action.
    pub(super) async fn record_report(
        &self,
        decision: &DecisionRecord,
        report: Report,
    ) -> Result<Option<RecordId>, GovernanceError> {
        let (now, decision_id) = (self.clock.now(), decision.decision_id);
        let sent = report.data.as_ref().map_or(0, content_len) + report.error.len();
        // Of the report as it was sent: once the masked values are forgotten, the same report is masked otherwise.
        let key = self.secret.report_key(&canonical_json(&report)?);
        let known = self.held.get(decision_id);
        let values = known.or_else(|| decision.masked.is_empty().then(Values::default));
        let generation = self.generations.current();
        let masking = Masking { redact: &decision.redact, secrets: generation.policy.secrets() };
        let (report, masked, marks) = masking.report(report, values);
        let held = Arc::clone(&self.held);
        let mut size = json_len(&report)?;
        let (mut report, mut masked, mut marks) = (report, masked, marks);
        if check_growth("data", sent, size + json_len(&(&masked, &marks))?).is_err() {
            // A report is never refused for its size: it says that the action has run.
            (report, masked, marks) = without_data(&report, size);
            size = json_len(&report)?;
        }
        size += json_len(&marks)?;
        let bytes = on_disk(size + size.min(DATA_IN_ROW));
        let (growth, uptime, quota) = (Arc::clone(&self.growth), self.clock.uptime(), quota_key(&decision.identity));
        let share = self.writes.take(&quota, size).map_err(|_| StoreError::Overloaded)?;
        job::run(&self.store, move |tx| {
            let _share = share;
            let found = tx.row_by_decision(decision_id)?.filter(|(_, state)| state.redacted.is_none());
            let Some((row, mut state)) = found else {
                return Err(Refused::By(GovernanceError::NoDecision(decision_id)));
            };
            match &state.reported {
                Some(earlier) if earlier.key == key => return Ok(Some(earlier.record_id)),
                None if state.result.as_ref() == Some(&report) => return Ok(None),
                _ => {}
            }
            if let Err(why) = may_report(state.outcome_now(), state.result.as_ref(), report.status) {
                let status = report.status.as_str();
                return Err(Refused::By(GovernanceError::NotReportable { decision_id, status, why }));
            }
            growth.take(&quota, bytes, uptime).map_err(refused)?;
            let is_large = size > DATA_IN_ROW;
            let in_row = if is_large { Vec::new() } else { marks.clone() };
            let appended = tx.append(now, &Event::Result { decision_id, report: report.clone(), masked, marks })?;
            let status = report.status;
            state.result = Some(if is_large { Report { data: None, ..report } } else { report });
            let data_in = is_large.then_some(appended.sequence);
            state.reported =
                Some(Reported { record_id: appended.record_id, key, marks: in_row, data_in, at: Some(now) });
            spending::reported(tx, &mut state.spent, status, now)?;
            tx.update_row(row, &state)?;
            // The action has ended, so its masked values are dropped. A later report of a rollback gets all its text
            // masked.
            tx.after_commit(move || held.forget(decision_id));
            Ok(Some(appended.record_id))
        })
        .await
    }
}

/// The report with its data masked as a whole.
fn without_data(report: &Report, characters: usize) -> (Report, Vec<ParamPath>, Vec<Mark>) {
    let mut marks = Marks::default();
    marks.whole(&Pointer::to("data"), characters);
    let data = Some(Value::String(placeholder(characters)));
    let error = report.error.chars().take(LONGEST_ERROR).collect();
    let Report { status, started_at, completed_at, .. } = *report;
    (Report { status, data, error, started_at, completed_at }, Vec::new(), marks.into_list())
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

    #[test]
    fn what_ran_can_be_undone_and_nothing_else_is_said_twice() {
        let failed = Report::settled(ResultStatus::Failed, "");
        assert!(may_report(Outcome::Allow, None, ResultStatus::Success).is_ok());
        assert!(may_report(Outcome::Allow, Some(&failed), ResultStatus::RolledBack).is_ok());
        assert!(may_report(Outcome::Allow, Some(&failed), ResultStatus::Success).is_err());
        let undone = Report::settled(ResultStatus::RolledBack, "");
        assert!(may_report(Outcome::Allow, Some(&undone), ResultStatus::RolledBack).is_err());
    }

    #[test]
    fn what_was_not_allowed_cannot_have_run() {
        for outcome in [Outcome::Deny, Outcome::Escalate, Outcome::RequireConfirmation] {
            assert!(may_report(outcome, None, ResultStatus::Success).is_err());
        }
    }
}
