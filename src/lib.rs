//! Aegis: `sudo` for AI agents, as a sidecar.
#![forbid(unsafe_code)]

pub mod audit;
pub mod cli;
pub mod domain;
pub mod policy;
pub mod proto;
