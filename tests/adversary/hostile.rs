//! Bytes that are no request, and connections that are no client: refused or dropped, and everybody else is served.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use aegis::proto::v1::{self, Outcome};
use bytes::{Buf as _, BufMut as _};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Code, Status};

use crate::attack::{PROPOSE, field};
use crate::harness::{DEADLINE, Daemon, Setup, eventually, params, propose, reason, with_token};

/// Sends bytes as a message, whatever they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, bytes: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&bytes);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        buffer.advance(buffer.remaining());
        Ok(Some(()))
    }
}

async fn send(daemon: &Daemon, method: &str, message: Vec<u8>) -> Result<(), Status> {
    let mut client = tonic::client::Grpc::new(daemon.tcp().await);
    client.ready().await.expect("the daemon answers");
    client.unary(tonic::Request::new(message), method.parse().expect("a path"), Raw).await.map(drop)
}

/// A proposal whose parameter `a` is so many lists in each other.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = vec![4 << 3, 1]; // Value.bool_value
    for _ in 0..depth {
        value = field(6, &field(1, &value)); // Value.list_value, ListValue.values
    }
    let entry = [field(1, b"a"), field(2, &value)].concat();
    let action = [field(1, b"read"), field(3, &field(1, &entry))].concat();
    field(2, &action)
}

/// The daemon answers agents and people as if nothing had been.
async fn is_well(daemon: &Daemon) {
    let decision = daemon.agent().await.propose(propose("read", "crm")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Allow);
    daemon.row(&decision.decision_id).await;
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}

#[tokio::test]
async fn parameters_ten_thousand_deep_are_refused() {
    let daemon = Setup::new().args(&["--max-params-depth", "1000000"]).start();
    send(&daemon, PROPOSE, nested(10)).await.unwrap();
    for depth in [200, 10_000] {
        let status = send(&daemon, PROPOSE, nested(depth)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
        assert!(status.message().contains("recursion limit"), "{}", status.message());
        let field = &crate::harness::fields(&status)[0];
        assert!(field.starts_with("action.params.fields"), "{field}");
        assert!(status.message().len() < 2000, "{}", status.message());
    }
    is_well(&daemon).await;
}

#[tokio::test]
async fn bytes_that_are_no_message_are_refused() {
    let daemon = Setup::new().start();
    let action = |r#type: &[u8]| field(2, &field(1, r#type));
    for (what, bytes, path) in [
        ("no protobuf", vec![0xff; 64], None),
        ("cut off", action(b"read")[..5].to_vec(), Some("action")),
        ("not UTF-8", action(b"re\xffad"), Some("action.type")),
        ("another wire type", vec![2 << 3, 1], Some("action")),
        ("a length beyond the end", vec![2 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x0f], Some("action")),
        ("an endless varint", vec![0xff; 11], None),
    ] {
        let status = send(&daemon, PROPOSE, bytes).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "INVALID_REQUEST"),
            "{what}: {status:?}"
        );
        assert_eq!(crate::harness::fields(&status), path.into_iter().collect::<Vec<_>>(), "{what}: {status:?}");
    }
    // Fields of a later version are no reason to refuse.
    send(&daemon, PROPOSE, [action(b"read"), field(15, b"new")].concat()).await.unwrap();
    is_well(&daemon).await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_with_the_limit() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    let mut ask = propose("read", "crm");
    ask.action.as_mut().unwrap().params = params(serde_json::json!({"blob": "x".repeat(10 << 20)}));
    for _ in 0..3 {
        let status = agent.propose(ask.clone()).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::InvalidArgument, "MESSAGE_TOO_LARGE"),
            "{status:?}"
        );
        assert!(status.message().contains("4194304 bytes"), "{}", status.message());
        assert!(status.message().contains("--max-message-bytes"), "{}", status.message());
    }
    // The connection goes on.
    agent.propose(propose("read", "crm")).await.unwrap();

    let daemon = Setup::new().args(&["--max-message-bytes", "1000"]).start();
    ask.action.as_mut().unwrap().params = params(serde_json::json!({"blob": "x".repeat(1000)}));
    let status = daemon.agent().await.propose(ask).await.unwrap_err();
    assert_eq!(reason(&status), "MESSAGE_TOO_LARGE");
    is_well(&daemon).await;
}

#[tokio::test]
async fn an_error_with_a_thousand_reasons_still_reaches_the_client() {
    let daemon = Setup::new().start();
    let item = v1::EvaluateItem { actor: None, action: Some(v1::Action::default()) };
    let batch = v1::EvaluateRequest { items: vec![item; 1000], at: None, explain: false };
    let status = daemon.agent().await.evaluate(batch).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
    let fields = crate::harness::fields(&status);
    assert_eq!((fields[0].as_str(), fields.last().unwrap().as_str()), ("items[0].action.type", ""), "{fields:?}");
}

