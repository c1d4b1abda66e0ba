//! What an agent is answered, and what stands on the record then.

use aegis::proto::v1::{self, Outcome, ResultStatus};

use crate::harness::{Setup, fields, masked, params, propose, reason, report, result_of, seconds};

const CONFIRM: &str = "
rules:
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto, constraints: {max_rows: 100}}
  - {name: mail, match: {type: 'send_*'}, approval: confirm, timeout: 1h}
  - {name: pay, match: {type: pay}, approval: approve, redact: [card], reason: money moves}
  - {name: deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

#[tokio::test]
async fn what_the_policy_allows_is_allowed_with_its_constraints_and_recorded() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let decision = agent.propose(propose("read_rows", "crm")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Allow);
    assert_eq!(decision.matched_rule, "reads");
    assert_eq!(decision.constraints, params(serde_json::json!({"max_rows": 100})));

    let row = daemon.row(&decision.decision_id).await;
    assert_eq!((row.number, row.matched_rule.as_str(), row.audit_ref), (1, "reads", decision.audit_ref));
    assert_eq!(row.timestamp, decision.timestamp);
}

#[tokio::test]
async fn a_denial_is_an_answer_and_shows_as_blocked() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let decision = agent.propose(propose("delete_all", "crm")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Deny);
    assert_eq!(result_of(&daemon.row(&decision.decision_id).await), ResultStatus::Blocked);
}

#[tokio::test]
async fn an_agent_that_waits_hears_the_reviewer() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let ask = v1::ProposeRequest { wait: seconds(60), ..propose("pay", "bank") };
    let waiting = tokio::spawn(async move { agent.propose(ask).await });

    let mut reviewer = daemon.reviewer().await;
    let approval =
        crate::harness::eventually("a pending approval", || {
            let mut reviewer = reviewer.clone();
            async move {
                reviewer.list_approvals(v1::ListApprovalsRequest::default()).await.ok()?.into_inner().approvals.pop()
            }
        })
        .await;
    let approve = v1::ApproveRequest {
        approval_id: approval.approval_id,
        expected_action_digest: approval.action_digest,
        reason: "checked the invoice".into(),
    };
    reviewer.approve(approve).await.unwrap();

    let decision = waiting.await.unwrap().unwrap().into_inner().decision.unwrap();
    assert_eq!(decision.outcome(), Outcome::Allow);
    assert!(decision.reason.contains("checked the invoice"), "{}", decision.reason);
    let ending = daemon.row(&decision.decision_id).await.ending.unwrap();
    assert_eq!((ending.kind(), ending.reason.as_str()), (v1::EndingKind::Approved, "checked the invoice"));
    let by = ending.by.unwrap();
    assert!(by.subject.starts_with("local:"), "the name comes from the credential: {}", by.subject);
    assert_eq!(by.how, "unix_peer");
}

#[tokio::test]
async fn a_confirmation_token_works_once_and_for_this_action_only() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let asked = agent.propose(propose("send_mail", "bob")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(asked.outcome(), Outcome::RequireConfirmation);

    let with_token = |target: &str| v1::ProposeRequest {
        confirmation_token: asked.confirmation_token.clone(),
        ..propose("send_mail", target)
    };
    let other = agent.propose(with_token("eve")).await.unwrap_err();
    assert_eq!((other.code(), reason(&other).as_str()), (tonic::Code::FailedPrecondition, "CONFIRMATION_INVALID"));

    let confirmed = agent.propose(with_token("bob")).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(confirmed.outcome(), Outcome::Allow);
    assert!(confirmed.reason.contains(&asked.decision_id));

    let again = agent.propose(with_token("bob")).await.unwrap_err();
    assert!(again.message().contains("already used"), "{}", again.message());
}

#[tokio::test]
async fn a_retry_with_the_same_key_is_the_same_proposal() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    for r#type in ["read_rows", "pay", "send_mail"] {
        let ask = v1::ProposeRequest {
            idempotency_key: format!("the key of {type}, once", r#type = r#type),
            ..propose(r#type, "x")
        };
        let first = agent.propose(ask.clone()).await.unwrap().into_inner().decision.unwrap();
        let again = agent.propose(ask.clone()).await.unwrap().into_inner().decision.unwrap();
        assert_eq!(again, v1::Decision { replayed: true, ..first });

        let other = v1::ProposeRequest { action: propose(r#type, "y").action, ..ask };
        let refused = agent.propose(other).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::InvalidArgument);
        assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
        assert_eq!(fields(&refused), ["idempotency_key"]);
    }
    assert_eq!(daemon.rows().await.len(), 3);
}

#[tokio::test]
async fn what_came_of_an_action_is_reported_once_and_a_rollback_after_it() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let decision = agent.propose(propose("read_rows", "crm")).await.unwrap().into_inner().decision.unwrap();
    let report = |status: ResultStatus| {
        let mut report = report(&decision.decision_id, status);
        report.result.as_mut().unwrap().error = "disk on fire".into();
        report
    };
    let first = agent.report_result(report(ResultStatus::Failed)).await.unwrap().into_inner();
    assert!(first.audit_ref.starts_with("aud_"));
    let again = agent.report_result(report(ResultStatus::Failed)).await.unwrap().into_inner();
    assert_eq!(again, first, "the same report again makes no second record");
    let other = agent.report_result(report(ResultStatus::Success)).await.unwrap_err();
    assert_eq!(reason(&other), "NOT_REPORTABLE");
    agent.report_result(report(ResultStatus::RolledBack)).await.unwrap();
    assert_eq!(result_of(&daemon.row(&decision.decision_id).await), ResultStatus::RolledBack);
}

