//! Streams that nobody reads, opened with a reviewer's or an auditor's credential: together they hold bounded memory,
//! and whoever reads sees everything in time.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use aegis::proto::v1;
use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::stream_approvals_response::Event;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Streaming};

use crate::attack::{address, reads_nothing};
use crate::bounds::{asking, heavy};
use crate::harness::{Shown, ask, long, params, propose, reason, with_token};
use crate::honest::Served;

/// How long a reader may wait for what it must see. A reader that waits for those that do not read waits for ever.
const IN_TIME: Duration = Duration::from_mins(2);

/// How many streams nobody reads.
fn many() -> usize {
    if long() { 300 } else { 100 }
}

/// A connection whose client takes what comes off the wire, and nothing of a stream beyond so many bytes: these are the
/// daemon's to hold.
async fn greedy(endpoint: &str, window: u32) -> Channel {
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).expect("the endpoint is a URL");
    let endpoint = endpoint.initial_stream_window_size(window).initial_connection_window_size(1 << 30);
    endpoint.connect().await.expect("the daemon answers")
}

/// So many streams of server-sent events.
pub(crate) fn events(served: &Served, secret: &str, many: usize) -> Vec<std::net::TcpStream> {
    requests(served, secret, "/api/v1/approvals/stream", many)
}

/// So many requests over HTTP/1.1 whose answers nobody reads.
fn requests(served: &Served, secret: &str, path: &str, many: usize) -> Vec<std::net::TcpStream> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {secret}\r\n\r\n");
    let open = |_| {
        let mut stream = std::net::TcpStream::connect(address(&served.daemon)).expect("a connection");
        stream.write_all(request.as_bytes()).expect("a request is sent");
        stream
    };
    (0..many).map(open).collect()
}

/// So many streams of questions over gRPC, over a few connections of each kind.
async fn streams(served: &Served, secret: &str, many: usize) -> Vec<Streaming<v1::StreamApprovalsResponse>> {
    let mut open = Vec::new();
    for connection in 0..10 {
        let endpoint = &served.daemon.endpoint;
        let channel = if connection % 2 == 0 { reads_nothing(endpoint).await } else { greedy(endpoint, 65_535).await };
        let mut reviewer = ApprovalServiceClient::new(with_token(channel, secret));
        for _ in 0..many / 10 {
            let stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await;
            open.push(stream.expect("a stream opens").into_inner());
        }
    }
    open
}

/// Asks as many large questions as there is room for, and returns their ids.
pub(crate) async fn large_questions(served: &Served) -> BTreeSet<String> {
    let mut open = BTreeSet::new();
    for (n, params) in heavy().into_iter().cycle().take(16).enumerate() {
        let (secret, _) = served.daemon.token(&format!("agent-{n}"), &[v1::Role::Agent]).await;
        let mut agent = GovernanceServiceClient::new(with_token(served.daemon.tcp().await, &secret));
        match agent.propose(asking(params)).await {
            Ok(answer) => drop(open.insert(answer.into_inner().decision.unwrap().approval_id)),
            Err(refused) => assert_eq!(reason(&refused), "TOO_MANY_PENDING_APPROVALS", "{refused:?}"),
        }
    }
    assert!(open.len() > 5, "{} questions", open.len());
    open
}

