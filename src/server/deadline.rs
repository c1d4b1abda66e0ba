//! [`Deadline`]: how long the caller of a call waits for the response.

use std::time::{Duration, Instant};

use http::HeaderMap;

/// The header with the timeout (gRPC over HTTP/2, "Timeout").
const GRPC_TIMEOUT: &str = "grpc-timeout";

/// The bounds of the safety margin before the deadline, so that the response arrives in time. The margin is a tenth of
/// the remaining time.
const LEAST_MARGIN: Duration = Duration::from_millis(5);
const MOST_MARGIN: Duration = Duration::from_millis(500);

/// The deadline of a call; `None` means no deadline.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Deadline(Option<Instant>);

impl Deadline {
    /// Reads the deadline from the headers of a call. `None` if the header is not a valid timeout.
    pub(crate) fn read(headers: &HeaderMap, now: Instant) -> Option<Self> {
        let Some(value) = headers.get(GRPC_TIMEOUT) else { return Some(Self(None)) };
        let timeout = timeout(value.to_str().ok()?)?;
        // A deadline that is too far away to be represented counts as none.
        Some(Self(now.checked_add(timeout)))
    }

    /// The moment of the deadline.
    pub(crate) fn at(self) -> Option<Instant> {
        self.0
    }

    /// Shortens a wait so that its response reaches the caller before the deadline.
    pub(crate) fn bound(self, wait: Duration) -> Duration {
        let Some(at) = self.0 else { return wait };
        let left = at.saturating_duration_since(Instant::now());
        wait.min(left.saturating_sub((left / 10).clamp(LEAST_MARGIN, MOST_MARGIN)))
    }
}

/// Parses at most eight digits and a unit: `100m` is 100 milliseconds.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_as_the_specification_writes_them() {
        assert_eq!(timeout("1H"), Some(Duration::from_hours(1)));
        assert_eq!(timeout("99999999n"), Some(Duration::from_nanos(99_999_999)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        for wrong in ["", "S", "1", "1s", "-1S", "1.5S", "123456789S", " 1S", "\u{20ac}S", "1\u{20ac}"] {
            assert_eq!(timeout(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_wait_ends_before_the_callers_deadline() {
        let at = |left| Deadline(Some(Instant::now() + left));
        let bound = at(Duration::from_secs(10)).bound(Duration::from_mins(1));
        assert!(bound <= Duration::from_millis(9500) && bound > Duration::from_secs(9), "{bound:?}");
        assert_eq!(at(Duration::from_secs(100)).bound(Duration::from_secs(1)), Duration::from_secs(1));
        assert_eq!(at(Duration::ZERO).bound(Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(Deadline::default().bound(Duration::from_secs(1)), Duration::from_secs(1));
    }
}
