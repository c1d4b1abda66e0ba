//! The lines of the guides that the project was created from, as printed: with curl, against `aegis serve --dev`.

use std::process::Command;

use serde_json::{Value, json};

use crate::harness::{Daemon, Rest, Setup, eventually, stderr, stdout};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: writes, match: {type: 'write*'}, risk_level: critical, approval: auto}
  - {name: no_deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

/// Runs a line in a shell, with the port of this daemon in place of the printed one.
fn run(daemon: &Daemon, line: &str) -> Value {
    let (_, port) = daemon.endpoint.rsplit_once(':').unwrap();
    let line = line.replace("localhost:8000", &format!("localhost:{port}"));
    let output = Command::new("bash").args(["-c", &line]).output().expect("bash runs");
    assert!(output.status.success(), "{line}\n{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|error| panic!("{line}: {error}\n{}", stdout(&output)))
}

#[tokio::test]
async fn every_line_of_the_rest_guide_works_as_printed() {
    let daemon = Setup::new().policy(POLICY).args(&["--dev"]).start();
    let health = run(&daemon, "curl http://localhost:8000/health");
    assert_eq!(health, json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}));

    let evaluated = run(
        &daemon,
        r#"curl -X POST http://localhost:8000/api/v1/evaluate \
            -H "Content-Type: application/json" \
            -d '{"action_type": "delete", "target": "db"}'"#,
    );
    let expected = json!({
        "action_type": "delete",
        "target": "db",
        "risk_level": "CRITICAL",
        "approval": "block",
        "is_allowed": false,
        "matched_rule": "no_deletes"
    });
    assert_eq!(evaluated, expected);
    let batch = run(
        &daemon,
        r#"curl -X POST http://localhost:8000/api/v1/evaluate \
            -H "Content-Type: application/json" \
            -d '{"actions": [
                {"action_type": "read", "target": "crm"},
                {"action_type": "delete", "target": "db"}
            ]}'"#,
    );
    assert_eq!((&batch[0]["is_allowed"], &batch[1]), (&json!(true), &expected));
    // curl sends its own content type where the line gives none; the body is JSON all the same.
    let form = r#"curl -X POST http://localhost:8000/api/v1/evaluate -d '{"action_type": "delete", "target": "db"}'"#;
    assert_eq!(run(&daemon, form), expected);
    assert!(daemon.rows().await.is_empty(), "what is evaluated is not recorded");

    let executed = run(
        &daemon,
        r#"curl -X POST http://localhost:8000/api/v1/execute \
            -H "Content-Type: application/json" \
            -d '{"action_type": "read", "target": "crm"}'"#,
    );
    let expected = json!({
        "action_type": "read",
        "target": "crm",
        "status": "success",
        "data": {"executed": true},
        "error": null
    });
    assert_eq!(executed, expected);
    let blocked = run(
        &daemon,
        r#"curl --fail-with-body http://localhost:8000/api/v1/execute -d '{"action_type": "delete", "target": "db"}'"#,
    );
    assert_eq!((&blocked["status"], &blocked["data"]), (&json!("blocked"), &Value::Null));
    assert!(blocked["error"].as_str().unwrap().contains("no_deletes"), "{blocked}");
    run(&daemon, r#"curl http://localhost:8000/api/v1/execute -d '{"action_type": "write", "target": "db"}'"#);

    let types = |rows: &Value| -> Vec<String> {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| format!("{} {}", row["action_type"].as_str().unwrap(), row["result_status"].as_str().unwrap()))
            .collect()
    };
    let all = run(&daemon, "curl http://localhost:8000/api/v1/audit");
    assert_eq!(types(&all), ["read success", "delete blocked", "write success"]);
    assert_eq!((&all[0]["action_params"], &all[0]["result_data"]), (&json!({}), &json!({"executed": true})));
    let deletes = run(&daemon, "curl http://localhost:8000/api/v1/audit?action_type=delete");
    assert_eq!(types(&deletes), ["delete blocked"]);
    assert_eq!(run(&daemon, "curl http://localhost:8000/api/v1/audit?risk_level=HIGH"), json!([]));
    let combined = r#"curl "http://localhost:8000/api/v1/audit?action_type=write&risk_level=CRITICAL&limit=10""#;
    assert_eq!(types(&run(&daemon, combined)), ["write success"]);
    // The newest so many, and the oldest of them first.
    assert_eq!(
        types(&run(&daemon, "curl http://localhost:8000/api/v1/audit?limit=2")),
        ["delete blocked", "write success"]
    );
    assert_eq!(run(&daemon, "curl http://localhost:8000/api/v1/audit?limit=0"), json!([]));
    let status = run(&daemon, "curl 'http://localhost:8000/api/v1/audit?result_status=blocked&session_id='");
    assert_eq!(types(&status), ["delete blocked"]);

    let policy = run(&daemon, "curl http://localhost:8000/api/v1/policy");
    assert_eq!(
        (&policy["rules"][2]["name"], &policy["rules"][2]["match_type"]),
        (&json!("no_deletes"), &json!("delete*"))
    );

    let updated = run(
        &daemon,
        r#"curl -X PUT http://localhost:8000/api/v1/policy \
            -H "Content-Type: application/json" \
            -d '{"yaml": "rules:\n  - name: block_all\n    match: {type: \"*\"}\n    approval: block"}'"#,
    );
    assert_eq!((&updated["status"], &updated["rule_count"]), (&json!("updated"), &json!(1)));
    assert_eq!(run(&daemon, form)["matched_rule"], "block_all");
    run(
        &daemon,
        r#"curl -X PUT http://localhost:8000/api/v1/policy \
            -H "Content-Type: application/json" \
            -d '{"rules": [{"name": "allow_reads", "match": {"type": "read*"}, "approval": "auto"}]}'"#,
    );
    let read = r#"curl http://localhost:8000/api/v1/evaluate -d '{"action_type": "read_rows"}'"#;
    assert_eq!(run(&daemon, read)["matched_rule"], "allow_reads");
    // What is in force is what the file has: a restart does not lose it.
    let daemon = daemon.restart();
    assert_eq!(run(&daemon, read)["matched_rule"], "allow_reads");
}

