//! Follows the identities file and everything that it names: certificates, keys, and what trusted issuers sign with.
//!
//! As with the policy, a change is read whole; a good one goes on the record and then into force, a bad one is said (in the
//! log, on the record, in health) and changes nothing.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use super::identities::{Identities, IdentitySource, Loaded, MAX_BYTES};
use crate::domain::Digest;
use crate::governance::Governor;
use crate::policy::LoadErrors;
use crate::server::health::Health;
use crate::watcher::FileWatcher;

/// How long to wait before trying again what the record could not take.
const RETRY: Duration = Duration::from_millis(500);

/// What follows the files.
pub struct Reloader {
    source: IdentitySource,
    current: Arc<ArcSwap<Identities>>,
    files: FileWatcher,
    /// What is in force.
    revision: Digest,
    /// What was refused last, so that it is said once.
    rejected: Option<Digest>,
}

impl Reloader {
    /// Loads the first generation: without one, the daemon does not start.
    pub fn start(source: IdentitySource) -> Result<Self, LoadErrors> {
        // Watched from before they are read: what changes in between is seen.
        let files = FileWatcher::new(source.load().files, MAX_BYTES);
        let Loaded { revision, identities, .. } = source.load();
        let current = Arc::new(ArcSwap::from_pointee(identities?));
        Ok(Self { source, current, files, revision, rejected: None })
    }

    /// Whom the daemon knows, from now on.
    pub fn identities(&self) -> &Arc<ArcSwap<Identities>> {
        &self.current
    }

    /// The SHA-256 of what was read.
    pub fn revision(&self) -> Digest {
        self.revision
    }
}

/// Follows the files until told to stop.
pub(in crate::server) async fn watch(
    mut reloader: Reloader,
    governor: Arc<Governor>,
    health: Health,
    stop: CancellationToken,
) {
    if reloader.source.is_empty() {
        return;
    }
    health.auth(true).await;
    while let Some(change) = reloader.files.changed(&stop).await {
        let source = reloader.source.clone();
        let Ok(loaded) = tokio::task::spawn_blocking(move || source.load()).await else { continue };
        reloader.files.replace(loaded.files.clone());
        if reloader.take(loaded, &governor, &health).await {
            reloader.files.accept(change);
        } else {
            tokio::time::sleep(RETRY).await;
        }
    }
}

impl Reloader {
    /// Puts a generation in force, or says why not. False where it must be tried again.
    async fn take(&mut self, loaded: Loaded, governor: &Governor, health: &Health) -> bool {
        let Loaded { revision, identities, .. } = loaded;
        let identities = identities.and_then(|identities| {
            identities.may_follow(&self.current.load())?;
            Ok(identities)
        });
        match identities {
            Ok(_) if revision == self.revision => {
                self.rejected = None;
            }
            Ok(identities) => {
                if let Err(error) = governor.record_identities(revision).await {
                    tracing::error!(%error, "the changed identities cannot be put on the record, so they are not in force yet");
                    return false;
                }
                self.current.store(Arc::new(identities));
                (self.revision, self.rejected) = (revision, None);
                tracing::info!(%revision, "identities loaded");
            }
            Err(errors) if self.rejected != Some(revision) => {
                for finding in &errors {
                    tracing::error!("{finding}");
                }
                tracing::error!("the changed identities are not valid: the last good ones stay in force");
                let findings = errors.iter().map(ToString::to_string).collect();
                if let Err(error) = governor.record_identities_rejected(findings).await {
                    tracing::error!(%error, "that cannot be put on the record yet");
                    return false;
                }
                self.rejected = Some(revision);
            }
            Err(_) => {}
        }
        health.auth(self.rejected.is_none()).await;
        true
    }
}
