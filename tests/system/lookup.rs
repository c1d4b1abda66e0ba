//! Looking things up: one decision by any of its names, lists in pages, and filters that mean the same everywhere.

use std::collections::BTreeSet;

use aegis::proto::v1::ApprovalState::{Approved, Cancelled, Denied, Expired, Pending};
use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::{self, ApprovalState, Outcome, ResultStatus};
use tonic::Code;

use crate::harness::{
    Daemon, Setup, approval, ask, fields, no, params, propose, reason, refusal, report, stderr, stdout, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, risk_level: high, approval: approve}
  - {name: mail, match: {type: mail}, risk_level: low, approval: approve}
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
";

async fn life(daemon: &Daemon, id: &str) -> Result<v1::GetDecisionResponse, tonic::Status> {
    let request = v1::GetDecisionRequest { id: id.to_owned() };
    daemon.auditor().await.get_decision(request).await.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn a_decision_is_found_whole_by_every_name_that_it_has() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let other = ask(&mut agent, propose("read", "crm")).await;
    let asked = ask(&mut agent, propose("pay", "bank")).await;
    reviewer.approve(yes(&asked, "checked")).await.unwrap();
    let report = report(&asked.decision_id, ResultStatus::Success);
    let reported = agent.report_result(report).await.unwrap().into_inner().audit_ref;

    let whole = life(&daemon, &asked.decision_id).await.unwrap();
    let row = whole.row.clone().unwrap();
    assert_eq!(row, daemon.row(&asked.decision_id).await);
    let kinds: Vec<_> = whole.records.iter().map(|record| record.kind.as_str()).collect();
    assert_eq!(kinds, ["decision", "approval_requested", "approval_ended", "result"]);
    assert!(whole.records.is_sorted_by_key(|record| record.sequence));
    assert_eq!((&whole.records[0].audit_ref, &whole.records[3].audit_ref), (&row.audit_ref, &reported));
    let result = row.result.unwrap();
    assert_eq!((result.status(), &result.audit_ref), (ResultStatus::Success, &reported));
    assert_eq!(result.reported_at, whole.records[3].recorded_at);

    let shown = whole.approval.clone().unwrap();
    assert_eq!((shown.state(), shown.version), (Approved, 2));
    let [vote] = &shown.votes[..] else { panic!("{:?}", shown.votes) };
    assert_eq!((vote.verdict(), vote.reason.as_str()), (v1::Verdict::Approve, "checked"));
    assert_eq!((&vote.vote_id, &vote.action_digest), (&whole.records[2].audit_ref, &asked.action_digest));
    let ending = shown.ending.unwrap();
    assert_eq!((vote.by.as_ref(), vote.voted_at), (ending.by.as_ref(), ending.ended_at));
    assert!(vote.by.as_ref().unwrap().subject.starts_with("local:"));

    // By its own id, by that of its approval and of each of its records, and by the beginning of one.
    let records = whole.records.iter().map(|record| record.audit_ref.clone());
    let names = [asked.decision_id.clone(), asked.approval_id.clone()].into_iter().chain(records);
    for name in names {
        assert_eq!(life(&daemon, &name).await.unwrap(), whole, "{name}");
    }
    for name in [&asked.decision_id, &asked.approval_id, &row.audit_ref] {
        assert_eq!(life(&daemon, &name[..35]).await.unwrap(), whole, "{name}");
    }
    // Both decisions were made within the minute that these digits stand for.
    if other.decision_id[..12] == asked.decision_id[..12] {
        let refused = life(&daemon, &asked.decision_id[..12]).await.unwrap_err();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["id".to_owned()]));
        for id in [&asked.decision_id, &other.decision_id] {
            assert!(refused.message().contains(id.as_str()), "it says which: {refused:?}");
        }
    }

    let nobody = "0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
    for unknown in ["dec_", "apr_", "aud_"].map(|prefix| format!("{prefix}{nobody}")) {
        assert_eq!(refusal(&life(&daemon, &unknown).await.unwrap_err()), (Code::NotFound, "NO_SUCH_DECISION".into()));
    }
    let started = daemon.events("daemon_started")[0]["record_id"].as_str().unwrap().to_owned();
    assert_eq!(reason(&life(&daemon, &started).await.unwrap_err()), "NO_SUCH_DECISION", "it is about no decision");
    for malformed in ["", "dec_", "dec_0197a9e", "tok_0197a9e0", "0197a9e0", &"a".repeat(100_000)] {
        assert_eq!(fields(&life(&daemon, malformed).await.unwrap_err()), ["id"], "{malformed:.40}");
    }
}

