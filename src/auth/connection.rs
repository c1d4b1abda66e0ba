//! What is known about a connection before its first call: the listener, the peer, the certificate.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use super::client_certificate::ClientCertificate;
use crate::domain::{ConnectionId, Roles};
use crate::limits::Budget;

/// The kind of a listener. The listener decides whether callers may be anonymous; an address never does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// The main listener, for agents. Callers without a credential get these roles.
    Main {
        /// The roles of an anonymous caller; none if anonymous callers are disabled.
        anonymous: Roles,
    },
    /// The socket in the data directory. Its peer must be the daemon's own user, which the kernel verifies.
    Private,
}

/// The peer of a connection, as the kernel reports it.
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

/// The identity of a peer for limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerKey {
    /// An IPv4 address, or a /64 network of IPv6, because one host can use all its addresses.
    Address(IpAddr),
    /// A user.
    User(u32),
}

impl Peer {
    /// The peer as the identity of callers without a credential.
    pub fn known(self) -> crate::domain::Peer {
        match self {
            Self::Unix { uid, .. } => crate::domain::Peer::Uid(uid),
            Self::Tcp(address) => crate::domain::Peer::at(address),
        }
    }

    /// The identity of this peer for limits.
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
    /// Its id.
    pub id: ConnectionId,
    /// The listener that accepted it.
    pub listener: Listener,
    /// The peer.
    pub peer: Peer,
    /// The address of this machine that it came to; `None` for a unix socket.
    pub local: Option<IpAddr>,
    /// The client certificate of the TLS handshake, if there is one.
    pub certificate: Option<ClientCertificate>,
    /// How many wrong credentials it may still send.
    pub failures: Budget,
    /// What happens over it.
    pub activity: Arc<Activity>,
}

/// What happens over a connection: whether it is held for nothing.
#[derive(Debug, Default)]
pub struct Activity {
    /// Whether a caller was authenticated over it.
    proved: AtomicBool,
    /// Calls that are not answered yet.
    calls: AtomicUsize,
}

/// A call that is under way.
#[derive(Debug)]
pub struct UnderWay(Arc<Activity>);

impl Activity {
    /// Notes that a caller was authenticated.
    pub fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }

    /// Counts a call until it is answered.
    pub fn call(self: &Arc<Self>) -> UnderWay {
        self.calls.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Whether nobody was authenticated, and no call is under way.
    pub fn is_for_nothing(&self) -> bool {
        !self.proved.load(Ordering::Relaxed) && self.calls.load(Ordering::Relaxed) == 0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Connection {
    /// A new connection.
    pub fn new(listener: Listener, peer: Peer, certificate: Option<ClientCertificate>) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let id = ConnectionId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let (failures, activity) = (Budget::default(), Arc::default());
        Self { id, listener, peer, local: None, certificate, failures, activity }
    }

    /// The same, which came to this address of the machine.
    #[must_use]
    pub fn at(self, local: Option<IpAddr>) -> Self {
        Self { local, ..self }
    }

    /// The same connection, whose activity others see.
    #[must_use]
    pub fn seen_by(self, activity: Arc<Activity>) -> Self {
        Self { activity, ..self }
    }

    /// Notes that a caller was authenticated over it.
    pub fn prove(&self) {
        self.activity.prove();
    }

    /// Whether a caller was authenticated over it.
    pub fn is_proved(&self) -> bool {
        self.activity.proved.load(Ordering::Relaxed)
    }
}
