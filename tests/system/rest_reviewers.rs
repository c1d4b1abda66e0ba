//! The REST API for people: reviewers, auditors, admins.

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use aegis::proto::v1::Role;

use crate::harness::{DEADLINE, Daemon, Rest, Setup};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: pays, match: {type: 'pay*'}, risk_level: high, approval: approve, redact: [card]}
";

async fn token(daemon: &Daemon, role: Role) -> Rest {
    let (secret, _) = daemon.token(&role.as_str_name().to_lowercase(), &[role]).await;
    Rest::of(daemon).bearer(&secret)
}

async fn ask(agent: &Rest, capability: &str, session: &str) -> Value {
    let proposal = json!({
        "action": {"capability": capability, "parameters": {"card": "4111-1111-1111-1111", "n": 1}},
        "context": {"session_id": session}
    });
    agent.post("/api/v1/governance/propose", proposal).await.ok()
}

#[tokio::test]
async fn a_reviewer_lists_looks_and_answers_once() {
    let daemon = Setup::new().policy(POLICY).start();
    let (agent, reviewer) = (Rest::of(&daemon), token(&daemon, Role::Reviewer).await);
    ask(&agent, "read", "s1").await;
    let (first, second) = (ask(&agent, "pay", "s1").await, ask(&agent, "pay_more", "s2").await);
    let page = reviewer.get("/api/v1/approvals?page_size=1").await.ok();
    assert_eq!(page["approvals"][0]["approval_id"], first["approval_id"]);
    let next = format!("/api/v1/approvals?page_size=1&page_token={}", page["next_page_token"].as_str().unwrap());
    let page = reviewer.get(&next).await.ok();
    assert_eq!(
        (&page["approvals"][0]["approval_id"], &page["next_page_token"]),
        (&second["approval_id"], &Value::Null)
    );
    for (query, count) in
        [("session_id=s2", 1), ("action_type=pay", 1), ("min_risk_level=critical", 0), ("actor_id=x", 0)]
    {
        let page = reviewer.get(&format!("/api/v1/approvals?{query}")).await.ok();
        assert_eq!(page["approvals"].as_array().map(Vec::len), Some(count), "{query}");
    }

    let place = format!("/api/v1/approvals/{}", first["approval_id"].as_str().unwrap());
    let approval = reviewer.get(&place).await.ok();
    assert_eq!((&approval["state"], &approval["risk_level"]), (&json!("pending"), &json!("HIGH")));
    let mask = &approval["masked"][0];
    assert_eq!(
        (&mask["path"], &mask["pointer"], &mask["length"]),
        (&json!("card"), &json!("/params/card"), &json!(19))
    );
    assert_eq!(approval["masked"].as_array().map(Vec::len), Some(1));
    assert!(!approval.to_string().contains("4111"), "{approval}");
    assert_eq!(approval["history"][0]["type"], "read");

    let wrong = reviewer.post(&format!("{place}/approve"), json!({"expected_action_digest": "x", "reason": 5})).await;
    assert_eq!((wrong.problem(), wrong.fields()), ((400, "INVALID_REQUEST"), vec!["reason"]));
    let other = json!({"expected_action_digest": second["action_digest"]});
    assert_eq!(reviewer.post(&format!("{place}/approve"), other).await.problem(), (409, "DIGEST_MISMATCH"));
    let yes = json!({"expected_action_digest": first["action_digest"], "reason": "fine"});
    for _ in 0..2 {
        let approved = reviewer.post(&format!("{place}/approve"), yes.clone()).await.ok();
        assert_eq!((&approved["state"], &approved["ending"]["reason"]), (&json!("approved"), &json!("fine")));
    }
    let denied = reviewer.post(&format!("{place}/deny"), yes.clone()).await;
    assert_eq!(denied.problem(), (409, "ALREADY_DECIDED"));
    assert_eq!(denied.body["metadata"]["ending"], "approved");
    let missing = reviewer.get("/api/v1/approvals/apr_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e").await;
    assert_eq!(missing.problem(), (404, "NO_SUCH_APPROVAL"));

    // The agent runs it, and says what became of it; again, and in another way.
    let place = format!("/api/v1/governance/decisions/{}", first["decision_id"].as_str().unwrap());
    let report = json!({"status": "success", "data": null, "started_at": "2026-11-28T09:00:00Z"});
    let reported = agent.post(&format!("{place}/result"), report.clone()).await.ok();
    assert!(reported["audit_ref"].as_str().unwrap().starts_with("aud_"), "{reported}");
    assert_eq!(agent.post(&format!("{place}/result"), report).await.ok(), reported);
    let other = agent.post(&format!("{place}/result"), json!({"status": "failed"})).await;
    assert_eq!(other.problem(), (409, "NOT_REPORTABLE"));
    let blocked = agent.post(&format!("{place}/result"), json!({"status": "blocked"})).await;
    assert_eq!((blocked.problem(), blocked.fields()), ((400, "INVALID_REQUEST"), vec!["status"]));

    // Another one is withdrawn.
    let place = format!("/api/v1/governance/decisions/{}/cancel", second["decision_id"].as_str().unwrap());
    for body in [json!({"reason": "changed my mind"}), json!({})] {
        assert_eq!(agent.post(&place, body).await.ok()["code"], "CANCELLED");
    }
}

