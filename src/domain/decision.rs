//! Answers and what becomes of them: the outcome of a proposal, the end of an approval, the result of an action.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Approval, Timestamp};

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
    /// A documented code where the daemon itself decided (`POLICY_CHANGED`, `TIMEOUT`), else empty.
    #[serde(default)]
    pub code: String,
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
