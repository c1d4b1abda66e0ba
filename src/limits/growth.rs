//! How much of the disk each caller may fill in a minute, once little of it is left.
//!
//! While there is plenty of space, nothing is limited. When space runs low, each caller may write a share of what is
//! left in a minute, and all callers without a credential together one such share. What is left shrinks the share, so
//! callers never fill the disk. The last part of the disk is not for callers without a credential.
//!
//! Acts of people (votes, revocations, changes of the policy) are not counted: they must always find space.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::quota::QuotaKey;
use crate::domain::Defence;

/// The time in which a caller may write its share.
const PERIOD: Duration = Duration::from_mins(1);
/// The most callers that are counted one by one. All others share one budget.
const CALLERS: usize = 4096;
/// The last part of the disk is this part of what counts as low, and at most [`LAST_BYTES`].
const LAST_PART: u64 = 8;
const LAST_BYTES: u64 = 256 << 20;

/// When the space of a disk is low, and what a caller may write then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrowthLimits {
    /// Space is low when less than this percentage of the disk is free, and fewer than [`Self::low_bytes`]. 0 switches
    /// the limit off.
    pub low_percent: u8,
    /// While this many bytes are free, space is not low: a large disk has room for a record long after that percentage.
    pub low_bytes: u64,
    /// What one caller may write in a minute, in per cent of the space that is left.
    pub share: u8,
}

/// The space of the disk that the record is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    /// The bytes that are free.
    pub free: u64,
    /// The size of the disk in bytes.
    pub total: u64,
}

/// How much space there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Almost none: only for people and callers with a credential.
    Last,
    /// Little: each caller has a share.
    Low,
    /// Enough.
    Ample,
}

/// A caller may not write now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct DiskLow {
    /// The bytes that are left on the disk.
    pub free: u64,
    /// The bytes that this caller may write in a minute.
    pub share: u64,
    /// Whether that is the share of all callers without a credential together.
    pub is_anonymous: bool,
}

impl DiskLow {
    fn text(self) -> String {
        let Self { free, share, is_anonymous } = self;
        match (is_anonymous, share) {
            (true, 0) => {
                format!("the disk of the record has {free} bytes left, which are kept for callers with a credential")
            }
            (true, share) => format!(
                "the disk of the record has {free} bytes left: callers without a credential may together write {share} \
                 bytes a minute (--low-disk-share)"
            ),
            (false, share) => format!(
                "the disk of the record has {free} bytes left: each caller may write {share} bytes a minute \
                 (--low-disk-share)"
            ),
        }
    }
}

/// What callers have written lately, and the space that is left.
#[derive(Debug)]
pub(crate) struct Growth {
    limits: GrowthLimits,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The space when it was last measured, less what was written since. `None` if it is unknown.
    space: Option<Space>,
    anonymous: Written,
    others: Written,
    by_caller: HashMap<QuotaKey, Written>,
    refused: u64,
}

/// What was written lately. It decreases steadily.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    bytes: u64,
    at: Duration,
}

impl Written {
    /// What is left of it now, if a whole share is forgotten in a period.
    fn now(self, share: u64, uptime: Duration) -> u64 {
        let passed = uptime.saturating_sub(self.at).min(PERIOD);
        let forgotten = u128::from(share) * passed.as_millis() / PERIOD.as_millis();
        self.bytes.saturating_sub(u64::try_from(forgotten).unwrap_or(u64::MAX))
    }
}

