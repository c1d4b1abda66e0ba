//! The answer to a proposal, as it stands.

use crate::audit::record::DecisionRecord;
use crate::audit::row::{AuditRow, RowState};
use crate::domain::{Ending, EndingKind, Outcome, RecordId, Timestamp};

/// The answer to a proposal, as it stands.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The record that holds the decision.
    pub record_id: RecordId,
    /// When the decision was given.
    pub time: Timestamp,
    /// The decision as it was given.
    pub decision: DecisionRecord,
    /// What changed since.
    pub state: RowState,
    /// What a second proposal must carry, where the agent's user must confirm.
    pub confirmation_token: Option<String>,
}

impl Answer {
    /// The outcome now: a decided approval has turned ESCALATE into ALLOW or DENY.
    pub fn outcome(&self) -> Outcome {
        self.state.outcome_now()
    }

    /// Why, for people.
    pub fn reason(&self) -> String {
        match self.ending() {
            None => self.decision.reason.clone(),
            Some(ending) => {
                let by = if ending.by.is_empty() { String::new() } else { format!(" by {}", ending.by) };
                let why = if ending.reason.is_empty() { String::new() } else { format!(": {}", ending.reason) };
                let then = match ending.kind {
                    EndingKind::Expired if ending.allows => ", and the rule allows the action then",
                    _ => "",
                };
                format!("{}{by}{then}{why}", ending.kind.as_str())
            }
        }
    }

    fn ending(&self) -> Option<&Ending> {
        self.state.approval.as_ref()?.ending.as_ref()
    }
}

impl From<AuditRow> for Answer {
    fn from(row: AuditRow) -> Self {
        let AuditRow { record_id, time, decision, state, .. } = row;
        Self { record_id, time, decision, state, confirmation_token: None }
    }
}
