//! Why governance could not do what was asked. A denial is not among these: it is an answer.

use crate::approvals::QueueFull;
use crate::audit::StoreError;
use crate::domain::{
    ApprovalId, CallError, DecisionId, Digest, Ending, ErrorCode, ParamsError, TokenId, Violation, visible,
};
use crate::policy::LoadErrors;

/// Why governance could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// The record cannot be written or read: nothing is decided, nothing may run.
    #[error("the record cannot be written or read, so nothing is decided: {0}")]
    Record(#[from] StoreError),
    /// The machine gave no random bytes, so nothing can be named.
    #[error("no random bytes, so nothing is decided: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The action has no canonical form, so nothing could be bound to it.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The key was used for something else.
    #[error(
        "idempotency_key `{key}` was used for another action (digest {other}): a retry must propose the very same \
         action"
    )]
    IdempotencyKeyReused {
        /// The key.
        key: String,
        /// The digest of what it was used for.
        other: Digest,
    },
    /// Others could guess the key.
    #[error(
        "an idempotency_key of a caller without a credential has at least {0} characters, so that nobody else can \
         guess it: a random UUID is a good one"
    )]
    IdempotencyKeyTooShort(usize),
    /// The token does not confirm this proposal.
    #[error("confirmation_token {0}")]
    ConfirmationInvalid(&'static str),
    /// There is no place for another question.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// Proposals come too fast.
    #[error("more than {0} proposals a second (--max-proposals-per-second)")]
    RateLimited(u32),
    /// No decision of this name, or not this caller's.
    #[error("no decision {0} of this caller")]
    NoDecision(DecisionId),
    /// No decision of this name at all.
    #[error("no decision {0} on the record")]
    NoSuchDecision(DecisionId),
    /// It cannot be taken off the record now.
    #[error("{decision_id} cannot be redacted: {why}")]
    NotRedactable {
        /// The decision.
        decision_id: DecisionId,
        /// What stands against it.
        why: &'static str,
    },
    /// No approval of this name.
    #[error("no approval {0}")]
    NoApproval(ApprovalId),
    /// The approval has ended.
    #[error("{approval_id} was already {} by {} at {}", ending.kind.as_str(), who(ending), ending.at)]
    AlreadyDecided {
        /// The approval.
        approval_id: ApprovalId,
        /// How it ended.
        ending: Ending,
    },
    /// Its time is over.
    #[error("{approval_id} expired at {}: nobody answered in time", ending.at)]
    Expired {
        /// The approval.
        approval_id: ApprovalId,
        /// How it ended.
        ending: Ending,
    },
    /// What was shown is not what is asked.
    #[error(
        "expected_action_digest is not the digest of {approval_id}, which is {actual}: look at it again before deciding"
    )]
    DigestMismatch {
        /// The approval.
        approval_id: ApprovalId,
        /// The digest of what is asked.
        actual: Digest,
    },
    /// A proposer may not be its own reviewer.
    #[error(
        "whoever proposed an action cannot review it: the proposal came from the same subject, the same connection or \
         the same user of this machine"
    )]
    OwnProposal,
    /// The credential is another actor's.
    #[error("this credential acts for the actor `{bound}` alone, and the proposal is by `{}`", visible(sent))]
    OtherActor {
        /// The actor that it is bound to.
        bound: String,
        /// The actor of the proposal.
        sent: String,
    },
    /// There is no token of this name.
    #[error("there is no token {0}: it was revoked already, or never existed; `aegis token list` shows what there is")]
    NoToken(TokenId),
    /// There are as many tokens as there may be.
    #[error("there are {0} tokens, and no more are kept: revoke what nobody uses")]
    TooManyTokens(usize),
    /// There is nothing to withdraw.
    #[error("{decision_id} cannot be cancelled: it is {state}")]
    NotPending {
        /// The decision.
        decision_id: DecisionId,
        /// What it is instead.
        state: String,
    },
    /// There is nothing to report on.
    #[error("{decision_id} cannot be reported as {status}: {why}")]
    NotReportable {
        /// The decision.
        decision_id: DecisionId,
        /// What was reported.
        status: &'static str,
        /// Why not.
        why: String,
    },
    /// The policy is not valid.
    #[error("the policy is not valid")]
    PolicyInvalid(LoadErrors),
    /// Somebody else changed the policy first.
    #[error("the policy in force is {actual}, not {expected}: read it again and merge")]
    RevisionMismatch {
        /// What the caller believed.
        expected: String,
        /// What is in force.
        actual: Digest,
    },
    /// The policy cannot be written.
    #[error("the policy cannot be updated: {0}")]
    PolicyNotWritable(String),
    /// No policy of this revision.
    #[error("no policy with revision {0}")]
    NoRevision(String),
}

