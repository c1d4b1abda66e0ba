//! The generation of identities that is in force, and word of every change.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::identities::Identities;

/// Whom the daemon knows, now.
#[derive(Default)]
pub struct Known {
    current: ArcSwap<Identities>,
    changes: watch::Sender<()>,
    staleness: watch::Sender<Staleness>,
}

/// How what is in force stands to what it comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staleness {
    /// Whether the files hold something that was refused.
    pub rejected: bool,
    /// How many issuers' keys could not be fetched when that was last tried.
    pub failing: usize,
}

impl Staleness {
    /// Whether what is in force is exactly what its sources hold.
    pub fn is_fresh(self) -> bool {
        self == Self::default()
    }
}

impl Known {
    /// The first generation.
    pub fn new(identities: Identities) -> Self {
        Self { current: ArcSwap::from_pointee(identities), ..Self::default() }
    }

    /// The generation in force.
    pub fn load(&self) -> Guard<Arc<Identities>> {
        self.current.load()
    }

    /// Puts another in force, and wakes what must be held against it.
    pub(super) fn replace(&self, identities: Identities) {
        self.current.store(Arc::new(identities));
        self.changes.send_replace(());
    }

    /// Wakes at every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(super) fn set_staleness(&self, staleness: Staleness) {
        self.staleness.send_if_modified(|current| std::mem::replace(current, staleness) != staleness);
    }

    /// Whether what is in force is what its sources hold, now and from now on.
    pub fn staleness(&self) -> watch::Receiver<Staleness> {
        self.staleness.subscribe()
    }
}
