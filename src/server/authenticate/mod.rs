//! From a connection and the headers of one call to an [`Identity`]: the only place where one is made.
//!
//! A [`Chain`] asks one authenticator after the other, and each says *not mine*, *this is who it is* or *refused*. A
//! credential that nobody knows is refused; it is never taken for no credential at all. Only a call that shows nothing gets
//! what its listener grants to anybody.
//!
//! `operator` is the daemon's own user; `tokens`, `peers` (users at the other end of a socket), `certificates` and `jwt` are
//! whom the identities file names, which `identities` reads and `reload` watches; `failures` bounds guessing.

mod failures;
pub mod identities;
mod operator;
mod peers;
mod reload;
mod tokens;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::connection::{Connection, Listener};
use crate::domain::{Clock, Digest, Identity, Timestamp};

pub use failures::{Budget, Failures};
pub use identities::{Identities, IdentitySource};
pub use operator::{LocalOperator, OPERATOR};
pub use reload::Reloader;
pub(super) use reload::watch;
pub use tokens::MadeTokens;

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
    /// Too many credentials were wrong: none is looked at for a while.
    #[error("too many credentials from there were wrong: no other is looked at for a while")]
    TooManyFailures,
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
pub enum Answer {
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

impl Answer {
    /// A bearer token that is not valid, for a reason that only the operator hears.
    pub fn bad_token(why: impl Into<String>) -> Self {
        Self::Refused { error: AuthenticationError::BadToken, why: why.into() }
    }
}

/// Knows one kind of credential.
pub trait Authenticator: Send + Sync + 'static {
    /// Who is calling, as far as this kind of credential says.
    fn authenticate(&self, shown: &Shown<'_>) -> Answer;
}

/// Every authenticator there is, in the order in which they are asked.
pub struct Chain {
    /// Those that do not change in a run: the daemon's own user, the tokens of the store.
    pub fixed: Vec<Box<dyn Authenticator>>,
    /// Those of the identities file in force.
    pub identities: Arc<ArcSwap<Identities>>,
    /// Who has been wrong too often.
    pub failures: Failures,
    /// Expiry is held against its wall clock, patience against its uptime.
    pub clock: Arc<dyn Clock>,
}

impl Chain {
    /// Who is calling.
    pub fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Result<Identity, AuthenticationError> {
        let uptime = self.clock.uptime();
        let refuse = |error, why: &str| {
            self.failures.count(connection, uptime, why);
            Err(error)
        };
        let bearer = match bearer_token(headers) {
            Ok(bearer) => bearer,
            Err(error) => return refuse(error, "the authorization header is malformed"),
        };
        if bearer.is_some() && !self.failures.may_try(connection, uptime) {
            return Err(AuthenticationError::TooManyFailures);
        }
        let shows_token = bearer.is_some();
        let shown = Shown { connection, bearer, now: self.clock.now() };
        let identities = self.identities.load();
        for authenticator in self.fixed.iter().chain(&identities.authenticators) {
            match authenticator.authenticate(&shown) {
                Answer::NotMine => {}
                Answer::Is(identity) => {
                    connection.prove();
                    return Ok(identity);
                }
                Answer::Refused { error, why } => return refuse(error, &why),
            }
        }
        match connection.listener {
            _ if shows_token => refuse(AuthenticationError::BadToken, "no such token"),
            Listener::Private => refuse(AuthenticationError::WrongPeer, "another user on the private socket"),
            Listener::Main { anonymous } => Ok(Identity::anonymous(anonymous)),
        }
    }
}

/// The bearer token of the call, if it carries one.
fn bearer_token(headers: &HeaderMap) -> Result<Option<Bearer<'_>>, AuthenticationError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(AuthenticationError::BadHeader);
    }
    let text = value.to_str().map_err(|_| AuthenticationError::BadHeader)?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            let text = token.trim();
            Ok(Some(Bearer { text, digest: Digest::of(text.as_bytes()) }))
        }
        _ => Err(AuthenticationError::BadHeader),
    }
}

#[cfg(test)]
mod tests;
