//! The memory of the daemon: at rest, with open questions, and with as many calls that wait for answers.

use std::path::Path;
use std::time::Duration;

use aegis::proto::v1;
use prost::Message as _;
use tokio::task::JoinSet;

use super::load::Call;
use super::process::{Process, Transport};
use super::{goal, propose};

const OPEN: usize = 10_000;
const POLICY: &str = "rules:\n  - {name: asks, match: {type: 'ask*'}, approval: approve, timeout: 1h}\n";

pub(crate) async fn report() {
    let limits = ["--max-pending", "20000", "--max-pending-per-caller", "20000", "--anonymous-share", "100"];
    // All calls use one connection.
    let limits = [&limits[..], &["--durability", "relaxed", "--max-calls-per-connection", "20000"]].concat();
    let daemon = Process::daemon(Path::new(&std::env::temp_dir()), POLICY, &limits);
    println!("memory, resident:");
    settle().await;
    let echo = Process::echo(0);
    settle().await;
    let (at_rest, bare) = (daemon.resident(), echo.resident());
    println!("  at rest: daemon {at_rest:.1} MiB, bare tonic server {bare:.1} MiB");
    goal("at rest, of a bare server's", &[at_rest / bare], "<=", 1.5);

    let channel = daemon.connect(Transport::Unix).await;
    let ask = propose("ask_somebody");
    let mut ids = Vec::with_capacity(OPEN);
    while ids.len() < OPEN {
        let mut batch = JoinSet::new();
        for _ in 0..100 {
            let (ask, channel) = (ask.clone(), channel.clone());
            batch.spawn(async move { ask.once(&channel).await.expect("the call is answered") });
        }
        for answer in batch.join_all().await {
            let decision = v1::ProposeResponse::decode(answer).expect("an answer").decision.expect("a decision");
            assert_eq!(decision.outcome(), v1::Outcome::Escalate);
            ids.push(decision.decision_id);
        }
    }
    drop(channel);
    settle().await;
    goal("10,000 pending approvals, MiB", &[daemon.resident()], "<=", 40.0);

    let bare = held(&echo, &ids).await;
    let ours = held(&daemon, &ids).await;
    println!("  10,000 calls that wait: daemon {ours:.0} MiB, bare tonic server {bare:.0} MiB");
    goal("10,000 calls that wait, of a bare server's", &[ours / bare], "<=", 1.5);
}

/// The memory of a server while one call waits for each of these decisions.
async fn held(server: &Process, ids: &[String]) -> f64 {
    let channel = server.connect(Transport::Unix).await;
    let mut calls = JoinSet::new();
    for (i, id) in ids.iter().enumerate() {
        // A server takes thousands of small messages at once for an attack, so give it time to read them.
        if i % 500 == 0 {
            settle().await;
        }
        let wait = Some(prost_types::Duration { seconds: 600, nanos: 0 });
        let call = Call::new("AwaitDecision", &v1::AwaitDecisionRequest { decision_id: id.clone(), wait });
        let channel = channel.clone();
        calls.spawn(async move { call.once(&channel).await });
    }
    settle().await;
    let ended = calls.try_join_next();
    assert!(ended.is_none(), "all calls must wait, {} of them still do: {ended:?}", calls.len());
    server.resident()
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}
