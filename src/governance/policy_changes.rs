//! Changes of the policy: its files are read again, and a change is recorded before it comes into force. See
//! [`policy_update`](super::policy_update) for those that an admin makes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::generations::{Generation, PolicySource};
use super::governor::Governor;
use super::requests::RequestId;
use crate::audit::record::Event;
use crate::audit::{StoreError, StoredLayer, StoredPolicy, Tx, TxError};
use crate::domain::{Digest, Timestamp};
use crate::policy::{Diagnostic, MAX_SOURCE_BYTES, Policy};
use crate::watcher::FileWatcher;

/// The most findings of a refused policy on the record.
pub(super) const FINDINGS_RECORDED: usize = 20;

/// The result of a reload.
#[derive(Debug)]
pub enum Reload {
    /// The files match the policy in force.
    Unchanged,
    /// A new policy is in force.
    Loaded(Arc<Generation>),
    /// The files are not a valid policy. The previous one stays in force.
    Rejected(Vec<Diagnostic>),
}

/// Who put a policy in force, and why. Empty: the daemon, from the files.
#[derive(Default)]
pub(super) struct By {
    pub(super) subject: String,
    pub(super) comment: String,
}

/// The answer to `UpdatePolicy` that is kept for retries.
#[derive(Serialize, Deserialize)]
pub(super) struct Updated {
    pub(super) revision: Digest,
    pub(super) loaded_at: Timestamp,
}

/// Reloads the policy whenever its files change, until told to stop.
pub async fn watch_policy_files(governor: Arc<Governor>, stop: CancellationToken) {
    let PolicySource::Files(files) = governor.generations().source().clone() else { return };
    let mut files = FileWatcher::new(files, MAX_SOURCE_BYTES);
    while let Some(change) = files.changed(&stop).await {
        match governor.reload().await {
            Ok(_) => files.accept(change),
            Err(error) => {
                tracing::error!(%error, "cannot record the changed policy, so it is not in force yet");
            }
        }
    }
}

impl Governor {
    /// Reads the policy files again, and brings a valid policy into force.
    pub async fn reload(&self) -> Result<Reload, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let source = self.generations.source().clone();
        let loaded = tokio::task::spawn_blocking(move || source.load())
            .await
            .map_err(|error| StoreError::Aborted { why: format!("the policy could not be read: {error}").into() })?;
        match loaded {
            Ok(policy) if policy.revision() == self.generations.current().policy.revision() => {
                if self.generations.clear_rejection() {
                    tracing::info!("the policy files are valid again and match the policy in force");
                }
                Ok(Reload::Unchanged)
            }
            Ok(policy) => Ok(Reload::Loaded(self.install(policy, By::default(), None).await?)),
            Err(errors) => {
                let findings = errors.into_iter().collect::<Vec<_>>();
                self.reject(&findings).await?;
                Ok(Reload::Rejected(findings))
            }
        }
    }

    pub(super) async fn install(
        &self,
        policy: Policy,
        by: By,
        id: Option<RequestId>,
    ) -> Result<Arc<Generation>, StoreError> {
        let now = self.clock.now();
        let generations = Arc::clone(&self.generations);
        let policy = Arc::new(policy);
        let generation = self
            .store
            .transact(move |tx| {
                let revision = policy.revision();
                let comment = record_loaded(tx, now, &policy, by)?;
                if let Some(id) = id {
                    id.keep(tx, now, &Updated { revision, loaded_at: now })?;
                }
                let (tell, told) = std::sync::mpsc::channel();
                // It comes into force after it is durable, and before any job of a later batch runs.
                tx.after_commit(move || {
                    let _ = tell.send(generations.install(Generation { policy, loaded_at: now, comment }));
                });
                Ok(told)
            })
            .await?
            .recv()
            .map_err(|_| StoreError::Closed)?;
        self.metrics().reload("policy", true);
        let policy = &generation.policy;
        tracing::info!(revision = %policy.revision(), rules = policy.rules().len(), "policy loaded");
        for warning in policy.warnings() {
            tracing::warn!("{warning}");
        }
        Ok(generation)
    }

    async fn reject(&self, findings: &[Diagnostic]) -> Result<(), StoreError> {
        let now = self.clock.now();
        if !self.generations.reject(now, findings.to_vec()) {
            return Ok(());
        }
        self.metrics().reload("policy", false);
        for finding in findings {
            tracing::error!("{finding}");
        }
        let kept = self.generations.current().policy.revision();
        tracing::error!(%kept, "the changed policy is not valid: the last good one stays in force");
        let errors = findings.iter().take(FINDINGS_RECORDED).map(ToString::to_string).collect();
        let recorded =
            self.store.transact(move |tx| tx.append(now, &Event::PolicyRejected { kept, errors }).map(drop)).await;
        if recorded.is_err() {
            self.generations.forget_report();
        }
        recorded
    }
}

/// Records a policy: its text once, its comment, and the event that it came into force. Returns the comment of the last
/// update that had one.
pub(super) fn record_loaded(tx: &mut Tx<'_>, now: Timestamp, policy: &Policy, by: By) -> Result<String, TxError> {
    let (layers, revision) = (policy.layers(), policy.revision());
    tx.put_policy(
        revision,
        &StoredPolicy {
            layers: layers
                .iter()
                .map(|layer| StoredLayer { name: layer.name.clone(), source: layer.text.clone() })
                .collect(),
            merged: policy.merged().clone(),
        },
    )?;
    if !by.comment.is_empty() {
        tx.comment_policy(revision, &by.comment)?;
    }
    let layers = layers.iter().map(|layer| layer.name.clone()).collect();
    tx.append(now, &Event::PolicyLoaded { revision, layers, by: by.subject, comment: by.comment })?;
    tx.policy_comment(revision)
}
