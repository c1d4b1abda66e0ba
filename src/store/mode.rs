//! Whether the writer has a database to write to, and what it tells the rest of the process.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::error::StoreError;
use super::health::StoreHealth;
use crate::domain::Timestamp;

/// The first pause before a failed store is opened again, and the least time between two attempts.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// What the writer tells the rest of the process.
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
        /// Since when a relaxed store has answered for what is not durable yet.
        unsynced: Option<Instant>,
    },
    /// There is one, to read: there is no space to write.
    Full(Fault),
    /// There is none.
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

/// What keeps the writer from writing.
pub(super) struct Fault {
    pub(super) why: StoreError,
    pub(super) since: Timestamp,
    pub(super) last_try: Instant,
    pub(super) pause: Duration,
    /// Whether the record says already that the disk is full.
    pub(super) told: bool,
}

impl Fault {
    pub(super) fn is_for_lack_of_space(&self) -> bool {
        matches!(self.why, StoreError::Unavailable { disk_full: true, .. })
    }
}
