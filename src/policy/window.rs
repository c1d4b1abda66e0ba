//! Conditions on the clock: times of day and days of the week, in UTC or in a named time zone.
//!
//! The time is passed in. The zone rules are compiled into the binary, so that every machine decides the same.

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::diagnostic::nearest;
use crate::domain::Timestamp;

const SECONDS_A_DAY: i64 = 24 * 60 * 60;

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute(u16);

impl Minute {
    /// Reads `HH:MM` or `H:MM`, and nothing else.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u16>().ok()).flatten();
        if !matches!(hour.len(), 1 | 2) || minute.len() != 2 {
            return None;
        }
        let (hour, minute) = (digits(hour)?, digits(minute)?);
        (hour < 24 && minute < 60).then_some(Self(hour * 60 + minute))
    }

    fn as_seconds(self) -> i64 {
        i64::from(self.0) * 60
    }

    /// Whether this is 00:00.
    pub(super) fn is_midnight(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A window of the day: `after` is in it, `before` is not. If `after` is later than `before`, it crosses midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first minute of the window.
    pub after: Option<Minute>,
    /// The first minute that is no longer in it.
    pub before: Option<Minute>,
}

impl Window {
    /// The key in the policy; the first one if there are two.
    pub(super) const fn key(self) -> &'static str {
        if self.after.is_some() { "time_after" } else { "time_before" }
    }

    /// Whether every minute of the other window is in this one.
    pub(super) fn covers(self, other: Self) -> bool {
        (0..SECONDS_A_DAY / 60).all(|minute| !other.holds(minute * 60) || self.holds(minute * 60))
    }

    /// Whether a minute is in both windows.
    pub(super) fn meets(self, other: Self) -> bool {
        (0..SECONDS_A_DAY / 60).any(|minute| self.holds(minute * 60) && other.holds(minute * 60))
    }

    /// Whether it continues into the next day.
    pub(super) fn crosses_midnight(self) -> bool {
        // A window up to 00:00 ends with its day.
        matches!((self.after, self.before), (Some(after), Some(before)) if after > before && !before.is_midnight())
    }

    fn holds(self, seconds: i64) -> bool {
        let is_after = self.after.is_none_or(|after| seconds >= after.as_seconds());
        let is_before = self.before.is_none_or(|before| seconds < before.as_seconds());
        match (self.after, self.before) {
            (Some(after), Some(before)) if after > before => is_after || is_before,
            _ => is_after && is_before,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.after, self.before) {
            (Some(after), Some(before)) => write!(f, "time_after {after} and time_before {before}"),
            (Some(after), None) => write!(f, "time_after {after}"),
            (None, Some(before)) => write!(f, "time_before {before}"),
            (None, None) => f.write_str("any time"),
        }
    }
}

/// A set of days of the week, Monday = 1 to Sunday = 7.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// Adds a day; false if it was in the set.
    pub(super) fn add(&mut self, day: u8) -> bool {
        let bit = 1_u8.checked_shl(u32::from(day)).unwrap_or(0);
        let is_new = self.0 & bit == 0;
        self.0 |= bit;
        is_new
    }

    /// The days, Monday first.
    pub fn days(self) -> impl Iterator<Item = u8> {
        (1..=7).filter(move |day| self.0 & (1 << day) != 0)
    }

    /// Whether every day of the other set is in this one.
    pub(super) const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn has(self, day: i64) -> bool {
        (1..=7).contains(&day) && self.0 & (1 << day) != 0
    }
}

impl fmt::Display for Weekdays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("weekdays [")?;
        for (i, day) in self.days().enumerate() {
            write!(f, "{}{day}", if i == 0 { "" } else { ", " })?;
        }
        f.write_str("]")
    }
}

/// The time zone of a condition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Zone(Option<TimeZone>);

impl Zone {
    /// The zone with this IANA name, in the spelling of the database. The error is the nearest name that exists.
    pub(super) fn named(name: &str) -> Result<Self, Option<String>> {
        let database = TimeZoneDatabase::bundled();
        match database.get(name) {
            // No zone means UTC already, and is faster.
            Ok(_) if name == "UTC" => Ok(Self(None)),
            Ok(zone) if zone.iana_name() == Some(name) => Ok(Self(Some(zone))),
            Ok(zone) => Err(zone.iana_name().map(str::to_owned)),
            Err(_) => {
                let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
                Err(nearest(name, names.iter().map(String::as_str)).map(str::to_owned))
            }
        }
    }

    /// Whether this is UTC.
    pub(super) fn is_utc(&self) -> bool {
        self.0.is_none()
    }

