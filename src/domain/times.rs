//! Durations and moments, as the command line and REST read and print them.

use std::time::Duration;

use jiff::civil::{DateTime, Time};
use jiff::fmt::rfc2822;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

use super::Timestamp;

/// The longest duration: 100 years, more than anybody can mean here.
const LONGEST: Duration = Duration::from_hours(24 * 36_500);

/// The units, longest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Reads `500ms`, `90s`, `5m`, `1h30m` or `7d`: whole numbers with a unit each, the longest unit first.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!("`{text}` is not a duration: write whole numbers with units, for example 500ms, 90s, 5m, 1h30m or 7d")
    };
    let too_long = || format!("`{text}` is too long: the longest duration is 36500d (100 years)");
    let mut millis: u64 = 0;
    let mut rest = text;
    // Each unit occurs once, and in this order: `30m1h` and `1h1h` are mistakes.
    let mut units = UNITS.iter();
    while !rest.is_empty() || millis == 0 && rest.len() == text.len() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_lowercase).count();
        let (number, unit) = (&rest[..digits], &rest[digits..digits + letters]);
        rest = &rest[digits + letters..];
        let (_, factor) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        if digits == 0 {
            return Err(wrong());
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*factor));
        millis = part.and_then(|part| millis.checked_add(part)).ok_or_else(too_long)?;
    }
    let duration = Duration::from_millis(millis);
    if duration > LONGEST { Err(too_long()) } else { Ok(duration) }
}

/// A moment as somebody wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its zone, or so long ago.
    At(Timestamp),
    /// What a clock on the wall shows; the zone is the reader's to know.
    Civil(DateTime),
}

impl Moment {
    /// The moment, for a clock in this zone. Of a time that the clock shows twice, the first; of one that it skips, the
    /// time after the gap.
    pub fn within(self, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::At(moment) => Some(moment),
            Self::Civil(civil) => civil.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp()),
        }
    }
}

/// Reads a moment: one that [`point`] reads, or a time before `now` (`15m`). Without a zone it is in UTC.
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let read = read(text, now)?.within(&TimeZone::UTC);
    read.ok_or_else(|| format!("`{text}` is not a moment: write {POINTS}, or how long ago, like 15m"))
}

/// Reads what [`moment`] reads, and leaves open which zone is meant where the text names none.
pub fn read(text: &str, now: Timestamp) -> Result<Moment, String> {
    if let Some(moment) = read_moment(text) {
        return Ok(moment);
    }
    match duration(text) {
        Ok(ago) => now.checked_sub(ago).map(Moment::At).map_err(|_| format!("`{text}` ago is out of range")),
        Err(why) if why.contains("too long") => Err(why),
        Err(_) => Err(format!("`{text}` is not a moment: write {POINTS}, or how long ago, like 15m")),
    }
}

const POINTS: &str = "2026-11-20T09:00:00Z (RFC 3339), 2026-11-20 09:00 (UTC) or 2026-11-20 (its midnight in UTC)";

/// Reads a moment that does not depend on the clock: RFC 3339, RFC 2822, `@` and seconds since 1970, or a date with or
/// without a time. Without a zone it is in UTC.
pub fn point(text: &str) -> Result<Timestamp, String> {
    let read = read_moment(text).and_then(|moment| moment.within(&TimeZone::UTC));
    read.ok_or_else(|| format!("`{text}` is not a moment: write {POINTS}"))
}

fn read_moment(text: &str) -> Option<Moment> {
    if let Some(seconds) = text.strip_prefix('@') {
        return seconds.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()).map(Moment::At);
    }
    if let Ok(moment) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(Moment::At(moment));
    }
    // The form that this program prints.
    let (text, is_utc) = match text.strip_suffix(" UTC").or_else(|| text.strip_suffix(" GMT")) {
        Some(text) => (text, true),
        None => (text, false),
    };
    if let Ok(moment) = text.parse() {
        return Some(Moment::At(moment));
    }
    // A parser of dates alone would ignore what follows the date, so every piece is checked.
    let pieces = Pieces::parse(text).ok()?;
    if pieces.offset().is_some() || pieces.time_zone_annotation().is_some() {
        return None;
    }
    let civil = Moment::Civil(pieces.date().to_datetime(pieces.time().unwrap_or(Time::midnight())));
    if is_utc { civil.within(&TimeZone::UTC).map(Moment::At) } else { Some(civil) }
}

