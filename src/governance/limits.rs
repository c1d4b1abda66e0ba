//! The counts of limits, for admins: lists them, sets them back, and forgets those that say nothing any more.

use super::error::GovernanceError;
use super::governor::Governor;
use super::job::{self, Refused};
use crate::audit::record::Event;
use crate::audit::{SpentKey, StoreError, StoredSpent};
use crate::domain::{Caller, Digest};
use crate::limits::Spends;
use crate::policy::{Limit, Quantity};

/// How many counts one look, or one transaction, goes through.
const AT_ONCE: usize = 1000;

/// Where a count stands.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The name of the count.
    pub key: SpentKey,
    /// What it is for.
    pub spent: StoredSpent,
    /// How much is spent.
    pub sum: Quantity,
    /// The limit of that name in the policy in force.
    pub max: Option<Quantity>,
    /// What that limit permits, for people.
    pub text: String,
    /// When nothing counts any more; `None` if somebody must reset it.
    pub over: Option<crate::domain::Timestamp>,
}

/// A page of counts.
#[derive(Debug)]
pub struct CountedPage {
    /// The counts.
    pub counts: Vec<Counted>,
    /// The last count that was looked at, if there may be more.
    pub next: Option<SpentKey>,
}

impl Governor {
    /// The counts after this one, of all limits or of one.
    pub async fn counts(
        &self,
        limit: Option<String>,
        after: Option<SpentKey>,
        size: usize,
    ) -> Result<CountedPage, GovernanceError> {
        let (now, policy) = (self.clock.now(), std::sync::Arc::clone(&self.generations.current().policy));
        let (mut counts, mut after) = (Vec::new(), after);
        loop {
            let page = self.store.scan(move |reader| reader.spent_after(after, AT_ONCE)).await?;
            let is_last = page.len() < AT_ONCE;
            for (key, spent) in page {
                after = Some(key);
                if limit.as_ref().is_some_and(|limit| *limit != spent.limit) {
                    continue;
                }
                let known: Option<&Limit> = policy.limit(&spent.limit);
                let spends = Spends::at(spent.spends.clone(), known.and_then(|limit| limit.per), now);
                if spends.is_empty() {
                    continue;
                }
                counts.push(Counted {
                    key,
                    sum: Quantity::of_millionths(spends.sum()),
                    max: known.map(|limit| limit.max),
                    text: known.map(Limit::text).unwrap_or_default(),
                    over: spends.over(),
                    spent,
                });
                if counts.len() == size {
                    return Ok(CountedPage { counts, next: after });
                }
            }
            if is_last {
                return Ok(CountedPage { counts, next: None });
            }
        }
    }

    /// Sets the counts of a limit back to nothing, or one of them. Returns how many.
    pub async fn reset_limit(
        &self,
        caller: &Caller,
        limit: String,
        count: Option<Digest>,
    ) -> Result<u64, GovernanceError> {
        let (mut after, mut total) = (None, 0_u64);
        loop {
            let page = self.store.scan(move |reader| reader.spent_after(after, AT_ONCE)).await?;
            let is_last = page.len() < AT_ONCE;
            after = page.last().map(|(key, _)| *key);
            let keys: Vec<SpentKey> = page
                .into_iter()
                .filter(|(key, spent)| spent.limit == limit && count.is_none_or(|count| count == key.digest))
                .map(|(key, _)| key)
                .collect();
            if !keys.is_empty() {
                let (now, by, name) = (self.clock.now(), caller.identity.subject.to_string(), limit.clone());
                total += job::run(&self.store, move |tx| {
                    let mut counts = 0;
                    for key in keys {
                        counts += u64::from(tx.remove_spent(key)?);
                    }
                    if counts > 0 {
                        tx.append(now, &Event::LimitReset { limit: name, count, counts, by })?;
                    }
                    Ok::<_, Refused<GovernanceError>>(counts)
                })
                .await?;
            }
            if is_last {
                break;
            }
        }
        if total == 0 && self.generations.current().policy.limit(&limit).is_none() {
            return Err(GovernanceError::NoLimit(limit));
        }
        tracing::info!(limit, counts = total, by = %caller.identity.subject, "limit reset");
        Ok(total)
    }

    /// Forgets counts that say nothing any more, a bounded number. Returns where to go on; `None` at the end.
    pub async fn forget_counts(&self, after: Option<SpentKey>) -> Result<Option<SpentKey>, StoreError> {
        let now = self.clock.now();
        let (old, next) = self.store.scan(move |reader| reader.spent_over(after, AT_ONCE, now)).await?;
        if !old.is_empty() {
            self.store.transact(move |tx| tx.forget_spent(&old, now)).await?;
        }
        Ok(next)
    }
}
