//! Authenticates the daemon's own user: on the private socket by the peer's user id from the kernel, or by the
//! credential in the data directory.

use std::sync::Arc;

use subtle::ConstantTimeEq as _;

use super::authenticator::{Authentication, Authenticator, Shown};
use super::connection::{Listener, Peer};
use crate::domain::{Digest, How, Identity, Role, Roles};

/// The roles of the daemon's own user and of the bootstrap credential. They never include proposing.
pub const OPERATOR: Roles = Roles::of(&[Role::Reviewer, Role::Auditor, Role::Admin]);

/// The daemon's own user.
#[derive(Debug)]
pub struct LocalOperator {
    /// The subject of both ways, for example `local:ada`.
    subject: Arc<str>,
    uid: u32,
    /// The digest of the credential. Digests are compared, so that timing does not reveal its length.
    credential: Digest,
}

impl LocalOperator {
    /// The user with this name and id, whose bootstrap credential is this token.
    pub fn new(name: &str, uid: u32, credential: &str) -> Self {
        Self { subject: format!("local:{name}").into(), uid, credential: Digest::of(credential.as_bytes()) }
    }

    fn is(&self, how: How) -> Authentication {
        Authentication::Is(Identity::new(Arc::clone(&self.subject), OPERATOR, how))
    }
}

impl Authenticator for LocalOperator {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        match (&shown.bearer, shown.connection.listener, &shown.connection.peer) {
            (Some(bearer), _, _) if bool::from(bearer.digest.0.ct_eq(&self.credential.0)) => {
                self.is(How::BootstrapCredential)
            }
            (None, Listener::Private, Peer::Unix { uid, .. }) if *uid == self.uid => self.is(How::UnixPeer),
            _ => Authentication::NotMine,
        }
    }
}
