//! The tables of the file, their keys, and tables that are opened when they are first touched.
//!
//! The layout is drawn in the [module documentation](super).

use redb::{Key, StorageError, Table, TableDefinition, Value, WriteTransaction};

use super::error::storage;
use super::facts::Short;

/// The format that this program writes.
pub(super) const FORMAT: u32 = 1;
/// How many rows make a segment: what shares one span of time, and one bitmap for each value.
pub(super) const SEGMENT_LEN: usize = 256;
pub(super) const SEGMENT_ROWS: u64 = SEGMENT_LEN as u64;

pub(super) type Bytes = &'static [u8];

pub(super) const META: TableDefinition<'static, &'static str, Bytes> = TableDefinition::new("meta");
pub(super) const RECORDS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("records");
pub(super) const ROWS: TableDefinition<'static, u64, Bytes> = TableDefinition::new("rows");
pub(super) const DECISIONS: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("decisions");
pub(super) const APPROVALS: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("approvals");
pub(super) const PENDING: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("pending");
pub(super) const IDEMPOTENCY: TableDefinition<'static, &'static [u8; 16], u64> = TableDefinition::new("idempotency");
pub(super) const CONFIRMATIONS: TableDefinition<'static, &'static [u8; 32], u64> =
    TableDefinition::new("confirmations");
pub(super) const POLICIES: TableDefinition<'static, &'static [u8; 32], Bytes> = TableDefinition::new("policies");
pub(super) const TOKENS: TableDefinition<'static, &'static [u8; 16], Bytes> = TableDefinition::new("tokens");
pub(super) const INDEX: TableDefinition<'static, &'static IndexKey, &'static Bitmap> = TableDefinition::new("index");
pub(super) const TREE: TableDefinition<'static, &'static TreeKey, &'static [u8; 32]> = TableDefinition::new("tree");
pub(super) const SEGMENTS: TableDefinition<'static, u64, (i64, i64)> = TableDefinition::new("segments");
pub(super) const COUNTS: TableDefinition<'static, Bytes, u64> = TableDefinition::new("counts");

/// Keys of the `meta` table.
pub(super) mod meta {
    pub(in crate::audit) const FORMAT: &str = "format";
    pub(in crate::audit) const STORE_ID: &str = "store_id";
    pub(in crate::audit) const CREATED: &str = "created";
    pub(in crate::audit) const INDEXED: &str = "indexed";
    pub(in crate::audit) const FORGOTTEN: &str = "forgotten";
    pub(in crate::audit) const RECOVERIES: &str = "recoveries";
    pub(in crate::audit) const LOG: &str = "log";
    pub(in crate::audit) const RETIRED: &str = "retired";
}

/// What an index entry is about. The number is the first byte of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Kind {
    Session = 1,
    ActionType = 2,
    Actor = 3,
    Risk = 4,
    Status = 5,
    Rule = 6,
}

/// The key of an index entry: `kind ‖ value ‖ segment`.
pub(super) type IndexKey = [u8; 17];
/// The value of an index entry: which rows of the segment have the value. Row `n` of the segment, counted from 0, is bit
/// `n % 8` (the lowest first) of byte `n / 8`.
pub(super) type Bitmap = [u8; SEGMENT_LEN / 8];

/// The key of a hash of the tree: `level ‖ index`.
pub(super) type TreeKey = [u8; 9];

/// The key of an index entry.
pub(super) fn index_key(kind: Kind, value: Short, segment: u64) -> IndexKey {
    let mut key = [0; 17];
    key[0] = kind as u8;
    key[1..9].copy_from_slice(&value);
    key[9..].copy_from_slice(&segment.to_be_bytes());
    key
}

/// The segment that an index entry is about.
pub(super) fn segment_of_key(key: &IndexKey) -> u64 {
    let mut segment = [0; 8];
    segment.copy_from_slice(&key[9..]);
    u64::from_be_bytes(segment)
}

/// The segment that a row belongs to.
pub(super) const fn segment_of(row: u64) -> u64 {
    row.saturating_sub(1) / SEGMENT_ROWS
}

/// The first row of a segment.
pub(super) const fn first_row(segment: u64) -> u64 {
    segment * SEGMENT_ROWS + 1
}

/// The byte and the bit of a row in its segment's bitmap.
pub(super) const fn bit_of(row: u64) -> (usize, u8) {
    let place = row.saturating_sub(1) % SEGMENT_ROWS;
    ((place / 8) as usize, 1 << (place % 8))
}

/// A number as the `meta` table keeps it.
pub(super) fn meta_u64(value: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(value.try_into().ok()?))
}

/// A table of a write transaction that is opened when it is first touched: a batch pays for the tables it uses.
pub(super) struct Lazy<'t, K: Key + 'static, V: Value + 'static> {
    transaction: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: Key + 'static, V: Value + 'static> Lazy<'t, K, V> {
    pub(super) fn new(transaction: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { transaction, definition, table: None }
    }

    pub(super) fn get(&mut self) -> Result<&mut Table<'t, K, V>, StorageError> {
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
pub(super) struct Tables<'t> {
    pub(super) meta: Lazy<'t, &'static str, Bytes>,
    pub(super) records: Lazy<'t, u64, Bytes>,
    pub(super) rows: Lazy<'t, u64, Bytes>,
    pub(super) decisions: Lazy<'t, &'static [u8; 16], u64>,
    pub(super) approvals: Lazy<'t, &'static [u8; 16], u64>,
    pub(super) pending: Lazy<'t, &'static [u8; 16], u64>,
    pub(super) idempotency: Lazy<'t, &'static [u8; 16], u64>,
    pub(super) confirmations: Lazy<'t, &'static [u8; 32], u64>,
    pub(super) policies: Lazy<'t, &'static [u8; 32], Bytes>,
    pub(super) tokens: Lazy<'t, &'static [u8; 16], Bytes>,
    pub(super) index: Lazy<'t, &'static IndexKey, &'static Bitmap>,
    pub(super) segments: Lazy<'t, u64, (i64, i64)>,
    pub(super) counts: Lazy<'t, Bytes, u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn new(transaction: &'t WriteTransaction) -> Self {
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
    pub(super) fn create_all(&mut self) -> Result<(), StorageError> {
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
