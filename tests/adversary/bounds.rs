//! What an agent can make the daemon hold, and for how long, is bounded: beside every attack it lives in the memory of
//! the Kubernetes manifest, the honest wait at most five times as long, and it starts again on what was left.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use prost::Message as _;
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::attack::{
    Attack, EVALUATE, PROPOSE, address, connected, dial_many, field, half, list, over_http, reads_nothing, slowly,
    unread_answer, unread_over_http, whole, with_value,
};
use crate::cage::peak_mib;
use crate::harness::{ask, get, long, params, pending, propose, reason, seconds, stderr, unix};
use crate::honest::Served;
use crate::unread;

/// The boolean `true` as a `google.protobuf.Value`.
const TRUE: &[u8] = &[4 << 3, 1];

/// A proposal of `pay` with this JSON, of about so many bytes.
pub(crate) fn asking(params: Option<prost_types::Struct>) -> v1::ProposeRequest {
    let mut request = propose("pay", "bank");
    request.action.as_mut().unwrap().params = params;
    request
}

/// Parameters of nearly 1 MiB that take the most memory once they are read.
pub(crate) fn heavy() -> Vec<Option<prost_types::Struct>> {
    use serde_json::json;
    vec![
        params(json!({"numbers": vec![0; 110_000]})),
        params(json!({"text": "x".repeat(900_000)})),
        params(json!({"maps": vec![json!({"a": 1}); 9_000]})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_as_large_and_as_many_as_allowed() {
    let served = Served::start(&[]).await;
    let daemon = &served.daemon;
    // Two callers without a credential, each to its own bound, and all of them together to theirs.
    let mut agents =
        vec![daemon.agent().await, GovernanceServiceClient::new(unix(&daemon.data_dir().join("agent.sock")).await)];
    for agent in &mut agents {
        for params in heavy().into_iter().cycle() {
            let Err(refused) = agent.propose(asking(params)).await else { continue };
            assert_eq!(reason(&refused), "TOO_MANY_PENDING_APPROVALS", "{refused:?}");
            break;
        }
        // And as many small ones as there is still room for.
        let mut refused = Vec::new();
        while refused.is_empty() {
            let several = (0..16).map(|_| {
                let mut agent = agent.clone();
                async move { agent.propose(propose("pay", "bank")).await }
            });
            refused.extend(futures_util::future::join_all(several).await.into_iter().filter_map(Result::err));
        }
        assert!(refused.iter().all(|refused| reason(refused) == "TOO_MANY_PENDING_APPROVALS"), "{refused:?}");
    }
    served.holds("large questions").await;
    served.is_reviewed().await;
    let open = pending(&mut daemon.reviewer().await).await.len();
    assert!(open > 20, "{open} questions are open");
    let listed = daemon.cli(&["pending", "--format", "jsonl"]);
    assert!(listed.status.success(), "{}", stderr(&listed));
    let served = served.starts_again("large questions").await;
    let left = pending(&mut served.daemon.reviewer().await).await;
    assert_eq!(left.len(), open, "nothing is lost");
    served.is_reviewed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_wait_for_one_large_question() {
    let served = Served::start(&[]).await;
    let channel = served.daemon.tcp().await;
    let mut agent = GovernanceServiceClient::new(channel.clone());
    let mut asked = Vec::new();
    for params in heavy() {
        asked.push(ask(&mut agent, asking(params)).await.decision_id);
    }
    let mut waiting = tokio::task::JoinSet::new();
    for n in 0..400 {
        let request = v1::AwaitDecisionRequest { decision_id: asked[n % 3].clone(), wait: seconds(600) };
        let mut agent = GovernanceServiceClient::new(channel.clone());
        waiting.spawn(async move { agent.await_decision(request).await.map(drop) });
    }
    for params in heavy().into_iter().cycle().take(12) {
        let request = v1::ProposeRequest { wait: seconds(600), ..asking(params) };
        let mut agent = GovernanceServiceClient::new(channel.clone());
        waiting.spawn(async move { agent.propose(request).await.map(drop) });
    }
    served.holds("calls that wait").await;
    assert!(waiting.try_join_next().is_none(), "they wait");
    drop(waiting);
    served.starts_again("calls that wait").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_sent_by_half() {
    let served = Served::start(&[]).await;
    let endpoint = served.daemon.endpoint.clone();
    // Half of a large message, the beginning of one, and nothing at all.
    let mut large = vec![0];
    large.extend((4_u32 << 20).to_be_bytes());
    large.resize(1 << 20, 0);
    let attack = Attack::of(20, move |n| {
        let (endpoint, large) = (endpoint.clone(), large.clone());
        async move {
            let Some(channel) = connected(&endpoint).await else { return };
            let begun = [large, vec![0, 0, 1, 0, 0], Vec::new()][n % 3].clone();
            let calls = (0..1500).map(|_| half(&channel, PROPOSE, begun.clone()));
            let _ = tokio::time::timeout(Duration::from_secs(5), futures_util::future::join_all(calls)).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    served.holds("half-sent calls").await;
    drop(attack);
    served.starts_again("half-sent calls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_nobody_reads() {
    let served = Served::start(&[]).await;
    let item = v1::EvaluateItem { actor: None, action: propose("read", "crm").action };
    let batch = v1::EvaluateRequest { items: vec![item; 1000], at: None, explain: false };
    let (batch, one): (Bytes, Bytes) = (batch.encode_to_vec().into(), propose("read", "crm").encode_to_vec().into());
    let endpoint = served.daemon.endpoint.clone();
    let (sent, mut told) = tokio::sync::mpsc::unbounded_channel();
    let attack = Attack::of(8, move |n| {
        let (endpoint, batch, one, sent) = (endpoint.clone(), batch.clone(), one.clone(), sent.clone());
        async move {
            let channel = reads_nothing(&endpoint).await;
            let mut kept = Vec::new();
            for _ in 0..400 {
                let (method, message) = if n % 2 == 0 { (EVALUATE, &batch) } else { (PROPOSE, &one) };
                let Some(answer) = unread_answer(&channel, method, message).await else { break };
                kept.push(answer);
            }
            let _ = sent.send(kept.len());
            std::future::pending::<()>().await;
        }
    });
    // Until it has sent as much as it may; the honest are measured beside what is held then.
    for _ in 0..8 {
        told.recv().await.unwrap();
    }
    served.holds("unread answers").await;
    // Their bytes alone would be more than a hundred of these.
    let peak = peak_mib(&served.daemon);
    assert!(peak < 128, "{peak} MiB");
    drop(attack);
    served.starts_again("unread answers").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_of_health_and_reflection() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

    let served = Served::start(&[]).await;
    let endpoint = served.daemon.endpoint.clone();
    let mut kept = Vec::new();
    for _ in 0..120 {
        let channel = reads_nothing(&endpoint).await;
        let mut health = HealthClient::new(channel.clone());
        for _ in 0..8 {
            let watch = health.watch(HealthCheckRequest::default()).await;
            kept.push((watch.map(tonic::Response::into_inner).ok(), None));
        }
        // Valid requests, each for a file, whose answers nobody reads.
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol("aegis.v1.GovernanceService".into())),
        };
        let mut reflection = ServerReflectionClient::new(channel);
        for _ in 0..8 {
            let requests = stream::iter(vec![request.clone(); 300]).chain(stream::pending());
            let opened = reflection.server_reflection_info(requests).await;
            kept.push((None, opened.map(tonic::Response::into_inner).ok()));
        }
    }
    served.holds("health and reflection").await;
    drop(kept);
    served.starts_again("health and reflection").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_on_every_listener() {
    let served = Served::start(&[]).await;
    let daemon = &served.daemon;
    let (main, probes) = (address(daemon), daemon.probes().await);
    let silent = dial_many(&main, 1500);
    let admin = dial_many(&probes, 200);
    let agents: Vec<_> =
        (0..300).map_while(|_| UnixStream::connect(daemon.data_dir().join("agent.sock")).ok()).collect();
    served.holds("silent connections").await;
    // Those that spoke are not dropped for their silence.
    let speaking = || {
        let mut stream = std::net::TcpStream::connect(&main).ok()?;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").ok()?;
        Some(stream)
    };
    let spoke: Vec<_> = (0..1500).map_while(|_| speaking()).collect();
    served.holds("idle connections").await;
    served.is_reviewed().await;
    assert_eq!(get(&format!("{probes}/live")).0, "HTTP/1.1 200 OK");
    let lines = daemon.log().lines().count();
    assert!(lines < 100, "{lines} lines of log");
    drop((silent, admin, agents, spoke));
    served.starts_again("idle connections").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parameters_named_like_secrets() {
    let served = Served::start(&[]).await;
    let endpoint = served.daemon.endpoint.clone();
    // As many as one message may have, and the number of the finding.
    let messages: Vec<Bytes> = [10_000, 80_000]
        .map(|many| {
            let entry = |n: usize| {
                let value = field(3, b"hunter22");
                field(1, &[field(1, format!("password{n}").as_bytes()), field(2, &value)].concat())
            };
            let all: Vec<u8> = (0..many).flat_map(entry).collect();
            field(2, &[field(1, b"read"), field(3, &all)].concat()).into()
        })
        .into();
    let before = store_bytes(&served);
    let sizes: Vec<usize> = messages.iter().map(Bytes::len).collect();
    let (sent, mut told) = tokio::sync::mpsc::unbounded_channel();
    let attack = Attack::of(2, move |n| {
        let (endpoint, message, sent) = (endpoint.clone(), messages[n % 2].clone(), sent.clone());
        async move {
            let Some(channel) = connected(&endpoint).await else { return };
            for _ in 0..20 {
                let status = whole(&channel, PROPOSE, &message).await;
                let _ = sent.send((n, status.code()));
            }
        }
    });
    served.holds("80,000 secrets").await;
    drop(attack);
    let mut recorded = 0;
    while let Ok((n, code)) = told.try_recv() {
        if code == Code::Ok {
            recorded += sizes[n % 2];
        }
    }
    let grown = store_bytes(&served).saturating_sub(before);
    println!("80,000 secrets: {recorded} bytes sent and recorded, the store grew by {grown}");
    served.starts_again("80,000 secrets").await;
}

fn store_bytes(served: &Served) -> u64 {
    let len = |name: &str| std::fs::metadata(served.daemon.data_dir().join(name)).expect("there is a record").len();
    len("record.redb") + len("record.journal")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_at_full_speed() {
    let served = Served::start(&[]).await;
    let endpoint = served.daemon.endpoint.clone();
    let small: Bytes = propose("read", "crm").encode_to_vec().into();
    let large: Bytes = {
        let mut request = propose("read", "crm");
        request.action.as_mut().unwrap().params = params(serde_json::json!({"text": "x".repeat(900_000)}));
        request.encode_to_vec().into()
    };
    let attack = Attack::of(8, move |n| {
        let (endpoint, message) = (endpoint.clone(), if n < 6 { small.clone() } else { large.clone() });
        async move {
            let Some(channel) = connected(&endpoint).await else { return };
            let many = if n < 6 { 16 } else { 8 };
            for _ in 0..50 {
                futures_util::future::join_all((0..many).map(|_| whole(&channel, PROPOSE, &message))).await;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    served.holds("records at full speed").await;
    drop(attack);
    served.starts_again("records at full speed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_log_lines() {
    let served = Served::start(&[]).await;
    let (endpoint, main) = (served.daemon.endpoint.clone(), address(&served.daemon));
    let attack = Attack::of(8, move |n| {
        let (endpoint, main) = (endpoint.clone(), main.clone());
        async move {
            if n % 4 == 3 {
                // No protocol at all, and a connection that is reset.
                if let Ok(mut stream) = std::net::TcpStream::connect(&main) {
                    let _ = stream.write_all(b"\x16\x03\x01 what is this\r\n\r\n");
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
                return;
            }
            let Some(channel) = connected(&endpoint).await else { return };
            let no_token: tonic::metadata::MetadataValue<_> = "Bearer aegis_0123456789abcdef".parse().unwrap();
            for _ in 0..200 {
                let mut agent = GovernanceServiceClient::new(channel.clone());
                let mut wrong = tonic::Request::new(propose("read\u{202e}\n\u{1b}[31m", "x"));
                match n % 4 {
                    0 => drop(wrong.metadata_mut().insert("authorization", no_token.clone())),
                    1 => drop(wrong.metadata_mut().insert("traceparent", "no trace\t".parse().unwrap())),
                    _ => {}
                }
                let _ = agent.propose(wrong).await;
                let mut admin = v1::policy_service_client::PolicyServiceClient::new(channel.clone());
                let _ = admin.get_policy(v1::GetPolicyRequest::default()).await;
                if n % 4 == 0 {
                    return;
                }
            }
        }
    });
    let before = served.daemon.log().len();
    served.holds("floods of log lines").await;
    drop(attack);
    let grown = served.daemon.log().len() - before;
    assert!(grown < 100_000, "{grown} bytes of log");
    served.starts_again("floods of log lines").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_small_and_large_once_read() {
    let served = Served::start(&[]).await;
    let channel = served.daemon.tcp().await;
    let map = field(5, &field(1, &[field(1, b""), field(2, TRUE)].concat()));
    let most = 4_100_000;
    let fill = |value: &[u8]| list(value, most / (value.len() + 4));
    let items = |item: &[u8]| Bytes::from(field(1, item).repeat(most / (item.len() + 2)));
    let messages: Vec<(&str, &str, Bytes)> = vec![
        ("lists of one-entry maps", PROPOSE, with_value("read", &fill(&map))),
        ("lists of booleans", PROPOSE, with_value("read", &fill(TRUE))),
        ("lists of nothing", PROPOSE, with_value("read", &fill(&[]))),
        ("lists of lists", PROPOSE, with_value("read", &fill(&field(6, &[])))),
        ("questions of maps", PROPOSE, with_value("pay", &list(&map, 9_000))),
        ("empty items", EVALUATE, items(&[])),
        ("items of empty actions", EVALUATE, items(&field(2, &[]))),
        ("a report of maps", "/aegis.v1.GovernanceService/ReportResult", Bytes::from(field(3, &fill(&map)))),
    ];
    for (what, method, message) in &messages {
        let ended = whole(&channel, method, message).await;
        println!("{what}: {} bytes, {:?} {}", message.len(), ended.code(), reason(&ended));
        served.lives(what);
        assert!(matches!(ended.code(), Code::Ok | Code::InvalidArgument), "{what}: {ended:?}");
    }
    // Several at once, and again and again.
    let endpoint = served.daemon.endpoint.clone();
    let rounds = if long() { 50 } else { 3 };
    let attack = Attack::of(3, move |n| {
        let (endpoint, messages) = (endpoint.clone(), messages.clone());
        async move {
            let Some(channel) = connected(&endpoint).await else { return };
            for (_, method, message) in messages.iter().cycle().skip(n).step_by(3).take(rounds) {
                whole(&channel, method, message).await;
            }
        }
    });
    served.holds("messages that are large once read").await;
    drop(attack);
    served.answers_agents().await;
    served.starts_again("messages that are large once read").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_calls_hold_up_no_proposal() {
    let served = Served::start(&[]).await;
    let daemon = &served.daemon;
    // Something to read: rows of some size.
    let mut agent = daemon.agent().await;
    for _ in 0..40 {
        let mut request = propose("read", "crm");
        request.action.as_mut().unwrap().params = params(serde_json::json!({"text": "x".repeat(50_000)}));
        ask(&mut agent, request).await;
    }
    let item = v1::EvaluateItem { actor: None, action: propose("read", "crm").action };
    let batch = v1::EvaluateRequest { items: vec![item; 1000], at: None, explain: false };
    let batch: Bytes = batch.encode_to_vec().into();
    let rest: String = {
        let action = r#"{"action_type": "read", "target": "crm", "params": {"n": 1}}"#;
        format!("[{}]", vec![action; 1000].join(","))
    };
    let (endpoint, main) = (daemon.endpoint.clone(), address(daemon));
    let (secret, _) = daemon.token("auditor", &[v1::Role::Auditor]).await;
    let attack = Attack::of(6, move |n| {
        let (endpoint, main, batch, rest) = (endpoint.clone(), main.clone(), batch.clone(), rest.clone());
        let authorization = format!("authorization: Bearer {secret}\r\n");
        async move {
            match n {
                0 | 1 => {
                    let Some(channel) = connected(&endpoint).await else { return };
                    for _ in 0..20 {
                        whole(&channel, EVALUATE, &batch).await;
                    }
                }
                2 | 3 => drop(over_http(&main, "POST", "/api/v1/evaluate", "", &rest).await),
                4 => drop(over_http(&main, "GET", "/api/v1/audit/decisions?page_size=1000", &authorization, "").await),
                _ => drop(over_http(&main, "GET", "/api/v1/audit/records", &authorization, "").await),
            }
        }
    });
    served.holds("heavy calls").await;
    drop(attack);
    served.starts_again("heavy calls").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_over_http() {
    const PATH: &str = "/api/v1/governance/propose";
    let served = Served::start(&[]).await;
    let main = address(&served.daemon);
    let maps = |kind: &str, many: usize| {
        let maps = vec![r#"{"a":1}"#; many].join(",");
        format!(r#"{{"action": {{"type": "{kind}", "target": "bank", "params": {{"a": [{maps}]}}}}}}"#)
    };
    let large = |kind: &str| {
        let text = "x".repeat(900_000);
        format!(r#"{{"action": {{"type": "{kind}", "target": "bank", "params": {{"a": "{text}"}}}}}}"#)
    };
    let bodies = [maps("read", 500_000), "[".repeat(1 << 20), maps("pay", 9_000), large("read"), large("pay")];
    for body in &bodies {
        let answer = over_http(&main, "POST", PATH, "", body).await.expect("an answer");
        assert!(!answer.starts_with("HTTP/1.1 5"), "{answer}");
        served.lives("a body of JSON");
    }
    let attack = Attack::of(12, move |n| {
        let (main, body) = (main.clone(), bodies[n % bodies.len()].clone());
        async move {
            match n {
                // Whole, and read.
                0..5 => drop(over_http(&main, "POST", PATH, "", &body).await),
                // By half, a byte now and then; many at once.
                5..8 => {
                    let slow = (0..40).map(|_| slowly(&main, &body[..body.len() / 2]));
                    let _ = tokio::time::timeout(Duration::from_secs(5), futures_util::future::join_all(slow)).await;
                }
                // Many on one connection, whose answers nobody reads.
                _ => drop(unread_over_http(&main, PATH).await),
            }
        }
    });
    served.holds("bodies over HTTP").await;
    drop(attack);
    served.is_reviewed().await;
    served.starts_again("bodies over HTTP").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_streams_that_nobody_reads() {
    let served = Served::start(&[]).await;
    let (secret, _) = served.daemon.token("careless", &[v1::Role::Reviewer]).await;
    let streams = unread::events(&served, &secret, 300);
    unread::large_questions(&served).await;
    served.holds("event streams that nobody reads").await;
    served.is_reviewed().await;
    drop(streams);
    served.starts_again("event streams that nobody reads").await;
}
