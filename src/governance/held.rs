//! [`Held`]: the masked values of running actions. They are kept in memory, to mask them in reports too, and never
//! stored.
//!
//! Each caller has a share of the memory. A caller that exceeds it loses its own oldest values, never those of another
//! caller. If the values of a decision are unknown, its report gets all text masked.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::masking::Values;
use crate::domain::{DecisionId, Defence};
use crate::limits::{Amount, Quota, QuotaKey, QuotaLimits, Share};

/// The limit of decisions with masked values in memory, and of the bytes of these values.
const ALL: Amount = Amount { count: 10_000, bytes: 8 << 20 };
/// The share of one caller, in per cent.
const PER_CALLER: u8 = 25;

/// Masked values in memory.
pub(super) struct Held {
    quota: Quota,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    /// The decisions of each caller, oldest first.
    by_caller: HashMap<QuotaKey, BTreeMap<DecisionId, (Values, Share)>>,
    callers: HashMap<DecisionId, QuotaKey>,
}

impl Held {
    /// Creates an empty store of values. All callers without a credential share this percentage of it.
    pub(super) fn new(anonymous_share: u8) -> Self {
        let (anonymous, per_caller) = (ALL.percent(anonymous_share), ALL.percent(PER_CALLER));
        let quota = Quota::new(QuotaLimits { total: ALL, anonymous, per_caller });
        Self { quota, kept: Mutex::default() }
    }

    /// The budget of all masked values in memory.
    pub(super) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Keeps the values of a decision. If there is no room, drops the caller's oldest values.
    pub(super) fn keep(&self, key: &QuotaKey, decision_id: DecisionId, values: Values) {
        let mut kept = self.kept();
        let share = loop {
            match self.quota.take(key, values.bytes()) {
                Ok(share) => break share,
                Err(_) if kept.forget_oldest(key) => {}
                Err(_) => return,
            }
        };
        kept.callers.insert(decision_id, key.clone());
        kept.by_caller.entry(key.clone()).or_default().insert(decision_id, (values, share));
    }

    /// Drops the values of a decision.
    pub(super) fn forget(&self, decision_id: DecisionId) {
        self.kept().forget(decision_id);
    }

    /// The values of a decision, if they are known.
    pub(super) fn get(&self, decision_id: DecisionId) -> Option<Values> {
        let kept = self.kept();
        let of_caller = kept.by_caller.get(kept.callers.get(&decision_id)?)?;
        of_caller.get(&decision_id).map(|(values, _)| values.clone())
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn forget(&mut self, decision_id: DecisionId) {
        let Some(key) = self.callers.remove(&decision_id) else { return };
        if let Some(of_caller) = self.by_caller.get_mut(&key) {
            of_caller.remove(&decision_id);
            if of_caller.is_empty() {
                self.by_caller.remove(&key);
            }
        }
    }

    /// Drops the oldest values of a caller. Returns false if there are none.
    fn forget_oldest(&mut self, key: &QuotaKey) -> bool {
        let key = match self.by_caller.iter().min_by_key(|(_, of_caller)| of_caller.keys().next()) {
            Some((oldest, _)) if !Defence::HeldShare.on() => oldest,
            _ => key,
        };
        let oldest = self.by_caller.get(key).and_then(|of_caller| of_caller.keys().next().copied());
        oldest.inspect(|decision_id| self.forget(*decision_id)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::governance::masking::MAX_VALUES;

    fn key(name: &str) -> QuotaKey {
        QuotaKey { is_anonymous: false, name: name.into() }
    }

    fn id(n: u8) -> DecisionId {
        DecisionId::from_bytes([n; 16])
    }

    fn large() -> Values {
        Values::of(["x".repeat(MAX_VALUES)])
    }

    #[test]
    fn one_callers_values_never_make_anothers_go() {
        let held = Held::new(50);
        held.keep(&key("modest"), id(0), Values::of(["hunter22".to_owned()]));
        for n in 1..=255 {
            held.keep(&key("greedy"), id(n), large());
        }
        assert!(held.get(id(0)).is_some());
        assert!(held.get(id(1)).is_none() && held.get(id(255)).is_some(), "its own oldest values go");
        let bytes = (1..=255).filter(|n| held.get(id(*n)).is_some()).count() * MAX_VALUES;
        assert!(bytes <= ALL.bytes / 4, "{bytes}");
    }

    #[test]
    fn where_all_room_is_taken_a_newcomers_values_are_not_kept() {
        let held = Held::new(50);
        for n in 0..=255 {
            held.keep(&key(&format!("{}", n % 8)), id(n), large());
        }
        held.keep(&key("late"), DecisionId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6]), large());
        assert!(held.get(DecisionId::from_bytes([1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3, 4, 5, 6])).is_none());
        assert!(held.get(id(255)).is_some());
    }

    #[test]
    fn nothing_is_left_of_a_decision_that_is_over() {
        let held = Held::new(50);
        held.keep(&key("a"), id(1), large());
        held.forget(id(1));
        assert!(held.get(id(1)).is_none());
        let kept = held.kept();
        assert!(kept.by_caller.is_empty() && kept.callers.is_empty());
    }
}