fn who(ending: &Ending) -> &str {
    if ending.by.is_empty() { "the daemon" } else { &ending.by }
}

impl From<GovernanceError> for CallError {
    fn from(error: GovernanceError) -> Self {
        use GovernanceError as E;
        let message = error.to_string();
        let plain = |code| Self::new(code, message.clone());
        let field = |code, field| plain(code).with_violations(vec![Violation::new(field, message.clone())]);
        let decided = |code, ending: &Ending| {
            plain(code).with("ending", ending.kind.as_str()).with("by", &ending.by).with("at", ending.at)
        };
        match &error {
            E::Record(error) => error.into(),
            E::Entropy(_) => plain(ErrorCode::NoEntropy),
            E::Params(_) => field(ErrorCode::InvalidRequest, "action.params"),
            E::IdempotencyKeyTooShort(_) => field(ErrorCode::InvalidRequest, "idempotency_key"),
            E::IdempotencyKeyReused { .. } => field(ErrorCode::IdempotencyKeyReused, "idempotency_key"),
            E::ConfirmationInvalid(_) => plain(ErrorCode::ConfirmationInvalid),
            E::QueueFull(_) => plain(ErrorCode::TooManyPendingApprovals),
            E::RateLimited(_) => plain(ErrorCode::RateLimited),
            E::NotRedactable { .. } => plain(ErrorCode::NotRedactable),
            E::NoDecision(_) | E::NoSuchDecision(_) => plain(ErrorCode::NoSuchDecision),
            E::NoApproval(_) => plain(ErrorCode::NoSuchApproval),
            E::NoRevision(_) => plain(ErrorCode::NoSuchRevision),
            E::AlreadyDecided { ending, .. } => decided(ErrorCode::AlreadyDecided, ending),
            E::Expired { ending, .. } => decided(ErrorCode::ApprovalExpired, ending),
            E::DigestMismatch { .. } => plain(ErrorCode::DigestMismatch),
            E::OwnProposal => plain(ErrorCode::OwnProposal),
            E::OtherActor { .. } => field(ErrorCode::ActorNotAllowed, "actor.id"),
            E::NoToken(_) => plain(ErrorCode::NoSuchToken),
            E::TooManyTokens(_) => plain(ErrorCode::TooManyTokens),
            E::NotPending { .. } => plain(ErrorCode::NotPending),
            E::NotReportable { .. } => plain(ErrorCode::NotReportable),
            E::PolicyInvalid(errors) => {
                let violations = errors.diagnostics().iter().map(|finding| {
                    let at = format!("line {}, column {}: ", finding.line, finding.column);
                    Violation::new(format!("yaml:{}", finding.path), at + &finding.message)
                });
                plain(ErrorCode::PolicyInvalid).with_violations(violations.collect())
            }
            E::RevisionMismatch { .. } => plain(ErrorCode::RevisionMismatch),
            E::PolicyNotWritable(_) => plain(ErrorCode::PolicyNotWritable),
        }
    }
}

/// The record could not do its work: nothing is known about the action, so it must not run.
impl From<&StoreError> for CallError {
    fn from(error: &StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::Overloaded => Self::new(ErrorCode::RecordBusy, message),
            StoreError::Unavailable { disk_full, .. } => {
                Self::new(ErrorCode::RecordUnavailable, message).with("disk_full", disk_full)
            }
            StoreError::Closed => Self::new(ErrorCode::NotServing, message),
            _ => Self::new(ErrorCode::RecordFault, message),
        }
    }
}
