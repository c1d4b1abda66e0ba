//! Aegis: `sudo` for AI agents, as a sidecar.
#![forbid(unsafe_code)]

pub mod approvals;
pub mod audit;
pub mod domain;
pub mod proto;
