//! A disk that is full: nothing is decided that is not on the record, and all is well again when there is space.

use std::process::Command;
use std::time::Instant;

use aegis::proto::v1::{self, Outcome, ResultStatus};
use tonic::{Code, Status};

use crate::harness::{
    AEGIS, Daemon, Ledger, Setup, SmallDisk, ask, details, eventually, healthy, params, pending, propose, refusal,
    report, stderr, stdout, whole_log, yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: brief, match: {type: brief}, risk_level: low, approval: approve, timeout: 1s, on_timeout: allow}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

/// These tests are about a disk that is full, not about one that runs low.
const NO_SHARES: [&str; 2] = ["--low-disk-percent", "0"];

/// Waits until the record says that the disk is full.
async fn said_full(daemon: &Daemon) {
    eventually("the record says that the disk is full", || async {
        // Until then it cannot be read, either: it is closed and opened again.
        let read = daemon.cli(&["audit", "--records", "--format", "jsonl"]);
        stdout(&read).contains("disk_full").then_some(())
    })
    .await;
}

fn assert_full(refused: &Status) {
    assert_eq!(refusal(refused), (Code::Unavailable, "RECORD_UNAVAILABLE".to_owned()), "{refused:?}");
    assert_eq!(details(refused)["disk_full"], "true", "{refused:?}");
}

/// A proposal that takes some space.
fn large(n: usize) -> v1::ProposeRequest {
    let mut request = propose("read", &format!("{n}"));
    request.action.as_mut().unwrap().params = params(serde_json::json!({"note": "x".repeat(8 << 10)}));
    request
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_allowed_and_with_space_all_goes_on() {
    let setup = Setup::new().policy(ASK).args(&NO_SHARES);
    let disk = SmallDisk::mount(&setup, 8);
    let daemon = setup.start();
    let (mut agent, mut reviewer) = (daemon.agent().await, daemon.reviewer().await);
    let mut ledger = Ledger::default();
    let mut proposals = (0..).map(large);
    for request in proposals.by_ref().take(20) {
        ledger.decisions.push(ask(&mut agent, request).await);
    }
    let open = ask(&mut agent, propose("pay", "bank")).await;
    let brief = ask(&mut agent, propose("brief", "crm")).await;
    ledger.decisions.extend([open.clone(), brief.clone()]);
    let allowed = ledger.decisions[0].clone();

    disk.fill();
    // There is room in the file itself, and after a fault sometimes a little again: what is answered is on the record.
    let (mut refused_in_a_row, mut first_refused) = (0, None);
    for request in proposals.by_ref() {
        match agent.propose(request).await {
            Ok(answer) => {
                refused_in_a_row = 0;
                ledger.decisions.push(answer.into_inner().decision.unwrap());
            }
            Err(refused) => {
                assert_full(&refused);
                refused_in_a_row += 1;
                if first_refused.is_none() {
                    let first_refused = first_refused.insert(Instant::now());
                    healthy(&daemon, "", false).await;
                    println!("full disk: said within {} ms", first_refused.elapsed().as_millis());
                }
            }
        }
        if refused_in_a_row == 50 {
            break;
        }
    }
    healthy(&daemon, "", false).await;
    healthy(&daemon, "aegis.v1.GovernanceService", false).await;
    healthy(&daemon, "aegis.record", false).await;
    // That it is full is on the record, which can be read: there was space in reserve for that.
    said_full(&daemon).await;
    let log = whole_log(&daemon).await;
    assert_eq!(log.last().map(|record| record.text("/kind")), Some("disk_full"), "and nothing after it");
    ledger.check(&log);
    assert!(!disk.path().join("record.reserve").exists(), "it is used up");

    // Nothing else that must be recorded goes through, either.
    assert_full(&reviewer.approve(yes(&open, "yes")).await.unwrap_err());
    let report = report(&allowed.decision_id, ResultStatus::Success);
    assert_full(&agent.report_result(report.clone()).await.unwrap_err());
    // What needs no record is answered.
    let action = v1::EvaluateItem { actor: None, action: propose("read", "x").action };
    let dry_run = v1::EvaluateRequest { items: vec![action], ..v1::EvaluateRequest::default() };
    agent.evaluate(dry_run).await.unwrap();

    // A change that is refused meanwhile is said at once, and recorded when that is possible.
    std::fs::write(daemon.policy_file(), "no: policy").unwrap();
    healthy(&daemon, "aegis.policy", false).await;

    disk.free();
    let freed = Instant::now();
    healthy(&daemon, "", true).await;
    println!("full disk: recovered within {} ms", freed.elapsed().as_millis());
    assert_eq!(std::fs::metadata(disk.path().join("record.reserve")).unwrap().len(), 1 << 20, "it is made again");
    assert_eq!(daemon.events("record_recovered").len(), 1);
    eventually("the refusal is on the record", || async {
        let log = whole_log(&daemon).await;
        log.iter().any(|record| record.text("/kind") == "policy_rejected").then_some(())
    })
    .await;
    std::fs::write(daemon.policy_file(), ASK).unwrap();
    healthy(&daemon, "aegis.policy", true).await;
    ledger.decisions.push(ask(&mut agent, propose("read", "after")).await);
    agent.report_result(report).await.unwrap();
    reviewer.approve(yes(&open, "yes")).await.unwrap();
    ledger.endings.insert(open.approval_id, (true, "yes".to_owned()));
    let brief = crate::harness::awaited(&mut agent, &brief.decision_id, 60).await;
    assert_eq!(brief.outcome(), Outcome::Allow, "what time ended while nothing could be written is ended now");
    ledger.check(&whole_log(&daemon).await);
    assert!(pending(&mut reviewer).await.is_empty());

    let daemon = daemon.restart();
    ledger.check(&whole_log(&daemon).await);
}

#[tokio::test]
async fn a_daemon_does_not_start_on_a_full_disk_and_says_why() {
    let setup = Setup::new().policy(ASK).args(&NO_SHARES);
    let disk = SmallDisk::mount(&setup, 8);
    let mut daemon = setup.start();
    let mut agent = daemon.agent().await;
    let open = ask(&mut agent, propose("pay", "bank")).await;
    disk.fill();
    // Until the room in the file itself is used up, and the reserve with it.
    let mut proposals = (0..).map(large);
    while let Some(request) = proposals.next()
        && agent.propose(request).await.is_ok()
    {}
    said_full(&daemon).await;
    daemon.kill();
    disk.fill();
    let refused = Command::new(AEGIS)
        .args(["serve", "--port", "0", "--data-dir"])
        .arg(disk.path())
        .arg(daemon.policy_file())
        .output()
        .unwrap();
    let said = stderr(&refused);
    assert!(!refused.status.success() && said.to_lowercase().contains("no space left"), "{said}");
    disk.free();
    let daemon = daemon.restart();
    daemon.reviewer().await.approve(yes(&open, "")).await.unwrap();
}
