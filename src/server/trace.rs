//! Creates one trace span for each call, as a child of the caller's trace, and adds the decision to it.

use http::{HeaderMap, Request, StatusCode};
use opentelemetry::global;
use opentelemetry::propagation::Extractor;
use tonic::Code;
use tracing::{Span, field};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::access::Route;
use crate::domain::Decision;

/// The header of W3C Trace Context.
const TRACEPARENT: &str = "traceparent";

/// The span of one call. Its level is below that of the log, so only an exporter of traces sees it.
pub(crate) fn request_span<B>(route: Route<'_>, name: &str, request: &Request<B>) -> Span {
    let system = matches!(route, Route::Grpc(_)).then_some("grpc");
    let span = tracing::debug_span!(
        target: "aegis::call",
        "call",
        otel.name = name,
        otel.kind = "server",
        rpc.system = system,
        rpc.grpc.status_code = field::Empty,
        http.response.status_code = field::Empty,
        "error.type" = field::Empty,
        otel.status_code = field::Empty,
        decision_id = field::Empty,
        outcome = field::Empty,
        matched_rule = field::Empty,
    );
    if !span.is_disabled() {
        let parent = global::get_text_map_propagator(|propagator| propagator.extract(&Headers(request.headers())));
        // It fails only if no exporter is installed. Then no parent is needed.
        let _ = span.set_parent(parent);
    }
    span
}

/// Adds to the span of a call how it was answered: the number of its code, and the reason of an error. Faults of the
/// daemon make the span an error; those of a caller do not
/// (<https://opentelemetry.io/docs/specs/semconv/rpc/grpc/>, "gRPC Status").
pub(crate) fn record_end(span: &Span, code: Ended, reason: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    let is_fault = match code {
        Ended::Grpc(code) => {
            span.record("rpc.grpc.status_code", i32::from(code));
            matches!(
                code,
                Code::Unknown
                    | Code::DeadlineExceeded
                    | Code::Unimplemented
                    | Code::Internal
                    | Code::Unavailable
                    | Code::DataLoss
            )
        }
        Ended::Http(status) => {
            span.record("http.response.status_code", status.as_u16());
            status.is_server_error()
        }
    };
    if is_fault {
        span.record("otel.status_code", "ERROR");
    }
    if let Some(reason) = reason {
        span.record("error.type", reason);
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ended {
    /// With a code of gRPC.
    Grpc(Code),
    /// With a status of HTTP.
    Http(StatusCode),
}

/// Adds the decision to the span of its call.
pub(crate) fn record_decision(decision: &Decision) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("decision_id", field::display(decision.decision_id));
    span.record("outcome", decision.outcome.as_str());
    span.record("matched_rule", decision.matched_rule.as_str());
}

/// The trace id that the caller sent, for the record: 32 hex digits, or empty.
pub(crate) fn trace_id(headers: &HeaderMap) -> String {
    let header = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match header.split('-').nth(1) {
        Some(id) if id.len() == 32 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) => id.to_owned(),
        _ => String::new(),
    }
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_id_is_taken_from_a_well_formed_header_and_from_nothing_else() {
        for (header, id) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"),
            ("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", ""),
            ("00-short-b7ad6b7169203331-01", ""),
            ("", ""),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, header.parse().unwrap());
            assert_eq!(trace_id(&headers), id);
        }
    }
}