#[tokio::test]
async fn a_redacted_decision_is_found_by_its_names_and_says_nothing() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let asked = ask(&mut agent, propose("pay", "a-secret-bank")).await;
    reviewer.deny(no(&asked, "a secret reason")).await.unwrap();
    let redact = v1::RedactDecisionRequest {
        decision_id: asked.decision_id.clone(),
        reason: "asked".into(),
        ..Default::default()
    };
    daemon.administration().await.redact_decision(redact).await.unwrap();
    for name in [&asked.decision_id, &asked.approval_id, &asked.audit_ref] {
        let whole = life(&daemon, name).await.unwrap();
        assert!(whole.row.as_ref().unwrap().redacted);
        let shown = whole.approval.as_ref().unwrap();
        assert_eq!((shown.state(), shown.votes.len()), (Denied, 0));
        assert!(!format!("{whole:?}").contains("secret"), "{whole:?}");
        let last = whole.records.last().unwrap();
        assert_eq!(last.kind, "decision_redacted");
        assert!(whole.records.iter().all(|record| record.audit_ref.is_empty() != (record.sequence == last.sequence)));
    }
    let output = daemon.cli(&["audit", "show", &asked.decision_id]);
    assert!(output.status.success() && stdout(&output).contains("[redacted]"), "{}", stderr(&output));
}

#[tokio::test]
async fn the_command_line_shows_one_decision_to_people_and_to_programs() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let mut request = propose("pay", "bank");
    request.action.as_mut().unwrap().description = "please\u{202e}".into();
    let asked = ask(&mut agent, request).await;
    reviewer.approve(yes(&asked, "checked")).await.unwrap();
    let output = daemon.cli(&["audit", "show", &asked.approval_id[..30]]);
    let shown = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(shown.starts_with(&format!("ALLOW {}", asked.decision_id)), "{shown}");
    for text in
        ["approve by local:", ": checked", "approval_ended", &asked.audit_ref, "please\\u{202e}", "holds     yes"]
    {
        assert!(shown.contains(text), "no {text}: {shown}");
    }
    let output = daemon.cli(&["audit", "show", &asked.decision_id, "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(json["decision"]["decision_id"], asked.decision_id);
    assert_eq!(json["approval"]["votes"][0]["verdict"], "approve");
    assert_eq!(json["records"].as_array().unwrap().len(), 3);
    assert_eq!(json["proof"]["holds"], true, "{}", json["proof"]);
    let output = daemon.cli(&["audit", "show", "1"]);
    assert!(stdout(&output).starts_with(&format!("ALLOW {}", asked.decision_id)), "{}", stderr(&output));
    let output = daemon.cli(&["audit", "show", "2"]);
    assert!(!output.status.success() && stderr(&output).contains("no row 2"), "{}", stderr(&output));
    let output = daemon.cli(&["audit", "show", "dec_0197a9e0"]);
    assert!(!output.status.success() && stderr(&output).contains("no decision"), "{}", stderr(&output));
}

/// Every row, in pages of this size. No page but the last is without a token.
async fn rows_in_pages(daemon: &Daemon, filter: Option<v1::AuditFilter>, size: u32, newest: bool) -> Vec<v1::AuditRow> {
    let mut auditor = daemon.auditor().await;
    let (mut rows, mut page_token) = (Vec::new(), String::new());
    loop {
        let filter = filter.clone();
        let request = v1::ListDecisionsRequest { filter, page_size: Some(size), page_token, newest_first: newest };
        let page = auditor.list_decisions(request).await.unwrap().into_inner();
        assert!(page.rows.len() <= size as usize);
        rows.extend(page.rows);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return rows;
        }
    }
}

#[tokio::test]
async fn rows_are_listed_in_pages_of_any_size_in_both_orders() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    for n in 0..30 {
        ask(&mut agent, propose(["read", "pay", "mail"][n % 3], &format!("{n}"))).await;
    }
    let rows = daemon.rows().await;
    let reversed: Vec<_> = rows.iter().rev().cloned().collect();
    for size in [1, 7, 10, 30, 1000] {
        assert_eq!(rows_in_pages(&daemon, None, size, false).await, rows, "{size}");
        assert_eq!(rows_in_pages(&daemon, None, size, true).await, reversed, "{size}");
    }
    let filter = v1::AuditFilter { action_type: "[pm]*".into(), target: "1?".into(), ..v1::AuditFilter::default() };
    let kept = rows.iter().filter(|row| {
        let action = row.action.as_ref().unwrap();
        action.r#type != "read" && action.target.starts_with('1') && action.target.len() == 2
    });
    let kept: Vec<_> = kept.cloned().collect();
    assert_eq!(rows_in_pages(&daemon, Some(filter), 2, false).await, kept);
    assert!(kept.len() > 4);
}

