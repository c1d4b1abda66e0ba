//! From a connection and its headers to an [`Identity`]: the only place where one is made.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq as _;

use super::connection::{Connection, Listener};
use crate::domain::{Digest, How, Identity, Role, Roles};

/// Why a caller could not be authenticated. Says nothing that would help to guess a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// A credential was sent and is not valid. Never treated as anonymous.
    #[error("the bearer token is not valid")]
    BadToken,
    /// The header is not one `Bearer` token.
    #[error("the authorization header must be one `Bearer TOKEN`")]
    BadHeader,
    /// The peer of the private socket runs as somebody else.
    #[error("only the user that runs the daemon may call over this socket without a token")]
    WrongPeer,
}

/// Turns a connection and the headers of one call into who is calling.
pub trait Authenticator: Send + Sync + 'static {
    /// Who is calling.
    fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Result<Identity, AuthenticationError>;
}

/// What a peer of the daemon's own user, or a holder of the bootstrap credential, may do. Never to propose.
pub const OPERATOR: Roles = Roles::of(&[Role::Reviewer, Role::Auditor, Role::Admin]);

/// The daemon's own user: by the kernel's word on the private socket, or by the credential in the data directory.
#[derive(Debug)]
pub struct LocalOperator {
    /// The subject of both, for example `local:ada`: two credentials of one person are one subject.
    subject: Arc<str>,
    uid: u32,
    /// Compared by digest, so that not even its length shows in the time taken.
    credential: Digest,
}

impl LocalOperator {
    /// The user with this name and id, whose bootstrap credential is this token.
    pub fn new(name: &str, uid: u32, credential: &str) -> Self {
        Self { subject: format!("local:{name}").into(), uid, credential: Digest::of(credential.as_bytes()) }
    }

    fn identity(&self, how: How) -> Identity {
        Identity { subject: Arc::clone(&self.subject), roles: OPERATOR, how }
    }
}

impl Authenticator for LocalOperator {
    fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Result<Identity, AuthenticationError> {
        if let Some(token) = bearer_token(headers)? {
            let given = Digest::of(token.as_bytes());
            let valid = bool::from(given.0.ct_eq(&self.credential.0));
            return if valid {
                Ok(self.identity(How::BootstrapCredential))
            } else {
                Err(AuthenticationError::BadToken)
            };
        }
        match connection.listener {
            Listener::Private if connection.peer_uid == Some(self.uid) => Ok(self.identity(How::UnixPeer)),
            Listener::Private => Err(AuthenticationError::WrongPeer),
            Listener::Main { anonymous } => Ok(Identity::anonymous(anonymous)),
        }
    }
}

/// The bearer token of the call, if it carries one.
fn bearer_token(headers: &HeaderMap) -> Result<Option<&str>, AuthenticationError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthenticationError::BadHeader);
    }
    let text = value.to_str().map_err(|_| AuthenticationError::BadHeader)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(Some(token.trim()))
        }
        _ => Err(AuthenticationError::BadHeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ConnectionId;

    fn connection(listener: Listener, peer_uid: Option<u32>) -> Connection {
        Connection { id: ConnectionId(1), listener, peer_uid }
    }

    fn main() -> Connection {
        connection(Listener::Main { anonymous: Roles::of(&[Role::Agent]) }, None)
    }

    fn headers(values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (AUTHORIZATION, value.parse().unwrap())).collect()
    }

    fn operator() -> LocalOperator {
        LocalOperator::new("ada", 1000, "aegis_secret")
    }

    #[test]
    fn nobody_in_particular_is_an_agent_on_the_main_listener_and_nothing_else() {
        let identity = operator().authenticate(&main(), &headers(&[])).unwrap();
        assert!(!identity.is_authenticated());
        assert_eq!(identity.roles, Roles::of(&[Role::Agent]));
    }

    #[test]
    fn a_bad_token_is_never_anonymous() {
        for (sent, expected) in [
            (vec!["Bearer wrong"], AuthenticationError::BadToken),
            (vec!["Basic YTpi"], AuthenticationError::BadHeader),
            (vec!["Bearer "], AuthenticationError::BadHeader),
            (vec!["aegis_secret"], AuthenticationError::BadHeader),
            (vec!["Bearer aegis_secret", "Bearer aegis_secret"], AuthenticationError::BadHeader),
        ] {
            assert_eq!(operator().authenticate(&main(), &headers(&sent)).unwrap_err(), expected, "{sent:?}");
        }
    }

    #[test]
    fn the_credential_and_the_socket_are_one_subject_and_never_the_agent() {
        let by_token = operator().authenticate(&main(), &headers(&["Bearer aegis_secret"])).unwrap();
        let by_peer = operator().authenticate(&connection(Listener::Private, Some(1000)), &headers(&[])).unwrap();
        assert!(by_token.is_same_subject(&by_peer.subject, by_peer.how));
        assert!(!by_token.roles.has(Role::Agent));
        assert!(!by_peer.roles.has(Role::Agent));
    }

    #[test]
    fn another_user_on_the_private_socket_is_refused() {
        for uid in [Some(0), Some(1001), None] {
            let refused = operator().authenticate(&connection(Listener::Private, uid), &headers(&[]));
            assert_eq!(refused.unwrap_err(), AuthenticationError::WrongPeer);
        }
    }
}
