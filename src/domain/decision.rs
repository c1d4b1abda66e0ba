//! Decisions and what follows: the outcome of a proposal, the ending of an approval, the result of an action.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use super::{ActionSalt, Approval, ApprovalId, DecisionId, Digest, Mark, RecordId, RiskLevel, Timestamp};

/// The outcome of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The action may run.
    Allow,
    /// The action must not run.
    Deny,
    /// A reviewer must decide first.
    Escalate,
    /// The agent's own user must confirm first.
    RequireConfirmation,
}

impl Outcome {
    /// The outcome as JSON, tables and SDKs write it: `ALLOW`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "ALLOW",
            Self::Deny => "DENY",
            Self::Escalate => "ESCALATE",
            Self::RequireConfirmation => "REQUIRE_CONFIRMATION",
        }
    }
}

/// A decision in its current state.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its id.
    pub decision_id: DecisionId,
    /// Whether the action may run.
    pub outcome: Outcome,
    /// What caused the outcome.
    pub code: DecisionCode,
    /// The reason, for people.
    pub reason: String,
    /// The risk level that the policy gives the action.
    pub risk_level: RiskLevel,
    /// The approval that the policy requires.
    pub approval: Approval,
    /// The rule that matched, or `<default>`.
    pub matched_rule: String,
    /// The obligations of the agent, from the policy.
    pub constraints: Map<String, Value>,
    /// The policy that decided.
    pub policy_revision: Digest,
    /// When the daemon decided.
    pub timestamp: Timestamp,
    /// The id of its record.
    pub audit_ref: RecordId,
    /// The approval that it waits for, if any.
    pub approval_id: Option<ApprovalId>,
    /// When the question or the confirmation token expires.
    pub expires_at: Option<Timestamp>,
    /// The token for a second proposal, after the agent's own user has confirmed.
    pub confirmation_token: Option<String>,
    /// The digest of the action.
    pub action_digest: Digest,
    /// The salt of the digest.
    pub action_digest_salt: ActionSalt,
    /// Whether an earlier proposal with the same idempotency key got this decision.
    pub replayed: bool,
    /// The reported result, if there is one. A reported action has used its permission to run.
    pub result: Option<ActionResult>,
}

/// What caused the outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionCode {
    /// The policy, by the rule that matched.
    Policy,
    /// A reviewer.
    Reviewer,
    /// Nobody answered in time.
    Timeout,
    /// The policy changed after the action was proposed, and now blocks it.
    PolicyChanged,
    /// The proposer withdrew.
    Cancelled,
    /// An admin has halted the proposer.
    Halted,
    /// A limit of the policy, which is reached.
    Limit,
    /// The action was allowed, and its result was reported. An ALLOW permits one run.
    AlreadyReported,
}

impl DecisionCode {
    /// The code as the API writes it: `POLICY_CHANGED`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Policy => "POLICY",
            Self::Reviewer => "REVIEWER",
            Self::Timeout => "TIMEOUT",
            Self::PolicyChanged => "POLICY_CHANGED",
            Self::Cancelled => "CANCELLED",
            Self::Halted => "HALTED",
            Self::Limit => "LIMIT",
            Self::AlreadyReported => "ALREADY_REPORTED",
        }
    }
}

impl Approval {
    /// The first outcome of a proposal when a rule requires this.
    pub const fn first_outcome(self) -> Outcome {
        match self {
            Self::Auto => Outcome::Allow,
            Self::Confirm => Outcome::RequireConfirmation,
            Self::Approve => Outcome::Escalate,
            Self::Block => Outcome::Deny,
        }
    }
}

/// How an approval ended. Every approval ends exactly once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndingKind {
    /// A reviewer approved.
    Approved,
    /// A reviewer denied, or a changed policy blocks the action.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The proposer withdrew.
    Cancelled,
}

impl EndingKind {
    /// The ending as JSON and tables write it: `approved`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What a reviewer decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The action may run.
    Approve,
    /// The action must not run.
    Deny,
}

impl Verdict {
    /// How the verdict ends a question.
    pub const fn ending(self) -> EndingKind {
        match self {
            Self::Approve => EndingKind::Approved,
            Self::Deny => EndingKind::Denied,
        }
    }
}

/// The ending of an approval: how, by whom, when, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub kind: EndingKind,
    /// Whether the action may run now. True for approved, and for expired if the rule says `on_timeout: allow`.
    pub allows: bool,
    /// The authenticated subject that ended it; empty if time or the policy did.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// The reason, from the reviewer or the daemon.
    pub reason: String,
    /// One of the codes below if the daemon ended it, else empty.
    #[serde(default)]
    pub code: String,
}

