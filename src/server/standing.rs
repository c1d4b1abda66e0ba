//! [`Standing`]: checks during a stream or a wait that its caller would still be admitted.
//!
//! The gate checks every call when it begins. A call that lasts longer is checked again, with the same credential, when
//! something relevant changes: the tokens of the store, the identities in force, or the time. So there is no list of
//! revoked credentials, and no kind of credential can be missed.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::auth::{Chain, Connection};
use crate::domain::{CallError, Caller, ErrorCode, Roles};

/// How often the wall clock is checked again, because it may jump forwards.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// The credential of a stream or a wait is no longer valid.
pub(crate) fn credential_over(why: &str) -> CallError {
    CallError::new(ErrorCode::CredentialExpired, format!("{why}: call again with a valid one"))
}

/// An admitted caller and its credential.
#[derive(Clone)]
pub(crate) struct Standing {
    /// The authenticated identity.
    pub(crate) caller: Caller,
    /// The roles that the call requires, of which the caller needs one.
    pub(crate) needs: Roles,
    /// The evidence of the call: its connection with peer and certificate, and its header.
    pub(crate) connection: Arc<Connection>,
    pub(crate) authorization: Option<HeaderValue>,
    /// The authenticators.
    pub(crate) authenticator: Arc<Chain>,
}

impl Standing {
    /// Runs a call that waits. Fails if the caller's credential ends before.
    pub(crate) async fn unless_over<T, E>(&self, call: impl Future<Output = Result<T, E>>) -> Result<T, CallError>
    where
        E: Into<CallError>,
    {
        tokio::select! {
            // A call that is ready at once needs no check.
            biased;
            answer = call => answer.map_err(Into::into),
            why = self.clone().over() => Err(credential_over(why)),
        }
    }

    /// Waits until this caller would not be admitted any more, and returns why.
    pub(crate) async fn over(self) -> &'static str {
        // Subscribes before the first check, so that no change is missed.
        let (mut tokens, mut known) = (self.authenticator.tokens.0.changes(), self.authenticator.known.changes());
        loop {
            if let Some(why) = self.is_over() {
                return why;
            }
            let left = self.caller.identity.expires_at.map(|end| end.duration_since(self.authenticator.clock.now()));
            let pause = left.map_or(LOOK_AGAIN, |left| left.unsigned_abs().min(LOOK_AGAIN));
            let alive = tokio::select! {
                () = tokio::time::sleep(pause) => Ok(()),
                // Changes of tokens do not matter to a caller without a token.
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
                Some("the credential now belongs to another subject")
            }
            Ok(is) if !is.roles.meets(self.needs) => Some("the credential lost the role that this call requires"),
            Ok(_) => None,
        }
    }
}
