//! The tokens that admins created, in memory for lookups.
//!
//! The map changes after a transaction is durable and before its caller gets the answer. So a revoked token stops
//! working before the admin gets the response.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::audit::StoredToken;
use crate::domain::Digest;

/// The current tokens.
#[derive(Debug)]
pub struct Tokens {
    current: ArcSwap<ByHash>,
    /// Notifies streams and waits, which end when their token does.
    changes: watch::Sender<()>,
}

type ByHash = HashMap<Digest, Arc<StoredToken>>;

fn by_hash(tokens: Vec<StoredToken>) -> ByHash {
    tokens.into_iter().map(|token| (token.hash, Arc::new(token))).collect()
}

impl Tokens {
    /// The tokens of the store.
    pub fn new(tokens: Vec<StoredToken>) -> Self {
        Self { current: ArcSwap::from_pointee(by_hash(tokens)), changes: watch::Sender::new(()) }
    }

    /// The token with this hash, even if it has expired.
    ///
    /// The time of the lookup depends only on the hash of 256 random bits, which the sender knows anyway. The final
    /// comparison takes constant time.
    pub fn find(&self, hash: Digest) -> Option<Arc<StoredToken>> {
        let table = self.current.load();
        let token = table.get(&hash)?;
        bool::from(token.hash.0.ct_eq(&hash.0)).then(|| Arc::clone(token))
    }

    /// Waits for the next change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every token, the oldest first.
    pub fn list(&self) -> Vec<Arc<StoredToken>> {
        let mut tokens: Vec<_> = self.current.load().values().cloned().collect();
        tokens.sort_by_key(|token| token.token_id);
        tokens
    }

    /// Replaces all tokens.
    pub(super) fn replace(&self, tokens: Vec<StoredToken>) {
        self.current.store(Arc::new(by_hash(tokens)));
        self.changes.send_replace(());
    }
}
