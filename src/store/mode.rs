//! The state of the writer: whether it has a database to write to, and what it reports to the rest of the process.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::health::StoreHealth;
use crate::domain::Timestamp;

/// The first pause before the writer reopens a failed store, and the least time between two attempts.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What the writer reports to the rest of the process.
#[derive(Clone, Debug)]
pub(super) struct Announcements {
    pub(super) committed: watch::Sender<u64>,
    pub(super) durable: watch::Sender<u64>,
    pub(super) health: watch::Sender<StoreHealth>,
    pub(super) recoveries: watch::Sender<u64>,
}

/// Whether there is a database to write to.
pub(super) enum Mode {
    Running {
        /// When a relaxed store first acknowledged a write that is not durable yet.
        unsynced: Option<Instant>,
    },
    /// The database is open for reading only: the disk is full.
    Full(Fault),
    /// No database is open.
    Failing(Fault),
}

impl Mode {
    pub(super) fn health(&self) -> StoreHealth {
        match self {
            Self::Running { .. } => StoreHealth::Ok,
            Self::Full(fault) | Self::Failing(fault) => StoreHealth::Failing { why: fault.why.to_string().into() },
        }
    }
}

/// The fault that stops the writer from writing.
pub(super) struct Fault {
    pub(super) why: StoreError,
    pub(super) since: Timestamp,
    pub(super) last_try: Instant,
    pub(super) pause: Duration,
    /// Whether the record already says that the disk is full.
    pub(super) told: bool,
}

impl Fault {
    pub(super) fn is_for_lack_of_space(&self) -> bool {
        matches!(self.why, StoreError::Unavailable { disk_full: true, .. })
    }
}
