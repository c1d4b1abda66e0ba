//! Who a log is: its origin, and the keys that have signed for it, first to last.
//!
//! Both are on the record, and in the `meta` table beside it (`log`, as JSON) so that nobody has to look for them. The
//! first key is named by a `log_started` record; each later one by a `log_key_rotated` record, which holds a statement
//! that the key before it and the new one have both signed:
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
//! A checkpoint is signed by the key in force at its size: the last one whose record is in it. So a verifier that knows
//! any one key of a log can follow the others, and an old key is worth nothing from its successor's record on.

use redb::{ReadableTable as _, StorageError};
use serde::{Deserialize, Serialize};

use super::note::{Note, SigningKey, VerifierKey, sign};
use super::tables::LOG;
use crate::audit::state::Tx;
use crate::store::error::{StoreError, TxError, damaged, guarded};
use crate::store::meta::META;
use crate::store::reader::Reader;

/// The first line of a rotation's statement.
const ROTATION: &str = "aegis-key-rotation/v1";

/// A log: its origin and its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The name of the log: the first line of its checkpoints, and the name of its keys.
    pub origin: String,
    /// Its keys, first to last. There is at least one.
    pub keys: Vec<LogKey>,
}

/// A key of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogKey {
    /// The record that names it.
    pub sequence: u64,
    /// The public half.
    pub key: VerifierKey,
}

impl LogIdentity {
    /// The key that signs, or has signed, checkpoints of this size.
    pub fn key_at(&self, size: u64) -> Option<&VerifierKey> {
        let later = self.keys.iter().rev().find(|key| key.sequence <= size);
        Some(&later.or_else(|| self.keys.first())?.key)
    }

    /// The key that signs now.
    pub fn current(&self) -> Option<&VerifierKey> {
        Some(&self.keys.last()?.key)
    }
}

/// The statement that one key follows another, signed by both.
pub fn sign_rotation(origin: &str, old: &SigningKey, new: &SigningKey) -> String {
    sign(&rotation_text(origin, old.verifier(), new.verifier()), &[old, new])
}

/// Checks a statement of that kind.
pub fn verify_rotation(statement: &str, origin: &str, old: &VerifierKey, new: &VerifierKey) -> Result<(), String> {
    let note = Note::parse(statement).map_err(|error| error.to_string())?;
    if note.text != rotation_text(origin, old, new) {
        return Err("the statement is about other keys".to_owned());
    }
    for key in [old, new] {
        note.verify(std::slice::from_ref(key)).map_err(|error| error.to_string())?;
    }
    if note.signatures.len() == 2 { Ok(()) } else { Err("the statement has not two signatures".to_owned()) }
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
    /// Keeps who the log is. The record that says the same is appended in the same job.
    pub fn put_log(&mut self, log: &LogIdentity) -> Result<(), TxError> {
        let json = serde_json::to_vec(&Stored::of(log)).map_err(crate::domain::ParamsError::from)?;
        self.tables.meta.insert(LOG, json.as_slice())?;
        Ok(())
    }

    /// Who the log is, once that is on the record.
    pub fn log(&mut self) -> Result<Option<LogIdentity>, TxError> {
        let stored = self.tables.meta.read()?.get(LOG)?.map(|json| Stored::decode(json.value()));
        stored.transpose().map_err(|why| TxError::Storage(StorageError::Corrupted(why)))
    }
}

impl Reader {
    /// Who the log is, once that is on the record.
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
    fn a_checkpoint_is_the_business_of_the_key_in_force_at_its_size() {
        let keys = [(1, 1), (10, 2)].map(|(sequence, seed)| LogKey { sequence, key: key(seed).verifier().clone() });
        let log = LogIdentity { origin: "example.com/log".into(), keys: keys.to_vec() };
        for (size, seed) in [(0, 1), (1, 1), (9, 1), (10, 2), (1000, 2)] {
            assert_eq!(log.key_at(size), Some(key(seed).verifier()), "size {size}");
        }
        assert_eq!(Stored::decode(&serde_json::to_vec(&Stored::of(&log)).unwrap()).unwrap(), log);
    }
}
