//! The cost of proofs: appending with and without the tree, exporting, verifying and proving; and the bytes of each.
//!
//! `cargo bench --bench evidence` takes about half a minute. Ratios count: both sides of each ratio take turns in one
//! run. Absolute figures hold for this machine and this day. `AEGIS_BENCH_RECORDS` sets the number of records (default
//! 200,000).

#![expect(clippy::cast_precision_loss, reason = "nothing counted here comes near 2^53")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aegis::audit::evidence::{BundleWriter, EntryLine, Trust, verify_bundle};
use aegis::audit::{Content, DecisionRecord, Draft, IdentityRecord, Opening, Options, Standalone};
use aegis::domain::{
    Action, ActionSalt, Actor, Approval, DecisionId, Digest, How, Outcome, RiskLevel, SystemClock, Timestamp,
    action_digest, canonical_action,
};
use aegis::governance::{KeyFiles, Notary};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const ROUNDS: usize = 3;

fn main() {
    let records = std::env::var("AEGIS_BENCH_RECORDS").ok().and_then(|n| n.parse().ok()).unwrap_or(200_000u64);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        appending(records / 10).await;
        evidence(records).await;
    });
}

/// Like the action of the load test, with small differences.
fn draft(number: u64) -> Draft {
    let at = Timestamp::from_microsecond(1_700_000_000_000_000 + i64::try_from(number).expect("a small number"));
    let at = at.expect("a moment");
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let serde_json::Value::Object(params) = json!({"count": number, "table": "customers"}) else { unreachable!() };
    let action = Action {
        r#type: "read_rows".into(),
        target: "crm/accounts".into(),
        params,
        description: "reads what changed since yesterday".into(),
    };
    let canonical = canonical_action(&action, "agent-7", "session-42").expect("the action has a canonical form");
    let action_digest = action_digest(&ActionSalt::default(), &canonical);
    let decision = DecisionRecord {
        decision_id: DecisionId::new(at, random),
        actor: Actor { id: "agent-7".into(), r#type: "ai-agent".into() },
        identity: IdentityRecord {
            subject: "anonymous".into(),
            how: How::Anonymous,
            groups: Vec::new(),
            actor: None,
            peer: None,
        },
        session_id: "session-42".into(),
        metadata: serde_json::Map::new(),
        action,
        action_digest,
        redact: Vec::new(),
        masked: Vec::new(),
        masked_digests: std::collections::BTreeMap::new(),
        marks: Vec::new(),
        outcome: Outcome::Allow,
        reason: "rule `reads` allows it".into(),
        risk_level: RiskLevel::Low,
        approval: Approval::Auto,
        matched_rule: "reads".into(),
        constraints: serde_json::Map::new(),
        policy_revision: Digest::of(b"policy"),
        approval_id: None,
        expires_at: None,
        trace_id: String::new(),
        executes: false,
        limits: Vec::new(),
        halted: false,
    };
    Draft::new(at, &decision, Opening { allowed_at: Some(at), ..Opening::default() }).expect("a decision")
}

/// Appends this many decisions, 64 in a batch.
async fn append(store: &Standalone, count: u64) {
    for first in (0..count).step_by(64) {
        let drafts: Vec<_> = (first..count.min(first + 64)).map(draft).collect();
        let write = move |tx: &mut aegis::audit::Tx<'_>| {
            drafts.into_iter().try_for_each(|draft| tx.insert_decision(draft).map(drop))
        };
        store.transact(write).await.expect("the record is written");
    }
}

/// A directory in memory if possible, so that nothing waits for a disk.
fn place() -> tempfile::TempDir {
    let parent = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if parent.is_dir() { builder.tempdir_in(parent) } else { builder.tempdir() }.expect("a directory")
}

