//! Clocks that jump and processes that stand still: no question revives, none ends early, and the order stays.

use std::process::Command;
use std::time::{Duration, Instant};

use aegis::proto::v1::{EndingKind, Outcome};
use tonic::Code;

use crate::harness::{
    Daemon, Setup, Shim, approval, ask, awaited, ending, eventually, healthy, long, pending, propose, refusal,
    whole_log, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve, timeout: 1h}
  - {name: brief, match: {type: brief}, approval: approve, timeout: 2s}
  - {name: mail, match: {type: mail}, approval: confirm, timeout: 1h}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

const YEAR: i64 = 366 * 24 * 60 * 60;

/// The log has no gap, whatever the clocks said, and what was asked later stands later.
async fn in_order(daemon: &Daemon, decisions: &[aegis::proto::v1::Decision]) {
    let log = whole_log(daemon).await;
    let found: Vec<_> = log
        .iter()
        .filter(|record| record.text("/kind") == "decision")
        .map(|record| record.text("/decision_id"))
        .collect();
    let asked: Vec<_> = decisions.iter().map(|decision| decision.decision_id.as_str()).collect();
    assert_eq!(found, asked);
}

#[tokio::test]
async fn a_wall_clock_that_jumps_ends_nothing_early_and_revives_nothing() {
    for jump in [YEAR, -YEAR] {
        let (setup, shim) = Shim::below(Setup::new().policy(ASK));
        let daemon = setup.start();
        let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
        let begun = Instant::now();
        let brief = ask(&mut agent, propose("brief", "before")).await;
        let open = ask(&mut agent, propose("pay", "before")).await;
        shim.clock_ahead(jump);
        let after = ask(&mut agent, propose("pay", "after")).await;
        let briefly = ask(&mut agent, propose("brief", "after")).await;
        let (told, now) = (brief.timestamp.unwrap().seconds, briefly.timestamp.unwrap().seconds);
        assert!((now - told - jump).abs() < 60, "the daemon lives in that year");

        // What has time left is open, on either side of the jump; what has none ends in its time, and not before.
        assert_eq!(awaited(&mut agent, &brief.decision_id, 60).await.outcome(), Outcome::Deny);
        assert!(begun.elapsed() >= Duration::from_secs(2), "{jump}: it had two seconds");
        assert_eq!(awaited(&mut agent, &briefly.decision_id, 60).await.outcome(), Outcome::Deny);
        let waiting: Vec<_> = pending(&mut reviewer).await.into_iter().map(|approval| approval.approval_id).collect();
        assert_eq!(waiting.len(), 2, "{jump}: {waiting:?}");
        let kind = ending(reviewer.approve(yes(&after, "")).await.unwrap().into_inner().approval).kind();
        assert_eq!(kind, EndingKind::Approved, "{jump}");

        // Back again: what has ended stays so.
        shim.clock_ahead(0);
        for ended in [&brief, &briefly] {
            let late = reviewer.approve(yes(ended, "late")).await.unwrap_err();
            assert_eq!(refusal(&late), (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()), "{jump}");
        }
        let kind = ending(reviewer.approve(yes(&open, "")).await.unwrap().into_inner().approval).kind();
        assert_eq!(kind, EndingKind::Approved, "{jump}");
        in_order(&daemon, &[brief, open, after, briefly]).await;
    }
}

#[tokio::test]
async fn a_wall_clock_that_jumped_while_the_daemon_was_down_gives_no_question_more_time() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let mut daemon = setup.start();
    let mut agent = daemon.agent().await;
    let ended = ask(&mut agent, propose("brief", "ended")).await;
    assert_eq!(awaited(&mut agent, &ended.decision_id, 60).await.outcome(), Outcome::Deny);
    let brief = ask(&mut agent, propose("brief", "open")).await;
    let open = ask(&mut agent, propose("pay", "open")).await;
    daemon.kill();
    shim.clock_ahead(-YEAR);
    let daemon = daemon.restart();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    // By that clock it has a year left. It gets what it had when it was asked, and no more.
    assert_eq!(awaited(&mut agent, &brief.decision_id, 60).await.outcome(), Outcome::Deny);
    for over in [&ended, &brief] {
        let late = reviewer.approve(yes(over, "late")).await.unwrap_err();
        assert_eq!(refusal(&late), (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()));
    }
    assert_eq!(approval(&mut reviewer, &open).await.ending, None, "an hour is not over");
    let retried = ask(&mut agent, propose("read", "later")).await;
    in_order(&daemon, &[ended, brief, open, retried]).await;
}

