//! The REST API: what it reads, what it refuses and in which words, and how an action is executed.

use serde_json::{Value, json};

use crate::harness::{Answered, Daemon, Rest, Setup, eventually};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: mails, match: {type: mail}, approval: confirm}
  - {name: deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

#[tokio::test]
async fn one_action_is_answered_with_an_object_and_a_list_with_a_list() {
    let daemon = Setup::new().policy(POLICY).start();
    for api in [Rest::of(&daemon), Rest::over_http2(&daemon)] {
        let read = json!({"action_type": "read", "target": "crm"});
        assert!(api.post("/api/v1/evaluate", read.clone()).await.ok().is_object());
        for list in [json!({"actions": [read]}), json!([read])] {
            let answer = api.post("/api/v1/evaluate", list.clone()).await.ok();
            assert_eq!(answer.as_array().map(Vec::len), Some(1), "{list}: {answer}");
            let answer = api.post("/api/v1/execute", list.clone()).await.ok();
            assert_eq!(answer.as_array().map(Vec::len), Some(1), "{list}: {answer}");
        }
        let aliased = api.post("/api/v1/evaluate", json!({"type": "read"})).await.ok();
        assert_eq!(aliased["matched_rule"], "reads");
        for path in ["/api/v1/evaluate", "/api/v1/execute"] {
            let none = api.post(path, json!({"actions": []})).await;
            assert_eq!((none.problem(), none.fields()), ((400, "INVALID_REQUEST"), vec!["actions"]), "{path}");
        }
    }
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_request_is_said_at_once_in_its_own_words() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    for (path, body, fields) in [
        ("evaluate", json!({}), vec!["action_type"]),
        ("evaluate", json!({"action_type": 5, "targt": "crm"}), vec!["action_type", "targt"]),
        ("evaluate", json!({"action_type": "a\u{0}", "target": "\u{202e}"}), vec!["action_type", "target"]),
        ("evaluate", json!({"action_type": "a", "params": {"n": [9_007_199_254_740_993_u64]}}), vec!["params.n[0]"]),
        (
            "evaluate",
            json!({"actions": [{"action_type": "a"}, {"action_type": " b"}, {}]}),
            vec!["actions[1].action_type", "actions[2].action_type"],
        ),
        ("evaluate", json!([{"action_type": "a", "params": []}]), vec!["[0].params"]),
        ("evaluate", json!("read"), vec![""]),
        ("evaluate", json!({"action_type": "a", "actor": ["id", "type"]}), vec!["actor"]),
        ("execute", json!({"action_type": "", "wait": "soon"}), vec!["wait"]),
        ("execute", json!({"action_type": "a", "wait": "2h"}), vec!["wait"]),
        ("execute", json!({"action_type": "a", "session_id": "\u{0}", "metadata": null}), vec!["metadata"]),
        (
            "governance/propose",
            json!({"action": {"parameters": {"a": 1e300}}}),
            vec!["action.capability", "action.parameters.a"],
        ),
        (
            "governance/propose",
            json!({"action": {"capability": "a"}, "context": {"sesion": "x"}, "wait": 5}),
            vec!["context.sesion", "wait"],
        ),
    ] {
        let answer = api.post(&format!("/api/v1/{path}"), body.clone()).await;
        assert_eq!(
            (answer.problem(), answer.fields()),
            ((400, "INVALID_REQUEST"), fields),
            "{body}: {:#}",
            answer.body
        );
        assert!(answer.body["detail"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(answer.body["title"].as_str().is_some_and(|text| text.starts_with("Fields of the request are wrong")));
    }
    for (body, says) in [
        ("{\"action_type\": ", "not JSON"),
        ("{\"action_type\": \"a\", \"action_type\": \"b\"}", "given twice"),
        ("[1, 2", "not JSON"),
        ("{\"action_type\": 1e400}", "not JSON"),
    ] {
        let answer = api.send(http::Method::POST, "/api/v1/evaluate", body).await;
        assert_eq!(answer.problem(), (400, "INVALID_REQUEST"), "{body}");
        assert!(answer.body["detail"].as_str().unwrap().contains(says), "{body}: {:#}", answer.body);
    }
    let latin = api.send(http::Method::POST, "/api/v1/evaluate", &b"{\"action_type\": \"\xe9\"}"[..]).await;
    assert_eq!(latin.problem(), (400, "INVALID_REQUEST"));
    assert!(daemon.rows().await.is_empty(), "nothing of it was taken");
}

#[tokio::test]
async fn a_wrong_filter_is_refused_and_never_answered_with_everything() {
    let daemon = Setup::new().policy(POLICY).args(&["--dev"]).start();
    let api = Rest::of(&daemon);
    for (query, fields) in [
        ("risk_level=severe", vec!["risk_level"]),
        ("risk_level=low&risk_level=severe", vec!["risk_level[1]"]),
        ("risklevel=HIGH", vec!["risklevel"]),
        ("limit=-1&since=yesterday", vec!["limit"]),
        ("since=yesterday&until=%", vec!["since", "until"]),
        ("decision_id=dec_1", vec!["decision_id"]),
        ("session_id=a&session_id=b", vec!["session_id"]),
    ] {
        let answer = api.get(&format!("/api/v1/audit?{query}")).await;
        assert_eq!((answer.problem(), answer.fields()), ((400, "INVALID_REQUEST"), fields), "{query}");
    }
    api.post("/api/v1/execute", json!({"action_type": "read", "session_id": "a b/ä"})).await.ok();
    for query in
        ["risk_level=low", "session_id=a%20b%2f%C3%A4", "session_id=a+b/%C3%A4", "since=1h", "until=2100-01-01"]
    {
        let rows = api.get(&format!("/api/v1/audit?{query}")).await.ok();
        assert_eq!(rows.as_array().map(Vec::len), Some(1), "{query}");
    }
}

#[tokio::test]
async fn a_path_answers_to_its_own_methods_and_says_which() {
    let daemon = Setup::new().args(&["--dev"]).start();
    let api = Rest::of(&daemon);
    for (method, path, status, allow) in [
        (http::Method::DELETE, "/api/v1/policy", 405, Some("GET, PUT")),
        (http::Method::OPTIONS, "/api/v1/evaluate", 405, Some("POST")),
        (http::Method::POST, "/health", 405, Some("GET")),
        (http::Method::GET, "/api/v1/nothing", 404, None),
        (http::Method::GET, "/api/v1/policy/", 404, None),
        (http::Method::GET, "/nothing", 404, None),
    ] {
        let answer = api.send(method.clone(), path, "").await;
        assert_eq!(answer.problem(), (status, "UNKNOWN_METHOD"), "{method} {path}");
        let said = answer.headers.get("allow").map(|methods| methods.to_str().unwrap());
        assert_eq!(said, allow, "{method} {path}");
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
    let head = api.send(http::Method::HEAD, "/health", "").await;
    assert_eq!((head.status, head.body), (200, json!("")));
}

#[tokio::test]
async fn pages_of_other_sites_and_names_of_other_machines_are_refused_on_every_path() {
    let daemon = Setup::new().policy(POLICY).args(&["--dev", "--allowed-host", "aegis.example"]).start();
    let authority = daemon.endpoint.strip_prefix("http://").unwrap().to_owned();
    let read = json!({"action_type": "read"});
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("host", "evil.example"),
        ("host", "localhost.evil.example"),
    ] {
        for api in [Rest::of(&daemon).with(name, value), Rest::over_http2(&daemon).with(name, value)] {
            for answer in
                [api.post("/api/v1/execute", read.clone()).await, api.get("/health").await, api.get("/").await]
            {
                assert_eq!(answer.problem(), (403, "CROSS_ORIGIN"), "{name}: {value}");
            }
        }
    }
    assert!(daemon.rows().await.is_empty());
    for (name, value) in [
        ("origin", format!("http://{authority}")),
        ("sec-fetch-site", "none".to_owned()),
        ("host", "aegis.example".to_owned()),
        ("host", "localhost:1".to_owned()),
    ] {
        Rest::of(&daemon).with(name, &value).post("/api/v1/execute", read.clone()).await.ok();
    }
}

/// The open question of a daemon's only proposal.
async fn question(daemon: &Daemon) -> Value {
    let mut reviewer = daemon.reviewer().await;
    let approval = eventually("a pending approval", || {
        let mut reviewer = reviewer.clone();
        async move {
            reviewer
                .list_approvals(aegis::proto::v1::ListApprovalsRequest::default())
                .await
                .ok()?
                .into_inner()
                .approvals
                .pop()
        }
    })
    .await;
    let _ = &mut reviewer;
    json!({"approval_id": approval.approval_id, "action_digest": approval.action_digest})
}

async fn answer(daemon: &Daemon, question: &Value, approve: bool) {
    let mut reviewer = daemon.reviewer().await;
    let text = |name: &str| question[name].as_str().unwrap().to_owned();
    let (approval_id, expected_action_digest) = (text("approval_id"), text("action_digest"));
    if approve {
        let reason = "fine".into();
        reviewer
            .approve(aegis::proto::v1::ApproveRequest { approval_id, expected_action_digest, reason })
            .await
            .unwrap();
    } else {
        let reason = "no".into();
        reviewer.deny(aegis::proto::v1::DenyRequest { approval_id, expected_action_digest, reason }).await.unwrap();
    }
}

/// What became of an execution that was pending, asked at the place that the answer names.
async fn later(api: &Rest, pending: &Answered) -> Value {
    assert_eq!((pending.status, &pending.body["status"]), (202, &json!("pending")), "{:#}", pending.body);
    let place = pending.headers["location"].to_str().unwrap();
    api.get(&format!("{place}?wait=1m")).await.ok()
}

#[tokio::test]
async fn execute_waits_for_the_reviewer_and_tells_the_result() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    for (approve, status) in [(true, "success"), (false, "denied")] {
        let waiting = {
            let api = api.clone();
            tokio::spawn(async move {
                api.post("/api/v1/execute", json!({"action_type": "pay", "params": {"n": 1}})).await.ok()
            })
        };
        answer(&daemon, &question(&daemon).await, approve).await;
        let executed = waiting.await.unwrap();
        assert_eq!(executed["status"], status, "{executed}");
    }
    let rows = daemon.rows().await;
    let results: Vec<_> = rows.iter().map(|row| crate::harness::result_of(row).as_str_name()).collect();
    assert_eq!(results, ["RESULT_STATUS_SUCCESS", "RESULT_STATUS_DENIED"]);
}

#[tokio::test]
async fn after_the_wait_the_action_goes_on_and_its_result_is_found_at_the_decision() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    let pending = api.post("/api/v1/execute", json!({"action_type": "pay", "wait": "0s"})).await;
    assert_eq!(pending.body["decision"]["outcome"], "ESCALATE", "{:#}", pending.body);
    answer(&daemon, &question(&daemon).await, true).await;
    let decision = later(&api, &pending).await;
    assert_eq!(
        (&decision["result"]["status"], &decision["result"]["data"]),
        (&json!("success"), &json!({"executed": true}))
    );

    // The daemon runs the action, so its result is no business of the agent's.
    let report = aegis::proto::v1::ReportResultRequest {
        decision_id: decision["decision_id"].as_str().unwrap().to_owned(),
        result: Some(aegis::proto::v1::ActionResult {
            status: aegis::proto::v1::ResultStatus::Failed.into(),
            ..Default::default()
        }),
    };
    let refused = daemon.agent().await.report_result(report).await.unwrap_err();
    assert_eq!(crate::harness::reason(&refused), "NOT_REPORTABLE");
}

#[tokio::test]
async fn a_repeated_execute_with_the_same_key_is_one_action() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    let read = json!({"action_type": "read", "idempotency_key": "a key that nobody guesses"});
    for _ in 0..3 {
        let executed = api.post("/api/v1/execute", read.clone()).await.ok();
        assert_eq!((&executed["status"], &executed["data"]), (&json!("success"), &json!({"executed": true})));
    }
    let ask = json!({"action_type": "pay", "idempotency_key": "another key that nobody guesses", "wait": "0s"});
    let first = api.post("/api/v1/execute", ask.clone()).await;
    let again = api.post("/api/v1/execute", ask).await;
    assert_eq!(first.headers["aegis-decision-id"], again.headers["aegis-decision-id"]);
    assert_eq!(daemon.rows().await.len(), 2);
    // A proposal with the same key is another thing: an agent must not run what the daemon runs.
    let propose = json!({"action": {"capability": "read"}, "idempotency_key": "a key that nobody guesses"});
    let decision = api.post("/api/v1/governance/propose", propose).await.ok();
    assert_eq!((&decision["outcome"], &decision["replayed"]), (&json!("ALLOW"), &json!(false)));
}

