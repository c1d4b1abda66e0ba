//! A budget of places and bytes, for all callers together and for each caller.
//!
//! Callers without a credential share a part of the budget. So they can never take the places of callers with one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Defence;

/// A number of things and their total size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// The number of things.
    pub count: usize,
    /// Their total size in bytes.
    pub bytes: usize,
}

impl Amount {
    /// This percentage of an amount; at least one thing unless the amount has none.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        let part = |whole: usize| (whole / 100 * usize::from(percent)) + whole % 100 * usize::from(percent) / 100;
        Self { count: part(self.count).max(usize::from(self.count > 0)), bytes: part(self.bytes) }
    }

    fn plus(self, more: Self) -> Self {
        Self { count: self.count.saturating_add(more.count), bytes: self.bytes.saturating_add(more.bytes) }
    }

    fn minus(self, less: Self) -> Self {
        Self { count: self.count.saturating_sub(less.count), bytes: self.bytes.saturating_sub(less.bytes) }
    }
}

/// The limits of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaLimits {
    /// The limit for all callers together.
    pub total: Amount,
    /// The limit for all callers without a credential together.
    pub anonymous: Amount,
    /// The limit for one caller.
    pub per_caller: Amount,
}

/// The caller that takes a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuotaKey {
    /// Whether the caller has no credential.
    pub is_anonymous: bool,
    /// What identifies the caller.
    pub name: Arc<str>,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The limit for all callers together.
    Everybody,
    /// The limit for all callers without a credential together.
    Anonymous,
    /// The limit for this caller.
    Caller,
}

/// The resource that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Places.
    Count,
    /// Bytes.
    Bytes,
}

/// A limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverQuota {
    /// Which limit.
    pub whose: Whose,
    /// Of which resource.
    pub resource: Resource,
    /// Its value.
    pub limit: usize,
}

#[derive(Debug, Default)]
struct Taken {
    total: Amount,
    anonymous: Amount,
    by_caller: HashMap<QuotaKey, Amount>,
}

/// A budget. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    limits: QuotaLimits,
    taken: Arc<Mutex<Taken>>,
}

/// A share of a budget. Dropping it gives the share back.
pub struct Share {
    key: QuotaKey,
    amount: Amount,
    taken: Arc<Mutex<Taken>>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share").field("key", &self.key).field("amount", &self.amount).finish_non_exhaustive()
    }
}