#[tokio::test]
async fn who_never_reports_shows_as_unknown() {
    let daemon = Setup::new().policy(CONFIRM).args(&["--unreported-after", "1ms"]).start();
    let mut agent = daemon.agent().await;
    let decision = agent.propose(propose("read_rows", "crm")).await.unwrap().into_inner().decision.unwrap();
    let id = &decision.decision_id;
    crate::harness::eventually("the row reads unknown", || async {
        (result_of(&daemon.row(id).await) == ResultStatus::Unknown).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_withdrawn_proposal_is_denied_and_leaves_the_queue() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let decision = agent.propose(propose("pay", "bank")).await.unwrap().into_inner().decision.unwrap();
    let cancel = v1::CancelProposalRequest { decision_id: decision.decision_id.clone(), reason: "no need".into() };
    let cancelled = agent.cancel_proposal(cancel.clone()).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(cancelled.outcome(), Outcome::Deny);
    let pending = daemon.reviewer().await.list_approvals(v1::ListApprovalsRequest::default()).await.unwrap();
    assert!(pending.into_inner().approvals.is_empty());
    let again = agent.cancel_proposal(cancel).await.unwrap().into_inner().decision.unwrap();
    assert_eq!(again, cancelled, "the same answer again");
    assert_eq!((again.outcome(), again.code()), (Outcome::Deny, v1::DecisionCode::Cancelled));
}

#[tokio::test]
async fn masked_values_are_nowhere_on_the_record() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let mut ask = propose("pay", "bank");
    let action = ask.action.as_mut().unwrap();
    action.params = params(serde_json::json!({"card": "4111-1111", "amount": 5}));
    action.description = "pays with 4111-1111".into();
    let decision = agent.propose(ask).await.unwrap().into_inner().decision.unwrap();
    let row = daemon.row(&decision.decision_id).await;
    assert_eq!(masked(&row.masked), ["card"]);
    assert_eq!((row.masked[0].length, row.masked[0].start), (9, None), "the whole value, and how long it was");
    assert!(!format!("{row:?}").contains("4111"), "{row:?}");
    let file = daemon.stored();
    assert!(!file.windows(9).any(|window| window == b"4111-1111"));
}

#[tokio::test]
async fn secrets_that_nobody_named_are_nowhere_on_the_record() {
    let daemon = Setup::new().policy(CONFIRM).start();
    let mut agent = daemon.agent().await;
    let mut asks = [propose("pay", "bank"), propose("read_rows", "crm")];
    for ask in &mut asks {
        let action = ask.action.as_mut().unwrap();
        action.params = params(serde_json::json!({
            "login": {"user": "ada", "Password": "hunter-2222"},
            "url": "postgres://ada:pa55-word@db/x",
            "count": 5,
        }));
        action.description = "logs in with hunter-2222".into();
    }
    let [pay, read] = asks;
    let pay = agent.propose(pay).await.unwrap().into_inner().decision.unwrap();
    let read = agent.propose(read).await.unwrap().into_inner().decision.unwrap();
    let get = v1::GetApprovalRequest { approval_id: pay.approval_id };
    let shown = daemon.reviewer().await.get_approval(get).await.unwrap().into_inner().approval.unwrap();
    let said = format!("{shown:?}");
    assert!(!said.contains("hunter") && !said.contains("pa55"), "{said}");
    assert!(said.contains("logs in with [masked, 11 characters]"), "{said}");

    let mut report = report(&read.decision_id, ResultStatus::Failed);
    let said = "the server said: hunter-2222 is wrong; try Bearer abcdefghijklmnopqrst";
    report.result.as_mut().unwrap().error = said.into();
    let first = agent.report_result(report.clone()).await.unwrap().into_inner();
    // The masked values are forgotten by now, and the report is known all the same.
    assert_eq!(agent.report_result(report.clone()).await.unwrap().into_inner(), first);
    report.result.as_mut().unwrap().error = said.replace("2222", "3333");
    assert_eq!(reason(&agent.report_result(report).await.unwrap_err()), "NOT_REPORTABLE");
    let rows = [daemon.row(&pay.decision_id).await, daemon.row(&read.decision_id).await];
    assert_eq!(masked(&rows[0].masked), ["login.Password", "url"]);
    assert_eq!(
        rows[1].result.as_ref().unwrap().error,
        "the server said: [masked, 11 characters] is wrong; try Bearer [masked, 20 characters]"
    );
    // Equal values can be told to be equal, and nothing else.
    let of_params = rows[0].masked.iter().filter(|mask| !mask.path.is_empty());
    assert!(of_params.clone().count() > 0 && of_params.clone().all(|mask| mask.digest.len() == 64));
    assert_eq!(rows[0].masked, rows[1].masked);
    assert!(shown.masked.iter().all(|mask| mask.digest.is_empty()), "a reviewer has no use for digests");
    let file = daemon.stored();
    for secret in [&b"hunter-2222"[..], b"pa55-word", b"abcdefghijklmnopqrst"] {
        assert!(!file.windows(secret.len()).any(|window| window == secret));
    }
}
