//! `AdminService`, for admins (auditors list tokens): tokens, the log's key, redaction, halts, the counts of limits,
//! and backups. It only converts between protobuf and the domain.

use std::sync::Arc;
use std::time::Duration;

use tonic::{Request, Response, Status};

use super::request::Reader;
use super::sending::{Unpolled, frame, sending};
use super::{caller, control, page, response, standing};
use crate::audit::{SpentKey, StoredToken};
use crate::auth::check_name;
use crate::domain::page::PageTokens;
use crate::domain::{CallError, DecisionId, Digest, ErrorCode, JsonLimits, Role, Roles, Timestamp, TokenId};
use crate::governance::{GovernanceError, Governor, NewToken, Notary, Redacted, RevokedToken, Rotated};
use crate::proto::v1;
use crate::proto::v1::admin_service_server::AdminService;
use crate::server::streams::{Over, Sink, Streams};

/// The longest name of a token, in characters.
const MAX_NAME: usize = 128;
/// How long the next part of a backup may wait for a slow caller. The database keeps old pages until a backup ends.
const SLOWEST_CHUNK: Duration = Duration::from_secs(30);

/// The service for admins, except the policy.
pub(crate) struct Administration {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// Signs checkpoints.
    pub(crate) notary: Arc<Notary>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The size limits of a request.
    pub(crate) limits: JsonLimits,
}

#[tonic::async_trait]
impl AdminService for Administration {
    type StreamBackupStream = Unpolled<v1::StreamBackupResponse>;

    async fn create_token(
        &self,
        request: Request<v1::CreateTokenRequest>,
    ) -> Result<Response<v1::CreateTokenResponse>, Status> {
        let caller = caller(&request)?;
        let new = new_token(request.into_inner(), Reader::new(self.limits))?;
        let made = self.governor.make_token(&caller, new).await?;
        let token = Some(token(&made.stored, self.governor.now()));
        Ok(Response::new(v1::CreateTokenResponse { token, secret: made.secret }))
    }

    async fn list_tokens(
        &self,
        request: Request<v1::ListTokensRequest>,
    ) -> Result<Response<v1::ListTokensResponse>, Status> {
        let v1::ListTokensRequest { page_size, page_token } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let size = reader.page_size(page_size);
        let size = reader.finish(size)?;
        let pages = PageTokens::new("tokens", Digest::of(&[]));
        let after = (!page_token.is_empty()).then(|| pages.position(&page_token)).transpose();
        let after = after.map_err(GovernanceError::from)?.map(TokenId::from_bytes);
        let now = self.governor.now();
        let mut rest = self.governor.tokens().list();
        rest.retain(|stored| after.is_none_or(|after| stored.token_id > after));
        let next = rest.get(size - 1).filter(|_| rest.len() > size).map(|last| last.token_id);
        let shown = rest.iter().take(size).map(|stored| (stored.token_id, token(stored, now)));
        let (tokens, next) = page::fitting(shown, next);
        let next_page_token = next.map(|id| pages.after(*id.as_bytes())).unwrap_or_default();
        Ok(Response::new(v1::ListTokensResponse { tokens, next_page_token }))
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let caller = caller(&request)?;
        let mut reader = Reader::new(self.limits);
        let named = reader.optional_name("token", request.into_inner().token);
        let Some(named) = reader.finish(named)? else {
            return Err(CallError::invalid_field("token", "must be given").into());
        };
        let RevokedToken { token: revoked, revoked_at, is_recorded } = self.governor.revoke(&caller, &named).await?;
        let revoked_at = Some(response::timestamp(revoked_at));
        let token = v1::Token { revoked_at, ..token(&revoked, self.governor.now()) };
        Ok(Response::new(v1::RevokeTokenResponse { token: Some(token), unrecorded: !is_recorded }))
    }

    async fn rotate_log_key(
        &self,
        request: Request<v1::RotateLogKeyRequest>,
    ) -> Result<Response<v1::RotateLogKeyResponse>, Status> {
        let caller = caller(&request)?;
        let mut reader = Reader::new(self.limits);
        let request_id = reader.optional_name("request_id", request.into_inner().request_id);
        let request_id = reader.finish(request_id)?;
        let Rotated { old, new, sequence } = self.notary.rotate(&caller, request_id.as_deref()).await?;
        Ok(Response::new(v1::RotateLogKeyResponse { old_verifier_key: old, new_verifier_key: new, sequence }))
    }

