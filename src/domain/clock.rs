//! Clocks. Callers pass the time in, so that tests control it and evaluation stays pure.

use std::time::Duration;

/// A point in time. Stored times have microseconds.
pub use jiff::Timestamp;

/// The source of time.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock, for records and time conditions. It may jump.
    fn now(&self) -> Timestamp;

    /// The time since a fixed point of this process, for deadlines. It never jumps.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// The machine's clocks, with an uptime that starts now.
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // Truncated to microseconds, so that responses and stored times are equal.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
