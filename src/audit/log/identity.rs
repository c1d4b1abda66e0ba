//! The identity of a log: its origin, and all its signing keys in order.
//!
//! The log records both, and the `meta` table has a copy (`log`, as JSON) for quick access. A `log_started` record
//! names the first key. A `log_key_rotated` record names each later key; it contains a statement that the old and the
//! new key have signed:
//!
//! ```text
//! aegis-key-rotation/v1
//! <origin>
//! <verifier key that has signed so far>
//! <verifier key that signs from now on>
//!
//! — <origin> <signature of the first key>
//! — <origin> <signature of the second key>
//! ```
//!
//! The key in force at its size signs a checkpoint: the last key whose record the checkpoint covers. So a verifier that
//! knows one key of a log can find the others. An old key cannot sign anything after the record of its successor.

use redb::{ReadableTable as _, StorageError};
use serde::{Deserialize, Serialize};

use super::note::{Note, SigningKey, VerifierKey, sign};
use super::tables::LOG;
use crate::audit::state::Tx;
use crate::store::error::{StoreError, TxError, damaged, guarded};
use crate::store::meta::META;
use crate::store::reader::Reader;

/// The first line of the statement.
const ROTATION: &str = "aegis-key-rotation/v1";

/// A log: its origin and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The name of the log. It is the first line of its checkpoints and the name of its keys.
    pub origin: String,
    /// The keys in order. At least one.
    pub keys: Vec<LogKey>,
}

/// A key of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// The sequence number of the record that names it.
    pub sequence: u64,
    /// The public key.
    pub key: VerifierKey,
}

impl LogIdentity {
    /// The key that signs checkpoints of this size.
    pub fn key_at(&self, size: u64) -> Option<&VerifierKey> {
        let later = self.keys.iter().rev().find(|key| key.sequence <= size);
        Some(&later.or_else(|| self.keys.first())?.key)
    }

    /// The key that signs now.
    pub fn current(&self) -> Option<&VerifierKey> {
        Some(&self.keys.last()?.key)
    }
}

/// The statement that one key replaces another, signed by both.
pub fn sign_rotation(origin: &str, old: &SigningKey, new: &SigningKey) -> String {
    sign(&rotation_text(origin, old.verifier(), new.verifier()), &[old, new])
}

/// Verifies such a statement.
pub fn verify_rotation(statement: &str, origin: &str, old: &VerifierKey, new: &VerifierKey) -> Result<(), String> {
    let note = Note::parse(statement).map_err(|error| error.to_string())?;
    if note.text != rotation_text(origin, old, new) {
        return Err("the statement names other keys".to_owned());
    }
    for key in [old, new] {
        note.verify(std::slice::from_ref(key)).map_err(|error| error.to_string())?;
    }
    if note.signatures.len() == 2 { Ok(()) } else { Err("the statement must have exactly two signatures".to_owned()) }
}

fn rotation_text(origin: &str, old: &VerifierKey, new: &VerifierKey) -> String {
    format!("{ROTATION}\n{origin}\n{old}\n{new}\n")
}

/// The JSON of the `meta` table.
#[derive(Serialize, Deserialize)]
struct Stored {
    origin: String,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
struct StoredKey {
    sequence: u64,
    key: String,
}

impl Stored {
    fn of(log: &LogIdentity) -> Self {
        let keys = log.keys.iter().map(|key| StoredKey { sequence: key.sequence, key: key.key.to_string() });
        Self { origin: log.origin.clone(), keys: keys.collect() }
    }

    fn decode(json: &[u8]) -> Result<LogIdentity, String> {
        let stored: Self = serde_json::from_slice(json).map_err(|error| format!("the name of the log: {error}"))?;
        let keys = stored.keys.into_iter().map(|StoredKey { sequence, key }| {
            let key = key.parse().map_err(|error| format!("a key of the log: {error}"))?;
            Ok(LogKey { sequence, key })
        });
        let keys: Vec<_> = keys.collect::<Result<_, String>>()?;
        if keys.is_empty() { Err("the log has no key".into()) } else { Ok(LogIdentity { origin: stored.origin, keys }) }
    }
}

impl Tx<'_> {
    /// Stores the identity of the log. The same job must append the record of it.
    pub fn put_log(&mut self, log: &LogIdentity) -> Result<(), TxError> {
        let json = serde_json::to_vec(&Stored::of(log)).map_err(crate::domain::ParamsError::from)?;
        self.tables.meta.insert(LOG, json.as_slice())?;
        Ok(())
    }

    /// The identity of the log; `None` before it is on the record.
    pub fn log(&mut self) -> Result<Option<LogIdentity>, TxError> {
        let stored = self.tables.meta.read()?.get(LOG)?.map(|json| Stored::decode(json.value()));
        stored.transpose().map_err(|why| TxError::Storage(StorageError::Corrupted(why)))
    }
}

impl Reader {
    /// The identity of the log; `None` before it is on the record.
    pub fn log(&self) -> Result<Option<LogIdentity>, StoreError> {
        guarded(|| {
            let stored = self.table(META)?.get(LOG)?.map(|json| Stored::decode(json.value()));
            stored.transpose().map_err(damaged)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("example.com/log", [seed; 32]).unwrap()
    }

    #[test]
    fn a_rotation_is_signed_by_both_keys() {
        let (old, new, other) = (key(1), key(2), key(3));
        let statement = sign_rotation("example.com/log", &old, &new);
        verify_rotation(&statement, "example.com/log", old.verifier(), new.verifier()).unwrap();
        for (origin, from, to) in
            [("example.com/other", &old, &new), ("example.com/log", &other, &new), ("example.com/log", &old, &other)]
        {
            assert!(verify_rotation(&statement, origin, from.verifier(), to.verifier()).is_err());
        }
        let text = rotation_text("example.com/log", old.verifier(), new.verifier());
        for keys in [vec![&old], vec![&new], vec![&old, &other], vec![&old, &new, &other]] {
            let statement = sign(&text, &keys);
            assert!(verify_rotation(&statement, "example.com/log", old.verifier(), new.verifier()).is_err());
        }
    }

    #[test]
    fn the_key_in_force_at_its_size_signs_a_checkpoint() {
        let keys = [(1, 1), (10, 2)].map(|(sequence, seed)| LogKey { sequence, key: key(seed).verifier().clone() });
        let log = LogIdentity { origin: "example.com/log".into(), keys: keys.to_vec() };
        for (size, seed) in [(0, 1), (1, 1), (9, 1), (10, 2), (1000, 2)] {
            assert_eq!(log.key_at(size), Some(key(seed).verifier()), "size {size}");
        }
        assert_eq!(Stored::decode(&serde_json::to_vec(&Stored::of(&log)).unwrap()).unwrap(), log);
    }
}
