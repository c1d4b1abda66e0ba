//! Outgoing connections of the daemon: it fetches small documents and sends checkpoints to witnesses.

pub(crate) mod fetch;
pub(crate) mod witnesses;

pub(crate) use witnesses::{WitnessError, WitnessSource};
