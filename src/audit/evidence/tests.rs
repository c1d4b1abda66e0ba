//! Bundles and receipts: an unchanged one verifies, and one that was changed anywhere does not.

use std::collections::BTreeMap;

use super::*;
use crate::audit::log::checkpoint::{Checkpoint, SignedCheckpoint, TlogProof};
use crate::audit::log::identity::sign_rotation;
use crate::audit::log::leaf::leaf_data;
use crate::audit::log::merkle::{hash_leaf, inclusion_proof, root};
use crate::audit::log::note::{SigningKey, sign};
use crate::audit::log::record::{Event, RECORD_VERSION, Record};
use crate::audit::merkle::tests::InMemory;
use crate::audit::testing::{decision, decision_id, later, report};
use crate::domain::{Digest, How, RecordId, ResultStatus};

const ORIGIN: &str = "example.com/log";

pub(super) fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(ORIGIN, [seed; 32]).unwrap()
}

/// A log in memory: its events, and the numbers of its records without a payload.
#[derive(Clone)]
pub(super) struct Log {
    pub(super) events: Vec<Event>,
    pub(super) redacted: Vec<u64>,
}

pub(super) struct Written {
    salt: [u8; 16],
    payload: Vec<u8>,
    redacted: bool,
}

impl Written {
    fn entry(&self) -> EntryLine<'_> {
        if self.redacted {
            EntryLine::Redacted { leaf_data: leaf_data(&self.salt, &self.payload) }
        } else {
            EntryLine::Whole { salt: self.salt, payload: &self.payload }
        }
    }
}

impl Log {
    pub(super) fn new() -> Self {
        let started = Event::LogStarted { origin: ORIGIN.into(), key: key(1).verifier().to_string() };
        Self { events: vec![started], redacted: Vec::new() }
    }

    pub(super) fn with(mut self, event: Event) -> Self {
        self.events.push(event);
        self
    }

    fn rotated(self, old: u8, new: u8) -> Self {
        let (old, new) = (key(old), key(new));
        self.with(Event::LogKeyRotated {
            old_key: old.verifier().to_string(),
            new_key: new.verifier().to_string(),
            statement: sign_rotation(ORIGIN, &old, &new),
            by: "ada".into(),
        })
    }

    pub(super) fn decisions(mut self, count: u64) -> Self {
        self.events.extend((0..count).map(|n| Event::Decision(Box::new(decision(n)))));
        self
    }

    pub(super) fn write(&self) -> Vec<Written> {
        let written = self.events.iter().zip(1u64..).map(|(event, sequence)| {
            let time = later(sequence);
            let record = Record {
                version: RECORD_VERSION,
                sequence,
                record_id: RecordId::new(time, [7; 10]),
                time,
                event: event.clone(),
            };
            let mut salt = [3; 16];
            salt[8..].copy_from_slice(&sequence.to_be_bytes());
            Written { salt, payload: record.to_canonical().unwrap(), redacted: self.redacted.contains(&sequence) }
        });
        written.collect()
    }

    pub(super) fn checkpoint(&self, size: usize, seed: u8) -> SignedCheckpoint {
        let leaves = self.leaves();
        let root = root(&mut InMemory(&leaves[..size]), size as u64).unwrap();
        let text = Checkpoint { origin: ORIGIN.into(), size: size as u64, root }.to_string();
        SignedCheckpoint::parse(&sign(&text, &[&key(seed)])).unwrap()
    }

    fn leaves(&self) -> Vec<Digest> {
        self.write().iter().map(|written| hash_leaf(&written.entry().leaf_data().0)).collect()
    }

    /// Writes a bundle of the events without checking them.
    pub(super) fn bundle(&self, seed: u8) -> Result<Vec<u8>, Invalid> {
        let checkpoint = self.checkpoint(self.events.len(), seed);
        let mut writer = BundleWriter::begin(Vec::new(), checkpoint, Trust::default(), false)?;
        for written in self.write() {
            writer.push(&written.entry(), None)?;
        }
        Ok(writer.finish(&BTreeMap::new())?.1)
    }

    fn receipt(&self, sequences: &[u64], seed: u8) -> Receipt {
        let (leaves, written) = (self.leaves(), self.write());
        let (size, checkpoint) = (leaves.len() as u64, self.checkpoint(leaves.len(), seed));
        let proofs = sequences.iter().map(|sequence| {
            let mut extra = Vec::new();
            written[usize::try_from(*sequence).unwrap() - 1].entry().write(&mut extra);
            let hashes = inclusion_proof(&mut InMemory(&leaves), sequence - 1, size).unwrap();
            TlogProof { extra: Some(extra), index: sequence - 1, hashes, checkpoint: checkpoint.clone() }
        });
        Receipt { proofs: proofs.collect() }
    }
}

fn verify(bundle: &[u8], trust: Trust) -> Result<Checked, String> {
    verify_bundle(bundle, trust, |_, _| {}).map_err(|error| error.to_string())
}

