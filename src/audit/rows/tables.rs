//! The table of rows, and the tables that point to rows.
//!
//! Jobs write the first tables with the row. The others are derived from rows later: see [`index`](super::index).

use super::keys::{Bitmap, IndexKey};
use crate::store::table::{Bytes, TableDef};

/// The rows, by number.
pub(crate) const ROWS: TableDef<u64, Bytes> = TableDef::source("rows");
/// The rows that asked reviewers, by approval.
pub(crate) const APPROVALS: TableDef<&[u8; 16], u64> = TableDef::source("approvals");
/// Those whose approval is open.
pub(crate) const PENDING: TableDef<&[u8; 16], u64> = TableDef::source("pending");
/// The rows that asked for confirmation, by the hash of the token.
pub(crate) const CONFIRMATIONS: TableDef<&[u8; 32], u64> = TableDef::source("confirmations");

/// The name of the derivation that writes the tables below.
pub(crate) const INDEX_DERIVATION: &str = "index";
/// The rows, by decision.
pub(crate) const DECISIONS: TableDef<&[u8; 16], u64> = TableDef::derived("decisions", &["rows"], INDEX_DERIVATION);
/// The rows of a day, by idempotency key.
pub(crate) const IDEMPOTENCY: TableDef<&[u8; 16], u64> = TableDef::derived("idempotency", &["rows"], INDEX_DERIVATION);
/// Which rows have a value.
pub(crate) const INDEX: TableDef<&IndexKey, &Bitmap> = TableDef::derived("index", &["rows"], INDEX_DERIVATION);
/// The span of time of each segment.
pub(crate) const SEGMENTS: TableDef<u64, (i64, i64)> = TableDef::derived("segments", &["rows"], INDEX_DERIVATION);
/// The counters.
pub(crate) const COUNTS: TableDef<Bytes, u64> = TableDef::derived("counts", &["rows", "records"], INDEX_DERIVATION);

/// The key of `meta` for the last row that the derived tables cover.
pub(crate) const INDEXED: &str = "indexed";
/// The key of `meta` for the last row whose idempotency key was considered for forgetting.
pub(crate) const FORGOTTEN: &str = "forgotten";
