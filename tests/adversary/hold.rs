//! What holds when somebody tries: calls that are sent by halves, connections beyond number, files that are no files.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use futures_util::stream;
use prost::Message as _;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;

use crate::attack::{PROPOSE, half, half_until};
use crate::cage::peak_mib;
use crate::harness::{
    Agent, DEADLINE, Daemon, Setup, Shim, eventually, get, params, propose, reason, refusal, with_token,
};
use crate::honest::raise_own_limit;

const READS: &str = "rules:\n  - {name: reads, match: {type: read}, risk_level: low, approval: auto}\n";

/// The beginning of a message of so many bytes, and half of it.
fn message(bytes: u32) -> Vec<u8> {
    let mut begun = vec![0];
    begun.extend(bytes.to_be_bytes());
    begun.resize(5 + bytes as usize / 2, 0);
    begun
}

fn large(bytes: usize) -> v1::ProposeRequest {
    let mut request = propose("read", "crm");
    request.action.as_mut().unwrap().params = params(serde_json::json!({"text": "x".repeat(bytes)}));
    request
}

/// Sends what is large, and looks for an answer of this kind.
fn send_large<T>(
    agent: &Agent,
    wanted: impl FnOnce(Result<tonic::Response<v1::ProposeResponse>, Status>) -> Option<T>,
) -> impl Future<Output = Option<T>> {
    let mut agent = agent.clone();
    async move { wanted(agent.propose(large(90_000)).await) }
}

#[tokio::test]
async fn a_call_that_is_sent_by_half_ends_in_time_whatever_it_calls() {
    let daemon = Setup::new().policy(READS).args(&["--receive-timeout", "600ms"]).start();
    let (main, private) = (daemon.tcp().await, daemon.socket().await);
    for (channel, method) in [
        (&main, PROPOSE),
        (&main, "/grpc.health.v1.Health/Check"),
        (&main, "/grpc.health.v1.Health/Watch"),
        (&private, "/aegis.v1.ApprovalService/StreamApprovals"),
        (&private, "/aegis.v1.ApprovalService/ListApprovals"),
    ] {
        for begun in [Vec::new(), vec![0, 0, 0], message(1000)] {
            let ended = tokio::time::timeout(DEADLINE, half(channel, method, begun)).await.expect(method);
            assert_eq!(
                refusal(&ended),
                (Code::DeadlineExceeded, "DEADLINE_EXCEEDED".to_owned()),
                "{method}: {ended:?}"
            );
            assert!(ended.message().contains("--receive-timeout"), "{}", ended.message());
        }
    }
    GovernanceServiceClient::new(main).propose(propose("read", "crm")).await.expect("the connection goes on");
}

#[tokio::test]
async fn a_message_that_announces_too_much_is_refused_before_it_is_sent() {
    let daemon = Setup::new().policy(READS).start();
    let main = daemon.tcp().await;
    let refused = half(&main, PROPOSE, message(5 << 20)[..100].to_vec()).await;
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "MESSAGE_TOO_LARGE".to_owned()), "{refused:?}");
    let refused = half(&main, "/grpc.health.v1.Health/Check", message(1 << 20)[..100].to_vec()).await;
    assert_eq!(refusal(&refused), (Code::InvalidArgument, "MESSAGE_TOO_LARGE".to_owned()), "{refused:?}");
}