    async fn redact_decision(
        &self,
        request: Request<v1::RedactDecisionRequest>,
    ) -> Result<Response<v1::RedactDecisionResponse>, Status> {
        let caller = caller(&request)?;
        let v1::RedactDecisionRequest { decision_id, reason, request_id } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let decision_id: Option<DecisionId> = reader.parsed("decision_id", &decision_id);
        if reason.trim().is_empty() {
            reader.wrong("reason", "must be given: it goes on the record");
        }
        let reason = reader.free_text("reason", reason);
        let request_id = reader.optional_name("request_id", request_id);
        let Some(decision_id) = reader.finish(decision_id)? else {
            return Err(CallError::invalid_field("decision_id", "must be given").into());
        };
        let redacted = self.governor.redact(&caller, decision_id, reason, request_id.as_deref()).await?;
        let Redacted { sequence, sequences } = redacted;
        Ok(Response::new(v1::RedactDecisionResponse { sequence, redacted_sequences: sequences }))
    }

    async fn halt(&self, request: Request<v1::HaltRequest>) -> Result<Response<v1::HaltResponse>, Status> {
        let caller = caller(&request)?;
        let v1::HaltRequest { scope, reason } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let reason = reader.free_text("reason", reason);
        let scope = control::scope(&mut reader, scope)?;
        let (scope, reason) = reader.finish((scope, reason))?;
        let placed = self.governor.halt(&caller, scope, reason).await?;
        Ok(Response::new(v1::HaltResponse { halt: Some(control::in_force(&placed)) }))
    }

    async fn resume(&self, request: Request<v1::ResumeRequest>) -> Result<Response<v1::ResumeResponse>, Status> {
        let caller = caller(&request)?;
        let mut reader = Reader::new(self.limits);
        let scope = control::scope(&mut reader, request.into_inner().scope)?;
        let scope = reader.finish(scope)?;
        let ended = self.governor.resume(&caller, scope).await?;
        Ok(Response::new(v1::ResumeResponse { halt: Some(control::halt(&ended, true)) }))
    }

    async fn list_halts(
        &self,
        _request: Request<v1::ListHaltsRequest>,
    ) -> Result<Response<v1::ListHaltsResponse>, Status> {
        let halts = self.governor.halts().list();
        Ok(Response::new(v1::ListHaltsResponse { halts: halts.iter().map(|one| control::in_force(one)).collect() }))
    }

    async fn list_counts(
        &self,
        request: Request<v1::ListCountsRequest>,
    ) -> Result<Response<v1::ListCountsResponse>, Status> {
        let v1::ListCountsRequest { limit, page_size, page_token } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let size = reader.page_size(page_size);
        let size = reader.finish(size)?;
        let pages = PageTokens::new("counts", Digest::of(limit.as_bytes()));
        let after = (!page_token.is_empty()).then(|| pages.position(&page_token)).transpose();
        let after = after.map_err(GovernanceError::from)?.map(SpentKey::up_to);
        let limit = Some(limit).filter(|limit| !limit.is_empty());
        let found = self.governor.counts(limit, after, size).await?;
        let next = found.next;
        let counts = found.counts.into_iter().map(|counted| (counted.key, control::count(counted)));
        let (counts, next) = page::fitting(counts, next);
        let next_page_token = next.map(|key| pages.after(key.position())).unwrap_or_default();
        Ok(Response::new(v1::ListCountsResponse { counts, next_page_token }))
    }

    async fn reset_limit(
        &self,
        request: Request<v1::ResetLimitRequest>,
    ) -> Result<Response<v1::ResetLimitResponse>, Status> {
        let caller = caller(&request)?;
        let v1::ResetLimitRequest { limit, count_id } = request.into_inner();
        let mut reader = Reader::new(self.limits);
        let limit = reader.free_text("limit", limit);
        if limit.is_empty() {
            reader.wrong("limit", "must be given");
        }
        let limit = reader.finish(limit)?;
        let counts = self.governor.reset_limit(&caller, limit, control::count_id(&count_id)?).await?;
        Ok(Response::new(v1::ResetLimitResponse { counts }))
    }

