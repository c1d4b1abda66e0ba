//! [`Receipt`]: one decision, with the proof that it is in the log.

use std::fmt;

use super::line::EntryLine;
use super::verifier::{Chain, Trust, Wrong};
use crate::audit::log::checkpoint::{Checkpoint, PROOF_HEADER, SignedCheckpoint, TlogProof};
use crate::audit::log::identity::LogKey;
use crate::audit::log::merkle::hash_leaf;
use crate::audit::log::record::{Event, Record};
use crate::domain::DecisionId;

/// One decision, with the proof that it is in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// A proof for each record, in the order of the log. All have the same checkpoint.
    pub proofs: Vec<TlogProof>,
}

/// What a receipt proves.
#[derive(Debug)]
pub struct Proved {
    /// The checkpoint that covers the records.
    pub checkpoint: Checkpoint,
    /// The decision.
    pub decision_id: DecisionId,
    /// The keys of the log, first to last.
    pub keys: Vec<LogKey>,
    /// The records of the decision that have a payload.
    pub records: Vec<Record>,
    /// How many of its records are redacted.
    pub redacted: u64,
}

/// Whether the text starts like a receipt.
pub fn is_receipt(beginning: &[u8]) -> bool {
    beginning.starts_with(PROOF_HEADER.as_bytes())
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.proofs.iter().try_for_each(|proof| proof.fmt(f))
    }
}

impl Receipt {
    /// Parses a receipt without verifying it.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        let wrong = |why: String| Wrong::all(format!("the receipt: {why}"));
        let header = format!("{PROOF_HEADER}\n");
        let rest = text.strip_prefix(&header).ok_or_else(|| wrong("it does not start like one".to_owned()))?;
        let between = format!("\n{header}");
        let mut proofs = Vec::new();
        let parts: Vec<&str> = rest.split(&between).collect();
        let last = parts.len() - 1;
        for (i, part) in parts.into_iter().enumerate() {
            let newline = if i < last { "\n" } else { "" };
            proofs.push(format!("{header}{part}{newline}").parse::<TlogProof>().map_err(wrong)?);
        }
        let receipt = Self { proofs };
        // Only the canonical form is accepted, so that no byte can be changed unnoticed.
        if receipt.to_string() == text { Ok(receipt) } else { Err(wrong("it is not in its canonical form".to_owned())) }
    }

    /// Verifies the receipt: every record is in the log of the checkpoint, each key of the log was signed by the key
    /// before it, and the key in force signed the checkpoint.
    pub fn verify(&self, trust: &Trust) -> Result<Proved, Wrong> {
        let Some(first) = self.proofs.first() else { return Err(Wrong::all("the receipt has no records")) };
        let signed: &SignedCheckpoint = &first.checkpoint;
        let mut log = Chain::default();
        let (mut last, mut redacted) = (0, 0);
        let (mut decision_id, mut records, mut told) = (None, Vec::new(), std::collections::BTreeSet::new());
        let mut missing = Vec::new();
        for proof in &self.proofs {
            let sequence = proof.index.saturating_add(1);
            let wrong = |why: &str| Wrong::at(sequence, why);
            if proof.checkpoint != *signed {
                return Err(wrong("its proof has another checkpoint"));
            }
            if sequence <= last {
                return Err(wrong("it is out of order"));
            }
            last = sequence;
            let extra = proof.extra.as_deref().unwrap_or_default();
            let line = extra.strip_suffix(b"\n").unwrap_or_default();
            let entry = EntryLine::parse(line).map_err(wrong)?;
            let leaf = hash_leaf(&entry.leaf_data().0);
            proof.verify_inclusion(&leaf).map_err(|error| Wrong::at(sequence, error.to_string()))?;
            let EntryLine::Whole { payload, .. } = entry else {
                missing.push(sequence);
                redacted += 1;
                continue;
            };
            let record: Record = serde_json::from_slice(payload)
                .map_err(|error| Wrong::at(sequence, format!("its payload is no record: {error}")))?;
            if record.sequence != sequence {
                return Err(Wrong::at(sequence, format!("it has the sequence number {}", record.sequence)));
            }
            if log.note(sequence, &record.event).map_err(|why| Wrong::at(sequence, why))? {
                continue;
            }
            let about = record.event.decision_id();
            if about.is_none() || decision_id.is_some_and(|known| Some(known) != about) {
                return Err(wrong("it is not about the decision"));
            }
            if let Event::DecisionRedacted { sequences, .. } = &record.event {
                told.extend(sequences.iter().copied());
            }
            decision_id = about;
            records.push(record);
        }
        if let Some(sequence) = missing.into_iter().find(|sequence| !told.contains(sequence)) {
            return Err(Wrong::at(
                sequence,
                "it has no payload, and no record of the receipt says that it was removed",
            ));
        }
        let decision_id = decision_id.ok_or_else(|| Wrong::all("the receipt has no record of a decision"))?;
        log.check_signed(signed)?;
        log.check_keys(&trust.keys)?;
        Ok(Proved { checkpoint: signed.checkpoint.clone(), decision_id, keys: log.keys, records, redacted })
    }
}
