//! [`Known`]: the identities in force, with notifications of changes.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::identities::Identities;

/// The identities in force.
#[derive(Default)]
pub struct Known {
    current: ArcSwap<Identities>,
    changes: watch::Sender<()>,
    staleness: watch::Sender<Staleness>,
}

/// Whether the identities in force match their sources.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staleness {
    /// Whether the current content of the files was refused.
    pub rejected: bool,
    /// How many issuers' keys could not be fetched in the last attempt.
    pub failing: usize,
}

impl Staleness {
    /// Whether the identities in force match their sources exactly.
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

    /// Brings another generation into force, and wakes streams and waits to check their callers again.
    pub(super) fn replace(&self, identities: Identities) {
        self.current.store(Arc::new(identities));
        self.changes.send_replace(());
    }

    /// Notifies of every change from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    pub(super) fn set_staleness(&self, staleness: Staleness) {
        self.staleness.send_if_modified(|current| std::mem::replace(current, staleness) != staleness);
    }

    /// Watches whether the identities in force match their sources.
    pub fn staleness(&self) -> watch::Receiver<Staleness> {
        self.staleness.subscribe()
    }
}
