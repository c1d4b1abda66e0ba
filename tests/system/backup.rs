//! Backups: made while the daemon serves or without one, and restored to a directory of their own.

use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aegis::proto::v1;
use aegis::proto::v1::audit_service_client::AuditServiceClient;
use tonic::Code;

use crate::harness::{AEGIS, Daemon, Setup, ask, propose, stderr, stdout, with_token, without};

const POLICY: &str = "version: '1'
rules:
  - {name: read, match: {type: 'read_*'}, risk_level: low, approval: auto}
  - {name: confirm, match: {type: 'send_*'}, risk_level: low, approval: confirm}
";

/// The command line, on this data directory.
fn aegis(data_dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(AEGIS);
    command.args(arguments).arg("--data-dir").arg(data_dir).env_clear().env("NO_COLOR", "1").envs(without());
    command.stdin(Stdio::null()).output().unwrap()
}

fn done(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr(output));
    stdout(output)
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", stdout(output));
    stderr(output)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Restores a backup to the data directory of a daemon that was not started yet.
fn restore(backup: &Path) -> (Setup, PathBuf, String) {
    let setup = Setup::new().policy(POLICY);
    let dir = setup.home().join("data");
    let said = done(&aegis(&dir, &["restore", text(backup)]));
    (setup, dir, said)
}

/// Backs up, and says where.
fn back_up(daemon: &Daemon) -> PathBuf {
    let backup = daemon.home.path().join("aegis.backup");
    let output = aegis(&daemon.data_dir(), &["backup", "-o", text(&backup)]);
    done(&output);
    assert!(stderr(&output).contains("checked as they were written"), "{}", stderr(&output));
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!backup.with_extension("backup.part").exists());
    backup
}

