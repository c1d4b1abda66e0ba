//! Answers and what becomes of them: the outcome of a proposal, the end of an approval, the result of an action.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ActionSalt, Approval, ApprovalId, DecisionId, Digest, RecordId, RiskLevel, Timestamp};

/// The answer to a proposal.
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

/// The answer to a proposal, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Its name.
    pub decision_id: DecisionId,
    /// Whether the action may run.
    pub outcome: Outcome,
    /// What made the outcome what it is.
    pub code: DecisionCode,
    /// Why, for people.
    pub reason: String,
    /// How dangerous the policy says the action is.
    pub risk_level: RiskLevel,
    /// What the policy asks for.
    pub approval: Approval,
    /// The rule that matched, or `<default>`.
    pub matched_rule: String,
    /// What the policy tells the agent to keep to.
    pub constraints: Map<String, Value>,
    /// The policy that decided.
    pub policy_revision: Digest,
    /// When it was given.
    pub timestamp: Timestamp,
    /// The record that holds it.
    pub audit_ref: RecordId,
    /// The question that was put to reviewers, if any.
    pub approval_id: Option<ApprovalId>,
    /// When the question or the confirmation token expires.
    pub expires_at: Option<Timestamp>,
    /// What a second proposal must carry once the agent's own user has confirmed.
    pub confirmation_token: Option<String>,
    /// The digest of the action that was decided.
    pub action_digest: Digest,
    /// What the digest begins with.
    pub action_digest_salt: ActionSalt,
    /// Whether an earlier proposal with the same idempotency key was given this decision.
    pub replayed: bool,
    /// What was reported of the action, where it was reported: it has had its run.
    pub result: Option<Report>,
}

/// What made a decision what it is.
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
    /// The action was allowed, and its result has been reported: an ALLOW is for one run.
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
            Self::AlreadyReported => "ALREADY_REPORTED",
        }
    }
}

impl Approval {
    /// What a proposal is answered at once when a rule asks for this.
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
    /// A reviewer said yes.
    Approved,
    /// A reviewer said no, or the policy changed under the approval.
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

/// The end of an approval: how, by whom, when, why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// How it ended.
    pub kind: EndingKind,
    /// Whether the action may run now. True for approved, and for expired where the rule says `on_timeout: allow`.
    pub allows: bool,
    /// The authenticated subject who ended it; empty when time or the policy did.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why, in the reviewer's words or the daemon's.
    pub reason: String,
    /// [`Self::POLICY_CHANGED`] or [`Self::TIMEOUT`] where the daemon itself decided, else empty.
    #[serde(default)]
    pub code: String,
}

impl Ending {
    /// The code of an end that a changed policy brought.
    pub const POLICY_CHANGED: &'static str = "POLICY_CHANGED";
    /// The code of an end that time brought.
    pub const TIMEOUT: &'static str = "TIMEOUT";
}

/// Where a question to reviewers stands. It goes from open to ended once, and never back.
///
/// Stored as its ending alone, which is absent while the question is open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Ending>", into = "Option<Ending>")]
pub enum QuestionState {
    /// Reviewers may answer.
    #[default]
    Open,
    /// It is over.
    Ended(Ending),
}

impl QuestionState {
    /// Whether reviewers may still answer.
    pub const fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }

    /// How it ended, if it has.
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

/// What became of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResultStatus {
    /// It ran and worked.
    Success,
    /// It ran and did not work.
    Failed,
    /// The policy forbade it.
    Blocked,
    /// A person, or the clock, said no.
    Denied,
    /// It was not tried, after an earlier failure or a withdrawal.
    Skipped,
    /// It ran and was undone.
    RolledBack,
    /// It was allowed and nobody ever said what came of it.
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

/// What an agent says came of an action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What became of it.
    pub status: ResultStatus,
    /// What the action returned, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Value>,
    /// What went wrong, if anything.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// When the action started, as the agent's clock has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was over, as the agent's clock has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Timestamp>,
}
