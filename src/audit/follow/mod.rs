//! Reading and following the log: first the existing records, then new ones as they come.
//!
//! [`History`] reads existing records in either order. A [`Follower`] reads from any position on and waits for new
//! records. It reads in batches, one snapshot for each, and keeps only its position. So it has no buffer that can
//! overflow, and a slow reader delays nobody.
//!
//! A position is a sequence number. A client gets it as a [`StreamCursor`]. A position that must survive a restart is a
//! [cursor](cursors), which is stored by name in the table `cursors`. Retention waits for the slowest cursor, up to a
//! bound that the floor above sets.

mod batch;
pub(crate) mod cursors;
mod follower;
mod history;
mod stream_cursor;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Followed, StatusTime, View};
pub use follower::{Follower, Until};
pub use history::{History, Selection};
pub use stream_cursor::{CursorError, LogMark, StreamCursor};
