//! Creates and revokes tokens for admins, and records it.
//!
//! A token is `aegis_` and 256 random bits. The admin who creates it sees it once; the store keeps only its SHA-256.
//! With a request id, the token is derived from the store's secret and a random seed. The seed is kept with the answer,
//! so a retry within 24 hours receives the same token.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::requests::RequestId;
use super::unrecorded::{Revocation, recorded};
use crate::audit::record::Event;
use crate::audit::{StoredAnswer, StoredToken, Tx, TxError};
use crate::domain::{Caller, Defence, Digest, ParamsError, Roles, Timestamp, TokenId};

/// The prefix of every token, so that scanners for leaked secrets recognize it.
const TOKEN_PREFIX: &str = "aegis_";
/// The limit of tokens.
const MAX_TOKENS: usize = 10_000;
/// How long an expired token is still listed, so that admins can see why it does not work.
const LISTED_AFTER_EXPIRY: Duration = Duration::from_hours(30 * 24);

/// The token that an admin requests.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The name of its holder on the record.
    pub subject: String,
    /// What its holder may do.
    pub roles: Roles,
    /// The one actor that its holder may act for.
    pub actor: Option<String>,
    /// How long it is valid; `None` means for ever.
    pub lifetime: Option<Duration>,
    /// The request id, for safe retries.
    pub request_id: Option<String>,
}

/// A new token.
pub struct MadeToken {
    /// The stored part of it.
    pub stored: StoredToken,
    /// The token itself. It cannot be shown again, but for a retry with the same request id.
    pub secret: String,
}

/// A token that is revoked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RevokedToken {
    /// The token.
    pub token: StoredToken,
    /// When it was revoked.
    pub revoked_at: Timestamp,
    /// Whether the revocation is on the record. Otherwise it is in force, and is recorded when the record can be
    /// written.
    #[serde(skip, default = "is_recorded")]
    pub is_recorded: bool,
}

/// What is read from the record is on it.
fn is_recorded() -> bool {
    true
}

impl From<Revocation> for RevokedToken {
    /// A revocation that is in force in memory only.
    fn from(Revocation { token, at, .. }: Revocation) -> Self {
        Self { token: StoredToken::clone(&token), revoked_at: at, is_recorded: false }
    }
}

impl RevokedToken {
    /// Keeps the answer for retries.
    pub(super) fn keep(&self, tx: &mut Tx<'_>) -> Result<(), TxError> {
        let answer = serde_json::to_value(self).map_err(|error| TxError::from(ParamsError::from(error)))?;
        let key = Digest::of(self.token.token_id.to_string().as_bytes());
        tx.put_answer(key, &StoredAnswer { at: self.revoked_at, request: key, answer })
    }
}

/// The answer to `CreateToken` that is kept for retries: the token is derived from the seed again.
#[derive(Serialize, Deserialize)]
struct Made {
    stored: StoredToken,
    seed: Digest,
}

impl Governor {
    /// Creates a token.
    pub async fn make_token(&self, caller: &Caller, new: NewToken) -> Result<MadeToken, GovernanceError> {
        let request = json!({
            "subject": new.subject,
            "roles": new.roles.iter().collect::<Vec<_>>(),
            "actor": new.actor,
            "lifetime": new.lifetime.map(|lifetime| lifetime.as_nanos().to_string()),
        });
        let id = RequestId::new(caller, new.request_id.as_deref(), "CreateToken", &request)?;
        let mut random = [0; 32];
        (self.entropy)(&mut random)?;
        let seed = Digest(random);
        let secret = token(if id.is_some() { self.secret.token(seed) } else { random });
        let now = self.clock.now();
        let NewToken { subject, roles, actor, lifetime, .. } = new;
        let stored = StoredToken {
            token_id: TokenId::new(now, self.random()?),
            hash: Digest::of(secret.as_bytes()),
            subject,
            roles: roles.iter().collect(),
            actor,
            created_at: now,
            created_by: caller.identity.subject.to_string(),
            expires_at: lifetime.map(|lifetime| now.saturating_add(lifetime).unwrap_or(Timestamp::MAX)),
        };
        let event = Event::TokenCreated {
            token_id: stored.token_id,
            subject: stored.subject.clone(),
            roles: stored.roles.clone(),
            actor: stored.actor.clone(),
            expires_at: stored.expires_at,
            by: stored.created_by.clone(),
        };
        let (made, tokens) = (Made { stored, seed }, Arc::clone(&self.tokens));
        let made = job::run(&self.store, move |tx| {
            if let Some(id) = &id
                && let Some(earlier) = id.answered_in(tx, now)?.map_err(|error| Refused::By(error.into()))?
            {
                return Ok(earlier);
            }
            let (over, mut all): (Vec<_>, Vec<_>) =
                tx.tokens()?.into_iter().partition(|token| is_long_over(token, now));
            if all.len() >= MAX_TOKENS {
                return Err(Refused::By(GovernanceError::TooManyTokens(MAX_TOKENS)));
            }
            tx.append(now, &event)?;
            tx.put_token(&made.stored)?;
            for token in over {
                tx.remove_token(token.token_id)?;
            }
            if let Some(id) = id {
                id.keep(tx, now, &made)?;
            }
            all.push(made.stored.clone());
            tx.after_commit(move || tokens.replace(all));
            Ok(made)
        })
        .await?;
        let Made { stored, seed: kept } = made;
        if kept != seed {
            return Ok(MadeToken { secret: token(self.secret.token(kept)), stored });
        }
        let StoredToken { token_id, subject, created_by, .. } = &stored;
        tracing::info!(token = %token_id, subject, %roles, by = created_by, "token created");
        Ok(MadeToken { stored, secret })
    }

