//! Creates and revokes tokens for admins, and records it.
//!
//! A token is `aegis_` and 256 random bits. The admin who creates it sees it once; the store keeps only its SHA-256.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use super::unrecorded::recorded;
use crate::audit::StoredToken;
use crate::audit::record::Event;
use crate::domain::{Caller, Digest, Roles, Timestamp, TokenId};

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
}

/// A new token.
pub struct MadeToken {
    /// The stored part of it.
    pub stored: StoredToken,
    /// The token itself. It cannot be shown again.
    pub secret: String,
}

/// A token that was revoked.
pub struct RevokedToken {
    /// The token.
    pub token: StoredToken,
    /// Whether the revocation is on the record. Otherwise it is in force, and is recorded when the record can be written.
    pub is_recorded: bool,
}

impl Governor {
    /// Creates a token.
    pub async fn make_token(&self, caller: &Caller, new: NewToken) -> Result<MadeToken, GovernanceError> {
        let mut random = [0; 32];
        (self.entropy)(&mut random)?;
        let secret = format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random));
        let now = self.clock.now();
        let NewToken { subject, roles, actor, lifetime } = new;
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
        let (kept, tokens) = (stored.clone(), Arc::clone(&self.tokens));
        job::run(&self.store, move |tx| {
            let (over, mut all): (Vec<_>, Vec<_>) =
                tx.tokens()?.into_iter().partition(|token| is_long_over(token, now));
            if all.len() >= MAX_TOKENS {
                return Err(Refused::By(GovernanceError::TooManyTokens(MAX_TOKENS)));
            }
            tx.append(now, &event)?;
            tx.put_token(&kept)?;
            for token in over {
                tx.remove_token(token.token_id)?;
            }
            all.push(kept);
            tx.after_commit(move || tokens.replace(all));
            Ok(())
        })
        .await?;
        let StoredToken { token_id, subject, created_by, .. } = &stored;
        tracing::info!(token = %token_id, subject, %roles, by = created_by, "token created");
        Ok(MadeToken { stored, secret })
    }

    /// Revokes a token. If the record cannot be written, the token is revoked in memory, and on the record later.
    pub async fn revoke_token(&self, caller: &Caller, token_id: TokenId) -> Result<RevokedToken, GovernanceError> {
        let in_memory = |token: &StoredToken| RevokedToken { token: token.clone(), is_recorded: false };
        if let Some(revocation) = self.unrecorded.revocation(token_id) {
            return Ok(in_memory(&revocation.token));
        }
        let (now, by) = (self.clock.now(), caller.identity.subject.to_string());
        let (tokens, name) = (Arc::clone(&self.tokens), by.clone());
        let revoked = job::run(&self.store, move |tx| {
            let mut all = tx.tokens()?;
            let Some(at) = all.iter().position(|token| token.token_id == token_id) else {
                return Err(Refused::By(GovernanceError::NoToken(token_id)));
            };
            let revoked = all.remove(at);
            let subject = revoked.subject.clone();
            tx.append(now, &Event::TokenRevoked { token_id, subject, by: name, at: None })?;
            tx.remove_token(token_id)?;
            tx.after_commit(move || tokens.replace(all));
            Ok(revoked)
        });
        if let Some(revoked) = recorded(revoked).await {
            let token = revoked?;
            tracing::info!(token = %token_id, subject = token.subject, "token revoked");
            return Ok(RevokedToken { token, is_recorded: true });
        }
        let revocation = self.revoke_in_memory(token_id, by).ok_or(GovernanceError::NoToken(token_id))?;
        Ok(in_memory(&revocation.token))
    }
}

fn is_long_over(token: &StoredToken, now: Timestamp) -> bool {
    let gone = token.expires_at.and_then(|end| end.saturating_add(LISTED_AFTER_EXPIRY).ok());
    gone.is_some_and(|gone| gone <= now)
}
