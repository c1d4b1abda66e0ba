//! The table of halts: who is told no, whatever the policy says, until an admin lets them go on.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::state::Tx;
use crate::domain::{Digest, HaltScope, ParamsError, Timestamp, canonical_json};
use crate::store::error::{StoreError, TxError, damaged};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, TableDef};

/// The table. The key is the hash of the scope.
pub(crate) const HALTS: TableDef<&[u8; 32], Bytes> = TableDef::source("halts");

/// A halt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredHalt {
    /// Whom it is about.
    pub scope: HaltScope,
    /// Why, in the admin's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Who halted them.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

impl Tx<'_> {
    /// Stores a halt. Returns false if there was one of this scope already, which stays.
    pub fn put_halt(&mut self, halt: &StoredHalt) -> Result<bool, TxError> {
        let key = key(&halt.scope)?;
        if self.tables.halts.read()?.get(&key)?.is_some() {
            return Ok(false);
        }
        let value = serde_json::to_vec(halt).map_err(ParamsError::from)?;
        self.tables.halts.insert(&key, value.as_slice())?;
        Ok(true)
    }

    /// Deletes the halt of a scope and returns it, if there is one.
    pub fn remove_halt(&mut self, scope: &HaltScope) -> Result<Option<StoredHalt>, TxError> {
        let key = key(scope)?;
        let found = self.tables.halts.read()?.get(&key)?.map(|value| decode(value.value()));
        let Some(halt) = found else { return Ok(None) };
        self.tables.halts.remove(&key)?;
        halt.map(Some).map_err(TxError::Corrupt)
    }
}

impl Reader {
    /// Every halt.
    pub fn halts(&self) -> Result<Vec<StoredHalt>, StoreError> {
        // A store from before halts existed has no such table.
        let Some(halts) = self.table_if_there(HALTS)? else { return Ok(Vec::new()) };
        halts.iter()?.map(|entry| decode(entry?.1.value()).map_err(damaged)).collect()
    }
}

fn key(scope: &HaltScope) -> Result<[u8; 32], ParamsError> {
    Ok(Digest::of(&canonical_json(scope)?).0)
}

fn decode(value: &[u8]) -> Result<StoredHalt, String> {
    serde_json::from_slice(value).map_err(|error| format!("a halt: {error}"))
}
