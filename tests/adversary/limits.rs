//! A limit is not dodged: not by splitting, not by strange amounts, not by a name that the agent chooses, not by what
//! it reports. A halt is not dodged by what was allowed before.

use aegis::proto::v1::halt_scope::Scope;
use aegis::proto::v1::{self, DecisionCode, Outcome, ResultStatus};
use serde_json::{Value, json};

use crate::harness::{Agent, Setup, ask, awaited, long, params, propose, report};

async fn pay(agent: &mut Agent, target: &str, of: Value) -> v1::Decision {
    let mut request = propose("pay", target);
    request.action.as_mut().unwrap().params = params(of);
    ask(agent, request).await
}

#[tokio::test]
async fn a_sum_is_not_dodged_by_splitting_or_by_what_is_no_amount() {
    let policy = "
rules: [{name: pay, match: {type: pay}, approval: auto, risk_level: low, limit: {sum: amount, max: 10, per: 24h}}]
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    for strange in [
        json!({}),
        json!({"amount": null}),
        json!({"amount": "1"}),
        json!({"amount": "NaN"}),
        json!({"amount": -1}),
        json!({"amount": -1e-9}),
        json!({"amount": 9e15}),
        json!({"amount": 10.000_001}),
        json!({"amount": [1]}),
        json!({"amount": {"value": 1}}),
        json!({"amount": true}),
    ] {
        let decision = pay(&mut agent, "bank", strange.clone()).await;
        assert_eq!((decision.outcome(), decision.code()), (Outcome::Deny, DecisionCode::Limit), "{strange}");
    }
    // Many small ones, each to another target and in another session: together they are 10.
    let mut allowed = 0;
    for n in 0..40 {
        let amount = if n % 2 == 0 { 0.7 } else { 0.000_000_1 };
        let mut request = propose("pay", &format!("bank/{n}"));
        request.action.as_mut().unwrap().params = params(json!({"amount": amount}));
        request.context = Some(v1::ProposalContext { session_id: n.to_string(), ..v1::ProposalContext::default() });
        request.actor = Some(v1::Actor { id: format!("agent-{n}"), ..v1::Actor::default() });
        let is_allowed = ask(&mut agent, request).await.outcome() == Outcome::Allow;
        allowed += usize::from(is_allowed && n % 2 == 0);
    }
    assert_eq!(allowed, 14, "14 times 0.7 is 9.8");
}

#[tokio::test]
async fn a_limit_by_subject_is_not_dodged_by_a_name_or_a_session() {
    let policy = "
rules: [{name: mail, match: {type: mail}, approval: auto, risk_level: low, limit: {max: 3, per: 24h, by: [subject]}}]
";
    let daemon = Setup::new().policy(policy).start();
    let mut allowed = 0;
    for n in 0..10 {
        // Each over a connection of its own.
        let mut agent = daemon.agent().await;
        let mut request = propose("mail", &n.to_string());
        request.context = Some(v1::ProposalContext { session_id: n.to_string(), ..v1::ProposalContext::default() });
        request.actor = Some(v1::Actor { id: format!("agent-{n}"), ..v1::Actor::default() });
        allowed += usize::from(ask(&mut agent, request).await.outcome() == Outcome::Allow);
    }
    assert_eq!(allowed, 3);
}

#[tokio::test]
async fn reports_give_nothing_back_unless_the_policy_says_so() {
    let policy = "
limits: [{name: flaky, match: {type: run}, count: failures, max: 2, approval: block}]
rules:
  - {name: mail, match: {type: mail}, approval: auto, risk_level: low, limit: {max: 2, per: 24h}}
  - {name: run, match: {type: run}, approval: auto, risk_level: low}
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    for n in 0..2 {
        let decision = ask(&mut agent, propose("mail", &n.to_string())).await;
        assert_eq!(decision.outcome(), Outcome::Allow);
        agent.report_result(report(&decision.decision_id, ResultStatus::Failed)).await.unwrap();
        // A second report, or a rollback, gives nothing back either.
        let _ = agent.report_result(report(&decision.decision_id, ResultStatus::RolledBack)).await;
    }
    assert_eq!(ask(&mut agent, propose("mail", "3")).await.code(), DecisionCode::Limit);
    // The report of a failure counts once, however often it is sent.
    let decision = ask(&mut agent, propose("run", "x")).await;
    for _ in 0..5 {
        agent.report_result(report(&decision.decision_id, ResultStatus::Failed)).await.unwrap();
    }
    assert_eq!(ask(&mut agent, propose("run", "x")).await.outcome(), Outcome::Allow);
}

#[tokio::test]
async fn a_retry_spends_once_and_keys_of_agents_are_bounded_in_size() {
    let policy = "
rules: [{name: mail, match: {type: mail}, approval: auto, risk_level: low, limit: {max: 1, per: 24h, by: [target, session]}}]
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    let request = v1::ProposeRequest { idempotency_key: "k".repeat(20), ..propose("mail", "x") };
    for n in 0..3 {
        let decision = ask(&mut agent, request.clone()).await;
        assert_eq!((decision.outcome(), decision.replayed), (Outcome::Allow, n > 0));
    }
    let many = if long() { 1_000_000 } else { 300 };
    let long_name = "t".repeat(8000);
    for n in 0..many {
        let decision = ask(&mut agent, propose("mail", &format!("{n}{long_name}")));
        assert_eq!(decision.await.outcome(), Outcome::Allow);
    }
    let mut admin = daemon.administration().await;
    let request = v1::ListCountsRequest { page_size: Some(1000), ..v1::ListCountsRequest::default() };
    let page = admin.list_counts(request).await.unwrap().into_inner();
    assert!(page.counts.len() > 300.min(many));
    assert!(page.counts.iter().flat_map(|count| count.by.values()).all(|text| text.chars().count() <= 128));
}

#[tokio::test]
async fn whoever_is_halted_does_not_run_what_was_allowed_before() {
    let policy = "rules: [{name: mail, match: {type: mail}, approval: auto, risk_level: low}]";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    let request = v1::ProposeRequest { idempotency_key: "k".repeat(20), ..propose("mail", "x") };
    let allowed = ask(&mut agent, request.clone()).await;
    assert_eq!(allowed.outcome(), Outcome::Allow);
    let scope = Some(v1::HaltScope { scope: Some(Scope::Subject("anonymous".to_owned())) });
    let halt = v1::HaltRequest { scope, ..v1::HaltRequest::default() };
    daemon.administration().await.halt(halt).await.unwrap();
    let told = [
        ask(&mut agent, request).await,
        awaited(&mut agent, &allowed.decision_id, 0).await,
        ask(&mut agent, propose("mail", "y")).await,
        ask(&mut daemon.agent().await, propose("mail", "z")).await,
    ];
    for decision in told {
        assert_eq!((decision.outcome(), decision.code()), (Outcome::Deny, DecisionCode::Halted));
    }
}
