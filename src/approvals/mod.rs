//! The pending queue: which questions wait for a reviewer right now, who watches them, who waits for them.
//!
//! The store is the truth about approvals; this is its reflection in memory, changed only *after* the transaction that
//! changed the store is durable, by the writer that made it so, in the same order. It knows no policy and decides nothing.

mod queue;
mod slots;

pub use queue::{Change, Ended, Lagged, Pending, Queue, Watcher};
pub use slots::{QueueFull, Slot, SlotLimits};
