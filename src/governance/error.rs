//! [`GovernanceError`]: why a call failed. A denial is not an error: it is a decision.

use super::requests::RequestIdError;
use crate::approvals::QueueFull;
use crate::audit::StoreError;
use crate::audit::follow::CursorError;
use crate::domain::page::PageTokenError;
use crate::domain::{
    ApprovalId, CallError, DecisionId, Digest, Ending, ErrorCode, Finding, HaltScope, ParamsError, TokenId, Violation,
    visible,
};
use crate::limits::DiskLow;
use crate::policy::{Diagnostic, LoadErrors};

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum GovernanceError {
    /// The record cannot be written or read. Nothing is decided, and nothing may run.
    #[error("the record cannot be written or read, so nothing is decided: {0}")]
    Record(#[from] StoreError),
    /// The machine provides no random bytes, so no id can be created.
    #[error("no random bytes, so nothing is decided: {0}")]
    Entropy(#[from] getrandom::Error),
    /// There are too many halts.
    #[error("there are {0} halts already, which is the most: halt everybody, or resume somebody")]
    TooManyHalts(usize),
    /// Nobody is halted like this.
    #[error("{0} is not halted: aegis halt --list shows who is")]
    NoHalt(HaltScope),
    /// There is no limit of this name.
    #[error("there is no limit `{0}` in the policy in force, and nothing is counted under that name")]
    NoLimit(String),
    /// The action has no canonical form, so it has no digest.
    #[error(transparent)]
    Params(#[from] ParamsError),
    /// The idempotency key was used for another action.
    #[error(
        "idempotency_key `{key}` was used for another action (digest {other}): a retry must propose the very same \
         action"
    )]
    IdempotencyKeyReused {
        /// The key.
        key: String,
        /// The digest of the earlier action.
        other: Digest,
    },
    /// Other callers could guess the idempotency key.
    #[error(
        "an idempotency_key of a caller without a credential has at least {0} characters, so that nobody else can \
         guess it: a random UUID is a good one"
    )]
    IdempotencyKeyTooShort(usize),
    /// The token does not confirm this proposal.
    #[error("confirmation_token {0}")]
    ConfirmationInvalid(&'static str),
    /// The limit of pending approvals is reached.
    #[error(transparent)]
    QueueFull(#[from] QueueFull),
    /// The rate limit of proposals is reached.
    #[error("more than {0} proposals a second (--max-proposals-per-second)")]
    RateLimited(u32),
    /// The record would take much more space than what was sent.
    #[error(
        "{sent} bytes were sent and {recorded} would be recorded, more than three times as many: there are too many \
         control characters, or too many values with the name of a secret"
    )]
    TooMuchGrowth {
        /// The field.
        field: &'static str,
        /// The bytes of its content.
        sent: usize,
        /// The bytes of its records.
        recorded: usize,
    },
    /// The disk runs low, and the caller has written its share.
    #[error(transparent)]
    DiskLow(#[from] DiskLow),
    /// The caller has no decision with this id.
    #[error("no decision {0} of this caller")]
    NoDecision(DecisionId),
    /// The record has no decision with this id.
    #[error("no decision {0} on the record")]
    NoSuchDecision(DecisionId),
    /// The decision cannot be redacted now.
    #[error("{decision_id} cannot be redacted: {why}")]
    NotRedactable {
        /// The decision.
        decision_id: DecisionId,
        /// Why not.
        why: &'static str,
    },
    /// There is no approval with this id.
    #[error("no approval {0}")]
    NoApproval(ApprovalId),
    /// The approval has ended.
    #[error("{approval_id} was already {} by {} at {}", ending.kind.as_str(), who(ending), ending.at)]
    AlreadyDecided {
        /// The approval.
        approval_id: ApprovalId,
        /// Its ending.
        ending: Ending,
    },
    /// The approval has expired.
    #[error("{approval_id} expired at {}: nobody answered in time", ending.at)]
    Expired {
        /// The approval.
        approval_id: ApprovalId,
        /// Its ending.
        ending: Ending,
    },
    /// The digest in the request is not the digest of the action.
    #[error(
        "expected_action_digest is not the digest of {approval_id}, which is {actual}: read it again before deciding"
    )]
    DigestMismatch {
        /// The approval.
        approval_id: ApprovalId,
        /// The digest of the action.
        actual: Digest,
    },
    /// The reviewer is the proposer.
    #[error(
        "whoever proposed an action cannot review it: the proposal came from the same subject, the same connection or \
         the same user of this machine"
    )]
    OwnProposal,
    /// The credential acts for another actor.
    #[error("this credential acts only for the actor `{bound}`, and the proposal is from `{}`", visible(sent))]
    OtherActor {
        /// The actor that the credential acts for.
        bound: String,
        /// The actor of the proposal.
        sent: String,
    },
    /// There is no token with this id or name.
    #[error(
        "there is no token `{}`: it was revoked long ago or never existed; `aegis token list` shows all tokens",
        visible(.0)
    )]
    NoToken(String),
    /// Several tokens have this name, or an id that begins so.
    #[error("`{}` names several tokens: revoke one by its id: {}", visible(named), listed(tokens))]
    AmbiguousToken {
        /// What the caller sent.
        named: String,
        /// The tokens.
        tokens: Vec<TokenId>,
    },
    /// The request id does not lead to an answer.
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
    /// The limit of tokens is reached.
    #[error("there are {0} tokens, which is the limit: revoke tokens that nobody uses")]
    TooManyTokens(usize),
    /// The decision does not wait, so it cannot be cancelled.
    #[error("{decision_id} cannot be cancelled: it is {state}")]
    NotPending {
        /// The decision.
        decision_id: DecisionId,
        /// Its state.
        state: String,
    },
    /// The decision does not accept this report.
    #[error("{decision_id} cannot be reported as {status}: {why}")]
    NotReportable {
        /// The decision.
        decision_id: DecisionId,
        /// The reported status.
        status: &'static str,
        /// Why not.
        why: String,
    },
    /// The policy is not valid.
    #[error("the policy is not valid")]
    PolicyInvalid {
        /// The field of the request that has it.
        field: &'static str,
        /// The errors.
        errors: LoadErrors,
    },
    /// Somebody else changed the policy first.
    #[error("the policy in force is {actual}, not {expected}: read it again and merge your change")]
    RevisionMismatch {
        /// The revision in the request.
        expected: String,
        /// The revision in force.
        actual: Digest,
    },
    /// The policy cannot be written.
    #[error("the policy cannot be updated: {0}")]
    PolicyNotWritable(String),
    /// There is no policy with this revision.
    #[error("no policy with revision {0}")]
    NoRevision(String),
    /// No decision has such an id, such an approval or such a record.
    #[error("no decision has the id {}, an approval with it, or a record with it", visible(.0))]
    NothingNamed(String),
    /// Several decisions have such an id.
    #[error("several decisions match: {}: write more of the id", .0.join(", "))]
    Ambiguous(Vec<String>),
    /// A page token is not of this request.
    #[error(transparent)]
    PageToken(#[from] PageTokenError),
    /// A stream cannot resume at a cursor.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// Several policies have a revision that begins so.
    #[error("several revisions begin with {0}: send more of the digits")]
    AmbiguousRevision(String),
}

