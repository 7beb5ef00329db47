//! Writes times, spans and sizes as people read them in tables, and as programs read them in JSON.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::model::time::{Seconds, TimeLimit, WallTime};

/// The moment and the zone that a table is written for. Taken once a command, so that rendering reads no clock.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Now.
    pub now: WallTime,
    /// The zone of times in tables.
    pub zone: TimeZone,
}

impl Clock {
    /// The system's.
    pub fn system() -> Clock {
        Clock { now: wall_now(), zone: crate::cli::zone::local() }
    }

    /// `2026-11-22T15:41:56`, in the clock's zone; `-` for a time that no calendar has.
    pub fn local(&self, time: WallTime) -> String {
        match Timestamp::from_microsecond(time.0) {
            Ok(stamp) => stamp.to_zoned(self.zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            Err(_) => "-".to_owned(),
        }
    }

    /// `14:20` today, else `Mon 14:20` within six days, else the whole of it.
    pub fn near(&self, time: WallTime) -> String {
        let (Ok(stamp), Ok(now)) =
            (Timestamp::from_microsecond(time.0), Timestamp::from_microsecond(self.now.0))
        else {
            return "-".to_owned();
        };
        let (then, today) = (stamp.to_zoned(self.zone.clone()), now.to_zoned(self.zone.clone()));
        let away_seconds = (time.0 - self.now.0).unsigned_abs() / 1_000_000;
        if then.date() == today.date() {
            then.strftime("%H:%M").to_string()
        } else if away_seconds < NEAR_SECONDS {
            then.strftime("%a %H:%M").to_string()
        } else {
            self.local(time)
        }
    }

    /// Like [`Clock::local`], `-` for none.
    pub fn local_or_dash(&self, time: Option<WallTime>) -> String {
        time.map_or_else(|| "-".to_owned(), |time| self.local(time))
    }
}

/// Times nearer than this are named by their weekday.
const NEAR_SECONDS: u64 = 6 * 86_400;

/// The wall clock.
pub fn wall_now() -> WallTime {
    WallTime(Timestamp::now().as_microsecond())
}

/// RFC 3339 in UTC, for JSON. `None` for a time that no calendar has.
pub fn rfc3339(time: WallTime) -> Option<String> {
    Timestamp::from_microsecond(time.0).ok().map(|stamp| stamp.to_string())
}

/// A span as Slurm's tables write it: `0:00`, `12:34`, `1:02:03`, `2-03:04:05`.
pub fn span(span: Seconds) -> String {
    let (days, hours, minutes, seconds) =
        (span.0 / 86_400, span.0 / 3_600 % 24, span.0 / 60 % 60, span.0 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        _ => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// A time limit as Slurm's tables write it.
pub fn limit(limit: TimeLimit) -> String {
    limit.0.map_or_else(|| "UNLIMITED".to_owned(), span)
}

/// A span in words: `45 s`, `30 min`, `1 h 30 min`, `2 d 3 h`. The two largest parts, rounded down.
pub fn span_words(span: Seconds) -> String {
    let parts =
        [(span.0 / 86_400, "d"), (span.0 / 3_600 % 24, "h"), (span.0 / 60 % 60, "min"), (span.0 % 60, "s")];
    let first = parts.iter().position(|(count, _)| *count > 0).unwrap_or(parts.len() - 1);
    let words: Vec<String> = parts
        .iter()
        .skip(first)
        .take(2)
        .enumerate()
        .filter(|(place, (count, _))| *place == 0 || *count > 0)
        .map(|(_, (count, unit))| format!("{count} {unit}"))
        .collect();
    words.join(" ")
}

/// A size in the largest unit that keeps it short: `0`, `512M`, `1.5G`, `2T`.
pub fn size(bytes: u64) -> String {
    let (value, unit) = scaled(bytes);
    format!("{value}{unit}")
}

/// A size in words: `512 MiB`, `1.5 GiB`, `17 bytes`.
pub fn size_words(bytes: u64) -> String {
    match scaled(bytes) {
        (value, "") => format!("{value} bytes"),
        (value, unit) => format!("{value} {unit}iB"),
    }
}

fn scaled(bytes: u64) -> (String, &'static str) {
    const UNITS: [&str; 7] = ["", "K", "M", "G", "T", "P", "E"];
    let mut power = 0;
    while power + 1 < UNITS.len() && bytes >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    let whole = bytes >> (10 * power);
    let tenths = (((bytes - (whole << (10 * power))) as u128 * 10) >> (10 * power)) as u64;
    let value = if tenths == 0 || whole >= 100 { whole.to_string() } else { format!("{whole}.{tenths}") };
    (value, UNITS.get(power).copied().unwrap_or(""))
}

/// Seconds of processor time from milliseconds, as JSON has it.
pub fn cpu_seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

/// A count and its noun, in the plural where it must be: `1 job`, `2 jobs`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_as_people_write_them() {
        for (seconds, table, words) in [
            (0, "0:00", "0 s"),
            (61, "1:01", "1 min 1 s"),
            (3_600, "1:00:00", "1 h"),
            (93_784, "1-02:03:04", "1 d 2 h"),
            (1_800, "30:00", "30 min"),
        ] {
            assert_eq!(
                (span(Seconds(seconds)).as_str(), span_words(Seconds(seconds)).as_str()),
                (table, words)
            );
        }
        for (bytes, table, words) in [
            (0, "0", "0 bytes"),
            (1_023, "1023", "1023 bytes"),
            (1_024, "1K", "1 KiB"),
            (2 << 30, "2G", "2 GiB"),
            (3 << 29, "1.5G", "1.5 GiB"),
            (u64::MAX, "15.9E", "15.9 EiB"),
        ] {
            assert_eq!((size(bytes).as_str(), size_words(bytes).as_str()), (table, words));
        }
    }

    #[test]
    fn times_of_no_calendar_are_no_panic() {
        let clock = Clock { now: WallTime(0), zone: TimeZone::UTC };
        assert_eq!(clock.local(WallTime(i64::MAX)), "-");
        assert_eq!(clock.near(WallTime(i64::MIN)), "-");
        assert_eq!(rfc3339(WallTime(i64::MIN)), None);
        assert_eq!(rfc3339(WallTime(0)).as_deref(), Some("1970-01-01T00:00:00Z"));
        assert_eq!(clock.near(WallTime(3_600_000_000)), "01:00");
    }
}