impl Quota {
    /// A budget that nobody uses yet.
    pub(crate) fn new(limits: QuotaLimits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    /// Takes one place and this many bytes.
    pub(crate) fn take(&self, key: &QuotaKey, bytes: usize) -> Result<Share, OverQuota> {
        let amount = Amount { count: 1, bytes };
        let mut taken = lock(&self.taken);
        let of_caller = taken.by_caller.get(key).copied().unwrap_or_default();
        if Defence::CallerShare.on() {
            check(Whose::Caller, of_caller.plus(amount), self.limits.per_caller)?;
        }
        if key.is_anonymous && Defence::CallerShare.on() {
            check(Whose::Anonymous, taken.anonymous.plus(amount), self.limits.anonymous)?;
        }
        check(Whose::Everybody, taken.total.plus(amount), self.limits.total)?;
        Ok(self.enter(&mut taken, key, amount))
    }

    /// Takes a share even beyond the limits, for a thing that already exists and cannot be refused.
    pub(crate) fn restore(&self, key: &QuotaKey, bytes: usize) -> Share {
        self.enter(&mut lock(&self.taken), key, Amount { count: 1, bytes })
    }

    fn enter(&self, taken: &mut Taken, key: &QuotaKey, amount: Amount) -> Share {
        // All shares of a caller use one copy of its name.
        let key = taken.by_caller.get_key_value(key).map_or(key, |(known, _)| known).clone();
        let of_caller = taken.by_caller.entry(key.clone()).or_default();
        *of_caller = of_caller.plus(amount);
        taken.total = taken.total.plus(amount);
        if key.is_anonymous {
            taken.anonymous = taken.anonymous.plus(amount);
        }
        Share { key, amount, taken: Arc::clone(&self.taken) }
    }
}

fn check(whose: Whose, wanted: Amount, limits: Amount) -> Result<(), OverQuota> {
    if wanted.count > limits.count {
        return Err(OverQuota { whose, resource: Resource::Count, limit: limits.count });
    }
    if wanted.bytes > limits.bytes && Defence::QuestionBytes.on() {
        return Err(OverQuota { whose, resource: Resource::Bytes, limit: limits.bytes });
    }
    Ok(())
}

fn lock(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.total = taken.total.minus(self.amount);
        if self.key.is_anonymous {
            taken.anonymous = taken.anonymous.minus(self.amount);
        }
        if let Some(of_caller) = taken.by_caller.get_mut(&self.key) {
            *of_caller = of_caller.minus(self.amount);
            if *of_caller == Amount::default() {
                taken.by_caller.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, is_anonymous: bool) -> QuotaKey {
        QuotaKey { is_anonymous, name: name.into() }
    }

    fn quota(total: usize, anonymous: usize, per_caller: usize) -> Quota {
        let amount = |count| Amount { count, bytes: 10 * count };
        let (total, anonymous, per_caller) = (amount(total), amount(anonymous), amount(per_caller));
        Quota::new(QuotaLimits { total, anonymous, per_caller })
    }

    fn over(whose: Whose, resource: Resource, limit: usize) -> OverQuota {
        OverQuota { whose, resource, limit }
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let quota = quota(2, 2, 1);
        let (a, b, c) = (key("a", false), key("b", false), key("c", false));
        let first = quota.take(&a, 1).unwrap();
        assert_eq!(quota.take(&a, 1).unwrap_err(), over(Whose::Caller, Resource::Count, 1));
        let _second = quota.take(&b, 1).unwrap();
        assert_eq!(quota.take(&c, 1).unwrap_err(), over(Whose::Everybody, Resource::Count, 2));
        drop(first);
        assert!(quota.take(&a, 1).is_ok());
    }

    #[test]
    fn bytes_are_counted_beside_the_number() {
        let quota = quota(4, 4, 2);
        let a = key("a", false);
        let _first = quota.take(&a, 15).unwrap();
        assert_eq!(quota.take(&a, 6).unwrap_err(), over(Whose::Caller, Resource::Bytes, 20));
        let _second = quota.take(&a, 5).unwrap();
        let _third = quota.take(&key("b", false), 20).unwrap();
        assert_eq!(quota.take(&key("c", false), 1).unwrap_err(), over(Whose::Everybody, Resource::Bytes, 40));
    }

    #[test]
    fn callers_without_a_credential_leave_room_for_those_with_one() {
        let quota = quota(4, 2, 1);
        let _anonymous = [quota.take(&key("a", true), 1).unwrap(), quota.take(&key("b", true), 1).unwrap()];
        assert_eq!(quota.take(&key("c", true), 1).unwrap_err(), over(Whose::Anonymous, Resource::Count, 2));
        // The same name, with a credential, is somebody else.
        let _known = [quota.take(&key("a", false), 1).unwrap(), quota.take(&key("c", false), 1).unwrap()];
        assert_eq!(quota.take(&key("d", false), 1).unwrap_err(), over(Whose::Everybody, Resource::Count, 4));
    }

    #[test]
    fn a_caller_is_forgotten_with_its_last_share() {
        let quota = quota(10, 10, 10);
        drop(quota.take(&key("a", true), 3).unwrap());
        let taken = quota.taken.lock().unwrap();
        assert!(taken.by_caller.is_empty());
        assert_eq!((taken.total, taken.anonymous), (Amount::default(), Amount::default()));
    }

    #[test]
    fn what_is_there_already_is_never_turned_away() {
        let quota = quota(1, 1, 1);
        let a = key("a", true);
        let _restored = [quota.restore(&a, 100), quota.restore(&a, 100)];
        assert!(quota.take(&a, 0).is_err());
    }

    #[test]
    fn a_part_of_an_amount_is_never_nothing_where_there_is_something() {
        let amount = |count, bytes| Amount { count, bytes };
        assert_eq!(amount(10_000, 1000).percent(50), amount(5000, 500));
        assert_eq!(amount(3, 7).percent(50), amount(1, 3));
        assert_eq!(amount(1, 1).percent(0), amount(1, 0));
        assert_eq!(amount(usize::MAX, 2).percent(100), amount(usize::MAX, 2));
    }
}
