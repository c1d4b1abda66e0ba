//! From errors to gRPC statuses: a code, a sentence, and details that a program can read.
//!
//! | code | reason (`ErrorInfo`) | what a client does |
//! | --- | --- | --- |
//! | INVALID_ARGUMENT | `INVALID_REQUEST`, `MESSAGE_TOO_LARGE`, `IDEMPOTENCY_KEY_REUSED`, `POLICY_INVALID` | corrects the request; `BadRequest` names the fields |
//! | UNAUTHENTICATED | `CREDENTIAL_REQUIRED`, `CREDENTIAL_INVALID`, `CREDENTIAL_EXPIRED` | sends a valid credential |
//! | PERMISSION_DENIED | `ROLE_REQUIRED`, `OWN_PROPOSAL`, `ACTOR_NOT_ALLOWED` | asks somebody else |
//! | NOT_FOUND | `NO_SUCH_DECISION`, `NO_SUCH_APPROVAL`, `NO_SUCH_REVISION`, `NO_SUCH_TOKEN` | corrects the id |
//! | FAILED_PRECONDITION | `ALREADY_DECIDED`, `EXPIRED`, `DIGEST_MISMATCH`, `NOT_PENDING`, `NOT_REPORTABLE`, `NOT_REDACTABLE`, `CONFIRMATION_INVALID`, `POLICY_NOT_WRITABLE` | looks again before it does anything |
//! | ABORTED | `REVISION_MISMATCH`, `KEY_UNSETTLED` | looks again (reads the policy and merges; asks for a checkpoint) and retries |
//! | RESOURCE_EXHAUSTED | `TOO_MANY_PENDING_APPROVALS`, `RATE_LIMITED`, `TOO_MANY_STREAMS`, `RECORD_BUSY`, `TOO_MANY_TOKENS`, `TOO_MANY_FAILURES` | waits and retries |
//! | UNAVAILABLE | `RECORD_UNAVAILABLE`, `NOT_SERVING` | retries; the action does not run meanwhile |

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::authenticate::AuthenticationError;
use crate::audit::StoreError;
use crate::domain::{Identity, Roles};
use crate::governance::{GovernanceError, NotaryError};

/// Who speaks in an `ErrorInfo`.
const DOMAIN: &str = "aegis.v1";

/// How many bytes of sentence, and of violations, a status may hold: it travels in headers, twice and in base64, and a
/// client that is sent more than 8 KiB of those may end the connection instead of reading them.
const MESSAGE_BYTES: usize = 1024;
const VIOLATIONS_BYTES: usize = 3072;
/// How many bytes of that one field's path, or what is wrong with it, may take.
const VIOLATION_BYTES: usize = 512;

/// A status with a documented reason.
pub(super) fn with_reason(code: Code, reason: &str, message: impl Into<String>) -> Status {
    with_details(code, reason, message, HashMap::new(), Vec::new())
}

fn with_details(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    metadata: HashMap<String, String>,
    violations: Vec<FieldViolation>,
) -> Status {
    let mut details = ErrorDetails::with_error_info(reason, DOMAIN, metadata);
    if !violations.is_empty() {
        details.set_bad_request(bounded(violations));
    }
    Status::with_error_details(code, cut(message.into(), MESSAGE_BYTES), details)
}

/// As many of the violations as a status may hold, and how many are left out.
fn bounded(violations: Vec<FieldViolation>) -> Vec<FieldViolation> {
    let count = violations.len();
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for mut violation in violations {
        violation.field = cut(violation.field, VIOLATION_BYTES);
        violation.description = cut(violation.description, VIOLATION_BYTES);
        bytes += violation.field.len() + violation.description.len();
        if bytes > VIOLATIONS_BYTES {
            kept.push(FieldViolation::new("", format!("and {} more", count - kept.len())));
            break;
        }
        kept.push(violation);
    }
    kept
}

/// The beginning of a text that is too long.
fn cut(mut text: String, bytes: usize) -> String {
    const DOTS: &str = "...";
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - DOTS.len()));
        text.push_str(DOTS);
    }
    text
}

