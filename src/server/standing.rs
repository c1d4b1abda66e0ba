//! Whether a caller still is who it was when its call began: what every stream and every wait is held against.
//!
//! A call that is over at once was checked at the gate. One that goes on is asked again, with the very credential that it
//! showed, whenever something has changed that could make a difference: the tokens of the store, the identities in force, the
//! time. Nothing has to be remembered of what was revoked, and no way of being known can be forgotten here.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::auth::{Chain, Connection};
use crate::domain::{CallError, Caller, ErrorCode, Roles};

/// How long a credential may go without a look at the clock, which may be put forward.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The credential of a stream or a wait is no longer valid.
pub(crate) fn credential_over(why: &str) -> CallError {
    CallError::new(ErrorCode::CredentialExpired, format!("{why}: call again with a valid one"))
}

/// A caller that was let in, and what that rests on.
#[derive(Clone)]
pub(crate) struct Standing {
    /// Who is calling.
    pub(crate) caller: Caller,
    /// One of these roles is needed for what was called.
    pub(crate) needs: Roles,
    /// What was shown: the connection with its peer and certificate, and the header.
    pub(crate) connection: Arc<Connection>,
    pub(crate) authorization: Option<HeaderValue>,
    /// Who says whose that is.
    pub(crate) authenticator: Arc<Chain>,
}

impl Standing {
    /// The answer to a call that waits, unless its caller's credential is over before.
    pub(crate) async fn unless_over<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, CallError>
    where
        E: Into<CallError>,
    {
        tokio::select! {
            // What is answered at once costs nothing here.
            biased;
            answer = call => answer.map_err(Into::into),
            why = self.clone().over() => Err(credential_over(why)),
        }
    }

    /// Resolves, with why, when this caller would not be let in any more.
    pub(crate) async fn over(self) -> &'static str {
        // From before the first look: what changes in between is seen.
        let (mut tokens, mut known) = (self.authenticator.tokens.0.changes(), self.authenticator.known.changes());
        loop {
            if let Some(why) = self.is_over() {
                return why;
            }
            let left = self.caller.identity.expires_at.map(|end| end.duration_since(self.authenticator.clock.now()));
            let pause = left.map_or(LOOK_AGAIN, |left| left.unsigned_abs().min(LOOK_AGAIN));
            let alive = tokio::select! {
                () = tokio::time::sleep(pause) => Ok(()),
                // A token that was made or revoked is nothing to whoever showed none.
                alive = tokens.changed(), if self.caller.identity.token.is_some() => alive,
                alive = known.changed() => alive,
            };
            if alive.is_err() {
                return "the daemon is stopping";
            }
        }
    }

    fn is_over(&self) -> Option<&'static str> {
        let was = &self.caller.identity;
        if was.expires_at.is_some_and(|end| end <= self.authenticator.clock.now()) {
            return Some("the credential has expired");
        }
        match self.authenticator.identify(&self.connection, self.authorization.as_ref()) {
            Err(_) => Some("the credential was revoked"),
            Ok(is) if (&is.subject, is.how, &is.actor) != (&was.subject, was.how, &was.actor) => {
                Some("the credential is for somebody else by now")
            }
            Ok(is) if !is.roles.meets(self.needs) => Some("the credential has lost the role that this needs"),
            Ok(_) => None,
        }
    }
}
