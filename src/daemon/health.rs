//! Health of each service, for `grpc.health.v1`.
//!
//! | service | serving while |
//! | --- | --- |
//! | (empty) | the record can be written |
//! | `aegis.v1.GovernanceService`, `aegis.v1.ApprovalService` | the record can be written |
//! | `aegis.v1.AuditService`, `aegis.v1.PolicyService`, `aegis.v1.AdminService` | the daemon runs |
//! | `aegis.record` | the record can be written |
//! | `aegis.policy` | the policy files match the policy in force: not after a refused change |
//! | `aegis.auth` | the identities in force match their sources, all keys are fetched; unknown without `--auth`, TLS |
//! | `aegis.witness` | every witness has accepted the latest checkpoint; unknown without `--witness` |
//! | `aegis.retention` | no jump of the clock waits for confirmation; unknown without `--retain` |
//! | `aegis.clock` | the wall clock is within a minute of the time that passed since the start |
//! | `aegis.dev` | the daemon runs with `--dev`; unknown otherwise |

use tonic_health::ServingStatus;

use crate::audit::StoreHealth;
use crate::server::grpc::health::Statuses;

/// The services whose health is that of the record.
const ANSWERING: [&str; 4] = ["", "aegis.v1.GovernanceService", "aegis.v1.ApprovalService", "aegis.record"];
/// The services that are healthy while the daemon runs.
const RUNNING: [&str; 3] = ["aegis.v1.AdminService", "aegis.v1.AuditService", "aegis.v1.PolicyService"];
const POLICY: &str = "aegis.policy";
const AUTH: &str = "aegis.auth";
const WITNESS: &str = "aegis.witness";
const RETENTION: &str = "aegis.retention";
const CLOCK: &str = "aegis.clock";
const DEV: &str = "aegis.dev";

/// Updates the health of each service.
#[derive(Clone, Debug)]
pub(crate) struct Health(Statuses);

impl Health {
    /// Everything is healthy.
    pub(crate) async fn start(statuses: Statuses, dev: bool) -> Self {
        let health = Self(statuses);
        health.set(&ANSWERING, true).await;
        health.set(&RUNNING, true).await;
        health.set(&[POLICY, CLOCK], true).await;
        if dev {
            health.set(&[DEV], true).await;
        }
        health
    }

    /// Sets the health of the record.
    pub(crate) async fn record(&self, record: &StoreHealth) {
        self.set(&ANSWERING, matches!(record, StoreHealth::Ok)).await;
    }

    /// Sets whether the policy files match the policy in force.
    pub(crate) async fn policy(&self, good: bool) {
        self.set(&[POLICY], good).await;
    }

    /// Sets whether the identities in force match their sources.
    pub(crate) async fn auth(&self, good: bool) {
        self.set(&[AUTH], good).await;
    }

    /// Sets whether every witness accepted the latest checkpoint.
    pub(crate) async fn witnesses(&self, well: bool) {
        self.set(&[WITNESS], well).await;
    }

    /// Sets whether the wall clock agrees with the time that passed since the start.
    pub(crate) async fn clock(&self, good: bool) {
        self.set(&[CLOCK], good).await;
    }

    /// Sets whether retention runs.
    pub(crate) async fn retention(&self, well: bool) {
        self.set(&[RETENTION], well).await;
    }

    /// Sets every service to not serving.
    pub(crate) async fn stop(&self) {
        self.set(&ANSWERING, false).await;
        self.set(&RUNNING, false).await;
        self.set(&[POLICY], false).await;
    }

    async fn set(&self, services: &[&str], serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in services {
            self.0.set(service, status).await;
        }
    }
}
