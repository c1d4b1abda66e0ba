//! Witnesses receive the checkpoints of the log. With them, nobody can truncate the record or restore an older copy
//! unnoticed.
//!
//! A **file** is the simplest witness. The daemon appends a line of JSON, `{"checkpoint":"…"}`, for each checkpoint and
//! syncs it. The file should be hard to replace together with the record: on another volume, on an append-only mount,
//! or a pipe to another machine. The daemon starts only if the record still matches the last line.
//!
//! A **witness over HTTP** (c2sp.org/tlog-witness) verifies with a consistency proof that the log only grows. It
//! responds with a cosignature, which the daemon verifies and keeps. If the witness has seen more records than there
//! are, it says so: then an older copy of the record is in use.
//!
//! The daemon sends checkpoints in the background, some seconds apart, and never delays a proposal. `GetCheckpoint`,
//! the metrics and the health service `aegis.witness` show which witness is behind.

mod file;
mod http;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::audit::checkpoint::SignedCheckpoint;
use crate::audit::note::{Algorithm, NoteError, VerifierKey};
use crate::audit::{Store, StoreError};
use crate::domain::{Clock, Timestamp};
use crate::governance::{Notary, NotaryError};
use crate::outbound::fetch::{Client, FetchError, Url};

/// The shortest time between two checkpoints to the same witness.
const EVERY: Duration = Duration::from_secs(5);
/// The longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// A witness, as `--witness` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WitnessSource {
    /// `file:PATH`.
    File(PathBuf),
    /// `URL#VKEY`: the address of the witness, and its verifier key.
    Http {
        /// The address of `add-checkpoint`.
        url: Url,
        /// The key that verifies its cosignatures.
        key: VerifierKey,
    },
}

impl FromStr for WitnessSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file:") {
            return if path.is_empty() { Err("it has no path".to_owned()) } else { Ok(Self::File(path.into())) };
        }
        let form = "write file:PATH, or URL#VKEY: https://witness.example/w1#witness.example/w1+1a2b3c4d+BA…";
        let (prefix, key) = text.split_once('#').ok_or(form)?;
        let key: VerifierKey = key.parse().map_err(|error: NoteError| error.to_string())?;
        if key.algorithm() != Algorithm::Cosignature {
            return Err(
                "the key is one for notes, and a witness cosigns with another kind (signature type 4)".to_owned()
            );
        }
        let url = Url::parse(&format!("{}/add-checkpoint", prefix.trim_end_matches('/')));
        Ok(Self::Http { url: url.map_err(|error| error.to_string())?, key })
    }
}

/// Why the record does not match a witness, or a witness cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessError {
    /// The file cannot be read or written.
    #[error("--witness file:{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        error: std::io::Error,
    },
    /// The file does not hold checkpoints of this log.
    #[error("--witness file:{}: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The record has fewer records than the witness has seen.
    #[error(
        "the record has {records} records, and --witness file:{} has a checkpoint of {seen}: the record is an older \
         copy, or was cut off. Restore the newer record; to accept the older one, name another file",
        path.display()
    )]
    SetBack {
        /// The file.
        path: PathBuf,
        /// How many records there are.
        records: u64,
        /// How many records the witness has seen.
        seen: u64,
    },
    /// The record differs from what the witness has seen.
    #[error(
        "the first {seen} records are not those of the checkpoint in --witness file:{}: the record was changed, or an \
         older copy was continued. Keep a copy of the record and of that file for inspection",
        path.display()
    )]
    Inconsistent {
        /// The file.
        path: PathBuf,
        /// How many records the checkpoint covers.
        seen: u64,
    },
    /// The record cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The HTTP client cannot be created.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Compares the record with the last checkpoint in each file, before anything is added to the record.
pub(crate) async fn check(sources: &[WitnessSource], store: &Store) -> Result<(), WitnessError> {
    for source in sources {
        match source {
            WitnessSource::File(path) => file::check(path, store).await?,
            WitnessSource::Http { .. } => {}
        }
    }
    Ok(())
}

/// The state of a witness.
#[derive(Clone, Debug)]
pub(crate) struct WitnessState {
    /// Its name.
    pub(crate) name: String,
    /// The size of the last checkpoint that it accepted from this daemon.
    pub(crate) size: u64,
    /// When it accepted that checkpoint.
    pub(crate) at: Option<Timestamp>,
    /// Why it did not accept the latest checkpoint.
    pub(crate) error: Option<String>,
}

/// All witnesses and their states.
#[derive(Debug, Default)]
pub(crate) struct Witnesses {
    states: Mutex<Vec<WitnessState>>,
    /// The newest checkpoint that a witness cosigned, with all its cosignatures.
    cosigned: Mutex<Option<SignedCheckpoint>>,
    /// Whether any witness has not accepted the latest checkpoint. `None` until the first one was sent.
    behind: watch::Sender<Option<bool>>,
}

/// What the task of a witness needs.
struct Attendant {
    number: usize,
    witness: Witness,
    all: Arc<Witnesses>,
    notary: Arc<Notary>,
    store: Store,
    clock: Arc<dyn Clock>,
}

enum Witness {
    File(file::FileWitness),
    Http(Box<http::HttpWitness>),
}

