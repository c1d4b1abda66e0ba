//! Verifies a log record by record, with almost constant memory.
//!
//! For each record it checks:
//!
//! - the record matches its leaf hash, if that is given;
//! - the payload is JSON;
//! - the record has its own sequence number.
//!
//! For the whole log it checks:
//!
//! - the tree has the root of the checkpoint, and had the roots of earlier checkpoints at their sizes;
//! - the log names its first key, and each later key with a statement that both keys have signed;
//! - each checkpoint is signed by the key in force at its size;
//! - for each missing payload, a record says that it was redacted or retired;
//! - a retirement names the root that the tree had.

use serde::Deserialize;

use super::line::EntryLine;
use crate::audit::log::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::audit::log::identity::{LogIdentity, LogKey, verify_rotation};
use crate::audit::log::merkle::{Frontier, hash_leaf};
use crate::audit::log::note::VerifierKey;
use crate::audit::log::record::{Event, RECORD_VERSION, Record};
use crate::domain::{Digest, RecordId, Timestamp};

/// The number of records in a tile.
const TILE: u64 = 256;

/// An error in the evidence, and the record that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The sequence number of the first wrong record, if the error is in one record.
    pub sequence: Option<u64>,
    /// What is wrong.
    pub why: String,
}

impl Wrong {
    pub(super) fn at(sequence: u64, why: impl Into<String>) -> Self {
        Self { sequence: Some(sequence), why: why.into() }
    }