#[test]
fn a_bundle_is_verified_against_known_keys_and_earlier_checkpoints() {
    let log = Log::new().decisions(300).rotated(1, 2).decisions(300);
    let bundle = log.bundle(2).unwrap();
    let seen = [(1, 1), (256, 1), (301, 1), (302, 2), (602, 2)];
    let trust = Trust {
        keys: vec![key(1).verifier().clone(), key(2).verifier().clone()],
        checkpoints: seen.map(|(size, seed)| log.checkpoint(size, seed)).to_vec(),
    };
    let checked = verify(&bundle, trust).unwrap();
    assert_eq!((checked.checkpoint.size, checked.keys.len(), checked.redacted), (602, 2, 0));
    assert_eq!(checked.times, Some((later(1), later(602))));

    let strange = Trust { keys: vec![key(9).verifier().clone()], ..Trust::default() };
    assert!(verify(&bundle, strange).unwrap_err().contains("none of the log's keys"));
    let old_key_after_its_time = Trust { checkpoints: vec![log.checkpoint(302, 1)], ..Trust::default() };
    assert!(verify(&bundle, old_key_after_its_time).unwrap_err().contains("not signed by"));
}

#[test]
fn bundles_of_all_sizes_around_a_tile_verify() {
    for decisions in [0, 1, 2, 254, 255, 256, 257, 511, 512] {
        let bundle = Log::new().decisions(decisions).bundle(1).unwrap();
        assert_eq!(verify(&bundle, Trust::default()).unwrap().checkpoint.size, decisions + 1);
    }
}

/// The bits to change in the byte at this position: one bit, the bit that separates small letters from capitals, and
/// all bits.
fn changes(at: usize) -> [u8; 3] {
    [1 << (at % 8), b' ', 0xff]
}

#[test]
fn no_byte_of_a_bundle_can_be_changed() {
    let mut log = Log::new().decisions(2).rotated(1, 2).with(Event::DecisionRedacted {
        decision_id: decision_id(0),
        sequences: vec![2],
        reason: "asked to".into(),
        by: "ada".into(),
        how: How::UnixPeer,
    });
    log.redacted.push(2);
    let mut bundle = log.bundle(2).unwrap();
    assert_eq!(verify(&bundle, Trust::default()).unwrap().redacted, 1);
    for at in 0..bundle.len() {
        for change in changes(at) {
            bundle[at] ^= change;
            assert!(verify(&bundle, Trust::default()).is_err(), "byte {at}, {change:#x}");
            bundle[at] ^= change;
        }
    }
    for len in (0..bundle.len()).step_by(7) {
        assert!(verify(&bundle[..len], Trust::default()).is_err(), "cut off at {len}");
    }
    bundle.push(0);
    assert!(verify(&bundle, Trust::default()).is_err(), "an extra byte");
}

/// Someone changes records and all hashes above them, with and without the signing key.
#[test]
fn a_changed_log_does_not_match_the_signed_root_even_if_it_is_consistent() {
    let log = Log::new().decisions(300);
    let honest = log.checkpoint(301, 1);
    let mut forgeries = Vec::new();
    let mut changed = log.clone();
    changed.events[150] = Event::Decision(Box::new(decision(9999)));
    forgeries.push(("changed", changed));
    let mut deleted = log.clone();
    deleted.events.remove(150);
    forgeries.push(("deleted", deleted));
    let mut doubled = log.clone();
    doubled.events.insert(150, doubled.events[150].clone());
    forgeries.push(("doubled", doubled));
    let mut swapped = log.clone();
    swapped.events.swap(150, 200);
    forgeries.push(("swapped", swapped));
    let mut cut = log.clone();
    cut.events.truncate(280);
    forgeries.push(("cut", cut));
    for (what, forged) in forgeries {
        let bundle = forged.bundle(1).unwrap();
        // Signed by the stolen key, it is a valid log. Only a checkpoint that was seen before shows the change.
        verify(&bundle, Trust::default()).unwrap();
        let seen = Trust { checkpoints: vec![honest.clone()], ..Trust::default() };
        let why = verify(&bundle, seen).unwrap_err();
        assert!(why.contains("checkpoint"), "{what}: {why}");
        // Without the key, the forger has to keep the honest checkpoint.
        let checkpoint = SignedCheckpoint { note: honest.note.clone(), checkpoint: honest.checkpoint.clone() };
        let mut writer = BundleWriter::begin(Vec::new(), checkpoint, Trust::default(), false).unwrap();
        for written in forged.write() {
            writer.push(&written.entry(), None).unwrap();
        }
        assert!(writer.finish(&BTreeMap::new()).is_err(), "{what}");
    }
}

