//! What one kind of credential is asked, and what it answers.

use super::connection::Connection;
use crate::domain::{CallError, Digest, ErrorCode, Identity, Timestamp};

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
    /// The connection's client certificate names nobody, or is over.
    #[error("the client certificate of this connection is not valid here")]
    BadCertificate,
    /// Too many credentials were wrong: none is looked at for a while.
    #[error("too many credentials from there were wrong: no other is looked at for a while")]
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

/// What one call shows of who is calling.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The connection that it came over.
    pub connection: &'a Connection,
    /// The bearer token, if it carries one.
    pub bearer: Option<Bearer<'a>>,
    /// When.
    pub now: Timestamp,
}

/// A bearer token. Not `Debug` with its text: it must not reach a log.
pub struct Bearer<'a> {
    /// The token as it was sent.
    pub text: &'a str,
    /// Its SHA-256: what is compared, so that not even its length shows in the time taken.
    pub digest: Digest,
}

impl std::fmt::Debug for Bearer<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bearer(..)")
    }
}

/// What an authenticator says of a call.
#[derive(Debug)]
pub enum Authentication {
    /// It shows nothing of mine.
    NotMine,
    /// This is who it is.
    Is(Identity),
    /// It shows something of mine, and that is not valid. `why` is for the daemon's log only.
    Refused {
        /// What the caller is told.
        error: AuthenticationError,
        /// What the operator is told.
        why: String,
    },
}

impl Authentication {
    /// A bearer token that is not valid, for a reason that only the operator hears.
    pub fn bad_token(why: impl Into<String>) -> Self {
        Self::Refused { error: AuthenticationError::BadToken, why: why.into() }
    }
}

/// Knows one kind of credential.
pub trait Authenticator: Send + Sync + 'static {
    /// Who is calling, as far as this kind of credential says.
    fn authenticate(&self, shown: &Shown<'_>) -> Authentication;
}