    pub(super) fn all(why: impl Into<String>) -> Self {
        Self { sequence: None, why: why.into() }
    }
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.sequence {
            Some(sequence) => write!(f, "record {sequence}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Why the verification failed.
#[derive(Debug, thiserror::Error)]
pub enum Invalid {
    /// The evidence is wrong.
    #[error("{0}")]
    Wrong(Wrong),
    /// The evidence cannot be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

impl From<Wrong> for Invalid {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

/// What the verifier already trusts.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Verifier keys of the log, known from another source than the evidence. Each must be one of the log's keys.
    pub keys: Vec<VerifierKey>,
    /// Checkpoints that were seen before. The log must still match them.
    pub checkpoints: Vec<SignedCheckpoint>,
}

/// A verified log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The verified checkpoint.
    pub checkpoint: Checkpoint,
    /// The keys of the log, first to last.
    pub keys: Vec<LogKey>,
    /// How many records have no payload. For each, a record says why.
    pub redacted: u64,
    /// The times of the first and the last record that have a payload.
    pub times: Option<(Timestamp, Timestamp)>,
    /// The policies that the records name as loaded.
    pub revisions: Vec<Digest>,
}

/// The fields of every record.
#[derive(Deserialize)]
struct Head<'a> {
    version: u32,
    sequence: u64,
    record_id: RecordId,
    time: Timestamp,
    #[serde(borrow)]
    kind: std::borrow::Cow<'a, str>,
}

/// Verifies a log.
#[derive(Debug)]
pub struct LogVerifier {
    /// The checkpoints to verify, by size.
    trust: Trust,
    /// How many of those checkpoints are already verified.
    met: usize,
    tree: Frontier,
    chain: Chain,
    /// Records without payload.
    missing: Ranges,
    /// Records whose payload the log says was removed.
    excused: Ranges,
    /// The roots of the tree at each multiple of 256.
    roots: Vec<Digest>,
    times: Option<(Timestamp, Timestamp)>,
    revisions: std::collections::BTreeSet<Digest>,
}

impl LogVerifier {
    /// Begins at the first record.
    pub fn new(mut trust: Trust) -> Self {
        trust.checkpoints.sort_by_key(|seen| seen.checkpoint.size);
        Self {
            trust,
            met: 0,
            tree: Frontier::default(),
            chain: Chain::default(),
            missing: Ranges::default(),
            excused: Ranges::default(),
            roots: Vec::new(),
            times: None,
            revisions: std::collections::BTreeSet::new(),
        }
    }

    /// How many records were read.
    pub const fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The policies that the records so far name as loaded, in the order of their revisions.
    pub fn revisions(&self) -> impl Iterator<Item = Digest> {
        self.revisions.iter().copied()
    }

    /// The identity of the log, as the records so far say it.
    pub(crate) fn identity(&self) -> Option<LogIdentity> {
        Some(LogIdentity { origin: self.chain.origin.clone()?, keys: self.chain.keys.clone() })
    }

    /// Reads the next record. `leaf` is the leaf hash that it should have.
    pub fn push(&mut self, entry: &EntryLine<'_>, leaf: Option<Digest>) -> Result<(), Wrong> {
        let sequence = self.tree.size() + 1;
        let hash = hash_leaf(&entry.leaf_data().0);
        if leaf.is_some_and(|leaf| leaf != hash) {
            return Err(Wrong::at(sequence, "it does not hash to its leaf: payload, salt or leaf hash were changed"));
        }
        match entry {
            EntryLine::Redacted { .. } => self.missing.add(sequence, sequence),
            EntryLine::Whole { payload, .. } => self.read(sequence, payload)?,
        }
        self.tree.push(hash);
        if sequence.is_multiple_of(TILE) {
            self.roots.push(self.tree.root());
        }
        while let Some(seen) = self.trust.checkpoints.get(self.met).filter(|seen| seen.checkpoint.size <= sequence) {
            self.met += 1;
            if seen.checkpoint.size == sequence && seen.checkpoint.root != self.tree.root() {
                let why = format!(
                    "up to here the log is not what the checkpoint of size {sequence} says that it was: \
                     a record from 1 to {sequence} was \
                     changed, or the log is another one"
                );
                return Err(Wrong::at(sequence, why));
            }
        }
        Ok(())
    }

    /// Reads the parts of a payload that matter here.
    fn read(&mut self, sequence: u64, payload: &[u8]) -> Result<(), Wrong> {
        let wrong = |why: String| Wrong::at(sequence, why);
        let head: Head<'_> =
            serde_json::from_slice(payload).map_err(|error| wrong(format!("its payload is no record: {error}")))?;
        if head.version != RECORD_VERSION {
            return Err(wrong(format!("it has version {}; this program reads {RECORD_VERSION}", head.version)));
        }
        if head.sequence != sequence {
            return Err(wrong(format!(
                "it has the sequence number {}: records were moved, added or removed",
                head.sequence
            )));
        }
        let _: RecordId = head.record_id;
        self.times = Some((self.times.map_or(head.time, |times| times.0), head.time));
        let special = ["log_started", "log_key_rotated", "decision_redacted", "records_retired", "policy_loaded"];
        if special.contains(&&*head.kind) {
            let record: Record =
                serde_json::from_slice(payload).map_err(|error| wrong(format!("its payload is no record: {error}")))?;
            self.note(sequence, record.event).map_err(wrong)?;
        }
        Ok(())
    }

    /// Reads what a record says about the log.
    fn note(&mut self, sequence: u64, event: Event) -> Result<(), String> {
        if self.chain.note(sequence, &event)? {
            return Ok(());
        }
        match event {
            Event::DecisionRedacted { sequences, .. } => {
                for sequence in sequences {
                    self.excused.add(sequence, sequence);
                }
            }
            Event::RecordsRetired { first, last, root, .. } => {
                let tiles = if last.is_multiple_of(TILE) { last / TILE } else { 0 };
                let known = usize::try_from(tiles).ok().and_then(|tiles| self.roots.get(tiles.checked_sub(1)?));
                if first == 0 || first > last || known != Some(&root) {
                    return Err(format!("the root that it names is not that of the records up to {last}"));
                }
                self.excused.add(first, last);
            }
            Event::PolicyLoaded { revision, .. } => {
                self.revisions.insert(revision);
            }
            _ => {}
        }
        Ok(())
    }

    /// Runs the checks that need the whole log.
    pub fn finish(mut self, signed: &SignedCheckpoint) -> Result<Checked, Wrong> {
        let checkpoint = &signed.checkpoint;
        let size = self.tree.size();
        if let Some(sequence) = self.missing.first_outside(&mut self.excused) {
            return Err(Wrong::at(sequence, "it has no payload, and no record says that it was removed"));
        }
        if checkpoint.size != size {
            return Err(Wrong::all(format!("the checkpoint covers {} records, and there are {size}", checkpoint.size)));
        }
        if checkpoint.root != self.tree.root() {
            return Err(Wrong::all(
                "the records do not have the root that the checkpoint says: one that no single hash gives away was \
                 changed",
            ));
        }
        self.chain.check_signed(signed)?;
        self.chain.check_keys(&self.trust.keys)?;
        for seen in &self.trust.checkpoints {
            self.chain.check_signed(seen)?;
            if seen.checkpoint.size > size {
                let why = format!(
                    "it is missing, with all that follow up to {}, which a checkpoint that was seen before has: \
                     the log was cut off, or is \
                     an older copy",
                    seen.checkpoint.size
                );
                return Err(Wrong::at(size + 1, why));
            }
        }
        Ok(Checked {
            checkpoint: checkpoint.clone(),
            redacted: self.missing.count(),
            times: self.times,
            revisions: self.revisions.into_iter().collect(),
            keys: self.chain.keys,
        })
    }
}

/// The identity of a log, read from its records in order.
#[derive(Debug, Default)]
pub(super) struct Chain {
    origin: Option<String>,
    pub(super) keys: Vec<LogKey>,
}

impl Chain {
    /// Reads a record. Returns whether it is about the log's name or keys.
    pub(super) fn note(&mut self, sequence: u64, event: &Event) -> Result<bool, String> {
        let parse = |key: &str| key.parse::<VerifierKey>().map_err(|error| error.to_string());
        match event {
            Event::LogStarted { origin, key } => {
                let key = parse(key)?;
                if self.origin.is_some() || key.name() != origin {
                    return Err("it names the log a second time, or its key has another name".to_owned());
                }
                self.origin = Some(origin.clone());
                self.keys.push(LogKey { sequence, key });
            }
            Event::LogKeyRotated { old_key, new_key, statement, .. } => {
                let (old, new) = (parse(old_key)?, parse(new_key)?);
                let origin = self.origin.as_deref().ok_or("a key is replaced before the log has one")?;
                if self.keys.last().map(|last| &last.key) != Some(&old) {
                    return Err("it replaces a key that is not the log's current key".to_owned());
                }
                verify_rotation(statement, origin, &old, &new)?;
                self.keys.push(LogKey { sequence, key: new });
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Checks that a checkpoint belongs to this log and is signed by the key in force at its size.
    pub(super) fn check_signed(&self, signed: &SignedCheckpoint) -> Result<(), Wrong> {
        let Checkpoint { origin: named, size, .. } = &signed.checkpoint;
        let Some(origin) = &self.origin else { return Err(Wrong::all("no record names the log and its key")) };
        if named != origin {
            let why = format!("the checkpoint of size {size} belongs to the log `{named}`, and this is `{origin}`");
            return Err(Wrong::all(why));
        }
        let in_force = self.keys.iter().rev().find(|key| key.sequence <= *size).or_else(|| self.keys.first());
        let key = in_force.map(|key| &key.key).ok_or_else(|| Wrong::all("the log has no key"))?;
        let verified = signed.note.verify(std::slice::from_ref(key));
        verified.map(drop).map_err(|error| Wrong::all(format!("the checkpoint of size {size}: {error}")))
    }

    /// Checks that each of these keys is one of the log's.
    pub(super) fn check_keys(&self, known: &[VerifierKey]) -> Result<(), Wrong> {
        match known.iter().find(|known| !self.keys.iter().any(|key| key.key == **known)) {
            Some(key) => Err(Wrong::all(format!(
                "{key} is none of the log's keys: this is another log, or the log was created again"
            ))),
            None => Ok(()),
        }
    }
}

/// A set of numbers as ranges. After sorting, no two ranges touch or overlap.
#[derive(Debug, Default)]
struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    fn add(&mut self, first: u64, last: u64) {
        match self.0.last_mut() {
            Some(end) if end.1.checked_add(1) == Some(first) => end.1 = last,
            _ => self.0.push((first, last)),
        }
    }

    fn count(&self) -> u64 {
        self.0.iter().map(|(first, last)| last - first + 1).sum()
    }

    fn normalize(&mut self) {
        self.0.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for &(first, last) in &self.0 {
            match merged.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        self.0 = merged;
    }

    /// The first number of this set that is not in the other set.
    fn first_outside(&mut self, others: &mut Self) -> Option<u64> {
        self.normalize();
        others.normalize();
        self.0.iter().find_map(|&(first, last)| {
            let at = others.0.partition_point(|other| other.1 < first);
            match others.0.get(at) {
                Some(&(from, to)) if from <= first => (to < last).then(|| to + 1),
                _ => Some(first),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_missing_record_without_a_reason_is_found() {
        let outside = |missing: &[(u64, u64)], excused: &[(u64, u64)]| {
            Ranges(missing.to_vec()).first_outside(&mut Ranges(excused.to_vec()))
        };
        assert_eq!(outside(&[], &[]), None);
        assert_eq!(outside(&[(3, 5)], &[]), Some(3));
        assert_eq!(outside(&[(3, 5)], &[(1, 4)]), Some(5));
        assert_eq!(outside(&[(3, 5), (9, 9)], &[(4, 9), (2, 3)]), None);
        assert_eq!(outside(&[(3, 5), (9, 12)], &[(10, 20), (3, 5)]), Some(9));
    }
}
