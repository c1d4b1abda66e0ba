//! Stores each policy that was in force, once, under its revision. So every record that names a revision can be
//! explained.

use redb::ReadableTable as _;
use serde::{Deserialize, Serialize};

use super::state::Tx;
use crate::domain::Digest;
use crate::store::error::{StoreError, TxError, damaged, guarded};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, TableDef};

/// The table.
pub(crate) const POLICIES: TableDef<&[u8; 32], Bytes> = TableDef::source("policies");

/// A stored policy: enough to show it and to evaluate it again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredPolicy {
    /// Its layers, lowest first.
    pub layers: Vec<StoredLayer>,
    /// The merged policy. The revision is the hash of its canonical JSON.
    pub merged: serde_json::Value,
}

/// One layer of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLayer {
    /// Its name, as in messages about the policy.
    pub name: String,
    /// Its source text.
    pub source: String,
}

impl Tx<'_> {
    /// Stores a policy. Returns whether its revision was new.
    pub fn put_policy(&mut self, revision: Digest, policy: &StoredPolicy) -> Result<bool, TxError> {
        if self.tables.policies.read()?.get(&revision.0)?.is_some() {
            return Ok(false);
        }
        let value = serde_json::to_vec(policy).map_err(crate::domain::ParamsError::from)?;
        self.tables.policies.insert(&revision.0, value.as_slice())?;
        Ok(true)
    }
}

impl Reader {
    /// A policy by its revision.
    pub fn policy(&self, revision: Digest) -> Result<Option<StoredPolicy>, StoreError> {
        guarded(|| {
            let policies = self.table(POLICIES)?;
            let Some(value) = policies.get(&revision.0)? else { return Ok(None) };
            serde_json::from_slice(value.value()).map(Some).map_err(|error| damaged(format!("a policy: {error}")))
        })
    }
}