/// A client that reads until it has seen so many questions, and how long that took. If its stream ends to make room, it
/// opens another one, as clients do.
fn reader(
    who: &'static str,
    mut reviewer: ApprovalServiceClient<Shown>,
    questions: usize,
) -> JoinHandle<(BTreeSet<String>, Duration)> {
    let begun = Instant::now();
    let reading = async move {
        let mut seen = BTreeSet::new();
        while seen.len() < questions {
            let stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await;
            let mut stream = stream.expect("a stream opens").into_inner();
            while seen.len() < questions {
                match stream.message().await {
                    Ok(message) => {
                        if let Some(Event::Pending(shown)) = message.expect("it goes on").event {
                            seen.insert(shown.approval_id);
                        }
                    }
                    Err(ended) => {
                        println!("{who} was ended: {ended:?}");
                        assert_eq!((ended.code(), &*reason(&ended)), (Code::ResourceExhausted, "TOO_MANY_BYTES"));
                        break;
                    }
                }
            }
        }
        (seen, begun.elapsed())
    };
    tokio::spawn(async { tokio::time::timeout(IN_TIME, reading).await.expect("it sees them in time") })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_questions_over_grpc() {
    let served = Served::start(&[]).await;
    let (secret, _) = served.daemon.token("careless", &[v1::Role::Reviewer]).await;
    let open = streams(&served, &secret, many()).await;
    large_questions(&served).await;
    served.holds("streams over gRPC that nobody reads").await;
    served.is_reviewed().await;
    drop(open);
    served.starts_again("streams over gRPC that nobody reads").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_sees_every_question_beside_streams_that_nobody_reads() {
    let served = Served::start(&[]).await;
    let daemon = &served.daemon;
    let (careless, _) = daemon.token("careless", &[v1::Role::Reviewer]).await;
    let (careful, _) = daemon.token("careful", &[v1::Role::Reviewer]).await;
    let held = (events(&served, &careless, many() / 2), streams(&served, &careless, many() / 2).await);
    // With a credential of its own, with the one of those that do not read, and one that comes when all are asked.
    let channel = daemon.tcp().await;
    let client = |secret: &str| {
        ApprovalServiceClient::new(with_token(channel.clone(), secret)).max_decoding_message_size(16 << 20)
    };
    let before = [reader("an own", client(&careful), 6), reader("a shared", client(&careless), 6)];
    let asked = large_questions(&served).await;
    let after = reader("a late", client(&careful), asked.len());
    for reading in before.into_iter().chain([after]) {
        let (seen, took) = reading.await.unwrap();
        assert!(seen.is_subset(&asked), "{seen:?}");
        println!("a reader saw {} large questions after {took:?}", seen.len());
    }
    served.holds("readers beside streams that nobody reads").await;
    served.is_reviewed().await;
    drop(held);
    served.starts_again("readers beside streams that nobody reads").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_the_record() {
    let served = Served::start(&[]).await;
    let daemon = &served.daemon;
    let mut agent = daemon.agent().await;
    for params in heavy().into_iter().cycle().take(6) {
        let mut request = propose("read", "crm");
        request.action.as_mut().unwrap().params = params;
        ask(&mut agent, request).await;
    }
    for n in 0..300 {
        let mut request = propose("read", "crm");
        request.action.as_mut().unwrap().params = params(serde_json::json!({"n": n, "text": "x".repeat(3000)}));
        ask(&mut agent, request).await;
    }
    let (secret, _) = daemon.token("careless", &[v1::Role::Auditor]).await;
    let held =
        [requests(&served, &secret, "/api/v1/audit", 60), requests(&served, &secret, "/api/v1/audit/records", 60)];
    let mut open = Vec::new();
    for connection in 0..6 {
        let endpoint = &daemon.endpoint;
        let channel = if connection % 2 == 0 { reads_nothing(endpoint).await } else { greedy(endpoint, 65_535).await };
        let mut auditor = AuditServiceClient::new(with_token(channel, &secret));
        for n in 0..30 {
            let view = if n % 2 == 0 { v1::AuditView::Rows } else { v1::AuditView::Records };
            let request =
                v1::StreamAuditRequest { view: view.into(), follow: true, ..v1::StreamAuditRequest::default() };
            open.push(auditor.stream_audit(request).await.expect("a stream opens").into_inner());
        }
    }
    served.holds("streams of the record that nobody reads").await;
    // An auditor who reads gets all of it.
    let rows = tokio::time::timeout(IN_TIME, daemon.rows()).await.expect("they are read in time");
    assert!(rows.len() > 306, "{} rows", rows.len());
    drop((held, open));
    served.starts_again("streams of the record that nobody reads").await;
}
