//! The table `meta`: named values about the file itself. The keys here belong to the engine; the floor above has more.

use redb::{ReadTransaction, StorageError, WriteTransaction};

use super::error::storage;
use super::table::{Bytes, TableDef};

/// The format that this program writes.
pub(super) const FORMAT: u32 = 2;
/// The format of a store that has no journal yet. The first checkpoint makes it [`FORMAT`].
pub(super) const FORMAT_WITHOUT_JOURNAL: u32 = 1;

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

/// The [`Position`].
const JOURNAL: &str = "journal";

/// How far the database has the changes of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The generation of the journal; 0 before the first one.
    pub(super) generation: u64,
    /// The last frame of that generation that the database has.
    pub(super) frame: u64,
    /// Whether the store was closed in good order: then the database has everything.
    pub(super) closed: bool,
}

impl Position {
    /// The position of a snapshot; that before the first generation if there is none.
    pub(super) fn read(read: &ReadTransaction) -> Result<Self, StorageError> {
        let table = META.open(read).map_err(storage)?;
        let Some(value) = table.get(JOURNAL)? else { return Ok(Self::default()) };
        let Some((numbers, [closed])) = value.value().split_first_chunk::<16>() else {
            return Err(StorageError::Corrupted(format!("`{JOURNAL}` is no position")));
        };
        let (generation, frame) = numbers.split_at(8);
        let number = |bytes: &[u8]| decode_number(bytes).unwrap_or(0);
        Ok(Self { generation: number(generation), frame: number(frame), closed: *closed != 0 })
    }

    /// Writes the position, and the format that has one. The table must not be open in the transaction.
    pub(super) fn write(self, transaction: &WriteTransaction) -> Result<(), redb::Error> {
        let mut table = META.open_to_write(transaction)?;
        let mut value = [0; 17];
        value[..8].copy_from_slice(&self.generation.to_be_bytes());
        value[8..16].copy_from_slice(&self.frame.to_be_bytes());
        value[16] = u8::from(self.closed);
        table.insert(JOURNAL, value.as_slice())?;
        if self.frame == 0 {
            table.insert(FORMAT_KEY, u64::from(FORMAT).to_be_bytes().as_slice())?;
        }
        Ok(())
    }
}

/// The random name of the store.
pub(super) fn store_id(read: &ReadTransaction) -> Result<[u8; 16], StorageError> {
    let table = META.open(read).map_err(storage)?;
    let id = table.get(STORE_ID)?.and_then(|value| value.value().try_into().ok());
    id.ok_or_else(|| StorageError::Corrupted("the store has no name".into()))
}

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