/// A finding in a sentence, without its file: there is one.
fn described(finding: &Diagnostic) -> String {
    let Diagnostic { line, column, path, message, .. } = finding;
    let at = if *line > 0 { format!("line {line}, column {column}: ") } else { String::new() };
    let path = if path.is_empty() { String::new() } else { format!("{path}: ") };
    at + &path + message
}

impl From<&Diagnostic> for Finding {
    fn from(finding: &Diagnostic) -> Self {
        let Diagnostic { file, line, column, path, message, code } = finding.clone();
        Self { file, line, column, path, message, code: code.as_str() }
    }
}

/// The first few tokens.
fn listed(tokens: &[TokenId]) -> String {
    const SHOWN: usize = 10;
    let shown: Vec<String> = tokens.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = if tokens.len() > SHOWN { " or others" } else { "" };
    shown.join(" or ") + more
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
            E::TooMuchGrowth { field: at, .. } => field(ErrorCode::InvalidRequest, *at),
            E::DiskLow(_) => plain(ErrorCode::DiskLow),
            E::RateLimited(_) => plain(ErrorCode::RateLimited),
            E::NotRedactable { .. } => plain(ErrorCode::NotRedactable),
            E::NoDecision(_) | E::NoSuchDecision(_) | E::NothingNamed(_) => plain(ErrorCode::NoSuchDecision),
            E::NoApproval(_) => plain(ErrorCode::NoSuchApproval),
            E::NoRevision(_) => plain(ErrorCode::NoSuchRevision),
            E::AlreadyDecided { ending, .. } => decided(ErrorCode::AlreadyDecided, ending),
            E::Expired { ending, .. } => decided(ErrorCode::ApprovalExpired, ending),
            E::DigestMismatch { .. } => plain(ErrorCode::DigestMismatch),
            E::OwnProposal => plain(ErrorCode::OwnProposal),
            E::OtherActor { .. } => field(ErrorCode::ActorNotAllowed, "actor.id"),
            E::NoToken(_) => plain(ErrorCode::NoSuchToken),
            E::AmbiguousToken { .. } => field(ErrorCode::InvalidRequest, "token"),
            E::RequestId(error) => error.into(),
            E::AmbiguousRevision(_) => field(ErrorCode::InvalidRequest, "revision"),
            E::TooManyTokens(_) => plain(ErrorCode::TooManyTokens),
            E::TooManyHalts(_) => plain(ErrorCode::TooManyHalts),
            E::NoHalt(_) => plain(ErrorCode::NoSuchHalt),
            E::NoLimit(_) => plain(ErrorCode::NoSuchLimit),
            E::NotPending { .. } => plain(ErrorCode::NotPending),
            E::NotReportable { .. } => plain(ErrorCode::NotReportable),
            E::PolicyInvalid { field, errors } => {
                let violations = errors.iter().map(|finding| Violation::new(*field, described(finding))).collect();
                let findings = errors.iter().map(Finding::from).collect();
                Self { findings, ..plain(ErrorCode::PolicyInvalid).with_violations(violations) }
            }
            E::RevisionMismatch { actual, .. } => plain(ErrorCode::RevisionMismatch).with("actual", actual),
            E::PolicyNotWritable(_) => plain(ErrorCode::PolicyNotWritable),
            E::Ambiguous(_) => field(ErrorCode::InvalidRequest, "id"),
            E::PageToken(_) => field(ErrorCode::InvalidRequest, "page_token"),
            E::Cursor(why) => match why {
                CursorError::Malformed => field(ErrorCode::InvalidRequest, "resume_after"),
                CursorError::Ahead { sequence, last } => {
                    plain(ErrorCode::CursorAhead).with("sequence", sequence).with("last_sequence", last)
                }
                CursorError::OtherLog { sequence } => plain(ErrorCode::OtherLog).with("sequence", sequence),
            },
        }
    }
}

impl From<StoreError> for CallError {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<&RequestIdError> for CallError {
    fn from(error: &RequestIdError) -> Self {
        let message = error.to_string();
        match error {
            RequestIdError::Reused => {
                let violation = Violation::new("request_id", message.clone());
                Self::new(ErrorCode::RequestIdReused, message).with_violations(vec![violation])
            }
            RequestIdError::Params(_) | RequestIdError::Unreadable(_) => Self::internal(message),
        }
    }
}

/// The store failed. The state of the action is unknown, so it must not run.
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
