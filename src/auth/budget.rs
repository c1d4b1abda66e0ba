//! A budget that refills with time, in one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// So many at once, and another one each time this has passed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) burst: u32,
    pub(super) refill: Duration,
}

impl Rate {
    pub(super) fn cost(self) -> u64 {
        nanos(self.refill)
    }

    pub(super) fn depth(self) -> u64 {
        self.cost().saturating_mul(u64::from(self.burst))
    }

    /// Whether there is anything left of a budget that is full again at this moment.
    pub(super) fn has(self, full_at: u64, now: u64) -> bool {
        full_at.max(now).saturating_add(self.cost()) <= now.saturating_add(self.depth())
    }

    /// When the budget is full again after one more was taken. It is never overdrawn: who goes on does not wait longer.
    pub(super) fn take(self, full_at: u64, now: u64) -> u64 {
        full_at.max(now).saturating_add(self.cost()).min(now.saturating_add(self.depth()))
    }
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What a connection may still get wrong: when it will be full again, in nanoseconds of uptime.
#[derive(Debug, Default)]
pub struct Budget(AtomicU64);

impl Budget {
    pub(super) fn has(&self, rate: Rate, now: u64) -> bool {
        rate.has(self.0.load(Ordering::Relaxed), now)
    }

    pub(super) fn take(&self, rate: Rate, now: u64) {
        let next = |full_at| Some(rate.take(full_at, now));
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}
