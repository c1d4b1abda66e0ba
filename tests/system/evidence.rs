//! The record as evidence: exported, verified without the daemon, redacted, signed with another key, cut off, set back.

use std::path::PathBuf;
use std::process::{Command, Output};

use aegis::proto::v1::admin_service_client::AdminServiceClient;
use aegis::proto::v1::get_inclusion_proof_request::Record as Proved;
use aegis::proto::v1::{self, Outcome, ResultStatus};
use serde_json::Value;
use tonic::Code;

use crate::harness::{
    AEGIS, Daemon, Setup, ask, eventually, fields, params, propose, reason, result_of, stderr, stdout, yes,
};

const POLICY: &str = "
rules:
  - {name: pay, match: {type: pay}, approval: approve}
  - {name: reads, match: {type: 'read*'}, risk_level: low, approval: auto}
  - {name: mail, match: {type: mail}, approval: confirm}
";

/// What only the action of the story says.
const SECRET: &str = "4111-1111-1111-1111";

struct Story {
    daemon: Daemon,
    paid: v1::Decision,
}

/// A daemon on whose record somebody paid, with approval and result, among other things.
async fn story(arguments: &[&str]) -> Story {
    let daemon = Setup::new().policy(POLICY).args(arguments).start();
    let mut agent = daemon.agent().await;
    ask(&mut agent, propose("read", "one")).await;
    let mut request = propose("pay", "bob");
    request.context =
        Some(v1::ProposalContext { session_id: "secret-session".into(), ..v1::ProposalContext::default() });
    if let Some(action) = &mut request.action {
        action.params = params(serde_json::json!({"card": SECRET}));
        action.description = format!("card {SECRET}");
    }
    let paid = ask(&mut agent, request).await;
    assert_eq!(paid.outcome(), Outcome::Escalate);
    daemon.reviewer().await.approve(yes(&paid, &format!("{SECRET} is fine"))).await.unwrap();
    report(&daemon, &paid).await;
    ask(&mut agent, propose("read", "two")).await;
    Story { daemon, paid }
}

async fn report(daemon: &Daemon, decision: &v1::Decision) {
    let result = v1::ActionResult {
        status: ResultStatus::Success.into(),
        data: params(serde_json::json!({"card": SECRET}))
            .map(|data| prost_types::Value { kind: Some(prost_types::value::Kind::StructValue(data)) }),
        ..v1::ActionResult::default()
    };
    let request = v1::ReportResultRequest { decision_id: decision.decision_id.clone(), result: Some(result) };
    daemon.agent().await.report_result(request).await.unwrap();
}

