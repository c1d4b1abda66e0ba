//! The table `meta`: named values about the file itself. The keys here belong to the engine; the floor above has more.

use redb::{ReadTransaction, StorageError};

use super::error::storage;
use super::table::{Bytes, TableDef};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 1;

/// The table.
pub(crate) const META: TableDef<&str, Bytes> = TableDef::source("meta");

/// [`FORMAT`] of the file.
pub(super) const FORMAT_KEY: &str = "format";
/// The random name that the file got when it was created.
pub(super) const STORE_ID: &str = "store_id";
/// When the file was created.
pub(super) const CREATED: &str = "created";
/// How often the store was reopened after a fault.
pub(super) const RECOVERIES: &str = "recoveries";

/// A number, encoded as a value of the table.
pub(crate) fn decode_number(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// Reads a number from a snapshot; 0 if the key is missing.
pub(crate) fn number(read: &ReadTransaction, key: &str) -> Result<u64, StorageError> {
    let table = META.open(read).map_err(storage)?;
    let Some(value) = table.get(key)? else { return Ok(0) };
    decode_number(value.value()).ok_or_else(|| StorageError::Corrupted(format!("`{key}` is no number")))
}