#[tokio::test]
async fn no_page_is_larger_than_a_client_takes() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    for _ in 0..6 {
        let mut request = propose("pay", "bank");
        // Numbers take much more room in a message than in JSON.
        request.action.as_mut().unwrap().params = params(serde_json::json!({"rows": vec![0; 100_000]}));
        ask(&mut agent, request).await;
    }
    // A client with the limit that every gRPC library has by default, 4 MiB.
    let mut auditor = AuditServiceClient::new(daemon.socket().await);
    let (mut count, mut pages, mut page_token) = (0, 0, String::new());
    loop {
        let request = v1::ListDecisionsRequest { page_token, ..v1::ListDecisionsRequest::default() };
        let page = auditor.list_decisions(request).await.unwrap().into_inner();
        (count, pages, page_token) = (count + page.rows.len(), pages + 1, page.next_page_token);
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(count, 6);
    assert!(pages > 1);
    let mut reviewer = daemon.reviewer().await;
    for states in [vec![], vec![Pending.into(), Denied.into()]] {
        let (mut count, mut page_token) = (0, String::new());
        loop {
            let request = v1::ListApprovalsRequest { page_token, states: states.clone(), ..Default::default() };
            let page = reviewer.list_approvals(request).await.unwrap().into_inner();
            (count, page_token) = (count + page.approvals.len(), page.next_page_token);
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(count, 6, "{states:?}");
    }
}

#[tokio::test]
async fn a_page_token_is_good_for_its_own_list_and_filter_only() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut auditor, mut reviewer) =
        (daemon.agent().await, daemon.auditor().await, daemon.reviewer().await);
    for n in 0..4 {
        ask(&mut agent, propose("pay", &format!("{n}"))).await;
    }
    let first = v1::ListDecisionsRequest { page_size: Some(1), ..v1::ListDecisionsRequest::default() };
    let token = auditor.list_decisions(first.clone()).await.unwrap().into_inner().next_page_token;
    let next = v1::ListDecisionsRequest { page_token: token.clone(), ..first.clone() };
    // The size of a page may change, and nothing else.
    let larger = v1::ListDecisionsRequest { page_size: Some(3), ..next.clone() };
    assert_eq!(auditor.list_decisions(larger).await.unwrap().into_inner().rows.len(), 3);
    let filter = Some(v1::AuditFilter { action_type: "pay".into(), ..v1::AuditFilter::default() });
    for other in [
        v1::ListDecisionsRequest { filter, ..next.clone() },
        v1::ListDecisionsRequest { newest_first: true, ..next.clone() },
        v1::ListDecisionsRequest { page_token: token[1..].to_owned(), ..first.clone() },
        v1::ListDecisionsRequest { page_token: "2".into(), ..first.clone() },
    ] {
        let refused = auditor.list_decisions(other).await.unwrap_err();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec!["page_token".to_owned()]));
    }
    for page_size in [Some(0), Some(u32::MAX), None] {
        let listed = auditor.list_decisions(v1::ListDecisionsRequest { page_size, ..first.clone() }).await;
        match page_size {
            Some(0) => assert_eq!(fields(&listed.unwrap_err()), ["page_size"]),
            _ => assert_eq!(listed.unwrap().into_inner().rows.len(), 4),
        }
    }

    let first = v1::ListApprovalsRequest { page_size: Some(1), ..v1::ListApprovalsRequest::default() };
    let token_of_pending = reviewer.list_approvals(first.clone()).await.unwrap().into_inner().next_page_token;
    let filter = Some(v1::ApprovalFilter { target: "*".into(), ..v1::ApprovalFilter::default() });
    for (page_token, filter, states) in [
        (token, None, vec![]),
        (token_of_pending.clone(), filter, vec![]),
        (token_of_pending.clone(), None, vec![Denied.into()]),
    ] {
        let refused = v1::ListApprovalsRequest { page_token, filter, states, ..first.clone() };
        assert_eq!(fields(&reviewer.list_approvals(refused).await.unwrap_err()), ["page_token"]);
    }
    let rest = v1::ListApprovalsRequest { page_token: token_of_pending, page_size: None, ..first };
    assert_eq!(reviewer.list_approvals(rest).await.unwrap().into_inner().approvals.len(), 3);
}

