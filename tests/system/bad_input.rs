//! Requests that make no sense: each is refused with a clear status, and with the path of the field where there is one.

use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use prost_types::value::Kind;
use prost_types::{ListValue, Struct, Timestamp, Value};
use serde_json::json;
use tonic::{Code, Status};

use crate::harness::{Setup, ended_by, eventually, fields, params, propose, reason, report, seconds};

/// Refused as a request whose fields are wrong: exactly these, in any order.
fn names(status: &Status, expected: &[&str]) {
    let sorted = |mut fields: Vec<String>| {
        fields.sort_unstable();
        fields
    };
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_REQUEST"), "{status:?}");
    let expected = expected.iter().map(|field| (*field).to_owned()).collect();
    assert_eq!(sorted(fields(status)), sorted(expected), "{status:?}");
}

fn refused(status: &Status, code: Code, why: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (code, why), "{status:?}");
}

fn with_params(params: Option<Struct>) -> v1::ProposeRequest {
    let mut ask = propose("read", "crm");
    ask.action.as_mut().unwrap().params = params;
    ask
}

fn value(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn object(key: &str, item: Value) -> Struct {
    Struct { fields: [(key.to_owned(), item)].into() }
}

#[tokio::test]
async fn a_proposal_without_an_action_or_a_type_is_refused() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    names(&agent.propose(v1::ProposeRequest::default()).await.unwrap_err(), &["action.type"]);
    names(&agent.propose(propose("", "crm")).await.unwrap_err(), &["action.type"]);
    assert!(daemon.rows().await.is_empty(), "what is no proposal is on no record");
}

