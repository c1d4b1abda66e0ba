//! From a connection and the headers of one call to an [`Identity`]: the only place where one is made.
//!
//! A [`Chain`] asks one authenticator after the other, and each says *not mine*, *this is who it is* or *refused*. A
//! credential that nobody knows is refused; it is never taken for no credential at all. Only a call that shows nothing gets
//! what its listener grants to anybody.
//!
//! `operator` is the daemon's own user; `tokens`, `peers` (users at the other end of a socket), `certificates` and `jwt` are
//! whom the identities file names, which `identities` reads and `reload` watches (with `remote_keys`, for what is fetched);
//! `known` is what is in force; `failures` bounds guessing.

mod certificates;
mod failures;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
pub mod identities;
mod jwks;
mod jwt;
mod known;
mod operator;
mod peers;
mod reload;
mod remote_keys;
mod tokens;

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use super::connection::{Connection, Listener};
use crate::domain::{Clock, Digest, Identity, Timestamp};

pub use certificates::{CertificateName, ClientCertificate};
pub use failures::{Budget, Failures};
pub use identities::{Identities, IdentitySource};
pub use known::{Known, Staleness};
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
    /// The connection's client certificate names nobody, or is over.
    #[error("the client certificate of this connection is not valid here")]
    BadCertificate,
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
    /// The daemon's own user.
    pub operator: LocalOperator,
    /// The tokens of the store.
    pub tokens: MadeTokens,
    /// Those of the identities file in force.
    pub known: Arc<Known>,
    /// Who has been wrong too often.
    pub failures: Failures,
    /// Expiry is held against its wall clock, patience against its uptime.
    pub clock: Arc<dyn Clock>,
}

/// Why a call is refused: what the caller hears, and what the operator does.
type Refusal = (AuthenticationError, String);

impl Chain {
    /// Who is calling.
    pub fn authenticate(&self, connection: &Connection, headers: &HeaderMap) -> Result<Identity, AuthenticationError> {
        let uptime = self.clock.uptime();
        let refuse = |(error, why): Refusal| {
            self.failures.count(connection, uptime, &why);
            error
        };
        let authorization = authorization(headers).map_err(refuse)?;
        if authorization.is_some() && !self.failures.may_try(connection, uptime) {
            return Err(AuthenticationError::TooManyFailures);
        }
        let identity = self.identify(connection, authorization).map_err(refuse)?;
        if identity.is_authenticated() {
            connection.prove();
        }
        Ok(identity)
    }

    /// Whose credential this is, as things stand. Asked again and again of what goes on for long; counts nothing.
    pub(super) fn identify(
        &self,
        connection: &Connection,
        authorization: Option<&HeaderValue>,
    ) -> Result<Identity, Refusal> {
        let bearer = authorization.map(bearer_token).transpose()?;
        let shows_token = bearer.is_some();
        let shown = Shown { connection, bearer, now: self.clock.now() };
        let identities = self.known.load();
        let fixed: [&dyn Authenticator; 2] = [&self.operator, &self.tokens];
        let others = identities.authenticators.iter().map(AsRef::as_ref);
        for authenticator in fixed.into_iter().chain(others) {
            match authenticator.authenticate(&shown) {
                Answer::NotMine => {}
                Answer::Is(identity) => return Ok(identity),
                Answer::Refused { error, why } => return Err((error, why)),
            }
        }
        match connection.listener {
            _ if shows_token => Err((AuthenticationError::BadToken, "no such token".to_owned())),
            Listener::Private => Err((AuthenticationError::WrongPeer, "another user on the private socket".to_owned())),
            Listener::Main { anonymous } => Ok(Identity::anonymous(anonymous)),
        }
    }
}

fn malformed() -> Refusal {
    (AuthenticationError::BadHeader, "the authorization header is malformed".to_owned())
}

/// The one authorization header of a call, if it has one.
pub(super) fn authorization(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(malformed()),
        (one, None) => Ok(one),
    }
}

/// The bearer token in a header.
fn bearer_token(value: &HeaderValue) -> Result<Bearer<'_>, Refusal> {
    let text = value.to_str().map_err(|_| malformed())?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            let text = token.trim();
            Ok(Bearer { text, digest: Digest::of(text.as_bytes()) })
        }
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests;
