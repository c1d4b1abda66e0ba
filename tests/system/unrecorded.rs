//! Saying no while the record cannot be written: it holds at once, and is on the record later.

use std::time::{Duration, Instant};

use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::{self, EndingKind, Outcome};
use tonic::Code;

use crate::harness::{
    DEADLINE, Daemon, Setup, Shim, SmallDisk, ask, awaited, call, ending, eventually, health, healthy, no, params,
    pending, propose, refusal, result_of, stderr, stdout, whole_log, with_token, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: brief, match: {type: brief}, approval: approve, timeout: 3s, on_timeout: allow}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

/// A way in which a record stops to be writable.
struct Fault<'a> {
    begin: &'a dyn Fn(),
    end: &'a dyn Fn(),
}

/// A question that is too large to be kept in memory.
fn large() -> v1::ProposeRequest {
    let mut request = propose("pay", "large");
    request.action.as_mut().expect("an action").params = params(serde_json::json!({"note": "x".repeat(16 << 10)}));
    request
}

/// Proposes until the record cannot be written.
async fn until_refused(daemon: &Daemon) {
    let mut agent = daemon.agent().await;
    let text = "x".repeat(8 << 10);
    for n in 0.. {
        let mut request = propose("read", &n.to_string());
        request.action.as_mut().expect("an action").params = params(serde_json::json!({"text": text}));
        if agent.propose(request).await.is_err() {
            break;
        }
    }
    healthy(daemon, "aegis.record", false).await;
    let refused = agent.propose(propose("read", "refused")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::Unavailable, "RECORD_UNAVAILABLE".to_owned()));
}

