//! Faults of the disk under a daemon at work: said at once, nothing decided meanwhile, and all goes on by itself.
//!
//! How long each took is printed, for the table in `tests/faults/README.md`: said within, recovered within.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aegis::proto::v1;
use redb::{ReadableDatabase as _, TableDefinition};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;

use crate::harness::{
    Daemon, Ledger, Setup, Shim, ask, details, eventually, get, health, healthy, pending, propose, refusal, whole_log,
    yes,
};

const ASK: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: read}, risk_level: low, approval: auto}
";

/// Agents that propose all the time, and keep a ledger of what they were told.
struct Load {
    ledger: Arc<Mutex<Ledger>>,
    stop: Arc<AtomicBool>,
    agents: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn start(daemon: &Daemon) -> Self {
        let (ledger, stop): (Arc<Mutex<Ledger>>, Arc<AtomicBool>) = Default::default();
        let mut agents = Vec::new();
        for name in 0..8 {
            let mut agent = daemon.agent().await;
            let (ledger, stop) = (Arc::clone(&ledger), Arc::clone(&stop));
            agents.push(tokio::spawn(async move {
                for n in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    match agent.propose(propose("read", &format!("{name}, {n}"))).await {
                        Ok(answer) => {
                            let decision = answer.into_inner().decision.expect("an answer has a decision");
                            ledger.lock().unwrap().decisions.push(decision);
                        }
                        Err(refused) => {
                            assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
                            // As a client does that is told to try again.
                            tokio::time::sleep(Duration::from_millis(10)).await;
                        }
                    }
                }
            }));
        }
        Self { ledger, stop, agents }
    }

    fn answered(&self) -> usize {
        self.ledger.lock().unwrap().decisions.len()
    }

    /// Waits for more answers than there are.
    async fn more(&self) {
        let now = self.answered();
        eventually("agents are answered", || async { (self.answered() > now + 8).then_some(()) }).await;
    }

    async fn end(self) -> Ledger {
        self.stop.store(true, Ordering::Release);
        for agent in self.agents {
            agent.await.unwrap();
        }
        std::mem::take(&mut *self.ledger.lock().unwrap())
    }
}

/// What a fault is, and how it begins and ends.
struct Fault<'a> {
    name: &'a str,
    begin: &'a dyn Fn(),
    end: &'a dyn Fn(),
    /// What the record says of it afterwards.
    why: &'a str,
}

/// A fault under load: said, survived, on the record.
async fn survive(setup: Setup, fault: Fault<'_>) {
    let daemon = setup.args(&["--admin-listen", "127.0.0.1:0", "--disk-timeout", "3s"]).start();
    let probes = daemon.probes().await;
    let open = ask(&mut daemon.agent().await, propose("pay", "bank")).await;
    let load = Load::start(&daemon).await;
    load.more().await;

    let begun = Instant::now();
    (fault.begin)();
    eventually("a probe is told", || async {
        (health(&daemon, "").await == Some(ServingStatus::NotServing)).then_some(())
    })
    .await;
    let said = begun.elapsed();
    let (status, why) = get(&format!("{probes}/ready"));
    assert!(status.contains("503") && why.starts_with("the record cannot be written: "), "{status} {why}");
    let (_, page) = get(&format!("{probes}/metrics"));
    assert!(page.lines().any(|line| line == "aegis_record_writable 0"), "{page}");
    healthy(&daemon, "aegis.record", false).await;
    // Nothing is decided, by a person either.
    let refused = daemon.reviewer().await.approve(yes(&open, "yes")).await.unwrap_err();
    assert_eq!(refusal(&refused), (Code::Unavailable, "RECORD_UNAVAILABLE".to_owned()), "{refused:?}");
    assert_eq!(details(&refused)["disk_full"], "false");
    let threads = threads(&daemon);
    let answered = load.answered();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(load.answered(), answered, "nothing is acknowledged that is not on the record");
    assert!(self::threads(&daemon) <= threads + 2, "calls that are refused leave no threads");

    let ended = Instant::now();
    (fault.end)();
    load.more().await;
    let recovered = ended.elapsed();
    healthy(&daemon, "", true).await;
    println!("{}: said within {} ms, recovered within {} ms", fault.name, said.as_millis(), recovered.as_millis());
    daemon.reviewer().await.approve(yes(&open, "now")).await.unwrap();

    let mut ledger = load.end().await;
    ledger.endings.insert(open.approval_id, (true, "now".to_owned()));
    let log = whole_log(&daemon).await;
    ledger.check(&log);
    let noted =
        log.iter().any(|record| record.text("/kind") == "record_recovered" && record.text("/why").contains(fault.why));
    assert!(noted || fault.why.is_empty(), "the record says what happened: {}", fault.why);
    let daemon = daemon.restart();
    ledger.check(&whole_log(&daemon).await);
    assert!(pending(&mut daemon.reviewer().await).await.is_empty());
}

/// How many threads the daemon has.
fn threads(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs").count()
}

#[tokio::test]
async fn a_sync_that_fails() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let (begin, end) = (|| shim.break_syncs(true), || shim.break_syncs(false));
    survive(setup, Fault { name: "failed fsync", begin: &begin, end: &end, why: "Input/output error" }).await;
}

