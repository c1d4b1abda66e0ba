//! The caller of a call: its authenticated identity and its roles.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use super::{Timestamp, TokenId};

/// A role of a caller. The set is closed: a new permission needs a new role, and the compiler finds every match on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Proposes actions and reports their results.
    Agent,
    /// Sees pending approvals and decides them.
    Reviewer,
    /// Reads the record.
    Auditor,
    /// Reads and changes the policy.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Agent, Self::Reviewer, Self::Auditor, Self::Admin];

    /// The role as configuration and messages write it: `reviewer`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Reviewer => "reviewer",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// No role at all.
    pub const NONE: Self = Self(0);

    /// The set of these roles.
    pub const fn of(roles: &[Role]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < roles.len() {
            bits |= roles[i].bit();
            i += 1;
        }
        Self(bits)
    }

    /// The union of both sets.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is no role in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether the role is in the set.
    pub const fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// Whether the sets share a role.
    pub const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The roles in the set, in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, role) in self.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            f.write_str(role.as_str())?;
        }
        Ok(())
    }
}

/// How a caller was authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Not at all: the listener allows anonymous callers.
    Anonymous,
    /// By the user of a unix socket's peer, as the kernel reports it.
    UnixPeer,
    /// The bootstrap credential of the data directory.
    BootstrapCredential,
    /// A token that an admin created, or whose hash is in the identities file.
    Token,
    /// A client certificate of a TLS connection.
    Certificate,
    /// A signed token (JWT) of an issuer that the identities file trusts.
    Jwt,
}

impl How {
    /// Every way.
    pub const ALL: [Self; 6] =
        [Self::Anonymous, Self::UnixPeer, Self::BootstrapCredential, Self::Token, Self::Certificate, Self::Jwt];

    /// Its name on the record and in the API: `unix_peer`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::UnixPeer => "unix_peer",
            Self::BootstrapCredential => "bootstrap_credential",
            Self::Token => "token",
            Self::Certificate => "certificate",
            Self::Jwt => "jwt",
        }
    }
}

/// The authenticated identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The name of the subject on the record; `anonymous` without authentication. A subject may have several
    /// credentials.
    pub subject: Arc<str>,
    /// The roles of the caller.
    pub roles: Roles,
    /// The groups in the credential. Some roles come from groups.
    pub groups: Arc<[String]>,
    /// How the caller was authenticated.
    pub how: How,
    /// The one actor that the credential may act for; `None` means any.
    pub actor: Option<Arc<str>>,
    /// When the credential expires. Streams and waits end then.
    pub expires_at: Option<Timestamp>,
    /// The id of the token, if an admin created it.
    pub token: Option<TokenId>,
}

impl Identity {
    /// The name of unauthenticated callers on the record.
    pub const ANONYMOUS: &'static str = "anonymous";

    /// How subjects begin whose credential gives them their name, one kind of credential each: the daemon's own user,
    /// users of the machine, tokens, certificates by their common name and by their SPIFFE ID, and JWTs.
    pub const SUBJECT_PREFIXES: [&'static str; 6] = ["local:", "unix:", "token:", "cn:", "spiffe:", "jwt:"];

    /// A caller who was not authenticated, on a listener that grants such callers these roles.
    pub fn anonymous(roles: Roles) -> Self {
        static SUBJECT: LazyLock<Arc<str>> = LazyLock::new(|| Identity::ANONYMOUS.into());
        Self::new(Arc::clone(&SUBJECT), roles, How::Anonymous)
    }

    /// A subject with these roles, without an actor, a group or an expiry.
    pub fn new(subject: impl Into<Arc<str>>, roles: Roles, how: How) -> Self {
        let groups = Arc::default();
        Self { subject: subject.into(), roles, groups, how, actor: None, expires_at: None, token: None }
    }

    /// The actor name that a policy can rely on.
    pub fn authenticated_actor(&self) -> Option<&str> {
        self.is_authenticated().then(|| self.actor.as_deref().unwrap_or(&self.subject))
    }

    /// Whether this caller may act for an actor of this name.
    pub fn may_act_for(&self, actor: &str) -> bool {
        self.actor.as_deref().is_none_or(|bound| bound == actor)
    }

    /// Whether the caller is authenticated.
    pub fn is_authenticated(&self) -> bool {
        self.how != How::Anonymous
    }

    /// Whether two callers are provably the same subject. Anonymous callers never are.
    pub fn is_same_subject(&self, subject: &str, how: How) -> bool {
        self.is_authenticated() && how != How::Anonymous && *self.subject == *subject
    }
}

/// The id of an open connection. Limits count anonymous callers by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub u64);

/// The peer of a connection, as the kernel reports it. It identifies callers without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Peer {
    /// A user of this machine, over a unix socket.
    Uid(u32),
    /// A user of this machine over TCP. Which user is unknown.
    Loopback,
    /// Another machine. For IPv6, only the /64 network counts, because one host can use all its addresses.
    Address(IpAddr),
}

impl Peer {
    /// The peer at this address.
    pub fn at(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            return Self::Loopback;
        }
        Self::Address(match address {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uid(uid) => write!(f, "uid {uid}"),
            Self::Loopback => f.write_str("loopback"),
            Self::Address(address) => address.fmt(f),
        }
    }
}

/// A caller and its connection.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The authenticated identity.
    pub identity: Identity,
    /// The connection of the call.
    pub connection: ConnectionId,
    /// The peer of the connection.
    pub peer: Peer,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_apart_by_what_somebody_else_cannot_choose() {
        let peer = |address: &str| Peer::at(address.parse().unwrap());
        for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(peer(loopback), Peer::Loopback, "{loopback}");
        }
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_ne!(peer("192.0.2.1"), peer("192.0.2.2"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
    }

    #[test]
    fn a_peer_reads_back_as_it_was_recorded() {
        for (peer, json) in [
            (Peer::Uid(1001), r#"{"uid":1001}"#),
            (Peer::Loopback, r#""loopback""#),
            (Peer::at([192, 0, 2, 1].into()), r#"{"address":"192.0.2.1"}"#),
        ] {
            assert_eq!(serde_json::to_string(&peer).unwrap(), json);
            assert_eq!(serde_json::from_str::<Peer>(json).unwrap(), peer);
        }
    }
}
