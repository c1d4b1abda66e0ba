//! Time as a value that is passed in, so that tests own it and evaluation stays pure.

use std::time::Duration;

/// A moment, to the microsecond where it is stored.
pub use jiff::Timestamp;

/// Where the daemon gets the time from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: what records show and time conditions read. May jump.
    fn now(&self) -> Timestamp;

    /// Time since some fixed point of this process. Never jumps: deadlines are held against this.
    fn uptime(&self) -> Duration;
}

/// The machine's clocks.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose uptime starts now.
    pub fn start() -> Self {
        Self { started: std::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        // To the microsecond, so that what is answered is what is stored.
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }
}