#[tokio::test]
async fn a_daemon_that_stands_still_ends_what_was_over_meanwhile_and_nothing_else() {
    let daemon = Setup::new().policy(ASK).start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let brief = ask(&mut agent, propose("brief", "x")).await;
    let open = ask(&mut agent, propose("pay", "x")).await;
    signal(&daemon, "STOP");
    // The time that it stands still is what this is about.
    tokio::time::sleep(Duration::from_secs(if long() { 180 } else { 3 })).await;
    // A yes that lies in its socket when it wakes up is late, too.
    let late = tokio::spawn({
        let (mut reviewer, brief) = (reviewer.clone(), brief.clone());
        async move { reviewer.approve(yes(&brief, "late")).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    signal(&daemon, "CONT");
    let late = late.await.unwrap().unwrap_err();
    assert_eq!(refusal(&late), (Code::FailedPrecondition, "APPROVAL_EXPIRED".to_owned()), "{late:?}");
    assert_eq!(awaited(&mut agent, &brief.decision_id, 60).await.outcome(), Outcome::Deny);
    let kind = ending(reviewer.approve(yes(&open, "")).await.unwrap().into_inner().approval).kind();
    assert_eq!(kind, EndingKind::Approved);
    in_order(&daemon, &[brief, open]).await;
}

#[tokio::test]
async fn a_jump_of_the_wall_clock_is_said_in_the_log_in_health_in_metrics_and_on_the_record() {
    for jump in [YEAR, -YEAR] {
        let arguments = ["--admin-listen", "127.0.0.1:0", "--retain", "90d"];
        let (setup, shim) = Shim::below(Setup::new().policy(ASK).args(&arguments));
        let daemon = setup.start();
        ask(&mut daemon.agent().await, propose("read", "before")).await;
        healthy(&daemon, "aegis.clock", true).await;
        healthy(&daemon, "aegis.retention", true).await;
        shim.clock_ahead(jump);
        healthy(&daemon, "aegis.clock", false).await;
        healthy(&daemon, "aegis.retention", false).await;
        daemon.logs("the wall clock jumped").await;
        assert_eq!(daemon.metric("aegis_clock_jumps_total").await, "1");
        assert_eq!(daemon.metric("aegis_retention_held").await, "1");
        let jumps = eventually("it is on the record", || async {
            Some(daemon.events("clock_jumped")).filter(|jumps| !jumps.is_empty())
        })
        .await;
        let time = |at: &str| jumps[0][at].as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).expect("a time");
        let seconds = time("after").duration_since(time("before")).as_secs();
        assert!((seconds - jump).abs() < 5, "{seconds}");
        // Back again: that is another jump, and the clock is right. Nobody has confirmed the first one.
        shim.clock_ahead(0);
        healthy(&daemon, "aegis.clock", true).await;
        assert_eq!(daemon.metric("aegis_retention_held").await, "1");
        eventually("both are on the record", || async { (daemon.events("clock_jumped").len() == 2).then_some(()) })
            .await;
    }
}

#[tokio::test]
async fn a_clock_that_was_set_back_while_the_daemon_was_down_is_on_the_record() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let daemon = setup.start();
    ask(&mut daemon.agent().await, propose("read", "before")).await;
    let mut daemon = daemon;
    daemon.kill();
    shim.clock_ahead(-3600);
    let daemon = daemon.restart();
    assert_eq!(daemon.events("clock_jumped").len(), 1);
    daemon.logs("the wall clock was set back while the daemon was not running").await;
}

fn signal(daemon: &Daemon, signal: &str) {
    let sent = Command::new("kill").arg(format!("-{signal}")).arg(daemon.pid().to_string()).status();
    assert!(sent.expect("kill runs").success());
}
