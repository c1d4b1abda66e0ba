//! Who may end an approval, when, and what everybody else is told.

use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::{self, EndingKind, Outcome, ResultStatus};
use tonic::Code;

use crate::harness::{
    Agent, Daemon, Setup, approval, ask, awaited, details, ended_by, ending, fields, no, pending, propose, refusal,
    report, result_of, seconds, with_token, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: brief, match: {type: brief}, approval: approve, timeout: 1s}
  - {name: lenient, match: {type: lenient}, risk_level: low, approval: approve, timeout: 1s, on_timeout: allow}
  - {name: patient, match: {type: patient}, risk_level: low, approval: approve, timeout: 4s, on_timeout: allow}
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
";

/// How many `approval_ended` records there are.
async fn endings_recorded(daemon: &Daemon) -> usize {
    let request = v1::StreamAuditRequest { view: v1::AuditView::Records.into(), ..v1::StreamAuditRequest::default() };
    let mut records = daemon.auditor().await.stream_audit(request).await.unwrap().into_inner();
    let mut count = 0;
    while let Some(message) = records.message().await.unwrap() {
        let Some(v1::stream_audit_response::Event::Record(record)) = message.event else { continue };
        count += usize::from(record.payload.contains(r#""kind":"approval_ended""#));
    }
    count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_reviewers_who_race_one_wins_and_the_other_is_told_who_and_when() {
    const RACES: usize = 200;
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    let (ada, bob) = (daemon.reviewer().await, daemon.reviewer().await);
    for race in 0..RACES {
        let decision = ask(&mut agent, propose("pay", &format!("bank {race}"))).await;
        let (mut ada, mut bob) = (ada.clone(), bob.clone());
        let (yes, no) = (yes(&decision, "says Ada"), no(&decision, "says Bob"));
        let approve = async move { ada.approve(yes).await.map(|answer| answer.into_inner().approval) };
        let deny = async move { bob.deny(no).await.map(|answer| answer.into_inner().approval) };
        // Each is first on the wire every other time.
        let (approved, denied) = if race % 2 == 0 {
            tokio::join!(tokio::spawn(approve), tokio::spawn(deny))
        } else {
            let (denied, approved) = tokio::join!(tokio::spawn(deny), tokio::spawn(approve));
            (approved, denied)
        };
        let (won, lost, outcome) = match (approved.unwrap(), denied.unwrap()) {
            (Ok(won), Err(lost)) => (ending(won), lost, Outcome::Allow),
            (Err(lost), Ok(won)) => (ending(won), lost, Outcome::Deny),
            both => panic!("race {race} had no winner, or two: {both:?}"),
        };
        assert_eq!(won.allows, outcome == Outcome::Allow);
        assert_eq!(won.reason, if won.allows { "says Ada" } else { "says Bob" });

        assert_eq!(refusal(&lost), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));
        let told = details(&lost);
        assert_eq!(told["by"], ended_by(&won));
        assert_eq!(told["ending"], if won.allows { "approved" } else { "denied" });
        let at: prost_types::Timestamp = told["at"].parse().unwrap();
        assert_eq!(Some(at), won.ended_at);
        assert!(lost.message().contains(ended_by(&won)) && lost.message().contains(&told["at"]), "{}", lost.message());

        assert_eq!(awaited(&mut agent, &decision.decision_id, 0).await.outcome(), outcome);
        assert_eq!(daemon.row(&decision.decision_id).await.ending, Some(won));
    }
    assert_eq!(endings_recorded(&daemon).await, RACES);
}

#[tokio::test]
async fn what_is_decided_stays_decided() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let decision = ask(&mut agent, propose("pay", "bank")).await;
    let first = reviewer.approve(yes(&decision, "fine")).await.unwrap().into_inner();

    let again = reviewer.approve(yes(&decision, "sent again")).await.unwrap().into_inner();
    assert_eq!(again, first, "the same vote again is answered as it was the first time");
    let not_shown = v1::ApproveRequest { expected_action_digest: "0".repeat(64), ..yes(&decision, "fine") };
    let not_shown = reviewer.approve(not_shown).await.unwrap_err();
    assert_eq!(refusal(&not_shown), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));
    let (token, _) = daemon.token("ada", &[v1::Role::Reviewer]).await;
    let mut ada = ApprovalServiceClient::new(with_token(daemon.tcp().await, &token));
    let theirs = ada.approve(yes(&decision, "fine")).await.unwrap_err();
    assert_eq!(refusal(&theirs), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));
    let other = reviewer.deny(no(&decision, "no!")).await.unwrap_err();
    assert_eq!(refusal(&other), (Code::FailedPrecondition, "ALREADY_DECIDED".to_owned()));
    assert_eq!(details(&other)["ending"], "approved");
    let cancel = v1::CancelProposalRequest { decision_id: decision.decision_id.clone(), reason: String::new() };
    assert_eq!(refusal(&agent.cancel_proposal(cancel).await.unwrap_err()).1, "NOT_PENDING");

    let decided = approval(&mut reviewer, &decision).await;
    assert_eq!(ending(Some(decided)).kind(), EndingKind::Approved);
    assert_eq!(awaited(&mut agent, &decision.decision_id, 0).await.outcome(), Outcome::Allow);
}

