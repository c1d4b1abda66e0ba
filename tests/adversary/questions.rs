//! How much open questions may take: of memory, and of the room of others.

use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::{self, EndingKind, Outcome};
use tonic::Code;

use crate::cage::peak_mib;
use crate::harness::{Setup, approval, ask, ending, masked, params, pending, propose, refusal, with_token, yes};

const RULES: &str = "
rules:
  - {name: refuse, match: {type: pay}, conditions: {param_eq: {to: nobody}}, approval: block}
  - {name: pay, match: {type: pay}, approval: approve, redact: [card]}
";

/// A proposal with so many bytes of text in its parameters.
fn large(to: &str, bytes: usize) -> v1::ProposeRequest {
    let mut request = propose("pay", to);
    let text = "x".repeat(bytes);
    request.action.as_mut().expect("an action").params =
        params(serde_json::json!({"to": to, "text": text, "card": "4111"}));
    request
}

#[tokio::test]
async fn bytes_of_open_questions_are_bounded_for_one_caller_and_for_all_without_a_credential() {
    let limits = ["--max-pending-bytes", "400000", "--max-pending-bytes-per-caller", "150000"];
    let daemon = Setup::new().policy(RULES).args(&limits).start();
    let mut agent = daemon.agent().await;
    ask(&mut agent, large("bank", 100_000)).await;
    let full = agent.propose(large("bank", 100_000)).await.unwrap_err();
    assert_eq!(refusal(&full), (Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS".to_owned()));
    assert!(full.message().contains("(--max-pending-bytes-per-caller)"), "{}", full.message());
    ask(&mut agent, large("bank", 10_000)).await;

    let limits = ["--max-pending-bytes", "400000", "--max-pending-bytes-per-caller", "250000"];
    let daemon = daemon.restart_with(&limits);
    let mut agent = daemon.agent().await;
    let full = agent.propose(large("bank", 100_000)).await.unwrap_err();
    assert!(full.message().contains("(--anonymous-share of --max-pending-bytes)"), "{}", full.message());
    let (secret, _) = daemon.token("robot", &[v1::Role::Agent]).await;
    let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
    robot.propose(large("bank", 200_000)).await.expect("there is room beside them");
}

#[tokio::test]
async fn large_questions_stay_on_disk_and_are_shown_and_decided_whole() {
    const MANY: usize = 60;
    const BYTES: usize = 900_000;
    let limits = ["--max-pending-bytes-per-caller", "100000000", "--max-pending-bytes", "100000000"];
    let daemon = Setup::new().policy(RULES).args(&limits).args(&["--anonymous-share", "100"]).start();
    let mut agent = daemon.agent().await;
    let mut asked = Vec::new();
    for _ in 0..MANY {
        asked.push(ask(&mut agent, large("bank", BYTES)).await);
    }
    assert!(peak_mib(&daemon) < 200, "{} MiB for {MANY} questions", peak_mib(&daemon));
    let daemon = daemon.restart();
    let mut reviewer = daemon.reviewer().await;
    let listed = pending(&mut reviewer).await;
    assert_eq!(listed.len(), MANY);
    for (listed, asked) in listed.iter().zip(&asked) {
        assert_eq!(listed.approval_id, asked.approval_id);
        assert_eq!(masked(&listed.masked), ["card"]);
        let shown = listed.action.as_ref().unwrap().params.as_ref().unwrap();
        assert_eq!(shown.fields["text"], prost_types::Value::from("x".repeat(BYTES)));
    }
    assert!(peak_mib(&daemon) < 200, "{} MiB for {MANY} questions after a restart", peak_mib(&daemon));

    let ended = ending(reviewer.approve(yes(&asked[0], "")).await.unwrap().into_inner().approval);
    assert_eq!(ended.kind(), EndingKind::Approved);
    // The policy by now sees the parameters that are on disk.
    std::fs::write(daemon.policy_file(), RULES.replace("to: nobody", "to: bank")).unwrap();
    daemon.policy_after(&asked[0].policy_revision).await;
    let ended = ending(reviewer.approve(yes(&asked[1], "")).await.unwrap().into_inner().approval);
    assert_eq!((ended.kind(), ended.code.as_str()), (EndingKind::Denied, "POLICY_CHANGED"));
    assert_eq!(approval(&mut reviewer, &asked[1]).await.ending, Some(ended));
    assert_eq!(daemon.row(&asked[1].decision_id).await.outcome(), Outcome::Deny);
}