#[tokio::test]
async fn bytes_that_are_arriving_are_bounded_and_callers_with_a_credential_have_their_own_room() {
    use tonic_types::StatusExt as _;

    let limits = ["--max-receiving-bytes", "300000", "--max-message-bytes", "100000", "--receive-timeout", "1h"];
    let daemon = Setup::new().policy(READS).args(&limits).start();
    let (secret, _) = daemon.token("robot", &[v1::Role::Agent]).await;
    let given_up = CancellationToken::new();
    for _ in 0..3 {
        let (channel, given_up) = (daemon.tcp().await, given_up.clone());
        let begun = [message(99_000), vec![0; 40_000]].concat();
        // Again where a large call below took the room first.
        tokio::spawn(async move {
            while reason(&half_until(&channel, PROPOSE, begun.clone(), given_up.clone()).await) == "TOO_MANY_BYTES" {}
        });
    }
    let mut agent = daemon.agent().await;
    let full = eventually("the room is taken", || send_large(&agent, Result::err)).await;
    assert_eq!(refusal(&full), (Code::ResourceExhausted, "TOO_MANY_BYTES".to_owned()), "{full:?}");
    assert!(full.message().contains("--max-receiving-bytes"), "{}", full.message());
    assert!(full.get_details_retry_info().is_some(), "{full:?}");
    agent.propose(propose("read", "small")).await.expect("what is small still finds room");
    let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
    robot.propose(large(90_000)).await.expect("a credential has room of its own");
    daemon.reviewer().await.list_approvals(v1::ListApprovalsRequest::default()).await.expect("so has a reviewer");

    // Over one connection there is less than for all.
    let channel = daemon.socket().await;
    let mut of_one = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let channel = channel.clone();
        let begun = [message(99_000), vec![0; 40_000]].concat();
        of_one.spawn(async move { half(&channel, "/aegis.v1.PolicyService/ValidatePolicy", begun).await });
    }
    let refused = of_one.join_next().await.unwrap().unwrap();
    assert_eq!(refusal(&refused), (Code::ResourceExhausted, "TOO_MANY_BYTES".to_owned()), "{refused:?}");

    // What is given up is given back.
    given_up.cancel();
    eventually("there is room again", || send_large(&agent, Result::ok)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_calls_that_never_send_their_message_take_bounded_memory() {
    const CONNECTIONS: usize = 10;
    const CALLS: usize = 1500;
    let daemon = Setup::new().policy(READS).args(&["--max-receiving-bytes", "4000000"]).start();
    let mut halves = tokio::task::JoinSet::new();
    for _ in 0..CONNECTIONS {
        let channel = daemon.tcp().await;
        for _ in 0..CALLS {
            let channel = channel.clone();
            halves.spawn(async move { half(&channel, PROPOSE, vec![0, 0, 1, 0, 0]).await });
        }
    }
    // More than fit: those are refused at once, and the others wait.
    let mut refused = 0;
    while refused < CONNECTIONS * CALLS - 4000 {
        let ended = halves.join_next().await.expect("more are refused").unwrap();
        assert_eq!(reason(&ended), "TOO_MANY_BYTES", "{ended:?}");
        refused += 1;
    }
    assert!(peak_mib(&daemon) < 100, "{} MiB", peak_mib(&daemon));
}

#[tokio::test]
async fn health_and_reflection_have_few_calls_over_a_connection_that_proved_nothing() {
    let daemon = Setup::new().policy(READS).args(&["--max-open-calls-per-connection", "4"]).start();
    let channel = daemon.tcp().await;
    let mut health = HealthClient::new(channel.clone());
    let mut watching = Vec::new();
    for _ in 0..4 {
        watching.push(health.watch(HealthCheckRequest::default()).await.unwrap());
    }
    let full = health.check(HealthCheckRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&full), (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned()), "{full:?}");
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    assert_eq!(reason(&half(&channel, reflection, Vec::new()).await), "TOO_MANY_STREAMS");
    GovernanceServiceClient::new(channel.clone()).propose(propose("read", "crm")).await.expect("agents are answered");
    let mut other = HealthClient::new(daemon.tcp().await);
    other.check(HealthCheckRequest::default()).await.expect("another connection has its own");

    watching.pop();
    eventually("a place is free again", || {
        let mut health = health.clone();
        async move { health.check(HealthCheckRequest::default()).await.ok() }
    })
    .await;
    let mut private = HealthClient::new(daemon.socket().await);
    for _ in 0..20 {
        watching.push(private.watch(HealthCheckRequest::default()).await.expect("its own user may have more"));
    }
}

