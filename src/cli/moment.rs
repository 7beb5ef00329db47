//! Places a moment that somebody wrote (`16:00`, `tomorrow`, `now-2days`) on the clock, in the local zone.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::model::parse::day::{self, Clock, Moment, MomentError};
use crate::model::time::WallTime;

/// Where a time of day without a date, or a date without a year, is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    /// The next one: when something is to happen.
    Future,
    /// The last one: since when something is to be shown.
    Past,
}

/// Why a moment could not be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// Not understood.
    #[error(transparent)]
    Malformed(#[from] MomentError),
    /// Understood, but the calendar has no such day, or it is too far away.
    #[error("`{0}` is not in the calendar")]
    NoSuchDay(String),
}

/// Reads `text` and finds the moment that it means for someone who says it at `now` in `zone`. A time that the clock
/// change left out is moved to after the gap; of a time that comes twice the first is meant.
pub fn place(text: &str, now: WallTime, zone: &TimeZone, towards: Towards) -> Result<WallTime, PlaceError> {
    let moment = day::moment(text)?;
    let found = find(moment, now, zone, towards);
    found.ok_or_else(|| PlaceError::NoSuchDay(text.to_owned()))
}

/// Writes a moment as JSON shows it: RFC 3339 in UTC, whole seconds.
pub fn rfc3339(moment: WallTime) -> String {
    match Timestamp::from_second(moment.unix_seconds()) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => moment.0.to_string(),
    }
}

fn find(moment: Moment, now: WallTime, zone: &TimeZone, towards: Towards) -> Option<WallTime> {
    let timestamp = Timestamp::from_microsecond(now.0).ok()?;
    let local = zone.to_datetime(timestamp);
    let one = if towards == Towards::Future { 1 } else { -1 };
    match moment {
        Moment::Now(seconds) => wall(timestamp.checked_add(SignedDuration::from_secs(seconds)).ok()?),
        Moment::Clock(clock) => {
            let today = at(local.date(), clock, zone)?;
            if fits(today, now, towards) {
                return Some(today);
            }
            at(local.date().checked_add((one).days()).ok()?, clock, zone)
        }
        Moment::Day(days, clock) => at(local.date().checked_add(i64::from(days).days()).ok()?, clock, zone),
        Moment::Date { year: Some(year), month, day, clock, offset_seconds } => {
            let date = Date::new(year, month, day).ok()?;
            match offset_seconds {
                Some(seconds) => at(date, clock, &Offset::from_seconds(seconds).ok()?.to_time_zone()),
                None => at(date, clock, zone),
            }
        }
        Moment::Date { year: None, month, day, clock, .. } => {
            // Up to eight years, for the 29th of February around a century.
            (0..=8).find_map(|years| {
                let year = local.year().checked_add(years * i16::try_from(one).ok()?)?;
                let found = at(Date::new(year, month, day).ok()?, clock, zone)?;
                fits(found, now, towards).then_some(found)
            })
        }
    }
}

fn fits(found: WallTime, now: WallTime, towards: Towards) -> bool {
    match towards {
        Towards::Future => found > now,
        Towards::Past => found <= now,
    }
}

fn at(date: Date, clock: Clock, zone: &TimeZone) -> Option<WallTime> {
    let narrow = |value: u8| i8::try_from(value).ok();
    let time = jiff::civil::time(narrow(clock.hour)?, narrow(clock.minute)?, narrow(clock.second)?, 0);
    wall(zone.to_ambiguous_timestamp(DateTime::from_parts(date, time)).compatible().ok()?)
}

fn wall(timestamp: Timestamp) -> Option<WallTime> {
    Some(WallTime(timestamp.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn now() -> WallTime {
        WallTime("2026-11-22T15:41:56Z".parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn placed(text: &str, towards: Towards) -> String {
        let zone = Offset::from_seconds(3_600).unwrap().to_time_zone();
        place(text, now(), &zone, towards).map_or_else(|error| error.to_string(), rfc3339)
    }

    #[test]
    fn times_are_local_and_look_ahead_or_back() {
        let table = [
            ("now+2h", "2026-11-22T17:41:56Z", "2026-11-22T17:41:56Z"),
            ("17:00", "2026-11-22T16:00:00Z", "2026-11-21T16:00:00Z"),
            ("08:00", "2026-11-23T07:00:00Z", "2026-11-22T07:00:00Z"),
            ("tomorrow", "2026-11-22T23:00:00Z", "2026-11-22T23:00:00Z"),
            ("2026-12-01", "2026-11-30T23:00:00Z", "2026-11-30T23:00:00Z"),
            ("2026-12-01T08:00Z", "2026-12-01T08:00:00Z", "2026-12-01T08:00:00Z"),
            ("02/29", "2028-02-28T23:00:00Z", "2024-02-28T23:00:00Z"),
            ("2026-02-30", "`2026-02-30` is not in the calendar", "`2026-02-30` is not in the calendar"),
        ];
        for (text, future, past) in table {
            assert_eq!(placed(text, Towards::Future), future, "{text}");
            assert_eq!(placed(text, Towards::Past), past, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_moment_at_any_time_is_placed_or_refused(text in "(now|tomorrow|[0-9]{1,4}|[T:/+-]){1,8}", now in any::<i64>()) {
            for towards in [Towards::Future, Towards::Past] {
                let _ = place(&text, WallTime(now), &TimeZone::UTC, towards);
            }
        }
    }
}