/// A connection to the main listener.
fn dial(daemon: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(daemon.endpoint.trim_start_matches("http://")).expect("the daemon listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream
}

/// What the daemon says before it closes the connection. A reset is an end as well.
fn until_closed(mut stream: impl std::io::Read) -> Vec<u8> {
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "it is closed"),
    }
    said
}

#[tokio::test]
async fn garbage_on_the_port_ends_that_connection_and_nothing_else() {
    let daemon = Setup::new().start();
    let http1 = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec();
    let tls = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[7; 64]].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let settings_on_a_stream = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 9]].concat();
    let endless_frame = [&preface[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0], &[0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat();
    for bytes in [vec![0; 1000], vec![0xff; 100_000], http1, tls, settings_on_a_stream, endless_frame] {
        let mut stream = dial(&daemon);
        // It may have heard enough before it was sent everything.
        let _ = stream.write_all(&bytes);
        until_closed(stream);
        let mut socket = UnixStream::connect(daemon.data_dir().join("aegis.sock")).unwrap();
        let _ = socket.write_all(&bytes);
        until_closed(socket);
    }
    is_well(&daemon).await;
}

#[tokio::test]
async fn who_does_not_speak_holds_no_place_for_long() {
    let daemon = Setup::new().args(&["--max-connections", "5"]).start();
    let silent: Vec<_> = (0..4).map(|_| dial(&daemon)).collect();
    let mut half = dial(&daemon);
    half.write_all(b"PRI * HTTP/2.0\r\n").unwrap();

    // Every place is taken: the first that said nothing makes way at once, and people have places of their own.
    let started = Instant::now();
    let mut agent = daemon.agent().await;
    agent.propose(propose("read", "crm")).await.unwrap();
    let mut silent = silent.into_iter();
    until_closed(silent.next().unwrap());
    assert!(started.elapsed().as_secs() < 5, "at once, not when somebody's time is over");
    daemon.logs("--max-connections").await;
    daemon.reviewer().await.list_approvals(v1::ListApprovalsRequest::default()).await.unwrap();

    // Their time is over long before a patient agent gives up.
    for stream in silent.chain([half]) {
        until_closed(stream);
    }
    is_well(&daemon).await;
}

#[tokio::test]
async fn who_proved_something_makes_no_way_and_a_place_that_is_given_back_can_be_taken() {
    use v1::governance_service_client::GovernanceServiceClient;

    let daemon = Setup::new().args(&["--max-connections", "2"]).start();
    let (secret, _) = daemon.token("robot", &[v1::Role::Agent]).await;
    let mut robots = Vec::new();
    for _ in 0..2 {
        let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
        robot.propose(propose("read", "crm")).await.unwrap();
        robots.push(robot);
    }
    assert!(until_closed(dial(&daemon)).is_empty(), "nobody makes way for it");
    for robot in &mut robots {
        robot.propose(propose("read", "crm")).await.expect("its connection goes on");
    }
    robots.pop();
    eventually("a connection is taken again", async || {
        let mut stream = dial(&daemon);
        stream.set_read_timeout(Some(std::time::Duration::from_millis(200))).unwrap();
        let mut byte = [0];
        // Closed at once where there is no place; where there is, the daemon waits, or says the first word.
        match stream.read(&mut byte) {
            Ok(count) => (count > 0).then_some(()),
            Err(error) => (error.kind() == std::io::ErrorKind::WouldBlock).then_some(()),
        }
    })
    .await;
    robots[0].propose(propose("read", "crm")).await.unwrap();
}

#[tokio::test]
async fn silent_connections_do_not_delay_the_end() {
    let mut daemon = Setup::new().args(&["--shutdown-grace", "1h"]).start();
    let silent: Vec<_> = (0..10).map(|_| dial(&daemon)).collect();
    is_well(&daemon).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    drop(silent);
}

#[tokio::test]
async fn a_message_of_many_small_values_takes_bounded_memory() {
    let daemon = Setup::new().start();
    // Two bytes each, and dozens once read.
    let list = field(6, &[1 << 3 | 2, 0].repeat(2_000_000));
    let entry = [field(1, b"a"), field(2, &list)].concat();
    let action = [field(1, b"read"), field(3, &field(1, &entry))].concat();
    let message = field(2, &action);
    // They are counted before they are decoded.
    let all = (0..8).map(|_| send(&daemon, PROPOSE, message.clone()));
    for answer in futures_util::future::join_all(all).await {
        let status = answer.unwrap_err();
        assert!(status.message().contains("more values than 200000"), "{status:?}");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 150 << 10, "{peak} kB");
    is_well(&daemon).await;
}