/// The events of a stream: name, id, data.
struct Events {
    text: String,
    body: hyper::body::Incoming,
}

impl Events {
    async fn open(daemon: &Daemon, secret: &str, last: Option<&str>) -> Self {
        use hyper_util::client::legacy::Client;

        let client = Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let mut request = http::Request::get(format!("{}/api/v1/approvals/stream", daemon.endpoint));
        request = request.header("authorization", format!("Bearer {secret}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { text: String::new(), body: answer.into_body() }
    }

    async fn next(&mut self) -> (String, String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let value = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
                    value.unwrap_or_default().to_owned()
                };
                let found = (field("event"), field("id"), serde_json::from_str(&field("data")).unwrap_or_default());
                let rest = rest.to_owned();
                self.text = rest;
                if !found.0.is_empty() {
                    return found;
                }
                continue;
            }
            let mut frames = http_body_util::BodyStream::new(&mut self.body);
            let frame = tokio::time::timeout(DEADLINE, frames.next()).await.expect("an event comes");
            let data = frame.expect("the stream goes on").expect("the stream is whole").into_data().expect("data");
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }
}

#[tokio::test]
async fn a_stream_tells_what_is_pending_what_changes_and_what_ended_meanwhile() {
    let daemon = Setup::new().policy(POLICY).start();
    let agent = Rest::of(&daemon);
    let (secret, _) = daemon.token("ann", &[Role::Reviewer]).await;
    let reviewer = Rest::of(&daemon).bearer(&secret);
    let first = ask(&agent, "pay", "s1").await;
    let mut events = Events::open(&daemon, &secret, None).await;
    let (name, _, data) = events.next().await;
    assert_eq!((name.as_str(), &data["approval_id"]), ("pending", &first["approval_id"]));
    let (name, last, data) = events.next().await;
    assert_eq!((name.as_str(), data), ("snapshot_complete", json!({"count": 1})));
    let second = ask(&agent, "pay", "s2").await;
    let (name, _, data) = events.next().await;
    assert_eq!((name.as_str(), &data["approval_id"]), ("pending", &second["approval_id"]));
    drop(events);

    let no = json!({"expected_action_digest": first["action_digest"], "reason": "no"});
    reviewer.post(&format!("/api/v1/approvals/{}/deny", first["approval_id"].as_str().unwrap()), no).await.ok();
    let mut events = Events::open(&daemon, &secret, Some(&last)).await;
    let (name, _, data) = events.next().await;
    assert_eq!(
        (name.as_str(), &data["approval_id"], &data["state"]),
        ("ended", &first["approval_id"], &json!("denied"))
    );
    assert_eq!(events.next().await.2["approval_id"], second["approval_id"]);
    assert_eq!(events.next().await.0, "snapshot_complete");

    // An id of another log.
    let other = Setup::new().policy(POLICY).start();
    let (other_secret, _) = other.token("bob", &[Role::Reviewer]).await;
    let (_, foreign, _) = Events::open(&other, &other_secret, None).await.next().await;
    let mut events = Events::open(&daemon, &secret, Some(&foreign)).await;
    assert_eq!(events.next().await.0, "lagged");
    assert_eq!(events.next().await.0, "pending");
    let wrong = reviewer.with("last-event-id", "x").get("/api/v1/approvals/stream").await;
    assert_eq!((wrong.problem(), wrong.fields()), ((400, "INVALID_REQUEST"), vec!["Last-Event-ID"]));

    // A credential that is revoked ends the stream with the reason.
    let tokens = daemon.cli(&["token", "revoke", "ann"]);
    assert!(tokens.status.success(), "{}", crate::harness::stderr(&tokens));
    loop {
        let (name, _, data) = events.next().await;
        if name == "problem" {
            assert_eq!(data["code"], "CREDENTIAL_EXPIRED");
            break;
        }
    }
}