async fn listed(daemon: &Daemon, filter: v1::ApprovalFilter, states: &[ApprovalState]) -> BTreeSet<String> {
    let states = states.iter().map(|state| (*state).into()).collect();
    let request = v1::ListApprovalsRequest { filter: Some(filter), states, ..v1::ListApprovalsRequest::default() };
    let listed = daemon.reviewer().await.list_approvals(request).await.unwrap().into_inner();
    listed.approvals.into_iter().map(|approval| approval.approval_id).collect()
}

#[tokio::test]
async fn approvals_are_listed_in_any_state_and_by_every_filter() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let large = "x".repeat(10_000);
    let mut request = propose("pay", "bank/large");
    request.action.as_mut().unwrap().params = params(serde_json::json!({"text": large}));
    let large = ask(&mut agent, request).await;
    let open = ask(&mut agent, propose("mail", "crm/leads")).await;
    let approved = ask(&mut agent, propose("pay", "bank/1")).await;
    reviewer.approve(yes(&approved, "")).await.unwrap();
    let denied = ask(&mut agent, propose("pay", "bank/2")).await;
    reviewer.deny(no(&denied, "")).await.unwrap();
    let cancelled = ask(&mut agent, propose("mail", "crm/2")).await;
    let cancel = v1::CancelProposalRequest { decision_id: cancelled.decision_id.clone(), reason: String::new() };
    agent.cancel_proposal(cancel).await.unwrap();
    ask(&mut agent, propose("read", "nobody is asked")).await;

    let ids = |decisions: &[&v1::Decision]| -> BTreeSet<String> {
        decisions.iter().map(|decision| decision.approval_id.clone()).collect()
    };
    let all = v1::ApprovalFilter::default;
    assert_eq!(listed(&daemon, all(), &[]).await, ids(&[&large, &open]));
    assert_eq!(listed(&daemon, all(), &[Pending]).await, ids(&[&large, &open]));
    assert_eq!(listed(&daemon, all(), &[Approved]).await, ids(&[&approved]));
    assert_eq!(listed(&daemon, all(), &[Denied, Cancelled]).await, ids(&[&denied, &cancelled]));
    assert_eq!(listed(&daemon, all(), &[Expired]).await, ids(&[]));
    let every = [Pending, Approved, Denied, Expired, Cancelled];
    assert_eq!(listed(&daemon, all(), &every).await, ids(&[&large, &open, &approved, &denied, &cancelled]));

    let who = approval(&mut reviewer, &approved).await.votes.remove(0).by.unwrap().subject;
    let high = || vec![v1::RiskLevel::High.into()];
    for (filter, pending, ended) in [
        (v1::ApprovalFilter { action_type: "p*".into(), ..all() }, vec![&large], vec![&approved, &denied]),
        (v1::ApprovalFilter { target: "bank/*".into(), ..all() }, vec![&large], vec![&approved, &denied]),
        (v1::ApprovalFilter { target: "bank/?".into(), ..all() }, vec![], vec![&approved, &denied]),
        (v1::ApprovalFilter { target: "crm/leads".into(), ..all() }, vec![&open], vec![]),
        (v1::ApprovalFilter { risk_levels: high(), ..all() }, vec![&large], vec![&approved, &denied]),
        (v1::ApprovalFilter { matched_rule: "mail".into(), ..all() }, vec![&open], vec![&cancelled]),
        (
            v1::ApprovalFilter { subject: "anonymous".into(), matched_rule: "mail".into(), ..all() },
            vec![&open],
            vec![&cancelled],
        ),
        (v1::ApprovalFilter { subject: "token:x".into(), ..all() }, vec![], vec![]),
        (v1::ApprovalFilter { approver: who, ..all() }, vec![], vec![&approved, &denied]),
        (v1::ApprovalFilter { since: approved.timestamp, ..all() }, vec![], vec![&approved, &denied, &cancelled]),
        (v1::ApprovalFilter { until: open.timestamp, ..all() }, vec![&large, &open], vec![]),
    ] {
        assert_eq!(listed(&daemon, filter.clone(), &[]).await, ids(&pending), "{filter:?}");
        assert_eq!(listed(&daemon, filter.clone(), &[Approved, Denied, Cancelled]).await, ids(&ended), "{filter:?}");
        let both: Vec<_> = pending.into_iter().chain(ended).collect();
        assert_eq!(listed(&daemon, filter.clone(), &every).await, ids(&both), "{filter:?}");
    }
    // What is listed is what the approval itself says.
    let of_one = v1::ApprovalFilter { target: "bank/2".into(), ..all() };
    let request = v1::ListApprovalsRequest { filter: Some(of_one), states: vec![Denied.into()], ..Default::default() };
    let shown = reviewer.list_approvals(request).await.unwrap().into_inner().approvals.remove(0);
    let alone = v1::Approval { history: Vec::new(), ..approval(&mut reviewer, &denied).await };
    assert_eq!(shown, alone);
    assert_eq!((shown.state(), shown.version, shown.votes.len()), (Denied, 2, 1));
    let open = approval(&mut reviewer, &open).await;
    assert_eq!((open.state(), open.version, open.votes.len(), open.caller_waiting), (Pending, 1, 0, Some(true)));

    // A stream has pending approvals only, on which nobody has voted.
    let filter = Some(v1::ApprovalFilter { approver: "local:ada".into(), ..all() });
    let refused = reviewer.stream_approvals(v1::StreamApprovalsRequest { filter }).await.unwrap_err();
    assert_eq!(fields(&refused), ["filter.approver"]);
}

