//! Keys and values that are derived from the store's secret. Each has one purpose.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use sha2::Sha256;

use crate::domain::{ActionSalt, DecisionId, Digest, ParamsError, canonical_json};

/// The prefix of a confirmation token.
const TOKEN_PREFIX: &str = "cnf_";

/// The store's secret. It must be the same after a restart.
#[derive(Clone)]
pub(super) struct StoreSecret(Hmac<Sha256>);

impl StoreSecret {
    /// Creates the secret from these bytes. It never returns `None`, because HMAC accepts keys of every length.
    pub(super) fn new(key: &[u8; 32]) -> Option<Self> {
        Hmac::new_from_slice(key).ok().map(Self)
    }

    /// The confirmation token of a decision. A retry gets the same token, although only its hash is stored.
    pub(super) fn confirmation_token(&self, decision_id: DecisionId) -> String {
        let token = self.derive(b"aegis/confirmation/v1\0", decision_id.as_bytes());
        format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
    }

    /// The digest of a masked value. In one store, equal values have equal digests. It is useless without the secret.
    pub(super) fn masked_digest(&self, value: &impl Serialize) -> Result<Digest, ParamsError> {
        Ok(Digest(self.derive(b"aegis/masked/v1\0", &canonical_json(value)?)))
    }

    /// The salt of the digest of a decision's action.
    pub(super) fn action_salt(&self, decision_id: DecisionId) -> ActionSalt {
        let derived = self.derive(b"aegis/action-salt/v1\0", decision_id.as_bytes());
        let mut salt = ActionSalt::default();
        salt.0.copy_from_slice(&derived[..ActionSalt::LEN]);
        salt
    }

    /// The action key. In one store, equal actions have equal keys. `canonical` is the action's canonical JSON.
    pub(super) fn action_key(&self, canonical: &[u8]) -> Digest {
        Digest(self.derive(b"aegis/action-key/v1\0", canonical))
    }

    /// The random bits of a token that is made from this seed.
    pub(super) fn token(&self, seed: Digest) -> [u8; 32] {
        self.derive(b"aegis/token/v1\0", &seed.0)
    }

    /// What a report is compared by: the same for equal reports of this store. `canonical` is its canonical JSON.
    pub(super) fn report_key(&self, canonical: &[u8]) -> Digest {
        Digest(self.derive(b"aegis/report-key/v1\0", canonical))
    }

    /// The name of a count of a limit. `canonical` is the canonical JSON of what it counts.
    pub(super) fn spent_key(&self, canonical: &[u8]) -> Digest {
        Digest(self.derive(b"aegis/spent-key/v1\0", canonical))
    }

    fn derive(&self, purpose: &[u8], of: &[u8]) -> [u8; 32] {
        let mut mac = self.0.clone();
        mac.update(purpose);
        mac.update(of);
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_depends_on_the_secret_the_purpose_and_the_thing() {
        let (one, other) = (StoreSecret::new(&[7; 32]).unwrap(), StoreSecret::new(&[8; 32]).unwrap());
        let id = |n: u8| DecisionId::from_bytes([n; 16]);
        assert_eq!(one.action_salt(id(1)), one.action_salt(id(1)));
        assert_ne!(one.action_salt(id(1)), one.action_salt(id(2)));
        assert_ne!(one.action_salt(id(1)), other.action_salt(id(1)));
        assert_ne!(one.action_key(b"x"), other.action_key(b"x"));
        assert_ne!(one.action_key(id(1).as_bytes()).0[..16], one.action_salt(id(1)).0);
    }
}
