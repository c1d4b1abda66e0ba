//! Durations and moments, as the command line reads and prints them.

use crate::domain::Timestamp;
use crate::domain::times::moment;
pub(super) use crate::domain::times::{duration, exact, point};

/// Reads a moment for clap, relative to the machine's clock.
pub(super) fn moment_arg(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now())
}

/// The time until then, in the units that a person would use: `14m 03s`, `2h 05m`, `over`.
pub(super) fn left(until: Timestamp, now: Timestamp) -> String {
    let seconds = until.as_second() - now.as_second();
    match seconds {
        ..=0 => "over".into(),
        1..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// A moment to the second, in UTC, for people.
pub(super) fn to_the_second(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_shown_in_two_units() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, text) in
            [(-5, "over"), (0, "over"), (59, "59s"), (843, "14m 03s"), (7_500, "2h 05m"), (90_000, "1d 01h")]
        {
            assert_eq!(left(Timestamp::from_second(seconds).unwrap(), now), text);
        }
    }
}