async fn read(daemon: &Daemon, count: usize) {
    let mut agent = daemon.agent().await;
    for n in 0..count {
        ask(&mut agent, propose("read_file", &format!("{n}"))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_made_while_the_daemon_serves_and_what_it_restores_serves_on() {
    let daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 20).await;
    let checkpoint = daemon.home.path().join("checkpoint");
    std::fs::write(&checkpoint, done(&daemon.cli(&["audit", "checkpoint"]))).unwrap();

    // Somebody proposes all the time.
    let stop = Arc::new(AtomicBool::new(false));
    let proposing = tokio::spawn({
        let (stop, mut agent) = (Arc::clone(&stop), daemon.agent().await);
        async move {
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                ask(&mut agent, propose("read_file", "busy")).await;
                count += 1;
            }
            count
        }
    });
    let backup = tokio::task::block_in_place(|| back_up(&daemon));
    let after = daemon.rows().await.len();
    stop.store(true, Ordering::Relaxed);
    assert!(proposing.await.unwrap() > 0);
    // What is recorded after the backup is not in it.
    read(&daemon, 5).await;

    let (setup, dir, said) = restore(&backup);
    assert!(said.contains("records up to") && said.contains("are restored"), "{said}");
    for name in ["log-key", "token-key"] {
        let (old, new) = (std::fs::read(daemon.data_dir().join(name)), std::fs::read(dir.join(name)));
        assert_eq!(old.unwrap(), new.unwrap(), "{name}");
        assert_eq!(dir.join(name).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    let files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(files.len(), 3, "{files:?}");

    let restored = setup.start();
    let rows = restored.rows().await.len();
    assert!((20..=after).contains(&rows), "{rows} of {after}");
    let [event] = &restored.events("record_restored")[..] else { panic!("one record says that it was restored") };
    let verified = restored.cli(&["audit", "verify", "--checkpoint", text(&checkpoint)]);
    assert!(verified.status.success(), "{event}: {}", stderr(&verified));
    read(&restored, 3).await;
    assert_eq!(restored.rows().await.len(), rows + 3);
}

#[tokio::test]
async fn what_was_open_in_a_backup_has_ended_in_what_it_restores() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut agent = daemon.agent().await;
    let asked = ask(&mut agent, propose("delete", "crm")).await;
    assert_eq!(asked.outcome(), v1::Outcome::Escalate);
    let confirm = ask(&mut agent, propose("send_mail", "ada")).await;
    assert_eq!(confirm.outcome(), v1::Outcome::RequireConfirmation);
    let (secret, token_id) = daemon.token("ada", &[v1::Role::Auditor]).await;
    let backup = back_up(&daemon);

    let (setup, _, said) = restore(&backup);
    assert!(said.contains("1 tokens are revoked, 1 questions and 1 confirmations have ended"), "{said}");
    let restored = setup.start();
    let row = restored.row(&asked.decision_id).await;
    assert_eq!(row.ending.unwrap().kind(), v1::EndingKind::Cancelled);
    let mut agent = restored.agent().await;
    let mut again = propose("send_mail", "ada");
    again.confirmation_token = confirm.confirmation_token;
    let refused = agent.propose(again).await.unwrap_err();
    assert!(refused.message().contains("was withdrawn"), "{refused}");
    let mut auditor = AuditServiceClient::new(with_token(restored.tcp().await, &secret));
    let refused = auditor.get_stats(v1::GetStatsRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    assert_eq!(restored.events("token_revoked")[0]["token_id"], token_id);
}

#[tokio::test]
async fn without_a_daemon_a_backup_is_made_from_the_directory() {
    let mut daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 3).await;
    // The last records are in the journal alone.
    daemon.kill();
    let backup = back_up(&daemon);
    let (setup, ..) = restore(&backup);
    assert_eq!(setup.start().rows().await.len(), 3);
    // The directory is as good as before.
    assert_eq!(daemon.restart().rows().await.len(), 3);

    let nowhere = tempfile::tempdir().unwrap();
    let said = failed(&aegis(nowhere.path(), &["backup", "-o", text(&nowhere.path().join("b"))]));
    assert!(said.contains("there is no record"), "{said}");
    assert!(!nowhere.path().join("b").exists());
}

#[tokio::test]
async fn a_backup_passes_through_pipes() {
    let daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 3).await;
    let output = aegis(&daemon.data_dir(), &["backup", "-o", "-"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let home = tempfile::tempdir().unwrap();
    let backup = home.path().join("backup");
    std::fs::write(&backup, &output.stdout).unwrap();
    let mut command = Command::new(AEGIS);
    command.args(["restore", "-", "--data-dir"]).arg(home.path().join("data")).env_clear().envs(without());
    let restored = command.stdin(std::fs::File::open(&backup).unwrap()).output().unwrap();
    assert!(done(&restored).contains("are restored"));
}

#[tokio::test]
async fn a_record_is_never_overwritten_and_a_bad_backup_leaves_nothing() {
    let daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 3).await;
    let backup = back_up(&daemon);
    let said = failed(&aegis(&daemon.data_dir(), &["restore", text(&backup)]));
    assert!(said.contains("holds a record already"), "{said}");
    assert_eq!(daemon.rows().await.len(), 3);

    let content = std::fs::read(&backup).unwrap();
    let home = tempfile::tempdir().unwrap();
    let (bad, dir) = (home.path().join("bad"), home.path().join("data"));
    let mut damaged = content.clone();
    damaged[content.len() / 2] ^= 1;
    for (content, says) in [
        (&content[..content.len() / 2], "was cut off"),
        (&content[..content.len() - 1], "was cut off"),
        (&damaged[..], "damaged at byte"),
        (&b"a text"[..], "no backup of aegis"),
    ] {
        std::fs::write(&bad, content).unwrap();
        let said = failed(&aegis(&dir, &["restore", text(&bad)]));
        assert!(said.contains(says), "{said}");
        let left = std::fs::read_dir(&dir).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{said}");
    }
    std::fs::write(&bad, &content).unwrap();
    done(&aegis(&dir, &["restore", text(&bad)]));
}

#[tokio::test]
async fn a_witness_that_saw_more_than_the_backup_keeps_the_daemon_from_starting() {
    let home = tempfile::tempdir().unwrap();
    let witness = format!("file:{}", home.path().join("seen.jsonl").display());
    let mut daemon = Setup::new().policy(POLICY).args(&["--witness", &witness]).start();
    read(&daemon, 3).await;
    let backup = back_up(&daemon);
    read(&daemon, 3).await;
    daemon.terminate();
    assert!(daemon.ended().await.success());

    let (setup, ..) = restore(&backup);
    let (status, said) = setup.args(&["--witness", &witness]).refuse();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("witness") || said.contains("seen.jsonl"), "{said}");
}

#[tokio::test]
async fn a_backup_is_for_admins_and_has_no_key() {
    let daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 3).await;
    let mut stream =
        daemon.administration().await.stream_backup(v1::StreamBackupRequest {}).await.unwrap().into_inner();
    let mut bytes = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(message.chunk.len() <= 256 << 10);
        bytes.extend(message.chunk);
    }
    for name in ["log-key", "token-key"] {
        let secret = std::fs::read(daemon.data_dir().join(name)).unwrap();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{name}");
    }
    // Without keys it is no backup that can be restored.
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("backup"), bytes).unwrap();
    let said = failed(&aegis(&home.path().join("data"), &["restore", text(&home.path().join("backup"))]));
    assert!(said.contains("log-key"), "{said}");
}

