//! Updates of the policy by an admin: a new text of the policy file, or an earlier revision.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::error::GovernanceError;
use super::generations::{Generation, PolicySource};
use super::governor::Governor;
use super::policy_changes::{By, Updated};
use super::requests::RequestId;
use crate::audit::{Reader, StoreError, StoredLayer, StoredPolicy};
use crate::domain::{Caller, Digest, Timestamp};
use crate::policy::{Policy, Source};
use crate::watcher::{check_replaceable, replace_bounded};

/// An update of the policy that an admin requests.
#[derive(Clone, Debug)]
pub struct PolicyUpdate {
    /// The new policy.
    pub source: UpdateSource,
    /// The revision that it replaces; empty means any.
    pub expected_revision: String,
    /// Why, for the record.
    pub comment: String,
    /// Whether to check everything and change nothing.
    pub validate_only: bool,
    /// The request id, for safe retries.
    pub request_id: Option<String>,
}

/// Where the new policy comes from.
#[derive(Clone, Debug, Serialize)]
pub enum UpdateSource {
    /// These files.
    Layers(Vec<StoredLayer>),
    /// The policy with a revision that begins so.
    Revision(String),
}

/// The answer to an update.
pub enum UpdatedPolicy {
    /// The policy is in force.
    InForce(Arc<Generation>),
    /// The policy is valid, and nothing has changed.
    Valid {
        /// The policy.
        policy: Box<Policy>,
        /// The comment of the request.
        comment: String,
    },
    /// The same request put this policy in force earlier.
    Earlier {
        /// The policy.
        policy: FoundPolicy,
        /// When it came into force.
        loaded_at: Timestamp,
    },
}

/// A policy of the record.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundPolicy {
    /// Its revision.
    pub revision: Digest,
    /// The policy.
    pub stored: StoredPolicy,
    /// The comment of the last update that put it in force; empty if there was none.
    pub comment: String,
}

impl PolicyUpdate {
    fn id(&self, caller: &Caller) -> Result<Option<RequestId>, GovernanceError> {
        let Self { source, expected_revision, comment, request_id, .. } = self;
        let request = (source, expected_revision, comment);
        Ok(RequestId::new(caller, request_id.as_deref(), "UpdatePolicy", &request)?)
    }
}

impl Governor {
    /// Brings an admin's policy into force and writes it to the policy file.
    ///
    /// Runs to its end even if the caller is gone, so that no file is written that is not in force, and a retry with
    /// the request id receives the answer.
    pub async fn update_policy(
        self: &Arc<Self>,
        caller: &Caller,
        update: PolicyUpdate,
    ) -> Result<UpdatedPolicy, GovernanceError> {
        let (governor, caller) = (Arc::clone(self), caller.clone());
        let updated = tokio::spawn(async move { governor.update_to_the_end(&caller, update).await }).await;
        updated.map_err(|_| StoreError::Closed)?
    }

    async fn update_to_the_end(&self, caller: &Caller, update: PolicyUpdate) -> Result<UpdatedPolicy, GovernanceError> {
        let _one_at_a_time = self.changing.lock().await;
        let id = if update.validate_only { None } else { update.id(caller)? };
        if let Some(id) = &id
            && let Some(Updated { revision, loaded_at }) =
                id.answered::<_, GovernanceError>(&self.store, self.clock.now()).await?
        {
            return Ok(UpdatedPolicy::Earlier { policy: self.stored_policy(revision).await?, loaded_at });
        }
        let file = self.policy_file()?;
        let current = self.generations.current().policy.revision();
        let PolicyUpdate { source, expected_revision: expected, comment, validate_only, .. } = update;
        if !expected.is_empty() && expected != current.to_string() {
            return Err(GovernanceError::RevisionMismatch { expected, actual: current });
        }
        let (field, layers) = match source {
            UpdateSource::Layers(layers) => ("layers.layers[0].yaml", layers),
            UpdateSource::Revision(prefix) => ("revision", self.find_policy(&prefix).await?.stored.layers),
        };
        let yaml = the_layer(layers, &file)?;
        let source = Source { name: file.display().to_string(), text: yaml };
        // On another thread: parsing a long policy takes long, and agents must get answers meanwhile.
        let written = tokio::task::spawn_blocking(move || {
            let policy = Policy::load(std::slice::from_ref(&source));
            let policy = policy.map_err(|errors| GovernanceError::PolicyInvalid { field, errors })?;
            let outcome =
                if validate_only { check_replaceable(&file) } else { replace_bounded(&file, source.text.into_bytes()) };
            outcome.map_err(|error| not_writable(&file, &error))?;
            Ok::<_, GovernanceError>(policy)
        });
        let policy = written.await.map_err(|error| GovernanceError::PolicyNotWritable(error.to_string()))??;
        if validate_only {
            return Ok(UpdatedPolicy::Valid { policy: Box::new(policy), comment });
        }
        let by = By { subject: caller.identity.subject.to_string(), comment };
        Ok(UpdatedPolicy::InForce(self.install(policy, by, id).await?))
    }

    /// A policy of the record by its revision, or by the first digits of it.
    pub async fn find_policy(&self, prefix: &str) -> Result<FoundPolicy, GovernanceError> {
        let wanted = prefix.to_ascii_lowercase();
        let revisions = self.store.look(move |reader| reader.revisions(&wanted, 2)).await?;
        match revisions.as_slice() {
            [] => Err(GovernanceError::NoRevision(prefix.to_owned())),
            [revision] => self.stored_policy(*revision).await,
            _ => Err(GovernanceError::AmbiguousRevision(prefix.to_owned())),
        }
    }

    async fn stored_policy(&self, revision: Digest) -> Result<FoundPolicy, GovernanceError> {
        let look = move |reader: &Reader| Ok((reader.policy(revision)?, reader.policy_comment(revision)?));
        let (stored, comment) = self.store.look(look).await?;
        let stored = stored.ok_or_else(|| GovernanceError::NoRevision(revision.to_string()))?;
        Ok(FoundPolicy { revision, stored, comment })
    }

    /// The policy file, if there is exactly one.
    fn policy_file(&self) -> Result<PathBuf, GovernanceError> {
        let refuse = |why: &str| Err(GovernanceError::PolicyNotWritable(why.to_owned()));
        match self.generations.source() {
            PolicySource::Starter => refuse("it is the built-in one: start `aegis serve` with a policy file"),
            PolicySource::Files(files) => match files.as_slice() {
                [file] => Ok(file.clone()),
                _ => refuse("it has several layers: change the right file on disk"),
            },
        }
    }
}

/// The text of the one layer that the policy file can become.
fn the_layer(layers: Vec<StoredLayer>, file: &Path) -> Result<String, GovernanceError> {
    let count = layers.len();
    match <[StoredLayer; 1]>::try_from(layers) {
        Ok([layer]) => Ok(layer.source),
        Err(_) => Err(GovernanceError::PolicyNotWritable(format!(
            "there is one policy file, {}, and this policy has {count} layers: change the files on disk, and start the \
             daemon with them",
            file.display()
        ))),
    }
}

fn not_writable(file: &Path, error: &io::Error) -> GovernanceError {
    GovernanceError::PolicyNotWritable(format!("{}: {error}", file.display()))
}
