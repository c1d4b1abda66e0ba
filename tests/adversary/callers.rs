//! Whose a decision is: who may follow it, who may review it, and how often an ALLOW is good.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use aegis::proto::v1::approval_service_client::ApprovalServiceClient;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use aegis::proto::v1::{self, Outcome, ResultStatus};
use tonic::Code;

use crate::harness::{
    AEGIS, Agent, Daemon, Setup, as_nobody, ask, awaited, fields, params, propose, refusal, result_of, stderr, stdout,
    unix, with_token, yes,
};

const RULES: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: mail, match: {type: mail}, approval: confirm, timeout: 1h}
  - {name: pay, match: {type: pay}, approval: approve, redact: [card]}
";

fn keyed(key: &str, r#type: &str) -> v1::ProposeRequest {
    v1::ProposeRequest { idempotency_key: key.into(), ..propose(r#type, "crm") }
}

async fn report(agent: &mut Agent, decision: &v1::Decision, status: ResultStatus) -> Result<(), tonic::Status> {
    agent.report_result(crate::harness::report(&decision.decision_id, status)).await.map(drop)
}

#[tokio::test]
async fn an_action_that_was_reported_is_not_allowed_again_by_the_same_key() {
    let daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    for (key, status) in [("a key that succeeds", ResultStatus::Success), ("a key that fails", ResultStatus::Failed)] {
        let first = ask(&mut agent, keyed(key, "read")).await;
        assert_eq!(ask(&mut agent, keyed(key, "read")).await.outcome(), Outcome::Allow, "a retry before any report");
        report(&mut agent, &first, status).await.unwrap();

        let word = if status == ResultStatus::Success { "reported as success" } else { "reported as failed" };
        let spent = ask(&mut agent, keyed(key, "read")).await;
        assert_eq!((spent.outcome(), &spent.decision_id), (Outcome::Deny, &first.decision_id));
        assert!(spent.reason.contains(word), "{}", spent.reason);
        let waited = awaited(&mut agent, &first.decision_id, 0).await;
        assert_eq!((waited.outcome(), waited.reason), (Outcome::Deny, spent.reason));
        let row = daemon.row(&first.decision_id).await;
        assert_eq!((row.outcome(), result_of(&row)), (Outcome::Allow, status), "the record says what happened");
    }
    assert_eq!(daemon.rows().await.len(), 2);
}

#[tokio::test]
async fn a_retry_of_what_the_policy_blocks_by_now_is_denied_and_on_the_record() {
    let daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    let key = "the key of a read";
    let first = ask(&mut agent, keyed(key, "read")).await;
    std::fs::write(daemon.policy_file(), "rules: [{name: closed, match: {type: read}, approval: block}]").unwrap();
    let revision = daemon.policy_after(&first.policy_revision).await;

    let denied = ask(&mut agent, keyed(key, "read")).await;
    assert_eq!((denied.outcome(), &denied.decision_id), (Outcome::Deny, &first.decision_id));
    assert!(denied.reason.contains("closed"), "{}", denied.reason);
    let [event] = &daemon.events("replay_denied")[..] else { panic!("it is on the record once") };
    assert_eq!(event["decision_id"], first.decision_id);
    assert_eq!(event["policy_revision"], revision);

    // Whoever was told ALLOW at first may have run it: that can be reported still.
    report(&mut agent, &first, ResultStatus::Success).await.unwrap();
    assert_eq!(result_of(&daemon.row(&first.decision_id).await), ResultStatus::Success);
}

#[tokio::test]
async fn a_key_that_others_could_guess_is_for_callers_with_a_credential() {
    let daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    let refused = agent.propose(keyed("fifteen letters", "read")).await.unwrap_err();
    assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["idempotency_key".to_owned()]));
    assert!(refused.message().contains("at least 16 characters"), "{}", refused.message());
    ask(&mut agent, keyed("sixteen letters!", "read")).await;
    // Characters, not bytes.
    assert_eq!(agent.propose(keyed(&"\u{20ac}".repeat(15), "read")).await.unwrap_err().code(), Code::InvalidArgument);

    let (secret, _) = daemon.token("robot", &[v1::Role::Agent]).await;
    let mut robot = GovernanceServiceClient::new(with_token(daemon.tcp().await, &secret));
    robot.propose(keyed("1", "read")).await.unwrap();
}

/// A daemon with a unix socket for agents, where the kernel names whoever calls.
fn with_socket() -> (Daemon, std::path::PathBuf) {
    let setup = Setup::new().policy(RULES);
    let socket = setup.home().join("agent.sock");
    let daemon = setup.args(&["--uds", socket.to_str().expect("a path of text")]).start();
    (daemon, socket)
}

