//! The tables of what was spent of limits: one entry for each count, with what it is for and when it was spent.
//!
//! They change in the transaction of the decision that spends. Two tables have the same form: callers without a
//! credential have one of their own, so that its size can be bounded apart and is known without reading it.
//!
//! A value begins with the moment from which on it says nothing (i64, microseconds), so that old entries are found
//! without reading the rest.

use std::collections::BTreeMap;
use std::ops::Bound;

use redb::{ReadableTable as _, ReadableTableMetadata as _};
use serde::{Deserialize, Serialize};

use super::rows::spend::SpentKey;
use super::state::Tx;
use crate::domain::{Digest, ParamsError, Timestamp};
use crate::store::error::{StoreError, TxError, damaged};
use crate::store::reader::Reader;
use crate::store::table::{Bytes, Lazy, TableDef};

/// What callers with a credential spent.
pub(crate) const SPENT: TableDef<&[u8; 32], Bytes> = TableDef::source("spent");

/// What callers without one spent.
pub(crate) const SPENT_ANONYMOUS: TableDef<&[u8; 32], Bytes> = TableDef::source("spent_anonymous");

/// The bytes of a value before its JSON.
const HEAD: usize = 8;

/// One count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSpent {
    /// The name of the limit.
    pub limit: String,
    /// What it counts by, for people: long texts are cut off.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub by: BTreeMap<String, String>,
    /// When how much was spent, in microseconds since 1970 and in millionths; oldest first.
    pub spends: Vec<(i64, u64)>,
}

const fn table(is_anonymous: bool) -> TableDef<&'static [u8; 32], Bytes> {
    if is_anonymous { SPENT_ANONYMOUS } else { SPENT }
}

impl Tx<'_> {
    /// One count.
    pub fn spent(&mut self, key: SpentKey) -> Result<Option<StoredSpent>, TxError> {
        let found = self.spent_table(key.is_anonymous).read()?.get(&key.digest.0)?;
        found.map(|value| decode(value.value()).map_err(TxError::Corrupt)).transpose()
    }

    /// Stores a count, which says nothing from `over` on; `None` means never.
    pub fn put_spent(&mut self, key: SpentKey, spent: &StoredSpent, over: Option<Timestamp>) -> Result<(), TxError> {
        let over = over.map_or(i64::MAX, Timestamp::as_microsecond);
        let mut value = over.to_be_bytes().to_vec();
        serde_json::to_writer(&mut value, spent).map_err(ParamsError::from)?;
        self.spent_table(key.is_anonymous).insert(&key.digest.0, value.as_slice())?;
        Ok(())
    }

    /// Removes a count. Returns whether there was one.
    pub fn remove_spent(&mut self, key: SpentKey) -> Result<bool, TxError> {
        let table = self.spent_table(key.is_anonymous);
        let is_there = table.read()?.get(&key.digest.0)?.is_some();
        if is_there {
            table.remove(&key.digest.0)?;
        }
        Ok(is_there)
    }

    /// How many counts there are of callers with a credential, and of those without.
    pub fn spent_places(&mut self) -> Result<[u64; 2], TxError> {
        Ok([self.tables.spent.read()?.len()?, self.tables.spent_anonymous.read()?.len()?])
    }

    /// Removes those of these counts that say nothing any more.
    pub fn forget_spent(&mut self, keys: &[SpentKey], now: Timestamp) -> Result<(), TxError> {
        for key in keys {
            let table = self.spent_table(key.is_anonymous);
            let found = table.read()?.get(&key.digest.0)?.map(|value| is_over(value.value(), now));
            if found.transpose().map_err(TxError::Corrupt)? == Some(true) {
                table.remove(&key.digest.0)?;
            }
        }
        Ok(())
    }

    /// Removes from a count what an agent chose, after a decision was redacted.
    pub fn scrub_spent(&mut self, key: SpentKey) -> Result<(), TxError> {
        let Some(value) = self.spent_table(key.is_anonymous).read()?.get(&key.digest.0)?.map(|v| v.value().to_vec())
        else {
            return Ok(());
        };
        let spent = StoredSpent { by: BTreeMap::new(), ..decode(&value).map_err(TxError::Corrupt)? };
        let over = over(&value).map_err(TxError::Corrupt)?;
        self.put_spent(key, &spent, Timestamp::from_microsecond(over).ok().filter(|_| over != i64::MAX))
    }
}

