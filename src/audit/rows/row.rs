//! [`AuditRow`]: one decision with its approval and its result.
//!
//! The immutable part of a row is the decision's record. [`RowState`] is the part that can change after the decision.
//! One transaction writes the state and the record that changes it, so no query has to replay the log.

use serde::{Deserialize, Serialize};

use super::spend::Spend;
use crate::audit::log::record::{DecisionRecord, IdentityRecord, VoteRecord};
use crate::domain::{
    ActionResult, ApprovalId, DecisionId, Digest, Ending, EndingKind, Mark, Outcome, QuestionState, RecordId, Report,
    ResultStatus, Timestamp,
};

/// The part of a decision that can change later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RowState {
    /// The sequence number of the decision's record.
    pub sequence: u64,
    /// The decision.
    pub decision_id: DecisionId,
    /// The first outcome.
    pub outcome: Outcome,
    /// The digest of the action.
    pub action_digest: Digest,
    /// The key that identifies the action, made with the store's secret. Only the row has it, no record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_key: Option<Digest>,
    /// The hash of the idempotency key, to remove the key when it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<Digest>,
    /// The question to reviewers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalState>,
    /// The question to the agent's own user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmation: Option<ConfirmationState>,
    /// When the action was allowed, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_at: Option<Timestamp>,
    /// The result, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Report>,
    /// The agent's last report, to recognise the same report again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reported: Option<Reported>,
    /// What it spent of limits, if it was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spent: Vec<Spend>,
    /// The id of the decision's record if that record is redacted, because no other place has it then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redacted: Option<RecordId>,
}

/// A question put to reviewers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApprovalState {
    /// Its name.
    pub approval_id: ApprovalId,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Whether the action may run if nobody answers.
    pub timeout_allows: bool,
    /// Its state.
    #[serde(rename = "ending", default, skip_serializing_if = "QuestionState::is_open")]
    pub state: QuestionState,
    /// The votes of reviewers, oldest first. Older rows do not have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<Vote>,
}

/// A vote with its place on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The record that has the vote.
    pub record_id: RecordId,
    /// When the reviewer voted.
    pub voted_at: Timestamp,
    /// The vote.
    #[serde(flatten)]
    pub vote: VoteRecord,
}

impl ApprovalState {
    /// Its ending, if it ended.
    pub fn ending(&self) -> Option<&Ending> {
        self.state.ending()
    }

    /// 1 when it was created, and one more after each recorded change.
    pub fn version(&self) -> u32 {
        1 + u32::from(!self.state.is_open())
    }

    /// The identity of the person who ended it. `None` if nobody did, or if the row is too old to know.
    pub fn ended_by<'a>(&'a self, proposer: &'a IdentityRecord) -> Option<&'a IdentityRecord> {
        let ending = self.ending().filter(|ending| !ending.by.is_empty())?;
        if ending.kind == EndingKind::Cancelled {
            return Some(proposer).filter(|proposer| proposer.subject == ending.by);
        }
        self.votes.iter().map(|vote| &vote.vote.by).rfind(|by| by.subject == ending.by)
    }
}

/// A question put to the agent's own user.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConfirmationState {
    /// SHA-256 of the token: the token itself is never stored.
    pub token_hash: Digest,
    /// When the token expires.
    pub expires_at: Timestamp,
    /// What closed it: redeemed by this later decision, or withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed: Option<ConfirmationClosed>,
}

/// A report of the agent that is on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reported {
    /// The record of the report.
    pub record_id: RecordId,
    /// What the report, as it was sent, is compared by, under the store's secret. In the row alone: no record has it.
    pub key: Digest,
    /// What is masked in the result, and where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub marks: Vec<Mark>,
    /// The sequence number of that record, if only the record has the data of the result and the marks: what is large
    /// is stored once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_in: Option<u64>,
    /// When it was recorded. Older rows do not have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

/// How a confirmation was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfirmationClosed {
    /// The token was redeemed by this decision.
    Redeemed(DecisionId),
    /// The proposer withdrew.
    Cancelled,
}

impl RowState {
    /// The current outcome. An ended approval turns ESCALATE into ALLOW or DENY.
    pub fn outcome_now(&self) -> Outcome {
        match self.approval.as_ref().and_then(ApprovalState::ending) {
            Some(ending) if ending.allows => Outcome::Allow,
            Some(_) => Outcome::Deny,
            None if matches!(
                self.confirmation,
                Some(ConfirmationState { closed: Some(ConfirmationClosed::Cancelled), .. })
            ) =>
            {
                Outcome::Deny
            }
            None => self.outcome,
        }
    }

    /// The result status of the action; `None` while it is open. An allowed action without a report becomes `unknown`
    /// after `unreported_after`.
    pub fn status(&self, now: Timestamp, unreported_after: std::time::Duration) -> Option<ResultStatus> {
        if let Some(report) = &self.result {
            return Some(report.status);
        }
        let allowed_at = self.allowed_at?;
        let waited = std::time::Duration::try_from(now.duration_since(allowed_at)).unwrap_or_default();
        (waited >= unreported_after).then_some(ResultStatus::Unknown)
    }

    /// What became of the action; `None` while that is open.
    pub fn action_result(&self, now: Timestamp, unreported_after: std::time::Duration) -> Option<ActionResult> {
        let report = match &self.result {
            Some(report) => report.clone(),
            None => Report::settled(self.status(now, unreported_after)?, ""),
        };
        let reported = self.reported.as_ref();
        Some(ActionResult {
            report,
            reported_at: reported.and_then(|reported| reported.at),
            audit_ref: reported.map(|reported| reported.record_id),
            marks: reported.map(|reported| reported.marks.clone()).unwrap_or_default(),
        })
    }
}

/// One decision with its approval and its result: a line of `aegis audit`.
#[derive(Clone, Debug)]
pub struct AuditRow {
    /// Its row number: from 1, without gaps.
    pub row: u64,
    /// The decision's record.
    pub record_id: RecordId,
    /// When the decision was given.
    pub time: Timestamp,
    /// The original decision.
    pub decision: DecisionRecord,
    /// The state that can change.
    pub state: RowState,
}

impl AuditRow {
    /// How the approval ended, if there was one and it has.
    pub fn ending_kind(&self) -> Option<EndingKind> {
        Some(self.state.approval.as_ref()?.ending()?.kind)
    }
}