#[tokio::test]
async fn what_the_agents_user_must_confirm_is_executed_once_they_have() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    let asked = api.post("/api/v1/execute", json!({"action_type": "mail"})).await;
    assert_eq!((asked.status, &asked.body["decision"]["outcome"]), (202, &json!("REQUIRE_CONFIRMATION")));
    let token = &asked.body["decision"]["confirmation_token"];
    let executed = api.post("/api/v1/execute", json!({"action_type": "mail", "confirmation_token": token})).await.ok();
    assert_eq!(executed["status"], "success");
    let spent = api.post("/api/v1/execute", json!({"action_type": "mail", "confirmation_token": token})).await;
    assert_eq!(spent.problem(), (409, "CONFIRMATION_INVALID"));
}

#[tokio::test]
async fn a_question_of_an_execution_survives_the_daemon_and_is_executed_after_it() {
    let mut daemon = Setup::new().policy(POLICY).start();
    let api = Rest::of(&daemon);
    let pending = api.post("/api/v1/execute", json!({"action_type": "pay", "wait": "0s"})).await;
    let masked = json!({"action_type": "pay", "params": {"password": "hunter2-hunter2"}, "wait": "0s"});
    let with_masked = api.post("/api/v1/execute", masked).await;
    daemon.kill();
    let daemon = daemon.restart();
    let api = Rest::of(&daemon);
    for _ in 0..2 {
        answer(&daemon, &question(&daemon).await, true).await;
    }
    let decision = later(&api, &pending).await;
    assert_eq!(decision["result"]["status"], "success", "{decision}");
    // What the record masks is gone with the process: such an action is not run with a mask in its parameters.
    let decision = later(&api, &with_masked).await;
    assert_eq!(decision["result"]["status"], "skipped", "{decision}");
}

