//! Following the record: what is there already, then what comes, from a place of one's own and at one's own pace.
//!
//! A follower has no buffer that could overrun. It reads the log in batches, one snapshot for each, and remembers how
//! far it has come. Whoever is slow reads later, and holds up nobody. [`History`] reads what is recorded already, in
//! either order; a [`Follower`] goes on from any place in the log, for as long as it is asked.
//!
//! Inside the process a place is a number. What must survive a restart is a [cursor](cursors): its name and its place
//! stand in the table `cursors`. Retention waits for the slowest of them, up to a bound that the floor above sets.

mod batch;
pub(crate) mod cursors;
mod follower;
mod history;
#[cfg(test)]
mod tests;

pub use batch::{Batch, Followed, StatusTime, View};
pub use follower::{Follower, Until};
pub use history::{History, Selection};
