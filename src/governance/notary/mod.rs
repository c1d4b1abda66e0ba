//! Signs for the log: what is durable, and nothing else.
//!
//! A checkpoint says that the log of this origin has so many records and this root. It is only ever made for records that
//! are on disk (with `--durability relaxed`: that have been synced since), because a log must never contradict what it has
//! signed, and a power failure must not make it. Since records are only appended, and a signature of Ed25519 is the same
//! every time, there is nothing to remember of the checkpoints that were handed out.

mod key_files;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::Mutex;

pub use key_files::{KeyFileError, KeyFiles};

use super::Entropy;
use crate::audit::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::audit::log::{LogIdentity, LogKey, sign_rotation};
use crate::audit::note::{Note, NoteError, SigningKey, VerifierKey, check_name, sign};
use crate::audit::record::Event;
use crate::audit::{Appended, Store, StoreError};
use crate::domain::{CallError, Caller, Clock, ErrorCode};

/// The log cannot be signed for.
#[derive(Debug, thiserror::Error)]
pub enum NotaryError {
    /// The record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// The machine gave no random bytes.
    #[error("no random bytes: {0}")]
    Entropy(#[from] getrandom::Error),
    /// This cannot be the name of a log.
    #[error("--origin `{origin}` cannot name a log: {why}")]
    BadOrigin {
        /// What was asked for.
        origin: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The log has another name.
    #[error(
        "this record is the log `{actual}` for good, and cannot become `{wanted}`: leave --origin out, or use another data directory"
    )]
    OtherOrigin {
        /// Its name.
        actual: String,
        /// What was asked for.
        wanted: String,
    },
    /// There is a key, and the record that it belongs to is not there.
    #[error(
        "the record is a new one, `{wanted}`, and {path} is the key of the log `{actual}`: put the record back that belongs to \
         it; or, to begin a new log, move the key away and keep it for whoever has to check the old one"
    )]
    OtherRecord {
        /// The log of the key.
        actual: String,
        /// What the new log would be called.
        wanted: String,
        /// The file.
        path: String,
    },
    /// The key that the record names is not there.
    #[error(
        "the key of the log `{origin}` is not in {path}, which has to hold the private half of {key}: restore the file that \
         belongs to this record; without it nothing can be signed in the log's name"
    )]
    OtherKey {
        /// The log.
        origin: String,
        /// The file.
        path: String,
        /// The verifier key that the record names.
        key: String,
    },
    /// An earlier rotation is on the record, and its key does not sign yet.
    #[error("the key was replaced a moment ago, and that is not settled yet: ask for a checkpoint, then try again")]
    Unsettled,
    /// A key could not be made.
    #[error(transparent)]
    Note(#[from] NoteError),
}

/// Signs for the log.
pub struct Notary {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Entropy,
    files: KeyFiles,
    ring: Mutex<Ring>,
}

/// What is signed with.
struct Ring {
    key: SigningKey,
    last: Option<Arc<Issued>>,
}

/// A checkpoint that was handed out.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The checkpoint, signed by the log.
    pub checkpoint: SignedCheckpoint,
    /// The key that signed it.
    pub key: VerifierKey,
}

/// A key that was replaced.
#[derive(Clone, Debug)]
pub struct Rotated {
    /// The key that signed until now.
    pub old: VerifierKey,
    /// The key that signs from now on.
    pub new: VerifierKey,
    /// The record that says so.
    pub record: Appended,
}

impl From<NotaryError> for CallError {
    fn from(error: NotaryError) -> Self {
        match error {
            NotaryError::Store(error) => Self::from(&error),
            NotaryError::Unsettled => Self::new(ErrorCode::KeyUnsettled, error.to_string()),
            error => Self::new(ErrorCode::LogKeyFault, error.to_string()),
        }
    }
}

impl Notary {
    /// Takes up the log of this store; makes its key and puts its name on the record where that was not done yet.
    ///
    /// A log is named once: `origin` is what it is to be called, or, where it has a name, what it must be called. Without
    /// it, a new log is called `aegis/` and 32 hex digits that are the store's own.
    pub async fn start(
        store: Store,
        files: KeyFiles,
        clock: Arc<dyn Clock>,
        entropy: Entropy,
        origin: Option<String>,
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
            begin(&store, &files, clock.as_ref(), entropy, &origin).await?
        };
        files.publish(&key)?;
        Ok(Self { store, clock, entropy, files, ring: Mutex::new(Ring { key, last: None }) })
    }

    /// The checkpoint of what is durable now.
    pub async fn checkpoint(&self) -> Result<Arc<Issued>, NotaryError> {
        // Whoever rotates the key holds this until the record says so: no size is signed by a key that is not in force at it.
        let mut ring = self.ring.lock().await;
        let size = *self.store.durable().borrow();
        if let Some(last) = ring.last.as_ref().filter(|last| last.checkpoint.checkpoint.size == size) {
            return Ok(Arc::clone(last));
        }
        let (log, root) = self.store.scan(move |reader| Ok((reader.log()?, reader.tree_root(size)?))).await?;
        let Some(log) = log else { return Err(StoreError::Corrupt { what: "the log has no name".into() }.into()) };
        // Not the last key, but the one in force at what is signed: its record may not be durable yet.
        if log.key_at(size) != Some(ring.key.verifier()) {
            // A rotation whose end was in doubt is on the record after all.
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

    /// Replaces the key that signs, on the record: the old key signs for the new one, and is then forgotten.
    ///
    /// Goes on to its end even if nobody waits for that any more: between the record and the file nothing may be left open.
    pub async fn rotate(self: &Arc<Self>, caller: &Caller) -> Result<Rotated, NotaryError> {
        let (notary, by) = (Arc::clone(self), caller.identity.subject.to_string());
        let rotated = tokio::spawn(async move { notary.rotate_to_the_end(by).await }).await;
        rotated.map_err(|_| StoreError::Closed)?
    }

    async fn rotate_to_the_end(&self, by: String) -> Result<Rotated, NotaryError> {
        let mut ring = self.ring.lock().await;
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
        let (now, expected, named) = (self.clock.now(), old.clone(), new.clone());
        let written = self.store.transact(move |tx| {
            let Some(mut log) = tx.log()?.filter(|log| log.current() == Some(&expected)) else { return Ok(None) };
            let appended = tx.append(now, &event)?;
            log.keys.push(LogKey { sequence: appended.sequence, key: named });
            tx.put_log(&log)?;
            Ok(Some(appended))
        });
        let record = written.await?.ok_or(NotaryError::Unsettled)?;
        // The old key goes only when nothing can take the record of the new one away.
        let mut durable = self.store.durable();
        durable.wait_for(|durable| *durable >= record.sequence).await.map_err(|_| StoreError::Closed)?;
        self.files.promote_next(&key)?;
        self.files.publish(&key)?;
        *ring = Ring { key, last: None };
        Ok(Rotated { old, new, record })
    }
}

/// Makes the key of a new log and puts both on the record.
async fn begin(
    store: &Store,
    files: &KeyFiles,
    clock: &dyn Clock,
    entropy: Entropy,
    origin: &str,
) -> Result<SigningKey, NotaryError> {
    // A first start that got no further than the key has left it.
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
            tx.put_log(&LogIdentity { origin, keys: vec![LogKey { sequence: appended.sequence, key: verifier }] })
        })
        .await?;
    Ok(key)
}

/// The private half of a key that the record names, from the one file or the other.
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