    async fn stream_backup(
        &self,
        request: Request<v1::StreamBackupRequest>,
    ) -> Result<Response<Self::StreamBackupStream>, Status> {
        let standing = standing(&request)?.clone();
        tracing::info!(by = %standing.caller.identity.subject, "the record is backed up");
        let governor = Arc::clone(&self.governor);
        Ok(sending(self.streams.open(standing, |sink| async move { send_backup(&governor, &sink).await })?))
    }
}

async fn send_backup(governor: &Governor, sink: &Sink) -> Result<(), Over> {
    let mut chunks = tokio::select! {
        () = sink.closed() => return Err(Over::ClientGone),
        chunks = governor.store().back_up(governor.now()) => chunks.map_err(|error| CallError::from(&error))?,
    };
    while let Some(chunk) = chunks.recv().await {
        let chunk = chunk.map_err(|error| Over::Failed(CallError::from(&error)))?;
        let sending = sink.send(frame(&v1::StreamBackupResponse { chunk }));
        let Ok(sent) = tokio::time::timeout(SLOWEST_CHUNK, sending).await else {
            let message = format!("the caller has not read for {SLOWEST_CHUNK:?}: the backup ends here");
            return Err(Over::Failed(CallError::new(ErrorCode::RecordBusy, message)));
        };
        sent?;
    }
    Ok(())
}

fn new_token(request: v1::CreateTokenRequest, mut reader: Reader) -> Result<NewToken, CallError> {
    let v1::CreateTokenRequest { name, roles, actor_id, lifetime, request_id } = request;
    match check_name(&name) {
        Ok(()) if name.chars().count() <= MAX_NAME => {}
        Ok(()) => reader.wrong("name", format!("is longer than {MAX_NAME} characters")),
        Err(why) => reader.wrong("name", why),
    }
    let mut wanted = Roles::NONE;
    for (i, number) in roles.iter().take(Role::ALL.len() + 1).enumerate() {
        match v1::Role::try_from(*number).ok().and_then(role) {
            Some(role) => wanted = wanted.with(Roles::of(&[role])),
            None => reader.wrong(format!("roles[{i}]"), "is not a role"),
        }
    }
    if roles.is_empty() || roles.len() > Role::ALL.len() {
        reader.wrong("roles", format!("{} roles; between 1 and {}", roles.len(), Role::ALL.len()));
    }
    let actor = reader.optional_name("actor_id", actor_id);
    if let Some(Err(why)) = actor.as_deref().map(check_name) {
        reader.wrong("actor_id", why);
    }
    let request_id = reader.optional_name("request_id", request_id);
    let lifetime = lifetime.map(|lifetime| match Duration::try_from(lifetime) {
        Ok(lifetime) if !lifetime.is_zero() => lifetime,
        _ => {
            reader.wrong("lifetime", "must be longer than 0 s");
            Duration::ZERO
        }
    });
    reader.finish(NewToken { subject: format!("token:{name}"), roles: wanted, actor, lifetime, request_id })
}

fn role(role: v1::Role) -> Option<Role> {
    match role {
        v1::Role::Unspecified => None,
        v1::Role::Agent => Some(Role::Agent),
        v1::Role::Reviewer => Some(Role::Reviewer),
        v1::Role::Auditor => Some(Role::Auditor),
        v1::Role::Admin => Some(Role::Admin),
    }
}

fn token(stored: &StoredToken, now: Timestamp) -> v1::Token {
    let role = |role: &Role| match role {
        Role::Agent => v1::Role::Agent,
        Role::Reviewer => v1::Role::Reviewer,
        Role::Auditor => v1::Role::Auditor,
        Role::Admin => v1::Role::Admin,
    };
    v1::Token {
        token_id: stored.token_id.to_string(),
        subject: stored.subject.clone(),
        roles: stored.roles.iter().map(|stored| role(stored).into()).collect(),
        actor_id: stored.actor.clone().unwrap_or_default(),
        created_at: Some(response::timestamp(stored.created_at)),
        created_by: stored.created_by.clone(),
        expires_at: stored.expires_at.map(response::timestamp),
        expired: stored.expires_at.is_some_and(|end| end <= now),
        revoked_at: None,
    }
}
