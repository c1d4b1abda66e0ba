//! What leaves the daemon: small documents that it fetches, and checkpoints that it hands to witnesses.

pub mod fetch;
pub(crate) mod witnesses;

pub use witnesses::{WitnessError, WitnessSource};
