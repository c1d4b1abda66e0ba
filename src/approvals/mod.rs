//! The questions that wait for a reviewer: what may happen to one ([`Pending::next`]), and which are open now
//! ([`Queue`]).
//!
//! The store is the truth about approvals. The queue is its copy in memory, changed only *after* the transaction that
//! changed the store is durable, by the writer that made it so, in the same order. Nothing here knows a policy.

mod life;
mod pending;
mod proposer;
mod queue;
#[cfg(test)]
pub(crate) mod testing;

pub use life::{Act, Moment, PolicyNow, Refusal, Vote};
pub use pending::{Asked, Pending, Unmasked, UnmaskedCell, heap_bytes};
pub use proposer::{Proposer, is_own, quota_key};
pub use queue::{Ended, Lagged, Queue, QueueEvent, QueueFull, Watcher};