#[tokio::test]
async fn a_denial_reaches_the_agent_and_the_record_with_its_reason() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let decision = ask(&mut agent, propose("pay", "bank")).await;
    let waiting = tokio::spawn({
        let (mut agent, id) = (agent.clone(), decision.decision_id.clone());
        async move { awaited(&mut agent, &id, 60).await }
    });
    reviewer.deny(no(&decision, "not on a Friday")).await.unwrap();
    let denied = waiting.await.unwrap();
    assert_eq!(denied.outcome(), Outcome::Deny);
    assert!(denied.reason.contains("not on a Friday"), "{}", denied.reason);
    let row = daemon.row(&decision.decision_id).await;
    assert_eq!((row.outcome(), result_of(&row)), (Outcome::Deny, ResultStatus::Denied));
    assert_eq!(row.ending.unwrap().reason, "not on a Friday");

    let report = report(&decision.decision_id, ResultStatus::Success);
    assert_eq!(refusal(&agent.report_result(report).await.unwrap_err()).1, "NOT_REPORTABLE");
}

#[tokio::test]
async fn what_was_not_shown_is_not_decided() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let (shown, other) = (ask(&mut agent, propose("pay", "a")).await, ask(&mut agent, propose("pay", "b")).await);
    let mixed = v1::ApproveRequest { expected_action_digest: other.action_digest.clone(), ..yes(&shown, "") };
    let refused = reviewer.approve(mixed).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::FailedPrecondition, "DIGEST_MISMATCH".to_owned()));
    let mixed = v1::DenyRequest { expected_action_digest: other.action_digest.clone(), ..no(&shown, "") };
    assert_eq!(refusal(&reviewer.deny(mixed).await.unwrap_err()).1, "DIGEST_MISMATCH");
    for digest in ["", "abc", &"g".repeat(64), &shown.action_digest[..63]] {
        let malformed = v1::ApproveRequest { expected_action_digest: digest.to_owned(), ..yes(&shown, "") };
        let refused = reviewer.approve(malformed).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{digest}");
        assert_eq!(fields(&refused), ["expected_action_digest"], "{digest}");
    }
    assert_eq!(pending(&mut reviewer).await.len(), 2, "nothing was decided by any of these");
}

#[tokio::test]
async fn ids_that_name_no_approval_are_refused_clearly() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let decision = ask(&mut agent, propose("pay", "bank")).await;
    let unknown = "apr_0199e2a3-5b7c-7000-8000-000000000000";
    let named = |approval_id: &str| v1::ApproveRequest { approval_id: approval_id.to_owned(), ..yes(&decision, "") };
    let refused = reviewer.approve(named(unknown)).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::NotFound, "NO_SUCH_APPROVAL".to_owned()));
    let get = v1::GetApprovalRequest { approval_id: unknown.to_owned() };
    assert_eq!(refusal(&reviewer.get_approval(get).await.unwrap_err()).1, "NO_SUCH_APPROVAL");

    let long = "a".repeat(100_000);
    let of_another_kind = decision.decision_id.clone();
    for malformed in ["", "apr_", "7", "apr_0199e2a3", "apr_\u{0}", &of_another_kind, &long] {
        let refused = reviewer.approve(named(malformed)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{malformed:.40}");
        assert_eq!(fields(&refused), ["approval_id"], "{malformed:.40}");
        let get = v1::GetApprovalRequest { approval_id: malformed.to_owned() };
        assert_eq!(fields(&reviewer.get_approval(get).await.unwrap_err()), ["approval_id"], "{malformed:.40}");
    }
    let token = v1::ListApprovalsRequest { page_token: "nonsense".into(), ..v1::ListApprovalsRequest::default() };
    assert_eq!(fields(&reviewer.list_approvals(token).await.unwrap_err()), ["page_token"]);
}

