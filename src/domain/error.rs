//! [`CallError`]: why a call failed, for every interface. It has a code, a sentence, and the wrong fields.
//!
//! Each floor has its own typed errors. An interface converts them to a [`CallError`], and each protocol maps its
//! [`ErrorCode`] in one small file. A denial is not an error: it is a decision.

use std::fmt;
use std::time::Duration;

/// Declares the codes once, so that the list, the names and the documentation cannot differ.
macro_rules! error_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $reason:literal,)+) => {
        /// Why a call failed. A closed set; a caller may rely on the names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// What it means, for people.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),+),)+
                }
            }

            /// The name that callers read: `RATE_LIMITED`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $reason,)+
                }
            }
        }
    };
}

error_codes! {
    /// Fields of the request are wrong. The violations name them.
    InvalidRequest = "INVALID_REQUEST",
    /// The message is too large.
    MessageTooLarge = "MESSAGE_TOO_LARGE",
    /// The idempotency key was used for another action.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED",
    /// The request id was used for another request.
    RequestIdReused = "REQUEST_ID_REUSED",
    /// The policy has mistakes. The violations name them.
    PolicyInvalid = "POLICY_INVALID",
    /// This path does not support the protocol or the content type.
    UnsupportedContentType = "UNSUPPORTED_CONTENT_TYPE",
    /// The daemon has no such method.
    UnknownMethod = "UNKNOWN_METHOD",
    /// The daemon does not know the compression of the message.
    UnsupportedCompression = "UNSUPPORTED_COMPRESSION",

    /// The method needs a credential, and none was sent.
    CredentialRequired = "CREDENTIAL_REQUIRED",
    /// The credential is not valid.
    CredentialInvalid = "CREDENTIAL_INVALID",
    /// The credential of a stream or a wait is no longer valid.
    CredentialExpired = "CREDENTIAL_EXPIRED",
    /// Too many credentials were wrong. The daemon checks none for a while.
    TooManyFailures = "TOO_MANY_FAILURES",

    /// The caller has none of the roles that the method needs.
    RoleRequired = "ROLE_REQUIRED",
    /// The caller proposed the action, so it cannot review it.
    OwnProposal = "OWN_PROPOSAL",
    /// The credential acts for another actor.
    ActorNotAllowed = "ACTOR_NOT_ALLOWED",
    /// A web page of another origin sent the call.
    CrossOrigin = "CROSS_ORIGIN",

    /// There is no such decision, or it belongs to another caller.
    NoSuchDecision = "NO_SUCH_DECISION",
    /// There is no such approval.
    NoSuchApproval = "NO_SUCH_APPROVAL",
    /// There is no policy with this revision.
    NoSuchRevision = "NO_SUCH_REVISION",
    /// There is no such health service.
    NoSuchService = "NO_SUCH_SERVICE",
    /// There is no such token.
    NoSuchToken = "NO_SUCH_TOKEN",
    /// Nobody is halted like this.
    NoSuchHalt = "NO_SUCH_HALT",
    /// There is no such limit.
    NoSuchLimit = "NO_SUCH_LIMIT",

    /// The approval has ended already.
    AlreadyDecided = "ALREADY_DECIDED",
    /// The approval's time is over.
    ApprovalExpired = "APPROVAL_EXPIRED",
    /// What the reviewer was shown is not what is asked.
    DigestMismatch = "DIGEST_MISMATCH",
    /// The proposal does not wait for a person, so it cannot be cancelled.
    NotPending = "NOT_PENDING",
    /// The decision does not accept such a report.
    NotReportable = "NOT_REPORTABLE",
    /// The decision cannot be redacted now.
    NotRedactable = "NOT_REDACTABLE",
    /// The confirmation token does not confirm this proposal.
    ConfirmationInvalid = "CONFIRMATION_INVALID",
    /// The daemon cannot write the policy.
    PolicyNotWritable = "POLICY_NOT_WRITABLE",
    /// The cursor is past the end of the log.
    CursorAhead = "CURSOR_AHEAD",
    /// The cursor is of another log, or of another version of this one.
    OtherLog = "OTHER_LOG",

    /// Somebody else changed the policy first.
    RevisionMismatch = "REVISION_MISMATCH",
    /// An earlier change of the log's key is not finished yet.
    KeyUnsettled = "KEY_UNSETTLED",

    /// The limit of pending approvals is reached.
    TooManyPendingApprovals = "TOO_MANY_PENDING_APPROVALS",
    /// The rate limit of proposals is reached.
    RateLimited = "RATE_LIMITED",
    /// The disk of the record runs low, and the caller has written its share of this minute.
    DiskLow = "DISK_LOW",
    /// The limit of open streams is reached.
    TooManyStreams = "TOO_MANY_STREAMS",
    /// As many bytes of requests are arriving as may.
    TooManyBytes = "TOO_MANY_BYTES",
    /// As many calls wait for the record as may.
    RecordBusy = "RECORD_BUSY",
    /// The limit of tokens is reached.
    TooManyTokens = "TOO_MANY_TOKENS",
    /// There are as many halts as may be.
    TooManyHalts = "TOO_MANY_HALTS",

    /// The record cannot be written or read. Nothing is decided.
    RecordUnavailable = "RECORD_UNAVAILABLE",
    /// The daemon is stopping, or does not serve yet.
    NotServing = "NOT_SERVING",
    /// The deadline of the call passed.
    DeadlineExceeded = "DEADLINE_EXCEEDED",
    /// The caller ended the call before the request had arrived.
    Cancelled = "CANCELLED",

    /// The record is damaged. An operator must act.
    RecordFault = "RECORD_FAULT",
    /// The machine provides no random bytes.
    NoEntropy = "NO_ENTROPY",
    /// The key of the log cannot be used.
    LogKeyFault = "LOG_KEY_FAULT",
    /// The daemon has a bug.
    Internal = "INTERNAL",
}

