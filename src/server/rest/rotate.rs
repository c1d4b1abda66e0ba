//! A new key of the log, for admins.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, Call, json};
use super::words::present;
use crate::domain::check::NAME_BYTES;
use crate::domain::{CallError, Checker};
use crate::governance::Rotated;
use crate::server::problem::Problem;

/// A rotation of the key.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Rotation {
    #[schema(max_length = 256)]
    request_id: String,
}

/// The new key of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RotatedKey {
    old_verifier_key: String,
    new_verifier_key: String,
    sequence: u64,
}

/// Replace the key of the log
///
/// The old key signs the new one, the change is recorded, and the old key is destroyed.
#[utoipa::path(
    post, path = "/api/v1/log/rotate-key", tag = "audit", operation_id = "rotateLogKey", request_body = Rotation,
    responses(
        (status = 200, description = "The keys", body = RotatedKey),
        (status = "default", description = "A problem", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn rotate(State(api): State<Api>, call: Call) -> Answer {
    // A request that was cut off, or that nobody meant, replaces no key.
    if call.bytes().iter().all(u8::is_ascii_whitespace) {
        return Err(CallError::invalid_field("", "there is no body: send an object, `{}`").into());
    }
    let Rotation { request_id } = call.body()?;
    let mut checker = Checker::new(api.limits);
    checker.text("request_id", &request_id, NAME_BYTES);
    let request_id = checker.finish(present(request_id))?;
    let Rotated { old, new, sequence } = api.notary.rotate(call.caller()?, request_id.as_deref()).await?;
    json(StatusCode::OK, &RotatedKey { old_verifier_key: old, new_verifier_key: new, sequence })
}
