//! Health, for load balancers and for people with curl.

use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::api::Api;
use super::call::{Answer, json};
use crate::audit::StoreHealth;

/// The health of the daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    status: HealthStatus,
    /// The version of the daemon.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Why the daemon cannot answer proposals.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Whether the daemon can answer proposals.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum HealthStatus {
    /// It can.
    Ok,
    /// It cannot: the record cannot be written.
    Failing,
}

/// Check the health of the daemon
///
/// Needs no credential. The health of single parts is at `grpc.health.v1.Health`.
#[utoipa::path(
    get, path = "/health", tag = "daemon", operation_id = "health", security(()),
    responses(
        (status = 200, description = "The daemon answers proposals", body = Health),
        (status = 503, description = "The record cannot be written, so every proposal is refused", body = Health),
    ),
)]
pub(super) async fn health(State(api): State<Api>) -> Answer {
    let reason = match &*api.governor.store().health().borrow() {
        StoreHealth::Ok => None,
        StoreHealth::Failing { .. } => Some("the record cannot be written".to_owned()),
    };
    let (code, status) = match reason {
        None => (StatusCode::OK, HealthStatus::Ok),
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, HealthStatus::Failing),
    };
    json(code, &Health { status, version: env!("CARGO_PKG_VERSION"), reason })
}