#[tokio::test]
async fn an_approval_given_after_the_policy_changed_cannot_allow_what_it_now_blocks() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let decision = ask(&mut agent, propose("pay", "bank")).await;
    let denied_later = ask(&mut agent, propose("pay", "bank")).await;

    let blocks = "rules: [{name: no-pay, match: {type: pay}, approval: block, reason: money stays}]";
    std::fs::write(daemon.policy_file(), blocks).unwrap();
    let revision = daemon.policy_after(&decision.policy_revision).await;

    let ended = ending(reviewer.approve(yes(&decision, "go")).await.unwrap().into_inner().approval);
    assert_eq!((ended.kind(), ended.allows, ended.code.as_str()), (EndingKind::Denied, false, "POLICY_CHANGED"));
    assert!(ended.reason.contains("money stays"), "{}", ended.reason);
    assert_eq!(awaited(&mut agent, &decision.decision_id, 0).await.outcome(), Outcome::Deny);
    let row = daemon.row(&decision.decision_id).await;
    assert_eq!(result_of(&row), ResultStatus::Denied);
    assert_ne!(row.policy_revision, revision, "the row says under which policy it was asked");

    let ended = ending(reviewer.deny(no(&denied_later, "no")).await.unwrap().into_inner().approval);
    assert_eq!((ended.kind(), ended.code.as_str()), (EndingKind::Denied, ""), "a denial needs no policy");
}

#[tokio::test]
async fn when_time_runs_out_the_agent_the_stream_and_the_record_hear_it() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let mut stream = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap().into_inner();
    let waits = v1::ProposeRequest { wait: seconds(60), ..propose("brief", "x") };
    let denied = ask(&mut agent, waits).await;
    assert_eq!(denied.outcome(), Outcome::Deny);
    assert!(denied.reason.contains("expired"), "{}", denied.reason);

    let ended = loop {
        let message = stream.message().await.unwrap().expect("the stream goes on");
        if let Some(v1::stream_approvals_response::Event::Ended(ended)) = message.event {
            break ending(Some(ended));
        }
    };
    assert_eq!((ended.kind(), ended.allows, ended.code.as_str()), (EndingKind::Expired, false, "TIMEOUT"));
    let row = daemon.row(&denied.decision_id).await;
    assert_eq!((result_of(&row), row.ending.as_ref()), (ResultStatus::Denied, Some(&ended)));
    assert!(pending(&mut reviewer).await.is_empty());

    let late = reviewer.approve(yes(&denied, "sorry, I was at lunch")).await.unwrap_err();
    assert_eq!(refusal(&late), (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()));
    assert_eq!(details(&late)["ending"], "expired");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_whose_time_runs_out_at_once_all_hear_it() {
    const MANY: usize = 500;
    let daemon = Setup::new().policy(ASK).start();
    let agent = daemon.agent().await;
    let waiting = (0..MANY).map(|n| {
        let mut agent = agent.clone();
        let waits = v1::ProposeRequest { wait: seconds(60), ..propose("brief", &format!("{n}")) };
        tokio::spawn(async move { ask(&mut agent, waits).await })
    });
    for waiting in waiting.collect::<Vec<_>>() {
        assert_eq!(waiting.await.unwrap().outcome(), Outcome::Deny);
    }
    assert!(pending(&mut daemon.reviewer().await).await.is_empty());
    assert_eq!(endings_recorded(&daemon).await, MANY);
}

