//! Authenticates users of this machine on main unix sockets, by the peer that the kernel reports.
//!
//! The kernel reports the user and the primary group of the process at the time when it connected. A user without a
//! matching entry is anonymous, if the listener allows that.

use super::authenticator::{Authentication, Authenticator, Shown};
use super::connection::{Listener, Peer};
use super::grant::Grant;
use crate::domain::{How, Identity};

/// An entry of the identities file.
#[derive(Debug)]
pub(super) struct PeerEntry {
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) grant: Grant,
}

/// The user entries of the identities file.
#[derive(Debug)]
pub(super) struct Peers(pub(super) Vec<PeerEntry>);

impl Authenticator for Peers {
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication {
        let (None, Listener::Main { .. }, Peer::Unix { uid, gid }) =
            (&shown.bearer, shown.connection.listener, &shown.connection.peer)
        else {
            return Authentication::NotMine;
        };
        let fits = |entry: &&PeerEntry| entry.uid.is_none_or(|of| of == *uid) && entry.gid.is_none_or(|of| of == *gid);
        let mut grants = self.0.iter().filter(fits).map(|entry| &entry.grant).peekable();
        if grants.peek().is_none() {
            return Authentication::NotMine;
        }
        let nobody_yet = Identity::new(format!("unix:{uid}"), crate::domain::Roles::NONE, How::UnixPeer);
        Authentication::Is(Grant::apply(nobody_yet, grants))
    }
}
