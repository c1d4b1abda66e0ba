//! Converts call errors to HTTP responses: a status and a problem document (RFC 9457).

use http::{Response, StatusCode, header};
use tonic::body::Body;

use crate::domain::{CallError, ErrorCode};

/// The HTTP status of an error code.
pub(crate) const fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::InvalidRequest | E::IdempotencyKeyReused | E::PolicyInvalid => StatusCode::BAD_REQUEST,
        E::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::UnsupportedContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::CredentialRequired | E::CredentialInvalid | E::CredentialExpired => StatusCode::UNAUTHORIZED,
        E::RoleRequired | E::OwnProposal | E::ActorNotAllowed | E::CrossOrigin => StatusCode::FORBIDDEN,
        E::UnknownMethod
        | E::NoSuchDecision
        | E::NoSuchApproval
        | E::NoSuchRevision
        | E::NoSuchService
        | E::NoSuchToken => StatusCode::NOT_FOUND,
        E::AlreadyDecided
        | E::ApprovalExpired
        | E::DigestMismatch
        | E::NotPending
        | E::NotReportable
        | E::NotRedactable
        | E::ConfirmationInvalid
        | E::PolicyNotWritable
        | E::CursorAhead
        | E::OtherLog
        | E::RevisionMismatch
        | E::KeyUnsettled => StatusCode::CONFLICT,
        E::TooManyFailures
        | E::TooManyPendingApprovals
        | E::RateLimited
        | E::TooManyStreams
        | E::TooManyBytes
        | E::RecordBusy
        | E::TooManyTokens => StatusCode::TOO_MANY_REQUESTS,
        E::RecordUnavailable | E::NotServing => StatusCode::SERVICE_UNAVAILABLE,
        E::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        E::RecordFault | E::NoEntropy | E::LogKeyFault | E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The response to a failed call.
pub(crate) fn response(error: &CallError) -> Response<Body> {
    let status = status(error.code);
    let violations: Vec<_> = error
        .violations
        .iter()
        .map(|wrong| serde_json::json!({"field": wrong.field, "description": wrong.description}))
        .collect();
    let mut problem = serde_json::json!({
        "title": status.canonical_reason().unwrap_or_default(),
        "status": status.as_u16(),
        "detail": error.message,
        "code": error.code.as_str(),
    });
    if !violations.is_empty() {
        problem["violations"] = violations.into();
    }
    let mut response = Response::new(Body::new(http_body_util::Full::from(problem.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
    if let Some(pause) = error.retry_after {
        // Whole seconds (RFC 9110, section 10.2.3), rounded up.
        headers.insert(header::RETRY_AFTER, pause.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(1_u64).into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_never_a_success_and_says_when_a_retry_may_help() {
        for code in ErrorCode::ALL {
            let response = response(&CallError::new(*code, "why"));
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{code}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), code.retry_after().is_some(), "{code}");
        }
    }
}