#[tokio::test]
async fn where_the_rule_says_so_silence_allows_and_the_record_says_expired() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let waits = v1::ProposeRequest { wait: seconds(60), ..propose("lenient", "x") };
    let allowed = ask(&mut agent, waits).await;
    assert_eq!(allowed.outcome(), Outcome::Allow);
    let ended = daemon.row(&allowed.decision_id).await.ending.unwrap();
    assert_eq!((ended.kind(), ended.allows), (EndingKind::Expired, true));
    assert_eq!(refusal(&reviewer.approve(yes(&allowed, "")).await.unwrap_err()).1, "APPROVAL_EXPIRED");

    let asked = ask(&mut agent, propose("patient", "y")).await;
    std::fs::write(daemon.policy_file(), "rules: [{match: {type: patient}, approval: block}]").unwrap();
    daemon.policy_after(&asked.policy_revision).await;
    let denied = awaited(&mut agent, &asked.decision_id, 60).await;
    assert_eq!(denied.outcome(), Outcome::Deny, "silence cannot allow what the policy blocks by then");
}

/// Proposes what the daemon has no place for.
async fn turned_away(agent: &mut Agent, request: v1::ProposeRequest) {
    let refused = agent.propose(request).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS".to_owned()));
}

#[tokio::test]
async fn places_for_pending_approvals_are_bounded_and_come_back() {
    let daemon = Setup::new().policy(ASK).args(&["--max-pending", "2", "--anonymous-share", "100"]).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let keyed = v1::ProposeRequest { idempotency_key: "the first of them".into(), ..propose("pay", "a") };
    let first = ask(&mut agent, keyed.clone()).await;
    let second = ask(&mut agent, propose("pay", "b")).await;
    turned_away(&mut agent, propose("pay", "c")).await;
    assert_eq!(
        ask(&mut agent, propose("read", "c")).await.outcome(),
        Outcome::Allow,
        "what asks nobody needs no place"
    );
    let again = ask(&mut agent, keyed).await;
    assert_eq!(again, v1::Decision { replayed: true, ..first.clone() }, "a retry needs no place of its own");

    let third = v1::ProposeRequest { idempotency_key: "the third of them".into(), ..propose("pay", "c") };
    turned_away(&mut agent, third.clone()).await;
    reviewer.deny(no(&first, "")).await.unwrap();
    let third = ask(&mut agent, third).await;
    assert_eq!(third.outcome(), Outcome::Escalate, "being turned away used up no key");
    turned_away(&mut agent, propose("pay", "d")).await;
    reviewer.approve(yes(&second, "")).await.unwrap();
    let fourth = ask(&mut agent, propose("pay", "d")).await;
    let cancel = v1::CancelProposalRequest { decision_id: fourth.decision_id, reason: String::new() };
    agent.cancel_proposal(cancel).await.unwrap();
    let brief = v1::ProposeRequest { wait: seconds(60), ..propose("brief", "e") };
    assert_eq!(ask(&mut agent, brief).await.outcome(), Outcome::Deny);
    ask(&mut agent, propose("pay", "f")).await;
    turned_away(&mut agent, propose("pay", "g")).await;
    assert_eq!(daemon.rows().await.len(), 7, "who is turned away leaves no record");
}

#[tokio::test]
async fn one_caller_cannot_take_every_place() {
    let daemon = Setup::new().policy(ASK).args(&["--max-pending-per-caller", "2"]).start();
    let (secret, _) = daemon.token("modest", &[v1::Role::Agent]).await;
    let modest = with_token(daemon.tcp().await, &secret);
    let (mut greedy, mut modest) = (daemon.agent().await, GovernanceServiceClient::new(modest));
    let first = ask(&mut greedy, propose("pay", "a")).await;
    ask(&mut greedy, propose("pay", "b")).await;
    turned_away(&mut greedy, propose("pay", "c")).await;
    // All of this machine's callers without a credential are one caller, however many connections they open.
    turned_away(&mut daemon.agent().await, propose("pay", "c")).await;
    modest.propose(propose("pay", "d")).await.expect("there is room beside them");
    daemon.reviewer().await.deny(no(&first, "")).await.unwrap();
    ask(&mut greedy, propose("pay", "c")).await;
    turned_away(&mut greedy, propose("pay", "e")).await;
}
