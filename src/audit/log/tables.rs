//! The tables of the log.

use super::tiles::TreeKey;
use crate::store::table::{Bytes, TableDef};

/// The records, by sequence number.
pub(crate) const RECORDS: TableDef<u64, Bytes> = TableDef::source("records");
/// The name of the derivation that writes [`TREE`].
pub(crate) const TREE_DERIVATION: &str = "tree";
/// The hashes of whole tiles.
pub(crate) const TREE: TableDef<&TreeKey, &[u8; 32]> = TableDef::derived("tree", &["records"], TREE_DERIVATION);

/// The key of `meta` for the identity of the log.
pub(crate) const LOG: &str = "log";
/// The key of `meta` for the last record that retention has processed.
pub(crate) const RETIRED: &str = "retired";
/// The key of `meta` for a jump of the wall clock that nobody has confirmed.
pub(crate) const CLOCK_GAP: &str = "clock_gap";
