//! Limits and halts: what is counted, what an answer says, and what survives.

use aegis::proto::v1::{self, DecisionCode, EndingKind, Outcome, ResultStatus, halt_scope::Scope};
use serde_json::{Value, json};
use tonic::Code;

use crate::harness::{
    Agent, DEADLINE, Daemon, Rest, Setup, Shim, ask, awaited, ending, eventually, healthy, long, params, propose,
    refusal, report, stderr, stdout, yes,
};

const POLICY: &str = "
limits:
  - {name: payments, match: {type: pay}, sum: amount, max: 100, by: target}
  - {name: broken, match: {type: deploy}, count: failures, max: 2, by: [subject, action], approval: approve}
rules:
  - {name: mail, match: {type: mail}, approval: auto, risk_level: low, limit: {max: 20, per: 1h}}
  - {name: pay, match: {type: pay}, approval: auto, risk_level: low}
  - {name: deploy, match: {type: deploy}, approval: auto, risk_level: low}
  - name: try
    match: {type: try}
    approval: auto
    limit: {max: 1, per: 1h, by: target, approval: approve, risk_level: high}
  - {name: ask, match: {type: ask}, approval: approve, limit: {max: 1, per: 1h}}
  - {name: undo, match: {type: undo}, approval: auto, limit: {max: 1, per: 1h, release_on: [failed]}}
";

async fn pay(agent: &mut Agent, target: &str, amount: Value) -> v1::Decision {
    let mut request = propose("pay", target);
    request.action.as_mut().unwrap().params = params(json!({"amount": amount}));
    ask(agent, request).await
}

