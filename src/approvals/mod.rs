//! Questions that wait for a reviewer: the states of one ([`Pending::next`]), and all open ones ([`Queue`]).
//!
//! The store is the source of truth about approvals. The queue is a copy in memory. The writer updates it only *after*
//! a transaction is durable, in the order of the transactions. Nothing here knows a policy.

mod life;
mod pending;
mod presence;
mod proposer;
mod queue;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use life::{Act, Moment, PolicyNow, Refusal, ended_by_restore};
pub(crate) use pending::{Asked, Pending, Unmasked, UnmaskedCell, heap_bytes};
pub(crate) use proposer::{is_own, quota_key};
pub(crate) use queue::{Ended, Lagged, Queue, QueueEvent, QueueFull};