impl Witnesses {
    /// Starts a task for each witness.
    pub(crate) fn start(
        sources: &[WitnessSource],
        notary: &Arc<Notary>,
        store: &Store,
        clock: &Arc<dyn Clock>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Arc<Self>, WitnessError> {
        let all = Arc::new(Self::default());
        let mut client = None;
        for (number, source) in sources.iter().enumerate() {
            let witness = match source {
                WitnessSource::File(path) => Witness::File(file::FileWitness::open(path)?),
                WitnessSource::Http { url, key } => {
                    let client = match &client {
                        Some(client) => Client::clone(client),
                        None => client.insert(Client::new(None)?).clone(),
                    };
                    Witness::Http(Box::new(http::HttpWitness::new(client, url.clone(), key.clone())))
                }
            };
            all.states().push(WitnessState { name: witness.name(), size: 0, at: None, error: None });
            let attendant = Attendant {
                number,
                witness,
                all: Arc::clone(&all),
                notary: Arc::clone(notary),
                store: store.clone(),
                clock: Arc::clone(clock),
            };
            tasks.spawn(attendant.attend(stop.clone()));
        }
        Ok(all)
    }

    /// The state of each witness.
    pub(crate) fn states(&self) -> MutexGuard<'_, Vec<WitnessState>> {
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches whether any witness has not accepted the latest checkpoint. `None` until the first one was sent.
    pub(crate) fn behind(&self) -> watch::Receiver<Option<bool>> {
        self.behind.subscribe()
    }

    /// The newest checkpoint that a witness cosigned.
    pub(crate) fn cosigned(&self) -> Option<SignedCheckpoint> {
        self.cosigned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds cosignatures to their checkpoint, if that is still the newest.
    fn add(&self, cosigned: SignedCheckpoint) {
        let mut newest = self.cosigned.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *newest {
            Some(known) if known.note.text == cosigned.note.text => {
                for signature in cosigned.note.signatures {
                    // A witness that is asked again signs a later time. The latest signature is kept.
                    known.note.signatures.retain(|there| (&there.name, there.id) != (&signature.name, signature.id));
                    known.note.signatures.push(signature);
                }
            }
            Some(known) if known.checkpoint.size >= cosigned.checkpoint.size => {}
            _ => *newest = Some(cosigned),
        }
    }
}

/// Sends the last checkpoint of this run to the files.
pub(crate) async fn finish(sources: &[WitnessSource], notary: &Notary) {
    for source in sources {
        let WitnessSource::File(path) = source else { continue };
        let handed = async {
            let issued = notary.checkpoint().await.map_err(|error| error.to_string())?;
            file::FileWitness::open(path).map_err(|error| error.to_string())?.hand(&issued.checkpoint).await
        };
        if let Err(error) = handed.await {
            tracing::error!(witness = %path.display(), error, "cannot send the last checkpoint to a witness");
        }
    }
}

impl Attendant {
    /// Sends checkpoints until told to stop.
    async fn attend(mut self, stop: CancellationToken) {
        let mut durable = self.store.durable();
        let mut pause = EVERY;
        loop {
            durable.mark_unchanged();
            match self.hand().await {
                Ok(()) => pause = EVERY,
                Err(error) => {
                    let witness = self.witness.name();
                    tracing::error!(witness, error, "a witness is behind: it has not accepted the latest checkpoint");
                    self.all.states()[self.number].error = Some(error);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
            let behind = self.all.states().iter().any(|state| state.error.is_some());
            self.all.behind.send_if_modified(|current| current.replace(behind) != Some(behind));
            let is_behind = self.all.states()[self.number].error.is_some();
            let next = async {
                tokio::time::sleep(pause).await;
                // A new checkpoint is sent at once. A failed one is sent again in any case.
                is_behind || durable.changed().await.is_ok()
            };
            tokio::select! {
                () = stop.cancelled() => return,
                goes_on = next => if !goes_on { return },
            }
        }
    }

    async fn hand(&mut self) -> Result<(), String> {
        let issued = self.notary.checkpoint().await.map_err(|error: NotaryError| error.to_string())?;
        let checkpoint = &issued.checkpoint;
        match &mut self.witness {
            Witness::File(file) => file.hand(checkpoint).await?,
            Witness::Http(http) => {
                let cosigned = http.hand(checkpoint, &self.store).await?;
                self.all.add(cosigned);
            }
        }
        let mut states = self.all.states();
        let state = &mut states[self.number];
        (state.size, state.at, state.error) = (checkpoint.checkpoint.size, Some(self.clock.now()), None);
        Ok(())
    }
}

impl Witness {
    fn name(&self) -> String {
        match self {
            Self::File(file) => file.name(),
            Self::Http(http) => http.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_is_named_by_a_file_or_by_a_url_and_its_key() {
        let key = "witness.example/w1+6fd5bc2f+BDXbO8iyzGTWe7NXEx2LDPCwWPFeNm2DCyDyFTFAsTzF";
        assert_eq!("file:/a/b".parse(), Ok(WitnessSource::File("/a/b".into())));
        for wrong in [
            "",
            "file:",
            "/a/b",
            "https://witness.example/w1",
            "https://witness.example/w1#key",
            "https://witness.example/w1#example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k",
            &format!("http://witness.example/w1#{key}"),
        ] {
            assert!(wrong.parse::<WitnessSource>().is_err(), "{wrong}");
        }
    }
}
