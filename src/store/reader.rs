//! [`Reader`]: a snapshot of the store.
//!
//! A reader sees the store as it was when the snapshot was taken. Keep it only for one answer: while it lives, the file
//! cannot reuse the pages that it refers to. The floor above adds methods that read its tables.

use redb::{Key, ReadOnlyTable, ReadTransaction, Value};

use super::error::{StoreError, guarded};
use super::meta;
use super::table::TableDef;

/// A snapshot of the store.
#[derive(Debug)]
pub struct Reader {
    pub(super) read: ReadTransaction,
}

impl Reader {
    pub(super) fn new(read: ReadTransaction) -> Self {
        Self { read }
    }

    pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDef<K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        Ok(table.open(&self.read)?)
    }

    /// A table; `None` if nothing was ever written to it.
    pub(crate) fn table_if_there<K: Key + 'static, V: Value + 'static>(
        &self,
        table: TableDef<K, V>,
    ) -> Result<Option<ReadOnlyTable<K, V>>, StoreError> {
        Ok(table.open_if_there(&self.read)?)
    }

    /// A number of the table `meta`; 0 if it is missing.
    pub(crate) fn number(&self, key: &str) -> Result<u64, StoreError> {
        Ok(meta::number(&self.read, key)?)
    }

    /// The random name that the store got at its creation.
    pub fn store_id(&self) -> Result<[u8; 16], StoreError> {
        guarded(|| Ok(meta::store_id(&self.read)?))
    }

    /// The snapshot itself, for operations on every table alike.
    #[cfg(test)]
    pub(crate) fn transaction(&self) -> &ReadTransaction {
        &self.read
    }
}
