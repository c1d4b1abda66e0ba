//! Aegis: `sudo` for AI agents, as a sidecar.
#![forbid(unsafe_code)]

pub mod domain;
pub mod policy;