impl<'t> Tx<'t> {
    fn spent_table(&mut self, is_anonymous: bool) -> &mut Lazy<'t, &'static [u8; 32], Bytes> {
        if is_anonymous { &mut self.tables.spent_anonymous } else { &mut self.tables.spent }
    }
}

impl Reader {
    /// One count.
    pub fn spent(&self, key: SpentKey) -> Result<Option<StoredSpent>, StoreError> {
        let Some(table) = self.table_if_there(table(key.is_anonymous))? else { return Ok(None) };
        let found = table.get(&key.digest.0)?;
        found.map(|value| decode(value.value()).map_err(damaged)).transpose()
    }

    /// How many counts there are of callers with a credential, and of those without.
    pub fn spent_places(&self) -> Result<[u64; 2], StoreError> {
        let len = |is_anonymous| {
            self.table_if_there(table(is_anonymous))?.map_or(Ok(0), |table| table.len().map_err(StoreError::from))
        };
        Ok([len(false)?, len(true)?])
    }

    /// The counts after this one, at most `limit`.
    pub fn spent_after(
        &self,
        after: Option<SpentKey>,
        limit: usize,
    ) -> Result<Vec<(SpentKey, StoredSpent)>, StoreError> {
        let mut found = Vec::new();
        self.walk_spent(after, |key, value| {
            found.push((key, decode(value)?));
            Ok(found.len() < limit)
        })?;
        Ok(found)
    }

    /// Goes through at most `limit` counts after this one. Returns those that say nothing any more, and the last one
    /// that was looked at; `None` at the end.
    pub fn spent_over(
        &self,
        after: Option<SpentKey>,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Vec<SpentKey>, Option<SpentKey>), StoreError> {
        let (mut old, mut last, mut seen) = (Vec::new(), None, 0);
        self.walk_spent(after, |key, value| {
            if is_over(value, now)? {
                old.push(key);
            }
            (last, seen) = (Some(key), seen + 1);
            Ok(seen < limit)
        })?;
        Ok((old, last.filter(|_| seen == limit)))
    }

    /// Visits counts in the order of their keys until `each` says that it has enough.
    fn walk_spent(
        &self,
        after: Option<SpentKey>,
        mut each: impl FnMut(SpentKey, &[u8]) -> Result<bool, String>,
    ) -> Result<(), StoreError> {
        for is_anonymous in [false, true] {
            let from = match after {
                Some(after) if after.is_anonymous && !is_anonymous => continue,
                Some(after) if after.is_anonymous == is_anonymous => Bound::Excluded(after.digest.0),
                _ => Bound::Unbounded,
            };
            let Some(table) = self.table_if_there(table(is_anonymous))? else { continue };
            let from = from.as_ref();
            for entry in table.range::<&[u8; 32]>((from, Bound::Unbounded))? {
                let (key, value) = entry?;
                let key = SpentKey { is_anonymous, digest: Digest(*key.value()) };
                if !each(key, value.value()).map_err(damaged)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

fn over(value: &[u8]) -> Result<i64, String> {
    let head = value.first_chunk::<HEAD>().ok_or("a count of a limit is too short")?;
    Ok(i64::from_be_bytes(*head))
}

fn is_over(value: &[u8], now: Timestamp) -> Result<bool, String> {
    Ok(over(value)? <= now.as_microsecond())
}

fn decode(value: &[u8]) -> Result<StoredSpent, String> {
    let json = value.get(HEAD..).ok_or("a count of a limit is too short")?;
    serde_json::from_slice(json).map_err(|error| format!("a count of a limit: {error}"))
}
