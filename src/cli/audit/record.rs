//! A raw record of the log as tables, JSON and CSV write it.

use serde_json::Value;

use crate::cli::object::Object;
use crate::cli::table::{Cell, Column};
use crate::proto::v1::AuditRecord;

/// The columns of the table.
pub(super) const COLUMNS: [Column; 4] =
    [Column::right("Sequence", 8), Column::left("Time", 27), Column::left("Kind", 20), Column::left("Leaf", 16)];

/// The record as a line of the table.
pub(super) fn cells(record: &AuditRecord) -> Vec<Cell> {
    let payload: Value = serde_json::from_str(&record.payload).unwrap_or_default();
    let text = |name: &str| match payload[name].as_str() {
        Some(text) => text.to_owned(),
        None if record.payload.is_empty() => crate::audit::REDACTED.to_owned(),
        None => String::new(),
    };
    let leaf: String = hex::encode(&record.leaf_hash).chars().take(16).collect();
    vec![Cell::new(record.sequence.to_string()), Cell::new(text("time")), Cell::new(text("kind")), Cell::new(leaf)]
}

/// The record, whole. The payload stays text: its bytes are what is hashed, and parsing would not keep them.
pub(super) fn object(record: &AuditRecord) -> Object {
    Object::default()
        .with("sequence", record.sequence)
        .with("payload", record.payload.as_str())
        .with("salt", hex::encode(&record.salt))
        .with("leaf_hash", hex::encode(&record.leaf_hash))
        .with("redacted", record.payload.is_empty())
}
