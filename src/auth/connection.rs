//! What is known about a caller before it says a word: the listener, the peer, the certificate.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::client_certificate::ClientCertificate;
use crate::domain::{ConnectionId, Roles};
use crate::limits::Budget;

/// What a listener means for whoever calls over it. Being anonymous is a property of the listener, never of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// Where agents call. Whoever sends no credential gets these roles.
    Main {
        /// What an anonymous caller may do; none where being anonymous is switched off.
        anonymous: Roles,
    },
    /// The socket in the data directory: the daemon's own user, by the kernel's word.
    Private,
}

/// Who is at the other end, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A machine.
    Tcp(IpAddr),
    /// A user of this machine, and the primary group of its process.
    Unix {
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

/// What peers are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// An IPv4 address, or the network of an IPv6 one: whoever has one such address has them all.
    Address(IpAddr),
    /// A user.
    User(u32),
}

impl Peer {
    /// What callers without a credential are told apart by.
    pub fn known(self) -> crate::domain::Peer {
        match self {
            Self::Unix { uid, .. } => crate::domain::Peer::Uid(uid),
            Self::Tcp(address) => crate::domain::Peer::at(address),
        }
    }

    /// What it is told apart from others by.
    pub fn key(self) -> PeerKey {
        match self {
            Self::Unix { uid, .. } => PeerKey::User(uid),
            Self::Tcp(address) => PeerKey::Address(match address.to_canonical() {
                IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
                v4 @ IpAddr::V4(_) => v4,
            }),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { uid, gid } => write!(f, "uid {uid} gid {gid}"),
        }
    }
}

/// What is known about a connection.
#[derive(Debug)]
pub struct Connection {
    /// Its name while it lasts.
    pub id: ConnectionId,
    /// The listener that accepted it.
    pub listener: Listener,
    /// Who is at the other end.
    pub peer: Peer,
    /// What the other end showed in the handshake of TLS.
    pub certificate: Option<ClientCertificate>,
    /// What it may still get wrong.
    pub failures: Budget,
    /// Whether somebody has been authenticated over it.
    proved: AtomicBool,
}

impl Connection {
    /// A new connection.
    pub fn new(listener: Listener, peer: Peer, certificate: Option<ClientCertificate>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = ConnectionId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        Self { id, listener, peer, certificate, failures: Budget::default(), proved: AtomicBool::new(false) }
    }

    /// Somebody has been authenticated over it.
    pub fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has been.
    pub fn is_proved(&self) -> bool {
        self.proved.load(Ordering::Relaxed)
    }
}
