//! Authenticates callers by static tokens: those that admins created, and those in the identities file.

use std::collections::HashMap;
use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use super::authenticator::{Authentication, Authenticator, Shown};
use crate::domain::{Digest, How, Identity, Roles, Timestamp};
use crate::governance::Tokens;

/// The tokens that admins created.
#[derive(Debug)]
pub struct MadeTokens(pub Arc<Tokens>);

impl Authenticator for MadeTokens {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        let Some(bearer) = &shown.bearer else { return Authentication::NotMine };
        match self.0.find(bearer.digest) {
            None => Authentication::NotMine,
            Some(token) if token.expires_at.is_some_and(|end| end <= shown.now) => {
                Authentication::bad_token(format!("{} of {} has expired", token.token_id, token.subject))
            }
            Some(token) => Authentication::Is(Identity {
                actor: token.actor.as_deref().map(Into::into),
                expires_at: token.expires_at,
                token: Some(token.token_id),
                ..Identity::new(token.subject.as_str(), Roles::of(&token.roles), How::Token)
            }),
        }
    }
}

/// The hash of a token in the identities file.
#[derive(Debug)]
pub(super) struct FileToken {
    pub(super) hash: Digest,
    pub(super) identity: Identity,
    pub(super) expires_at: Option<Timestamp>,
}

/// The token entries of the identities file.
#[derive(Debug, Default)]
pub(super) struct FileTokens(pub(super) HashMap<Digest, FileToken>);

impl Authenticator for FileTokens {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        let Some(bearer) = &shown.bearer else { return Authentication::NotMine };
        match self.0.get(&bearer.digest) {
            Some(token) if !bool::from(token.hash.0.ct_eq(&bearer.digest.0)) => Authentication::NotMine,
            Some(token) if token.expires_at.is_some_and(|end| end <= shown.now) => Authentication::bad_token(format!(
                "the token of {} in the identities file has expired",
                token.identity.subject
            )),
            Some(token) => Authentication::Is(token.identity.clone()),
            None => Authentication::NotMine,
        }
    }
}
