//! The tables of the file, their keys, and tables that are opened when they are first touched.
//!
//! The layout is drawn in the [module documentation](super).

use redb::{Key, StorageError, Table, TableDefinition, Value, WriteTransaction};

use super::error::storage;
use crate::audit::log::tiles::TreeKey;
use crate::audit::rows::keys::{Bitmap, IndexKey};

/// The format that this program writes.
pub(crate) const FORMAT: u32 = 1;
pub(crate) type Bytes = &'static [u8];

pub(crate) const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
pub(crate) const RECORDS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("records");
pub(crate) const ROWS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("rows");
pub(crate) const DECISIONS: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("decisions");
pub(crate) const APPROVALS: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("approvals");
pub(crate) const PENDING: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("pending");
pub(crate) const IDEMPOTENCY: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("idempotency");
pub(crate) const CONFIRMATIONS: TableDefinition<'static, &'static [u8; 32], u64> =
    TableDefinition::new("confirmations");
pub(crate) const POLICIES: TableDefinition<'static, &'static [u8; 32], Bytes> = TableDefinition::new("policies");
pub(crate) const TOKENS: TableDefinition<'static, &'static [u8; 16], Bytes> = TableDefinition::new("tokens");
pub(crate) const INDEX: TableDefinition<'static, &'static IndexKey, &'static Bitmap> = TableDefinition::new("index");
pub(crate) const TREE: TableDefinition<'static, &'static TreeKey, &'static [u8; 32]> = TableDefinition::new("tree");
pub(crate) const SEGMENTS: TableDefinition<'static, u64, (i64, i64)> = TableDefinition::new("segments");
pub(crate) const COUNTS: TableDefinition<'static, Bytes, u64> = TableDefinition::new("counts");

/// Keys of the `meta` table.
pub(crate) mod meta {
    pub(crate) const FORMAT: &str = "format";
    pub(crate) const STORE_ID: &str = "store_id";
    pub(crate) const CREATED: &str = "created";
    pub(crate) const INDEXED: &str = "indexed";
    pub(crate) const FORGOTTEN: &str = "forgotten";
    pub(crate) const RECOVERIES: &str = "recoveries";
    pub(crate) const LOG: &str = "log";
    pub(crate) const RETIRED: &str = "retired";
}

/// A number as the `meta` table keeps it.
pub(crate) fn meta_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// A table of a write transaction that is opened when it is first touched: a batch pays for the tables it uses.
pub(crate) struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    pub(crate) fn new(transaction: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { transaction, definition, table: None }
    }

    pub(crate) fn get(&mut self) -> Result<&mut Table<'t, K, V>, StorageError> {
        match &mut self.table {
            Some(table) => Ok(table),
            slot => {
                let table = self.transaction.open_table(self.definition).map_err(storage)?;
                Ok(slot.insert(table))
            }
        }
    }
}

/// Every table of a write transaction.
pub(crate) struct Tables<'t> {
    pub(crate) meta: Lazy<'t, &'static str, Bytes>,
    pub(crate) records: Lazy<'t, u64, Bytes>,
    pub(crate) rows: Lazy<'t, u64, Bytes>,
    pub(crate) decisions: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) approvals: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) pending: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) idempotency: Lazy<'t, &'static [u8; 16], u64>,
    pub(crate) confirmations: Lazy<'t, &'static [u8; 32], u64>,
    pub(crate) policies: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(crate) tokens: Lazy<'t, &'static [u8; 16], Bytes>,
    pub(crate) index: Lazy<'t, &'static IndexKey, &'static Bitmap>,
    pub(crate) segments: Lazy<'t, u64, (i64, i64)>,
    pub(crate) counts: Lazy<'t, Bytes, u64>,
}

impl<'t> Tables<'t> {
    pub(crate) fn new(transaction: &'t WriteTransaction) -> Self {
        Self {
            meta: Lazy::new(transaction, META),
            records: Lazy::new(transaction, RECORDS),
            rows: Lazy::new(transaction, ROWS),
            decisions: Lazy::new(transaction, DECISIONS),
            approvals: Lazy::new(transaction, APPROVALS),
            pending: Lazy::new(transaction, PENDING),
            idempotency: Lazy::new(transaction, IDEMPOTENCY),
            confirmations: Lazy::new(transaction, CONFIRMATIONS),
            policies: Lazy::new(transaction, POLICIES),
            tokens: Lazy::new(transaction, TOKENS),
            index: Lazy::new(transaction, INDEX),
            segments: Lazy::new(transaction, SEGMENTS),
            counts: Lazy::new(transaction, COUNTS),
        }
    }

    /// Touches every table, so that each exists.
    pub(crate) fn create_all(&mut self) -> Result<(), StorageError> {
        self.meta.get()?;
        self.records.get()?;
        self.rows.get()?;
        self.decisions.get()?;
        self.approvals.get()?;
        self.pending.get()?;
        self.idempotency.get()?;
        self.confirmations.get()?;
        self.policies.get()?;
        self.tokens.get()?;
        self.index.get()?;
        self.segments.get()?;
        self.counts.get()?;
        Ok(())
    }
}
