//! How fast proposals may come.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::error::GovernanceError;

/// At most so many proposals a second, with bursts of one second's worth: the generic cell rate algorithm
/// (ITU-T I.371), which needs one number and no timer.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: u32,
    /// When the bucket will be empty again, in nanoseconds of uptime.
    empty_at: AtomicU64,
}

impl Pace {
    /// So many a second; 0 is as many as come.
    pub(super) fn new(per_second: u32) -> Self {
        Self { per_second, empty_at: AtomicU64::new(0) }
    }

    /// Lets one proposal through, or says that they come too fast.
    pub(super) fn admit(&self, uptime: Duration) -> Result<(), GovernanceError> {
        if self.per_second == 0 {
            return Ok(());
        }
        let now = u64::try_from(uptime.as_nanos()).unwrap_or(u64::MAX);
        let cost = 1_000_000_000 / u64::from(self.per_second);
        let admitted = self.empty_at.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |empty_at| {
            let next = empty_at.max(now).saturating_add(cost);
            (next <= now.saturating_add(1_000_000_000)).then_some(next)
        });
        admitted.map(drop).map_err(|_| GovernanceError::RateLimited(self.per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holds_what_was_promised_and_no_more() {
        let pace = Pace::new(10);
        let at = Duration::from_secs(5);
        assert_eq!((0..100).filter(|_| pace.admit(at).is_ok()).count(), 10);
        assert_eq!((0..100).filter(|_| pace.admit(at + Duration::from_millis(500)).is_ok()).count(), 5);
    }

    #[test]
    fn zero_is_no_limit() {
        let pace = Pace::new(0);
        assert!((0..100_000).all(|_| pace.admit(Duration::ZERO).is_ok()));
    }
}