#[tokio::test]
async fn callers_without_a_credential_are_told_apart_by_what_the_kernel_knows() {
    let (daemon, socket) = with_socket();
    let (mut ours, mut theirs) = (GovernanceServiceClient::new(unix(&socket).await), daemon.agent().await);
    let key = "the same key for both";
    let asked = ask(&mut ours, keyed(key, "mail")).await;
    let allowed = ask(&mut ours, propose("read", "crm")).await;

    let other = ask(&mut theirs, keyed(key, "mail")).await;
    assert_ne!(other.decision_id, asked.decision_id, "a key is each caller's own");
    assert_ne!(other.confirmation_token, asked.confirmation_token);
    let stolen = v1::ProposeRequest { confirmation_token: asked.confirmation_token.clone(), ..propose("mail", "crm") };
    assert_eq!(refusal(&theirs.propose(stolen.clone()).await.unwrap_err()).1, "CONFIRMATION_INVALID");
    let wait = v1::AwaitDecisionRequest { decision_id: asked.decision_id.clone(), wait: None };
    let cancel = v1::CancelProposalRequest { decision_id: asked.decision_id.clone(), reason: String::new() };
    for refused in [
        theirs.await_decision(wait).await.map(drop),
        theirs.cancel_proposal(cancel.clone()).await.map(drop),
        report(&mut theirs, &allowed, ResultStatus::Success).await,
    ] {
        assert_eq!(refusal(&refused.unwrap_err()), (Code::NotFound, "NO_SUCH_DECISION".to_owned()));
    }

    // Another connection of the same user is the same caller, before and after a restart.
    let daemon = daemon.restart();
    let mut again = GovernanceServiceClient::new(unix(&socket).await);
    assert_eq!(ask(&mut again, keyed(key, "mail")).await, v1::Decision { replayed: true, ..asked });
    assert_eq!(ask(&mut again, stolen).await.outcome(), Outcome::Allow);
    report(&mut again, &allowed, ResultStatus::Success).await.unwrap();
    drop(daemon);
}

#[tokio::test]
async fn a_token_over_the_connection_of_the_proposal_reviews_nothing() {
    let daemon = Setup::new().policy(RULES).start();
    let channel = daemon.tcp().await;
    let decision = ask(&mut GovernanceServiceClient::new(channel.clone()), propose("pay", "bank")).await;
    let (secret, _) = daemon.token("ada", &[v1::Role::Reviewer]).await;
    let refused =
        ApprovalServiceClient::new(with_token(channel, &secret)).approve(yes(&decision, "")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::PermissionDenied, "OWN_PROPOSAL".to_owned()));
    let mut elsewhere = ApprovalServiceClient::new(with_token(daemon.tcp().await, &secret));
    elsewhere.approve(yes(&decision, "")).await.unwrap();
}

#[tokio::test]
async fn a_user_of_this_machine_reviews_nothing_of_its_own_whatever_token_it_has() {
    let (daemon, socket) = with_socket();
    let open = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let binary = daemon.home.path().join("aegis");
    std::fs::copy(AEGIS, &binary).unwrap();
    open(daemon.home.path(), 0o755);
    open(&socket, 0o666);
    let (secret, _) = daemon.token("ada", &[v1::Role::Reviewer]).await;
    let endpoint = format!("unix:{}", socket.display());
    let propose = ["propose", "pay", "bank", "--format", "json", "--endpoint", &endpoint];
    let Some(proposed) = as_nobody(&binary, &propose, &[]) else { return };
    let said = stdout(&proposed);
    let decision: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}{}", stderr(&proposed)));
    let approve = ["approve", decision["approval_id"].as_str().unwrap(), "--endpoint", &endpoint];

    let own = as_nobody(&binary, &approve, &[("AEGIS_TOKEN", &secret)]).unwrap();
    assert!(!own.status.success() && stderr(&own).contains("same user of this machine"), "{}", stderr(&own));
    // After a restart too: who proposed stands on the record.
    let daemon = daemon.restart();
    open(&socket, 0o666);
    let own = as_nobody(&binary, &approve, &[("AEGIS_TOKEN", &secret)]).unwrap();
    assert!(!own.status.success() && stderr(&own).contains("same user of this machine"), "{}", stderr(&own));
    let other = daemon.cli(&approve[..2]);
    assert!(other.status.success(), "{}", stderr(&other));
}

#[tokio::test]
async fn nobody_can_guess_a_masked_value_from_the_digest_beside_it() {
    let daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    let mut request = propose("pay", "bank");
    request.action.as_mut().unwrap().params = params(serde_json::json!({"card": "4111"}));
    let (one, two) = (ask(&mut agent, request.clone()).await, ask(&mut agent, request).await);
    assert_ne!(one.action_digest, two.action_digest, "equal actions do not show as such");
    let guess = serde_json::json!({
        "actor": {"id": "agent-7"}, "description": "", "params": {"card": "4111"}, "session_id": "", "target": "bank",
        "type": "pay",
    });
    let guess = aegis::domain::Digest::of(guess.to_string().as_bytes()).to_string();
    for decision in [&one, &two] {
        assert_ne!(decision.action_digest, guess);
        assert_eq!(daemon.row(&decision.decision_id).await.action_digest, decision.action_digest);
    }
}

#[tokio::test]
async fn a_daemon_whose_secret_is_lost_says_so_and_how_to_go_on() {
    let mut daemon = Setup::new().policy(RULES).start();
    let mut agent = daemon.agent().await;
    let first = ask(&mut agent, keyed("the key of a read", "read")).await;
    daemon.kill();
    let secret = daemon.data_dir().join("token-key");
    std::fs::remove_file(&secret).unwrap();
    let (status, said) = Setup::over(&daemon).refuse();
    assert!(!status.success());
    assert!(said.contains("token-key: this file is missing") && said.contains("install -m 600 /dev/null"), "{said}");

    let made = std::process::Command::new("install").args(["-m", "600", "/dev/null"]).arg(&secret).status().unwrap();
    assert!(made.success());
    let daemon = daemon.restart();
    let refused = daemon.agent().await.propose(keyed("the key of a read", "read")).await.unwrap_err();
    assert_eq!(
        refusal(&refused).1,
        "IDEMPOTENCY_KEY_REUSED",
        "nobody can tell whether it is the same action: not allowed twice"
    );
    assert_eq!(daemon.row(&first.decision_id).await.outcome(), Outcome::Allow);
}