    /// Revokes the one token with this id, beginning of an id, or name. A token that was revoked not long ago is
    /// answered again. If the record cannot be written, the token is revoked in memory, and on the record later.
    pub async fn revoke(&self, caller: &Caller, named: &str) -> Result<RevokedToken, GovernanceError> {
        let mut matching = self.tokens.list();
        matching.retain(|token| is_named(token, named));
        match matching.as_slice() {
            [] => match self.unrecorded.revoked(|token| is_named(token, named)) {
                Some(revocation) => Ok(revocation.into()),
                None => self.revoked_earlier(named).await,
            },
            [one] => match self.revoke_token(caller, one.token_id).await {
                // Another call was faster.
                Err(GovernanceError::NoToken(_)) => self.revoked_earlier(&one.token_id.to_string()).await,
                revoked => revoked,
            },
            several => Err(GovernanceError::AmbiguousToken {
                named: named.to_owned(),
                tokens: several.iter().map(|token| token.token_id).collect(),
            }),
        }
    }

    /// Revokes a token.
    async fn revoke_token(&self, caller: &Caller, token_id: TokenId) -> Result<RevokedToken, GovernanceError> {
        if let Some(revocation) = self.unrecorded.revocation(token_id) {
            return Ok(revocation.into());
        }
        let (now, by) = (self.clock.now(), caller.identity.subject.to_string());
        let (tokens, name) = (Arc::clone(&self.tokens), by.clone());
        let revoked = job::run(&self.store, move |tx| {
            let mut all = tx.tokens()?;
            let Some(at) = all.iter().position(|token| token.token_id == token_id) else {
                return Err(Refused::By(GovernanceError::NoToken(token_id.to_string())));
            };
            let revoked = RevokedToken { token: all.remove(at), revoked_at: now, is_recorded: true };
            let subject = revoked.token.subject.clone();
            tx.append(now, &Event::TokenRevoked { token_id, subject, by: name, at: None })?;
            tx.remove_token(token_id)?;
            revoked.keep(tx)?;
            tx.after_commit(move || tokens.replace(all));
            Ok(revoked)
        });
        let revoked = if Defence::RevokeInMemory.on() { recorded(revoked).await } else { Some(revoked.await) };
        if let Some(revoked) = revoked {
            let revoked = revoked?;
            tracing::info!(token = %token_id, subject = revoked.token.subject, "token revoked");
            return Ok(revoked);
        }
        let revocation = self.revoke_in_memory(token_id, by);
        revocation.map(Into::into).ok_or_else(|| GovernanceError::NoToken(token_id.to_string()))
    }

    /// The token of this name that was revoked last, as long as answers are kept.
    async fn revoked_earlier(&self, named: &str) -> Result<RevokedToken, GovernanceError> {
        let (now, wanted) = (self.clock.now(), named.to_owned());
        let last = self.store.scan(move |reader| {
            let mut last: Option<RevokedToken> = None;
            reader.each_answer(now, |stored| {
                // The table has other answers too.
                let revoked = serde_json::from_value::<RevokedToken>(stored.answer).ok();
                if let Some(revoked) = revoked.filter(|revoked| is_named(&revoked.token, &wanted))
                    && last.as_ref().is_none_or(|last| last.revoked_at <= revoked.revoked_at)
                {
                    last = Some(revoked);
                }
            })?;
            Ok(last)
        });
        last.await?.ok_or_else(|| GovernanceError::NoToken(named.to_owned()))
    }
}

fn token(bits: [u8; 32]) -> String {
    format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(bits))
}

/// Whether a token has this id, an id that begins so, or this name.
fn is_named(token: &StoredToken, named: &str) -> bool {
    let is_id = named.strip_prefix("tok_").is_some_and(|rest| !rest.is_empty())
        && token.token_id.to_string().starts_with(named);
    is_id || token.subject == named || token.subject.strip_prefix("token:") == Some(named)
}

fn is_long_over(token: &StoredToken, now: Timestamp) -> bool {
    let gone = token.expires_at.and_then(|end| end.saturating_add(LISTED_AFTER_EXPIRY).ok());
    gone.is_some_and(|gone| gone <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_named_by_its_id_how_that_begins_or_its_holder() {
        let token_id = TokenId::from_bytes([0x0a; 16]);
        let whole = token_id.to_string();
        let token = StoredToken {
            token_id,
            hash: Digest([0; 32]),
            subject: "token:ada".into(),
            roles: Vec::new(),
            actor: None,
            created_at: Timestamp::UNIX_EPOCH,
            created_by: "local:root".into(),
            expires_at: None,
        };
        for named in [whole.as_str(), &whole[..5], "ada", "token:ada"] {
            assert!(is_named(&token, named), "{named}");
        }
        for named in ["", "tok_", "tok", "ad", "token:", "tok_b", &format!("{whole}0")] {
            assert!(!is_named(&token, named), "{named}");
        }
    }
}
