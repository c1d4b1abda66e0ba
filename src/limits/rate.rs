//! A rate limit: the generic cell rate algorithm (ITU-T I.371). It needs one number for each caller and no timer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A burst of this many, and one more each time this interval has passed.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    burst: u32,
    refill: Duration,
}

impl Rate {
    /// A burst of this many, and one more each time `refill` has passed.
    pub const fn new(burst: u32, refill: Duration) -> Self {
        Self { burst, refill }
    }

    /// This many a second, with bursts of one second's worth. `None` for zero, which means no limit.
    pub fn per_second(count: u32) -> Option<Self> {
        (count > 0).then(|| Self::new(count, Duration::from_secs(1) / count))
    }

    fn cost(self) -> u64 {
        nanos(self.refill)
    }

    fn depth(self) -> u64 {
        self.cost().saturating_mul(u64::from(self.burst))
    }

    /// Whether one more is allowed now, if the budget will be full again at this moment.
    fn has(self, full_at: u64, now: u64) -> bool {
        full_at.max(now).saturating_add(self.cost()) <= now.saturating_add(self.depth())
    }

    /// When the budget is full again after one more was taken. The budget never goes below empty: a caller that keeps
    /// calling does not wait longer.
    fn take(self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.cost()).min(now.saturating_add(self.depth()))
    }
}

fn nanos(uptime: Duration) -> u64 {
    u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX)
}

/// The state of a rate limit: when its budget is full again, in nanoseconds of uptime.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

impl Budget {
    /// Whether one more is allowed.
    pub fn has(&self, rate: Rate, uptime: Duration) -> bool {
        rate.has(self.0.load(Ordering::Relaxed), nanos(uptime))
    }

    /// Takes one, even if none is left.
    pub fn take(&self, rate: Rate, uptime: Duration) {
        let next = |full_at| Some(rate.take(full_at, nanos(uptime)));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }

    /// Takes one if one is left. Returns false otherwise.
    pub fn try_take(&self, rate: Rate, uptime: Duration) -> bool {
        let now = nanos(uptime);
        let next = |full_at| rate.has(full_at, now).then(|| rate.take(full_at, now));
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }

    /// Whether the budget is full. A full one holds no information and can be removed.
    pub fn is_full(&self, uptime: Duration) -> bool {
        self.0.load(Ordering::Relaxed) <= nanos(uptime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_what_was_promised_and_no_more() {
        let (budget, rate) = (Budget::default(), Rate::per_second(10).unwrap());
        let at = Duration::from_secs(5);
        assert_eq!((0..100).filter(|_| budget.try_take(rate, at)).count(), 10);
        assert_eq!((0..100).filter(|_| budget.try_take(rate, at + Duration::from_millis(500))).count(), 5);
        assert!(!budget.is_full(at + Duration::from_secs(1)));
        assert!(budget.is_full(at + Duration::from_secs(2)));
    }

    #[test]
    fn zero_is_no_limit() {
        assert!(Rate::per_second(0).is_none());
    }
}
