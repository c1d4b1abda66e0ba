//! Converts call errors to gRPC statuses: a code, a sentence, and details for programs.
//!
//! Every status carries an `ErrorInfo` with the reason and the domain `aegis`; `BadRequest` names wrong fields;
//! `RetryInfo` says when the same call may succeed.

use std::collections::HashMap;

use prost::Message as _;
use prost_types::Any;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::audit::StoreError;
use crate::domain::{CallError, ErrorCode, Finding, Violation};
use crate::governance::{GovernanceError, NotaryError};
use crate::proto::v1;

/// Who speaks in an `ErrorInfo`.
const DOMAIN: &str = "aegis";

/// The type of the detail with the findings in a policy.
const FINDINGS_TYPE: &str = "type.googleapis.com/aegis.v1.PolicyFindings";

/// The most bytes of the sentence, and of the violations, in a status. A status is sent in headers, twice and in
/// base64. A client that gets more than 8 KiB of headers may close the connection.
const MESSAGE_BYTES: usize = 1024;
const VIOLATIONS_BYTES: usize = 3072;
/// The most bytes of one path or one description in it.
const VIOLATION_BYTES: usize = 512;

/// The gRPC code of an error code.
const fn code(code: ErrorCode) -> Code {
    use ErrorCode as E;
    match code {
        E::InvalidRequest
        | E::MessageTooLarge
        | E::IdempotencyKeyReused
        | E::RequestIdReused
        | E::PolicyInvalid
        | E::UnsupportedContentType => Code::InvalidArgument,
        E::CredentialRequired | E::CredentialInvalid | E::CredentialExpired => Code::Unauthenticated,
        E::RoleRequired | E::OwnProposal | E::ActorNotAllowed | E::CrossOrigin => Code::PermissionDenied,
        E::NoSuchDecision
        | E::NoSuchApproval
        | E::NoSuchRevision
        | E::NoSuchService
        | E::NoSuchToken
        | E::NoSuchHalt
        | E::NoSuchLimit => Code::NotFound,
        E::AlreadyDecided
        | E::ApprovalExpired
        | E::DigestMismatch
        | E::NotPending
        | E::NotReportable
        | E::NotRedactable
        | E::ConfirmationInvalid
        | E::PolicyNotWritable
        | E::OtherLog => Code::FailedPrecondition,
        E::CursorAhead => Code::OutOfRange,
        E::RevisionMismatch | E::KeyUnsettled => Code::Aborted,
        E::TooManyFailures
        | E::TooManyPendingApprovals
        | E::RateLimited
        | E::DiskLow
        | E::TooManyStreams
        | E::TooManyBytes
        | E::RecordBusy
        | E::TooManyTokens
        | E::TooManyHalts => Code::ResourceExhausted,
        E::RecordUnavailable | E::NotServing => Code::Unavailable,
        E::DeadlineExceeded => Code::DeadlineExceeded,
        E::UnknownMethod | E::UnsupportedCompression => Code::Unimplemented,
        E::Cancelled => Code::Cancelled,
        E::RecordFault | E::NoEntropy | E::LogKeyFault | E::Internal => Code::Internal,
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let CallError { code: reason, message, metadata, violations, findings, retry_after } = error;
        let metadata: HashMap<_, _> = metadata.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(reason.as_str(), DOMAIN, metadata);
        // What is said twice has half of the room each time.
        let room = if findings.is_empty() { VIOLATIONS_BYTES } else { VIOLATIONS_BYTES / 2 };
        if !violations.is_empty() {
            details.set_bad_request(bounded(violations, room));
        }
        if let Some(pause) = retry_after {
            details.set_retry_info(Some(pause));
        }
        let status = Self::with_error_details(code(reason), cut(message, MESSAGE_BYTES), details);
        if findings.is_empty() { status } else { with_findings(&status, findings, room) }
    }
}

impl From<GovernanceError> for Status {
    fn from(error: GovernanceError) -> Self {
        CallError::from(error).into()
    }
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        CallError::from(&error).into()
    }
}

impl From<NotaryError> for Status {
    fn from(error: NotaryError) -> Self {
        CallError::from(error).into()
    }
}

