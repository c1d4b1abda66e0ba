//! The tokens that admins created, in memory for lookups.
//!
//! The map changes after a transaction is durable and before its caller gets the answer. So a revoked token stops
//! working before the admin gets the response. If the record cannot be written, the map alone changes: see
//! [`unrecorded`](super::unrecorded).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

use crate::audit::StoredToken;
use crate::domain::{Digest, TokenId};

/// The current tokens.
#[derive(Debug)]
pub struct Tokens {
    current: ArcSwap<ByHash>,
    /// The tokens that the store still has, and that are revoked. The lock is held while the map is replaced.
    revoked: Mutex<HashSet<TokenId>>,
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
        Self {
            current: ArcSwap::from_pointee(by_hash(tokens)),
            revoked: Mutex::default(),
            changes: watch::Sender::new(()),
        }
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

    /// Replaces all tokens with those of the store, except the ones that are revoked in memory.
    pub(super) fn replace(&self, tokens: Vec<StoredToken>) {
        self.put(&self.lock(), tokens);
    }

    /// The same, after the revocation of this token is in the store.
    pub(super) fn replace_without(&self, recorded: TokenId, tokens: Vec<StoredToken>) {
        let mut revoked = self.lock();
        revoked.remove(&recorded);
        self.put(&revoked, tokens);
    }

    /// Revokes a token in memory. It works nowhere from now on. `None` if there is no such token.
    pub(super) fn revoke(&self, token_id: TokenId) -> Option<Arc<StoredToken>> {
        let mut revoked = self.lock();
        let mut left = ByHash::clone(&self.current.load());
        let hash = left.values().find(|token| token.token_id == token_id)?.hash;
        let token = left.remove(&hash)?;
        revoked.insert(token_id);
        self.current.store(Arc::new(left));
        self.changes.send_replace(());
        Some(token)
    }

    fn put(&self, revoked: &HashSet<TokenId>, mut tokens: Vec<StoredToken>) {
        tokens.retain(|token| !revoked.contains(&token.token_id));
        self.current.store(Arc::new(by_hash(tokens)));
        self.changes.send_replace(());
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<TokenId>> {
        self.revoked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
