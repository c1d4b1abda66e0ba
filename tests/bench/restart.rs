//! The time until the daemon is ready after kill -9 with a million records, compared with an empty record; and the
//! size of a record on disk.
//!
//! This process fills the store, through the same `Standalone`. Then the release binary works on it until its journal
//! is nearly full, is killed and starts again. The time is from the start of the process to the line with its address.
//! The two records take turns, and the median counts. `cargo bench --bench restart` takes about a minute;
//! `AEGIS_BENCH_RECORDS` sets the number of records.

#![expect(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^53")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use aegis::audit::{Content, DecisionRecord, Draft, Event, IdentityRecord, Opening, Options, Standalone};
use aegis::domain::{Action, Actor, Approval, DecisionId, Digest, How, Outcome, RiskLevel, Timestamp};
use aegis::proto::v1;
use aegis::proto::v1::governance_service_client::GovernanceServiceClient;
use serde_json::{Map, json};

/// How often each daemon is killed and started.
const ROUNDS: usize = 9;
/// How many decisions make a journal nearly full.
const UNTIL_FULL: u32 = 2_560;
/// How many jobs run at once while a store is filled.
const AT_ONCE: u64 = 512;

fn main() {
    let records =
        std::env::var("AEGIS_BENCH_RECORDS").ok().and_then(|records| records.parse().ok()).unwrap_or(1_000_000);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (full, empty) = (home(), home());
    let (took, payload) = runtime.block_on(fill(&full.path().join("data"), records));
    let bytes = std::fs::metadata(full.path().join("data/record.redb")).expect("a store").len();
    println!("{records} records, written in {:.0} s", took.as_secs_f64());
    let per_record = bytes as f64 / records as f64;
    println!("bytes per record              {per_record:8.0}   row and index included");
    println!("of them its own JSON          {payload:8.0}   ratio {:.2}", per_record / payload);

    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(runtime.block_on(ready_after_kill(full.path())));
        without.push(runtime.block_on(ready_after_kill(empty.path())));
    }
    let (with, without) = (median(with), median(without));
    println!("ready after kill -9, ms       {with:8.1}   goal <= 1000");
    println!("the same, empty record, ms    {without:8.1}");
    println!("ratio                         {:8.2}   goal <= 1.2", with / without);
}

fn home() -> tempfile::TempDir {
    // On a real disk if possible, because `/tmp` may be memory.
    let home = tempfile::Builder::new().prefix("aegis-bench-").tempdir_in(env!("CARGO_TARGET_TMPDIR"));
    home.expect("a temporary directory")
}

/// Writes as many decisions, with their rows, as make this many records. Returns the time, and the bytes of one
/// record's JSON.
async fn fill(data: &Path, records: u64) -> (Duration, f64) {
    use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
    std::fs::DirBuilder::new().mode(0o700).create(data).expect("a directory");
    // An empty file asks the daemon to create the secret of a record that it did not write.
    let secret = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(data.join("token-key"));
    secret.expect("an empty file");
    let began = Instant::now();
    let store = Standalone::open(&data.join("record.redb"), Options::default()).expect("a new store");
    let at: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a moment");
    store.transact(move |tx| tx.append(at, &Event::DaemonStopped)).await.expect("it is written");
    let mut number = 1;
    while number < records {
        let mut calls = Vec::new();
        for _ in 0..AT_ONCE.min(records - number) {
            let (draft, store) = (draft(at, number), store.clone());
            calls.push(tokio::spawn(async move { store.transact(move |tx| tx.insert_decision(draft)).await }));
            number += 1;
        }
        for call in calls {
            call.await.expect("a call does not panic").expect("it is written");
        }
    }
    let some = store.read().and_then(|reader| reader.records(records / 2, 1000)).expect("it can be read");
    let lengths = some.iter().map(|record| match &record.content {
        Content::Whole { payload, .. } => payload.len(),
        Content::Redacted { .. } => 0,
    });
    let payload = lengths.sum::<usize>() as f64 / some.len().max(1) as f64;
    store.shutdown();
    (began.elapsed(), payload)
}

