//! A record as it stands in the file: its leaf hash, and its payload or what is left of that.

use redb::{ReadableTable, StorageError};

use super::leaf::{HEADER_LEN, LEAF_HASH_LEN, SALT_LEN, leaf_data_of_redacted, leaf_hash};
use super::merkle::hash_leaf;
use super::record::Record;
use crate::domain::Digest;
use crate::store::table::Bytes;

/// A record with what proves it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredRecord {
    /// Its place in the log, from 1.
    pub sequence: u64,
    /// Its leaf in the Merkle tree.
    pub leaf_hash: Digest,
    /// What it says, or what is left of that.
    pub content: Content,
}

/// What a record says, or what is left of that.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// All of it.
    Whole {
        /// The record.
        record: Box<Record>,
        /// What its payload was hashed with.
        salt: [u8; SALT_LEN],
        /// Its canonical JSON, byte for byte as it was hashed.
        payload: Vec<u8>,
    },
    /// It was taken away.
    Redacted {
        /// What payload and salt were hashed to: what the leaf hash is made from.
        leaf_data: Digest,
    },
}

impl StoredRecord {
    pub(crate) fn decode(sequence: u64, value: &[u8]) -> Result<Self, String> {
        let leaf_hash = value.first_chunk::<LEAF_HASH_LEN>().map(|leaf| Digest(*leaf));
        let leaf_hash = leaf_hash.ok_or("a record is too short")?;
        if let Some(leaf_data) = leaf_data_of_redacted(value) {
            return Ok(Self { sequence, leaf_hash, content: Content::Redacted { leaf_data } });
        }
        let record = Box::new(parse_record(sequence, value)?);
        let mut salt = [0; SALT_LEN];
        salt.copy_from_slice(&value[LEAF_HASH_LEN..HEADER_LEN]);
        let content = Content::Whole { record, salt, payload: value[HEADER_LEN..].to_vec() };
        Ok(Self { sequence, leaf_hash, content })
    }

    /// What it says, unless that was taken away.
    pub fn record(&self) -> Option<&Record> {
        match &self.content {
            Content::Whole { record, .. } => Some(record),
            Content::Redacted { .. } => None,
        }
    }

    /// Whether the leaf hash is that of the content.
    pub fn is_intact(&self) -> bool {
        match &self.content {
            Content::Whole { salt, payload, .. } => leaf_hash(salt, payload) == self.leaf_hash,
            Content::Redacted { leaf_data } => hash_leaf(&leaf_data.0) == self.leaf_hash,
        }
    }
}

/// The record in the value of the `records` table, which must be what was written there.
pub(crate) fn parse_record(sequence: u64, value: &[u8]) -> Result<Record, String> {
    let (leaf, rest) = value.split_first_chunk::<LEAF_HASH_LEN>().ok_or("a record is too short")?;
    let (salt, payload) = rest.split_first_chunk::<SALT_LEN>().ok_or("a record is too short")?;
    if leaf_hash(salt, payload).0 != *leaf {
        return Err(format!("record {sequence} is not what its leaf hash is the hash of"));
    }
    let record: Record = serde_json::from_slice(payload).map_err(|error| format!("record {sequence}: {error}"))?;
    if record.sequence != sequence {
        return Err(format!("record {sequence} says that it is record {}", record.sequence));
    }
    Ok(record)
}

/// The error for a record whose payload is gone where one is needed.
pub(crate) fn gone(sequence: u64) -> StorageError {
    StorageError::Corrupted(format!("record {sequence} is redacted, and its row does not say so"))
}

/// The last key of a table that has no gaps. It must be how many entries the table has: a page that was emptied can
/// make a table look shorter than it is, and what is written after a wrong end would stand where something else stood.
pub(crate) fn last_of(table: &impl ReadableTable<u64, Bytes>, what: &str) -> Result<u64, StorageError> {
    let last = table.last()?.map_or(0, |(key, _)| key.value());
    let len = table.len()?;
    if last == len {
        return Ok(last);
    }
    Err(StorageError::Corrupted(format!("there are {len} {what} and the last one is {last}")))
}
