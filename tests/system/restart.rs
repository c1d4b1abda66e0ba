//! What a daemon still knows after it was stopped or killed, and how it stops.

use std::time::{Duration, Instant};

use aegis::proto::v1::{self, EndingKind, Outcome};
use tonic::Code;

use crate::harness::{
    AEGIS, Daemon, Reviewer, Setup, approval, ask, awaited, ending, eventually, masked, narrow, no, params, pending,
    propose, refusal, seconds, stderr, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve, redact: [card]}
  - {name: brief, match: {type: brief}, approval: approve, timeout: 4s}
  - {name: lenient, match: {type: lenient}, risk_level: low, approval: approve, timeout: 4s, on_timeout: allow}
  - {name: mail, match: {type: mail}, approval: confirm, timeout: 1h}
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
";

/// How a daemon ends before it starts again.
#[derive(Clone, Copy, Debug)]
enum End {
    Crash,
    Stop,
}

async fn again(mut daemon: Daemon, end: End) -> Daemon {
    match end {
        End::Crash => daemon.kill(),
        End::Stop => {
            daemon.terminate();
            assert!(daemon.ended().await.success());
        }
    }
    daemon.restart()
}

#[tokio::test]
async fn pending_approvals_are_the_same_after_a_restart_and_can_be_decided() {
    for end in [End::Crash, End::Stop] {
        let daemon = Setup::new().policy(ASK).start();
        let mut agent = daemon.agent().await;
        let mut asked = Vec::new();
        for n in 0..5 {
            let mut request = propose("pay", &format!("{n}"));
            request.context = Some(v1::ProposalContext {
                session_id: "s1".into(),
                metadata: params(serde_json::json!({"team": "x", "n": n})),
            });
            asked.push(ask(&mut agent, request).await);
        }
        let mut reviewer = daemon.reviewer().await;
        reviewer.deny(no(&asked[4], "before")).await.unwrap();
        let mut before = pending(&mut reviewer).await;
        assert_eq!(before.len(), 4);
        // Whether their callers wait is unknown after a restart.
        for approval in &mut before {
            approval.caller_waiting = None;
        }

        let daemon = again(daemon, end).await;
        let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
        assert_eq!(pending(&mut reviewer).await, before, "{end:?}: the same questions, with the same deadlines");
        let refused = reviewer.approve(yes(&asked[4], "after")).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));

        let waiting = tokio::spawn({
            let (mut agent, id) = (agent.clone(), asked[0].decision_id.clone());
            async move { awaited(&mut agent, &id, 60).await }
        });
        let mut stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
        reviewer.approve(yes(&asked[0], "after")).await.unwrap();
        reviewer.deny(no(&asked[1], "after")).await.unwrap();
        assert_eq!(waiting.await.unwrap().outcome(), Outcome::Allow, "{end:?}");
        assert_eq!(awaited(&mut agent, &asked[1].decision_id, 0).await.outcome(), Outcome::Deny, "{end:?}");
        // A question is sent again when its caller comes back.
        let mut shown = std::collections::BTreeSet::new();
        loop {
            match stream.message().await.unwrap().unwrap().event.unwrap() {
                v1::stream_approvals_response::Event::Pending(pending) => {
                    shown.insert(pending.approval_id);
                }
                v1::stream_approvals_response::Event::Ended(ended) if ended.approval_id == asked[1].approval_id => {
                    break;
                }
                _ => {}
            }
        }
        assert_eq!(shown.len(), 4, "{end:?}: what is restored is part of the snapshot");

        // And once more: what was decided after the restart stays decided.
        let daemon = again(daemon, end).await;
        let mut reviewer = daemon.reviewer().await;
        assert_eq!(pending(&mut reviewer).await.len(), 2);
        assert_eq!(ending(Some(approval(&mut reviewer, &asked[0]).await)).kind(), EndingKind::Approved);
    }
}

