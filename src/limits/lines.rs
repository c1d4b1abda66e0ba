//! Lines of log that a caller can cause: a few at once, then one now and then, which says how many were left out.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::rate::{Budget, Rate};
use crate::domain::Defence;

/// Five at once, and another one each ten seconds.
const RATE: Rate = Rate::new(5, Duration::from_secs(10));

/// How many lines of one kind are written.
#[derive(Debug)]
pub(crate) struct Lines {
    started: Instant,
    budget: Budget,
    left_out: AtomicU64,
}

impl Lines {
    /// None was written yet.
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), budget: Budget::default(), left_out: AtomicU64::new(0) }
    }

    /// Whether one more is written, and how many were left out since the last one.
    pub(crate) fn next(&self) -> Option<u64> {
        if self.budget.try_take(RATE, self.started.elapsed()) || !Defence::LogLines.on() {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

impl Default for Lines {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_lines_are_few() {
        let lines = Lines::new();
        assert!((5..=6).contains(&(0..1000).filter(|_| lines.next().is_some()).count()));
    }
}
