//! [`ClockState`]: what is known about the wall clock, and the two clocks of the machine at one moment.

use std::time::Duration;

use crate::audit::ClockGap;
use crate::domain::{Clock, Timestamp};

/// The two clocks must be read within this time. If the process stood still between them, they are read again.
const AT_ONCE: Duration = Duration::from_millis(20);
/// How often they are read again at most.
const TRIES: usize = 10;

/// What is known about the wall clock in this run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockState {
    /// A gap or a jump that nobody has confirmed.
    pub gap: Option<ClockGap>,
    /// How often the clock jumped.
    pub jumps: u64,
    /// Whether the clock is far from the time that passed since the start.
    pub is_off: bool,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    pub(super) time: Timestamp,
    pub(super) uptime: Duration,
}

impl Clocks {
    /// Reads both clocks at once.
    pub(super) fn read(clock: &dyn Clock) -> Self {
        let mut tries = 0;
        loop {
            let (before, time, uptime) = (clock.uptime(), clock.now(), clock.uptime());
            tries += 1;
            if uptime.saturating_sub(before) <= AT_ONCE || tries == TRIES {
                return Self { time, uptime };
            }
        }
    }

    /// What the wall clock should show at this uptime.
    pub(super) fn expected(self, uptime: Duration) -> Timestamp {
        let passed = uptime.saturating_sub(self.uptime);
        self.time.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}
