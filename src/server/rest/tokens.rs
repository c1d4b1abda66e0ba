//! Tokens, for admins; auditors list them.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::query::{Number, Parsed};
use super::words::{Role, moment};
use crate::audit::StoredToken;
use crate::domain::{self, CallError, Checker, Roles, Timestamp, TokenId, times};
use crate::governance::RevokedToken;
use crate::server::problem::Problem;
use crate::server::token_request::TokenRequest;

/// Which page.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TokenPage {
    /// The most tokens to return: at most 1,000. Default: 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000)]
    page_size: Option<Number>,
    /// The `next_page_token` of the page before.
    #[param(value_type = Option<String>)]
    page_token: Option<Parsed<TokenId>>,
}

/// A page of tokens.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tokens {
    /// The tokens, oldest first.
    tokens: Vec<Token>,
    /// The `page_token` of the next page. Null on the last page.
    next_page_token: Option<String>,
}

/// A token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Token {
    token_id: String,
    subject: String,
    roles: Vec<Role>,
    /// The only actor id that the holder may declare. Null: any.
    actor_id: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    created_by: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    expired: bool,
    /// When the token was revoked. Only in the answer to that.
    #[schema(format = DateTime)]
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
    /// Whether the record does not have the revocation yet, which is in force. Only in the answer to a revocation.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unrecorded: bool,
}

/// A token to create.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct NewTokenRequest {
    #[schema(required, min_length = 1, max_length = 128)]
    name: String,
    #[schema(required, min_items = 1)]
    roles: Vec<Role>,
    #[schema(max_length = 256)]
    actor_id: String,
    /// How long the token is valid: `8h`, `30d`. Default: for ever.
    #[schema(example = "30d")]
    lifetime: Option<String>,
    #[schema(max_length = 256)]
    request_id: String,
}

/// A new token.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MadeToken {
    /// The token, without its secret.
    token: Token,
    secret: String,
}

/// List tokens
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", operation_id = "listTokens", params(TokenPage),
    responses(
        (status = 200, description = "A page of tokens", body = Tokens),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn list(State(api): State<Api>, call: Call) -> Answer {
    let query: TokenPage = call.query()?;
    let size = Number::page_size(query.page_size)?;
    let now = api.governor.now();
    let all = api.governor.tokens().list();
    let rest = all.iter().filter(|stored| query.page_token.is_none_or(|Parsed(after)| stored.token_id > after));
    // One more than requested, to see whether there is another page.
    let mut tokens: Vec<_> = rest.take(size + 1).map(|stored| Token::of(stored, now)).collect();
    let more = tokens.len() > size;
    tokens.truncate(size);
    let next_page_token = tokens.last().filter(|_| more).map(|last| last.token_id.clone());
    json(StatusCode::OK, &Tokens { tokens, next_page_token })
}

/// Create a token
///
/// The secret is in this answer and nowhere else. With a `request_id` the same request is answered with the same token
/// for a day.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", operation_id = "createToken", request_body = NewTokenRequest,
    responses(
        (status = 200, description = "The token", body = MadeToken),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create(State(api): State<Api>, call: Call) -> Answer {
    let NewTokenRequest { name, roles, actor_id, lifetime, request_id } = call.body()?;
    let roles = roles.into_iter().fold(Roles::NONE, |roles, role| roles.with(Roles::of(&[role.into()])));
    let lifetime = lifetime.map(|lifetime| times::duration(&lifetime)).transpose();
    let lifetime = lifetime.map_err(|why| CallError::invalid_field("lifetime", why))?;
    let mut checker = Checker::new(api.limits);
    let new = TokenRequest { name, roles, actor_id, lifetime, request_id }.check(&mut checker);
    let new = checker.finish(new)?;
    let made = api.governor.make_token(call.caller()?, new).await?;
    let token = Token::of(&made.stored, api.governor.now());
    json(StatusCode::OK, &MadeToken { token, secret: made.secret })
}

/// Revoke a token
///
/// By its id, the beginning of its id, or the name of its holder. Safe to repeat.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "tokens", operation_id = "revokeToken",
    params(("token" = String, Path, description = "Its id, the beginning of its id, or its holder's name")),
    responses(
        (status = 200, description = "The token, which opens nothing any more", body = Token),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn revoke(State(api): State<Api>, call: Call) -> Answer {
    let named: String = call.id("token")?;
    let RevokedToken { token, revoked_at, is_recorded } = api.governor.revoke(call.caller()?, &named).await?;
    let token = Token::of(&token, api.governor.now());
    json(StatusCode::OK, &Token { revoked_at: Some(moment(revoked_at)), unrecorded: !is_recorded, ..token })
}

impl Token {
    fn of(stored: &StoredToken, now: Timestamp) -> Self {
        Self {
            token_id: stored.token_id.to_string(),
            subject: stored.subject.clone(),
            roles: stored.roles.iter().map(|role: &domain::Role| (*role).into()).collect(),
            actor_id: stored.actor.clone(),
            created_at: moment(stored.created_at),
            created_by: stored.created_by.clone(),
            expires_at: stored.expires_at.map(moment),
            expired: stored.expires_at.is_some_and(|end| end <= now),
            revoked_at: None,
            unrecorded: false,
        }
    }
}
