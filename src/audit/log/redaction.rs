//! Taking payloads away, and leaving every proof valid.
//!
//! The value of a record that was redacted is `leaf hash (32) ‖ leaf data (32)`: what its payload and its salt were
//! hashed to is kept, the two are gone. Nobody can guess a payload from it: the salt was 128 random bits and is not
//! kept.
//!
//! What stands beside the record goes with it: texts hashed without a salt in the facts of the row and in the index,
//! the digest of the action, the idempotency key, names and reasons of the ending, data and error of the result, the
//! texts that are counted. Ids, times, risk, outcome and result status stay, so that rows and totals still add up.
//!
//! The file is not shredded: the pages that held a payload are free, and hold it until they are used again.

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

/// How many records are looked through in one go.
const LOOK: u64 = 4096;

impl Reader {
    /// The records of these that tell of a decision: the decision itself, its approval, its confirmation, its result.
    /// Looks at a bounded number of them, and says where to go on.
    pub fn records_of(&self, decision: DecisionId, among: RangeInclusive<u64>) -> Result<(Vec<u64>, u64), StoreError> {
        self.find_records(decision, among, |sequence, event, found| {
            if is_of(event, decision) {
                found.push(sequence);
            }
        })
    }

    /// Those, the record of their redaction, and the records that it took the payloads from.
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

/// Whether an event is one of those that make up a decision's history, and that go with it.
pub(crate) fn is_of(event: &Event, decision: DecisionId) -> bool {
    !matches!(event, Event::DecisionRedacted { .. }) && event.decision_id() == Some(decision)
}

impl Tx<'_> {
    /// Takes the payload and the salt of a record away. The answer is whether there was a payload.
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
            // What is damaged stays as it is: it is evidence of that.
            if hash_leaf(&data.0).0 != *leaf {
                return Err(TxError::Corrupt(format!("record {sequence} does not have the leaf hash that it should")));
            }
            kept[..LEAF_HASH_LEN].copy_from_slice(leaf);
            kept[LEAF_HASH_LEN..].copy_from_slice(&data.0);
        }
        records.insert(sequence, kept.as_slice())?;
        Ok(true)
    }

    /// The records of a decision from this one on.
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

    /// A record; none where it is redacted.
    pub(crate) fn whole_record(&mut self, sequence: u64) -> Result<Option<Record>, TxError> {
        let value = self.tables.records.read()?.get(sequence)?.ok_or_else(|| missing("record", sequence))?;
        if leaf_data_of_redacted(value.value()).is_some() {
            return Ok(None);
        }
        parse_record(sequence, value.value()).map(Some).map_err(TxError::Corrupt)
    }
}
