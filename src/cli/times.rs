//! Durations and moments, as the command line reads and prints them.

use jiff::tz::TimeZone;

use crate::domain::Timestamp;
pub(super) use crate::domain::times::{Moment, duration, exact, point};
use crate::domain::times::{moment, read};

/// Which zone times are in.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub(super) struct ZoneArgs {
    /// Show and read times in UTC. Without a terminal they always are
    #[arg(long)]
    utc: bool,
}

impl ZoneArgs {
    /// The zone to show times in: the reader's where they are shown on a terminal.
    pub(super) fn shown(self, is_terminal: bool) -> Zone {
        if self.utc || !is_terminal { Zone::utc() } else { Zone(of_this_machine()) }
    }
}

/// The zone of `TZ` or `/etc/localtime`; UTC on a machine that names none.
fn of_this_machine() -> TimeZone {
    TimeZone::try_system().unwrap_or(TimeZone::UTC)
}

/// The zone in which a person is shown times.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub(super) const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The moment that somebody wrote: in this zone, where it names none.
    pub(super) fn read(&self, moment: Moment) -> Option<Timestamp> {
        moment.within(&self.0)
    }

    /// A moment to the second, with the zone: `2026-11-20 12:05:30 UTC`.
    pub(super) fn full(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
    }

    /// A moment to the second, below a heading that names the zone.
    pub(super) fn to_the_second(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.0.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    }

    /// A moment of this year to the minute, where there is little room.
    pub(super) fn to_the_minute(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.0.clone()).strftime("%m-%d %H:%M").to_string()
    }

    /// The time of the day, where the day goes without saying.
    pub(super) fn time_of_day(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.0.clone()).strftime("%H:%M:%S").to_string()
    }

    /// Whether it is UTC, and not only like it at the moment.
    pub(super) fn is_utc(&self) -> bool {
        self.0 == TimeZone::UTC || matches!(self.0.iana_name(), Some("UTC" | "Etc/UTC"))
    }
}

/// Reads a moment for clap, which may leave its zone open.
pub(super) fn open_moment_arg(text: &str) -> Result<Moment, String> {
    read(text, Timestamp::now())
}

/// Reads a moment for clap, relative to the machine's clock.
pub(super) fn moment_arg(text: &str) -> Result<Timestamp, String> {
    moment(text, Timestamp::now())
}

/// How long something took, in the units that a person would use: `87ms`, `1.5s`, `2m 05s`.
pub(super) fn took(from: Timestamp, to: Timestamp) -> String {
    let millis = to.duration_since(from).as_millis();
    match millis {
        ..0 => "less than nothing, by the agent's clock".into(),
        0..1_000 => format!("{millis}ms"),
        1_000..60_000 => format!("{}.{}s", millis / 1_000, millis / 100 % 10),
        _ => left(to, from),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_readers_zone_with_its_name() {
        let at: Timestamp = "2026-11-20T23:05:30Z".parse().unwrap();
        let zone = Zone(TimeZone::get("Europe/Berlin").unwrap());
        assert_eq!(zone.full(at), "2026-11-21 00:05:30 CET");
        assert_eq!((zone.to_the_second(at), zone.is_utc()), ("2026-11-21 00:05:30".to_owned(), false));
        assert_eq!(zone.to_the_minute(at), "11-21 00:05");
        assert_eq!(zone.time_of_day(at), "00:05:30");
        for utc in [ZoneArgs { utc: true }.shown(true), ZoneArgs { utc: false }.shown(false)] {
            assert_eq!((utc.full(at).as_str(), utc.is_utc()), ("2026-11-20 23:05:30 UTC", true));
        }
    }

    #[test]
    fn how_long_something_took_is_shown_in_its_units() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        for (millis, text) in [(0, "0ms"), (87, "87ms"), (1_540, "1.5s"), (125_000, "2m 05s")] {
            assert_eq!(took(at(0), at(millis)), text);
        }
        assert!(took(at(5), at(0)).contains("clock"));
    }

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
