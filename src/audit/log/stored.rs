//! A stored record: its leaf hash with its payload, or with the rest of a redacted one.

use std::collections::BTreeMap;

use redb::{ReadableTable, StorageError};
use serde_json::value::RawValue;

use super::leaf::{HEADER_LEN, LEAF_HASH_LEN, SALT_LEN, leaf_data_of_redacted, leaf_hash};
use super::merkle::hash_leaf;
use super::record::Record;
use crate::domain::{Defence, Digest};
use crate::store::table::Bytes;

/// A stored record with its leaf hash.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Its sequence number, from 1.
    pub sequence: u64,
    /// Its leaf in the Merkle tree.
    pub leaf_hash: Digest,
    /// Its content, or the rest of a redacted one.
    pub content: Content,
}

/// The content of a record, or the rest of a redacted one.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// The whole record.
    Whole {
        /// The record.
        record: Box<Record>,
        /// The salt of its hash.
        salt: [u8; SALT_LEN],
        /// Its payload: canonical JSON, byte for byte as it was hashed.
        payload: Vec<u8>,
    },
    /// The payload was removed.
    Redacted {
        /// The hash of salt and payload. The leaf hash is computed from it.
        leaf_data: Digest,
    },
}

impl StoredRecord {
    pub(crate) fn decode(sequence: u64, value: &[u8]) -> Result<Self, String> {
        let leaf_hash = value.first_chunk::<LEAF_HASH_LEN>().map(|leaf| Digest(*leaf));
        let leaf_hash = leaf_hash.ok_or("a record is too short")?;
        if let Some(leaf_data) = leaf_data_of_redacted(value) {
            if hash_leaf(&leaf_data.0) != leaf_hash && Defence::RedactedLeaf.on() {
                return Err(format!("record {sequence} is redacted, and does not match its leaf hash"));
            }
            return Ok(Self { sequence, leaf_hash, content: Content::Redacted { leaf_data } });
        }
        let record = Box::new(parse_record(sequence, value)?);
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&value[LEAF_HASH_LEN..HEADER_LEN]);
        let content = Content::Whole { record, salt, payload: value[HEADER_LEN..].to_vec() };
        Ok(Self { sequence, leaf_hash, content })
    }

    /// The record; `None` if its payload was removed.
    pub fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Whole { record, .. } => Some(record),
            Content::Redacted { .. } => None,
        }
    }

    /// Whether the content matches the leaf hash.
    pub fn is_intact(&self) -> bool {
        match &self.content {
            Content::Whole { salt, payload, .. } => leaf_hash(salt, payload) == self.leaf_hash,
            Content::Redacted { leaf_data } => hash_leaf(&leaf_data.0) == self.leaf_hash,
        }
    }
}

/// Decodes a value of the `records` table and checks it against its leaf hash.
pub(crate) fn parse_record(sequence: u64, value: &[u8]) -> Result<Record, String> {
    read(sequence, checked(sequence, value)?)
}

/// The leaf hash of a stored record, or of what is left of a redacted one. Checks that the value matches it.
pub(crate) fn checked_leaf(sequence: u64, value: &[u8]) -> Result<Digest, String> {
    let leaf = value.first_chunk::<LEAF_HASH_LEN>().map(|leaf| Digest(*leaf)).ok_or("a record is too short")?;
    match leaf_data_of_redacted(value) {
        Some(data) if hash_leaf(&data.0) != leaf => Err(format!("record {sequence} does not match its leaf hash")),
        Some(_) => Ok(leaf),
        None => checked(sequence, value).map(|_| leaf),
    }
}

/// The payload of a record that matches its leaf hash.
fn checked(sequence: u64, value: &[u8]) -> Result<&[u8], String> {
    let (leaf, rest) = value.split_first_chunk::<LEAF_HASH_LEN>().ok_or("a record is too short")?;
    let (salt, payload) = rest.split_first_chunk::<SALT_LEN>().ok_or("a record is too short")?;
    if leaf_hash(salt, payload).0 != *leaf {
        return Err(format!("record {sequence} does not match its leaf hash"));
    }
    Ok(payload)
}

/// The same of a decision, without what its proposer sent: parameters and metadata can take many times their bytes.
pub(crate) fn parse_head(sequence: u64, value: &[u8]) -> Result<Record, String> {
    let payload = checked(sequence, value)?;
    if payload.len() <= SMALL {
        return read(sequence, payload);
    }
    let head = head(payload).map_err(|error| format!("record {sequence}: {error}"))?;
    read(sequence, &head)
}

/// A record that is not larger is read whole.
const SMALL: usize = 4 << 10;

/// The payload with nothing in the fields that a proposer fills.
fn head(payload: &[u8]) -> Result<Vec<u8>, serde_json::Error> {
    let (nothing, none): (&RawValue, &RawValue) = (serde_json::from_str("{}")?, serde_json::from_str("[]")?);
    let mut record: BTreeMap<&str, &RawValue> = serde_json::from_slice(payload)?;
    let mut action: BTreeMap<&str, &RawValue> =
        record.get("action").map_or(Ok(BTreeMap::new()), |action| serde_json::from_str(action.get()))?;
    action.entry("params").and_modify(|value| *value = nothing);
    for name in ["metadata", "masked_digests"] {
        record.entry(name).and_modify(|value| *value = nothing);
    }
    record.entry("marks").and_modify(|value| *value = none);
    let action = serde_json::value::to_raw_value(&action)?;
    record.entry("action").and_modify(|value| *value = &action);
    serde_json::to_vec(&record)
}

fn read(sequence: u64, payload: &[u8]) -> Result<Record, String> {
    let record: Record = serde_json::from_slice(payload).map_err(|error| format!("record {sequence}: {error}"))?;
    if record.sequence != sequence {
        return Err(format!("record {sequence} has the sequence number {}", record.sequence));
    }
    Ok(record)
}

/// The error for a record that must have a payload and has none.
pub(crate) fn gone(sequence: u64) -> StorageError {
    StorageError::Corrupted(format!("record {sequence} is redacted, and its row does not say so"))
}

/// The last key of a table without gaps. Checks that it equals the number of entries. A damaged page can make a table
/// look shorter than it is, and a write after a wrong end would replace another entry.
pub(crate) fn last_of(table: &impl ReadableTable<u64, Bytes>, what: &str) -> Result<u64, StorageError> {
    let last = table.last()?.map_or(0, |(key, _)| key.value());
    let len = table.len()?;
    if last == len {
        return Ok(last);
    }
    Err(StorageError::Corrupted(format!("there are {len} {what}, and the last one has the number {last}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_record_in_which_a_bit_has_changed_is_an_error() {
        let leaf_data = Digest::of(b"salt and payload");
        let value = [hash_leaf(&leaf_data.0).0, leaf_data.0].concat();
        assert!(StoredRecord::decode(7, &value).unwrap().is_intact());
        for bit in 0..256 {
            let mut damaged = value.clone();
            let at = damaged.len() - 32 + bit / 8;
            damaged[at] ^= 1 << (bit % 8);
            assert!(StoredRecord::decode(7, &damaged).is_err(), "bit {bit}");
        }
    }
}