#[tokio::test]
async fn a_sync_that_hangs() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let (begin, end) = (|| shim.hang_syncs(true), || shim.hang_syncs(false));
    // Nothing failed in the end: there is nothing to say on the record.
    survive(setup, Fault { name: "hanging fsync", begin: &begin, end: &end, why: "" }).await;
}

#[tokio::test]
async fn a_file_system_that_becomes_read_only() {
    let (setup, shim) = Shim::below(Setup::new().policy(ASK));
    let (begin, end) = (|| shim.read_only(true), || shim.read_only(false));
    survive(setup, Fault { name: "read-only file system", begin: &begin, end: &end, why: "Read-only" }).await;
}

#[tokio::test]
async fn a_record_that_another_file_takes_the_place_of() {
    let setup = Setup::new().policy(ASK);
    let record = setup.home().join("data/record.redb");
    let (kept, other) = (setup.home().join("kept"), setup.home().join("other"));
    let begin = || {
        std::fs::write(&other, "somebody else's").unwrap();
        std::fs::rename(&other, &record).unwrap();
    };
    let end = || {
        assert_eq!(std::fs::read_to_string(&record).unwrap(), "somebody else's", "it was left alone");
        std::fs::rename(&record, &kept).unwrap();
    };
    survive(setup, Fault { name: "replaced file", begin: &begin, end: &end, why: "move it away" }).await;
}

#[tokio::test]
async fn a_record_that_is_removed_is_written_out_again() {
    let daemon = Setup::new().policy(ASK).start();
    let record = daemon.data_dir().join("record.redb");
    let load = Load::start(&daemon).await;
    load.more().await;
    let begun = Instant::now();
    std::fs::remove_file(&record).unwrap();
    daemon.logs("the record had been removed").await;
    load.more().await;
    println!("removed file: recovered within {} ms", begun.elapsed().as_millis());
    healthy(&daemon, "", true).await;
    let ledger = load.end().await;
    let daemon = daemon.restart();
    ledger.check(&whole_log(&daemon).await);
    assert_eq!(daemon.events("record_recovered").len(), 1);
}

const META: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("meta");

#[tokio::test]
async fn a_record_of_a_newer_version_is_refused_and_left_as_it_is() {
    let mut daemon = Setup::new().policy(ASK).start();
    ask(&mut daemon.agent().await, propose("read", "x")).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let record = daemon.data_dir().join("record.redb");
    let database = redb::Database::open(&record).unwrap();
    let write = database.begin_write().unwrap();
    write.open_table(META).unwrap().insert("format", 3u64.to_be_bytes().as_slice()).unwrap();
    write.commit().unwrap();
    drop(database);

    let (status, said) = Setup::over(&daemon).refuse();
    assert!(!status.success());
    assert!(said.contains("has format 3, this program knows up to 2: run the newer program"), "{said}");
    let read = redb::Database::open(&record).unwrap().begin_read().unwrap();
    assert_eq!(read.open_table(META).unwrap().get("format").unwrap().unwrap().value(), 3u64.to_be_bytes());
}

#[tokio::test]
async fn a_page_that_is_damaged_is_said_so_and_the_rest_goes_on() {
    let mut daemon = Setup::new().policy(ASK).start();
    let mut agent = daemon.agent().await;
    let mut ledger = Ledger::default();
    for n in 0..20 {
        ledger.decisions.push(ask(&mut agent, propose("read", &format!("target number {n}!"))).await);
    }
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let record = daemon.data_dir().join("record.redb");
    let mut bytes = std::fs::read(&record).unwrap();
    let sought = b"target number 7!";
    let places: Vec<_> = (0..bytes.len() - sought.len()).filter(|at| bytes[*at..].starts_with(sought)).collect();
    assert!(!places.is_empty());
    for place in places {
        bytes[place] ^= 1;
    }
    std::fs::write(&record, bytes).unwrap();

    let daemon = daemon.restart();
    // The damaged record and its row are errors, which say what and what to do; no answer shows the changed text.
    let request = v1::StreamAuditRequest { view: v1::AuditView::Records.into(), ..v1::StreamAuditRequest::default() };
    let mut stream = daemon.auditor().await.stream_audit(request).await.unwrap().into_inner();
    let error = loop {
        match stream.message().await {
            Ok(Some(message)) => assert!(!format!("{message:?}").contains("uarget")),
            Ok(None) => panic!("a damaged record was passed over"),
            Err(error) => break error,
        }
    };
    let said = error.message();
    assert!(error.code() == Code::Internal && said.contains("does not match its leaf hash"), "{error:?}");
    assert!(said.contains("keep a copy of the file for inspection and restore a backup"), "{said}");
    // A retry finds its decision all the same or is refused; everything else is decided.
    let mut agent = daemon.agent().await;
    let lost = v1::AwaitDecisionRequest { decision_id: ledger.decisions[7].decision_id.clone(), wait: None };
    assert_eq!(agent.await_decision(lost).await.unwrap_err().code(), Code::Internal);
    let well = v1::AwaitDecisionRequest { decision_id: ledger.decisions[8].decision_id.clone(), wait: None };
    assert_eq!(agent.await_decision(well).await.unwrap().into_inner().decision.unwrap(), ledger.decisions[8]);
    ask(&mut agent, propose("read", "after")).await;
    healthy(&daemon, "", true).await;
}