#[tokio::test]
async fn one_stream_of_reflection_takes_few_bytes_however_valid_its_requests_are() {
    const REQUESTS: usize = 4_000;
    let daemon = Setup::new().policy(READS).start();
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol("aegis.v1.GovernanceService".to_owned())),
    };
    let bytes = request.encoded_len() + 5;
    assert!(REQUESTS * bytes > 2 * (64 << 10), "more than one stream may send");
    let mut client = ServerReflectionClient::new(daemon.tcp().await);
    let requests = stream::iter(std::iter::repeat_n(request.clone(), REQUESTS));
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    let mut answered = 0;
    // tonic's reflection ends its answers where the requests break off.
    while let Ok(Some(_)) = answers.message().await {
        answered += 1;
    }
    let taken = answered * bytes;
    assert!(answered > 100 && taken <= 64 << 10, "{answered} of {REQUESTS} answered, {taken} bytes taken");
    // A new stream has its own bound, and one connection may open few of them.
    let requests = stream::iter([request]);
    let mut answers = client.server_reflection_info(requests).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
}

fn dial(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address.trim_start_matches("http://")).expect("the daemon listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout can be set");
    stream
}

#[tokio::test]
async fn connections_beyond_the_descriptors_keep_nobody_from_the_private_socket_and_the_probes() {
    raise_own_limit();
    let daemon = Setup::new().policy(READS).args(&["--admin-listen", "127.0.0.1:0"]).descriptors(256, 1024).start();
    daemon.logs("connections that may be open").await;
    assert!(daemon.log().contains("1024"), "the limit is raised as far as it may be: {}", daemon.log());
    let probes = daemon.probes().await;
    let idle: Vec<_> = (0..1100).map(|_| dial(&daemon.endpoint)).collect();
    daemon.logs("--max-connections are open already").await;
    daemon.reviewer().await.list_approvals(v1::ListApprovalsRequest::default()).await.expect("a reviewer gets in");
    assert_eq!(get(&format!("{probes}/live")).0, "HTTP/1.1 200 OK");
    let lines = daemon.log().matches("--max-connections are open already").count();
    assert!(lines <= 10, "{lines} lines of log for {} connections", idle.len());
    assert!(!daemon.log().contains("could not be accepted"), "{}", daemon.log());
}

#[tokio::test]
async fn a_process_that_may_open_too_few_files_says_so_and_does_not_start() {
    let (status, said) = Setup::new().policy(READS).descriptors(100, 100).refuse();
    assert!(!status.success() && said.contains("ulimit -Hn") && said.contains("100 files"), "{said}");
}

