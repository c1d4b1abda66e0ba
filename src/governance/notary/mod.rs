//! The notary signs checkpoints of durable records.
//!
//! A checkpoint states the origin, the size and the root of the log. It covers only records that are on disk (with
//! `--durability relaxed`: already synced). Otherwise a power failure could make the log contradict its own signature.
//! The notary keeps no list of checkpoints: records are only appended, and Ed25519 signatures are deterministic.

mod key_files;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub use key_files::{KeyFileError, KeyFiles};

use super::Entropy;
use super::requests::{RequestId, RequestIdError};
use crate::audit::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::audit::log::{LogIdentity, LogKey, sign_rotation};
use crate::audit::note::{Note, NoteError, SigningKey, VerifierKey, check_name, sign};
use crate::audit::record::Event;
use crate::audit::{Store, StoreError};
use crate::domain::{CallError, Caller, Clock, Digest, ErrorCode};

/// Why the notary failed.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The machine provides no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(#[from] getrandom::Error),
    /// The origin is not a valid name of a log.
    #[error("--origin `{origin}` cannot name a log: {why}")]
    BadOrigin {
        /// The requested origin.
        origin: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The log already has another name.
    #[error(
        "this record is the log `{actual}` for good, and cannot become `{wanted}`: leave --origin out, or use another \
         data directory"
    )]
    OtherOrigin {
        /// Its name.
        actual: String,
        /// The requested origin.
        wanted: String,
    },
    /// The record of an existing key is missing.
    #[error(
        "the record is new (the log `{wanted}`), but {path} is the key of the log `{actual}`: restore the record of \
         that log. To begin a new log instead, move the key away and keep it for those who verify the old log"
    )]
    OtherRecord {
        /// The name of the key's log.
        actual: String,
        /// The name of the new log.
        wanted: String,
        /// The file.
        path: String,
    },
    /// The key that the record names is missing.
    #[error(
        "{path} does not contain the private key of {key}, which signs the log `{origin}`: restore the file of this \
         record. Without it nothing can be signed in the log's name. If it is lost for good, start once with \
         --begin-new-log: that keeps the old record aside, and begins a log that names it"
    )]
    OtherKey {
        /// The log.
        origin: String,
        /// The file.
        path: String,
        /// The verifier key on the record.
        key: String,
    },
    /// An earlier rotation is not finished yet.
    #[error("an earlier rotation of the key is not finished yet: get a checkpoint, then try again")]
    Unsettled,
    /// A new key could not be created.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The request id does not lead to an answer.
    #[error(transparent)]
    RequestId(#[from] RequestIdError),
}

/// Signs checkpoints of the log.
pub struct Notary {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    files: KeyFiles,
    ring: Mutex<Ring>,
}

/// The signing key.
struct Ring {
    key: SigningKey,
    last: Option<Arc<Issued>>,
}

/// A log whose private key is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostLog {
    /// Its name.
    pub origin: String,
    /// The verifier key that signed it last.
    key: String,
    last_sequence: u64,
    root: Digest,
}

/// A signed checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The checkpoint with the log's signature.
    pub checkpoint: SignedCheckpoint,
    /// The key that signed it.
    pub key: VerifierKey,
}

/// The result of a key rotation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The old verifier key, as text.
    pub old: String,
    /// The new verifier key, as text.
    pub new: String,
    /// The sequence number of the record of the rotation.
    pub sequence: u64,
}

impl From<NotaryError> for CallError {
    fn from(error: NotaryError) -> Self {
        match error {
            NotaryError::Store(error) => Self::from(&error),
            NotaryError::RequestId(error) => Self::from(&error),
            NotaryError::Entropy(_) => Self::new(ErrorCode::NoEntropy, error.to_string()),
            NotaryError::Unsettled => Self::new(ErrorCode::KeyUnsettled, error.to_string()),
            error => Self::new(ErrorCode::LogKeyFault, error.to_string()),
        }
    }
}

