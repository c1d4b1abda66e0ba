//! [`Draft`]: a new decision with everything that is known before its sequence number.

use super::counts::{Label, label};
use super::facts::Facts;
use super::row::{ApprovalState, ConfirmationState, RowState};
use super::spend::Spend;
use crate::audit::log::append::Appended;
use crate::audit::log::record::{DecisionRecord, Event};
use crate::audit::log::unsealed::{Unsealed, to_the_microsecond};
use crate::domain::{Digest, ParamsError, Report, Timestamp};

/// The state that a decision starts with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// The key that identifies the action.
    pub action_key: Option<Digest>,
    /// The hash of the idempotency key, if the caller gave one.
    pub idempotency: Option<Digest>,
    /// The question to reviewers. Its record comes after the decision's record. It is pending until it has an ending.
    pub approval: Option<ApprovalState>,
    /// The question to the agent's own user.
    pub confirmation: Option<ConfirmationState>,
    /// When the action was allowed, if it is.
    pub allowed_at: Option<Timestamp>,
    /// The result, if the decision itself settles it: blocked.
    pub result: Option<Report>,
    /// What it spends of limits, if it is allowed.
    pub spent: Vec<Spend>,
}

/// A decision, ready for [`Tx::insert_decision`](super::Tx::insert_decision).
#[derive(Clone, Debug)]
pub struct Draft {
    pub(crate) entry: Unsealed,
    pub(crate) question: Option<Unsealed>,
    /// The state of the row; its sequence number is not known yet.
    pub(crate) state: RowState,
    pub(crate) facts: Facts,
    pub(crate) action_type: Label,
    pub(crate) rule: Label,
}

impl Draft {
    /// Serializes a decision. Call this outside the job, so that the writer thread need not do it.
    pub fn new(at: Timestamp, decision: &DecisionRecord, opening: Opening) -> Result<Self, ParamsError> {
        let question = match &opening.approval {
            None => None,
            Some(approval) => Some(Unsealed::new(
                at,
                &Event::ApprovalRequested {
                    approval_id: approval.approval_id,
                    decision_id: decision.decision_id,
                    expires_at: approval.expires_at,
                    timeout_allows: approval.timeout_allows,
                },
            )?),
        };
        let state = RowState {
            sequence: 0,
            decision_id: decision.decision_id,
            outcome: decision.outcome,
            action_digest: decision.action_digest,
            action_key: opening.action_key,
            idempotency: opening.idempotency,
            approval: opening.approval,
            confirmation: opening.confirmation,
            allowed_at: opening.allowed_at,
            result: opening.result,
            reported: None,
            spent: opening.spent,
            redacted: None,
        };
        let time = to_the_microsecond(at);
        Ok(Self {
            entry: Unsealed::of_decision(at, decision)?,
            question,
            facts: Facts::new(time, decision, &state),
            state,
            action_type: label(&decision.action.r#type),
            rule: label(&decision.matched_rule),
        })
    }
}

impl Draft {
    /// How many bytes its records have.
    pub fn bytes(&self) -> usize {
        self.entry.size() + self.question.as_ref().map_or(0, Unsealed::size)
    }
}

/// An inserted decision: see [`Tx::insert_decision`](super::Tx::insert_decision).
#[derive(Clone, Debug, PartialEq)]
pub struct Inserted {
    /// Its row number.
    pub row: u64,
    /// The decision's record.
    pub appended: Appended,
    /// The first state of its row.
    pub state: RowState,
}