fn listed(daemon: &Daemon, limit: &str) -> Value {
    let output = daemon.cli(&["limits", "list", limit, "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

fn is_limited(decision: &v1::Decision) -> bool {
    (decision.outcome(), decision.code()) == (Outcome::Deny, DecisionCode::Limit)
}

#[tokio::test]
async fn many_clients_at_once_never_exceed_a_limit_by_one_and_neither_does_a_crash() {
    let mut daemon = Setup::new().policy(POLICY).start();
    let many = if long() { 1000 } else { 100 };
    let agents: Vec<_> = (0..many)
        .map(|n| {
            let endpoint = daemon.tcp();
            async move { (n, Agent::new(endpoint.await)) }
        })
        .collect();
    let mut agents = futures_util::future::join_all(agents).await;
    let answers = agents.iter_mut().map(|(n, agent)| ask(agent, propose("mail", &n.to_string())));
    let answers = futures_util::future::join_all(answers).await;
    let allowed: Vec<_> = answers.iter().filter(|decision| decision.outcome() == Outcome::Allow).collect();
    assert_eq!(allowed.len(), 20);
    assert!(answers.iter().all(|decision| decision.outcome() == Outcome::Allow || is_limited(decision)));
    let mut left: Vec<&str> =
        allowed.iter().map(|decision| decision.reason.split("limit `mail`: ").nth(1).unwrap()).collect();
    left.sort_unstable_by_key(|left| left.split(' ').next().unwrap().parse::<u32>().unwrap());
    assert!(left[0].starts_with("0 left of 20 per 1h, what was spent before is free at "), "{}", left[0]);
    assert!(left[19].starts_with("19 left of 20 per 1h"), "{}", left[19]);
    let denied = answers.iter().find(|decision| is_limited(decision)).unwrap();
    assert!(denied.reason.contains("limit `mail` blocks this action: 20 spent of 20 per 1h, until 2"), "{denied:?}");

    daemon.kill();
    let daemon = daemon.restart();
    let mut agent = daemon.agent().await;
    assert!(is_limited(&ask(&mut agent, propose("mail", "later")).await));
    let counts = listed(&daemon, "mail");
    assert_eq!((&counts[0]["spent"], &counts[0]["max"], &counts[0]["by"]), (&json!(20.0), &json!(20.0), &json!({})));
    let reset = daemon.cli(&["limits", "reset", "mail"]);
    assert_eq!(stdout(&reset), "mail: 1 count set back.\n", "{}", stderr(&reset));
    assert_eq!(ask(&mut agent, propose("mail", "again")).await.outcome(), Outcome::Allow);
    let resets = daemon.events("limit_reset");
    let [record] = &resets[..] else { panic!("{resets:?}") };
    assert_eq!((&record["limit"], &record["counts"]), (&json!("mail"), &json!(1)));
    let unknown = daemon.cli(&["limits", "reset", "mial"]);
    assert!(stderr(&unknown).contains("there is no limit `mial`"), "{}", stderr(&unknown));
}

#[tokio::test]
async fn a_sum_is_exact_and_each_target_has_its_own() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut agent = daemon.agent().await;
    assert_eq!(pay(&mut agent, "a", json!(99.9)).await.outcome(), Outcome::Allow);
    assert!(is_limited(&pay(&mut agent, "a", json!(0.2)).await));
    assert_eq!(pay(&mut agent, "a", json!(0.1)).await.outcome(), Outcome::Allow);
    assert!(is_limited(&pay(&mut agent, "a", json!(0.000_001)).await));
    assert_eq!(pay(&mut agent, "b", json!(100)).await.outcome(), Outcome::Allow);

    // Evaluate says what is left, and spends nothing.
    let item = |target: &str, amount: f64| v1::EvaluateItem {
        action: Some(v1::Action {
            r#type: "pay".to_owned(),
            target: target.to_owned(),
            params: params(json!({"amount": amount})),
            ..v1::Action::default()
        }),
        ..v1::EvaluateItem::default()
    };
    for _ in 0..2 {
        let items = vec![item("c", 40.0), item("a", 1.0)];
        let request = v1::EvaluateRequest { items, ..v1::EvaluateRequest::default() };
        let evaluations = agent.evaluate(request).await.unwrap().into_inner().evaluations;
        assert!(evaluations[0].reason.contains("limit `payments`: 60 left of 100 of `amount`"), "{evaluations:?}");
        assert_eq!(evaluations[1].approval_mode(), v1::ApprovalMode::Block);
    }
    // The count of one target is reset, and that of the other is not.
    let counts = listed(&daemon, "payments");
    let of = |target: &str| {
        counts.as_array().unwrap().iter().find(|count| count["by"]["target"] == target).unwrap()["count_id"].clone()
    };
    let reset = daemon.cli(&["limits", "reset", "payments", "--count", of("a").as_str().unwrap()]);
    assert!(reset.status.success(), "{}", stderr(&reset));
    assert_eq!(pay(&mut agent, "a", json!(100)).await.outcome(), Outcome::Allow);
    assert!(is_limited(&pay(&mut agent, "b", json!(1)).await));
    let answer = Rest::of(&daemon).bearer(&daemon.token("ada", &[v1::Role::Auditor]).await.0);
    let page = answer.get("/api/v1/limits?limit=payments&page_size=1").await.ok();
    assert_eq!(page["counts"][0]["max"], json!(100.0));
    let next = page["next_page_token"].as_str().unwrap();
    let page = answer.get(&format!("/api/v1/limits?limit=payments&page_token={next}")).await.ok();
    assert_eq!(page["counts"].as_array().unwrap().len(), 1, "{page}");
}

#[tokio::test]
async fn a_question_spends_when_it_is_approved() {
    let daemon = Setup::new().policy(POLICY).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let (one, two) = (ask(&mut agent, propose("ask", "1")).await, ask(&mut agent, propose("ask", "2")).await);
    reviewer.approve(yes(&one, "fine")).await.unwrap();
    let end = ending(reviewer.approve(yes(&two, "fine")).await.unwrap().into_inner().approval);
    assert_eq!((end.kind(), end.allows, end.code.as_str()), (EndingKind::Denied, false, "LIMIT"));
    assert_eq!(awaited(&mut agent, &one.decision_id, 1).await.outcome(), Outcome::Allow);
    assert!(is_limited(&awaited(&mut agent, &two.decision_id, 1).await));
    assert!(is_limited(&ask(&mut agent, propose("ask", "3")).await), "nobody is asked for nothing");

    // A limit that asks: a person may go beyond it.
    assert_eq!(ask(&mut agent, propose("try", "x")).await.outcome(), Outcome::Allow);
    for _ in 0..2 {
        let again = ask(&mut agent, propose("try", "x")).await;
        assert_eq!((again.outcome(), again.risk_level()), (Outcome::Escalate, v1::RiskLevel::High));
        reviewer.approve(yes(&again, "once more")).await.unwrap();
        assert_eq!(awaited(&mut agent, &again.decision_id, 1).await.outcome(), Outcome::Allow);
    }
}

#[tokio::test]
async fn failures_in_a_row_ask_and_a_success_begins_again() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut agent = daemon.agent().await;
    let deploy = async |agent: &mut Agent, target: &str, status: ResultStatus| {
        let decision = ask(agent, propose("deploy", target)).await;
        if decision.outcome() == Outcome::Allow {
            agent.report_result(report(&decision.decision_id, status)).await.unwrap();
        }
        decision.outcome()
    };
    for status in [ResultStatus::Failed, ResultStatus::Success, ResultStatus::Failed, ResultStatus::Failed] {
        assert_eq!(deploy(&mut agent, "a", status).await, Outcome::Allow);
    }
    assert_eq!(deploy(&mut agent, "a", ResultStatus::Success).await, Outcome::Escalate);
    assert_eq!(deploy(&mut agent, "b", ResultStatus::Success).await, Outcome::Allow, "another action");
    // What is given back on a failure.
    let undo = ask(&mut agent, propose("undo", "1")).await;
    assert!(is_limited(&ask(&mut agent, propose("undo", "2")).await));
    agent.report_result(report(&undo.decision_id, ResultStatus::Failed)).await.unwrap();
    assert_eq!(ask(&mut agent, propose("undo", "3")).await.outcome(), Outcome::Allow);
}

fn everybody() -> v1::HaltScope {
    v1::HaltScope { scope: Some(Scope::All(true)) }
}

#[tokio::test]
async fn whoever_is_halted_is_told_no_at_once_and_goes_on_later() {
    let daemon = Setup::new().policy(POLICY).args(&["--admin-listen", "127.0.0.1:0"]).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let (waits, asked) = (ask(&mut agent, propose("ask", "1")).await, ask(&mut agent, propose("ask", "2")).await);
    let allowed = ask(&mut agent, propose("mail", "1")).await;
    let waiting = tokio::spawn({
        let (mut agent, id) = (agent.clone(), waits.decision_id.clone());
        async move { awaited(&mut agent, &id, 300).await }
    });
    let halted = daemon.cli(&["halt", "--all", "--reason", "ticket 4711"]);
    assert_eq!(stdout(&halted), "Everybody is halted.\n", "{}", stderr(&halted));
    let told = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!((told.outcome(), told.code()), (Outcome::Deny, DecisionCode::Halted));
    assert!(told.reason.contains("everybody is halted by local:") && told.reason.contains("ticket 4711"), "{told:?}");
    let refused = ask(&mut agent, propose("mail", "2")).await;
    assert_eq!((refused.outcome(), refused.code()), (Outcome::Deny, DecisionCode::Halted));
    assert_eq!(awaited(&mut agent, &allowed.decision_id, 0).await.outcome(), Outcome::Deny, "it has not run yet");
    let end = ending(reviewer.approve(yes(&asked, "fine")).await.unwrap().into_inner().approval);
    assert_eq!((end.allows, end.code.as_str()), (false, "HALTED"));

    // It survives a restart, and is listed.
    let daemon = daemon.restart();
    let mut agent = daemon.agent().await;
    assert_eq!(ask(&mut agent, propose("mail", "3")).await.code(), DecisionCode::Halted);
    let list: Value = serde_json::from_str(&stdout(&daemon.cli(&["halt", "--list", "--format", "json"]))).unwrap();
    assert_eq!((&list[0]["scope"], &list[0]["reason"]), (&json!("all"), &json!("ticket 4711")));
    assert_eq!(daemon.metric("aegis_halts").await, "1");
    assert!(daemon.cli(&["resume", "--all"]).status.success());
    assert_eq!(awaited(&mut agent, &allowed.decision_id, 0).await.outcome(), Outcome::Allow);
    assert_eq!(awaited(&mut agent, &waits.decision_id, 0).await.outcome(), Outcome::Escalate, "nobody has answered it");
    assert_eq!(ask(&mut agent, propose("mail", "4")).await.outcome(), Outcome::Allow);
    assert_eq!((daemon.events("halted").len(), daemon.events("resumed").len()), (1, 1));
    let again = daemon.cli(&["resume", "--all"]);
    assert!(stderr(&again).contains("everybody is not halted"), "{}", stderr(&again));
}

#[tokio::test]
async fn a_halt_is_about_one_actor_one_subject_or_one_session() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut admin = daemon.administration().await;
    let mut agent = daemon.agent().await;
    let of = |actor: &str, session: &str| {
        let mut request = propose("mail", "x");
        request.actor = Some(v1::Actor { id: actor.to_owned(), ..v1::Actor::default() });
        request.context =
            Some(v1::ProposalContext { session_id: session.to_owned(), ..v1::ProposalContext::default() });
        request
    };
    for (scope, is_halted, is_not) in [
        (Scope::ActorId("ada".to_owned()), of("ada", "s1"), of("bob", "s1")),
        (Scope::SessionId("s2".to_owned()), of("ada", "s2"), of("ada", "s1")),
        (Scope::Subject("anonymous".to_owned()), of("ada", "s1"), of("", "")),
    ] {
        let scope = Some(v1::HaltScope { scope: Some(scope) });
        let request = v1::HaltRequest { scope: scope.clone(), ..v1::HaltRequest::default() };
        admin.halt(request).await.unwrap();
        assert_eq!(ask(&mut agent, is_halted).await.code(), DecisionCode::Halted, "{scope:?}");
        let other = ask(&mut agent, is_not).await.code();
        let is_everybody = matches!(scope.as_ref().unwrap().scope, Some(Scope::Subject(_)));
        assert_eq!(other == DecisionCode::Halted, is_everybody, "{scope:?}");
        admin.resume(v1::ResumeRequest { scope }).await.unwrap();
    }
    for scope in [None, Some(v1::HaltScope { scope: Some(Scope::All(false)) })] {
        let wrong = admin.halt(v1::HaltRequest { scope, ..v1::HaltRequest::default() }).await.unwrap_err();
        assert_eq!(refusal(&wrong), (Code::InvalidArgument, "INVALID_REQUEST".to_owned()));
    }
    let wrong = admin.resume(v1::ResumeRequest { scope: Some(everybody()) }).await.unwrap_err();
    assert_eq!(refusal(&wrong), (Code::NotFound, "NO_SUCH_HALT".to_owned()));
}

