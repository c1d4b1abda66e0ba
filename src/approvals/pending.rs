//! A question that waits for a reviewer: the decision that asked, and what only this process knows of it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::audit::record::DecisionRecord;
use crate::domain::{Action, ApprovalId, ParamPath, Timestamp};

/// A question that waits for a reviewer. What changes about it is its [`QuestionState`](crate::domain::QuestionState),
/// which the store keeps.
#[derive(Debug)]
pub struct Pending {
    /// Its name.
    pub approval_id: ApprovalId,
    /// The decision that waits for it, masked as it is on the record.
    pub decision: Arc<DecisionRecord>,
    /// The values that the record masks.
    pub unmasked: Unmasked,
    /// When the question was put.
    pub requested_at: Timestamp,
    /// When it ends by itself, as people read it.
    pub expires_at: Timestamp,
    /// When it ends by itself, against [`Clock::uptime`](crate::domain::Clock::uptime): no jump of the wall clock moves it.
    pub deadline: Duration,
    /// Whether the action may run when nobody answers.
    pub timeout_allows: bool,
}

/// The parameters of an action as the proposer sent them, where the record masks some.
#[derive(Debug)]
pub enum Unmasked {
    /// The record masks no parameter.
    Nothing,
    /// The top-level parameters that hold something masked, as they were sent.
    Known(Map<String, Value>),
    /// This process does not know them: it started after the question was put.
    Unknown,
}

impl Unmasked {
    /// The action as it was proposed, as far as it is known.
    pub fn restore(&self, mut action: Action) -> Action {
        if let Self::Known(params) = self {
            action.params.extend(params.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        action
    }
}

impl Pending {
    /// The parameters whose values this process does not know: any condition on them is in doubt.
    pub fn unknown_params(&self) -> &[ParamPath] {
        match self.unmasked {
            Unmasked::Unknown => &self.decision.masked,
            Unmasked::Nothing | Unmasked::Known(_) => &[],
        }
    }
}
