//! A new policy: from its files or from an admin, on the record first and then in force.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::error::GovernanceError;
use super::generations::{Generation, PolicySource};
use super::governor::Governor;
use crate::audit::record::Event;
use crate::audit::{StoreError, StoredLayer, StoredPolicy, Tx, TxError};
use crate::domain::{Caller, Timestamp};
use crate::policy::{Diagnostic, MAX_SOURCE_BYTES, Policy, Source};
use crate::watcher::FileWatcher;

/// How many findings of one refused policy go to the record.
pub(super) const FINDINGS_RECORDED: usize = 20;

/// What a reload came to.
#[derive(Debug)]
pub enum Reload {
    /// The files say what is in force already.
    Unchanged,
    /// A new policy is in force.
    Loaded(Arc<Generation>),
    /// The files are not a valid policy: the last good one stays in force.
    Rejected(Vec<Diagnostic>),
}

/// Reloads the policy whenever its files change, until told to stop.
pub async fn watch_policy_files(governor: Arc<Governor>, stop: CancellationToken) {
    let PolicySource::Files(files) = governor.generations().source().clone() else { return };
    let mut files = FileWatcher::new(files, MAX_SOURCE_BYTES);
    while let Some(change) = files.changed(&stop).await {
        match governor.reload().await {
            Ok(_) => files.accept(change),
            Err(error) => {
                tracing::error!(%error, "the changed policy cannot be put on the record, so it is not in force yet");
            }
        }
    }
}

impl Governor {
    /// Reads the policy files again, and puts what they say in force if it is valid.
    pub async fn reload(&self) -> Result<Reload, StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let source = self.generations.source().clone();
        let loaded = tokio::task::spawn_blocking(move || source.load())
            .await
            .map_err(|error| StoreError::Aborted { why: format!("the policy could not be read: {error}").into() })?;
        match loaded {
            Ok(policy) if policy.revision() == self.generations.current().policy.revision() => {
                if self.generations.clear_rejection() {
                    tracing::info!("the policy files are valid again, and what is in force already");
                }
                Ok(Reload::Unchanged)
            }
            Ok(policy) => Ok(Reload::Loaded(self.install(policy, String::new()).await?)),
            Err(errors) => {
                let findings = errors.into_iter().collect::<Vec<_>>();
                self.reject(&findings).await?;
                Ok(Reload::Rejected(findings))
            }
        }
    }

    /// Puts a policy in force on an admin's word, and in its file.
    pub async fn update_policy(
        &self,
        caller: &Caller,
        yaml: String,
        expected: &str,
    ) -> Result<Arc<Generation>, GovernanceError> {
        let _one_at_a_time = self.changing.lock().await;
        let file = self.writable_file()?;
        let current = self.generations.current().policy.revision();
        if !expected.is_empty() && expected != current.to_string() {
            return Err(GovernanceError::RevisionMismatch { expected: expected.to_owned(), actual: current });
        }
        let source = Source { name: file.display().to_string(), text: yaml };
        // Elsewhere: a long policy takes long to read, and agents are answered meanwhile.
        let written = tokio::task::spawn_blocking(move || {
            let policy = Policy::load(std::slice::from_ref(&source)).map_err(GovernanceError::PolicyInvalid)?;
            replace_file(&file, source.text.as_bytes())
                .map_err(|error| GovernanceError::PolicyNotWritable(format!("{}: {error}", file.display())))?;
            Ok::<_, GovernanceError>(policy)
        });
        let policy = written.await.map_err(|error| GovernanceError::PolicyNotWritable(error.to_string()))??;
        Ok(self.install(policy, caller.identity.subject.to_string()).await?)
    }

    /// The one file that the policy lives in, where there is one that can be written.
    fn writable_file(&self) -> Result<PathBuf, GovernanceError> {
        let refuse = |why: &str| Err(GovernanceError::PolicyNotWritable(why.to_owned()));
        let file = match self.generations.source() {
            PolicySource::Starter => return refuse("it is the built-in one: start `aegis serve` with a policy file"),
            PolicySource::Files(files) => match files.as_slice() {
                [file] => file.clone(),
                _ => return refuse("it has several layers: change the file that you mean"),
            },
        };
        match fs::symlink_metadata(&file) {
            Ok(meta) if meta.is_symlink() => {
                refuse("its file is a symbolic link, as in a ConfigMap: change it at its source")
            }
            _ => Ok(file),
        }
    }

    async fn install(&self, policy: Policy, by: String) -> Result<Arc<Generation>, StoreError> {
        let now = self.clock.now();
        let generations = Arc::clone(&self.generations);
        let generation = self
            .store
            .transact(move |tx| {
                record_loaded(tx, now, &policy, by)?;
                let (tell, told) = std::sync::mpsc::channel();
                // In force when it is durable, and before any job of a later batch can look.
                tx.after_commit(move || {
                    let _ = tell.send(generations.install(Generation { policy, loaded_at: now }));
                });
                Ok(told)
            })
            .await?
            .recv()
            .map_err(|_| StoreError::Closed)?;
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

/// Puts a policy on the record: its text once, and that it came into force.
pub(super) fn record_loaded(tx: &mut Tx<'_>, now: Timestamp, policy: &Policy, by: String) -> Result<(), TxError> {
    let layers = policy.layers();
    tx.put_policy(
        policy.revision(),
        &StoredPolicy {
            layers: layers
                .iter()
                .map(|layer| StoredLayer { name: layer.name.clone(), source: layer.text.clone() })
                .collect(),
            merged: policy.merged().clone(),
        },
    )?;
    let layers = layers.iter().map(|layer| layer.name.clone()).collect();
    tx.append(now, &Event::PolicyLoaded { revision: policy.revision(), layers, by }).map(drop)
}

/// Replaces a file whole or not at all: a new file beside it, synced, renamed over it, and the directory synced.
fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it has no file name"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(".aegis-new");
    let temporary = directory.join(temporary);
    let permissions = fs::metadata(path)?.permissions();
    if permissions.readonly() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it is read-only"));
    }
    let written = (|| {
        // What stands under that name, left over or put there as a link to another file, is not written to.
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = File::create_new(&temporary)?;
        file.set_permissions(permissions)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    })();
    if written.is_err() {
        // What was begun is of no use; the error that matters is the one above.
        let _ = fs::remove_file(&temporary);
    }
    written
}
