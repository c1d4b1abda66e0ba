//! Who the caller is, and how a person signs in to the console.

use axum::extract::State;
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::words::{Role, moment};
use crate::domain::{CallError, ErrorCode};
use crate::server::console::SIGN_IN_CODE_LIFETIME;
use crate::server::problem::Problem;

/// The caller, as the daemon authenticated it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallerIdentity {
    /// The name on the record: `token:ada`, for example.
    subject: String,
    /// How the caller was authenticated: `token`, for example.
    how: &'static str,
    /// What the caller may do.
    roles: Vec<Role>,
    /// The only actor id that the caller may declare. Null: any.
    actor_id: Option<String>,
    /// When the credential ends. Null: it does not.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A code to sign in to the console with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignInCode {
    /// The code. It can be exchanged once.
    code: String,
    /// When the code ends.
    #[schema(format = DateTime)]
    expires_at: String,
}

/// A code to exchange.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExchangeRequest {
    /// The code of `createSignInCode`.
    #[schema(required, min_length = 1)]
    code: String,
}

/// The credential behind a code.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SignedIn {
    /// The token that the creator of the code called with.
    token: String,
}

/// Get the caller
///
/// Who the daemon takes the caller for, and what the caller may do.
#[utoipa::path(
    get, path = "/api/v1/identity", tag = "tokens", operation_id = "getIdentity",
    responses(
        (status = 200, description = "The caller", body = CallerIdentity),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get(call: Call) -> Answer {
    let identity = &call.caller()?.identity;
    let caller = CallerIdentity {
        subject: identity.subject.to_string(),
        how: identity.how.as_str(),
        roles: identity.roles.iter().map(Into::into).collect(),
        actor_id: identity.actor.as_deref().map(Into::into),
        expires_at: identity.expires_at.map(moment),
    };
    json(StatusCode::OK, &caller)
}

/// Create a sign-in code
///
/// A code that signs a browser in to the console with the token of this call. It can be exchanged once, within a
/// minute.
#[utoipa::path(
    post, path = "/api/v1/sign-in-codes", tag = "tokens", operation_id = "createSignInCode",
    responses(
        (status = 201, description = "The code", body = SignInCode),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn create_code(State(api): State<Api>, call: Call) -> Answer {
    let Some(authorization) = &call.standing()?.authorization else {
        let message = "a sign-in code stands for a token, and this call has none: send `authorization: Bearer TOKEN`";
        return Err(CallError::invalid_field("authorization", message).into());
    };
    let clock = api.governor.clock();
    let created = api.sign_in_codes.create(authorization, clock.uptime());
    let code = created.map_err(|error| CallError::new(ErrorCode::NoEntropy, error.to_string()))?;
    let expires_at = moment(clock.now() + SIGN_IN_CODE_LIFETIME);
    json(StatusCode::CREATED, &SignInCode { code, expires_at })
}

/// Exchange a sign-in code
///
/// Gives the token for the code. A code is good once, within a minute.
#[utoipa::path(
    post, path = "/api/v1/sign-in-codes/exchange", tag = "tokens", operation_id = "exchangeSignInCode",
    request_body = ExchangeRequest,
    responses(
        (status = 200, description = "The token", body = SignedIn),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn exchange_code(State(api): State<Api>, call: Call) -> Answer {
    let ExchangeRequest { code } = call.body()?;
    if code.is_empty() {
        return Err(CallError::invalid_field("code", "must be the code that `aegis console` printed").into());
    }
    let authorization = api.sign_in_codes.exchange(&code, api.governor.clock().uptime());
    let Some(token) = authorization.as_ref().and_then(token) else {
        let message = "the code was used already, or is older than a minute: run `aegis console` again";
        return Err(CallError::new(ErrorCode::CredentialInvalid, message).into());
    };
    json(StatusCode::OK, &SignedIn { token: token.to_owned() })
}

/// The token of a header that authenticated a call.
fn token(authorization: &HeaderValue) -> Option<&str> {
    Some(authorization.to_str().ok()?.split_once(' ')?.1.trim())
}
