//! `grpc.health.v1.Health`: `Check` and `Watch` of `tonic-health`, and `List`, which that crate does not have yet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tonic::{Request, Response, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::health_check_response::ServingStatus as Wire;
use tonic_health::pb::health_server::Health as Checks;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

use crate::proto::health::health_server::Health;
use crate::proto::health::{HealthListRequest, HealthListResponse};

/// The health of every service: written by the daemon, read by clients.
#[derive(Clone, Debug)]
pub(crate) struct Statuses {
    reporter: HealthReporter,
    listed: Arc<Mutex<BTreeMap<String, ServingStatus>>>,
}

impl Statuses {
    /// Nothing is known yet.
    pub(crate) fn new() -> Self {
        Self { reporter: HealthReporter::new(), listed: Arc::default() }
    }

    /// Sets the health of a service.
    pub(crate) async fn set(&self, service: &str, status: ServingStatus) {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner).insert(service.to_owned(), status);
        self.reporter.set_service_status(service, status).await;
    }
}

/// The service.
pub(crate) struct HealthChecks {
    checks: HealthService,
    statuses: Statuses,
}

impl HealthChecks {
    /// Serves these.
    pub(crate) fn new(statuses: Statuses) -> Self {
        Self { checks: HealthService::from_health_reporter(statuses.reporter.clone()), statuses }
    }
}

#[tonic::async_trait]
impl Health for HealthChecks {
    type WatchStream = <HealthService as Checks>::WatchStream;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        self.checks.check(request).await
    }

    async fn list(&self, _request: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        let listed = self.statuses.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let statuses = listed.iter().map(|(service, status)| (service.clone(), response(*status)));
        let statuses: HashMap<_, _> = statuses.collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.checks.watch(request).await
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    let status = match status {
        ServingStatus::Unknown => Wire::Unknown,
        ServingStatus::Serving => Wire::Serving,
        ServingStatus::NotServing => Wire::NotServing,
    };
    HealthCheckResponse { status: status.into() }
}
