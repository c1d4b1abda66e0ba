//! A decision on its way into the log: everything about it that can be worked out before its place is known.

use super::counts::{Label, label};
use super::facts::Facts;
use super::row::{ApprovalState, ConfirmationState, RowState};
use crate::audit::log::append::Appended;
use crate::audit::log::record::{DecisionRecord, Event};
use crate::audit::log::unsealed::{Unsealed, to_the_microsecond};
use crate::domain::{Digest, ParamsError, Report, Timestamp};

/// The state that a decision starts with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    /// What the action is compared by.
    pub action_key: Option<Digest>,
    /// The hash of the idempotency key, if the caller gave one.
    pub idempotency: Option<Digest>,
    /// The question put to reviewers. Its record is written after the decision's, and it is pending until it has an
    /// ending.
    pub approval: Option<ApprovalState>,
    /// The question put to the agent's own user.
    pub confirmation: Option<ConfirmationState>,
    /// When the action was allowed to run, if it is.
    pub allowed_at: Option<Timestamp>,
    /// What came of it, if that is settled with the decision: blocked.
    pub result: Option<Report>,
}

/// A decision that is ready to be inserted with [`Tx::insert_decision`](super::Tx::insert_decision).
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
    /// Writes a decision out. Call this before handing a job to the store: it is work that the writer need not do.
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

/// What a decision became: see [`Tx::insert_decision`](super::Tx::insert_decision).
#[derive(Clone, Debug, PartialEq)]
pub struct Inserted {
    /// Its place among the decisions.
    pub row: u64,
    /// The decision's record.
    pub appended: Appended,
    /// The state that its row starts with.
    pub state: RowState,
}
