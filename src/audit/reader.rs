//! Reading a snapshot: rows, records, policies, and what is open.
//!
//! A reader sees the store as it was when it was taken, whatever is written meanwhile. Hold it for one answer, not for
//! long: as long as it lives, no page that it could look at is used again.

use redb::{Key, ReadOnlyTable, ReadTransaction, TableDefinition, Value};

use super::error::{StoreError, damaged, guarded};
use super::tables::{META, meta};

/// A snapshot of the store.
#[derive(Debug)]
pub struct Reader {
    read: ReadTransaction,
}

impl Reader {
    pub(crate) fn new(read: ReadTransaction) -> Self {
        Self { read }
    }

    pub(crate) fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, StoreError> {
        Ok(self.read.open_table(definition)?)
    }

    pub(crate) fn open_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, redb::TableError> {
        self.read.open_table(definition)
    }

    /// The random name that the store got when it was created.
    pub fn store_id(&self) -> Result<[u8; 16], StoreError> {
        guarded(|| {
            let meta_table = self.table(META)?;
            let id = meta_table.get(meta::STORE_ID)?.and_then(|value| value.value().try_into().ok());
            id.ok_or_else(|| damaged("the store has no name"))
        })
    }
}