#[tokio::test]
async fn texts_are_bounded_and_everything_that_is_wrong_is_said_at_once() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    let long = |bytes: usize| "x".repeat(bytes);
    let at_the_limit = v1::ProposeRequest {
        actor: Some(v1::Actor { id: long(256), r#type: long(256) }),
        action: Some(v1::Action { r#type: long(1024), target: long(8192), description: long(16 << 10), params: None }),
        context: Some(v1::ProposalContext { session_id: long(256), metadata: None }),
        idempotency_key: long(256),
        ..v1::ProposeRequest::default()
    };
    agent.propose(at_the_limit).await.unwrap();

    let beyond = v1::ProposeRequest {
        actor: Some(v1::Actor { id: long(257), r#type: long(257) }),
        action: Some(v1::Action {
            r#type: long(1025),
            target: long(8193),
            description: long((16 << 10) + 1),
            params: None,
        }),
        context: Some(v1::ProposalContext { session_id: long(257), metadata: None }),
        idempotency_key: long(257),
        confirmation_token: long(257),
        wait: seconds(-1),
    };
    names(
        &agent.propose(beyond).await.unwrap_err(),
        &[
            "actor.id",
            "actor.type",
            "action.type",
            "action.target",
            "action.description",
            "context.session_id",
            "idempotency_key",
            "confirmation_token",
            "wait",
        ],
    );
}

#[tokio::test]
async fn a_wait_is_between_nothing_and_an_hour() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    let asked = agent.propose(propose("bulk_update", "crm")).await.unwrap().into_inner().decision.unwrap();
    for wait in [-1, 3601, i64::MAX, i64::MIN].map(seconds) {
        let ask = v1::ProposeRequest { wait, ..propose("read", "crm") };
        names(&agent.propose(ask).await.unwrap_err(), &["wait"]);
        let again = v1::AwaitDecisionRequest { decision_id: asked.decision_id.clone(), wait };
        names(&agent.await_decision(again).await.unwrap_err(), &["wait"]);
    }
    let at_the_limit = v1::ProposeRequest { wait: seconds(3600), ..propose("read", "crm") };
    agent.propose(at_the_limit).await.unwrap();
}

#[tokio::test]
async fn numbers_that_json_has_not_are_named_with_their_path() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let number = value(Kind::NumberValue(number));
        let list = value(Kind::ListValue(ListValue { values: vec![value(Kind::BoolValue(true)), number.clone()] }));
        let nested = Some(object("scores", value(Kind::StructValue(object("today", list)))));
        names(&agent.propose(with_params(nested.clone())).await.unwrap_err(), &["action.params.scores.today[1]"]);
        let context = v1::ProposalContext { session_id: String::new(), metadata: nested };
        let ask = v1::ProposeRequest { context: Some(context), ..propose("read", "crm") };
        names(&agent.propose(ask).await.unwrap_err(), &["context.metadata.scores.today[1]"]);

        let allowed = agent.propose(propose("read", "crm")).await.unwrap().into_inner().decision.unwrap();
        let status = v1::ResultStatus::Success.into();
        let result = v1::ActionResult { status, data: Some(number), ..v1::ActionResult::default() };
        let report = v1::ReportResultRequest { decision_id: allowed.decision_id, result: Some(result) };
        names(&agent.report_result(report).await.unwrap_err(), &["result.data"]);
    }
}

#[tokio::test]
async fn parameters_are_bounded_in_size_and_depth() {
    let daemon = Setup::new().args(&["--max-params-bytes", "1000", "--max-params-depth", "4"]).start();
    let mut agent = daemon.agent().await;
    let large = agent.propose(with_params(params(json!({"a": "x".repeat(1000)})))).await.unwrap_err();
    names(&large, &["action.params"]);
    assert!(large.message().contains("--max-params-bytes"), "{}", large.message());

    agent.propose(with_params(params(json!({"a": {"b": {"c": 1}}})))).await.unwrap();
    let deep = agent.propose(with_params(params(json!({"a": {"b": {"c": {"d": 1}}}})))).await.unwrap_err();
    names(&deep, &["action.params.a.b.c.d"]);
    assert!(deep.message().contains("--max-params-depth"), "{}", deep.message());
}

#[tokio::test]
async fn ids_that_are_no_ids_and_ids_of_nothing_are_told_apart() {
    let daemon = Setup::new().start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let uuid = "0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
    let digest = "ab".repeat(32);
    for wrong in ["", "nonsense", uuid, "dec_", "dec_0197a9e0", "apr_\u{202e}", "x' OR 1=1", &"9".repeat(100_000)] {
        let id = wrong.to_owned();
        let request = v1::AwaitDecisionRequest { decision_id: id.clone(), wait: None };
        names(&agent.await_decision(request).await.unwrap_err(), &["decision_id"]);
        let request = v1::CancelProposalRequest { decision_id: id.clone(), reason: String::new() };
        names(&agent.cancel_proposal(request).await.unwrap_err(), &["decision_id"]);
        let request = report(&id, v1::ResultStatus::Success);
        names(&agent.report_result(request).await.unwrap_err(), &["decision_id"]);

        let request = v1::GetApprovalRequest { approval_id: id.clone() };
        names(&reviewer.get_approval(request).await.unwrap_err(), &["approval_id"]);
        let expected_action_digest = digest.clone();
        let request = v1::ApproveRequest { approval_id: id.clone(), expected_action_digest, reason: String::new() };
        names(&reviewer.approve(request).await.unwrap_err(), &["approval_id"]);
        let expected_action_digest = digest.clone();
        let request = v1::DenyRequest { approval_id: id.clone(), expected_action_digest, reason: String::new() };
        names(&reviewer.deny(request).await.unwrap_err(), &["approval_id"]);
        if !wrong.is_empty() {
            let request = v1::ListApprovalsRequest { page_token: id.clone(), ..v1::ListApprovalsRequest::default() };
            names(&reviewer.list_approvals(request).await.unwrap_err(), &["page_token"]);
            let filter = Some(v1::AuditFilter { decision_id: id.clone(), ..v1::AuditFilter::default() });
            let request = v1::StreamAuditRequest { filter, ..v1::StreamAuditRequest::default() };
            names(&daemon.auditor().await.stream_audit(request).await.unwrap_err(), &["filter.decision_id"]);
            let revision = daemon.admin().await.get_policy(v1::GetPolicyRequest { revision: id }).await;
            names(&revision.unwrap_err(), &["revision"]);
        }
    }

    let (dec, apr) = (format!("dec_{uuid}"), format!("apr_{uuid}"));
    let request = v1::AwaitDecisionRequest { decision_id: dec.clone(), wait: seconds(60) };
    refused(&agent.await_decision(request).await.unwrap_err(), Code::NotFound, "NO_SUCH_DECISION");
    let request = v1::CancelProposalRequest { decision_id: dec.clone(), reason: String::new() };
    refused(&agent.cancel_proposal(request).await.unwrap_err(), Code::NotFound, "NO_SUCH_DECISION");
    let revision = daemon.admin().await.get_policy(v1::GetPolicyRequest { revision: digest.clone() }).await;
    refused(&revision.unwrap_err(), Code::NotFound, "NO_SUCH_REVISION");
    let request = v1::GetApprovalRequest { approval_id: apr.clone() };
    refused(&reviewer.get_approval(request).await.unwrap_err(), Code::NotFound, "NO_SUCH_APPROVAL");
    let request = v1::ApproveRequest { approval_id: apr, expected_action_digest: digest, reason: String::new() };
    refused(&reviewer.approve(request).await.unwrap_err(), Code::NotFound, "NO_SUCH_APPROVAL");
}

#[tokio::test]
async fn an_approval_that_expired_is_neither_approved_nor_denied() {
    let policy = "rules: [{name: pay, match: {type: pay}, approval: approve, timeout: 1s}]";
    let daemon = Setup::new().policy(policy).start();
    let asked = daemon.agent().await.propose(propose("pay", "bank")).await.unwrap().into_inner().decision.unwrap();
    eventually("the approval expires", async || daemon.row(&asked.decision_id).await.ending).await;

    let mut reviewer = daemon.reviewer().await;
    let (approval_id, digest) = (asked.approval_id, asked.action_digest);
    let reason = "too late".to_owned();
    let request = v1::ApproveRequest {
        approval_id: approval_id.clone(),
        expected_action_digest: digest.clone(),
        reason: reason.clone(),
    };
    let late = reviewer.approve(request).await.unwrap_err();
    refused(&late, Code::FailedPrecondition, "APPROVAL_EXPIRED");
    assert!(late.message().contains("nobody answered in time"), "{}", late.message());
    let request = v1::DenyRequest { approval_id, expected_action_digest: digest, reason };
    refused(&reviewer.deny(request).await.unwrap_err(), Code::FailedPrecondition, "APPROVAL_EXPIRED");
    let row = daemon.row(&asked.decision_id).await;
    assert_eq!((row.outcome(), row.ending.unwrap().kind()), (v1::Outcome::Deny, v1::EndingKind::Expired));
}

#[tokio::test]
async fn who_decides_second_is_told_who_was_first_and_when() {
    use tonic_types::StatusExt as _;

    let daemon = Setup::new().start();
    let asked =
        daemon.agent().await.propose(propose("bulk_update", "crm")).await.unwrap().into_inner().decision.unwrap();
    let mut reviewer = daemon.reviewer().await;
    let digest = asked.action_digest;
    let approve = |digest: &str| v1::ApproveRequest {
        approval_id: asked.approval_id.clone(),
        expected_action_digest: digest.to_owned(),
        reason: String::new(),
    };
    names(&reviewer.approve(approve("")).await.unwrap_err(), &["expected_action_digest"]);
    names(&reviewer.approve(approve(&digest[1..])).await.unwrap_err(), &["expected_action_digest"]);
    let other = reviewer.approve(approve(&"ab".repeat(32))).await.unwrap_err();
    refused(&other, Code::FailedPrecondition, "DIGEST_MISMATCH");

    let first = reviewer.approve(approve(&digest)).await.unwrap().into_inner().approval.unwrap().ending.unwrap();
    let deny = v1::DenyRequest {
        approval_id: asked.approval_id.clone(),
        expected_action_digest: digest.clone(),
        reason: String::new(),
    };
    let second = reviewer.deny(deny).await.unwrap_err();
    refused(&second, Code::FailedPrecondition, "ALREADY_DECIDED");
    let told = second.get_details_error_info().unwrap().metadata;
    assert_eq!((told["by"].as_str(), told["ending"].as_str()), (ended_by(&first), "approved"));
    let at = first.ended_at.unwrap();
    let told: aegis::domain::Timestamp = told["at"].parse().unwrap();
    assert_eq!((told.as_second(), told.subsec_nanosecond()), (at.seconds, at.nanos));
    assert!(second.message().contains("already approved by local:"), "{}", second.message());
}

#[tokio::test]
async fn why_and_when_else_are_for_auditors() {
    let policy = "
rules:
  - {name: pay, match: {type: pay}, conditions: {param_eq: {card: 4111-1111}, param_gt: {amount: 100}}, redact: [card]}
";
    let daemon = Setup::new().policy(policy).start();
    let mut agent = daemon.agent().await;
    let mut action = propose("pay", "bank").action;
    action.as_mut().unwrap().params = params(json!({"card": "4111-1111", "amount": 5}));
    let item = v1::EvaluateItem { actor: None, action };
    let plain = v1::EvaluateRequest { items: vec![item], at: None, explain: false };
    let explain = v1::EvaluateRequest { explain: true, ..plain.clone() };
    let at = v1::EvaluateRequest { at: Some(Timestamp { seconds: 0, nanos: 0 }), ..plain.clone() };

    agent.evaluate(plain).await.unwrap();
    for asks in [&explain, &at] {
        refused(&agent.evaluate(asks.clone()).await.unwrap_err(), Code::PermissionDenied, "ROLE_REQUIRED");
    }

    let mut auditor = GovernanceServiceClient::new(daemon.socket().await);
    auditor.evaluate(at).await.unwrap();
    let batch = v1::EvaluateRequest { items: vec![explain.items[0].clone(); 1000], ..explain };
    let answer = auditor.evaluate(batch.clone()).await.unwrap().into_inner();
    assert_eq!(answer.evaluations.len(), 1000);
    let trace = &answer.evaluations[0].trace;
    assert_eq!(trace[0].rule, "pay");
    assert!(!trace[0].conditions.is_empty());
    // What the policy itself names is the auditor's to see; what the agent sent is not.
    let seen: Vec<_> = trace[0].conditions.iter().map(|condition| condition.seen.as_str()).collect();
    assert!(seen.iter().all(|seen| !seen.contains("4111")), "{seen:?}");
    assert!(seen.iter().any(|seen| seen.contains("masked")), "{seen:?}");

    let one_more = v1::EvaluateRequest { items: vec![batch.items[0].clone(); 1001], ..batch.clone() };
    names(&auditor.evaluate(one_more).await.unwrap_err(), &["items"]);
    names(&auditor.evaluate(v1::EvaluateRequest::default()).await.unwrap_err(), &["items"]);
    let mut wrong = v1::EvaluateRequest { items: batch.items[..2].to_vec(), ..batch };
    wrong.items[1].action.as_mut().unwrap().r#type.clear();
    names(&auditor.evaluate(wrong).await.unwrap_err(), &["items[1].action.type"]);
    let never = Timestamp { seconds: i64::MAX, nanos: -1 };
    let never = v1::EvaluateRequest { items: vec![v1::EvaluateItem::default()], at: Some(never), explain: false };
    names(&auditor.evaluate(never).await.unwrap_err(), &["at", "items[0].action.type"]);
    assert!(daemon.rows().await.is_empty(), "a dry run leaves no record");
}

#[tokio::test]
async fn values_that_an_enumeration_has_not_are_refused() {
    let daemon = Setup::new().start();
    let allowed = daemon.agent().await.propose(propose("read", "crm")).await.unwrap().into_inner().decision.unwrap();
    for status in [0, 3, 4, 7, 99, -1] {
        let result = Some(v1::ActionResult { status, ..v1::ActionResult::default() });
        let request = v1::ReportResultRequest { decision_id: allowed.decision_id.clone(), result };
        names(&daemon.agent().await.report_result(request).await.unwrap_err(), &["result.status"]);
    }
    let never = Some(Timestamp { seconds: 0, nanos: i32::MAX });
    let result = v1::ActionResult {
        status: v1::ResultStatus::Success.into(),
        started_at: never,
        completed_at: never,
        error: "x".repeat(20_000),
        ..v1::ActionResult::default()
    };
    let request = v1::ReportResultRequest { decision_id: allowed.decision_id, result: Some(result) };
    let refused = daemon.agent().await.report_result(request).await.unwrap_err();
    names(&refused, &["result.error", "result.started_at", "result.completed_at"]);

    let filter = Some(v1::ApprovalFilter { min_risk_level: 99, ..v1::ApprovalFilter::default() });
    let request = v1::ListApprovalsRequest { filter: filter.clone(), ..v1::ListApprovalsRequest::default() };
    names(&daemon.reviewer().await.list_approvals(request).await.unwrap_err(), &["filter.min_risk_level"]);
    let request = v1::StreamApprovalsRequest { filter };
    names(&daemon.reviewer().await.stream_approvals(request).await.unwrap_err(), &["filter.min_risk_level"]);

    let request = v1::ListApprovalsRequest { states: vec![1, 0, 9], ..v1::ListApprovalsRequest::default() };
    names(&daemon.reviewer().await.list_approvals(request).await.unwrap_err(), &["states[1]", "states[2]"]);

    let filter = v1::AuditFilter {
        risk_levels: vec![9],
        approval_modes: vec![9],
        outcomes: vec![1, 9],
        result_statuses: vec![99, 0],
        min_risk_level: -1,
        ..v1::AuditFilter::default()
    };
    let request = v1::StreamAuditRequest { filter: Some(filter), view: 9, ..v1::StreamAuditRequest::default() };
    names(
        &daemon.auditor().await.stream_audit(request).await.unwrap_err(),
        &[
            "filter.approval_modes[0]",
            "filter.outcomes[1]",
            "filter.result_statuses[0]",
            "filter.result_statuses[1]",
            "filter.risk_levels[0]",
            "filter.min_risk_level",
            "view",
        ],
    );
}

#[tokio::test]
async fn pending_approvals_are_bounded_for_one_caller_and_for_all() {
    let daemon =
        Setup::new().args(&["--max-pending", "3", "--max-pending-per-caller", "2", "--anonymous-share", "100"]).start();
    let (secret, _) = daemon.token("two", &[v1::Role::Agent]).await;
    let two = crate::harness::with_token(daemon.tcp().await, &secret);
    let (mut one, mut two) = (daemon.agent().await, GovernanceServiceClient::new(two));
    let first = one.propose(propose("bulk_update", "crm")).await.unwrap().into_inner().decision.unwrap();
    one.propose(propose("bulk_update", "crm")).await.unwrap();
    let full = one.propose(propose("bulk_update", "crm")).await.unwrap_err();
    refused(&full, Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS");
    assert!(full.message().contains("--max-pending-per-caller"), "{}", full.message());

    two.propose(propose("bulk_update", "crm")).await.unwrap();
    let full = two.propose(propose("bulk_update", "crm")).await.unwrap_err();
    refused(&full, Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS");
    assert!(full.message().contains("(--max-pending)"), "{}", full.message());

    // Whatever asks nobody goes on, and a place that is free again can be taken.
    one.propose(propose("read", "crm")).await.unwrap();
    let cancel = v1::CancelProposalRequest { decision_id: first.decision_id, reason: String::new() };
    one.cancel_proposal(cancel).await.unwrap();
    two.propose(propose("bulk_update", "crm")).await.unwrap();
}

#[tokio::test]
async fn proposals_that_come_too_fast_are_refused_until_they_do_not() {
    let daemon = Setup::new().args(&["--max-proposals-per-second", "2"]).start();
    let agent = daemon.agent().await;
    let refusal =
        eventually("a proposal is refused", async || agent.clone().propose(propose("read", "crm")).await.err()).await;
    refused(&refusal, Code::ResourceExhausted, "RATE_LIMITED");
    assert!(refusal.message().contains("--max-proposals-per-second"), "{}", refusal.message());
    eventually("a proposal is let through again", async || agent.clone().propose(propose("read", "crm")).await.ok())
        .await;
}
