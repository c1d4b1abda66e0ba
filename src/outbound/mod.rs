//! Outgoing connections of the daemon: it fetches small documents and sends checkpoints to witnesses.

pub mod fetch;
pub(crate) mod witnesses;

pub use witnesses::{WitnessError, WitnessSource};