/// The status with as many findings as fit into it.
fn with_findings(status: &Status, findings: Vec<Finding>, room: usize) -> Status {
    let mut detail = v1::PolicyFindings::default();
    let (count, mut bytes) = (findings.len(), 0);
    for Finding { file, line, column, path, message, code } in findings {
        let finding = v1::PolicyFinding {
            file: cut(file, VIOLATION_BYTES),
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column).unwrap_or(u32::MAX),
            path: cut(path, VIOLATION_BYTES),
            message: cut(message, VIOLATION_BYTES),
            code: code.to_owned(),
            severity: v1::Severity::Error.into(),
        };
        bytes += finding.encoded_len();
        if bytes > room {
            break;
        }
        detail.findings.push(finding);
    }
    detail.omitted = u32::try_from(count - detail.findings.len()).unwrap_or(u32::MAX);
    // The details are a `google.rpc.Status` that was encoded just now.
    let mut encoded = tonic_types::pb::Status::decode(status.details()).unwrap_or_default();
    encoded.details.push(Any { type_url: FINDINGS_TYPE.to_owned(), value: detail.encode_to_vec() });
    Status::with_details(status.code(), status.message(), encoded.encode_to_vec().into())
}

/// As many violations as fit into this many bytes, and how many are left out.
fn bounded(violations: Vec<Violation>, room: usize) -> Vec<FieldViolation> {
    let count = violations.len();
    let (mut kept, mut bytes) = (Vec::new(), 0);
    for Violation { field, description } in violations {
        let (field, description) = (cut(field, VIOLATION_BYTES), cut(description, VIOLATION_BYTES));
        bytes += field.len() + description.len();
        if bytes > room {
            kept.push(FieldViolation::new("", format!("and {} more", count - kept.len())));
            break;
        }
        kept.push(FieldViolation::new(field, description));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_much_is_wrong_a_status_fits_in_the_headers_of_a_client() {
        let long = "\u{20ac}".repeat(10_000);
        let many = (0..1000).map(|i| Violation::new(format!("items[{i}].{long}"), long.clone())).collect();
        let status = Status::from(CallError::invalid(many));
        let headers = status.clone().into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 12 << 10, "{bytes} bytes");
        let violations = status.get_details_bad_request().unwrap().field_violations;
        assert!(violations[0].field.starts_with("items[0]."));
        assert_eq!(violations.last().unwrap().description, "and 997 more");
        let few = Status::from(CallError::invalid_field("a", "b"));
        assert_eq!(few.get_details_bad_request().unwrap().field_violations.len(), 1);
    }

    #[test]
    fn the_findings_in_a_policy_are_a_detail_and_fit_too() {
        let long = "\u{20ac}".repeat(10_000);
        let finding = |line| {
            let (file, path, message) = ("policy.yaml".to_owned(), format!("rules[{line}]"), long.clone());
            Finding { file, line, column: 3, path, message, code: "UNKNOWN_KEY" }
        };
        let mut error = CallError::new(ErrorCode::PolicyInvalid, long.clone());
        error.violations = (0..1000).map(|_| Violation::new("layers.layers[0].yaml", long.clone())).collect();
        error.findings = (1..=1000).map(finding).collect();
        let status = Status::from(error);
        let headers = status.clone().into_http::<()>().into_parts().0.headers;
        let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        assert!(bytes < 12 << 10, "{bytes} bytes");
        assert_eq!(status.get_details_error_info().unwrap().reason, "POLICY_INVALID");
        let details = tonic_types::pb::Status::decode(status.details()).unwrap().details;
        let found = v1::PolicyFindings::decode(&*details.last().unwrap().value).unwrap();
        assert_eq!(details.last().unwrap().type_url, FINDINGS_TYPE);
        assert_eq!((found.findings[0].path.as_str(), found.findings[0].severity()), ("rules[1]", v1::Severity::Error));
        assert_eq!(found.findings.len() + found.omitted as usize, 1000);
    }

    #[test]
    fn every_status_has_its_reason_and_advice_where_a_retry_helps() {
        for reason in ErrorCode::ALL {
            let status = Status::from(CallError::new(*reason, "why"));
            assert_eq!(status.get_details_error_info().unwrap().reason, reason.as_str());
            let advice = status.get_details_retry_info().and_then(|info| info.retry_delay);
            assert_eq!(advice, reason.retry_after(), "{reason}");
        }
    }
}
