//! Whether the store can be written, as everybody is told.

use std::sync::Arc;

/// Whether the store can be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreHealth {
    /// It can.
    Ok,
    /// It cannot; it is trying to recover.
    Failing {
        /// What happened.
        why: Arc<str>,
    },
}
