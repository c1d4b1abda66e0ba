//! The life of the daemon: what an operator configures, the data directory, the listeners, what runs in the background,
//! and what probes are told.

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