#[test]
fn the_error_names_the_first_wrong_record() {
    let log = Log::new().decisions(600);
    let bundle = log.bundle(1).unwrap();
    for (sequence, number) in [(2, 0u64), (256, 254), (257, 255), (601, 599)] {
        let id = decision_id(number).to_string();
        let mut changed = bundle.clone();
        // The last digit of the id is a random one.
        let at = changed.windows(id.len()).position(|window| window == id.as_bytes()).unwrap() + id.len() - 1;
        changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
        let why = verify(&changed, Trust::default()).unwrap_err();
        assert!(why.starts_with(&format!("record {sequence}: ")), "{why}");
    }
}

#[test]
fn a_record_must_say_why_a_payload_is_missing() {
    let mut log = Log::new().decisions(300);
    log.redacted = (2..=200).collect();
    let why = log.bundle(1).unwrap_err().to_string();
    assert!(why.starts_with("record 2: it has no payload"), "{why}");
    let root = log.checkpoint(256, 1).checkpoint.root;
    let retired =
        |last, root| Event::RecordsRetired { first: 2, last, count: 199, root, before: later(1), passed: vec![] };
    log.clone().with(retired(256, root)).bundle(1).unwrap();
    for (last, root) in [(256, Digest([1; 32])), (255, root), (512, root), (u64::MAX, root), (0, root)] {
        let why = log.clone().with(retired(last, root)).bundle(1).unwrap_err().to_string();
        assert!(why.starts_with("record 302: "), "{why}");
    }
}

#[test]
fn a_bundle_contains_the_policies_that_its_records_name() {
    let json = br#"{"version":"1"}"#.to_vec();
    let revision = Digest::of(&json);
    let log =
        Log::new().with(Event::PolicyLoaded { revision, layers: vec![], by: String::new(), comment: String::new() });
    let write = |policies: &BTreeMap<Digest, Vec<u8>>| {
        let mut writer = BundleWriter::begin(Vec::new(), log.checkpoint(2, 1), Trust::default(), true).unwrap();
        for written in log.write() {
            writer.push(&written.entry(), None).unwrap();
        }
        assert_eq!(writer.revisions().collect::<Vec<_>>(), [revision]);
        writer.finish(policies).map(|(_, bundle)| bundle)
    };
    let bundle = write(&BTreeMap::from([(revision, json.clone())])).unwrap();
    assert_eq!(verify(&bundle, Trust::default()).unwrap().revisions, [revision]);
    assert!(write(&BTreeMap::new()).is_err());
    assert!(write(&BTreeMap::from([(revision, b"{}".to_vec())])).is_err());
    let mut changed = bundle.clone();
    let at = bundle.windows(json.len()).position(|window| window == json).unwrap();
    changed[at + 1] ^= 1;
    assert!(verify(&changed, Trust::default()).unwrap_err().contains("does not hash to its revision"));
}

#[test]
fn each_key_is_signed_by_the_key_before_it() {
    for (what, log) in [
        ("a key that never signed", Log::new().rotated(5, 6)),
        ("no name", Log { events: vec![Event::DaemonStopped], redacted: vec![] }),
        ("named twice", Log::new().with(Log::new().events[0].clone())),
    ] {
        assert!(log.bundle(1).is_err(), "{what}");
    }
    let mut forged = Log::new().rotated(1, 2);
    let Event::LogKeyRotated { statement, .. } = &mut forged.events[1] else { panic!("the event is a rotation") };
    *statement = sign_rotation(ORIGIN, &key(3), &key(2));
    assert!(forged.bundle(2).is_err());
}

#[test]
fn a_receipt_proves_one_decision_and_no_byte_of_it_can_be_changed() {
    let log = Log::new()
        .decisions(3)
        .with(Event::Result {
            decision_id: decision_id(1),
            report: report(ResultStatus::Success),
            masked: vec![],
            marks: vec![],
        })
        .rotated(1, 2);
    let receipt = log.receipt(&[1, 3, 5, 6], 2);
    let text = receipt.to_string();
    assert!(is_receipt(text.as_bytes()));
    let proved = Receipt::parse(&text).unwrap().verify(&Trust::default()).unwrap();
    assert_eq!((proved.decision_id, proved.records.len(), proved.keys.len()), (decision_id(1), 2, 2));
    for at in 0..text.len() {
        for change in changes(at) {
            let mut changed = text.clone().into_bytes();
            changed[at] ^= change;
            let Ok(changed) = String::from_utf8(changed) else { continue };
            let verified = Receipt::parse(&changed).and_then(|receipt| receipt.verify(&Trust::default()).map(drop));
            assert!(verified.is_err(), "byte {at}, {change:#x}");
        }
    }
    for (what, receipt) in [
        ("nothing", Receipt { proofs: vec![] }),
        ("no key", log.receipt(&[3, 5, 6], 2)),
        ("the key in force left out", log.receipt(&[1, 3, 5], 2)),
        ("two decisions", log.receipt(&[1, 2, 3, 6], 2)),
        ("no decision", log.receipt(&[1, 6], 2)),
        ("a replaced key", log.receipt(&[1, 3, 5, 6], 1)),
    ] {
        assert!(receipt.verify(&Trust::default()).is_err(), "{what}");
    }
}