async fn appending(records: u64) {
    let (mut rates, mut derived) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..ROUNDS {
        for (side, index_lag) in [usize::MAX, 1024].into_iter().enumerate() {
            let directory = place();
            let options = Options { relaxed: true, index_lag, ..Options::default() };
            let store = Standalone::open(&directory.path().join("record.redb"), options).expect("a store");
            let began = Instant::now();
            append(&store, records).await;
            rates[side].push(records as f64 / began.elapsed().as_secs_f64());
            if index_lag == usize::MAX {
                // If the tree is not derived, a root reads and hashes the same as deriving the tree.
                let began = Instant::now();
                black_box(store.read().expect("a snapshot").tree_root(records).expect("a root"));
                derived.push(records as f64 / began.elapsed().as_secs_f64());
            }
            store.shutdown();
        }
    }
    let [without, with] = rates.map(median);
    println!("append, nothing derived      {without:>12.0} records/s");
    println!("append, index and tree       {with:>12.0} records/s   {:.2} of that", with / without);
    let derived = median(derived);
    println!(
        "the tree alone               {derived:>12.0} records/s   {:.1} % of an append's time",
        100.0 * with / derived
    );
}

async fn evidence(records: u64) {
    let directory = place();
    let path = directory.path().join("record.redb");
    let store = Standalone::open(&path, Options { relaxed: true, ..Options::default() }).expect("a store");
    let clock = Arc::new(SystemClock::start());
    let notary =
        Notary::start((*store).clone(), KeyFiles::new(directory.path()), clock, getrandom::fill, None, None).await;
    let notary = notary.expect("a log");
    append(&store, records).await;
    let mut durable = store.durable();
    durable.wait_for(|durable| *durable > records).await.expect("the store is open");
    let checkpoint = notary.checkpoint().await.expect("a checkpoint").checkpoint.clone();

    let began = Instant::now();
    let mut writer = BundleWriter::begin(Vec::new(), checkpoint, Trust::default(), false).expect("a bundle");
    let mut payloads = Vec::new();
    while writer.left() > 0 {
        let after = payloads.len() as u64;
        for stored in store.read().expect("a snapshot").records(after, 4096).expect("records") {
            let Content::Whole { salt, payload, .. } = stored.content else { unreachable!("nothing is redacted") };
            writer.push(&EntryLine::Whole { salt, payload: &payload }, Some(stored.leaf_hash)).expect("it holds");
            payloads.push(payload);
        }
    }
    let (_, bundle) = writer.finish(&std::collections::BTreeMap::new()).expect("it holds");
    let size = payloads.len() as f64;
    println!("export, checked              {:>12.0} records/s", size / began.elapsed().as_secs_f64());

    let (mut hashing, mut verifying) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for payload in &payloads {
            black_box(Sha256::digest(payload));
        }
        hashing.push(size / began.elapsed().as_secs_f64());
        let began = Instant::now();
        verify_bundle(bundle.as_slice(), Trust::default(), |_, _| {}).expect("it holds");
        verifying.push(size / began.elapsed().as_secs_f64());
    }
    let (hashing, verifying) = (median(hashing), median(verifying));
    println!("SHA-256 of the payloads      {hashing:>12.0} records/s");
    println!("verify                       {verifying:>12.0} records/s   {:.2} of that", verifying / hashing);

    let reader = store.read().expect("a snapshot");
    let last = reader.last_sequence().expect("a number");
    let per_proof = each(200, |n| {
        black_box(reader.inclusion_proof(n * 7919 % last, last).expect("a proof"));
    });
    let per_consistency = each(200, |n| {
        black_box(reader.consistency_proof(n * 7919 % last, last).expect("a proof"));
    });
    println!("inclusion proof              {:>12.0} µs", per_proof.as_secs_f64() * 1e6);
    println!("consistency proof            {:>12.0} µs", per_consistency.as_secs_f64() * 1e6);
    drop(reader);
    store.shutdown();
    let payload = payloads.iter().map(Vec::len).sum::<usize>() as f64 / size;
    let file = std::fs::metadata(&path).expect("the store exists").len() as f64 / size;
    println!("payload                      {payload:>12.0} bytes a record");
    println!("store, with rows and index   {file:>12.0} bytes a record");
    println!("bundle                       {:>12.0} bytes a record", bundle.len() as f64 / size);
}

fn each(count: u64, mut work: impl FnMut(u64)) -> Duration {
    let began = Instant::now();
    (0..count).for_each(&mut work);
    began.elapsed() / u32::try_from(count).expect("a small number")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