#[tokio::test]
async fn rows_are_found_by_a_record_by_who_proposed_and_by_who_voted() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let asked = ask(&mut agent, propose("pay", "bank")).await;
    let read = ask(&mut agent, propose("read", "crm")).await;
    let answer = reviewer.approve(yes(&asked, "")).await.unwrap().into_inner();
    let approver = answer.approval.unwrap().votes.remove(0).by.unwrap().subject;
    let reported = agent.report_result(report(&read.decision_id, ResultStatus::Failed)).await.unwrap().into_inner();

    let none = v1::AuditFilter::default;
    let found = async |filter: v1::AuditFilter| -> Vec<String> {
        let listed = rows_in_pages(&daemon, Some(filter.clone()), 10, false).await;
        let request = v1::StreamAuditRequest { filter: Some(filter), ..v1::StreamAuditRequest::default() };
        let mut stream = daemon.auditor().await.stream_audit(request).await.unwrap().into_inner();
        let mut streamed = Vec::new();
        while let Some(message) = stream.message().await.unwrap() {
            if let Some(v1::stream_audit_response::Event::Row(row)) = message.event {
                streamed.push(*row);
            }
        }
        assert_eq!(listed, streamed, "a filter means the same in a list and in a stream");
        listed.into_iter().map(|row| row.decision_id).collect()
    };
    let both = [asked.decision_id.clone(), read.decision_id.clone()];
    assert_eq!(found(v1::AuditFilter { audit_ref: asked.audit_ref.clone(), ..none() }).await, both[..1]);
    assert_eq!(found(v1::AuditFilter { audit_ref: reported.audit_ref.clone(), ..none() }).await, both[1..]);
    let other = v1::AuditFilter { audit_ref: reported.audit_ref, decision_id: both[0].clone(), ..none() };
    assert_eq!(found(other).await, [""; 0], "both must match");
    let unknown = "aud_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e".to_owned();
    assert_eq!(found(v1::AuditFilter { audit_ref: unknown, ..none() }).await, [""; 0]);
    assert_eq!(found(v1::AuditFilter { subject: "anonymous".into(), ..none() }).await, both);
    assert_eq!(found(v1::AuditFilter { subject: "anonymou*".into(), ..none() }).await, [""; 0], "not a glob");
    assert_eq!(found(v1::AuditFilter { approver, ..none() }).await, both[..1]);
    let outcomes = vec![Outcome::Allow.into(), Outcome::Deny.into()];
    assert_eq!(found(v1::AuditFilter { outcomes, ..none() }).await, both);
    let result_statuses = vec![ResultStatus::Failed.into(), ResultStatus::Success.into()];
    assert_eq!(found(v1::AuditFilter { result_statuses, ..none() }).await, both[1..]);
    let malformed = v1::AuditFilter { audit_ref: "aud_1".into(), target: "x".repeat(10_000), ..none() };
    let request = v1::ListDecisionsRequest { filter: Some(malformed), ..v1::ListDecisionsRequest::default() };
    let refused = daemon.auditor().await.list_decisions(request).await.unwrap_err();
    assert_eq!(
        fields(&refused).into_iter().collect::<BTreeSet<_>>(),
        ["filter.audit_ref", "filter.target"].map(String::from).into()
    );
}
