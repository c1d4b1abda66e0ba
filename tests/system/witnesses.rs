//! Witnesses: files that a daemon holds its record against when it starts, and services that cosign.

use std::path::PathBuf;

use aegis::audit::checkpoint::SignedCheckpoint;
use aegis::proto::v1;
use tonic_health::ServingStatus;

use crate::harness::{Daemon, Setup, Witness, ask, eventually, propose, stderr, stdout};

async fn read(daemon: &Daemon, count: usize) {
    let mut agent = daemon.agent().await;
    for n in 0..count {
        ask(&mut agent, propose("read_file", &format!("{n}"))).await;
    }
}

fn log_key(daemon: &Daemon) -> String {
    std::fs::read_to_string(daemon.data_dir().join("log-key.pub")).unwrap().trim().to_owned()
}

fn record(daemon: &Daemon) -> PathBuf {
    daemon.data_dir().join("record.redb")
}

/// Puts a record in the place of that of a daemon, which does not run. It was closed in good order, and so needs no
/// journal.
fn restore(daemon: &Daemon, content: &[u8]) {
    std::fs::write(record(daemon), content).unwrap();
    std::fs::remove_file(record(daemon).with_extension("journal")).unwrap();
}

/// Stops a daemon in good order.
async fn stop(daemon: &mut Daemon) {
    daemon.terminate();
    assert!(daemon.ended().await.success());
}

/// Starts a daemon that must not start, on the data of another, and says why it did not.
fn refused(daemon: &Daemon, witness: &str) -> String {
    let mut command = std::process::Command::new(crate::harness::AEGIS);
    command.args(["serve", "--port", "0", "--witness", witness, "--data-dir"]).arg(daemon.data_dir()).env_clear();
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    stderr(&output)
}

#[tokio::test]
async fn a_record_that_was_set_back_does_not_start_beside_its_witness() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("seen.jsonl");
    let witness = format!("file:{}", file.display());
    let mut daemon = Setup::new().args(&["--witness", &witness]).start();
    read(&daemon, 3).await;
    stop(&mut daemon).await;
    let lines = std::fs::read_to_string(&file).unwrap();
    let snapshot = std::fs::read(record(&daemon)).unwrap();
    let mut daemon = daemon.restart();
    read(&daemon, 3).await;
    stop(&mut daemon).await;
    let newest = std::fs::read(record(&daemon)).unwrap();
    let seen = std::fs::read_to_string(&file).unwrap();
    assert!(seen.len() > lines.len() && seen.starts_with(&lines), "it is only appended to");

    // Set back.
    restore(&daemon, &snapshot);
    let why = refused(&daemon, &witness);
    assert!(why.contains("an older copy") && why.contains("Restore the newer record"), "{why}");
    // Set back and continued without the witness, past what it has seen.
    let mut daemon = daemon.restart_with(&[]);
    read(&daemon, 20).await;
    stop(&mut daemon).await;
    let why = refused(&daemon, &witness);
    assert!(why.contains("are not those of the checkpoint"), "{why}");
    // Another log altogether, and one that is new.
    let mut other = Setup::new().start();
    stop(&mut other).await;
    let why = refused(&other, &witness);
    assert!(why.contains("name another file"), "{why}");
    std::fs::remove_file(record(&other)).unwrap();
    std::fs::remove_file(record(&other).with_extension("journal")).unwrap();
    std::fs::remove_file(other.data_dir().join("log-key")).unwrap();
    let why = refused(&other, &witness);
    assert!(why.contains("this record is new"), "{why}");
    // What was seen is what is there: the last line was cut off, which is no news, and then the one before it counts.
    restore(&daemon, &newest);
    std::fs::write(&file, format!("{seen}{}", &seen[..40])).unwrap();
    let mut daemon = daemon.restart_with(&["--witness", &witness]);
    read(&daemon, 1).await;
    stop(&mut daemon).await;
    // The file serves the verifier, too.
    let mut daemon = daemon.restart_with(&["--witness", &witness]);
    let bundle = home.path().join("audit.tar");
    let output = daemon.cli(&["audit", "export", "--with-proof", "-o", bundle.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr(&output));
    std::fs::write(&file, seen).unwrap();
    let verified = daemon.cli(&["audit", "verify", bundle.to_str().unwrap(), "--checkpoint", file.to_str().unwrap()]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    // One that cannot be written is refused at the start.
    stop(&mut daemon).await;
    let why = refused(&daemon, "file:/nowhere/at/all");
    assert!(why.contains("/nowhere/at/all"), "{why}");
}

#[tokio::test]
async fn a_witness_cosigns_what_continues_and_notices_what_does_not() {
    let mut daemon = Setup::new().start();
    read(&daemon, 3).await;
    let witness = Witness::start(&log_key(&daemon));
    stop(&mut daemon).await;
    let snapshot = std::fs::read(record(&daemon)).unwrap();
    let daemon = daemon.restart_with(&["--witness", &witness.source, "--admin-listen", "127.0.0.1:0"]);
    let get = async |daemon: &Daemon| {
        daemon.auditor().await.get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner()
    };
    let first = eventually("a checkpoint is cosigned", async || {
        let checkpoint = get(&daemon).await;
        (!checkpoint.cosigned_checkpoint.is_empty()).then_some(checkpoint)
    })
    .await;
    let cosigned = SignedCheckpoint::parse(&first.cosigned_checkpoint).unwrap();
    let keys = [log_key(&daemon).parse().unwrap(), witness.key()];
    assert_eq!(cosigned.note.verify(&keys).unwrap().len(), 2, "the log's signature and the witness's");
    assert_eq!((&*first.witnesses[0].name, &*first.witnesses[0].error), ("witness.example/go", ""));
    eventually("health says that it is well", async || {
        (daemon.health("aegis.witness").await == Some(ServingStatus::Serving)).then_some(())
    })
    .await;
    // What comes later is handed on with a proof that it continues.
    read(&daemon, 3).await;
    let size = get(&daemon).await.tree_size;
    eventually("the later one is cosigned", async || (get(&daemon).await.witnesses[0].tree_size >= size).then_some(()))
        .await;
    let written = daemon.cli(&["audit", "checkpoint", "--cosigned"]);
    let written = SignedCheckpoint::parse(&stdout(&written)).unwrap();
    assert_eq!(written.note.verify(&keys).unwrap().len(), 2);

    // Set back, the record is shorter than what the witness has cosigned.
    let mut daemon = daemon;
    daemon.kill();
    restore(&daemon, &snapshot);
    let daemon = daemon.restart();
    let behind = eventually("the witness says that there was more", async || {
        let state = get(&daemon).await.witnesses.remove(0);
        (!state.error.is_empty()).then_some(state)
    })
    .await;
    assert!(behind.error.contains("an older copy"), "{behind:?}");
    assert_eq!(daemon.health("aegis.witness").await, Some(ServingStatus::NotServing));
    assert_eq!(daemon.health("").await, Some(ServingStatus::Serving), "it holds up nobody");
}