impl Ending {
    /// The code of an ending by a changed policy.
    pub const POLICY_CHANGED: &'static str = "POLICY_CHANGED";
    /// The code of an ending by a limit of the policy.
    pub const LIMIT: &'static str = "LIMIT";
    /// The code of an ending by a halt.
    pub const HALTED: &'static str = "HALTED";
    /// The code of an ending by time.
    pub const TIMEOUT: &'static str = "TIMEOUT";
}

/// The state of a question to reviewers. It changes from open to ended once, and never back.
///
/// Only the ending is stored. It is absent while the question is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Ending>", into = "Option<Ending>")]
pub enum QuestionState {
    /// Reviewers may answer.
    #[default]
    Open,
    /// The question has ended.
    Ended(Ending),
}

impl QuestionState {
    /// Whether reviewers may still answer.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// Its ending, if it ended.
    pub const fn ending(&self) -> Option<&Ending> {
        match self {
            Self::Open => None,
            Self::Ended(ending) => Some(ending),
        }
    }
}

impl From<Option<Ending>> for QuestionState {
    fn from(ending: Option<Ending>) -> Self {
        ending.map_or(Self::Open, Self::Ended)
    }
}

impl From<QuestionState> for Option<Ending> {
    fn from(state: QuestionState) -> Self {
        match state {
            QuestionState::Open => None,
            QuestionState::Ended(ending) => Some(ending),
        }
    }
}

/// What [`QuestionState`] is, without who, when and why: for filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuestionStatus {
    /// Reviewers may answer.
    Pending,
    /// A reviewer approved.
    Approved,
    /// A reviewer denied, or a changed policy blocks the action.
    Denied,
    /// Nobody answered in time.
    Expired,
    /// The proposer withdrew.
    Cancelled,
}

impl QuestionState {
    /// The state, without who, when and why.
    pub fn status(&self) -> QuestionStatus {
        match self.ending().map(|ending| ending.kind) {
            None => QuestionStatus::Pending,
            Some(EndingKind::Approved) => QuestionStatus::Approved,
            Some(EndingKind::Denied) => QuestionStatus::Denied,
            Some(EndingKind::Expired) => QuestionStatus::Expired,
            Some(EndingKind::Cancelled) => QuestionStatus::Cancelled,
        }
    }
}

/// The result status of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// It ran and worked.
    Success,
    /// It ran and failed.
    Failed,
    /// The policy forbade it.
    Blocked,
    /// A person denied it, or the approval expired.
    Denied,
    /// It did not run, after an earlier failure or because the proposer withdrew it.
    Skipped,
    /// It ran and was undone.
    RolledBack,
    /// It was allowed, and nobody reported a result.
    Unknown,
}

impl ResultStatus {
    /// Every status.
    pub const ALL: [Self; 7] =
        [Self::Success, Self::Failed, Self::Blocked, Self::Denied, Self::Skipped, Self::RolledBack, Self::Unknown];

    /// The status as JSON and tables write it: `rolled_back`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Blocked => "blocked",
            Self::Denied => "denied",
            Self::Skipped => "skipped",
            Self::RolledBack => "rolled_back",
            Self::Unknown => "unknown",
        }
    }
}

/// An agent's report of the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The result status.
    pub status: ResultStatus,
    /// What the action returned, if anything. Null is a value that it returned, too.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    pub data: Option<Value>,
    /// The error, if it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// When the action started, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When the action ended, by the agent's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}

impl Report {
    /// A result that the daemon itself sets.
    pub fn settled(status: ResultStatus, error: &str) -> Self {
        Self { status, data: None, error: error.to_owned(), started_at: None, completed_at: None }
    }
}

/// What became of an action, as the daemon knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct ActionResult {
    /// The agent's report, or what the daemon set.
    pub report: Report,
    /// When the daemon recorded the report. `None` if nothing was reported, or if the store is too old to know.
    pub reported_at: Option<Timestamp>,
    /// The record of the report. `None` as above.
    pub audit_ref: Option<RecordId>,
    /// What is masked in the data and in the error, and where.
    pub marks: Vec<Mark>,
}

/// A value that is there, even if it is null. Without this, null reads as absent.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_no_data_are_two_things_in_what_is_stored() {
        for data in [None, Some(Value::Null), Some(Value::from(1))] {
            let status = ResultStatus::Success;
            let report = Report { status, data, error: String::new(), started_at: None, completed_at: None };
            let stored = serde_json::to_string(&report).unwrap();
            assert_eq!(serde_json::from_str::<Report>(&stored).unwrap(), report, "{stored}");
        }
    }
}