impl Notary {
    /// The log of this store, if its private key is lost. `origin` is the name of the log that succeeds it.
    pub async fn lost(store: &Store, files: &KeyFiles, origin: Option<&str>) -> Result<Option<LostLog>, NotaryError> {
        let found = store.scan_at_start(|reader| {
            let last_sequence = reader.last_sequence()?;
            Ok((reader.log()?, last_sequence, reader.tree_root(last_sequence)?))
        });
        let (Some(log), last_sequence, root) = found.await? else { return Ok(None) };
        match key_of(files, &log.origin, log.current()) {
            Err(NotaryError::OtherKey { origin: taken, .. }) if origin == Some(&taken) => {
                let why = "it is the log whose key is lost, and the new one needs another name";
                Err(NotaryError::BadOrigin { origin: taken, why })
            }
            Err(NotaryError::OtherKey { origin, key, .. }) => Ok(Some(LostLog { origin, key, last_sequence, root })),
            found => found.map(|_| None),
        }
    }

    /// Opens the log of this store. On the first start, creates its key and records its name, and the lost log that it
    /// succeeds.
    ///
    /// A log gets its name once. `origin` is the name of a new log, and must equal the name of an existing one. Without
    /// it, the name of a new log is `aegis/` and 32 hex digits of the store's id.
    pub async fn start(
        store: Store,
        files: KeyFiles,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        origin: Option<String>,
        succeeds: Option<LostLog>,
    ) -> Result<Self, NotaryError> {
        let (known, store_id) = store.look(|reader| Ok((reader.log()?, reader.store_id()?))).await?;
        let key = if let Some(log) = known {
            if let Some(wanted) = origin.filter(|wanted| *wanted != log.origin) {
                return Err(NotaryError::OtherOrigin { actual: log.origin, wanted });
            }
            let key = key_of(&files, &log.origin, log.current())?;
            files.forget_next()?;
            key
        } else {
            let origin = match origin {
                Some(origin) => origin,
                None => format!("aegis/{}", hex::encode(store_id)),
            };
            check_name(&origin).map_err(|why| NotaryError::BadOrigin { origin: origin.clone(), why })?;
            begin(&store, &files, clock.as_ref(), entropy, &origin, succeeds).await?
        };
        files.publish(&key)?;
        Ok(Self { store, clock, entropy, files, ring: Mutex::new(Ring { key, last: None }) })
    }

    /// Signs a checkpoint of the durable records.
    pub async fn checkpoint(&self) -> Result<Arc<Issued>, NotaryError> {
        // A rotation holds this lock until it is on the record, so that a key never signs a size at which it is not in
        // force.
        let mut ring = self.ring.lock().await;
        let size = *self.store.durable().borrow();
        if let Some(last) = ring.last.as_ref().filter(|last| last.checkpoint.checkpoint.size == size) {
            return Ok(Arc::clone(last));
        }
        let (log, root) = self.store.scan(move |reader| Ok((reader.log()?, reader.tree_root(size)?))).await?;
        let Some(log) = log else { return Err(StoreError::Corrupt { what: "the log has no name".into() }.into()) };
        // The key in force at this size may not be the last one, whose record may not be durable yet.
        if log.key_at(size) != Some(ring.key.verifier()) {
            // A rotation with an unknown result is on the record after all.
            ring.key = key_of(&self.files, &log.origin, log.key_at(size))?;
            self.files.publish(&ring.key)?;
        }
        let checkpoint = Checkpoint { origin: log.origin, size, root };
        let text = checkpoint.to_string();
        let note = Note::parse(&sign(&text, &[&ring.key]))?;
        let checkpoint = SignedCheckpoint { checkpoint, note };
        let issued = Arc::new(Issued { checkpoint, key: ring.key.verifier().clone() });
        ring.last = Some(Arc::clone(&issued));
        Ok(issued)
    }

    /// Rotates the signing key and records it. The old key signs a statement for the new one and is then deleted.
    ///
    /// Runs to its end even if the caller is gone, so that the record and the key file stay consistent.
    pub async fn rotate(self: &Arc<Self>, caller: &Caller, request_id: Option<&str>) -> Result<Rotated, NotaryError> {
        let id = RequestId::new(caller, request_id, "RotateLogKey", &())?;
        let (notary, by) = (Arc::clone(self), caller.identity.subject.to_string());
        let rotated = tokio::spawn(async move { notary.rotate_to_the_end(by, id).await }).await;
        rotated.map_err(|_| StoreError::Closed)?
    }

