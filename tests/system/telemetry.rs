//! What the daemon says about itself: traces to a real receiver in this process, and a log that programs can read.

use std::net::SocketAddr;
use std::time::Duration;

use aegis::proto::v1::Outcome;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

use crate::harness::{DEADLINE, Setup, propose};

const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT_SPAN: &str = "b7ad6b7169203331";

struct Receiver(mpsc::UnboundedSender<ResourceSpans>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for spans in request.into_inner().resource_spans {
            self.0.send(spans).map_err(|_| Status::unavailable("the test is over"))?;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An OTLP receiver, and what it receives.
async fn receiver() -> (SocketAddr, mpsc::UnboundedReceiver<ResourceSpans>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let (sender, received) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Receiver(sender));
    tokio::spawn(
        tonic::transport::Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)),
    );
    (address, received)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.as_ref());
    match found {
        Some(AnyValue { value: Some(Value::StringValue(text)), .. }) => text.clone(),
        other => panic!("no text `{key}` but {other:?}"),
    }
}

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("00-{TRACE_ID}-{PARENT_SPAN}-01");
    request.metadata_mut().insert("traceparent", header.parse().expect("a header"));
    request
}

/// The span of a call, with what its resource says.
async fn span_of(received: &mut mpsc::UnboundedReceiver<ResourceSpans>, method: &str) -> (Span, Vec<KeyValue>) {
    let wait = async {
        loop {
            let spans = received.recv().await.expect("the receiver lives");
            let resource = spans.resource.unwrap_or_default().attributes;
            let mut all = spans.scope_spans.into_iter().flat_map(|scope| scope.spans);
            if let Some(span) = all.find(|span| span.name == method) {
                return (span, resource);
            }
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("the span is exported")
}

#[tokio::test]
async fn a_proposal_is_a_span_under_the_callers_trace_and_the_record_names_that() {
    let (address, mut received) = receiver().await;
    let daemon = Setup::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))
        .env("OTEL_BSP_SCHEDULE_DELAY", "50")
        .start();
    let answer = daemon.agent().await.propose(traced(propose("read", "crm"))).await.unwrap();
    let decision = answer.into_inner().decision.unwrap();

    let (span, resource) = span_of(&mut received, "aegis.v1.GovernanceService/Propose").await;
    assert_eq!(hex::encode(&span.trace_id), TRACE_ID);
    assert_eq!(hex::encode(&span.parent_span_id), PARENT_SPAN);
    assert_eq!(text(&span.attributes, "decision_id"), decision.decision_id);
    assert_eq!(text(&span.attributes, "outcome"), "ALLOW");
    assert_eq!(text(&span.attributes, "matched_rule"), "read_auto");
    assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    assert_eq!(text(&resource, "service.name"), "aegis");

    assert_eq!(daemon.row(&decision.decision_id).await.trace_id, TRACE_ID);
}

#[tokio::test]
async fn a_call_without_a_trace_begins_one_and_what_is_left_goes_out_at_the_end() {
    let (address, mut received) = receiver().await;
    let mut daemon = Setup::new()
        .env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &format!("http://{address}"))
        .env("OTEL_SERVICE_NAME", "sidecar-of-agent-7")
        // Longer than this test takes: only the end of the daemon sends anything.
        .env("OTEL_BSP_SCHEDULE_DELAY", "3600000")
        .start();
    let answer = daemon.agent().await.propose(propose("delete", "crm")).await.unwrap();
    let decision = answer.into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Deny);
    daemon.terminate();
    assert!(daemon.ended().await.success());

    let (span, resource) = span_of(&mut received, "aegis.v1.GovernanceService/Propose").await;
    assert!(span.parent_span_id.is_empty());
    assert_eq!(text(&span.attributes, "outcome"), "DENY");
    assert_eq!(text(&resource, "service.name"), "sidecar-of-agent-7");
    // What a trace does not carry: parameters, descriptions, who the actor says it is.
    assert!(!format!("{span:?}").contains("agent-7"));
}

#[tokio::test]
async fn nothing_is_exported_where_it_is_switched_off_or_not_asked_for() {
    for switch in [Some(("OTEL_SDK_DISABLED", "true")), None] {
        let (address, mut received) = receiver().await;
        let endpoint = format!("http://{address}");
        let setup = Setup::new().env("OTEL_BSP_SCHEDULE_DELAY", "10");
        let setup = match switch {
            Some((name, value)) => setup.env(name, value).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
            None => setup,
        };
        let mut daemon = setup.start();
        let answer = daemon.agent().await.propose(traced(propose("read", "crm"))).await.unwrap();
        let decision = answer.into_inner().decision.unwrap();
        assert_eq!(daemon.row(&decision.decision_id).await.trace_id, TRACE_ID, "the record names it all the same");
        // What was to be exported is out when the daemon has ended.
        daemon.terminate();
        assert!(daemon.ended().await.success());
        assert!(received.try_recv().is_err(), "{switch:?}");
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_delays_nobody() {
    let daemon = Setup::new()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .env("OTEL_BSP_SCHEDULE_DELAY", "10")
        .start();
    let started = std::time::Instant::now();
    for _ in 0..20 {
        daemon.agent().await.propose(traced(propose("read", "crm"))).await.unwrap();
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn variables_that_make_no_sense_end_the_daemon_with_a_sentence() {
    for (name, value) in [("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"), ("AEGIS_LOG", "aegis=loud")] {
        let (status, said) = Setup::new().env(name, value).refuse();
        assert_eq!(status.code(), Some(2), "{said}");
        assert!(said.contains(name), "{said}");
    }
}

#[tokio::test]
async fn the_log_is_json_where_no_terminal_reads_it_and_pretty_where_asked() {
    let mut daemon = Setup::new().args(&["--dev"]).start();
    daemon.logs("EVERY CALLER HAS EVERY ROLE").await;
    daemon.terminate();
    daemon.ended().await;
    daemon.logs("stopping").await;
    for line in daemon.log().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        for key in ["timestamp", "level", "message", "target"] {
            assert!(line[key].is_string(), "{key} in {line}");
        }
    }

    let daemon = Setup::new().args(&["--dev", "--log-format", "pretty"]).start();
    daemon.logs("EVERY CALLER HAS EVERY ROLE").await;
    assert!(!daemon.log().contains(['{', '\u{1b}']), "{}", daemon.log());
}

#[tokio::test]
async fn the_log_says_as_much_as_it_is_asked_for() {
    let daemon = Setup::new().env("AEGIS_LOG", "error").args(&["--dev"]).start();
    daemon.agent().await.propose(propose("read", "crm")).await.unwrap();
    assert_eq!(daemon.log(), "");
    let daemon = Setup::new().env("AEGIS_LOG", "aegis=debug").start();
    daemon.reviewer().await;
    let mut anonymous = aegis::proto::v1::policy_service_client::PolicyServiceClient::new(daemon.tcp().await);
    anonymous.get_policy(aegis::proto::v1::GetPolicyRequest::default()).await.unwrap_err();
    daemon.logs("call refused").await;
}
