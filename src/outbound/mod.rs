//! Outgoing connections of the daemon: it fetches small documents, sends checkpoints to witnesses, and gives actions to
//! an executor.

pub(crate) mod executor;
pub(crate) mod fetch;
mod resolve;
pub(crate) mod witnesses;

pub(crate) use witnesses::{WitnessError, WitnessSource};