    async fn rotate_to_the_end(&self, by: String, id: Option<RequestId>) -> Result<Rotated, NotaryError> {
        let mut ring = self.ring.lock().await;
        if let Some(id) = &id
            && let Some(earlier) = id.answered::<_, NotaryError>(&self.store, self.clock.now()).await?
        {
            return Ok(earlier);
        }
        let origin = ring.key.verifier().name().to_owned();
        let key = new_key(self.entropy, &origin)?;
        self.files.write_next(&key)?;
        let (old, new) = (ring.key.verifier().clone(), key.verifier().clone());
        let event = Event::LogKeyRotated {
            old_key: old.to_string(),
            new_key: new.to_string(),
            statement: sign_rotation(&origin, &ring.key, &key),
            by,
        };
        let (now, expected, named, event_key) = (self.clock.now(), old.clone(), new.clone(), new.to_string());
        let written = self.store.transact(move |tx| {
            let Some(mut log) = tx.log()?.filter(|log| log.current() == Some(&expected)) else { return Ok(None) };
            let appended = tx.append(now, &event)?;
            log.keys.push(LogKey { sequence: appended.sequence, key: named });
            tx.put_log(&log)?;
            let rotated = Rotated { old: expected.to_string(), new: event_key, sequence: appended.sequence };
            if let Some(id) = id {
                id.keep(tx, now, &rotated)?;
            }
            Ok(Some(rotated))
        });
        let rotated = written.await?.ok_or(NotaryError::Unsettled)?;
        // The old key is deleted only after the record of the new one is durable.
        let mut durable = self.store.durable();
        durable.wait_for(|durable| *durable >= rotated.sequence).await.map_err(|_| StoreError::Closed)?;
        self.files.promote_next(&key)?;
        self.files.publish(&key)?;
        *ring = Ring { key, last: None };
        Ok(rotated)
    }
}

/// Creates the key of a new log, and records the key and the log's name.
async fn begin(
    store: &Store,
    files: &KeyFiles,
    clock: &dyn Clock,
    entropy: Entropy,
    origin: &str,
    succeeds: Option<LostLog>,
) -> Result<SigningKey, NotaryError> {
    // An interrupted first start may have left this key.
    let key = match files.read()? {
        Some(key) if key.verifier().name() == origin => key,
        Some(other) => {
            let (actual, wanted) = (other.verifier().name().to_owned(), origin.to_owned());
            return Err(NotaryError::OtherRecord { actual, wanted, path: files.key().display().to_string() });
        }
        None => {
            let key = new_key(entropy, origin)?;
            files.write_next(&key)?;
            files.promote_next(&key)?;
            key
        }
    };
    let (now, origin, verifier) = (clock.now(), origin.to_owned(), key.verifier().clone());
    let event = Event::LogStarted { origin: origin.clone(), key: verifier.to_string() };
    store
        .transact(move |tx| {
            let appended = tx.append(now, &event)?;
            if let Some(LostLog { origin, key, last_sequence, root }) = succeeds {
                tx.append(now, &Event::LogSucceeds { origin, key, last_sequence, root })?;
            }
            tx.put_log(&LogIdentity { origin, keys: vec![LogKey { sequence: appended.sequence, key: verifier }] })
        })
        .await?;
    Ok(key)
}

/// The private key of a key on the record, from either file.
fn key_of(files: &KeyFiles, origin: &str, wanted: Option<&VerifierKey>) -> Result<SigningKey, NotaryError> {
    let is_wanted = |key: &SigningKey| wanted == Some(key.verifier());
    if let Some(key) = files.read()?.filter(is_wanted) {
        return Ok(key);
    }
    let next = wanted.map(|wanted| files.read_next(wanted)).transpose()?.flatten();
    if let Some(key) = next.filter(is_wanted) {
        files.promote_next(&key)?;
        return Ok(key);
    }
    Err(NotaryError::OtherKey {
        origin: origin.to_owned(),
        path: files.key().display().to_string(),
        key: wanted.map(ToString::to_string).unwrap_or_default(),
    })
}

fn new_key(entropy: Entropy, origin: &str) -> Result<SigningKey, NotaryError> {
    let mut seed = [0; 32];
    entropy(&mut seed)?;
    Ok(SigningKey::from_seed(origin, seed)?)
}
