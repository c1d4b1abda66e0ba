//! Redaction: removes the payload of a record and keeps every proof valid.
//!
//! The value of a record that was redacted is `leaf hash (32) ‖ leaf data (32)`: the hash of payload and salt is kept,
//! the two themselves are removed. Nobody can guess the payload from it, because the salt was 128 random bits.
//!
//! Redaction also removes data next to the record: unsalted hashes of texts in the facts of the row and in the index,
//! the digest of the action, the idempotency key, names and reasons of the ending, data and error of the result, and
//! counted texts. Ids, times, risk, outcome and result status stay, so that totals stay correct.
//!
//! Redaction does not overwrite the file: free pages can contain an old payload until they are used again.

use std::ops::RangeInclusive;

use aho_corasick::AhoCorasick;
use redb::ReadableTable as _;

use super::leaf::{HEADER_LEN, LEAF_HASH_LEN, REDACTED_LEN, leaf_data, leaf_data_of_redacted};
use super::merkle::hash_leaf;
use super::record::{Event, Record};
use super::stored::parse_record;
use super::tables::RECORDS;
use crate::audit::state::Tx;
use crate::domain::DecisionId;
use crate::store::error::{StoreError, TxError, damaged, guarded, missing};
use crate::store::reader::Reader;

/// How many records one step reads.
const LOOK: u64 = 4096;

impl Reader {
    /// Finds the records about a decision: the decision itself, its approval, its confirmation, its result. Reads a
    /// bounded number of records and returns where to continue.
    pub fn records_of(&self, decision: DecisionId, among: RangeInclusive<u64>) -> Result<(Vec<u64>, u64), StoreError> {
        self.find_records(decision, among, |sequence, event, found| {
            if is_of(event, decision) {
                found.push(sequence);
            }
        })
    }

    /// The records about a decision, together with its redaction record and the records that the redaction names.
    pub fn records_about(
        &self,
        decision: DecisionId,
        among: RangeInclusive<u64>,
    ) -> Result<(Vec<u64>, u64), StoreError> {
        self.find_records(decision, among, |sequence, event, found| match event {
            Event::DecisionRedacted { decision_id, sequences, .. } if *decision_id == decision => {
                found.extend(sequences.iter().chain([&sequence]));
            }
            event if is_of(event, decision) => found.push(sequence),
            _ => {}
        })
    }

    fn find_records(
        &self,
        decision: DecisionId,
        among: RangeInclusive<u64>,
        take: impl Fn(u64, &Event, &mut Vec<u64>),
    ) -> Result<(Vec<u64>, u64), StoreError> {
        guarded(|| {
            let name = AhoCorasick::new([decision.to_string()]).map_err(|error| damaged(error.to_string()))?;
            let end = (*among.end()).min(among.start().saturating_add(LOOK - 1));
            let mut found = Vec::new();
            for entry in self.table(RECORDS)?.range(*among.start()..=end)? {
                let (sequence, value) = entry?;
                if leaf_data_of_redacted(value.value()).is_none() && name.is_match(value.value()) {
                    let event = parse_record(sequence.value(), value.value()).map_err(damaged)?.event;
                    take(sequence.value(), &event, &mut found);
                }
            }
            Ok((found, end + 1))
        })
    }
}

/// Whether an event belongs to a decision and is redacted with it.
pub(crate) fn is_of(event: &Event, decision: DecisionId) -> bool {
    !matches!(event, Event::DecisionRedacted { .. }) && event.decision_id() == Some(decision)
}

impl Tx<'_> {
    /// Removes the payload and the salt of a record. Returns whether it had a payload.
    pub fn drop_payload(&mut self, sequence: u64) -> Result<bool, TxError> {
        let records = &mut self.tables.records;
        let mut kept = [0; REDACTED_LEN];
        {
            let value = records.read()?.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
            let value = value.value();
            if leaf_data_of_redacted(value).is_some() {
                return Ok(false);
            }
            let (Some(leaf), Some((salt, payload))) = (
                value.get(..LEAF_HASH_LEN),
                value.get(LEAF_HASH_LEN..).and_then(|rest| rest.split_at_checked(HEADER_LEN - LEAF_HASH_LEN)),
            ) else {
                return Err(TxError::Corrupt(format!("record {sequence} is too short")));
            };
            let data = leaf_data(salt, payload);
            // A damaged record is not changed: it is evidence of the damage.
            if hash_leaf(&data.0).0 != *leaf {
                return Err(TxError::Corrupt(format!("record {sequence} does not match its leaf hash")));
            }
            kept[..LEAF_HASH_LEN].copy_from_slice(leaf);
            kept[LEAF_HASH_LEN..].copy_from_slice(&data.0);
        }
        records.insert(sequence, kept.as_slice())?;
        Ok(true)
    }

    /// The records about a decision, from this record on.
    pub fn records_of(&mut self, decision: DecisionId, from: u64) -> Result<Vec<u64>, TxError> {
        let mut found = Vec::new();
        for entry in self.tables.records.read()?.range(from..)? {
            let (sequence, value) = entry?;
            if leaf_data_of_redacted(value.value()).is_none()
                && is_of(&parse_record(sequence.value(), value.value()).map_err(TxError::Corrupt)?.event, decision)
            {
                found.push(sequence.value());
            }
        }
        Ok(found)
    }

    /// A record; `None` if it is redacted.
    pub(crate) fn whole_record(&mut self, sequence: u64) -> Result<Option<Record>, TxError> {
        let value = self.tables.records.read()?.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
        if leaf_data_of_redacted(value.value()).is_some() {
            return Ok(None);
        }
        parse_record(sequence, value.value()).map(Some).map_err(TxError::Corrupt)
    }
}
