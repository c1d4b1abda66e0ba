//! The daemon as a process: configuration, data directory, listeners, background tasks, health and metrics.

pub(crate) mod background;
pub(crate) mod build_info;
mod config;
pub(crate) mod data_dir;
mod descriptors;
mod error;
pub(crate) mod health;
mod listeners;
mod probes;
mod run;
mod space;
pub(crate) mod telemetry;
mod throttle;

pub(crate) use config::{AdminListener, Anonymous, Config, Limits, Losses};
pub(crate) use listeners::Listening;
pub(crate) use run::run;