/// The two files of the record as they are now.
fn files(daemon: &Daemon) -> [Vec<u8>; 2] {
    ["record.redb", "record.journal"].map(|name| std::fs::read(daemon.data_dir().join(name)).unwrap())
}

/// A data directory as a plain copy of a live one leaves it: the keys, and these two files.
fn copied(daemon: &Daemon, record: &[u8], journal: Option<&[u8]>) -> Setup {
    let setup = Setup::new().policy(POLICY);
    let dir = setup.home().join("data");
    std::fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
    for name in ["log-key", "token-key"] {
        std::fs::copy(daemon.data_dir().join(name), dir.join(name)).unwrap();
    }
    std::fs::write(dir.join("record.redb"), record).unwrap();
    if let Some(journal) = journal {
        std::fs::write(dir.join("record.journal"), journal).unwrap();
    }
    setup
}

/// Files of two moments: each record, with the journal of that moment.
async fn two_moments() -> (Daemon, [Vec<u8>; 2], [Vec<u8>; 2]) {
    let mut daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 5).await;
    daemon.kill();
    let early = files(&daemon);
    let mut daemon = daemon.restart();
    read(&daemon, 5).await;
    daemon.kill();
    let late = files(&daemon);
    (daemon, early, late)
}

#[tokio::test]
async fn a_plain_copy_of_a_live_directory_that_does_not_open_says_what_it_is_and_what_to_do() {
    let (daemon, early, late) = two_moments().await;
    let mut stranger = Setup::new().policy(POLICY).start();
    read(&stranger, 5).await;
    stranger.kill();
    let [_, foreign] = files(&stranger);
    let [record, journal] = &late;
    // The first frame begins here, and others follow.
    let mut damaged = journal.clone();
    damaged[8192 + 100] ^= 1;
    let half = &record[..record.len() / 2];
    let mut torn = record.clone();
    torn[..4096].fill(0);
    for (what, record, journal, says) in [
        ("the journal was not copied", &record[..], None, "it is missing"),
        ("the journal was copied long before", record, Some(&early[1][..]), "it is older than the record"),
        ("the record was copied long before", &early[0], Some(&journal[..]), "the record is older than it"),
        ("the journal is of another directory", record, Some(&foreign), "it belongs to another record"),
        ("the journal is damaged", record, Some(&damaged), "damaged"),
        ("the record was copied in part", half, Some(journal), "record.redb"),
        ("the record was copied while its first page changed", &torn, Some(journal), "record.redb"),
    ] {
        let (status, said) = copied(&daemon, record, journal).refuse();
        assert_eq!(status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(says) && said.contains("copied while a daemon ran"), "{what}: {said}");
        assert!(said.contains("`aegis backup`"), "{what}: {said}");
    }
    // Copies of one moment are a record.
    let whole = copied(&daemon, record, Some(journal)).start();
    assert_eq!(whole.rows().await.len(), 10);
}