#[tokio::test]
async fn an_auditor_reads_totals_records_and_proofs() {
    let daemon = Setup::new().policy(POLICY).start();
    let (agent, auditor) = (Rest::of(&daemon), token(&daemon, Role::Auditor).await);
    for _ in 0..3 {
        ask(&agent, "read", "s1").await;
    }
    let asked = ask(&agent, "pay", "s1").await;
    let stats = auditor.get("/api/v1/stats?top=1").await.ok();
    assert_eq!((&stats["decisions"], &stats["by_risk_level"]), (&json!(4), &json!({"LOW": 3, "HIGH": 1})));
    assert_eq!(stats["top_rules"], json!([{"name": "reads", "count": 3}]));

    let lines = auditor.get("/api/v1/audit/records").await;
    assert_eq!(lines.headers["content-type"], "application/jsonl");
    let Value::String(lines) = lines.body else { panic!("lines") };
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(records.len() as u64 >= stats["records"].as_u64().unwrap(), "{stats}");
    let of_one =
        auditor.get(&format!("/api/v1/audit/records?decision_id={}", asked["decision_id"].as_str().unwrap())).await;
    assert_eq!(of_one.body.as_str().unwrap().lines().count(), 2, "the decision and its question");

    let life = auditor.get(&format!("/api/v1/audit/decisions/{}", asked["decision_id"].as_str().unwrap())).await.ok();
    assert_eq!((&life["row"]["outcome"], &life["approval"]["state"]), (&json!("ESCALATE"), &json!("pending")));
    let kinds: Vec<_> = life["records"].as_array().unwrap().iter().map(|record| &record["kind"]).collect();
    assert_eq!(kinds, ["decision", "approval_requested"]);
    let page = auditor.get("/api/v1/audit/decisions?newest_first=true&page_size=1").await.ok();
    assert_eq!(page["rows"][0]["decision_id"], asked["decision_id"]);
    let token = page["next_page_token"].as_str().unwrap();
    let next =
        auditor.get(&format!("/api/v1/audit/decisions?newest_first=true&page_size=1&page_token={token}")).await.ok();
    assert_eq!(next["rows"][0]["action_type"], "read");
    let other = auditor.get(&format!("/api/v1/audit/decisions?page_token={token}")).await;
    assert_eq!((other.problem(), other.fields()), ((400, "INVALID_REQUEST"), vec!["page_token"]));
    let missing = auditor.get("/api/v1/audit/decisions/dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e").await;
    assert_eq!(missing.problem(), (404, "NO_SUCH_DECISION"));

    let checkpoint = auditor.get("/api/v1/log/checkpoint").await.ok();
    let size = checkpoint["tree_size"].as_u64().unwrap();
    assert!(checkpoint["checkpoint"].as_str().unwrap().starts_with(checkpoint["origin"].as_str().unwrap()));
    let proof = auditor.get(&format!("/api/v1/log/inclusion-proof?sequence=2&tree_size={size}")).await.ok();
    let by_index = auditor.get(&format!("/api/v1/log/inclusion-proof?leaf_index=1&tree_size={size}")).await.ok();
    assert_eq!(proof, by_index);
    assert_eq!(proof["leaf_hash"], records[1]["leaf_hash"]);
    auditor.get("/api/v1/log/consistency-proof?first_tree_size=1").await.ok();
    for (path, field) in [
        ("inclusion-proof", "sequence"),
        ("inclusion-proof?sequence=0", "sequence"),
        ("inclusion-proof?audit_ref=aud_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e", "audit_ref"),
        ("inclusion-proof?leaf_index=1000000", "leaf_index"),
        ("inclusion-proof?sequence=1&tree_size=1000000", "tree_size"),
        ("consistency-proof?first_tree_size=1000000", "first_tree_size"),
        ("consistency-proof?first_tree_size=-1", "first_tree_size"),
    ] {
        let refused = auditor.get(&format!("/api/v1/log/{path}")).await;
        assert_eq!((refused.problem(), refused.fields()), ((400, "INVALID_REQUEST"), vec![field]), "{path}");
    }
}

