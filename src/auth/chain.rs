//! [`Chain`]: tries the authenticators in order.

use std::sync::Arc;

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use super::authenticator::{Authentication, AuthenticationError, Authenticator, Bearer, Shown};
use super::connection::{Connection, Listener};
use super::failures::Failures;
use super::known::Known;
use super::operator::LocalOperator;
use super::tokens::MadeTokens;
use crate::domain::{Clock, Digest, Identity};

/// All authenticators, in the order in which they are tried.
pub struct Chain {
    /// The daemon's own user.
    pub operator: LocalOperator,
    /// The tokens of the store.
    pub tokens: MadeTokens,
    /// The authenticators of the identities file in force.
    pub known: Arc<Known>,
    /// The limit of wrong credentials.
    pub failures: Failures,
    /// The wall clock is for expiry, the uptime for the limit of wrong credentials.
    pub clock: Arc<dyn Clock>,
}

/// Why a call is refused: the error for the caller, and the reason for the log.
type Refusal = (AuthenticationError, String);

impl Chain {
    /// Authenticates the caller.
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

    /// Authenticates again with the current state, for streams and waits. It does not count wrong credentials.
    pub(crate) fn identify(
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
                Authentication::NotMine => {}
                Authentication::Is(identity) => return Ok(identity),
                Authentication::Refused { error, why } => return Err((error, why)),
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

/// The authorization header of a call. More than one is an error.
pub(crate) fn authorization(headers: &HeaderMap) -> Result<Option<&HeaderValue>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(malformed()),
        (one, None) => Ok(one),
    }
}

/// Parses the bearer token of a header.
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
