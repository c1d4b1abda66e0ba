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
/// The comment of the last update that put a policy in force, if it had one.
pub(crate) const COMMENTS: TableDef<&[u8; 32], Bytes> = TableDef::source("policy_comments");

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

    /// Stores a comment on a policy, in place of an earlier one.
    pub fn comment_policy(&mut self, revision: Digest, comment: &str) -> Result<(), TxError> {
        self.tables.policy_comments.insert(&revision.0, comment.as_bytes())?;
        Ok(())
    }

    /// The comment on a policy; empty if there is none.
    pub fn policy_comment(&mut self, revision: Digest) -> Result<String, TxError> {
        let stored = self.tables.policy_comments.read()?.get(&revision.0)?;
        Ok(stored.map(|stored| String::from_utf8_lossy(stored.value()).into_owned()).unwrap_or_default())
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

    /// The comment on a policy; empty if there is none.
    pub fn policy_comment(&self, revision: Digest) -> Result<String, StoreError> {
        guarded(|| {
            // A store from before comments existed has no such table.
            let Some(comments) = self.table_if_there(COMMENTS)? else { return Ok(String::new()) };
            let stored = comments.get(&revision.0)?;
            Ok(stored.map(|stored| String::from_utf8_lossy(stored.value()).into_owned()).unwrap_or_default())
        })
    }

    /// The revisions that begin with these hex digits, in their order and no more than this many.
    pub fn revisions(&self, prefix: &str, most: usize) -> Result<Vec<Digest>, StoreError> {
        let padded =
            |with: &str| Digest::from_hex(&(prefix.to_owned() + &with.repeat(64_usize.saturating_sub(prefix.len()))));
        let (Some(first), Some(last)) = (padded("0"), padded("f")) else { return Ok(Vec::new()) };
        guarded(|| {
            let mut revisions = Vec::new();
            for entry in self.table(POLICIES)?.range::<&[u8; 32]>(&first.0..=&last.0)?.take(most) {
                revisions.push(Digest(*entry?.0.value()));
            }
            Ok(revisions)
        })
    }
}