/// A moment to the microsecond, for data: always six digits, so that texts sort as the moments do.
pub fn exact(moment: Timestamp) -> String {
    format!("{moment:.6}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("1d", 86_400_000),
            ("0s", 0),
            ("1h30m", 5_400_000),
            ("1d12h5m6s7ms", 129_906_007),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "5", "s", "-5s", "1.5h", "5 m", "5M", "1h30", "30m1h", "1h1h", "1h 30m", "٥s", "5w", "1hm"] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(&format!("`{text}` is not a duration")), "{error}");
        }
        for text in ["99999d", "36500d1ms", "99999999999999999999s", "99999999999999999d"] {
            assert!(duration(text).unwrap_err().contains("the longest duration is 36500d"), "{text}");
        }
    }

    #[test]
    fn a_moment_without_a_zone_is_utc_and_no_part_of_a_moment_is_ignored() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
            ("2026-11-20T09:00:00.5z", "2026-11-20T09:00:00.5Z"),
            ("2026-11-20T09:00:00+02:00", "2026-11-20T07:00:00Z"),
            ("2026-11-20 09:00:00+02:00", "2026-11-20T07:00:00Z"),
            ("2026-11-20T09:00:00+02:00[Africa/Cairo]", "2026-11-20T07:00:00Z"),
            ("2026-11-28T13:57:45", "2026-11-28T13:57:45Z"),
            ("2026-11-28 13:57:45", "2026-11-28T13:57:45Z"),
            ("2026-11-28T13:57:45.123456", "2026-11-28T13:57:45.123456Z"),
            ("2026-11-28 13:57:45 UTC", "2026-11-28T13:57:45Z"),
            ("2026-11-28T13:57", "2026-11-28T13:57:00Z"),
            ("20261128T135745Z", "2026-11-28T13:57:45Z"),
            ("20261128T135745", "2026-11-28T13:57:45Z"),
            ("2026-11-19", "2026-11-19T00:00:00Z"),
            ("20261119", "2026-11-19T00:00:00Z"),
            ("Sat, 28 Nov 2026 13:57:45 +0100", "2026-11-28T12:57:45Z"),
            ("@1795874265", "2026-11-28T13:57:45Z"),
            ("15m", "2026-11-20T11:45:00Z"),
            ("1h30m", "2026-11-20T10:30:00Z"),
        ] {
            assert_eq!(moment(text, now).map(|at| at.to_string()).as_deref(), Ok(expected), "{text}");
        }
        for text in [
            "yesterday",
            "",
            "2026-11-28T13:57:45[Europe/Berlin]",
            "2026-11-28T13:57:45 CET",
            "2026-11-28 1:57 pm",
            "2026-11-28T25:00",
            "2026-11-31",
            "28.11.2026",
            "11/28/2026",
            "2026-11-28Tx",
            "2026-11-28 ",
            "1795874265",
            "13:57:45",
        ] {
            let error = moment(text, now).unwrap_err();
            assert!(error.contains("is not a moment") && error.contains("how long ago"), "{text}: {error}");
        }
        assert!(moment("99999d", now).unwrap_err().contains("the longest duration"));
        assert!(point("15m").unwrap_err().contains("RFC 3339"));
    }

    #[test]
    fn only_a_moment_that_names_no_zone_depends_on_the_readers() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        for (text, expected) in [
            ("2026-11-20 09:00", "2026-11-20T08:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("2026-11-20 09:00 UTC", "2026-11-20T09:00:00Z"),
            ("2026-11-20T09:00:00Z", "2026-11-20T09:00:00Z"),
            ("2026-11-20T09:00:00-05:00", "2026-11-20T14:00:00Z"),
            ("15m", "2026-11-20T11:45:00Z"),
            // The clock shows the first twice, and the second never.
            ("2026-10-25 02:30", "2026-10-25T00:30:00Z"),
            ("2026-03-29 02:30", "2026-03-29T01:30:00Z"),
        ] {
            let at = read(text, now).unwrap().within(&berlin).unwrap();
            assert_eq!(at.to_string(), expected, "{text}");
        }
    }

    #[test]
    fn moments_in_data_always_have_six_digits() {
        for (at, text) in [
            ("2026-11-20T22:49:44.69941Z", "2026-11-20T22:49:44.699410Z"),
            ("2026-11-20T22:49:44Z", "2026-11-20T22:49:44.000000Z"),
        ] {
            assert_eq!(exact(at.parse().unwrap()), text);
        }
    }
}