/// A request whose fields are wrong.
pub(super) fn bad_request(violations: Vec<FieldViolation>) -> Status {
    let message = match violations.as_slice() {
        [one] => format!("{}: {}", one.field, one.description),
        many => {
            let fields: Vec<&str> = many.iter().map(|violation| violation.field.as_str()).collect();
            format!("{} fields are wrong: {}", many.len(), fields.join(", "))
        }
    };
    with_details(Code::InvalidArgument, "INVALID_REQUEST", message, HashMap::new(), violations)
}

/// One field is wrong.
pub(super) fn bad_field(field: impl Into<String>, description: impl Into<String>) -> Status {
    bad_request(vec![FieldViolation::new(field, description)])
}

/// The message is larger than this daemon takes. Not RESOURCE_EXHAUSTED, which says that a retry may help.
pub(super) fn message_too_large(limit: usize) -> Status {
    let message =
        format!("the message is larger than {limit} bytes, which is all that this daemon takes (--max-message-bytes)");
    with_reason(Code::InvalidArgument, "MESSAGE_TOO_LARGE", message)
}

/// A credential was sent and is not valid.
pub(super) fn unauthenticated(error: AuthenticationError) -> Status {
    match error {
        AuthenticationError::TooManyFailures => {
            with_reason(Code::ResourceExhausted, "TOO_MANY_FAILURES", error.to_string())
        }
        _ => with_reason(Code::Unauthenticated, "CREDENTIAL_INVALID", error.to_string()),
    }
}

/// The credential of a stream or a wait is over.
pub(super) fn credential_over(why: &str) -> Status {
    with_reason(Code::Unauthenticated, "CREDENTIAL_EXPIRED", format!("{why}: call again with a valid one"))
}

/// No credential was sent, and the method needs one.
pub(super) fn credential_required(allowed: Roles) -> Status {
    let message = format!(
        "this needs a credential with one of these roles: {allowed}; call over the socket in the daemon's data directory, \
         or send `authorization: Bearer TOKEN`"
    );
    with_reason(Code::Unauthenticated, "CREDENTIAL_REQUIRED", message)
}

/// The caller is known and may not.
pub(super) fn role_required(identity: &Identity, allowed: Roles) -> Status {
    let message = format!("{} has the roles {}, and this needs one of: {allowed}", identity.subject, identity.roles);
    with_reason(Code::PermissionDenied, "ROLE_REQUIRED", message)
}

