//! The tokens that admins made, as they are looked up: in memory.
//!
//! What is in memory changes when the transaction is durable and before it is answered: a token that was revoked opens
//! nothing from the moment that the admin is told so.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::audit::StoredToken;
use crate::domain::Digest;

/// The tokens as they stand.
#[derive(Debug)]
pub struct Tokens {
    current: ArcSwap<ByHash>,
    /// Wakes what must end with its token.
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

    /// The token with this hash, over or not.
    ///
    /// What is looked up is the hash of 256 random bits: how long the look-up takes says something about a hash that
    /// whoever sent it knows anyway. The comparison that counts is of constant time.
    pub fn find(&self, hash: Digest) -> Option<Arc<StoredToken>> {
        let table = self.current.load();
        let token = table.get(&hash)?;
        bool::from(token.hash.0.ct_eq(&hash.0)).then(|| Arc::clone(token))
    }

    /// Resolves at the next change.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Every token, the oldest first.
    pub fn list(&self) -> Vec<Arc<StoredToken>> {
        let mut tokens: Vec<_> = self.current.load().values().cloned().collect();
        tokens.sort_by_key(|token| token.token_id);
        tokens
    }

    /// These are the tokens from now on.
    pub(super) fn replace(&self, tokens: Vec<StoredToken>) {
        self.current.store(Arc::new(by_hash(tokens)));
        self.changes.send_replace(());
    }
}
