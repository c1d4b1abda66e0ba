//! The health of the store, as other parts of the daemon see it.

use std::sync::Arc;

/// Whether the store can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// The store can be written.
    Ok,
    /// The store cannot be written. It is trying to recover.
    Failing {
        /// What happened.
        why: Arc<str>,
    },
}
