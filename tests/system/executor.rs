//! The executor: allowed actions are sent to it, each at most once, and what it answers is on the record.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::harness::{Rest, Setup, eventually};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto, constraints: {max_rows: 10}, redact: [key]}
  - {name: deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

/// What an executor answers to its requests, one after another; the last one again and again.
struct Executor {
    url: String,
    /// The requests: their heads in lower case, and their bodies.
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    /// Lets an answer go that waits.
    go: Arc<Notify>,
}

/// An answer that is sent when the test says so.
const LATER: &str = "later";

impl Executor {
    async fn start(answers: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/run", listener.local_addr().unwrap());
        let (heard, go) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(Notify::new()));
        let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
        let (notes, goes) = (Arc::clone(&heard), Arc::clone(&go));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, notes, goes) = (answers.clone(), Arc::clone(&notes), Arc::clone(&goes));
                tokio::spawn(async move { answer(stream, &answers, &notes, &goes).await });
            }
        });
        Self { url, heard, go }
    }

    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().unwrap().clone()
    }
}

async fn answer(mut stream: TcpStream, answers: &[String], heard: &Mutex<Vec<(String, Value)>>, go: &Notify) {
    let mut request = Vec::new();
    let (preamble, body) = loop {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.unwrap();
        request.extend_from_slice(&some[..count]);
        let text = String::from_utf8_lossy(&request);
        if let Some((preamble, body)) = text.split_once("\r\n\r\n") {
            let preamble = preamble.to_lowercase();
            let length =
                preamble.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse::<usize>().unwrap();
            if body.len() >= length {
                break (preamble, serde_json::from_str(body).unwrap());
            }
        }
        assert!(count > 0, "the request broke off");
    };
    let count = {
        let mut heard = heard.lock().unwrap();
        heard.push((preamble, body));
        heard.len()
    };
    let answer = &answers[(count - 1).min(answers.len() - 1)];
    if answer == LATER {
        go.notified().await;
        return;
    }
    let (status, body) = answer.split_once('|').unwrap();
    let answer = format!(
        "HTTP/1.1 {status} x\r\nConnection: close\r\nLocation: /other\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // The daemon may have given up.
    let _ = stream.write_all(answer.as_bytes()).await;
}

#[tokio::test]
async fn an_allowed_action_is_sent_whole_with_its_decision_and_its_result_is_recorded() {
    let executor = Executor::start(&[r#"200|{"status": "success", "data": {"rows": [1, 2]}}"#]).await;
    let daemon = Setup::new().policy(POLICY).args(&["--executor-url", &executor.url]).start();
    let api = Rest::of(&daemon);
    let action = json!({
        "action_type": "read", "target": "crm", "params": {"key": "secret-key", "n": 1},
        "actor": {"id": "agent-7"}, "session_id": "s1"
    });
    let answer = api.post("/api/v1/execute", action).await;
    let decision_id = answer.headers["aegis-decision-id"].to_str().unwrap().to_owned();
    let executed = answer.ok();
    assert_eq!((&executed["status"], &executed["data"]), (&json!("success"), &json!({"rows": [1, 2]})));
    let heard = executor.heard();
    let (preamble, body) = &heard[0];
    assert!(preamble.starts_with("post /run http/1.1"), "{preamble}");
    assert!(preamble.contains(&format!("idempotency-key: {decision_id}")), "{preamble}");
    assert_eq!(
        body["action"],
        json!({"type": "read", "target": "crm", "params": {"key": "secret-key", "n": 1}, "description": ""})
    );
    assert_eq!((&body["actor"]["id"], &body["session_id"]), (&json!("agent-7"), &json!("s1")));
    let decision = &body["decision"];
    assert_eq!((&decision["decision_id"], &decision["matched_rule"]), (&json!(decision_id), &json!("reads")));
    assert_eq!(decision["constraints"], json!({"max_rows": 10}));

    let blocked = api.post("/api/v1/execute", json!({"action_type": "delete"})).await.ok();
    assert_eq!(
        (blocked["status"].as_str(), executor.heard().len()),
        (Some("blocked"), 1),
        "what is blocked is not sent"
    );
    let row = daemon.row(&decision_id).await;
    assert_eq!(crate::harness::result_of(&row), aegis::proto::v1::ResultStatus::Success);
    let recorded = daemon.events("result");
    assert_eq!(recorded[0]["report"]["data"], json!({"rows": [1, 2]}));
    assert!(recorded[0]["report"]["started_at"].is_string(), "{recorded:?}");
}

#[tokio::test]
async fn what_an_executor_refuses_has_failed_and_what_it_does_not_answer_is_unknown() {
    for (answer, status, says) in [
        (r#"200|{"status": "failed", "error": "no such table"}"#, "failed", "no such table"),
        ("503|busy", "failed", "503"),
        ("302|", "failed", "redirects are not followed"),
        ("200|not json", "unknown", "no JSON"),
        ("200|{\"a\": 9007199254740993}", "success", "cannot be recorded"),
        (LATER, "unknown", "may have run"),
    ] {
        let executor = Executor::start(&[answer]).await;
        let arguments = ["--executor-url", &executor.url, "--executor-timeout", "3s"];
        let daemon = Setup::new().policy(POLICY).args(&arguments).start();
        let executed = Rest::of(&daemon).post("/api/v1/execute", json!({"action_type": "read"})).await.ok();
        let error = executed["error"].as_str().unwrap_or_default();
        assert!(executed["status"] == status && error.contains(says), "{answer}: {executed}");
        assert_eq!(executor.heard().len(), 1, "{answer}: it is not sent again");
    }
    // Nobody is there.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let daemon = Setup::new().policy(POLICY).args(&["--executor-url", &format!("http://{gone}/run")]).start();
    let executed = Rest::of(&daemon).post("/api/v1/execute", json!({"action_type": "read"})).await.ok();
    assert_eq!(executed["status"], "failed", "{executed}");
}

#[tokio::test]
async fn an_idempotent_executor_is_asked_again_with_the_same_key() {
    let executor = Executor::start(&["503|", "429|", r#"200|{"status": "success"}"#]).await;
    let arguments = ["--executor-url", &executor.url, "--executor-idempotent"];
    let daemon = Setup::new().policy(POLICY).args(&arguments).start();
    let executed = Rest::of(&daemon).post("/api/v1/execute", json!({"action_type": "read"})).await.ok();
    assert_eq!(executed["status"], "success", "{executed}");
    let key = |preamble: &str| preamble.lines().find(|line| line.starts_with("idempotency-key")).unwrap().to_owned();
    let keys: Vec<_> = executor.heard().iter().map(|(preamble, _)| key(preamble)).collect();
    assert!(keys.len() == 3 && keys.iter().all(|other| *other == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn an_action_that_ran_while_the_daemon_was_killed_is_not_run_again() {
    let executor = Executor::start(&[LATER]).await;
    let arguments = ["--executor-url", &executor.url, "--unreported-after", "1ms"];
    let mut daemon = Setup::new().policy(POLICY).args(&arguments).start();
    let action = json!({"action_type": "read", "idempotency_key": "a key that nobody guesses", "wait": "0s"});
    let pending = Rest::of(&daemon).post("/api/v1/execute", action.clone()).await;
    assert_eq!((pending.status, &pending.body["status"]), (202, &json!("pending")));
    eventually("the action runs", async || (executor.heard().len() == 1).then_some(())).await;
    // A second call while it runs is the same action.
    let again = Rest::of(&daemon).post("/api/v1/execute", action.clone()).await;
    assert_eq!((again.status, executor.heard().len()), (202, 1));
    daemon.kill();
    let daemon = daemon.restart();
    let again = Rest::of(&daemon).post("/api/v1/execute", action).await.ok();
    assert_eq!((again["status"].as_str(), executor.heard().len()), (Some("unknown"), 1), "{again}");
    let decision_id = pending.headers["aegis-decision-id"].to_str().unwrap();
    assert_eq!(crate::harness::result_of(&daemon.row(decision_id).await), aegis::proto::v1::ResultStatus::Unknown);
    executor.go.notify_waiters();
}

#[tokio::test]
async fn an_executor_at_an_address_that_is_none_stops_the_start() {
    for (url, says) in [
        ("http://executor.example/run", "plain http to another machine"),
        ("ftp://127.0.0.1/", "neither https nor http"),
        ("https://executor.invalid/run", "has no address"),
    ] {
        let (status, said) = Setup::new().policy(POLICY).args(&["--executor-url", url]).refuse();
        assert!(!status.success() && said.contains(says), "{url}: {said}");
    }
}
