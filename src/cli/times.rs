//! Durations and moments, as the command line writes them and as people read them.

use std::time::Duration;

use jiff::civil;

use crate::domain::Timestamp;

/// Reads `500ms`, `90s`, `5m`, `1h` or `7d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wrong =
        || format!("`{text}` is not a duration: write a whole number and a unit, for example 500ms, 90s, 5m, 1h or 7d");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(millis)
        .map(Duration::from_millis)
        .ok_or_else(|| format!("`{text}` is longer than can be waited for"))
}

/// Reads a moment: RFC 3339, a date (its midnight in UTC), or how long ago (`15m`).
pub(super) fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(moment) = text.parse() {
        return Ok(moment);
    }
    if let Ok(date) = text.parse::<civil::Date>() {
        return date
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
            .map_err(|_| format!("`{text}` is out of range"));
    }
    let ago = duration(text).map_err(|_| {
        format!(
            "`{text}` is not a moment: write 2026-11-20T09:00:00Z, a date like 2026-11-20, or how long ago, like 15m"
        )
    })?;
    now.checked_sub(ago).map_err(|_| format!("`{text}` ago is out of range"))
}

/// Reads a moment as clap wants it, against the machine's clock.
pub(super) fn moment_arg(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now())
}

/// Reads a moment as RFC 3339 writes it.
pub(super) fn rfc3339(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is not a moment: write RFC 3339, for example 2026-11-20T09:00:00Z"))
}

/// How long until then, in the unit that a person would use: `14m 03s`, `2h 05m`, `over`.
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

/// A moment to the second, in UTC: what a person reads.
pub(super) fn to_the_second(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, millis) in
            [("500ms", 500), ("90s", 90_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000), ("0s", 0)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", "5", "s", "-5s", "1.5h", "5 m", "5M", "1h30m", "٥s", "99999999999999999999s", "99999999999999999d"]
        {
            let error = duration(text).unwrap_err();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }

    #[test]
    fn a_moment_is_a_time_a_date_or_how_long_ago() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
            ("2026-11-20T09:00:00+02:00", "2026-11-20T07:00:00Z"),
            ("2026-11-19", "2026-11-19T00:00:00Z"),
            ("15m", "2026-11-20T11:45:00Z"),
        ] {
            assert_eq!(moment(text, now).unwrap().to_string(), expected, "{text}");
        }
        assert!(moment("yesterday", now).unwrap_err().contains("how long ago"));
    }

    #[test]
    fn time_left_is_said_in_two_units() {
        let now = Timestamp::UNIX_EPOCH;
        for (seconds, text) in
            [(-5, "over"), (0, "over"), (59, "59s"), (843, "14m 03s"), (7_500, "2h 05m"), (90_000, "1d 01h")]
        {
            assert_eq!(left(Timestamp::from_second(seconds).unwrap(), now), text);
        }
    }
}