#[tokio::test]
async fn the_admin_listener_takes_few_connections_and_none_that_says_nothing() {
    let args = ["--admin-listen", "127.0.0.1:0", "--handshake-timeout", "1s"];
    let daemon = Setup::new().policy(READS).args(&args).start();
    let probes = daemon.probes().await;
    let idle: Vec<_> = (0..40).map(|_| dial(&probes)).collect();
    daemon.logs("as many connections as the admin listener takes").await;
    for mut silent in idle {
        let mut said = Vec::new();
        // A reset is an end as well.
        if let Err(error) = silent.read_to_end(&mut said) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
        }
    }
    let mut slow = dial(&probes);
    slow.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").unwrap();
    let mut said = String::new();
    slow.read_to_string(&mut said).expect("it is closed");
    assert!(!said.contains("200 OK"), "{said}");
    assert_eq!(get(&format!("{probes}/live")).0, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn the_admin_listener_on_loopback_answers_to_no_name_of_a_web_page() {
    let daemon = Setup::new().policy(READS).args(&["--admin-listen", "127.0.0.1:0"]).start();
    let probes = daemon.probes().await;
    let ask = |host: &str| {
        let mut stream = dial(&probes);
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    for host in ["evil.example", "evil.example:9464", "localhost.evil.example", "127.0.0.1.evil.example"] {
        let answer = ask(host);
        assert!(answer.starts_with("HTTP/1.1 421") && !answer.contains("aegis_"), "{host}: {answer}");
    }
    for host in ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "10.1.2.3:9464"] {
        assert!(ask(host).starts_with("HTTP/1.1 200"), "{host}");
    }
}

#[tokio::test]
async fn a_file_in_the_place_of_a_socket_is_left_alone() {
    let setup = Setup::new().policy(READS);
    let notes = setup.home().join("notes.txt");
    fs::write(&notes, "mine").unwrap();
    let link = setup.home().join("link");
    std::os::unix::fs::symlink(&notes, &link).unwrap();
    for path in [&notes, &link, &setup.home().to_owned()] {
        let home = setup.keep();
        let mut command = setup.command();
        let output = command.args(["--uds", path.to_str().unwrap()]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("is no socket"), "{said}");
        assert_eq!(fs::read_to_string(home.path().join("notes.txt")).unwrap(), "mine");
    }
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
}

#[tokio::test]
async fn a_socket_that_a_dead_daemon_left_is_replaced_and_only_ones_own_is_removed() {
    let setup = Setup::new().policy(READS);
    let path = setup.home().join("agent.sock");
    drop(UnixListener::bind(&path).unwrap());
    let mut daemon = setup.args(&["--uds", path.to_str().unwrap()]).start();
    UnixStream::connect(&path).expect("it listens there");
    // Another has its place by the time that the daemon ends.
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    daemon.terminate();
    assert!(daemon.ended().await.success());
    UnixStream::connect(&path).expect("the other one is still there");
    let private = daemon.data_dir().join("aegis.sock");
    assert!(!private.exists(), "its own is gone");

    fs::remove_file(&path).unwrap();
    let mut daemon = daemon.restart();
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    daemon.terminate();
    assert!(daemon.ended().await.success());
    assert!(!path.exists(), "its own is gone");
}

#[tokio::test]
async fn a_path_that_is_too_long_for_a_socket_is_refused_in_clear_words() {
    let path = format!("/tmp/{}", "x".repeat(200));
    let (status, said) = Setup::new().policy(READS).args(&["--uds", &path]).refuse();
    assert!(!status.success() && said.contains("205 bytes") && said.contains("choose a shorter one"), "{said}");
}

fn fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_configured_file_is_an_error_at_start() {
    let setup = Setup::new().policy(READS);
    let identities = setup.home().join("identities.yaml");
    fifo(&identities);
    let policy = setup.home().join("policy.yaml");
    let (status, said) = Setup::new().args(&["--auth", identities.to_str().unwrap()]).refuse();
    assert!(!status.success() && said.contains("identities.yaml") && said.contains("a pipe (FIFO)"), "{said}");
    fs::remove_file(&policy).unwrap();
    fifo(&policy);
    let (status, said) = setup.refuse();
    assert!(!status.success() && said.contains("policy.yaml") && said.contains("a pipe (FIFO)"), "{said}");
}

#[tokio::test]
async fn a_pipe_in_the_place_of_a_configured_file_changes_nothing_while_calls_go_on() {
    let setup = Setup::new().policy(READS).args(&["--admin-listen", "127.0.0.1:0"]);
    let identities = setup.home().join("identities.yaml");
    fs::write(&identities, "version: 1\n").unwrap();
    let daemon = setup.args(&["--auth", identities.to_str().unwrap()]).start();
    let mut agent = daemon.agent().await;
    for file in [daemon.policy_file(), identities] {
        let new = file.with_extension("new");
        fifo(&new);
        fs::rename(&new, &file).unwrap();
    }
    for metric in ["aegis_policy_rejected", "aegis_identities_rejected"] {
        eventually(metric, async || (daemon.metric(metric).await == "1").then_some(())).await;
        agent.propose(propose("read", "crm")).await.expect("the last good policy stays in force");
    }
    assert!(daemon.log().contains("a pipe (FIFO)"), "{}", daemon.log());
    eventually("health says so", async || {
        let status = daemon.health("aegis.policy").await;
        (status == Some(tonic_health::ServingStatus::NotServing)).then_some(())
    })
    .await;
    // What is right again is taken.
    fs::remove_file(daemon.policy_file()).unwrap();
    fs::write(daemon.policy_file(), READS.replace("reads", "again")).unwrap();
    eventually("it is taken", async || (daemon.metric("aegis_policy_rejected").await == "0").then_some(())).await;
}

#[tokio::test]
async fn a_file_system_that_hangs_changes_nothing_while_calls_go_on() {
    let (setup, shim) = Shim::below(Setup::new().policy(READS).args(&["--admin-listen", "127.0.0.1:0"]));
    let mut daemon = setup.start();
    let mut agent = daemon.agent().await;
    let threads = |daemon: &Daemon| fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count();
    shim.hang_configured(true);
    // Looked at now and not at the next poll.
    assert!(Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap().success());
    eventually("it is said", || {
        let (mut agent, said) = (agent.clone(), daemon.log().contains("its file system does not answer"));
        async move {
            agent.propose(propose("read", "crm")).await.expect("calls go on");
            said.then_some(())
        }
    })
    .await;
    assert_eq!(daemon.metric("aegis_policy_rejected").await, "1");
    let before = threads(&daemon);
    for _ in 0..5 {
        assert!(Command::new("kill").args(["-HUP", &daemon.pid().to_string()]).status().unwrap().success());
        agent.propose(propose("read", "crm")).await.expect("calls go on");
    }
    assert!(threads(&daemon) <= before + 1, "one reader at a time: {} and {}", before, threads(&daemon));
    shim.hang_configured(false);
    eventually("it is read again", async || (daemon.metric("aegis_policy_rejected").await == "0").then_some(())).await;
    shim.hang_configured(true);
    daemon.terminate();
    assert!(daemon.ended().await.success(), "what hangs does not keep the daemon from ending");
}

const DAY: i64 = 24 * 60 * 60;

#[tokio::test]
async fn a_clock_that_jumped_ahead_retires_nothing_before_somebody_confirms_it() {
    let args = ["--retain", "90d", "--unreported-after", "1ms", "--admin-listen", "127.0.0.1:0"];
    let (setup, shim) = Shim::below(Setup::new().policy(READS).args(&args));
    let daemon = setup.start();
    let mut agent = daemon.agent().await;
    for n in 0..300 {
        agent.propose(propose("read", &n.to_string())).await.unwrap();
    }
    assert_eq!(daemon.health("aegis.retention").await, Some(tonic_health::ServingStatus::Serving));
    shim.clock_ahead(100 * DAY);
    // A second start finds no gap before itself: the first one is remembered.
    let mut daemon = daemon.restart();
    for _ in 0..2 {
        daemon.logs("--confirm-clock").await;
        assert_eq!(daemon.metric("aegis_retention_held").await, "1");
        eventually("health says so", async || {
            let status = daemon.health("aegis.retention").await;
            (status == Some(tonic_health::ServingStatus::NotServing)).then_some(())
        })
        .await;
        assert!(daemon.events("records_retired").is_empty());
        daemon = daemon.restart();
    }
    daemon.logs("--confirm-clock").await;
    let log = daemon.log();
    let since = log.split("--confirm-clock ").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let wrong = [&args[..], &["--confirm-clock", "2020-01-01T00:00:00Z"]].concat();
    let daemon = daemon.restart_with(&wrong);
    daemon.logs("--confirm-clock").await;
    assert!(daemon.events("records_retired").is_empty(), "that is another gap");

    let daemon = daemon.restart_with(&[&args[..], &["--confirm-clock", &since]].concat());
    eventually("what is old is retired", || {
        let events = daemon.events("records_retired");
        async move { (!events.is_empty()).then_some(()) }
    })
    .await;
    assert_eq!(daemon.metric("aegis_retention_held").await, "0");
}

#[tokio::test]
async fn a_daemon_that_was_stopped_for_less_than_a_day_retires_as_ever() {
    let (setup, shim) = Shim::below(Setup::new().policy(READS).args(&["--retain", "20h", "--unreported-after", "1ms"]));
    let daemon = setup.start();
    let mut agent = daemon.agent().await;
    for n in 0..300 {
        agent.propose(propose("read", &n.to_string())).await.unwrap();
    }
    shim.clock_ahead(23 * 60 * 60);
    let daemon = daemon.restart();
    eventually("what is old is retired", || {
        let events = daemon.events("records_retired");
        async move { (!events.is_empty()).then_some(()) }
    })
    .await;
}
