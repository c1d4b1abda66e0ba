//! Rows: one for each decision, with its approval and its result. Rows are indexed and counted.

mod bitmaps;
pub(crate) mod counts;
pub(crate) mod draft;
pub(crate) mod facts;
pub(crate) mod filter;
pub(crate) mod find;
pub(crate) mod idempotency;
pub(crate) mod index;
pub(crate) mod keys;
pub(crate) mod names;
pub(crate) mod query;
mod read;
pub(crate) mod row;
mod scrub;
pub(crate) mod spend;
pub(crate) mod stats;
pub(crate) mod tables;
pub(crate) mod tail;
#[cfg(test)]
mod tests;
mod write;

pub use draft::{Draft, Inserted, Opening};
pub use filter::{RowFilter, TextFilter};
pub use find::MOST_FOUND;
pub use idempotency::IDEMPOTENCY_WINDOW;
pub(crate) use idempotency::is_over;
pub use query::{Order, Page, Query};
pub use row::{ApprovalState, AuditRow, ConfirmationClosed, ConfirmationState, RowState, Vote};
pub use spend::{Failures, Spend, SpentKey};
pub use stats::Stats;