/// Sends bytes over a connection of its own, and returns what is answered before the daemon closes it.
fn raw(daemon: &Daemon, request: &str) -> String {
    use std::io::{Read as _, Write as _};

    let (_, address) = daemon.endpoint.split_once("://").unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(crate::harness::DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // The end of the connection, in whatever way, is the end of the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_body_that_is_sent_by_half_or_announces_too_much_is_answered_in_time() {
    let daemon = Setup::new().policy(POLICY).args(&["--receive-timeout", "2s", "--max-message-bytes", "1000"]).start();
    for path in ["/api/v1/execute", "/api/v1/governance/propose"] {
        let head = |length: usize| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{{"
            )
        };
        let half = raw(&daemon, &head(100));
        assert!(half.starts_with("HTTP/1.1 504 ") && half.contains("--receive-timeout"), "{half}");
        let large = raw(&daemon, &head(2000));
        assert!(large.starts_with("HTTP/1.1 413 ") && large.contains("MESSAGE_TOO_LARGE"), "{large}");
        let text = "x".repeat(2000);
        let chunked = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Transfer-Encoding: chunked\r\n\r\n7d0\r\n{text}\r\n0\r\n\r\n"
        );
        let chunked = raw(&daemon, &chunked);
        assert!(chunked.starts_with("HTTP/1.1 413 "), "{chunked}");
    }
    assert!(daemon.rows().await.is_empty());
}

#[tokio::test]
async fn answers_that_nobody_reads_count_as_streams_until_their_connection_is_closed() {
    use std::io::{Read as _, Write as _};

    let daemon = Setup::new().policy(POLICY).args(&["--dev", "--max-streams", "2"]).start();
    let api = Rest::of(&daemon);
    let large = json!({"action_type": "read", "params": {"text": "x".repeat(900_000)}});
    for _ in 0..12 {
        api.post("/api/v1/execute", large.clone()).await.ok();
    }
    let (_, address) = daemon.endpoint.split_once("://").unwrap();
    let mut unread = Vec::new();
    for path in ["/api/v1/audit", "/api/v1/approvals/stream"] {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        // The answer has begun, and is read no further.
        stream.read_exact(&mut [0; 12]).unwrap();
        unread.push(stream);
    }
    let refused = api.get("/api/v1/audit").await;
    assert_eq!(refused.problem(), (429, "TOO_MANY_STREAMS"));
    assert!(refused.headers.contains_key("retry-after"), "{:?}", refused.headers);
    api.get("/api/v1/policy").await.ok();
    drop(unread);
    eventually("their places are free again", async || (api.get("/api/v1/audit").await.status == 200).then_some(()))
        .await;
}