impl Growth {
    /// Nothing was written yet, and the space is unknown.
    pub(crate) fn new(limits: GrowthLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// Takes a new measurement of the space, and returns the levels before and now.
    pub(crate) fn measured(&self, space: Option<Space>) -> (Level, Level) {
        let mut state = self.lock();
        let before = self.level(state.space);
        state.space = space;
        (before, self.level(space))
    }

    /// The space that is left, as far as it is known.
    pub(crate) fn space(&self) -> Option<Space> {
        self.lock().space
    }

    /// How many writes were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// Counts a write of this caller, or refuses it.
    pub(crate) fn take(&self, caller: &QuotaKey, bytes: u64, uptime: Duration) -> Result<(), DiskLow> {
        let mut state = self.lock();
        let Some(space) = state.space else { return Ok(()) };
        let level = self.level(Some(space));
        if level != Level::Ample && Defence::GrowthShare.on() {
            let is_anonymous = caller.is_anonymous;
            let share = match level {
                Level::Last if is_anonymous => 0,
                _ => space.free / 100 * u64::from(self.limits.share),
            };
            let written = state.of(caller, share, uptime);
            let sum = written.now(share, uptime).saturating_add(bytes);
            if sum > share {
                state.refused += 1;
                return Err(DiskLow { free: space.free, share, is_anonymous });
            }
            *written = Written { bytes: sum, at: uptime };
        }
        // The next measurement may come only after the disk is full.
        state.space = Some(Space { free: space.free.saturating_sub(bytes), ..space });
        Ok(())
    }

    fn level(&self, space: Option<Space>) -> Level {
        let Some(Space { free, total }) = space else { return Level::Ample };
        if self.limits.low_percent == 0 {
            return Level::Ample;
        }
        let low = (total / 100 * u64::from(self.limits.low_percent)).min(self.limits.low_bytes);
        if free >= low {
            Level::Ample
        } else if free < (low / LAST_PART).min(LAST_BYTES) {
            Level::Last
        } else {
            Level::Low
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, caller: &QuotaKey, share: u64, uptime: Duration) -> &mut Written {
        if caller.is_anonymous {
            return &mut self.anonymous;
        }
        if !self.by_caller.contains_key(caller) {
            if self.by_caller.len() >= CALLERS {
                self.by_caller.retain(|_, written| written.now(share, uptime) > 0);
            }
            if self.by_caller.len() >= CALLERS {
                return &mut self.others;
            }
        }
        self.by_caller.entry(caller.clone()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GrowthLimits = GrowthLimits { low_percent: 20, low_bytes: u64::MAX, share: 10 };
    const MINUTE: Duration = PERIOD;

    fn caller(name: &str) -> QuotaKey {
        QuotaKey { is_anonymous: false, name: name.into() }
    }

    fn anonymous(name: &str) -> QuotaKey {
        QuotaKey { is_anonymous: true, name: name.into() }
    }

    fn growth(free: u64) -> Growth {
        let growth = Growth::new(LIMITS);
        growth.measured(Some(Space { free, total: 100_000 }));
        growth
    }

    /// How many writes of 100 bytes are taken at this moment, of a hundred.
    fn taken(growth: &Growth, caller: &QuotaKey, at: Duration) -> usize {
        (0..100).filter(|_| growth.take(caller, 100, at).is_ok()).count()
    }

    #[test]
    fn with_enough_space_nothing_is_refused() {
        let growth = growth(100_000);
        assert_eq!(taken(&growth, &anonymous("a"), MINUTE), 100);
        let unknown = Growth::new(LIMITS);
        assert_eq!(taken(&unknown, &anonymous("a"), MINUTE), 100);
    }

    #[test]
    fn with_little_space_each_caller_has_a_share_and_all_without_a_credential_one() {
        let growth = growth(19_000);
        // A share is a tenth of what is left, which shrinks with each write.
        let first = taken(&growth, &anonymous("a"), MINUTE);
        assert!((16..=19).contains(&first), "{first}");
        assert_eq!(taken(&growth, &anonymous("b"), MINUTE), 0, "they have one share together");
        let known = taken(&growth, &caller("a"), MINUTE);
        assert!((13..=19).contains(&known), "{known}");
        assert!(taken(&growth, &caller("b"), MINUTE) > 0, "each caller with a credential has one");
        let later = taken(&growth, &anonymous("a"), 3 * MINUTE);
        assert!(later > 0, "after a minute there is a new share");
        assert!(growth.refused() > 0);
    }

    #[test]
    fn the_last_part_is_not_for_callers_without_a_credential() {
        let growth = growth(2000);
        assert_eq!(
            growth.take(&anonymous("a"), 1, MINUTE).unwrap_err(),
            DiskLow { free: 2000, share: 0, is_anonymous: true }
        );
        assert!(growth.take(&caller("a"), 100, MINUTE).is_ok());
    }

    #[test]
    fn callers_cannot_fill_the_disk_however_many_minutes_pass() {
        let growth = growth(19_900);
        for minute in 1..1000 {
            taken(&growth, &anonymous("a"), minute * MINUTE);
            taken(&growth, &caller("a"), minute * MINUTE);
        }
        assert!(growth.space().unwrap().free > 500, "{:?}", growth.space());
    }

    #[test]
    fn what_is_written_between_two_measurements_counts() {
        let growth = growth(21_000);
        assert!(taken(&growth, &anonymous("a"), MINUTE) < 100, "it is low after ten writes");
        assert_eq!(growth.measured(Some(Space { free: 100_000, total: 100_000 })), (Level::Low, Level::Ample));
        assert_eq!(taken(&growth, &anonymous("a"), MINUTE), 100);
    }

    #[test]
    fn a_large_disk_is_low_by_its_bytes_a_small_one_by_its_percentage_and_zero_switches_the_limit_off() {
        let limits = GrowthLimits { low_bytes: 1000, ..LIMITS };
        let level = |limits, free, total| Growth::new(limits).level(Some(Space { free, total }));
        let of_large = [1000, 999, 124].map(|free| level(limits, free, 1_000_000));
        assert_eq!(of_large, [Level::Ample, Level::Low, Level::Last]);
        let of_small = [200, 199, 24].map(|free| level(limits, free, 1000));
        assert_eq!(of_small, [Level::Ample, Level::Low, Level::Last]);
        assert_eq!(level(GrowthLimits { low_percent: 0, ..limits }, 0, 1000), Level::Ample);
    }

    #[test]
    fn callers_beyond_the_bound_share_one_budget() {
        let growth = growth(19_000);
        for n in 0..CALLERS {
            growth.take(&caller(&n.to_string()), 1, MINUTE).unwrap();
        }
        assert!(taken(&growth, &caller("late"), MINUTE) > 0);
        assert_eq!(taken(&growth, &caller("later"), MINUTE), 0);
        assert_eq!(growth.lock().by_caller.len(), CALLERS);
    }
}
