//! The end of the log, which the writer keeps in memory.

use redb::{ReadTransaction, StorageError};

use super::stored::last_of;
use super::tables::{RECORDS, TREE};
use super::tiles::hashed;
use crate::store::error::storage;

/// The end of the log.
#[derive(Debug, PartialEq)]
pub(crate) struct LogEnd {
    /// The sequence number of the last record; 0 if the log is empty.
    pub(crate) last_sequence: u64,
    /// How many records the stored Merkle tree covers.
    pub(crate) hashed: u64,
}

impl LogEnd {
    /// Loads it from the file.
    pub(crate) fn load(read: &ReadTransaction) -> Result<Self, StorageError> {
        let tree = TREE.open_if_there(read).map_err(storage)?;
        Ok(Self {
            last_sequence: last_of(&RECORDS.open(read).map_err(storage)?, "records")?,
            // A store from before the tree existed: the tree is derived from now on.
            hashed: tree.as_ref().map_or(Ok(0), hashed)?,
        })
    }
}