#[tokio::test]
async fn a_halt_needs_no_record_and_is_on_it_later() {
    let (setup, shim) = Shim::below(Setup::new().policy(POLICY));
    let daemon = setup.start();
    let (mut agent, mut admin) = (daemon.agent().await, daemon.administration().await);
    let waits = ask(&mut agent, propose("ask", "1")).await;
    let waiting = tokio::spawn({
        let (mut agent, id) = (agent.clone(), waits.decision_id.clone());
        async move { awaited(&mut agent, &id, 300).await }
    });
    // Its call is on its way. Sent after it over the same connection: when this is answered, the daemon has both.
    tokio::task::yield_now().await;
    awaited(&mut agent, &waits.decision_id, 0).await;
    shim.break_syncs(true);
    while agent.propose(propose("mail", "1")).await.is_ok() {}
    healthy(&daemon, "aegis.record", false).await;
    let request = v1::HaltRequest { scope: Some(everybody()), reason: "stop".to_owned() };
    let halt = admin.halt(request).await.unwrap().into_inner().halt.unwrap();
    assert!(halt.unrecorded, "the answer says that it is not on the record");
    let told = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!((told.outcome(), told.code()), (Outcome::Deny, DecisionCode::Halted));
    let refused = admin.resume(v1::ResumeRequest { scope: Some(everybody()) }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "going on needs its record");
    shim.break_syncs(false);
    eventually("the halt is on the record", || {
        let mut admin = admin.clone();
        async move {
            let halts = admin.list_halts(v1::ListHaltsRequest {}).await.ok()?.into_inner().halts;
            (!halts[0].unrecorded).then_some(())
        }
    })
    .await;
    assert_eq!(ask(&mut agent, propose("mail", "2")).await.code(), DecisionCode::Halted);
    let halts = daemon.events("halted");
    let [record] = &halts[..] else { panic!("{halts:?}") };
    assert_eq!((&record["scope"], &record["reason"]), (&json!("all"), &json!("stop")));
}
