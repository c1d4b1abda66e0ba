//! Converts call errors to HTTP responses: a status and a problem document (RFC 9457).

use std::collections::BTreeMap;

use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use serde::Serialize;
use tonic::body::Body;
use utoipa::ToSchema;

use crate::domain::{CallError, ErrorCode, Finding, Violation};

/// The HTTP status of an error code.
pub(crate) const fn status(code: ErrorCode) -> StatusCode {
    use ErrorCode as E;
    match code {
        E::InvalidRequest | E::IdempotencyKeyReused | E::RequestIdReused | E::PolicyInvalid | E::Cancelled => {
            StatusCode::BAD_REQUEST
        }
        E::MessageTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        E::UnsupportedContentType | E::UnsupportedCompression => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        E::CredentialRequired | E::CredentialInvalid | E::CredentialExpired => StatusCode::UNAUTHORIZED,
        E::RoleRequired | E::OwnProposal | E::ActorNotAllowed | E::CrossOrigin => StatusCode::FORBIDDEN,
        E::UnknownMethod
        | E::NoSuchDecision
        | E::NoSuchApproval
        | E::NoSuchRevision
        | E::NoSuchService
        | E::NoSuchToken
        | E::NoSuchHalt
        | E::NoSuchLimit => StatusCode::NOT_FOUND,
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
        | E::DiskLow
        | E::TooManyStreams
        | E::TooManyBytes
        | E::RecordBusy
        | E::TooManyTokens
        | E::TooManyHalts => StatusCode::TOO_MANY_REQUESTS,
        E::RecordUnavailable | E::NotServing => StatusCode::SERVICE_UNAVAILABLE,
        E::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        E::RecordFault | E::NoEntropy | E::LogKeyFault | E::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The most violations in a response.
const MAX_VIOLATIONS: usize = 256;
/// The detail that lists the methods of a path.
const ALLOW: &str = "allow";

/// Marks a response as that of a failed call, for whoever counts them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed(pub(crate) ErrorCode);

/// A failed call, as a problem document (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// The kind of the problem: `urn:aegis:error:` and its code.
    #[schema(example = "urn:aegis:error:INVALID_REQUEST")]
    r#type: String,
    /// What the code means.
    title: String,
    /// The status of the response.
    status: u16,
    /// What went wrong with this call, and what to do.
    detail: String,
    /// The code of the error, as in `ErrorInfo` of gRPC.
    code: String,
    /// Every wrong field of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    violations: Vec<FieldViolation>,
    /// The mistakes of a policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<PolicyFinding>,
    /// Details for programs. The error's documentation names them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'static str, String>,
}

/// A wrong field of a request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldViolation {
    /// The path of the field: `action.parameters.count`.
    field: String,
    /// What is wrong, and what is allowed.
    description: String,
}

/// A finding in a policy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PolicyFinding {
    file: String,
    line: usize,
    column: usize,
    path: String,
    message: String,
    code: &'static str,
}

impl PolicyFinding {
    pub(crate) fn of(Finding { file, line, column, path, message, code }: Finding) -> Self {
        Self { file, line, column, path, message, code }
    }
}

/// The error for a method that the operations at a path do not have.
pub(super) fn wrong_method(method: &Method, allowed: &[&str]) -> CallError {
    let message = format!("there is no {method} at this path: use {}", allowed.join(" or "));
    let mut error = CallError::new(ErrorCode::UnknownMethod, message);
    error.metadata.push((ALLOW, allowed.join(", ")));
    error
}

/// The problem document of a failed call.
pub(crate) fn document(error: CallError) -> Problem {
    let CallError { code, message, metadata, violations, findings, .. } = error;
    let metadata: BTreeMap<_, _> = metadata.into_iter().collect();
    let status = if metadata.contains_key(ALLOW) { StatusCode::METHOD_NOT_ALLOWED } else { status(code) };
    Problem {
        r#type: format!("urn:aegis:error:{code}"),
        title: code.summary().trim().to_owned(),
        status: status.as_u16(),
        detail: message,
        code: code.to_string(),
        violations: bounded(violations),
        findings: findings.into_iter().take(MAX_VIOLATIONS).map(PolicyFinding::of).collect(),
        metadata,
    }
}

/// The response to a failed call.
pub(crate) fn response(error: CallError) -> Response<Body> {
    let (code, retry_after) = (error.code, error.retry_after);
    let problem = document(error);
    // Text and numbers: they always serialize.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Body::new(http_body_util::Full::from(body)));
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.status_mut() = status;
    response.extensions_mut().insert(Failed(code));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(methods) = problem.metadata.get(ALLOW).and_then(|methods| HeaderValue::from_str(methods).ok()) {
        headers.insert(header::ALLOW, methods);
    }
    if let Some(pause) = retry_after {
        // Whole seconds (RFC 9110, section 10.2.3), rounded up.
        headers.insert(header::RETRY_AFTER, pause.as_millis().div_ceil(1000).max(1).try_into().unwrap_or(1_u64).into());
    }
    response
}

/// As many violations as a person reads, and how many are left out.
fn bounded(violations: Vec<Violation>) -> Vec<FieldViolation> {
    let more = violations.len().saturating_sub(MAX_VIOLATIONS);
    let shown = violations.into_iter().take(MAX_VIOLATIONS);
    let mut shown: Vec<_> =
        shown.map(|Violation { field, description }| FieldViolation { field, description }).collect();
    if more > 0 {
        shown.push(FieldViolation { field: String::new(), description: format!("and {more} more") });
    }
    shown
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_failure_is_never_a_success_and_says_when_a_retry_may_help() {
        for code in ErrorCode::ALL {
            let response = response(CallError::new(*code, "why"));
            assert!(response.status().is_client_error() || response.status().is_server_error(), "{code}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), code.retry_after().is_some(), "{code}");
            let asks = response.headers().contains_key(header::WWW_AUTHENTICATE);
            assert_eq!(asks, response.status() == StatusCode::UNAUTHORIZED, "{code}");
        }
    }

    #[tokio::test]
    async fn a_problem_names_its_kind_and_every_wrong_field_up_to_a_bound() {
        let many = (0..300).map(|i| Violation::new(format!("items[{i}]"), "is wrong")).collect();
        let response = response(CallError::invalid(many));
        assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(problem["type"], "urn:aegis:error:INVALID_REQUEST");
        assert_eq!(problem["title"], "Fields of the request are wrong. The violations name them.");
        assert_eq!(problem["violations"].as_array().unwrap().len(), 257);
        assert_eq!(problem["violations"][256]["description"], "and 44 more");
    }

    #[test]
    fn a_path_says_which_methods_it_has() {
        let response = response(wrong_method(&Method::DELETE, &["GET", "PUT"]));
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[header::ALLOW], "GET, PUT");
    }

    #[test]
    fn the_guide_has_every_code_beside_its_status() {
        let guide = include_str!("../../proto/README.md");
        let problems = guide.split("### Problems").nth(1).unwrap().split("###").next().unwrap();
        for code in ErrorCode::ALL {
            let row = problems.lines().find(|line| line.contains(&format!("`{code}`"))).unwrap_or_default();
            assert!(row.starts_with(&format!("| `{}` |", status(*code).as_u16())), "{code}: {row}");
        }
    }
}