impl From<GovernanceError> for Status {
    fn from(error: GovernanceError) -> Self {
        use GovernanceError as E;
        let message = error.to_string();
        let field = |reason: &str, field: &str| {
            let violation = FieldViolation::new(field, message.clone());
            with_details(Code::InvalidArgument, reason, message.clone(), HashMap::new(), vec![violation])
        };
        let decided = |reason: &str, ending: &crate::domain::Ending| {
            let metadata = HashMap::from([
                ("ending".to_owned(), ending.kind.as_str().to_owned()),
                ("by".to_owned(), ending.by.clone()),
                ("at".to_owned(), ending.at.to_string()),
            ]);
            with_details(Code::FailedPrecondition, reason, message.clone(), metadata, Vec::new())
        };
        match &error {
            E::Record(error) => record(error),
            E::Entropy(_) => with_reason(Code::Internal, "NO_ENTROPY", message),
            E::Params(_) => field("INVALID_REQUEST", "action.params"),
            E::IdempotencyKeyTooShort(_) => field("INVALID_REQUEST", "idempotency_key"),
            E::IdempotencyKeyReused { .. } => field("IDEMPOTENCY_KEY_REUSED", "idempotency_key"),
            E::ConfirmationInvalid(_) => with_reason(Code::FailedPrecondition, "CONFIRMATION_INVALID", message),
            E::QueueFull(_) => with_reason(Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS", message),
            E::RateLimited(_) => with_reason(Code::ResourceExhausted, "RATE_LIMITED", message),
            E::NotRedactable { .. } => with_reason(Code::FailedPrecondition, "NOT_REDACTABLE", message),
            E::NoDecision(_) | E::NoSuchDecision(_) => with_reason(Code::NotFound, "NO_SUCH_DECISION", message),
            E::NoApproval(_) => with_reason(Code::NotFound, "NO_SUCH_APPROVAL", message),
            E::NoRevision(_) => with_reason(Code::NotFound, "NO_SUCH_REVISION", message),
            E::AlreadyDecided { ending, .. } => decided("ALREADY_DECIDED", ending),
            E::Expired { ending, .. } => decided("EXPIRED", ending),
            E::DigestMismatch { .. } => with_reason(Code::FailedPrecondition, "DIGEST_MISMATCH", message),
            E::OwnProposal => with_reason(Code::PermissionDenied, "OWN_PROPOSAL", message),
            E::OtherActor { .. } => {
                let violation = FieldViolation::new("actor.id", message.clone());
                with_details(Code::PermissionDenied, "ACTOR_NOT_ALLOWED", message, HashMap::new(), vec![violation])
            }
            E::NoToken(_) => with_reason(Code::NotFound, "NO_SUCH_TOKEN", message),
            E::TooManyTokens(_) => with_reason(Code::ResourceExhausted, "TOO_MANY_TOKENS", message),
            E::NotPending { .. } => with_reason(Code::FailedPrecondition, "NOT_PENDING", message),
            E::NotReportable { .. } => with_reason(Code::FailedPrecondition, "NOT_REPORTABLE", message),
            E::PolicyInvalid(errors) => {
                let violations = errors.diagnostics().iter().map(|finding| {
                    let at = format!("line {}, column {}: ", finding.line, finding.column);
                    FieldViolation::new(format!("yaml:{}", finding.path), at + &finding.message)
                });
                with_details(Code::InvalidArgument, "POLICY_INVALID", message, HashMap::new(), violations.collect())
            }
            E::RevisionMismatch { .. } => with_reason(Code::Aborted, "REVISION_MISMATCH", message),
            E::PolicyNotWritable(_) => with_reason(Code::FailedPrecondition, "POLICY_NOT_WRITABLE", message),
        }
    }
}

/// The record could not do its work: nothing is known about the action, so it must not run.
pub(super) fn record(error: &StoreError) -> Status {
    let message = error.to_string();
    match error {
        StoreError::Overloaded => with_reason(Code::ResourceExhausted, "RECORD_BUSY", message),
        StoreError::Unavailable { disk_full, .. } => {
            let metadata = HashMap::from([("disk_full".to_owned(), disk_full.to_string())]);
            with_details(Code::Unavailable, "RECORD_UNAVAILABLE", message, metadata, Vec::new())
        }
        StoreError::Closed => with_reason(Code::Unavailable, "NOT_SERVING", message),
        _ => with_reason(Code::Internal, "RECORD_FAULT", message),
    }
}

impl From<NotaryError> for Status {
    fn from(error: NotaryError) -> Self {
        match error {
            NotaryError::Store(error) => record(&error),
            NotaryError::Unsettled => with_reason(Code::Aborted, "KEY_UNSETTLED", error.to_string()),
            error => with_reason(Code::Internal, "LOG_KEY_FAULT", error.to_string()),
        }
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        record(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_wrong_a_status_fits_in_the_headers_of_a_client() {
        let long = "\u{20ac}".repeat(10_000);
        let many = (0..1000).map(|i| FieldViolation::new(format!("items[{i}].{long}"), long.clone())).collect();
        let status = bad_request(many);
        let headers = status.clone().into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 12 << 10, "{bytes} bytes");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations[0].field.starts_with("items[0]."));
        assert_eq!(violations.last().unwrap().description, "and 997 more");
        let Some(few) = bad_field("a", "b").get_details_bad_request() else { panic!("it has details") };
        assert_eq!(few.field_violations.len(), 1);
    }
}
