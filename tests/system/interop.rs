//! Our evidence checked by somebody else's code, and theirs by ours: Go's `golang.org/x/mod/sumdb/note` and `tlog`, in
//! tests/interop.

use std::path::Path;
use std::process::Command;

use aegis::audit::checkpoint::SignedCheckpoint;
use aegis::audit::merkle::{verify_consistency, verify_inclusion};
use aegis::audit::note::{Note, SigningKey, VerifierKey};
use aegis::domain::Digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::harness::{Daemon, Setup, ask, interop, propose, stderr, stdout};

fn ok(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

fn run(daemon: &Daemon, arguments: &[&str]) -> String {
    let output = daemon.cli(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
    stdout(&output)
}

fn check(what: &str, path: &Path, vkey: &str) -> std::process::Output {
    interop().arg(what).arg(path).arg(vkey).output().unwrap()
}

#[tokio::test]
async fn go_verifies_our_bundles_and_receipts() {
    let daemon = Setup::new().start();
    let mut agent = daemon.agent().await;
    let mut last = String::new();
    for n in 0..600 {
        last = ask(&mut agent, propose("read_file", &format!("{n}"))).await.decision_id;
    }
    let vkey = run(&daemon, &["audit", "rotate-key"]);
    let home = daemon.home.path();
    let (bundle, receipt, unpacked) = (home.join("audit.tar"), home.join("receipt"), home.join("unpacked"));
    run(&daemon, &["audit", "export", "--with-proof", "-o", bundle.to_str().unwrap()]);
    run(&daemon, &["audit", "receipt", &last, "-o", receipt.to_str().unwrap()]);
    std::fs::create_dir(&unpacked).unwrap();
    let mut tar = Command::new("tar");
    tar.arg("xf").arg(&bundle).arg("-C").arg(&unpacked);
    ok(tar);
    let said = check("bundle", &unpacked, vkey.trim());
    assert!(said.status.success() && stdout(&said).ends_with(" entries\n"), "{}", stderr(&said));
    let said = check("receipt", &receipt, vkey.trim());
    assert!(said.status.success() && stdout(&said).ends_with(" proofs\n"), "{}", stderr(&said));

    // It can fail, too.
    let tile = unpacked.join("tile/entries/001");
    let mut entries = std::fs::read(&tile).unwrap();
    entries[100] ^= 1;
    std::fs::write(&tile, entries).unwrap();
    assert!(!check("bundle", &unpacked, vkey.trim()).status.success());
    let text = std::fs::read_to_string(&receipt).unwrap();
    std::fs::write(&receipt, text.replacen("index ", "index 1", 1)).unwrap();
    assert!(!check("receipt", &receipt, vkey.trim()).status.success());
    let old = SigningKey::from_seed("aegis/other", [1; 32]).unwrap().verifier().to_string();
    assert!(!check("bundle", &unpacked, &old).status.success());
}

/// A proof that Go made: of a leaf, or that one tree is the beginning of another.
#[derive(Deserialize)]
struct Proved {
    leaf: Option<String>,
    index: u64,
    size: u64,
    root: String,
    old: u64,
    old_root: Option<String>,
    hashes: Option<Vec<String>>,
}

fn hash(base64: &str) -> Digest {
    Digest(STANDARD.decode(base64).unwrap().try_into().unwrap())
}

#[test]
fn we_verify_what_go_signs_and_proves() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = interop();
    command.arg("make").arg(dir.path());
    ok(command);
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let vkey: VerifierKey = read("vkey").parse().unwrap();
    let checkpoint = SignedCheckpoint::parse(&read("note")).unwrap();
    checkpoint.note.verify(std::slice::from_ref(&vkey)).unwrap();
    assert_eq!((&*checkpoint.checkpoint.origin, checkpoint.checkpoint.size), ("example.com/go", 300));
    assert_eq!(checkpoint.to_string(), read("note"));
    let key = SigningKey::from_text(&read("key")).unwrap();
    assert_eq!((key.verifier(), key.to_secret_text()), (&vkey, read("key")));

    let proofs: Vec<Proved> = serde_json::from_str(&read("proofs.json")).unwrap();
    assert!(proofs.len() > 50);
    for proved in proofs {
        let (root, size) = (hash(&proved.root), proved.size);
        let hashes: Vec<_> = proved.hashes.unwrap_or_default().iter().map(|base64| hash(base64)).collect();
        match (proved.leaf, proved.old_root) {
            (Some(leaf), None) => verify_inclusion(&hash(&leaf), proved.index, size, &hashes, &root).unwrap(),
            (None, Some(old)) => verify_consistency(proved.old, &hash(&old), size, &root, &hashes).unwrap(),
            _ => panic!("a proof of both, or of nothing"),
        }
        if size == 300 {
            assert_eq!(root, checkpoint.checkpoint.root);
        }
    }
}

/// The key file is what Go's tools take.
#[test]
fn go_signs_with_our_key_file() {
    let daemon = Setup::new().start();
    let mut command = interop();
    command.arg("sign").arg(daemon.data_dir().join("log-key")).arg("a text");
    let note = Note::parse(&ok(command)).unwrap();
    let vkey: VerifierKey = std::fs::read_to_string(daemon.data_dir().join("log-key.pub")).unwrap().parse().unwrap();
    note.verify(&[vkey]).unwrap();
}
