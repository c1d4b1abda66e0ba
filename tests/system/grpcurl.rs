//! The API as a person with grpcurl sees it: reflection is all that it needs.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::harness::{Daemon, Setup, stderr, stdout};

/// The real grpcurl. A run without it is no run of these tests.
fn grpcurl() -> Command {
    let path = match std::env::var_os("GRPCURL") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("target/tools/bin/grpcurl"),
    };
    assert!(path.exists(), "there is no grpcurl at {}: run tests/run, or tests/tools/install grpcurl", path.display());
    Command::new(path)
}

/// Calls the main listener, anonymously.
fn tcp(daemon: &Daemon, flags: &[&str], rest: &[&str]) -> (Option<i32>, String, String) {
    let address = daemon.endpoint.strip_prefix("http://").expect("the endpoint is a URL");
    let mut command = grpcurl();
    let output = command.arg("-plaintext").args(flags).arg(address).args(rest).output().expect("grpcurl runs");
    (output.status.code(), stdout(&output), stderr(&output))
}

fn ok(daemon: &Daemon, flags: &[&str], rest: &[&str]) -> String {
    let (code, out, err) = tcp(daemon, flags, rest);
    assert_eq!(code, Some(0), "grpcurl {flags:?} {rest:?}: {out}{err}");
    out
}

#[test]
fn it_lists_and_describes_the_api() {
    let daemon = Setup::new().start();
    let listed = ok(&daemon, &[], &["list"]);
    for service in [
        "aegis.v1.ApprovalService",
        "aegis.v1.AuditService",
        "aegis.v1.GovernanceService",
        "aegis.v1.PolicyService",
        "grpc.health.v1.Health",
    ] {
        assert!(listed.lines().any(|line| line == service), "{listed}");
    }
    let described = ok(&daemon, &[], &["describe", "aegis.v1.GovernanceService"]);
    assert!(described.contains("rpc Propose ( .aegis.v1.ProposeRequest ) returns ( .aegis.v1.ProposeResponse );"));
    let described = ok(&daemon, &[], &["describe", "aegis.v1.Decision"]);
    assert!(described.contains("string matched_rule = 6;"), "{described}");
    let health = ok(&daemon, &[], &["grpc.health.v1.Health/Check"]);
    assert!(health.contains("SERVING"), "{health}");
    let all: Value = serde_json::from_str(&ok(&daemon, &[], &["grpc.health.v1.Health/List"])).unwrap();
    for service in ["", "aegis.policy", "aegis.v1.GovernanceService"] {
        assert_eq!(all["statuses"][service]["status"], "SERVING", "{service}: {all}");
    }
    assert!(all["statuses"].get("aegis.dev").is_none(), "what is unknown is not listed: {all}");
}

#[test]
fn it_proposes_and_reads_why_it_may_not() {
    let daemon = Setup::new().start();
    let propose = "aegis.v1.GovernanceService/Propose";
    let action =
        r#"{"actor":{"id":"agent-7"},"action":{"type":"read_contacts","target":"crm","params":{"count":150}}}"#;
    let answer: Value = serde_json::from_str(&ok(&daemon, &["-d", action], &[propose])).unwrap();
    assert_eq!(answer["decision"]["outcome"], "OUTCOME_ALLOW");
    assert_eq!(answer["decision"]["matchedRule"], "read_auto");

    let (code, _, err) = tcp(&daemon, &["-d", r#"{"action":{"target":"crm"}}"#], &[propose]);
    assert_ne!(code, Some(0));
    for text in ["InvalidArgument", "action.type: must not be empty", "INVALID_REQUEST", "google.rpc.BadRequest"] {
        assert!(err.contains(text), "no `{text}` in {err}");
    }
    assert!(err.contains(r#""field": "action.type""#), "details are readable: {err}");

    let (code, _, err) = tcp(&daemon, &[], &["aegis.v1.ApprovalService/ListApprovals"]);
    assert_ne!(code, Some(0));
    assert!(err.contains("Unauthenticated") && err.contains("CREDENTIAL_REQUIRED"), "{err}");
    let credential = std::fs::read_to_string(daemon.data_dir().join("credential")).unwrap();
    let header = format!("authorization: Bearer {}", credential.trim());
    ok(&daemon, &["-H", &header], &["aegis.v1.ApprovalService/ListApprovals"]);
}

/// A running grpcurl, killed when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The messages of a stream, which grpcurl prints as JSON, one after the other.
fn messages(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut lines = BufReader::new(stdout).lines().map(|line| line.expect("a line of text"));
    std::iter::from_fn(move || {
        let mut text = String::new();
        for line in lines.by_ref() {
            let is_last = line == "}";
            text.push_str(&line);
            if is_last {
                return Some(serde_json::from_str(&text).expect("a message is JSON"));
            }
        }
        None
    })
}

#[test]
fn it_streams_approvals_over_the_private_socket() {
    let daemon = Setup::new().start();
    let propose = |target: &str| {
        let action = format!(r#"{{"action":{{"type":"bulk_update","target":"{target}"}}}}"#);
        let answer = ok(&daemon, &["-d", &action], &["aegis.v1.GovernanceService/Propose"]);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["decision"]["outcome"], "OUTCOME_ESCALATE");
        answer["decision"]["approvalId"].as_str().unwrap().to_owned()
    };
    let first = propose("first");

    // As README has it.
    let mut command = grpcurl();
    command.args(["-plaintext", "-unix"]).arg(daemon.data_dir().join("aegis.sock"));
    command.arg("aegis.v1.ApprovalService/StreamApprovals").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut running = Running(command.spawn().unwrap());
    let mut messages = messages(&mut running.0);

    let snapshot = messages.next().unwrap();
    assert_eq!(snapshot["pending"]["approvalId"], first.as_str(), "{snapshot}");
    let marker = messages.next().unwrap();
    assert_eq!(marker["snapshotComplete"]["count"], 1, "{marker}");
    let second = propose("second");
    let change = messages.find(|message| message.get("heartbeat").is_none()).unwrap();
    assert_eq!(change["pending"]["approvalId"], second.as_str(), "{change}");
}
