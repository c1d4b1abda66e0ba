//! `PolicyService`, for admins, and for auditors as far as it reads. It only converts between protobuf and the domain.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::request::Reader;
use super::sending::{Unpolled, frame, frame_after, sending};
use super::{caller, response, standing};
use crate::audit::StoredLayer;
use crate::domain::{CallError, JsonLimits};
use crate::governance::{Governor, PolicyUpdate, UpdateSource, UpdatedPolicy};
use crate::policy::{MAX_LAYERS, Policy, Source};
use crate::proto::v1;
use crate::proto::v1::policy_service_server::PolicyService;
use crate::server::streams::{HEARTBEAT, Over, Streams, stopping};

/// The admin's side of the daemon.
pub(crate) struct Policies {
    /// Decides and records.
    pub(crate) governor: Arc<Governor>,
    /// The open streams.
    pub(crate) streams: Streams,
    /// The size limits of a request.
    pub(crate) limits: JsonLimits,
}

impl Policies {
    fn update(&self, request: v1::UpdatePolicyRequest) -> Result<PolicyUpdate, CallError> {
        use v1::update_policy_request::Source as Given;
        let v1::UpdatePolicyRequest { source, expected_revision, comment, validate_only, request_id } = request;
        let mut reader = Reader::new(self.limits);
        let source = match source {
            Some(Given::Layers(v1::PolicyLayers { layers })) => {
                reader.layers("layers.layers", &layers);
                let layer = |layer: v1::PolicyLayer| StoredLayer { name: layer.name, source: layer.yaml };
                UpdateSource::Layers(layers.into_iter().take(MAX_LAYERS).map(layer).collect())
            }
            Some(Given::Revision(revision)) => {
                reader.revision_prefix("revision", &revision);
                UpdateSource::Revision(revision)
            }
            None => {
                reader.wrong("source", "must be given: `layers`, or the `revision` of an earlier policy");
                UpdateSource::Layers(Vec::new())
            }
        };
        let comment = reader.free_text("comment", comment);
        let request_id = reader.optional_name("request_id", request_id);
        reader.finish(PolicyUpdate { source, expected_revision, comment, validate_only, request_id })
    }
}

#[tonic::async_trait]
impl PolicyService for Policies {
    type WatchPolicyStream = Unpolled<v1::WatchPolicyResponse>;

    async fn get_policy(
        &self,
        request: Request<v1::GetPolicyRequest>,
    ) -> Result<Response<v1::GetPolicyResponse>, Status> {
        let wanted = request.into_inner().revision;
        let current = self.governor.generations().current();
        if wanted.is_empty() || wanted == current.policy.revision().to_string() {
            return Ok(Response::new(v1::GetPolicyResponse { policy: Some(response::policy(&current)) }));
        }
        let mut reader = Reader::new(self.limits);
        reader.revision_prefix("revision", &wanted);
        reader.finish(())?;
        let found = self.governor.find_policy(&wanted).await?;
        let is_current = found.revision == current.policy.revision();
        let policy = if is_current { response::policy(&current) } else { response::found_policy(found) };
        Ok(Response::new(v1::GetPolicyResponse { policy: Some(policy) }))
    }

    async fn update_policy(
        &self,
        request: Request<v1::UpdatePolicyRequest>,
    ) -> Result<Response<v1::UpdatePolicyResponse>, Status> {
        let caller = caller(&request)?;
        let update = self.update(request.into_inner())?;
        let policy = match self.governor.update_policy(&caller, update).await? {
            UpdatedPolicy::InForce(generation) => response::policy(&generation),
            UpdatedPolicy::Valid { policy, comment } => response::valid_policy(&policy, comment),
            UpdatedPolicy::Earlier { policy, loaded_at } => {
                let loaded_at = Some(response::timestamp(loaded_at));
                v1::Policy { loaded_at, ..response::found_policy(policy) }
            }
        };
        Ok(Response::new(v1::UpdatePolicyResponse { policy: Some(policy) }))
    }

    async fn validate_policy(
        &self,
        request: Request<v1::ValidatePolicyRequest>,
    ) -> Result<Response<v1::ValidatePolicyResponse>, Status> {
        let layers = request.into_inner().layers;
        let mut reader = Reader::new(self.limits);
        reader.layers("layers", &layers);
        let layers = reader.finish(layers)?;
        let sources: Vec<Source> =
            layers.into_iter().map(|layer| Source { name: layer.name, text: layer.yaml }).collect();
        let loaded = tokio::task::spawn_blocking(move || Policy::load(&sources)).await;
        let loaded = loaded.map_err(|error| CallError::internal(format!("the policy could not be read: {error}")))?;
        Ok(Response::new(match loaded {
            Ok(policy) => v1::ValidatePolicyResponse {
                valid: Some(true),
                errors: Vec::new(),
                warnings: response::findings(policy.warnings()),
                revision: policy.revision().to_string(),
            },
            Err(errors) => v1::ValidatePolicyResponse {
                valid: Some(false),
                errors: response::findings(errors.diagnostics()),
                warnings: Vec::new(),
                revision: String::new(),
            },
        }))
    }

    async fn watch_policy(
        &self,
        request: Request<v1::WatchPolicyRequest>,
    ) -> Result<Response<Self::WatchPolicyStream>, Status> {
        let standing = standing(&request)?.clone();
        let governor = Arc::clone(&self.governor);
        let messages = self.streams.open(standing, |sink| async move {
            let mut state = governor.generations().state();
            let mut told = None;
            loop {
                let now = state.borrow_and_update().clone();
                let standing = (now.current.policy.revision(), now.rejected.is_some());
                // After a refused change was undone, the policy in force is sent again, without the refusal.
                let news = told.is_none_or(|(revision, rejected)| revision != standing.0 || (rejected && !standing.1));
                let (place, mut events) = (sink.batch().await?, Vec::new());
                for event in response::policy_events(&now, news) {
                    frame_after(&mut events, &event);
                }
                place.send(events)?;
                told = Some(standing);
                loop {
                    let changed = tokio::select! {
                        () = sink.closed() => return Err(Over::ClientGone),
                        changed = tokio::time::timeout(HEARTBEAT, state.changed()) => changed,
                    };
                    match changed {
                        Ok(Ok(())) => break,
                        Ok(Err(_)) => return Err(stopping()),
                        Err(_) => sink.send(frame(&response::policy_heartbeat(governor.now()))).await?,
                    }
                }
            }
        })?;
        Ok(sending(messages))
    }
}