#[tokio::test]
async fn an_approval_whose_time_ran_out_while_the_daemon_was_down_ends_at_the_start() {
    let mut daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    let denied = ask(&mut agent, propose("brief", "x")).await;
    let lenient = ask(&mut agent, propose("lenient", "x")).await;
    let open = ask(&mut agent, propose("pay", "x")).await;
    daemon.kill();
    // Their time must pass while nobody is there to notice.
    tokio::time::sleep(Duration::from_millis(4200)).await;

    let daemon = daemon.restart();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    // Before a sweeper can have come by: whoever decides in time of the restart is too late all the same.
    let late = reviewer.approve(yes(&denied, "late")).await.unwrap_err();
    assert_eq!(refusal(&late), (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()));
    assert_eq!(awaited(&mut agent, &denied.decision_id, 60).await.outcome(), Outcome::Deny);
    // Nobody could have answered: silence allows nothing then, whatever the rule says.
    assert_eq!(awaited(&mut agent, &lenient.decision_id, 60).await.outcome(), Outcome::Deny);
    for decision in [&denied, &lenient] {
        let ended = daemon.row(&decision.decision_id).await.ending.unwrap();
        assert_eq!((ended.kind(), ended.allows, ended.code.as_str()), (EndingKind::Expired, false, "TIMEOUT"));
    }
    let left: Vec<_> = pending(&mut reviewer).await.into_iter().map(|approval| approval.approval_id).collect();
    assert_eq!(left, [open.approval_id]);
}

/// Asks for cards but not for this one: told apart by a value that the record must not hold.
const CARDS: &str = "
rules:
  - {name: stolen, match: {type: pay}, conditions: {param_eq: {card: 4111-1111}}, risk_level: high, approval: block}
  - {name: pay, match: {type: pay}, approval: approve, redact: [card, amount]}
";

#[tokio::test]
async fn what_was_masked_cannot_be_judged_after_a_restart_so_a_guard_on_it_holds() {
    let daemon = Setup::new().policy(CARDS).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let with = |json| {
        let mut request = propose("pay", "bank");
        request.action.as_mut().unwrap().params = params(json);
        request
    };
    let stolen = ask(&mut agent, with(serde_json::json!({"card": "4111-1111"}))).await;
    assert_eq!(stolen.outcome(), Outcome::Deny);
    let mut asked = Vec::new();
    for _ in 0..2 {
        asked.push(ask(&mut agent, with(serde_json::json!({"card": "5500-0000", "amount": 7}))).await);
    }
    let without_card = ask(&mut agent, with(serde_json::json!({"amount": 7}))).await;
    let ended = ending(reviewer.approve(yes(&asked[0], "")).await.unwrap().into_inner().approval);
    assert_eq!(ended.kind(), EndingKind::Approved, "the daemon that saw the card knows that it is another one");

    let daemon = again(daemon, End::Crash).await;
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let shown = approval(&mut reviewer, &asked[1]).await;
    assert_eq!(masked(&shown.masked), ["amount", "card"]);
    // Only what an agent says can hold the card; ids, digests and times can hold its digits by chance.
    let said = format!("{:?} {:?} {}", shown.action, shown.context, shown.reason);
    assert!(said.contains("card") && !said.contains("5500"), "{shown:?}");
    let ended = ending(reviewer.approve(yes(&asked[1], "")).await.unwrap().into_inner().approval);
    assert_eq!((ended.kind(), ended.code.as_str()), (EndingKind::Denied, "POLICY_CHANGED"));
    assert!(ended.reason.contains("card"), "it says what it could not see: {}", ended.reason);
    assert_eq!(awaited(&mut agent, &asked[1].decision_id, 0).await.outcome(), Outcome::Deny);

    let ended = ending(reviewer.approve(yes(&without_card, "")).await.unwrap().into_inner().approval);
    assert_eq!(ended.kind(), EndingKind::Approved, "a parameter that was never there is not in doubt");
}

