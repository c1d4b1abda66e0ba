//! What is counted of each call: how long it took, how it ended, and why it failed.

use std::sync::Arc;
use std::time::Instant;

use http::Response;
use http::header::AUTHORIZATION;
use tonic::body::Body;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use tracing::Span;

use super::access::{self, OPERATIONS, Route};
use super::problem::Failed;
use super::trace::{self, Ended};
use crate::auth::Connection;
use crate::domain::ErrorCode;
use crate::metrics::Metrics;

/// A call that is under way. If it is dropped before its answer, its caller has gone.
pub(super) struct Measured {
    metrics: Arc<Metrics>,
    protocol: &'static str,
    method: String,
    begun: Instant,
    is_answered: bool,
}

/// Lets the series of every call and every error begin at zero.
pub(crate) fn expect_all(metrics: &Metrics) {
    for path in access::methods() {
        metrics.expect_call("grpc", &access::name(Route::Grpc(&path)), name(Code::Ok));
    }
    for operation in OPERATIONS {
        metrics.expect_call("http", &access::name(Route::Http(operation.method, operation.path)), "200");
    }
    for code in ErrorCode::ALL {
        metrics.expect_error(code.as_str());
    }
}

impl Measured {
    /// A call to this route begins.
    pub(super) fn begin(metrics: &Arc<Metrics>, route: Route<'_>) -> Self {
        let protocol = match route {
            Route::Grpc(_) => "grpc",
            Route::Http(..) => "http",
        };
        let method = access::name(route).into_owned();
        Self { metrics: Arc::clone(metrics), protocol, method, begun: Instant::now(), is_answered: false }
    }

    /// The name of the method, as [`access::name`] has it.
    pub(super) fn method(&self) -> &str {
        &self.method
    }

    /// The call is answered. Its span says the same.
    pub(super) fn end(mut self, answer: &Response<Body>, span: &Span) {
        self.is_answered = true;
        let took = self.begun.elapsed();
        if self.protocol == "http" {
            self.metrics.call(self.protocol, &self.method, answer.status().as_str(), took);
            let reason = answer.extensions().get().map(|Failed(code)| code.as_str());
            reason.inspect(|reason| self.metrics.error(reason));
            trace::record_end(span, Ended::Http(answer.status()), reason);
            return;
        }
        // A call that failed at once has its status in the headers.
        let status = Status::from_header_map(answer.headers());
        let code = status.as_ref().map_or(Code::Ok, Status::code);
        self.metrics.call(self.protocol, &self.method, name(code), took);
        let info = status.and_then(|status| status.get_details_error_info());
        let reason = info.and_then(|info| ErrorCode::ALL.iter().find(|code| code.as_str() == info.reason));
        let reason = reason.map(|code| code.as_str());
        reason.inspect(|reason| self.metrics.error(reason));
        trace::record_end(span, Ended::Grpc(code), reason);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        if !self.is_answered {
            // 499 is what web servers write for a client that closed its request.
            let code = if self.protocol == "http" { "499" } else { name(Code::Cancelled) };
            self.metrics.call(self.protocol, &self.method, code, self.begun.elapsed());
        }
    }
}

/// Counts a credential that was refused, by its kind.
pub(super) fn refused(metrics: &Metrics, code: ErrorCode, headers: &http::HeaderMap, connection: Option<&Connection>) {
    let is_about_it = matches!(
        code,
        ErrorCode::CredentialRequired
            | ErrorCode::CredentialInvalid
            | ErrorCode::CredentialExpired
            | ErrorCode::TooManyFailures
    );
    if is_about_it {
        let has_certificate = connection.is_some_and(|connection| connection.certificate.is_some());
        metrics.authentication_failed(match (headers.contains_key(AUTHORIZATION), has_certificate) {
            (true, _) => "bearer",
            (false, true) => "certificate",
            (false, false) => "none",
        });
    }
}

/// The name of a code as gRPC's documents write it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