impl ErrorCode {
    /// The names of the details that an error of this code can have: see [`CallError::with`].
    pub const fn metadata(self) -> &'static [&'static str] {
        match self {
            Self::AlreadyDecided | Self::ApprovalExpired => &["ending", "by", "at"],
            Self::RevisionMismatch => &["actual"],
            Self::CursorAhead => &["sequence", "last_sequence"],
            Self::OtherLog => &["sequence"],
            Self::RecordUnavailable => &["disk_full"],
            _ => &[],
        }
    }

    /// How long to wait before a retry; `None` if a retry cannot succeed.
    pub const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::RecordBusy => Some(Duration::from_millis(50)),
            Self::RateLimited => Some(Duration::from_millis(100)),
            Self::TooManyFailures
            | Self::TooManyBytes
            | Self::RecordUnavailable
            | Self::NotServing
            | Self::KeyUnsettled => Some(Duration::from_secs(1)),
            Self::TooManyPendingApprovals | Self::TooManyStreams => Some(Duration::from_secs(5)),
            Self::DiskLow => Some(Duration::from_secs(15)),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with one field of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the API: `action.params.count`.
    pub field: String,
    /// What is wrong, and what is allowed.
    pub description: String,
}

impl Violation {
    /// A violation of this field.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// A finding in a policy that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// The line, from 1; 0 if there is none.
    pub line: usize,
    /// The column, from 1; 0 if there is none.
    pub column: usize,
    /// The place in the document.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// The kind of the finding: `UNKNOWN_KEY`.
    pub code: &'static str,
}

/// Why a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CallError {
    /// The error code.
    pub code: ErrorCode,
    /// One sentence for a person: what is wrong, and what to do.
    pub message: String,
    /// Details for a program, under documented names.
    pub metadata: Vec<(&'static str, String)>,
    /// The wrong fields.
    pub violations: Vec<Violation>,
    /// The errors of a policy.
    pub findings: Vec<Finding>,
    /// How long to wait before a retry.
    pub retry_after: Option<Duration>,
}

impl CallError {
    /// An error with this code and the code's retry advice.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let (metadata, violations, findings) = (Vec::new(), Vec::new(), Vec::new());
        Self { code, message: message.into(), metadata, violations, findings, retry_after: code.retry_after() }
    }

    /// Adds a detail for programs, under a name that is documented for this code.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        debug_assert!(self.code.metadata().contains(&name), "{} has no metadata `{name}`", self.code);
        self.metadata.push((name, value.to_string()));
        self
    }

    /// Adds the wrong fields.
    #[must_use]
    pub fn with_violations(mut self, violations: Vec<Violation>) -> Self {
        self.violations = violations;
        self
    }

    /// The error for a request with wrong fields.
    pub fn invalid(violations: Vec<Violation>) -> Self {
        let message = match violations.as_slice() {
            [one] => format!("{}: {}", one.field, one.description),
            many => {
                let fields: Vec<&str> = many.iter().map(|violation| violation.field.as_str()).collect();
                format!("{} fields are wrong: {}", many.len(), fields.join(", "))
            }
        };
        Self::new(ErrorCode::InvalidRequest, message).with_violations(violations)
    }

    /// The error for a request with one wrong field.
    pub fn invalid_field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::invalid(vec![Violation::new(field, description)])
    }

    /// The daemon has a bug.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), ErrorCode::ALL.len());
        assert!(ErrorCode::ALL.iter().all(|code| code.summary().trim().len() > 10));
        assert!(names.iter().all(|name| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')));
    }

    #[test]
    fn a_request_with_several_wrong_fields_names_them_all() {
        let error = CallError::invalid(vec![Violation::new("a", "is empty"), Violation::new("b", "is too long")]);
        assert_eq!(error.to_string(), "2 fields are wrong: a, b");
        assert_eq!(CallError::invalid_field("a", "is empty").to_string(), "a: is empty");
    }
}
