//! Reloads the identities file and everything that it names: certificates, keys, and the keys of issuers.
//!
//! A change is loaded as a whole, like a change of the policy. A valid change is recorded and then comes into force. A
//! bad one changes nothing; the log, the record, health and metrics report it.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::identities::{Identities, IdentitySource, Loaded};
use super::input::MAX_BYTES;
use super::known::{Known, Staleness};
use super::remote_keys::{News, RemoteKeySets};
use super::tls::Validity;
use crate::domain::{Clock, Digest, Timestamp};
use crate::governance::Governor;
use crate::policy::{Diagnostic, LoadErrors};
use crate::watcher::FileWatcher;

/// The pause before the next attempt after the record failed.
const RETRY: Duration = Duration::from_millis(500);
/// How often refused files are loaded again, because a certificate can become valid with time.
const LOOK_AGAIN: Duration = Duration::from_mins(1);

/// The reloader.
pub struct Reloader {
    reader: Reader,
    known: Arc<Known>,
    files: FileWatcher,
    /// The identities in force.
    revision: Digest,
    /// The last refusal, so that it is reported once.
    rejected: Option<Digest>,
    /// The last warning about the daemon's own certificate.
    warned: Option<(Validity, Warning)>,
}

/// A warning about the expiry of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Warning {
    EndsSoon,
    Ended,
}

/// Loads files and remote keys.
struct Reader {
    source: IdentitySource,
    remote: RemoteKeySets,
    clock: Arc<dyn Clock>,
}

impl Reader {
    /// Reads the files, and fetches the keys of new addresses.
    async fn load(&mut self) -> Loaded {
        loop {
            let (source, fetched, now) = (self.source.clone(), self.remote.fetched(), self.clock.now());
            let loaded = match tokio::task::spawn_blocking(move || (source.load(&fetched, now), fetched)).await {
                Ok((loaded, fetched)) if loaded.addresses.iter().all(|address| fetched.contains_key(address)) => {
                    return loaded;
                }
                Ok((loaded, _)) => loaded,
                Err(error) => {
                    let message = format!("reading the identities failed: {error}");
                    let identities = Err(LoadErrors::new(vec![Diagnostic::for_file("identities", message)]));
                    return Loaded { identities, ..Loaded::nothing() };
                }
            };
            self.remote.fetch_new(&loaded.addresses).await;
        }
    }
}

impl Reloader {
    /// Loads the first generation: without one, the daemon does not start.
    pub async fn start(source: IdentitySource, clock: Arc<dyn Clock>) -> Result<Self, LoadErrors> {
        // The watch starts before the files are read, so that no change is missed.
        let files = source.load(&std::collections::HashMap::new(), clock.now()).files;
        let files = FileWatcher::new(files, MAX_BYTES);
        let mut reader = Reader { source, remote: RemoteKeySets::default(), clock };
        let Loaded { revision, identities, .. } = reader.load().await;
        let known = Arc::new(Known::new(identities?));
        Ok(Self { reader, known, files, revision, rejected: None, warned: None })
    }

    /// The identities in force, with notifications of changes.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// The SHA-256 of the loaded content.
    pub fn revision(&self) -> Digest {
        self.revision
    }
}

/// Reloads the files on every change, until told to stop.
pub(crate) async fn watch(mut reloader: Reloader, governor: Arc<Governor>, stop: CancellationToken) {
    if reloader.reader.source.is_empty() {
        return;
    }
    reloader.say();
    loop {
        let pause = reloader.warn_of_certificate_end();
        tokio::select! {
            change = reloader.files.changed(&stop) => {
                let Some(change) = change else { return };
                if reloader.read(&governor).await {
                    reloader.files.accept(change);
                } else {
                    tokio::time::sleep(RETRY).await;
                }
            }
            news = reloader.reader.remote.news() => {
                match news {
                    News::Changed => while !reloader.read(&governor).await {
                        tokio::select! {
                            () = tokio::time::sleep(RETRY) => {}
                            () = stop.cancelled() => return,
                        }
                    },
                    News::Recovered => tracing::info!("the keys of an issuer can be fetched again"),
                    News::Failing(why) => {
                        let message = "the keys of an issuer cannot be fetched: the last good ones stay in force";
                        tracing::error!(why, "{message}");
                        if let Err(error) = governor.record_identities_rejected(vec![why]).await {
                            tracing::error!(%error, "the refused identities cannot be recorded");
                        }
                    }
                }
                reloader.say();
            }
            () = tokio::time::sleep(LOOK_AGAIN), if reloader.rejected.is_some() => {
                reloader.read(&governor).await;
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Reloader {
    async fn read(&mut self, governor: &Governor) -> bool {
        let loaded = self.reader.load().await;
        self.files.replace(loaded.files.clone());
        self.take(loaded, governor).await
    }

    /// Brings a generation into force, or reports why not. Returns false if it must be tried again.
    async fn take(&mut self, loaded: Loaded, governor: &Governor) -> bool {
        let Loaded { revision, identities, addresses, .. } = loaded;
        let identities = identities.and_then(|identities: Identities| {
            identities.may_follow(&self.known.load())?;
            Ok(identities)
        });
        match identities {
            Ok(_) if revision == self.revision => {
                self.rejected = None;
                self.reader.remote.keep(&addresses);
            }
            Ok(identities) => {
                if let Err(error) = governor.record_identities(revision).await {
                    tracing::error!(%error, "the changed identities cannot be recorded, so they are not in force yet");
                    return false;
                }
                self.known.replace(identities);
                self.reader.remote.keep(&addresses);
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
                    tracing::error!(%error, "the refused identities cannot be recorded yet");
                    return false;
                }
                self.rejected = Some(revision);
            }
            Err(_) => {}
        }
        self.say();
        true
    }

    /// Updates health and metrics.
    fn say(&self) {
        let (rejected, failing) = (self.rejected.is_some(), self.reader.remote.failing());
        self.known.set_staleness(Staleness { rejected, failing });
    }

    /// Warns when the daemon's own certificate expires soon or has expired. Returns the time until the next check.
    fn warn_of_certificate_end(&mut self) -> Duration {
        let Some(validity) = self.known.load().tls.as_ref().map(|tls| tls.validity) else { return LOOK_AGAIN };
        let now: Timestamp = self.reader.clock.now();
        let warning = match validity {
            Validity { until, .. } if until <= now => Some(Warning::Ended),
            _ if validity.ends_soon_from() <= now => Some(Warning::EndsSoon),
            _ => None,
        };
        let until = validity.until;
        if let Some(warning) = warning
            && self.warned != Some((validity, warning))
        {
            match warning {
                Warning::EndsSoon => tracing::warn!(%until, "the certificate of this daemon ends soon: renew it"),
                Warning::Ended => {
                    tracing::error!(%until, "the certificate of this daemon has expired: nobody can connect");
                }
            }
            self.warned = Some((validity, warning));
        }
        // The wall clock may jump forwards, so a long wait checks again from time to time.
        let next = if warning.is_none() { validity.ends_soon_from() } else { until };
        let left = next.duration_since(now);
        if left.is_positive() { left.unsigned_abs().min(LOOK_AGAIN) } else { LOOK_AGAIN }
    }
}