impl Story {
    fn file(&self, name: &str) -> PathBuf {
        self.daemon.home.path().join(name)
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.daemon.cli(arguments);
        assert!(output.status.success(), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    /// Exports to a file of this name.
    fn export(&self, name: &str) -> PathBuf {
        let path = self.file(name);
        self.ok(&["audit", "export", "--with-proof", "-o", path.to_str().unwrap()]);
        path
    }
}

/// Verifies without any daemon or data directory.
fn verify(arguments: &[&str]) -> Output {
    let mut command = Command::new(AEGIS);
    command.env_clear().args(["audit", "verify", "--format", "json"]).args(arguments);
    command.output().unwrap()
}

fn holds(arguments: &[&str]) -> Value {
    let output = verify(arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Verifies what is wrong, and says why it is.
fn wrong(arguments: &[&str]) -> Value {
    let output = verify(arguments);
    assert_eq!(output.status.code(), Some(3), "{arguments:?}: {}{}", stdout(&output), stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

#[tokio::test]
async fn a_bundle_verifies_where_there_is_no_daemon() {
    let story = story(&["--origin", "example.com/payments"]).await;
    let checkpoint = story.file("checkpoint");
    story.ok(&["audit", "checkpoint", "-o", checkpoint.to_str().unwrap()]);
    ask(&mut story.daemon.agent().await, propose("read", "three")).await;
    let bundle = story.export("audit.tar");
    let key = std::fs::read_to_string(story.daemon.data_dir().join("log-key.pub")).unwrap();
    let (bundle, checkpoint) = (bundle.to_str().unwrap(), checkpoint.to_str().unwrap());
    let checked = holds(&[bundle, "--key", key.trim(), "--checkpoint", checkpoint]);
    assert_eq!((&checked["valid"], &checked["origin"]), (&Value::from(true), &Value::from("example.com/payments")));
    let records = story.daemon.events("decision").len();
    assert_eq!(records, 4);
    assert!(checked["size"].as_u64().unwrap() > 8, "{checked}");
    // The running daemon is checked alike.
    let url = format!("unix:{}", story.daemon.data_dir().join("aegis.sock").display());
    assert_eq!(holds(&[&url, "--checkpoint", checkpoint])["size"], checked["size"]);
    // tar(1) reads it, and finds the layout of c2sp.org/tlog-tiles.
    let listed = Command::new("tar").args(["tf", bundle]).output().unwrap();
    let listed = stdout(&listed);
    let revision = &story.paid.policy_revision;
    let size = &checked["size"];
    for name in [
        "checkpoint",
        &format!("tile/0/000.p/{size}"),
        &format!("tile/entries/000.p/{size}"),
        &format!("policies/{revision}.json"),
    ] {
        assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
    }
    // Another log's key and another log's checkpoint.
    let other = Setup::new().start();
    let other_key = std::fs::read_to_string(other.data_dir().join("log-key.pub")).unwrap();
    let why = wrong(&[bundle, "--key", other_key.trim()]);
    assert!(why["why"].as_str().unwrap().contains("none of the log's keys"), "{why}");
    let cannot = verify(&["/nowhere.tar"]);
    assert_eq!(cannot.status.code(), Some(1), "{}", stderr(&cannot));
    let misused = verify(&[bundle, "--key", "no key"]);
    assert_eq!(misused.status.code(), Some(2), "{}", stderr(&misused));
}

#[tokio::test]
async fn a_changed_bundle_names_the_first_record_that_is_wrong() {
    let story = story(&[]).await;
    let bundle = story.export("audit.tar");
    let mut bytes = std::fs::read(&bundle).unwrap();
    let at = bytes.windows(SECRET.len()).position(|window| window == SECRET.as_bytes()).unwrap();
    bytes[at] = b'5';
    std::fs::write(&bundle, &bytes).unwrap();
    let decisions = story.daemon.events("decision");
    let paid = decisions.iter().find(|record| record["decision_id"] == story.paid.decision_id.as_str()).unwrap();
    let why = wrong(&[bundle.to_str().unwrap()]);
    assert_eq!(why["sequence"], paid["sequence"], "{why}");
    assert_eq!(why["valid"], false);
}

#[tokio::test]
async fn a_receipt_proves_one_decision_with_its_approval_and_result() {
    let story = story(&[]).await;
    let path = story.file("paid.tlog-proof");
    let path = path.to_str().unwrap();
    story.ok(&["audit", "receipt", &story.paid.decision_id, "-o", path]);
    let proved = holds(&[path]);
    assert_eq!(proved["decision_id"], story.paid.decision_id.as_str());
    let kinds: Vec<_> = proved["records"].as_array().unwrap().iter().map(|record| record["kind"].clone()).collect();
    assert_eq!(kinds, ["decision", "approval_requested", "approval_ended", "result"]);
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.starts_with("c2sp.org/tlog-proof@v1\nextra "), "{text}");
    // It outlives a change of keys, and the daemon.
    story.ok(&["audit", "rotate-key"]);
    let later = story.file("later.tlog-proof");
    story.ok(&["audit", "receipt", &story.paid.decision_id, "-o", later.to_str().unwrap()]);
    assert_eq!(holds(&[path])["keys"].as_array().unwrap().len(), 1);
    assert_eq!(holds(&[later.to_str().unwrap()])["keys"].as_array().unwrap().len(), 2);
    let changed = text.replacen("index 1\n", "index 2\n", 1);
    let changed = if changed == text { text.replacen("index 0\n", "index 1\n", 1) } else { changed };
    assert_ne!(changed, text);
    std::fs::write(path, changed).unwrap();
    wrong(&[path]);
    let unknown = story.daemon.cli(&["audit", "receipt", "dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("no decision"), "{}", stderr(&unknown));
}

#[tokio::test]
async fn another_key_signs_and_the_record_says_so() {
    let story = story(&[]).await;
    let data = story.daemon.data_dir();
    let old = std::fs::read_to_string(data.join("log-key.pub")).unwrap();
    let checkpoint = story.file("checkpoint");
    story.ok(&["audit", "checkpoint", "-o", checkpoint.to_str().unwrap()]);
    let new = story.ok(&["audit", "rotate-key"]);
    assert_eq!(std::fs::read_to_string(data.join("log-key.pub")).unwrap(), new);
    assert_ne!(old, new);
    let rotated = story.daemon.events("log_key_rotated");
    assert_eq!((&rotated[0]["old_key"], &rotated[0]["new_key"]), (&old.trim().into(), &new.trim().into()));
    // Killed, the daemon goes on with the new key.
    let story = Story { daemon: story.daemon.restart(), ..story };
    let bundle = story.export("audit.tar");
    let checkpoint = checkpoint.to_str().unwrap();
    let checked =
        holds(&[bundle.to_str().unwrap(), "--key", old.trim(), "--key", new.trim(), "--checkpoint", checkpoint]);
    assert_eq!(checked["keys"].as_array().unwrap().len(), 2);
}

/// The record of a volume that was set back to an older snapshot goes on as if nothing were; only what was seen before
/// tells.
#[tokio::test]
async fn a_store_that_was_set_back_is_found_out_by_a_checkpoint() {
    let mut story = story(&[]).await;
    story.daemon.terminate();
    assert!(story.daemon.ended().await.success());
    let record = story.daemon.data_dir().join("record.redb");
    let snapshot = std::fs::read(&record).unwrap();
    let mut story = Story { daemon: story.daemon.restart(), ..story };
    ask(&mut story.daemon.agent().await, propose("read", "three")).await;
    let checkpoint = story.file("checkpoint");
    story.ok(&["audit", "checkpoint", "-o", checkpoint.to_str().unwrap()]);
    story.daemon.kill();
    std::fs::write(&record, snapshot).unwrap();
    // The copy was closed in good order, and so needs no journal. The one that is there belongs to the newer record.
    std::fs::remove_file(record.with_extension("journal")).unwrap();

    let story = Story { daemon: story.daemon.restart(), ..story };
    let checkpoint = checkpoint.to_str().unwrap();
    let shorter = story.export("shorter.tar");
    holds(&[shorter.to_str().unwrap()]);
    let why = wrong(&[shorter.to_str().unwrap(), "--checkpoint", checkpoint]);
    assert!(why["why"].as_str().unwrap().contains("cut off, or is an older copy"), "{why}");
    for n in 0..10 {
        ask(&mut story.daemon.agent().await, propose("read", &format!("{n}"))).await;
    }
    let longer = story.export("longer.tar");
    let why = wrong(&[longer.to_str().unwrap(), "--checkpoint", checkpoint]);
    assert!(why["why"].as_str().unwrap().contains("not what the checkpoint"), "{why}");
    let url = format!("unix:{}", story.daemon.data_dir().join("aegis.sock").display());
    wrong(&[&url, "--checkpoint", checkpoint]);
}

#[tokio::test]
async fn what_is_redacted_is_gone_everywhere_and_every_proof_still_holds() {
    let story = story(&[]).await;
    let (before, checkpoint) = (story.export("before.tar"), story.file("checkpoint"));
    story.ok(&["audit", "checkpoint", "-o", checkpoint.to_str().unwrap()]);
    let id = &story.paid.decision_id;
    let said = story.ok(&["audit", "redact", id, "--reason", "a card number", "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(said["redacted_sequences"].as_array().unwrap().len(), 4, "{said}");

    // Rows, records, filters, totals.
    let row = story.daemon.row(id).await;
    assert!(row.redacted);
    assert_eq!((row.outcome(), result_of(&row)), (Outcome::Allow, ResultStatus::Success));
    let shown =
        story.ok(&["audit", "--format", "json"]) + &story.ok(&["audit"]) + &story.ok(&["stats", "--top", "100"]);
    let records = story.ok(&["audit", "--records", "--format", "jsonl"]) + &story.ok(&["audit", "--records"]);
    for gone in [SECRET, "secret-session", &story.paid.action_digest, "bob"] {
        assert!(!shown.contains(gone) && !records.contains(gone), "{gone} is still told");
    }
    assert!(shown.contains("[redacted]") && records.contains("[redacted]"));
    assert_eq!(story.ok(&["audit", "--action-type", "pay", "--format", "jsonl"]), "");
    assert_eq!(story.ok(&["audit", "--session", "secret-session", "--format", "jsonl"]), "");
    let event = &story.daemon.events("decision_redacted")[0];
    assert_eq!((&event["decision_id"], &event["reason"]), (&id.as_str().into(), &"a card number".into()));

    // Evidence.
    let after = story.export("after.tar");
    let checked = holds(&[after.to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()]);
    assert_eq!(checked["redacted"], 4);
    assert!(!String::from_utf8_lossy(&std::fs::read(&after).unwrap()).contains(SECRET));
    holds(&[before.to_str().unwrap()]);
    let receipt = story.file("receipt");
    story.ok(&["audit", "receipt", id, "-o", receipt.to_str().unwrap()]);
    assert_eq!(holds(&[receipt.to_str().unwrap()])["redacted"], 4);

    // And after a restart, from the same file.
    let story = Story { daemon: story.daemon.restart(), ..story };
    assert!(story.daemon.row(&story.paid.decision_id).await.redacted);
    holds(&[story.export("again.tar").to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()]);
    // The agent does not get it any more, and nobody else does in its name.
    let request = v1::AwaitDecisionRequest { decision_id: story.paid.decision_id.clone(), wait: None };
    let refused = story.daemon.agent().await.await_decision(request).await.unwrap_err();
    assert_eq!(reason(&refused), "NO_SUCH_DECISION");
}

#[tokio::test]
async fn what_is_open_cannot_be_redacted() {
    let daemon = Setup::new().policy(POLICY).start();
    let mut agent = daemon.agent().await;
    let pending = ask(&mut agent, propose("pay", "bob")).await;
    let allowed = ask(&mut agent, propose("read", "one")).await;
    let unconfirmed = ask(&mut agent, propose("mail", "bob")).await;
    let redact = async |decision_id: &str, why: &str| {
        let request =
            v1::RedactDecisionRequest { decision_id: decision_id.into(), reason: why.into(), ..Default::default() };
        daemon.administration().await.redact_decision(request).await
    };
    for (decision, why) in [(&pending, "pending"), (&allowed, "outstanding"), (&unconfirmed, "confirmation")] {
        let refused = redact(&decision.decision_id, "because").await.unwrap_err();
        assert_eq!((refused.code(), &*reason(&refused)), (Code::FailedPrecondition, "NOT_REDACTABLE"));
        assert!(refused.message().contains(why), "{refused}");
    }
    report(&daemon, &allowed).await;
    assert_eq!(redact(&allowed.decision_id, " ").await.unwrap_err().code(), Code::InvalidArgument);
    redact(&allowed.decision_id, "because").await.unwrap();
    let refused = redact(&allowed.decision_id, "because").await.unwrap_err();
    assert!(refused.message().contains("already"), "{refused}");
    let unknown = redact("dec_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e", "because").await.unwrap_err();
    assert_eq!(reason(&unknown), "NO_SUCH_DECISION");
    // An agent may not.
    let mut anonymous = AdminServiceClient::new(daemon.tcp().await);
    let request =
        v1::RedactDecisionRequest { decision_id: allowed.decision_id, reason: "because".into(), ..Default::default() };
    assert_eq!(anonymous.redact_decision(request).await.unwrap_err().code(), Code::Unauthenticated);
}

#[tokio::test]
async fn proofs_are_given_for_what_is_there() {
    let story = story(&[]).await;
    let mut auditor = story.daemon.auditor().await;
    let size = auditor.get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner().tree_size;
    let proof = |record, tree_size| v1::GetInclusionProofRequest { record: Some(record), tree_size };
    let got = auditor.get_inclusion_proof(proof(Proved::LeafIndex(0), None)).await.unwrap().into_inner();
    assert_eq!((got.tree_size, got.leaf_index, got.leaf_hash.len()), (size, 0, 32));
    let record = got.record.clone().unwrap();
    assert_eq!((record.sequence, &record.leaf_hash), (1, &got.leaf_hash));
    // The same record by its other names: by its number, and by its id.
    let id = serde_json::from_str::<Value>(&record.payload).unwrap()["record_id"].clone();
    for named in [Proved::Sequence(1), Proved::AuditRef(id.as_str().unwrap().to_owned())] {
        assert_eq!(auditor.get_inclusion_proof(proof(named, Some(size))).await.unwrap().into_inner(), got);
    }
    let paid = story.daemon.row(&story.paid.decision_id).await;
    let of_a_decision = auditor.get_inclusion_proof(proof(Proved::AuditRef(paid.audit_ref), None)).await.unwrap();
    assert!(of_a_decision.into_inner().record.unwrap().payload.contains(&paid.decision_id));

    let nobody = "aud_0197a9e0-5c3f-7c52-9d3e-6f3a2b1c4d5e";
    for (record, tree_size, why) in [
        (Some(Proved::LeafIndex(size)), None, "leaf_index"),
        (Some(Proved::Sequence(0)), None, "sequence"),
        (Some(Proved::Sequence(size + 1)), None, "sequence"),
        (Some(Proved::Sequence(2)), Some(1), "sequence"),
        (Some(Proved::AuditRef(nobody.to_owned())), None, "audit_ref"),
        (Some(Proved::AuditRef("x".to_owned())), None, "audit_ref"),
        (Some(Proved::LeafIndex(0)), Some(size + 1), "tree_size"),
        (None, None, "record"),
    ] {
        let request = v1::GetInclusionProofRequest { record, tree_size };
        let refused = auditor.get_inclusion_proof(request).await.unwrap_err();
        assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec![why.to_owned()]));
    }
    let consistency =
        |first_tree_size, second_tree_size| v1::GetConsistencyProofRequest { first_tree_size, second_tree_size };
    let got = auditor.get_consistency_proof(consistency(1, None)).await.unwrap().into_inner();
    assert_eq!((got.second_tree_size, got.hashes.is_empty()), (size, false));
    let refused = auditor.get_consistency_proof(consistency(3, Some(2))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let refused = auditor.get_consistency_proof(consistency(0, Some(size + 1))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[test]
fn a_log_keeps_its_name_and_its_key() {
    let mut daemon = Setup::new().args(&["--origin", "example.com/a"]).start();
    daemon.kill();
    let data = daemon.data_dir();
    let serve = |arguments: &[&str]| {
        let mut command = Command::new(AEGIS);
        command.args(["serve", "--port", "0", "--data-dir"]).arg(&data).args(arguments).env_clear();
        let output = command.output().unwrap();
        (output.status.code(), stderr(&output))
    };
    let (code, said) = serve(&["--origin", "example.com/b"]);
    assert!(code == Some(1) && said.contains("the log `example.com/a` for good"), "{code:?}: {said}");
    std::fs::remove_file(data.join("log-key")).unwrap();
    let (code, said) = serve(&[]);
    assert!(code == Some(1) && said.contains("restore the file"), "{code:?}: {said}");
}

/// Records that are old enough lose their payloads, tile by tile, but for what is open; every proof holds.
#[tokio::test]
async fn what_is_older_than_it_is_kept_goes_and_every_proof_still_holds() {
    let story = story(&["--unreported-after", "1ms"]).await;
    let mut agent = story.daemon.agent().await;
    for n in 0..600 {
        ask(&mut agent, propose("read", &format!("old-{n}"))).await;
    }
    let pending = ask(&mut agent, propose("pay", "pending")).await;
    for n in 0..300 {
        ask(&mut agent, propose("read", &format!("young-{n}"))).await;
    }
    let (checkpoint, receipt) = (story.file("checkpoint"), story.file("receipt"));
    story.ok(&["audit", "checkpoint", "-o", checkpoint.to_str().unwrap()]);
    story.ok(&["audit", "receipt", &story.paid.decision_id, "-o", receipt.to_str().unwrap()]);
    let Story { mut daemon, paid } = story;
    daemon.kill();
    // The daemon that is started keeps nothing for longer than a moment.
    let story = Story { daemon: daemon.restart_with(&["--unreported-after", "1ms", "--retain", "1ms"]), paid };
    eventually("the old records are retired", || {
        let events = story.daemon.events("records_retired");
        async move { events.iter().any(|event| event["last"] == 512).then_some(()) }
    })
    .await;
    // What is pending holds up its tile.
    let events = story.daemon.events("records_retired");
    assert!(events.iter().all(|event| event["last"].as_u64().unwrap() <= 512), "{events:?}");
    let count: u64 = events.iter().map(|event| event["count"].as_u64().unwrap()).sum();
    assert_eq!(count, 511, "all but the record that names the log");
    assert!(story.daemon.row(&story.paid.decision_id).await.redacted);
    assert!(!story.daemon.row(&pending.decision_id).await.redacted);
    assert!(!story.ok(&["audit", "--records", "--format", "jsonl"]).contains(SECRET));
    let bundle = story.export("audit.tar");
    let checked = holds(&[bundle.to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()]);
    assert_eq!(checked["redacted"], 511);
    holds(&[receipt.to_str().unwrap()]);
    // Decided, it holds nothing up any more.
    story.daemon.reviewer().await.approve(yes(&pending, "late")).await.unwrap();
    eventually("the rest is retired", || {
        let events = story.daemon.events("records_retired");
        async move { events.iter().any(|event| event["last"] == 768).then_some(()) }
    })
    .await;
    holds(&[story.export("later.tar").to_str().unwrap(), "--checkpoint", checkpoint.to_str().unwrap()]);
}

/// Whatever a daemon has signed stays true, however it ends: nothing is signed that a crash could take away.
#[tokio::test]
async fn every_checkpoint_ever_issued_is_consistent_with_the_record_after_any_number_of_kills() {
    for durability in ["full", "relaxed"] {
        let mut daemon = Setup::new().policy(POLICY).args(&["--durability", durability]).start();
        let mut issued: Vec<String> = Vec::new();
        for _ in 0..5 {
            let (mut agent, mut auditor) = (daemon.agent().await, daemon.auditor().await);
            let load = tokio::spawn(async move {
                for n in 0.. {
                    if agent.propose(propose("read", &format!("{n}"))).await.is_err() {
                        break;
                    }
                }
            });
            // Until the log has grown a few times while it was looked at.
            let enough = issued.len() + 4;
            while issued.len() < enough {
                let checkpoint = auditor.get_checkpoint(v1::GetCheckpointRequest {}).await.unwrap().into_inner();
                if issued.last() != Some(&checkpoint.checkpoint) {
                    issued.push(checkpoint.checkpoint);
                }
            }
            daemon.kill();
            load.await.unwrap();
            daemon = daemon.restart();
        }
        let story = Story { daemon, paid: v1::Decision::default() };
        let bundle = story.export("audit.tar");
        let seen: Vec<_> = issued.iter().map(|text| serde_json::json!({"checkpoint": text}).to_string()).collect();
        let file = story.file("seen.jsonl");
        std::fs::write(&file, seen.join("\n")).unwrap();
        holds(&[bundle.to_str().unwrap(), "--checkpoint", file.to_str().unwrap()]);
    }
}