#[tokio::test]
async fn an_admin_changes_the_policy_only_from_the_revision_that_they_saw() {
    let daemon = Setup::new().policy(POLICY).start();
    let admin = token(&daemon, Role::Admin).await;
    let shown = admin.get("/api/v1/policy").await;
    let tag = shown.headers["etag"].to_str().unwrap().to_owned();
    let shown = shown.ok();
    assert_eq!(format!("\"{}\"", shown["revision"].as_str().unwrap()), tag);
    // What is shown can be sent back.
    let same = admin.put("/api/v1/policy", shown["policy"].clone()).await.ok();
    assert_eq!(same["revision"], shown["revision"]);
    let changed = json!({"yaml": "rules: [{name: all, approval: block}]"});
    admin.clone().with("if-match", &tag).put("/api/v1/policy", changed.clone()).await.ok();
    let late = admin.clone().with("if-match", &tag).put("/api/v1/policy", changed).await;
    assert_eq!(late.problem(), (409, "REVISION_MISMATCH"));
    let earlier = admin.get(&format!("/api/v1/policy?revision={}", shown["revision"].as_str().unwrap())).await.ok();
    assert_eq!((&earlier["rules"], &earlier["loaded_at"]), (&shown["rules"], &Value::Null));
    for (body, code) in [
        (json!({"yaml": "rules: [{nam: x}]"}), "POLICY_INVALID"),
        (json!({"rules": [{"name": "a", "approval": "maybe"}]}), "POLICY_INVALID"),
        (json!({"yaml": ""}), "POLICY_INVALID"),
        (json!({"rule": []}), "INVALID_REQUEST"),
        (json!({}), "INVALID_REQUEST"),
    ] {
        let refused = admin.put("/api/v1/policy", body.clone()).await;
        assert_eq!(refused.problem(), (400, code), "{body}");
        assert!(!refused.fields().is_empty(), "{body}: {:#}", refused.body);
    }
    assert_eq!(admin.get("/api/v1/policy").await.ok()["rules"][0]["name"], "all", "a bad policy changes nothing");
}

#[tokio::test]
async fn the_pages_that_describe_the_api_need_nothing_and_load_nothing() {
    let daemon = Setup::new().args(&["--no-anonymous"]).start();
    let api = Rest::of(&daemon);
    let document = api.get("/openapi.json").await.ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    for operation in aegis::server::access::OPERATIONS {
        let described = &document["paths"][operation.path][operation.method.to_lowercase()];
        let is_page = !operation.path.starts_with("/api/") && operation.path != "/health";
        assert_eq!(described.is_null(), is_page, "{} {}", operation.method, operation.path);
    }
    let page = api.get("/docs").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let Value::String(html) = page.body else { panic!("a page") };
    assert!(html.contains("POST /api/v1/execute") && !html.contains("<script") && !html.contains("src="), "{html}");
}

#[tokio::test]
async fn an_admin_creates_a_token_once_and_revokes_it() {
    let daemon = Setup::new().policy(POLICY).start();
    let admin = token(&daemon, Role::Admin).await;
    let request = json!({"name": "bot", "roles": ["agent"], "lifetime": "1h", "request_id": "r1"});
    let made = admin.post("/api/v1/tokens", request.clone()).await.ok();
    assert_eq!(admin.post("/api/v1/tokens", request).await.ok(), made);
    let bot = Rest::of(&daemon).bearer(made["secret"].as_str().unwrap());
    ask(&bot, "read", "s1").await;
    let page = admin.get("/api/v1/tokens?page_size=1").await.ok();
    let next = format!("/api/v1/tokens?page_token={}", page["next_page_token"].as_str().unwrap());
    let rest = admin.get(&next).await.ok();
    assert_eq!(rest["tokens"][0]["subject"], "token:bot");
    assert!(!rest.to_string().contains(made["secret"].as_str().unwrap()));
    for _ in 0..2 {
        let revoked = admin.send(http::Method::DELETE, "/api/v1/tokens/bot", "").await.ok();
        assert!(revoked["revoked_at"].is_string(), "{revoked}");
    }
    assert_eq!(bot.get("/api/v1/governance/decisions/x").await.problem(), (401, "CREDENTIAL_INVALID"));
    let wrong = admin.post("/api/v1/tokens", json!({"name": " ", "roles": [], "actor_id": " "})).await;
    assert_eq!((wrong.problem(), wrong.fields()), ((400, "INVALID_REQUEST"), vec!["actor_id", "name", "roles"]));
    let wrong = admin.post("/api/v1/tokens", json!({"name": "a", "roles": ["root"], "lifetime": "0s"})).await;
    assert_eq!((wrong.problem(), wrong.fields()), ((400, "INVALID_REQUEST"), vec!["roles[0]"]));
    let valid = admin.post("/api/v1/policy/validate", json!({"yaml": "rules: [{nam: x}]"})).await.ok();
    assert_eq!((&valid["valid"], &valid["errors"][0]["code"]), (&json!(false), &json!("UNKNOWN_KEY")));
}