/// Everything that a no must do while the record cannot be written, and afterwards.
async fn no_holds(daemon: Daemon, fault: Fault<'_>) {
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let [waited, polled, allowed] = [
        ask(&mut agent, propose("pay", "waited")).await,
        ask(&mut agent, propose("pay", "polled")).await,
        ask(&mut agent, propose("pay", "allowed")).await,
    ];
    let large = ask(&mut agent, large()).await;
    let waiting = tokio::spawn({
        let (mut agent, id) = (agent.clone(), waited.decision_id.clone());
        async move { awaited(&mut agent, &id, 300).await }
    });
    let (secret, token_id) = daemon.token("robot", &[v1::Role::Reviewer]).await;
    let robot = || async { with_token(daemon.tcp().await, &secret) };
    let mut watching = ApprovalServiceClient::new(robot().await);
    let mut stream = watching.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
    stream.message().await.unwrap();

    (fault.begin)();
    until_refused(&daemon).await;

    // A denial holds at once: for who waits, for who asks, for other reviewers.
    let begun = Instant::now();
    let denied = reviewer.deny(no(&waited, "not today")).await.unwrap().into_inner();
    assert!(denied.unrecorded, "the answer says that it is not on the record");
    let end = ending(denied.approval);
    assert_eq!((end.kind(), end.allows, end.reason.as_str()), (EndingKind::Denied, false, "not today"));
    let told = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(told.outcome(), Outcome::Deny);
    assert!(told.reason.contains("not today"), "{}", told.reason);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for question in [&polled, &large] {
        assert!(reviewer.deny(no(question, "no")).await.unwrap().into_inner().unrecorded);
        assert_eq!(awaited(&mut agent, &question.decision_id, 1).await.outcome(), Outcome::Deny);
    }
    // The same no again is the same; a yes is too late; what nobody saw is not decided.
    let again = reviewer.deny(no(&waited, "not today")).await.unwrap().into_inner();
    assert!(again.unrecorded);
    assert_eq!(ending(again.approval).ended_at, end.ended_at);
    let late = reviewer.approve(yes(&waited, "yes")).await.unwrap_err();
    assert_eq!(refusal(&late), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));
    let mut unseen = no(&allowed, "no");
    unseen.expected_action_digest = waited.action_digest.clone();
    let unseen = reviewer.deny(unseen).await.unwrap_err();
    assert_eq!(refusal(&unseen), (Code::FailedPrecondition, "DIGEST_MISMATCH".to_owned()));
    // A yes needs its record.
    assert_eq!(reviewer.approve(yes(&allowed, "yes")).await.unwrap_err().code(), Code::Unavailable);

    // A revoked token opens nothing, and what it has open ends.
    let revoked = daemon.cli(&["token", "revoke", "robot"]);
    assert!(revoked.status.success(), "{}", stderr(&revoked));
    assert!(stderr(&revoked).contains("not on the record yet"), "{}", stderr(&revoked));
    let refused = call(robot().await, "/aegis.v1.ApprovalService/ListApprovals").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let ended = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(DEADLINE, ended).await.unwrap();
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert!(stdout(&daemon.cli(&["token", "list"])).contains("There are no tokens"));
    assert_eq!(daemon.metric("aegis_unrecorded").await, "4");

    (fault.end)();
    healthy(&daemon, "aegis.record", true).await;
    eventually("all is on the record", || async { (daemon.metric("aegis_unrecorded").await == "0").then_some(()) })
        .await;
    let log = whole_log(&daemon).await;
    let recorded =
        log.iter().find(|record| record.text("/approval_id") == waited.approval_id && record.is("approval_ended"));
    let recorded = &recorded.expect("the denial is on the record").json;
    assert_eq!((&recorded["ending"]["kind"], &recorded["ending"]["reason"]), (&"denied".into(), &"not today".into()));
    assert!(recorded["ending"]["at"].as_str() < recorded["time"].as_str(), "with the time at which it was said");
    let revocations: Vec<_> = log.iter().filter(|record| record.is("token_revoked")).collect();
    let [revocation] = &revocations[..] else { panic!("{} revocations", revocations.len()) };
    assert_eq!(revocation.text("/token_id"), token_id);
    assert!(revocation.text("/at") < revocation.text("/time") && !revocation.text("/at").is_empty());
    let again = reviewer.deny(no(&waited, "not today")).await.unwrap().into_inner();
    assert!(!again.unrecorded, "the same no is on the record now");

    let daemon = daemon.restart();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    for question in [&waited, &polled, &large] {
        assert_eq!(awaited(&mut agent, &question.decision_id, 0).await.outcome(), Outcome::Deny);
    }
    let left = pending(&mut reviewer).await;
    assert_eq!(left.iter().map(|left| &left.approval_id).collect::<Vec<_>>(), [&allowed.approval_id]);
    let refused = call(with_token(daemon.tcp().await, &secret), "/aegis.v1.ApprovalService/ListApprovals").await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    let checked = daemon.cli(&["audit", "verify"]);
    assert!(checked.status.success(), "{}", stderr(&checked));
}

#[tokio::test]
async fn on_a_full_disk_a_no_holds_at_once_and_is_recorded_when_there_is_space() {
    let setup = Setup::new().policy(ASK).args(&["--admin-listen", "127.0.0.1:0", "--low-disk-percent", "0"]);
    let disk = SmallDisk::mount(&setup, 8);
    no_holds(setup.start(), Fault { begin: &|| disk.fill(), end: &|| disk.free() }).await;
}

#[tokio::test]
async fn while_syncs_fail_a_no_holds_at_once_and_is_recorded_afterwards() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK).args(&["--admin-listen", "127.0.0.1:0"]));
    no_holds(setup.start(), Fault { begin: &|| shim.break_syncs(true), end: &|| shim.break_syncs(false) }).await;
}

#[tokio::test]
async fn while_syncs_hang_a_no_holds_at_once_and_is_recorded_afterwards() {
    let arguments = ["--admin-listen", "127.0.0.1:0", "--disk-timeout", "3s"];
    let (setup, shim) = Shim::below(Setup::new().policy(ASK).args(&arguments));
    no_holds(setup.start(), Fault { begin: &|| shim.hang_syncs(true), end: &|| shim.hang_syncs(false) }).await;
}

