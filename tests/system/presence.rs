//! Whether anybody waits for an answer: seen by reviewers, in each place where they decide.

use std::time::Duration;

use aegis::proto::v1::stream_approvals_response::Event;
use aegis::proto::v1::{self, Outcome};
use tonic::Streaming;

use crate::harness::{
    AEGIS, DEADLINE, Reviewer, Setup, approval, ask, awaited, eventually, long, pending, propose, stderr, stdout, yes,
};

const ASK: &str = "rules: [{name: pay, match: {type: pay}, approval: approve, timeout: 1h}]";

/// The next change of whether somebody waits for this approval.
async fn told(stream: &mut Streaming<v1::StreamApprovalsResponse>, id: &str, patience: Duration) -> Option<bool> {
    let change = async {
        loop {
            let message = stream.message().await.expect("the stream goes on").expect("the stream goes on");
            if let Some(Event::Pending(pending)) = message.event
                && pending.approval_id == id
            {
                return pending.caller_waiting;
            }
        }
    };
    tokio::time::timeout(patience, change).await.expect("reviewers are told")
}

async fn waits(reviewer: &mut Reviewer, decision: &v1::Decision) -> Option<bool> {
    approval(reviewer, decision).await.caller_waiting
}

#[tokio::test]
async fn nobody_waits_once_the_connection_is_closed_and_somebody_does_who_comes_back() {
    let daemon = Setup::new().policy(ASK).start();
    let mut reviewer = daemon.reviewer().await;
    let mut stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
    let mut agent = daemon.agent().await;
    let open = ask(&mut agent, propose("pay", "bank")).await;
    assert_eq!(told(&mut stream, &open.approval_id, DEADLINE).await, Some(true), "it has just asked");
    assert_eq!(waits(&mut reviewer, &open).await, Some(true));
    assert!(stdout(&daemon.cli(&["pending"])).contains("yes"));

    // Another connection of another agent changes nothing.
    drop(daemon.agent().await);
    drop(agent);
    assert_eq!(told(&mut stream, &open.approval_id, DEADLINE).await, Some(false));
    assert_eq!(waits(&mut reviewer, &open).await, Some(false));
    assert!(stdout(&daemon.cli(&["pending"])).contains("nobody"));

    let mut agent = daemon.agent().await;
    assert_eq!(awaited(&mut agent, &open.decision_id, 0).await.outcome(), Outcome::Escalate);
    assert_eq!(told(&mut stream, &open.approval_id, DEADLINE).await, Some(true));
    assert_eq!(waits(&mut reviewer, &open).await, Some(true));
}

#[tokio::test]
async fn who_waits_in_a_call_waits_and_its_end_with_the_connection_is_seen() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let open = ask(&mut agent, propose("pay", "bank")).await;
    drop(agent);
    eventually("nobody waits", || {
        let (mut reviewer, open) = (reviewer.clone(), open.clone());
        async move { (waits(&mut reviewer, &open).await == Some(false)).then_some(()) }
    })
    .await;
    // A process that waits and is killed.
    let mut waiter = std::process::Command::new(AEGIS)
        .args(["propose", "pay", "shop", "--endpoint", &daemon.endpoint, "--wait", "300s"])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let asked = eventually("it asks", || {
        let mut reviewer = reviewer.clone();
        async move {
            let listed = pending(&mut reviewer).await;
            listed.into_iter().find(|listed| listed.action.as_ref().is_some_and(|action| action.target == "shop"))
        }
    })
    .await;
    assert_eq!(asked.caller_waiting, Some(true));
    waiter.kill().unwrap();
    waiter.wait().unwrap();
    eventually("nobody waits", || {
        let mut reviewer = reviewer.clone();
        let request = v1::GetApprovalRequest { approval_id: asked.approval_id.clone() };
        async move {
            let approval = reviewer.get_approval(request).await.unwrap().into_inner().approval.unwrap();
            (approval.caller_waiting == Some(false)).then_some(())
        }
    })
    .await;
    // Who approves is told, before and after.
    let approved = daemon.cli(&["approve", &asked.approval_id]);
    assert!(approved.status.success(), "{}", stderr(&approved));
    let said = stderr(&approved);
    assert!(said.contains("caller    nobody waits for this any more"), "{said}");
    assert!(said.contains("the action runs only if the agent asks again"), "{said}");
}

#[tokio::test]
async fn after_a_restart_nobody_knows_until_the_agent_asks() {
    let daemon = Setup::new().policy(ASK).start();
    let open = ask(&mut daemon.agent().await, propose("pay", "bank")).await;
    let daemon = daemon.restart();
    let mut reviewer = daemon.reviewer().await;
    assert_eq!(waits(&mut reviewer, &open).await, None);
    let mut agent = daemon.agent().await;
    awaited(&mut agent, &open.decision_id, 0).await;
    assert_eq!(waits(&mut reviewer, &open).await, Some(true));
    let ended = reviewer.approve(yes(&open, "")).await.unwrap().into_inner().approval.unwrap();
    assert_eq!(ended.caller_waiting, Some(true));
}

#[tokio::test]
async fn nobody_waits_after_ninety_seconds_without_a_call() {
    if !long() {
        return;
    }
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let mut stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
    let open = ask(&mut agent, propose("pay", "bank")).await;
    assert_eq!(told(&mut stream, &open.approval_id, DEADLINE).await, Some(true));
    let begun = std::time::Instant::now();
    assert_eq!(told(&mut stream, &open.approval_id, Duration::from_secs(120)).await, Some(false));
    assert!(begun.elapsed() >= Duration::from_secs(89), "{:?}", begun.elapsed());
}
