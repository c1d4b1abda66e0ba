//! The daemon as a process: configuration, data directory, listeners, background tasks, health and metrics.

pub(crate) mod background;
mod config;
pub mod data_dir;
mod descriptors;
mod error;
pub(crate) mod health;
mod listeners;
mod probes;
mod run;
pub mod telemetry;

pub use config::{AdminListener, Anonymous, Config, DEFAULT_ADMIN, Limits};
pub use error::ServeError;
pub use listeners::Listening;
pub use run::run;
