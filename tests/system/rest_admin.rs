//! What only an admin does over REST: an earlier policy, a redaction, a new key of the log.

use aegis::proto::v1::Role;
use serde_json::{Value, json};

use crate::harness::{Daemon, Rest, Setup};

const POLICY: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
";

async fn admin(daemon: &Daemon) -> Rest {
    let (token, _) = daemon.token("root", &[Role::Admin, Role::Auditor]).await;
    Rest::of(daemon).bearer(&token)
}

#[tokio::test]
async fn an_earlier_policy_is_put_in_force_again_by_the_beginning_of_its_revision() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = admin(&daemon).await;
    let earlier = api.get("/api/v1/policy").await.ok();
    let (revision, yaml) = (earlier["revision"].as_str().unwrap(), "rules: []");
    let later = api.put("/api/v1/policy", json!({"yaml": yaml})).await.ok();
    assert_ne!(later["revision"], revision);
    assert_eq!(api.get(&format!("/api/v1/policy?revision={revision}")).await.ok()["rules"], earlier["rules"]);

    let back = json!({"revision": &revision[..8], "comment": "as it was", "validate_only": true});
    assert_eq!(api.put("/api/v1/policy", back.clone()).await.ok()["status"], "valid");
    assert_eq!(api.get("/api/v1/policy").await.ok()["revision"], later["revision"], "nothing changed yet");
    let back = json!({"revision": &revision[..8], "comment": "as it was", "expected_revision": later["revision"]});
    let updated = api.put("/api/v1/policy", back.clone()).await.ok();
    assert_eq!((&updated["status"], updated["revision"].as_str()), (&json!("updated"), Some(revision)));
    let now = api.get("/api/v1/policy").await.ok();
    assert_eq!((&now["rules"], &now["comment"]), (&earlier["rules"], &json!("as it was")));

    assert_eq!(api.put("/api/v1/policy", back).await.problem(), (409, "REVISION_MISMATCH"));
    for (revision, code) in [("abc", (400, "INVALID_REQUEST")), ("00000000", (404, "NO_SUCH_REVISION"))] {
        assert_eq!(api.put("/api/v1/policy", json!({"revision": revision})).await.problem(), code, "{revision}");
    }
    let both = api.put("/api/v1/policy", json!({"revision": "abcd", "yaml": yaml})).await;
    assert_eq!((both.problem(), both.fields()), ((400, "INVALID_REQUEST"), vec!["revision"]));
}

#[tokio::test]
async fn a_decision_is_redacted_once_it_is_over_and_its_payload_is_gone() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = admin(&daemon).await;
    let action = json!({"action_type": "read", "target": "crm", "params": {"name": "Ada Lovelace"}});
    Rest::of(&daemon).post("/api/v1/execute", action).await.ok();
    let row = &api.get("/api/v1/audit").await.ok()[0];
    let decision_id = row["decision_id"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/audit/decisions/{decision_id}/redact");
    let nothing = api.post(&place, json!({"reason": " "})).await;
    assert_eq!((nothing.problem(), nothing.fields()), ((400, "INVALID_REQUEST"), vec!["reason"]));
    let ask = json!({"reason": "asked by Ada", "request_id": "r-1"});
    let redacted = api.post(&place, ask.clone()).await.ok();
    assert!(redacted["redacted_sequences"].as_array().is_some_and(|sequences| sequences.len() >= 2), "{redacted}");
    assert_eq!(api.post(&place, ask).await.ok(), redacted, "a retry receives the first answer");
    assert_eq!(api.post(&place, json!({"reason": "again"})).await.problem(), (409, "NOT_REDACTABLE"));
    let life = api.get(&format!("/api/v1/audit/decisions/{decision_id}")).await.ok();
    assert!(!life.to_string().contains("Lovelace"), "{life}");
    let open = Rest::of(&daemon).post("/api/v1/execute", json!({"action_type": "ask", "wait": "0s"})).await;
    let open = open.body["decision"]["decision_id"].as_str().unwrap().to_owned();
    let place = format!("/api/v1/audit/decisions/{open}/redact");
    assert_eq!(api.post(&place, json!({"reason": "too early"})).await.problem(), (409, "NOT_REDACTABLE"));
    let unknown = "/api/v1/audit/decisions/dec_019bc0f3-7c1e-7a55-9d0e-2f6f5b0a4c11/redact";
    assert_eq!(api.post(unknown, json!({"reason": "x"})).await.problem(), (404, "NO_SUCH_DECISION"));
}

#[tokio::test]
async fn the_key_of_the_log_is_replaced_once_for_a_request_id() {
    let daemon = Setup::new().policy(POLICY).start();
    let api = admin(&daemon).await;
    let before = api.get("/api/v1/log/checkpoint").await.ok();
    let rotated = api.post("/api/v1/log/rotate-key", json!({"request_id": "r-1"})).await.ok();
    assert_eq!(rotated["old_verifier_key"], before["keys"][0]["verifier_key"]);
    assert_eq!(api.post("/api/v1/log/rotate-key", json!({"request_id": "r-1"})).await.ok(), rotated);
    let keys = api.get("/api/v1/log/checkpoint").await.ok()["keys"].clone();
    let keys: Vec<&Value> = keys.as_array().unwrap().iter().map(|key| &key["verifier_key"]).collect();
    assert_eq!(keys, [&rotated["old_verifier_key"], &rotated["new_verifier_key"]]);
    let empty = api.send(http::Method::POST, "/api/v1/log/rotate-key", "").await;
    assert_eq!(empty.problem(), (400, "INVALID_REQUEST"), "a request that was cut off replaces no key");
    let (auditor, _) = daemon.token("ann", &[Role::Auditor]).await;
    let refused = Rest::of(&daemon).bearer(&auditor).post("/api/v1/log/rotate-key", json!({})).await;
    assert_eq!(refused.problem(), (403, "ROLE_REQUIRED"));
}