    /// Seconds since the local epoch: a local date and time without the calendar.
    fn local_seconds(&self, now: Timestamp) -> i64 {
        // Not `as_second`: it rounds towards 1970, not down.
        let seconds = now.as_microsecond().div_euclid(1_000_000);
        match &self.0 {
            None => seconds,
            Some(zone) => seconds + i64::from(zone.to_offset(now).seconds()),
        }
    }

    pub(super) fn in_window(&self, window: Window, now: Timestamp) -> bool {
        window.holds(self.local_seconds(now).rem_euclid(SECONDS_A_DAY))
    }

    pub(super) fn on_weekdays(&self, weekdays: Weekdays, now: Timestamp) -> bool {
        // The epoch was a Thursday.
        weekdays.has((self.local_seconds(now).div_euclid(SECONDS_A_DAY) + 3).rem_euclid(7) + 1)
    }

    /// The local date and time, as an explanation shows it.
    pub(super) fn show(&self, now: Timestamp) -> String {
        now.to_zoned(self.0.clone().unwrap_or(TimeZone::UTC)).strftime("%A %H:%M:%S %Z").to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(after: &str, before: &str) -> Window {
        Window { after: Minute::parse(after), before: Minute::parse(before) }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_time_is_hours_and_minutes() {
        assert_eq!(Minute::parse("9:05").map(|time| time.to_string()).as_deref(), Some("09:05"));
        for text in
            ["9", "0900", "24:00", "23:60", "-1:00", "+9:00", "09:00:30", "9:5", " 09:00", "", ":", "٠٩:٠٠", "012:00"]
        {
            assert_eq!(Minute::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_is_half_open_and_may_cross_midnight() {
        let (day, night, utc) = (window("09:00", "18:00"), window("18:00", "08:00"), Zone::default());
        assert!(utc.in_window(day, at("2026-03-18T09:00:00Z")));
        assert!(utc.in_window(day, at("2026-03-18T17:59:59.999999Z")));
        assert!(!utc.in_window(day, at("2026-03-18T18:00:00Z")));
        assert!(!utc.in_window(day, at("2026-03-18T08:59:59.999999Z")));
        for (time, holds) in
            [("18:00", true), ("23:59", true), ("00:00", true), ("07:59", true), ("08:00", false), ("12:00", false)]
        {
            assert_eq!(utc.in_window(night, at(&format!("2026-03-18T{time}:00Z"))), holds, "{time}");
        }
        assert!(utc.in_window(window("18:00", "00:00"), at("2026-03-18T23:59:59Z")));
        assert!(!utc.in_window(window("", "00:00"), at("2026-03-18T00:00:00Z")));
        assert!(utc.in_window(day, at("1969-12-31T17:59:59.5Z")));
    }

    #[test]
    fn a_zone_moves_the_clock_and_the_day() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let mut monday = Weekdays::default();
        monday.add(1);
        // 23:30 UTC on a Sunday in summer is 01:30 on Monday there.
        let now = at("2026-07-05T23:30:00Z");
        assert!(berlin.on_weekdays(monday, now) && !Zone::default().on_weekdays(monday, now));
        assert!(berlin.in_window(window("01:30", "01:31"), now));
        assert_eq!(berlin.show(now), "Monday 01:30:00 CEST");
    }

    #[test]
    fn zones_are_spelled_as_the_database_has_them() {
        assert_eq!(Zone::named("Europe/Berln"), Err(Some("Europe/Berlin".to_owned())));
        assert_eq!(Zone::named("europe/berlin"), Err(Some("Europe/Berlin".to_owned())));
        assert_eq!(Zone::named("+02:00"), Err(None));
        assert!(Zone::named("UTC").is_ok());
    }

    proptest! {
        #[test]
        fn the_clock_agrees_with_a_calendar(second in -62_000_000_000_i64..253_000_000_000, day in 1_u8..=7) {
            let now = Timestamp::from_second(second).unwrap();
            let zoned = now.to_zoned(TimeZone::UTC);
            let mut weekdays = Weekdays::default();
            weekdays.add(day);
            let is_day = zoned.weekday().to_monday_one_offset() == i8::try_from(day).unwrap();
            prop_assert_eq!(Zone::default().on_weekdays(weekdays, now), is_day);
            let minute = format!("{:02}:{:02}", zoned.hour(), zoned.minute());
            let until = Window { after: Minute::parse(&minute), before: None };
            prop_assert!(Zone::default().in_window(until, now));
        }
    }
}
