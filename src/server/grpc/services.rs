//! Builds the gRPC services.

use std::sync::Arc;

use tonic::service::Routes;

use super::admin::Administration;
use super::approvals::Approvals;
use super::audit::Audit;
use super::governance::Governance;
use super::health::{HealthChecks, Statuses};
use super::policies::Policies;
use crate::domain::JsonLimits;
use crate::governance::{Governor, Notary};
use crate::outbound::witnesses::Witnesses;
use crate::proto::health::health_server::HealthServer;
use crate::proto::v1::admin_service_server::AdminServiceServer;
use crate::proto::v1::approval_service_server::ApprovalServiceServer;
use crate::proto::v1::audit_service_server::AuditServiceServer;
use crate::proto::v1::governance_service_server::GovernanceServiceServer;
use crate::proto::v1::policy_service_server::PolicyServiceServer;
use crate::proto::{FILE_DESCRIPTOR_SET, HEALTH_DESCRIPTOR_SET};
use crate::server::streams::Streams;

/// The shared parts of the services.
pub(crate) struct Services {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// Signs checkpoints.
    pub(crate) notary: Arc<Notary>,
    /// The witnesses of checkpoints.
    pub(crate) witnesses: Arc<Witnesses>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The limits for JSON.
    pub(crate) limits: JsonLimits,
    /// The limit of a message's size.
    pub(crate) message_bytes: usize,
}

impl Services {
    /// All services, with health and reflection.
    pub(crate) fn routes(self, health: Statuses) -> Result<Routes, tonic_reflection::server::Error> {
        let Self { governor, notary, witnesses, streams, limits, message_bytes } = self;
        let governance = Governance { governor: Arc::clone(&governor), limits };
        let approvals = Approvals { governor: Arc::clone(&governor), streams: streams.clone(), limits };
        let audit = Audit {
            governor: Arc::clone(&governor),
            notary: Arc::clone(&notary),
            witnesses,
            streams: streams.clone(),
            limits,
        };
        let administration =
            Administration { governor: Arc::clone(&governor), notary, streams: streams.clone(), limits };
        let policies = Policies { governor, streams, limits };
        Ok(Routes::new(HealthServer::new(HealthChecks::new(health)))
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .add_service(GovernanceServiceServer::new(governance).max_decoding_message_size(message_bytes))
            .add_service(ApprovalServiceServer::new(approvals).max_decoding_message_size(message_bytes))
            .add_service(AuditServiceServer::new(audit).max_decoding_message_size(message_bytes))
            .add_service(AdminServiceServer::new(administration).max_decoding_message_size(message_bytes))
            .add_service(PolicyServiceServer::new(policies).max_decoding_message_size(message_bytes))
            .prepare())
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(HEALTH_DESCRIPTOR_SET)
        // So that a debugging client can read the details of an error.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}
