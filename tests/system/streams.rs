//! Streams: whole, in order, bounded, and never ended as if all were well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aegis::proto::v1::audit_service_client::AuditServiceClient;
use aegis::proto::v1::stream_approvals_response::Event as Seen;
use aegis::proto::v1::stream_audit_response::Event as Read;
use aegis::proto::v1::{self, EndingKind, ResultStatus};
use tonic::{Code, Status, Streaming};

use crate::harness::{
    Agent, DEADLINE, Daemon, Reviewer, Setup, approval, ask, awaited, ending, eventually, fields, long, narrow, no,
    params, pending, propose, refusal, result_of, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, risk_level: high, approval: approve}
  - {name: mail, match: {type: mail}, risk_level: low, approval: approve}
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: deletes, match: {type: 'delete*'}, risk_level: critical, approval: block}
";

type Approvals = Streaming<v1::StreamApprovalsResponse>;
type Audit = Streaming<v1::StreamAuditResponse>;

async fn watch(reviewer: &mut Reviewer, filter: Option<v1::ApprovalFilter>) -> Approvals {
    let stream = reviewer.stream_approvals(v1::StreamApprovalsRequest { filter }).await;
    stream.expect("the stream opens").into_inner()
}

/// The next thing that a stream of approvals says, heartbeats aside.
async fn next(stream: &mut Approvals) -> Seen {
    loop {
        let message = tokio::time::timeout(DEADLINE, stream.message()).await.expect("the stream says something");
        match message.expect("the stream goes on").expect("the stream goes on").event.expect("a message says something")
        {
            Seen::Heartbeat(_) => {}
            event => return event,
        }
    }
}

/// A snapshot up to its marker: the ids, in order.
async fn snapshot(stream: &mut Approvals) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        match next(stream).await {
            Seen::Pending(pending) => ids.push(pending.approval_id),
            Seen::SnapshotComplete(marker) => {
                assert_eq!(marker.count as usize, ids.len(), "the marker counts the snapshot");
                return ids;
            }
            other => panic!("not part of a snapshot: {other:?}"),
        }
    }
}

/// How a stream ends, whatever it says before.
async fn end_of<T>(stream: &mut Streaming<T>) -> Result<(), Status> {
    loop {
        match tokio::time::timeout(DEADLINE, stream.message()).await.expect("the stream ends") {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(()),
            Err(status) => return Err(status),
        }
    }
}

#[tokio::test]
async fn a_stream_of_approvals_is_a_snapshot_a_marker_and_then_every_change_in_order() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let early = [ask(&mut agent, propose("pay", "1")).await, ask(&mut agent, propose("pay", "2")).await];
    let mut stream = watch(&mut reviewer, None).await;
    assert_eq!(snapshot(&mut stream).await, [&early[0].approval_id, &early[1].approval_id].map(Clone::clone));

    let third = ask(&mut agent, propose("pay", "3")).await;
    ask(&mut agent, propose("read", "asks nobody")).await;
    reviewer.approve(yes(&early[1], "yes")).await.unwrap();
    reviewer.deny(no(&third, "no")).await.unwrap();
    let cancel = v1::CancelProposalRequest { decision_id: early[0].decision_id.clone(), reason: "never mind".into() };
    agent.cancel_proposal(cancel).await.unwrap();

    let Seen::Pending(added) = next(&mut stream).await else { panic!("it was added first") };
    assert_eq!((&added.approval_id, &added.action_digest), (&third.approval_id, &third.action_digest));
    // Whether somebody waited is known while it was open only.
    let added = v1::Approval { caller_waiting: None, ..added };
    assert_eq!(added, approval_without_history(&mut reviewer, &third).await);
    for (decision, kind) in
        [(&early[1], EndingKind::Approved), (&third, EndingKind::Denied), (&early[0], EndingKind::Cancelled)]
    {
        let Seen::Ended(ended) = next(&mut stream).await else { panic!("it has ended") };
        assert_eq!(ended.approval_id, decision.approval_id);
        assert_eq!(ending(Some(ended)).kind(), kind);
    }
}

/// What `GetApproval` shows, as it was while the approval was pending.
async fn approval_without_history(reviewer: &mut Reviewer, decision: &v1::Decision) -> v1::Approval {
    v1::Approval {
        ending: None,
        history: Vec::new(),
        votes: Vec::new(),
        state: v1::ApprovalState::Pending.into(),
        version: 1,
        ..approval(reviewer, decision).await
    }
}