#[tokio::test]
async fn a_retry_and_a_confirmation_work_across_a_restart() {
    for end in [End::Crash, End::Stop] {
        let daemon = Setup::new().policy(ASK).start();
        let mut agent = daemon.agent().await;
        let keyed = |r#type: &str| v1::ProposeRequest {
            idempotency_key: format!("the key of {type}, once", r#type = r#type),
            ..propose(r#type, "x")
        };
        let mut before = Vec::new();
        for r#type in ["read", "pay", "mail"] {
            before.push(ask(&mut agent, keyed(r#type)).await);
        }
        let daemon = again(daemon, end).await;
        let mut agent = daemon.agent().await;
        for (r#type, before) in ["read", "pay", "mail"].into_iter().zip(&before) {
            let replayed = v1::Decision { replayed: true, ..before.clone() };
            assert_eq!(ask(&mut agent, keyed(r#type)).await, replayed, "{end:?}");
        }
        let other = v1::ProposeRequest { action: propose("pay", "y").action, ..keyed("pay") };
        assert_eq!(refusal(&agent.propose(other).await.unwrap_err()).1, "IDEMPOTENCY_KEY_REUSED");

        let token = before[2].confirmation_token.clone();
        let confirmed = v1::ProposeRequest { confirmation_token: token, ..propose("mail", "x") };
        assert_eq!(ask(&mut agent, confirmed.clone()).await.outcome(), Outcome::Allow, "{end:?}");
        let daemon = again(daemon, end).await;
        let again = daemon.agent().await.propose(confirmed).await.unwrap_err();
        assert_eq!(refusal(&again), (Code::FailedPrecondition, "CONFIRMATION_INVALID".to_owned()));
        assert_eq!(daemon.rows().await.len(), 4);
    }
}

#[tokio::test]
async fn a_daemon_that_is_told_to_stop_lets_its_callers_go_with_an_answer() {
    let mut daemon = Setup::new().policy(ASK).args(&["--shutdown-grace", "2s"]).start();
    let mut agent = daemon.agent().await;
    let earlier = ask(&mut agent, propose("pay", "earlier")).await;
    let proposing = tokio::spawn({
        let mut agent = agent.clone();
        let request = v1::ProposeRequest { wait: seconds(600), ..propose("pay", "waits") };
        async move { agent.propose(request).await }
    });
    let waiting = tokio::spawn({
        let (mut agent, id) = (agent.clone(), earlier.decision_id.clone());
        async move { awaited(&mut agent, &id, 600).await }
    });
    // Streams of every kind that nobody reads.
    let (mut reviewer, mut auditor, mut admin) =
        (daemon.reviewer().await, daemon.auditor().await, daemon.admin().await);
    let _approvals = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap();
    let follow = v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() };
    let _audit = auditor.stream_audit(follow).await.unwrap();
    let _policy = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap();
    eventually("both wait", || {
        let mut reviewer = reviewer.clone();
        async move { (pending(&mut reviewer).await.len() == 2).then_some(()) }
    })
    .await;
    // Sent after them over the same connection: when this is answered, the daemon has both.
    awaited(&mut agent, &earlier.decision_id, 0).await;

    let begun = Instant::now();
    daemon.terminate();
    let proposed = proposing.await.unwrap().expect("an answer, not an error").into_inner().decision.unwrap();
    assert_eq!(proposed.outcome(), Outcome::Escalate, "it is still a question");
    assert_eq!(waiting.await.unwrap().outcome(), Outcome::Escalate);
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());

    let daemon = daemon.restart();
    assert_eq!(pending(&mut daemon.reviewer().await).await.len(), 2, "the questions outlive the daemon");
}

#[tokio::test]
async fn a_client_that_reads_nothing_cannot_keep_a_daemon_from_stopping() {
    let mut daemon = Setup::new().policy(ASK).args(&["--shutdown-grace", "1s"]).start();
    let mut stuck = Reviewer::new(narrow(&daemon).await);
    let mut stuck = stuck.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
    let mut agent = daemon.agent().await;
    for n in 0..500 {
        ask(&mut agent, propose("pay", &format!("{n}"))).await;
    }
    daemon.terminate();
    assert_eq!(daemon.ended().await.code(), Some(0));
    assert!(daemon.log().contains("they are cut off"), "the grace period was over first");
    let end = loop {
        match stuck.message().await {
            Ok(Some(_)) => {}
            end => break end.map(drop),
        }
    };
    end.expect_err("what was cut off does not look complete");
    assert_eq!(pending(&mut daemon.restart().reviewer().await).await.len(), 500);
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_refused_and_the_first_goes_on() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    let second = std::process::Command::new(AEGIS)
        .args(["serve", "--port", "0", "--data-dir"])
        .arg(daemon.data_dir())
        .output()
        .unwrap();
    assert!(!second.status.success());
    let said = stderr(&second);
    assert!(said.contains("is open in another process: stop the other daemon"), "{said}");
    assert_eq!(ask(&mut agent, propose("read", "x")).await.outcome(), Outcome::Allow);
    // It has not taken the socket away, either.
    assert!(pending(&mut daemon.reviewer().await).await.is_empty());
}
