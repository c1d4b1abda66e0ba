//! Of two calls over one connection the one that was sent first is recorded first.

use aegis::proto::v1;

use crate::harness::{DEADLINE, Setup, ask, ending, no, propose, report, yes};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

#[tokio::test]
async fn proposals_that_are_sent_together_are_recorded_in_the_order_in_which_they_were_sent() {
    let daemon = Setup::new().policy(ASK).start();
    let agent = daemon.agent().await;
    for round in 0..10 {
        // All of them over one connection, none waits for another.
        let calls: Vec<_> = (0..64)
            .map(|n| {
                let mut agent = agent.clone();
                tokio::spawn(async move { ask(&mut agent, propose("read", &format!("{round}/{n:02}"))).await })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
    }
    let targets: Vec<String> =
        daemon.rows().await.into_iter().map(|row| row.action.expect("a row has an action").target).collect();
    let sent: Vec<String> = (0..10).flat_map(|round| (0..64).map(move |n| format!("{round}/{n:02}"))).collect();
    assert_eq!(targets, sent);
}

#[tokio::test]
async fn reports_that_are_sent_together_are_recorded_in_the_order_in_which_they_were_sent() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    let mut asked = Vec::new();
    for n in 0..64 {
        asked.push(ask(&mut agent, propose("read", &format!("{n}"))).await.decision_id);
    }
    let reports: Vec<_> = asked
        .iter()
        .map(|decision_id| {
            let (mut agent, request) = (agent.clone(), report(decision_id, v1::ResultStatus::Success));
            tokio::spawn(async move { agent.report_result(request).await })
        })
        .collect();
    for report in reports {
        report.await.unwrap().expect("the report is taken");
    }
    let request = v1::StreamAuditRequest { view: v1::AuditView::Records.into(), ..v1::StreamAuditRequest::default() };
    let mut records = daemon.auditor().await.stream_audit(request).await.unwrap().into_inner();
    let mut reported = Vec::new();
    while let Some(message) = tokio::time::timeout(DEADLINE, records.message()).await.unwrap().unwrap() {
        let Some(v1::stream_audit_response::Event::Record(record)) = message.event else { continue };
        let payload: serde_json::Value = serde_json::from_str(&record.payload).unwrap();
        if payload["kind"] == "result" {
            reported.push(payload["decision_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(reported, asked);
}

#[tokio::test]
async fn of_two_answers_of_one_reviewer_the_one_that_was_sent_first_counts() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, reviewer) = (daemon.agent().await, daemon.reviewer().await);
    for n in 0..100 {
        let asked = ask(&mut agent, propose("pay", &format!("bank {n}"))).await;
        let (mut first, mut second) = (reviewer.clone(), reviewer.clone());
        let (yes, no) = (yes(&asked, ""), no(&asked, ""));
        let kind = if n % 2 == 0 {
            let denied = tokio::spawn(async move { first.deny(no).await });
            let approved = tokio::spawn(async move { second.approve(yes).await });
            approved.await.unwrap().expect_err("it is denied already");
            ending(denied.await.unwrap().expect("it was first").into_inner().approval).kind()
        } else {
            let approved = tokio::spawn(async move { first.approve(yes).await });
            let denied = tokio::spawn(async move { second.deny(no).await });
            denied.await.unwrap().expect_err("it is approved already");
            ending(approved.await.unwrap().expect("it was first").into_inner().approval).kind()
        };
        assert_eq!(kind, if n % 2 == 0 { v1::EndingKind::Denied } else { v1::EndingKind::Approved });
    }
}
