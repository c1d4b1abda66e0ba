//! [`Authenticator`]: checks one kind of credential.

use super::connection::Connection;
use crate::domain::{CallError, Digest, ErrorCode, Identity, Timestamp};

/// Why a caller is not authenticated. The text contains nothing that helps to guess a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    /// The credential is not valid. Such a caller is never treated as anonymous.
    #[error("the bearer token is not valid")]
    BadToken,
    /// The header is not one `Bearer` token.
    #[error("the authorization header must be one `Bearer TOKEN`")]
    BadHeader,
    /// The peer of the private socket is another user than the daemon's.
    #[error("only the user that runs the daemon may call over this socket without a token")]
    WrongPeer,
    /// The client certificate of the connection names no known caller, or has expired.
    #[error("the client certificate of this connection is not valid here")]
    BadCertificate,
    /// Too many credentials were wrong. The daemon checks none for a while.
    #[error("too many wrong credentials from this peer: wait before the next attempt")]
    TooManyFailures,
}

impl From<AuthenticationError> for CallError {
    fn from(error: AuthenticationError) -> Self {
        let code = match error {
            AuthenticationError::TooManyFailures => ErrorCode::TooManyFailures,
            _ => ErrorCode::CredentialInvalid,
        };
        Self::new(code, error.to_string())
    }
}

/// The evidence in a call about its caller.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The connection of the call.
    pub connection: &'a Connection,
    /// The bearer token, if it carries one.
    pub bearer: Option<Bearer<'a>>,
    /// The time of the call.
    pub now: Timestamp,
}

/// A bearer token. `Debug` does not show its text, so that it cannot reach a log.
pub struct Bearer<'a> {
    /// The token as it was sent.
    pub text: &'a str,
    /// Its SHA-256. Only hashes are compared, so that timing does not reveal the length of a token.
    pub digest: Digest,
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// The result of an authenticator.
#[derive(Debug)]
pub enum Authentication {
    /// The call has no credential of this kind.
    NotMine,
    /// The caller is authenticated.
    Is(Identity),
    /// The call has a credential of this kind, and it is not valid.
    Refused {
        /// The error for the caller.
        error: AuthenticationError,
        /// The reason for the daemon's log only.
        why: String,
    },
}

impl Authentication {
    /// Refuses a bearer token. The reason is only for the log.
    pub fn bad_token(why: impl Into<String>) -> Self {
        Self::Refused { error: AuthenticationError::BadToken, why: why.into() }
    }
}

/// Checks one kind of credential.
pub trait Authenticator: Send + Sync + 'static {
    /// Authenticates the caller with this kind of credential.
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication;
}