#[tokio::test]
async fn a_journal_can_be_given_up_with_a_flag_and_the_record_says_so() {
    let (daemon, early, [record, journal]) = two_moments().await;
    for (journal, says) in [(None, "it is missing"), (Some(&early[1][..]), "it is older than the record")] {
        let setup = copied(&daemon, &record, journal).args(&["--discard-journal"]);
        let dir = setup.home().join("data");
        let restarted = setup.start();
        let rows = restarted.rows().await.len();
        assert!((5..=10).contains(&rows), "{rows} rows");
        let [recovered] = &restarted.events("record_recovered")[..] else { panic!("the record says so once") };
        let why = recovered["why"].as_str().unwrap();
        assert!(why.contains("discarded") && why.contains(says), "{why}");
        assert_eq!(dir.join("record.journal.discarded").exists(), journal.is_some());
        // It goes on without the flag, and can be checked.
        read(&restarted, 2).await;
        let restarted = restarted.restart_with(&[]);
        assert_eq!(restarted.rows().await.len(), rows + 2);
        let verified = restarted.cli(&["audit", "verify"]);
        assert!(verified.status.success(), "{}", stderr(&verified));
    }
    // A journal that fits is not given up, whatever the flag says.
    let kept = copied(&daemon, &record, Some(&journal)).args(&["--discard-journal"]).start();
    assert_eq!(kept.rows().await.len(), 10);
}

#[tokio::test]
async fn a_record_is_compacted_while_no_daemon_runs() {
    let mut daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 30).await;
    let said = failed(&aegis(&daemon.data_dir(), &["compact"]));
    assert!(said.contains("is open in another process"), "{said}");
    // What only the journal has is not lost.
    daemon.kill();
    let said = done(&aegis(&daemon.data_dir(), &["compact"]));
    assert!(said.contains("MiB before") && said.contains("MiB now"), "{said}");
    let daemon = daemon.restart();
    assert_eq!(daemon.rows().await.len(), 30);
    read(&daemon, 1).await;
    let verified = daemon.cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
    let nowhere = tempfile::tempdir().unwrap();
    assert!(failed(&aegis(nowhere.path(), &["compact"])).contains("there is no record"));
}

#[tokio::test]
async fn a_log_whose_key_is_lost_is_kept_and_another_one_begins_that_names_it() {
    let mut daemon = Setup::new().policy(POLICY).start();
    read(&daemon, 3).await;
    let old_key = std::fs::read_to_string(daemon.data_dir().join("log-key.pub")).unwrap();
    daemon.terminate();
    assert!(daemon.ended().await.success());
    let key = daemon.data_dir().join("log-key");
    std::fs::remove_file(&key).unwrap();
    let (status, said) = Setup::over(&daemon).refuse();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("--begin-new-log"), "{said}");
    let origin = old_key.split('+').next().unwrap().to_owned();
    let (status, said) = Setup::over(&daemon).args(&["--begin-new-log", "--origin", &origin]).refuse();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("needs another name") && daemon.data_dir().join("record.redb").exists(), "{said}");

    let daemon = daemon.restart_with(&["--begin-new-log"]);
    assert!(daemon.data_dir().join("record.ended.redb").exists());
    assert_eq!(daemon.rows().await.len(), 0);
    let [event] = &daemon.events("log_succeeds")[..] else { panic!("the new log names the old one") };
    assert_eq!((event["origin"].as_str(), event["key"].as_str()), (Some(&*origin), Some(old_key.trim())));
    assert!(event["last_sequence"].as_u64().unwrap() >= 5, "{event}");
    read(&daemon, 2).await;

    // While the key is there, the flag changes nothing.
    let daemon = daemon.restart_with(&["--begin-new-log"]);
    assert_eq!((daemon.rows().await.len(), daemon.events("log_succeeds").len()), (2, 1));
    let verified = daemon.cli(&["audit", "verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}