#[tokio::test]
async fn a_no_stands_against_a_yes_that_was_on_its_way_to_the_disk() {
    let arguments = ["--admin-listen", "127.0.0.1:0", "--disk-timeout", "3s"];
    let (setup, shim) = Shim::below(Setup::new().policy(ASK).args(&arguments));
    let daemon = setup.start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let open = ask(&mut agent, propose("pay", "bank")).await;
    let waiter = tokio::spawn({
        let (mut agent, id) = (agent.clone(), open.decision_id.clone());
        async move { awaited(&mut agent, &id, 300).await }
    });
    shim.hang_syncs(true);
    let approved = tokio::spawn({
        let (mut reviewer, yes) = (reviewer.clone(), yes(&open, "yes"));
        async move { reviewer.approve(yes).await }
    });
    healthy(&daemon, "aegis.record", false).await;
    let denied = reviewer.deny(no(&open, "stop")).await.unwrap().into_inner();
    assert!(denied.unrecorded);
    assert_eq!(waiter.await.unwrap().outcome(), Outcome::Deny);
    assert!(approved.await.unwrap().is_err(), "nobody was told that it is approved");
    shim.hang_syncs(false);
    healthy(&daemon, "aegis.record", true).await;
    eventually("all is on the record", || async { (daemon.metric("aegis_unrecorded").await == "0").then_some(()) })
        .await;
    // The approval is on the disk, and what came of the action says that it was denied.
    assert_eq!(awaited(&mut agent, &open.decision_id, 0).await.outcome(), Outcome::Deny);
    let row = daemon.row(&open.decision_id).await;
    assert_eq!(result_of(&row), v1::ResultStatus::Denied, "{row:?}");
    let daemon = daemon.restart();
    assert_eq!(awaited(&mut daemon.agent().await, &open.decision_id, 0).await.outcome(), Outcome::Deny);
}

#[tokio::test]
async fn what_was_denied_is_not_allowed_by_its_deadline() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK).args(&["--admin-listen", "127.0.0.1:0"]));
    let daemon = setup.start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let brief = ask(&mut agent, propose("brief", "crm")).await;
    shim.break_syncs(true);
    assert!(reviewer.deny(no(&brief, "no")).await.unwrap().into_inner().unrecorded);
    // Its time runs out before the record can be written: that is what this is about.
    tokio::time::sleep(Duration::from_secs(4)).await;
    shim.break_syncs(false);
    eventually("all is on the record", || async { (daemon.metric("aegis_unrecorded").await == "0").then_some(()) })
        .await;
    assert_eq!(awaited(&mut agent, &brief.decision_id, 10).await.outcome(), Outcome::Deny);
    assert_eq!(daemon.row(&brief.decision_id).await.outcome(), Outcome::Deny);
}

#[tokio::test]
async fn a_no_that_is_not_on_the_record_may_end_with_the_daemon_and_its_question_is_never_allowed() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let mut daemon = setup.start();
    let open = ask(&mut daemon.agent().await, propose("pay", "bank")).await;
    shim.break_syncs(true);
    let denied = daemon.cli(&["deny", &open.approval_id]);
    assert!(denied.status.success() && stderr(&denied).contains("not on the record yet"), "{}", stderr(&denied));
    daemon.kill();
    shim.break_syncs(false);
    let daemon = daemon.restart();
    assert_eq!(
        health(&daemon, "aegis.record").await,
        Some(tonic_health::pb::health_check_response::ServingStatus::Serving)
    );
    // A sync that failed says nothing about what is on the disk. If the denial is not, its question is open again.
    let mut reviewer = daemon.reviewer().await;
    if !pending(&mut reviewer).await.is_empty() {
        assert!(!reviewer.deny(no(&open, "no")).await.unwrap().into_inner().unrecorded);
    }
    assert_eq!(awaited(&mut daemon.agent().await, &open.decision_id, 0).await.outcome(), Outcome::Deny);
}
