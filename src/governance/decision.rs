//! Converts a decision on the record to the response for its proposer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Map;

use super::governor::Governor;
use super::halts::{Who, why};
use crate::audit::record::DecisionRecord;
use crate::audit::row::{AuditRow, RowState};
use crate::domain::{
    Action, ActionResult, Decision, DecisionCode, Defence, Ending, EndingKind, Outcome, RecordId, Timestamp,
};

/// A decision on the record, for its proposer. It has no parameters and no metadata: the proposer knows them, a call
/// may wait for an hour, and a thousand calls may wait for one decision.
#[derive(Clone, Debug)]
pub(super) struct OnRecord {
    /// The id of its record.
    pub(super) record_id: RecordId,
    /// When the daemon decided.
    pub(super) time: Timestamp,
    /// The original decision, without what its proposer sent.
    pub(super) decision: Arc<DecisionRecord>,
    /// The state that can change.
    pub(super) state: RowState,
}

impl OnRecord {
    /// Keeps of the decision what its proposer is told.
    pub(super) fn new(record_id: RecordId, time: Timestamp, mut decision: DecisionRecord, state: RowState) -> Self {
        if Defence::LightWaits.on() {
            decision.action = Action::default();
            decision.metadata = Map::new();
            decision.masked_digests = BTreeMap::new();
            decision.marks = Vec::new();
        }
        Self { record_id, time, decision: Arc::new(decision), state }
    }
}

impl From<AuditRow> for OnRecord {
    fn from(row: AuditRow) -> Self {
        let AuditRow { record_id, time, decision, state, .. } = row;
        Self::new(record_id, time, decision, state)
    }
}

impl Governor {
    /// A decision that was read from the store, in the state that is in force.
    pub(super) fn in_force(&self, row: AuditRow) -> OnRecord {
        let mut given = OnRecord::from(row);
        self.unrecorded.amend(&mut given.state);
        given
    }

    /// The decision in its current state. An ALLOW permits one run, so a reported action is not allowed again.
    pub(super) fn tell(&self, given: &OnRecord) -> Decision {
        let OnRecord { record_id, time, decision, state } = given;
        let (mut outcome, mut code) = (state.outcome_now(), code(decision, state));
        let mut reason = ending(state).map_or_else(|| decision.reason.clone(), reason);
        let reported = state.result.is_some() && outcome == Outcome::Allow;
        let result = state.action_result(self.now(), self.unreported_after()).filter(|_| reported);
        if let Some(ActionResult { report, .. }) = result.as_ref().filter(|_| Defence::OneRun.on()) {
            (outcome, code) = (Outcome::Deny, DecisionCode::AlreadyReported);
            let status = report.status.as_str();
            reason = format!(
                "it was allowed once and its result is reported as {status}: send a new proposal to run it again"
            );
        }
        // Whoever is halted runs nothing, whatever was decided before. What has run is told as it is.
        let may_run = matches!(outcome, Outcome::Allow | Outcome::Escalate | Outcome::RequireConfirmation);
        if let Some(halt) = self.halts.of(Who::of(decision)).filter(|_| may_run) {
            (outcome, code, reason) = (Outcome::Deny, DecisionCode::Halted, why(&halt.halt));
        }
        Decision {
            decision_id: decision.decision_id,
            outcome,
            code,
            reason,
            risk_level: decision.risk_level,
            approval: decision.approval,
            matched_rule: decision.matched_rule.clone(),
            constraints: decision.constraints.clone(),
            policy_revision: decision.policy_revision,
            timestamp: *time,
            audit_ref: *record_id,
            approval_id: decision.approval_id,
            expires_at: decision.expires_at,
            confirmation_token: None,
            action_digest: decision.action_digest,
            action_digest_salt: self.secret.action_salt(decision.decision_id),
            replayed: false,
            result,
        }
    }
}

fn ending(state: &RowState) -> Option<&Ending> {
    state.approval.as_ref()?.ending()
}

fn code(decision: &DecisionRecord, state: &RowState) -> DecisionCode {
    let Some(ending) = ending(state) else {
        let withdrawn = state.outcome == Outcome::RequireConfirmation && state.outcome_now() == Outcome::Deny;
        return match state.outcome_now() {
            _ if withdrawn => DecisionCode::Cancelled,
            _ if decision.halted => DecisionCode::Halted,
            Outcome::Deny if !decision.limits.is_empty() => DecisionCode::Limit,
            _ => DecisionCode::Policy,
        };
    };
    match ending.kind {
        _ if ending.code == Ending::POLICY_CHANGED => DecisionCode::PolicyChanged,
        _ if ending.code == Ending::LIMIT => DecisionCode::Limit,
        _ if ending.code == Ending::HALTED => DecisionCode::Halted,
        EndingKind::Approved | EndingKind::Denied => DecisionCode::Reviewer,
        EndingKind::Expired => DecisionCode::Timeout,
        EndingKind::Cancelled => DecisionCode::Cancelled,
    }
}

/// How and why an approval ended, for people.
fn reason(ending: &Ending) -> String {
    let by = if ending.by.is_empty() { String::new() } else { format!(" by {}", ending.by) };
    let why = if ending.reason.is_empty() { String::new() } else { format!(": {}", ending.reason) };
    let then = match ending.kind {
        EndingKind::Expired if ending.allows => ", and the rule allows the action then",
        _ => "",
    };
    format!("{}{by}{then}{why}", ending.kind.as_str())
}