/// A decision like those of agents: a handful of parameters, a dozen concurrent sessions.
fn draft(start: Timestamp, number: u64) -> Draft {
    let at = start + Duration::from_millis(number);
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let record = DecisionRecord {
        decision_id: DecisionId::new(at, random),
        actor: Actor { id: format!("agent-{}", number % 7), r#type: "ai-agent".into() },
        identity: IdentityRecord {
            subject: "anonymous".into(),
            how: How::Anonymous,
            groups: Vec::new(),
            actor: None,
            peer: None,
        },
        session_id: format!("session-{}", number / 1000),
        metadata: Map::new(),
        action_digest: Digest::of(&number.to_be_bytes()),
        action: Action {
            r#type: format!("type_{}", number % 40),
            target: format!("crm/contacts/{number}"),
            params: Map::from_iter([("count".to_owned(), json!(number)), ("field".to_owned(), json!("status"))]),
            description: "Mark the lead as contacted".into(),
        },
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: std::collections::BTreeMap::new(),
        marks: Vec::new(),
        outcome: Outcome::Allow,
        reason: "rule `contacts` allows".into(),
        risk_level: RiskLevel::Low,
        approval: Approval::Auto,
        matched_rule: "contacts".into(),
        constraints: Map::new(),
        policy_revision: Digest::of(b"policy"),
        approval_id: None,
        expires_at: None,
        trace_id: String::new(),
        executes: false,
        limits: Vec::new(),
        halted: false,
    };
    let opening = Opening {
        allowed_at: Some(at),
        idempotency: number.is_multiple_of(2).then(|| Digest::of(&number.to_le_bytes())),
        ..Opening::default()
    };
    Draft::new(at, &record, opening).expect("a decision has a JSON form")
}

/// Starts the daemon, works, kills it and starts it again. Returns the milliseconds of the last start, until it
/// listens.
async fn ready_after_kill(home: &Path) -> f64 {
    let (mut daemon, endpoint, _) = start(home);
    let endpoint = tonic::transport::Endpoint::from_shared(endpoint).expect("a URL");
    let agent = GovernanceServiceClient::new(endpoint.connect().await.expect("the daemon answers"));
    // The journal is nearly full when the daemon is killed, so that the next start has as much to replay as there is.
    let journal = home.join("data/record.journal");
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..64 {
        let mut agent = agent.clone();
        calls.spawn(async move {
            for _ in 0..UNTIL_FULL / 64 {
                let action = v1::Action { r#type: "read".into(), target: n.to_string(), ..v1::Action::default() };
                let actor = v1::Actor { id: "agent-7".into(), r#type: "ai-agent".into() };
                let (action, actor) = (Some(action), Some(actor));
                let request = v1::ProposeRequest { action, actor, ..v1::ProposeRequest::default() };
                agent.propose(request).await.expect("the daemon answers");
            }
        });
    }
    calls.join_all().await;
    assert!(std::fs::metadata(journal).expect("a journal").len() > 3 << 20, "the journal has something to replay");
    end(&mut daemon);
    let (mut daemon, _, took) = start(home);
    end(&mut daemon);
    took.as_secs_f64() * 1000.0
}

fn start(home: &Path) -> (Child, String, Duration) {
    let began = Instant::now();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_aegis"))
        .args(["serve", "--port", "0", "--admin-listen", "off", "--data-dir"])
        .arg(home.join("data"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the daemon starts");
    let mut line = String::new();
    BufReader::new(daemon.stdout.take().expect("stdout is piped")).read_line(&mut line).expect("stdout can be read");
    let took = began.elapsed();
    let endpoint = line.trim().strip_prefix("listening on ").expect("the daemon listens").to_owned();
    (daemon, endpoint, took)
}

fn end(daemon: &mut Child) {
    daemon.kill().expect("the daemon can be killed");
    daemon.wait().expect("the daemon has ended");
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
