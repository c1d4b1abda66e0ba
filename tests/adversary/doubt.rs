//! A policy that says no is not dodged by the type of a value, by a name that nobody proved, or by what nobody sees.

use aegis::proto::v1::{self, Outcome};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{Agent, Setup, ask, awaited, fields, params, propose};

async fn outcome(agent: &mut Agent, kind: &str, of: Value) -> v1::Decision {
    let mut request = propose(kind, "bank");
    request.action.as_mut().unwrap().params = params(of);
    ask(agent, request).await
}

#[tokio::test]
async fn no_weaker_rule_stands_in_front_of_a_block() {
    for weaker in ["auto", "confirm", "approve, on_timeout: allow, timeout: 1s"] {
        let policy = format!(
            "rules:\n  - {{name: small, match: {{type: pay}}, conditions: {{param_lte: {{amount: 1000}}}}, \
             risk_level: low, \
             approval: {weaker}}}\n  - {{name: closed, match: {{type: pay}}, approval: block}}\n"
        );
        let daemon = Setup::new().policy(&policy).start();
        let mut agent = daemon.agent().await;
        for amount in [json!("5000000"), json!([5_000_000]), json!({"value": 1}), json!(true)] {
            let decision = outcome(&mut agent, "pay", json!({"amount": amount})).await;
            assert_eq!(decision.outcome(), Outcome::Deny, "{weaker}: {amount}: {}", decision.reason);
        }
        let small = outcome(&mut agent, "pay", json!({"amount": 10})).await;
        assert_ne!(small.outcome(), Outcome::Deny, "{weaker}");
    }
}

#[tokio::test]
async fn a_guard_is_not_dodged_by_the_type_of_a_value() {
    let policy = "
defaults: {risk_level: low, approval: auto}
rules:
  - {name: large, match: {type: order}, conditions: {param_gt: {order.amount: 100}}, approval: approve}
  - {name: to, match: {type: send}, conditions: {param_eq: {to: prod}}, approval: block}
  - {name: one-of, match: {type: drop}, conditions: {param_in: {id: [5, 6]}}, approval: block}
  - {name: text, match: {type: run}, conditions: {param_contains: {command: sudo}}, approval: block}
  - {name: pattern, match: {type: exec}, conditions: {param_matches: {target: '^prod$'}}, approval: block}
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    for (kind, dodge) in [
        ("order", json!({"order": {"amount": 500}})),
        ("order", json!({"order": "{\"amount\": 500}"})),
        ("order", json!({"order": [{"amount": 500}]})),
        ("order", json!({"order": {"amount": "500"}})),
        ("order", json!({"order": {"amount": [500]}})),
        ("order", json!({"order.amount": 5, "order": {"amount": 500}})),
        ("send", json!({"to": ["prod"]})),
        ("send", json!({"to": {"name": "prod"}})),
        ("drop", json!({"id": "5"})),
        ("drop", json!({"id": [1, 6]})),
        ("run", json!({"command": ["sudo", "rm"]})),
        ("run", json!({"command": {"argv": ["sudo rm"]}})),
        ("exec", json!({"target": "prod\n"})),
        ("exec", json!({"target": ["prod"]})),
    ] {
        let decision = outcome(&mut agent, kind, dodge.clone()).await;
        assert_ne!(decision.outcome(), Outcome::Allow, "{kind} {dodge}");
    }
    for (kind, fine) in [
        ("order", json!({"order": {"amount": 5}})),
        ("send", json!({"to": "test"})),
        ("drop", json!({"id": 7})),
        ("run", json!({"command": "ls"})),
        ("exec", json!({"target": "production"})),
    ] {
        assert_eq!(outcome(&mut agent, kind, fine.clone()).await.outcome(), Outcome::Allow, "{kind} {fine}");
    }
}

#[tokio::test]
async fn a_name_that_nobody_proved_earns_no_yes() {
    let policy = "
rules:
  - {name: trusted, match: {type: read, actor: agent-7}, risk_level: low, approval: auto}
  - {name: asked, match: {type: mail, actor: agent-7}, risk_level: low, approval: confirm}
  - name: silence
    match: {type: note, actor: agent-7}
    risk_level: low
    approval: approve
    on_timeout: allow
    timeout: 1s
  - {name: closed, match: {type: '*', actor: agent-8}, approval: block}
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    for kind in ["read", "mail", "note"] {
        let decision = ask(&mut agent, propose(kind, "x")).await;
        assert_eq!((decision.outcome(), &*decision.matched_rule), (Outcome::Escalate, "<default>"), "{kind}");
        assert_eq!(awaited(&mut agent, &decision.decision_id, 2).await.outcome(), Outcome::Escalate, "{kind}");
    }
    let mut other = propose("read", "x");
    other.actor.as_mut().unwrap().id = "agent-8".into();
    assert_eq!(ask(&mut agent, other).await.outcome(), Outcome::Deny, "a name is enough for a no");

    let (secret, _) = daemon
        .make_token(v1::CreateTokenRequest {
            name: "robot".into(),
            roles: vec![v1::Role::Agent.into()],
            actor_id: "agent-7".into(),
            ..Default::default()
        })
        .await;
    let channel = crate::harness::with_token(daemon.tcp().await, &secret);
    let mut robot = v1::governance_service_client::GovernanceServiceClient::new(channel);
    let decision = robot.propose(propose("read", "x")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Allow, "who proved the name has it");
}

#[tokio::test]
async fn names_have_no_characters_that_nobody_sees() {
    let policy =
        "rules: [{name: closed, match: {type: drop_db}, approval: block}, {match: {type: '*'}, approval: auto}]";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    for kind in [
        "drop_db\0",
        "drop\u{200b}_db",
        "drop_db\n",
        " drop_db",
        "drop_db\u{feff}",
        "\u{202e}bd_pord",
        "drop\u{e0041}_db",
    ] {
        let refused = agent.propose(propose(kind, "x")).await.unwrap_err();
        assert_eq!(
            (refused.code(), fields(&refused)),
            (Code::InvalidArgument, vec!["action.type".to_owned()]),
            "{kind:?}"
        );
    }
    for target in ["prod\u{2060}", "a\u{2028}b", "a\u{1b}[2J"] {
        let refused = agent.propose(propose("read", target)).await.unwrap_err();
        assert_eq!(fields(&refused), ["action.target"], "{target:?}");
    }
    // The same text in another normal form is the same text.
    let policy =
        "rules: [{name: closed, match: {type: 'caf\u{e9}'}, approval: block}, {match: {type: '*'}, approval: auto}]";
    let daemon = Setup::new().policy(policy).start();
    let decision = ask(&mut daemon.agent().await, propose("cafe\u{301}", "x")).await;
    assert_eq!(decision.outcome(), Outcome::Deny);
}