#[tokio::test]
async fn a_filter_holds_for_the_snapshot_the_changes_and_the_list() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let of = |r#type: &str, actor: &str, session: &str| {
        let mut request = propose(r#type, "x");
        request.actor = Some(v1::Actor { id: actor.into(), r#type: String::new() });
        request.context = Some(v1::ProposalContext { session_id: session.into(), metadata: None });
        request
    };
    let all = [("pay", "ann", "s1"), ("mail", "ann", "s1"), ("pay", "ben", "s1"), ("pay", "ann", "s2")];
    let filters = [
        v1::ApprovalFilter { action_type: "mail".into(), ..v1::ApprovalFilter::default() },
        v1::ApprovalFilter { actor_id: "ben".into(), ..v1::ApprovalFilter::default() },
        v1::ApprovalFilter { session_id: "s2".into(), ..v1::ApprovalFilter::default() },
        v1::ApprovalFilter { min_risk_level: v1::RiskLevel::Medium.into(), ..v1::ApprovalFilter::default() },
        v1::ApprovalFilter { actor_id: "ann".into(), action_type: "pay".into(), ..v1::ApprovalFilter::default() },
    ];
    let kept: [&[usize]; 5] = [&[1], &[2], &[3], &[0, 2, 3], &[0, 3]];

    let mut before = Vec::new();
    for (r#type, actor, session) in all {
        before.push(ask(&mut agent, of(r#type, actor, session)).await);
    }
    let mut streams = Vec::new();
    for (filter, kept) in filters.iter().zip(kept) {
        let mut stream = watch(&mut reviewer, Some(filter.clone())).await;
        let wanted: Vec<_> = kept.iter().map(|i| before[*i].approval_id.clone()).collect();
        assert_eq!(snapshot(&mut stream).await, wanted, "{filter:?}");
        let request = v1::ListApprovalsRequest { filter: Some(filter.clone()), ..v1::ListApprovalsRequest::default() };
        let listed = reviewer.list_approvals(request).await.unwrap().into_inner().approvals;
        assert_eq!(listed.into_iter().map(|approval| approval.approval_id).collect::<Vec<_>>(), wanted, "{filter:?}");
        streams.push(stream);
    }
    let mut after = Vec::new();
    for (r#type, actor, session) in all {
        after.push(ask(&mut agent, of(r#type, actor, session)).await);
    }
    for decision in &after {
        reviewer.deny(no(decision, "")).await.unwrap();
    }
    for (stream, kept) in streams.iter_mut().zip(kept) {
        for i in kept {
            let Seen::Pending(added) = next(stream).await else { panic!("it was added") };
            assert_eq!(added.approval_id, after[*i].approval_id);
        }
        for i in kept {
            let Seen::Ended(ended) = next(stream).await else { panic!("it has ended") };
            assert_eq!(ended.approval_id, after[*i].approval_id);
        }
    }
}

/// Proposes so many payments over several connections at once.
async fn pay(daemon: &Daemon, count: usize) -> Vec<v1::Decision> {
    const AT_ONCE: usize = 64;
    let mut workers = Vec::new();
    for worker in 0..AT_ONCE {
        let mut agent = daemon.agent().await;
        workers.push(tokio::spawn(async move {
            let mut decisions = Vec::new();
            for n in (worker..count).step_by(AT_ONCE) {
                let mut request = propose("pay", &format!("account {n}"));
                request.action.as_mut().expect("an action").params = params(serde_json::json!({"amount": n}));
                decisions.push(ask(&mut agent, request).await);
            }
            decisions
        }));
    }
    let mut decisions = Vec::new();
    for worker in workers {
        decisions.extend(worker.await.unwrap());
    }
    decisions
}

#[tokio::test]
async fn ten_thousand_pending_approvals_are_all_there_for_everybody() {
    const MANY: usize = 10_000;
    let daemon =
        Setup::new().policy(ASK).args(&["--max-pending-per-caller", "10000", "--anonymous-share", "100"]).start();
    let mut asked: Vec<_> = pay(&daemon, MANY).await.into_iter().map(|decision| decision.approval_id).collect();
    asked.sort();
    let mut reviewer = daemon.reviewer().await;
    let mut stream = watch(&mut reviewer, None).await;
    let shown = snapshot(&mut stream).await;
    assert_eq!(shown, asked, "oldest first, which is the order of their names");
    let listed = pending(&mut reviewer).await;
    assert!(listed.iter().map(|approval| &approval.approval_id).eq(&shown));
    let refused = daemon.agent().await.propose(propose("pay", "one more")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::ResourceExhausted, "TOO_MANY_PENDING_APPROVALS".to_owned()));

    // Still usable: one in the middle is decided, and the stream says so.
    let middle = &listed[MANY / 2];
    let approve = v1::ApproveRequest {
        approval_id: middle.approval_id.clone(),
        expected_action_digest: middle.action_digest.clone(),
        reason: String::new(),
    };
    reviewer.approve(approve).await.unwrap();
    loop {
        match next(&mut stream).await {
            // Those who asked have gone meanwhile.
            Seen::Pending(pending) => assert_eq!(pending.caller_waiting, Some(false)),
            Seen::Ended(ended) => {
                assert_eq!(ended.approval_id, middle.approval_id);
                break;
            }
            // So many went at once that this reader missed some: it is shown again what is open.
            Seen::Lagged(_) => {
                let again = snapshot(&mut stream).await;
                if again.len() == MANY - 1 && !again.contains(&middle.approval_id) {
                    break;
                }
                assert_eq!(again, asked, "nothing else has ended");
            }
            other => panic!("it has ended: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reviewer_who_does_not_read_is_told_and_catches_up_and_slows_nobody() {
    const MANY: usize = 2000;
    let daemon = Setup::new().policy(ASK).args(&["--max-pending-per-caller", "2000"]).start();
    let mut slow = watch(&mut Reviewer::new(narrow(&daemon).await), None).await;
    assert!(snapshot(&mut slow).await.is_empty());

    // Everybody else: a reviewer who approves what the stream shows, and agents who wait for that.
    let mut quick = daemon.reviewer().await;
    let mut stream = watch(&mut quick, None).await;
    let approving = tokio::spawn(async move {
        loop {
            if let Seen::Pending(pending) = next(&mut stream).await
                && pending.action.is_some_and(|action| action.r#type == "pay")
            {
                let (approval_id, expected_action_digest) = (pending.approval_id, pending.action_digest);
                let approve = v1::ApproveRequest { approval_id, expected_action_digest, reason: String::new() };
                match quick.approve(approve).await {
                    // After a lag it is shown again what it has decided since.
                    Ok(_) => {}
                    Err(refused) => assert_eq!(refusal(&refused).1, "ALREADY_DECIDED"),
                }
            }
        }
    });
    let waiting = pay(&daemon, MANY).await;
    let mut agent = daemon.agent().await;
    for decision in &waiting {
        assert_eq!(awaited(&mut agent, &decision.decision_id, 60).await.outcome(), v1::Outcome::Allow);
    }
    approving.abort();
    let mut open = BTreeSet::new();
    for n in 0..3 {
        open.insert(ask(&mut agent, propose("mail", &format!("{n}"))).await.approval_id);
    }

    // Now the slow one reads.
    let (mut known, mut lags) = (BTreeSet::new(), 0);
    while lags == 0 || known != open {
        match next(&mut slow).await {
            Seen::Pending(pending) => assert!(known.insert(pending.approval_id), "shown twice"),
            Seen::Ended(ended) => assert!(known.remove(&ended.approval_id), "ended and never shown"),
            Seen::Lagged(lagged) => {
                assert!(lagged.missed > 0);
                lags += 1;
                known = snapshot(&mut slow).await.into_iter().collect();
            }
            other => panic!("a marker without a snapshot: {other:?}"),
        }
    }
}

async fn read(daemon: &Daemon, request: v1::StreamAuditRequest) -> Audit {
    daemon.auditor().await.stream_audit(request).await.expect("the stream opens").into_inner()
}

/// The next thing that a stream of the record says, heartbeats aside; none at its end.
async fn next_read(stream: &mut Audit) -> Option<(u64, Read)> {
    next_message(stream).await.map(|(sequence, _, event)| (sequence, event))
}

/// The same, with the cursor.
async fn next_message(stream: &mut Audit) -> Option<(u64, String, Read)> {
    loop {
        let message = tokio::time::timeout(DEADLINE, stream.message()).await.expect("the stream says something");
        let message = message.expect("the stream goes on")?;
        match message.event.expect("a message says something") {
            Read::Heartbeat(_) => {}
            event => return Some((message.sequence, message.cursor, event)),
        }
    }
}

async fn next_row(stream: &mut Audit) -> v1::AuditRow {
    match next_read(stream).await {
        Some((_, Read::Row(row))) => *row,
        other => panic!("not a row: {other:?}"),
    }
}

/// Everything that a stream that does not follow says.
async fn all(daemon: &Daemon, request: v1::StreamAuditRequest) -> Vec<(u64, Read)> {
    let mut stream = read(daemon, request).await;
    let mut events = Vec::new();
    while let Some(event) = next_read(&mut stream).await {
        events.push(event);
    }
    events
}

async fn report(agent: &mut Agent, decision_id: &str, status: ResultStatus) {
    agent.report_result(crate::harness::report(decision_id, status)).await.expect("the report is taken");
}

#[tokio::test]
async fn who_follows_rows_sees_each_again_as_it_changes() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let early = ask(&mut agent, propose("read", "early")).await;
    let mut stream = read(&daemon, v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() }).await;
    assert_eq!(next_row(&mut stream).await.decision_id, early.decision_id);
    let Some((caught_up_at, Read::CaughtUp(marker))) = next_read(&mut stream).await else { panic!("the marker") };
    assert_eq!(marker.count, 1);

    // Each step is awaited, so that each is a row of its own: two steps at once may show as one row twice.
    let asked = ask(&mut agent, propose("pay", "bank")).await;
    let mut last = caught_up_at;
    let mut seen = Vec::new();
    let mut until = async |wanted: &dyn Fn(&v1::AuditRow) -> bool| {
        loop {
            let Some((sequence, Read::Row(row))) = next_read(&mut stream).await else { panic!("rows follow") };
            assert!(sequence > last, "in the order of the log: {sequence} after {last}");
            last = sequence;
            assert_eq!(row.decision_id, asked.decision_id);
            let enough = wanted(&row);
            seen.push(row);
            if enough {
                return;
            }
        }
    };
    until(&|row| row.outcome() == v1::Outcome::Escalate).await;
    reviewer.approve(yes(&asked, "go")).await.unwrap();
    until(&|row| row.outcome() == v1::Outcome::Allow && row.ending.is_some()).await;
    report(&mut agent, &asked.decision_id, ResultStatus::Failed).await;
    until(&|row| result_of(row) == ResultStatus::Failed).await;
    report(&mut agent, &asked.decision_id, ResultStatus::RolledBack).await;
    until(&|row| result_of(row) == ResultStatus::RolledBack).await;
    assert!(seen.iter().all(|row| row.number == seen[0].number));
}

/// Reads some, breaks off, resumes, until everything up to `end` was read.
async fn read_in_pieces(daemon: &Daemon, view: v1::AuditView, end: impl AsyncFn() -> Option<u64>) -> Vec<(u64, Read)> {
    let (mut events, mut last, mut cursor) = (Vec::new(), 0, String::new());
    for piece in 1.. {
        if end().await.is_some_and(|end| last >= end) {
            return events;
        }
        let follow = piece % 3 != 0;
        let request = v1::StreamAuditRequest {
            view: view.into(),
            follow,
            resume_after: cursor.clone(),
            ..v1::StreamAuditRequest::default()
        };
        let mut stream = read(daemon, request).await;
        let mut left = 7 * piece;
        while left > 0 {
            match tokio::time::timeout(Duration::from_millis(100), next_message(&mut stream)).await {
                Ok(Some((sequence, at, Read::CaughtUp(_)))) => {
                    // It may stand after records that are no rows.
                    assert!(sequence >= last, "{sequence} after {last}");
                    (last, cursor) = (sequence, at);
                }
                Ok(Some((sequence, at, event))) => {
                    assert!(sequence > last, "{sequence} after {last}");
                    (last, cursor) = (sequence, at);
                    left -= 1;
                    events.push((sequence, event));
                }
                Ok(None) | Err(_) => break,
            }
        }
    }
    events
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_reconnects_loses_nothing_and_reads_nothing_twice() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let (said, done) = tokio::sync::watch::channel(None);
    let writing = async {
        for n in 0..150 {
            let asked = ask(&mut agent, propose("pay", &format!("{n}"))).await;
            reviewer.approve(yes(&asked, "")).await.unwrap();
            report(&mut agent, &asked.decision_id, ResultStatus::Success).await;
        }
        let records = daemon.auditor().await.get_stats(v1::GetStatsRequest::default()).await.unwrap();
        said.send_replace(Some(records.into_inner().records));
    };
    let end = async || *done.borrow();
    let ((), records, rows) = tokio::join!(
        writing,
        read_in_pieces(&daemon, v1::AuditView::Records, end),
        read_in_pieces(&daemon, v1::AuditView::Rows, end),
    );
    let end = end().await.unwrap();
    assert!(records.iter().map(|(sequence, _)| *sequence).eq(1..=end), "every record, each once, in order");

    // The last that was read of each row is the row as it is.
    let mut newest = BTreeMap::new();
    for (_, event) in rows {
        let Read::Row(row) = event else { panic!("not a row") };
        newest.insert(row.number, *row);
    }
    assert!(newest.into_values().eq(daemon.rows().await));
}

/// The cursor of a record's last message.
async fn last_cursor(daemon: &Daemon) -> String {
    let mut stream = read(daemon, v1::StreamAuditRequest::default()).await;
    let mut last = String::new();
    while let Some((_, cursor, _)) = next_message(&mut stream).await {
        last = cursor;
    }
    last
}

async fn refused_cursor(daemon: &Daemon, cursor: &str, follow: bool) -> Status {
    let request =
        v1::StreamAuditRequest { resume_after: cursor.to_owned(), follow, ..v1::StreamAuditRequest::default() };
    daemon.auditor().await.stream_audit(request).await.unwrap_err()
}

#[tokio::test]
async fn a_cursor_of_another_log_or_past_its_end_is_refused_and_never_skips_records() {
    let here = Setup::new().policy(ASK).start();
    let there = Setup::new().policy(ASK).start();
    for daemon in [&here, &there] {
        ask(&mut daemon.agent().await, propose("read", "x")).await;
    }
    let cursor = last_cursor(&here).await;
    for follow in [false, true] {
        let refused = refused_cursor(&there, &cursor, follow).await;
        assert_eq!(refusal(&refused), (Code::FailedPrecondition, "OTHER_LOG".to_owned()));
    }
    for malformed in ["500", "0", &cursor[1..], &cursor[..cursor.len() - 1], &"A".repeat(1 << 20)] {
        assert_eq!(fields(&refused_cursor(&here, malformed, true).await), ["resume_after"], "{malformed:.40}");
    }

    // An operator restores a copy from before the cursor: it is past the end.
    let mut here = here;
    here.kill();
    let data = here.data_dir();
    let copy = |from: &str, to: &str| {
        for kind in ["redb", "journal"] {
            std::fs::copy(data.join(from).with_extension(kind), data.join(to).with_extension(kind)).unwrap();
        }
    };
    copy("record", "copy");
    let mut here = here.restart();
    for n in 0..10 {
        ask(&mut here.agent().await, propose("read", &format!("lost {n}"))).await;
    }
    let late = last_cursor(&here).await;
    here.kill();
    copy("copy", "record");
    let here = here.restart();
    let refused = refused_cursor(&here, &late, true).await;
    assert_eq!(refusal(&refused), (Code::OutOfRange, "CURSOR_AHEAD".to_owned()));
    let told = crate::harness::details(&refused);
    assert!(told["sequence"].parse::<u64>().unwrap() > told["last_sequence"].parse::<u64>().unwrap(), "{told:?}");
    // Later the log is as long again, and the record at the cursor is another one.
    for n in 0..12 {
        ask(&mut here.agent().await, propose("read", &format!("new {n}"))).await;
    }
    assert_eq!(refusal(&refused_cursor(&here, &late, true).await), (Code::FailedPrecondition, "OTHER_LOG".to_owned()));
    // A cursor from before the copy goes on.
    let request = v1::StreamAuditRequest { resume_after: cursor, ..v1::StreamAuditRequest::default() };
    assert_eq!(all(&here, request).await.len(), 12);
}

#[tokio::test]
async fn a_row_that_no_longer_matches_is_announced() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let filter = v1::AuditFilter { outcomes: vec![v1::Outcome::Escalate.into()], ..v1::AuditFilter::default() };
    let follow = |action_type: &str| v1::StreamAuditRequest {
        filter: Some(v1::AuditFilter { action_type: action_type.into(), ..filter.clone() }),
        follow: true,
        ..v1::StreamAuditRequest::default()
    };
    let mut pays = read(&daemon, follow("pay")).await;
    let mut mails = read(&daemon, follow("mail")).await;
    for stream in [&mut pays, &mut mails] {
        assert!(matches!(next_read(stream).await, Some((_, Read::CaughtUp(_)))));
    }
    let asked = ask(&mut agent, propose("pay", "bank")).await;
    let Some((_, before, Read::Row(row))) = next_message(&mut pays).await else { panic!("it matches") };
    assert_eq!(row.decision_id, asked.decision_id);
    reviewer.deny(no(&asked, "")).await.unwrap();
    let left = loop {
        match next_read(&mut pays).await {
            // The question that the decision puts is a record of its own.
            Some((_, Read::Row(again))) => assert_eq!(again.decision_id, asked.decision_id),
            Some((_, Read::Left(left))) => break left,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((&left.decision_id, left.number), (&asked.decision_id, row.number));

    // Who was away when it left is told as well.
    let resumed = v1::StreamAuditRequest { resume_after: before, follow: false, ..follow("pay") };
    assert!(matches!(&all(&daemon, resumed).await[..], [(_, Read::Left(again))] if *again == left));
    // Nothing is said of what can never have matched, and not of what is new.
    let asked = ask(&mut agent, propose("mail", "x")).await;
    assert_eq!(next_row(&mut mails).await.decision_id, asked.decision_id);

    // A redacted row matches nothing any more.
    let redact = v1::RedactDecisionRequest {
        decision_id: left.decision_id.clone(),
        reason: "asked".into(),
        ..Default::default()
    };
    let reads = v1::StreamAuditRequest {
        filter: Some(v1::AuditFilter { matched_rule: "pay".into(), ..v1::AuditFilter::default() }),
        follow: true,
        ..v1::StreamAuditRequest::default()
    };
    let mut reads = read(&daemon, reads).await;
    assert_eq!(next_row(&mut reads).await.decision_id, left.decision_id);
    daemon.administration().await.redact_decision(redact).await.unwrap();
    loop {
        match next_read(&mut reads).await {
            Some((_, Read::Left(again))) => break assert_eq!(again.decision_id, left.decision_id),
            Some((_, Read::CaughtUp(_) | Read::Row(_))) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stream_may_begin_with_nothing_that_was_before() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    ask(&mut agent, propose("read", "before")).await;
    let request = v1::StreamAuditRequest { limit: Some(0), follow: true, ..v1::StreamAuditRequest::default() };
    let mut stream = read(&daemon, request).await;
    let Some((_, Read::CaughtUp(marker))) = next_read(&mut stream).await else { panic!("the marker comes first") };
    assert_eq!(marker.count, 0);
    ask(&mut agent, propose("read", "after")).await;
    assert_eq!(action(&next_row(&mut stream).await).target, "after");
}

#[tokio::test]
async fn the_newest_can_be_asked_for_first_or_last() {
    let daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    for n in 0..600 {
        ask(&mut agent, propose("read", &format!("{n}"))).await;
    }
    let ids = |events: Vec<(u64, Read)>| -> Vec<u64> {
        let id = |event| match event {
            (_, Read::Row(row)) => row.number,
            (_, Read::Record(record)) => record.sequence,
            other => panic!("{other:?}"),
        };
        events.into_iter().map(id).collect()
    };
    // Twice as many as one page, exactly a page, and more than there are.
    for limit in [1, 256, 300, 512, 10_000] {
        for (view, last) in [(v1::AuditView::Rows, 600), (v1::AuditView::Records, 603)] {
            let request = |newest_first| v1::StreamAuditRequest {
                view: view.into(),
                limit: Some(limit),
                newest_first,
                ..v1::StreamAuditRequest::default()
            };
            let first = last - limit.min(last) + 1;
            let forwards = ids(all(&daemon, request(false)).await);
            assert!(forwards.iter().copied().eq(first..=last), "{view:?}, the newest {limit}");
            let backwards = ids(all(&daemon, request(true)).await);
            assert!(backwards.iter().copied().eq((first..=last).rev()), "{view:?}, the newest {limit} first");
        }
    }
    let both =
        v1::StreamAuditRequest { newest_first: true, resume_after: "x".into(), ..v1::StreamAuditRequest::default() };
    let refused = daemon.auditor().await.stream_audit(both).await.unwrap_err();
    assert_eq!(fields(&refused), ["newest_first"]);
}

/// Whether a row is one of those that a filter keeps.
type Keeps = Box<dyn Fn(&v1::AuditRow) -> bool>;

#[tokio::test]
async fn every_filter_of_the_record_keeps_what_it_says_and_nothing_else() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    for n in 0..40 {
        let mut request = propose(["read", "pay", "delete", "mail"][n % 4], ["crm", "bank", ""][n % 3]);
        request.actor = Some(v1::Actor { id: format!("agent-{}", n % 5), r#type: String::new() });
        request.context = Some(v1::ProposalContext { session_id: format!("s{}", n % 7), metadata: None });
        let decision = ask(&mut agent, request).await;
        match (decision.outcome(), n % 3) {
            (v1::Outcome::Allow, 0) => report(&mut agent, &decision.decision_id, ResultStatus::Failed).await,
            (v1::Outcome::Escalate, 0) => drop(reviewer.deny(no(&decision, "")).await.unwrap()),
            (v1::Outcome::Escalate, 1) => drop(reviewer.approve(yes(&decision, "")).await.unwrap()),
            _ => {}
        }
    }
    let rows = daemon.rows().await;
    let none = v1::AuditFilter::default;
    let at = |row: usize| rows[row].timestamp.unwrap();
    let micros = |at: prost_types::Timestamp| (at.seconds, at.nanos);
    let (since, until) = (micros(at(10)), micros(at(20)));
    let one = rows[7].decision_id.clone();
    let cases: Vec<(v1::AuditFilter, Keeps)> = vec![
        (none(), Box::new(|_| true)),
        (v1::AuditFilter { session_id: "s3".into(), ..none() }, Box::new(|row| row.session_id == "s3")),
        (v1::AuditFilter { action_type: "pay".into(), ..none() }, Box::new(|row| action(row).r#type == "pay")),
        (v1::AuditFilter { target: "crm".into(), ..none() }, Box::new(|row| action(row).target == "crm")),
        (
            v1::AuditFilter { risk_levels: vec![v1::RiskLevel::High.into()], ..none() },
            Box::new(|row| row.risk_level() == v1::RiskLevel::High),
        ),
        (
            v1::AuditFilter { approval_modes: vec![v1::ApprovalMode::Block.into()], ..none() },
            Box::new(|row| row.approval_mode() == v1::ApprovalMode::Block),
        ),
        (
            v1::AuditFilter { outcomes: vec![v1::Outcome::Escalate.into()], ..none() },
            Box::new(|row| row.outcome() == v1::Outcome::Escalate),
        ),
        (
            v1::AuditFilter { result_statuses: vec![ResultStatus::Denied.into()], ..none() },
            Box::new(|row| result_of(row) == ResultStatus::Denied),
        ),
        (
            v1::AuditFilter { actor_id: "agent-2".into(), ..none() },
            Box::new(|row| row.actor.as_ref().is_some_and(|actor| actor.id == "agent-2")),
        ),
        (v1::AuditFilter { decision_id: one.clone(), ..none() }, Box::new(move |row| row.decision_id == one)),
        (v1::AuditFilter { matched_rule: "deletes".into(), ..none() }, Box::new(|row| row.matched_rule == "deletes")),
        (
            v1::AuditFilter { since: Some(at(10)), ..none() },
            Box::new(move |row| micros(row.timestamp.unwrap()) >= since),
        ),
        (
            v1::AuditFilter { until: Some(at(20)), ..none() },
            Box::new(move |row| micros(row.timestamp.unwrap()) <= until),
        ),
        (
            v1::AuditFilter { action_type: "pay".into(), actor_id: "agent-1".into(), ..none() },
            Box::new(|row| {
                action(row).r#type == "pay" && row.actor.as_ref().is_some_and(|actor| actor.id == "agent-1")
            }),
        ),
        (v1::AuditFilter { session_id: "nobody's".into(), ..none() }, Box::new(|_| false)),
        (v1::AuditFilter { action_type: "*a*".into(), ..none() }, Box::new(|row| action(row).r#type.contains('a'))),
        (v1::AuditFilter { target: "?[ra]*".into(), ..none() }, Box::new(|row| !action(row).target.is_empty())),
        (
            v1::AuditFilter { min_risk_level: v1::RiskLevel::High.into(), ..none() },
            Box::new(|row| row.risk_level >= v1::RiskLevel::High.into()),
        ),
        (
            v1::AuditFilter {
                risk_levels: vec![v1::RiskLevel::Low.into(), v1::RiskLevel::Critical.into()],
                result_statuses: vec![ResultStatus::Failed.into(), ResultStatus::Blocked.into()],
                ..none()
            },
            Box::new(|row| matches!(result_of(row), ResultStatus::Failed | ResultStatus::Blocked)),
        ),
    ];
    for (filter, keeps) in cases {
        let request = v1::StreamAuditRequest { filter: Some(filter.clone()), ..v1::StreamAuditRequest::default() };
        let kept: Vec<_> = all(&daemon, request.clone()).await.into_iter().map(|(_, event)| event).collect();
        let wanted: Vec<_> =
            rows.iter().filter(|row| keeps(row)).cloned().map(|row| Read::Row(Box::new(row))).collect();
        assert_eq!(kept, wanted, "{filter:?}");

        let backwards = v1::StreamAuditRequest { newest_first: true, limit: Some(3), ..request };
        let kept: Vec<_> = all(&daemon, backwards).await.into_iter().map(|(_, event)| event).collect();
        assert_eq!(kept, wanted.into_iter().rev().take(3).collect::<Vec<_>>(), "{filter:?}");
    }
    let records = v1::StreamAuditRequest {
        filter: Some(v1::AuditFilter { session_id: "s".into(), ..none() }),
        view: v1::AuditView::Records.into(),
        ..v1::StreamAuditRequest::default()
    };
    assert_eq!(fields(&daemon.auditor().await.stream_audit(records).await.unwrap_err()), ["filter"]);
}

fn action(row: &v1::AuditRow) -> &v1::Action {
    row.action.as_ref().expect("a row has an action")
}

#[tokio::test]
async fn open_streams_are_bounded_and_their_places_come_back() {
    let daemon = Setup::new().policy(ASK).args(&["--max-streams", "3"]).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let approvals = watch(&mut reviewer, None).await;
    let follow = v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() };
    let _audit = read(&daemon, follow.clone()).await;
    let mut admin = daemon.admin().await;
    let _policy = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();

    let full = (Code::ResourceExhausted, "TOO_MANY_STREAMS".to_owned());
    let refused = reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.unwrap_err();
    assert_eq!(refusal(&refused), full);
    assert_eq!(refusal(&daemon.auditor().await.stream_audit(follow).await.unwrap_err()), full);
    assert_eq!(refusal(&admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap_err()), full);
    assert_eq!(ask(&mut agent, propose("read", "x")).await.outcome(), v1::Outcome::Allow, "calls go on");

    drop(approvals);
    eventually("the place comes back", || {
        let mut reviewer = reviewer.clone();
        async move { reviewer.stream_approvals(v1::StreamApprovalsRequest::default()).await.ok() }
    })
    .await;
}

#[tokio::test]
async fn no_stream_ends_as_if_all_were_well_when_the_daemon_stops() {
    let mut daemon = Setup::new().policy(ASK).start();
    let mut reviewer = daemon.reviewer().await;
    let mut approvals = watch(&mut reviewer, None).await;
    snapshot(&mut approvals).await;
    let follow = v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() };
    let mut audit = read(&daemon, follow).await;
    assert!(matches!(next_read(&mut audit).await, Some((_, Read::CaughtUp(_)))));
    let mut admin = daemon.admin().await;
    let mut policy = admin.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    policy.message().await.unwrap().unwrap();

    daemon.terminate();
    for ended in [end_of(&mut approvals).await, end_of(&mut audit).await, end_of(&mut policy).await] {
        assert_eq!(refusal(&ended.unwrap_err()), (Code::Unavailable, "NOT_SERVING".to_owned()));
    }
    assert!(daemon.ended().await.success());
}

#[tokio::test]
async fn not_even_a_stream_that_nobody_reads_ends_as_if_all_were_well() {
    let mut daemon = Setup::new().policy(ASK).args(&["--shutdown-grace", "30s"]).start();
    let channel = narrow(&daemon).await;
    let mut approvals = watch(&mut Reviewer::new(channel.clone()), None).await;
    pay(&daemon, 500).await;
    let follow = v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() };
    let mut audit = AuditServiceClient::new(narrow(&daemon).await).stream_audit(follow).await.unwrap().into_inner();
    daemon.terminate();
    daemon.logs("stopping").await;
    // Longer than the daemon would wait for a client that does not read, if it did.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for ended in [end_of(&mut approvals).await.unwrap_err(), end_of(&mut audit).await.unwrap_err()] {
        assert_eq!(refusal(&ended), (Code::Unavailable, "NOT_SERVING".to_owned()), "{ended:?}");
    }
    drop((approvals, audit, channel));
    assert!(daemon.ended().await.success());
}

#[tokio::test]
async fn a_stream_that_has_nothing_to_say_says_that_it_is_alive() {
    if !long() {
        return;
    }
    let daemon = Setup::new().policy(ASK).start();
    let mut approvals = watch(&mut daemon.reviewer().await, None).await;
    let follow = v1::StreamAuditRequest { follow: true, ..v1::StreamAuditRequest::default() };
    let mut audit = read(&daemon, follow).await;
    let mut policy = daemon.admin().await.watch_policy(v1::WatchPolicyRequest {}).await.unwrap().into_inner();
    for _ in 0..2 {
        while !matches!(approvals.message().await.unwrap().unwrap().event, Some(Seen::Heartbeat(_))) {}
        while !matches!(audit.message().await.unwrap().unwrap().event, Some(Read::Heartbeat(_))) {}
        let heartbeat = |event: &_| matches!(event, Some(v1::watch_policy_response::Event::Heartbeat(_)));
        while !heartbeat(&policy.message().await.unwrap().unwrap().event) {}
    }
}
