//! How many questions may wait at once: a place is taken before the question is written, and given back when it ends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The bounds on open questions.
#[derive(Clone, Copy, Debug)]
pub struct SlotLimits {
    /// For the whole daemon.
    pub total: usize,
    /// For one caller: an authenticated subject, or one connection of anonymous callers.
    pub per_caller: usize,
}

/// There is no place for another question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueFull {
    /// The daemon as a whole has none.
    #[error("{0} approvals are pending, which is all that this daemon holds (--max-pending)")]
    Total(usize),
    /// This caller has none.
    #[error(
        "{0} approvals of this caller are pending, which is all that one caller may have (--max-pending-per-caller)"
    )]
    PerCaller(usize),
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    per_caller: HashMap<Arc<str>, usize>,
}

/// The places of one daemon.
#[derive(Clone, Debug)]
pub(super) struct Slots {
    limits: SlotLimits,
    taken: Arc<Mutex<Taken>>,
}

/// One place, held for as long as this lives.
#[derive(Debug)]
pub struct Slot {
    caller: Arc<str>,
    taken: Arc<Mutex<Taken>>,
}

impl Slots {
    pub(super) fn new(limits: SlotLimits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    pub(super) fn take(&self, caller: &str) -> Result<Slot, QueueFull> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.total >= self.limits.total {
            return Err(QueueFull::Total(self.limits.total));
        }
        if taken.per_caller.get(caller).is_some_and(|count| *count >= self.limits.per_caller) {
            return Err(QueueFull::PerCaller(self.limits.per_caller));
        }
        Ok(self.enter(&mut taken, caller))
    }

    /// A place for a question that the store already holds: it cannot be turned away any more.
    pub(super) fn restore(&self, caller: &str) -> Slot {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        self.enter(&mut taken, caller)
    }

    fn enter(&self, taken: &mut Taken, caller: &str) -> Slot {
        let caller = match taken.per_caller.get_key_value(caller) {
            Some((known, _)) => Arc::clone(known),
            None => Arc::from(caller),
        };
        *taken.per_caller.entry(Arc::clone(&caller)).or_default() += 1;
        taken.total += 1;
        Slot { caller, taken: Arc::clone(&self.taken) }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.total = taken.total.saturating_sub(1);
        if let Some(count) = taken.per_caller.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.per_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_when_its_question_ends() {
        let slots = Slots::new(SlotLimits { total: 2, per_caller: 1 });
        let first = slots.take("a").unwrap();
        assert_eq!(slots.take("a").unwrap_err(), QueueFull::PerCaller(1));
        let _second = slots.take("b").unwrap();
        assert_eq!(slots.take("c").unwrap_err(), QueueFull::Total(2));
        drop(first);
        assert!(slots.take("a").is_ok());
    }

    #[test]
    fn callers_are_forgotten_with_their_last_question() {
        let slots = Slots::new(SlotLimits { total: 10, per_caller: 10 });
        drop(slots.take("a").unwrap());
        assert!(slots.taken.lock().unwrap().per_caller.is_empty());
    }

    #[test]
    fn what_the_store_holds_is_never_turned_away() {
        let slots = Slots::new(SlotLimits { total: 1, per_caller: 1 });
        let _restored = [slots.restore("a"), slots.restore("a")];
        assert!(slots.take("a").is_err());
    }
}