#[tokio::test]
async fn the_lines_of_the_rest_guide_need_a_token_but_for_what_agents_may_do() {
    let daemon = Setup::new().policy(POLICY).start();
    let (nobody, evaluate) = (Rest::of(&daemon), json!({"action_type": "read", "target": "crm"}));
    nobody.post("/api/v1/evaluate", evaluate.clone()).await.ok();
    nobody.post("/api/v1/execute", evaluate).await.ok();
    for path in ["/api/v1/audit", "/api/v1/policy"] {
        assert_eq!(nobody.get(path).await.problem(), (401, "CREDENTIAL_REQUIRED"), "{path}");
    }
    let (auditor, _) = daemon.token("ann", &[aegis::proto::v1::Role::Auditor]).await;
    let rows = nobody.clone().bearer(&auditor).get("/api/v1/audit").await.ok();
    assert_eq!(rows.as_array().unwrap().len(), 1);
    let put = nobody.bearer(&auditor).put("/api/v1/policy", json!({"yaml": "rules: []"})).await;
    assert_eq!(put.problem(), (403, "ROLE_REQUIRED"));
}

/// Seed 004: a proposal, and the decision by its id.
#[tokio::test]
async fn the_wire_of_the_python_guide() {
    let policy = "
rules:
  - {name: queries, match: {type: database.query}, risk_level: low, approval: auto, constraints: {max_rows: 100}}
  - {name: mails, match: {type: mail.send}, approval: confirm}
  - {name: drops, match: {type: database.drop}, risk_level: critical, approval: block}
";
    let daemon = Setup::new().policy(policy).args(&["--no-anonymous"]).start();
    let (key, _) = daemon.token("bot", &[aegis::proto::v1::Role::Agent]).await;
    let api = Rest::of(&daemon).bearer(&key);
    let propose = |capability: &str| {
        json!({
            "actor": {"id": "agent-001", "type": "ai-agent"},
            "action": {
                "capability": capability,
                "parameters": {"query": "SELECT * FROM users LIMIT 10", "database": "production"}
            },
            "context": {"session_id": "sess_abc123", "metadata": {"source": "customer-support-bot"}}
        })
    };
    for (capability, outcome, risk) in [
        ("database.query", "ALLOW", 0.2),
        ("database.drop", "DENY", 1.0),
        ("mail.send", "REQUIRE_CONFIRMATION", 0.5),
        ("anything.else", "ESCALATE", 0.5),
    ] {
        let decision = api.post("/api/v1/governance/propose", propose(capability)).await.ok();
        assert_eq!((&decision["outcome"], &decision["risk_score"]), (&json!(outcome), &json!(risk)), "{decision}");
        for field in ["decision_id", "reason", "timestamp", "audit_ref"] {
            assert!(decision[field].is_string(), "{field}: {decision}");
        }
        assert!(decision["constraints"].is_object(), "{decision}");
        assert_eq!(decision["confirmation_token"].is_string(), outcome == "REQUIRE_CONFIRMATION", "{decision}");
        let place = format!("/api/v1/governance/decisions/{}", decision["decision_id"].as_str().unwrap());
        let again = api.get(&place).await.ok();
        assert_eq!((&again["outcome"], &again["reason"]), (&decision["outcome"], &decision["reason"]));
    }
    let rows = daemon.rows().await;
    assert_eq!(
        (rows[0].session_id.as_str(), rows[0].actor.as_ref().unwrap().id.as_str()),
        ("sess_abc123", "agent-001")
    );

    // The agent's own user confirms.
    let asked = api.post("/api/v1/governance/propose", propose("mail.send")).await.ok();
    let mut confirmed = propose("mail.send");
    confirmed["confirmation_token"] = asked["confirmation_token"].clone();
    assert_eq!(api.post("/api/v1/governance/propose", confirmed).await.ok()["outcome"], "ALLOW");

    // A reviewer answers while the agent waits.
    let asked = api.post("/api/v1/governance/propose", propose("anything.else")).await.ok();
    let place = format!("/api/v1/governance/decisions/{}?wait=1m", asked["decision_id"].as_str().unwrap());
    let waiting = tokio::spawn(async move { api.get(&place).await.ok() });
    let mut reviewer = daemon.reviewer().await;
    let text = |name: &str| asked[name].as_str().unwrap().to_owned();
    reviewer
        .approve(aegis::proto::v1::ApproveRequest {
            approval_id: text("approval_id"),
            expected_action_digest: text("action_digest"),
            reason: "fine".into(),
        })
        .await
        .unwrap();
    let decision = waiting.await.unwrap();
    assert_eq!((&decision["outcome"], &decision["code"]), (&json!("ALLOW"), &json!("REVIEWER")), "{decision}");

    // Nobody is answered without a key, and another one's decision is unknown.
    let nobody = Rest::of(&daemon);
    assert_eq!(nobody.post("/api/v1/governance/propose", propose("x")).await.problem(), (401, "CREDENTIAL_REQUIRED"));
    assert_eq!(nobody.clone().bearer("wrong").get("/api/v1/governance/decisions/x").await.status, 401);
    let (other, _) = daemon.token("other", &[aegis::proto::v1::Role::Agent]).await;
    let place = format!("/api/v1/governance/decisions/{}", asked["decision_id"].as_str().unwrap());
    assert_eq!(nobody.bearer(&other).get(&place).await.problem(), (404, "NO_SUCH_DECISION"));
    eventually("the rows are there", async || (daemon.rows().await.len() == 7).then_some(())).await;
}
