//! Times of day as users write them, understood but not yet placed: `now+2h`, `16:00`, `tomorrow`,
//! `2026-12-01[T08:00]`, `now-2days`. What they mean depends on the clock and the zone, which this room has not.

use super::span::{SPAN_SECONDS_MAX, unit_seconds};
use super::{digits, excerpt};

/// A time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clock {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
}

/// Midnight.
pub const MIDNIGHT: Clock = Clock { hour: 0, minute: 0, second: 0 };

/// A moment as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// So many seconds from now; negative: ago.
    Now(i64),
    /// The next such time of day, or the last, whichever is asked for.
    Clock(Clock),
    /// So many days from today, at that time.
    Day(i8, Clock),
    /// That date, at that time; without a year: the next such date, or the last. The month and day may still not
    /// exist together (`02-30`).
    Date {
        /// The year, if it was written.
        year: Option<i16>,
        /// 1 to 12.
        month: i8,
        /// 1 to 31.
        day: i8,
        /// At that time.
        clock: Clock,
        /// Seconds east of Greenwich, if a zone was written (`Z`, `+02:00`); otherwise the local zone is meant.
        offset_seconds: Option<i32>,
    },
}

/// Why a moment was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MomentError {
    /// Not of any of the forms.
    #[error("`{0}` is no time: write `now+2h`, `16:00`, `tomorrow`, `2026-12-01` or `2026-12-01T08:00`")]
    Malformed(String),
    /// Too far away to count.
    #[error("`{0}` is more than a hundred years away")]
    TooFar(String),
}

/// Reads a moment.
pub fn moment(text: &str) -> Result<Moment, MomentError> {
    let word = text.trim().to_ascii_lowercase();
    let malformed = || MomentError::Malformed(excerpt(text));
    if let Some(rest) = word.strip_prefix("now") {
        return from_now(rest, text);
    }
    let (date, clock) = match word.split_once('t') {
        Some((date, clock)) if date.ends_with(|c: char| c.is_ascii_digit()) => (date, Some(clock)),
        _ => (word.as_str(), None),
    };
    match named(&word) {
        Some(moment) => Ok(moment),
        None if date.contains('/') => slashed(date).ok_or_else(malformed),
        None if date.contains('-') => dashed(date, clock).ok_or_else(malformed),
        None => self::clock(&word).map(Moment::Clock).ok_or_else(malformed),
    }
}

/// The words that stand for a time or a day.
fn named(word: &str) -> Option<Moment> {
    let at = |hour| Some(Moment::Clock(Clock { hour, ..MIDNIGHT }));
    match word {
        "midnight" => at(0),
        "elevenses" => at(11),
        "noon" => at(12),
        "fika" => at(15),
        "teatime" => at(16),
        "today" => Some(Moment::Day(0, MIDNIGHT)),
        "tomorrow" => Some(Moment::Day(1, MIDNIGHT)),
        "yesterday" => Some(Moment::Day(-1, MIDNIGHT)),
        _ => {
            let days = [("today", 0), ("tomorrow", 1), ("yesterday", -1)];
            let (rest, day) =
                days.into_iter().find_map(|(name, day)| Some((word.strip_prefix(name)?, day)))?;
            let clock_words = rest.strip_prefix(['t', '-', ' '])?;
            clock(clock_words).map(|clock| Moment::Day(day, clock))
        }
    }
}

/// `+2h`, `-2days`, `+60` (seconds), or nothing.
fn from_now(rest: &str, text: &str) -> Result<Moment, MomentError> {
    let malformed = || MomentError::Malformed(excerpt(text));
    if rest.is_empty() {
        return Ok(Moment::Now(0));
    }
    let (sign, rest) = match (rest.strip_prefix('+'), rest.strip_prefix('-')) {
        (Some(rest), _) => (1, rest),
        (_, Some(rest)) => (-1, rest),
        _ => return Err(malformed()),
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (count, unit) = rest.split_at(end);
    let unit_seconds =
        if unit.is_empty() { 1 } else { unit_seconds(unit.trim_start()).ok_or_else(malformed)? };
    if count.is_empty() {
        return Err(malformed());
    }
    let seconds = digits(count).and_then(|count| count.checked_mul(unit_seconds));
    let seconds = seconds
        .filter(|seconds| *seconds <= SPAN_SECONDS_MAX)
        .and_then(|seconds| i64::try_from(seconds).ok());
    seconds.map(|seconds| Moment::Now(sign * seconds)).ok_or_else(|| MomentError::TooFar(excerpt(text)))
}

/// `YYYY-MM-DD[THH:MM[:SS]][Z|+HH:MM]`.
fn dashed(date: &str, clock_words: Option<&str>) -> Option<Moment> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 {
        return None;
    }
    let (clock, offset_seconds) = match clock_words {
        None => (MIDNIGHT, None),
        Some(words) => split_zone(words)?,
    };
    let year = Some(i16::try_from(digits(year)?).ok()?);
    Some(Moment::Date {
        year,
        month: bounded(month, 1, 12)?,
        day: bounded(day, 1, 31)?,
        clock,
        offset_seconds,
    })
}

fn split_zone(words: &str) -> Option<(Clock, Option<i32>)> {
    if let Some(plain) = words.strip_suffix('z') {
        return Some((clock(plain)?, Some(0)));
    }
    let Some(at) = words.rfind(['+', '-']) else { return Some((clock(words)?, None)) };
    let (plain, zone) = words.split_at(at);
    let sign = if zone.starts_with('-') { -1 } else { 1 };
    let east = clock(zone.get(1..)?)?;
    let seconds = i32::from(east.hour) * 3_600 + i32::from(east.minute) * 60;
    Some((clock(plain)?, Some(sign * seconds)))
}

/// Slurm's `MM/DD[/YY][-HH:MM[:SS]]`.
fn slashed(words: &str) -> Option<Moment> {
    let (date, clock_words) = match words.split_once('-') {
        Some((date, clock_words)) => (date, Some(clock_words)),
        None => (words, None),
    };
    let mut parts = date.split('/');
    let (month, day, year) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let year = match year {
        None => None,
        Some(year) if year.len() == 2 => Some(2_000 + i16::try_from(digits(year)?).ok()?),
        Some(year) if year.len() == 4 => Some(i16::try_from(digits(year)?).ok()?),
        Some(_) => return None,
    };
    let clock = clock_words.map_or(Some(MIDNIGHT), clock)?;
    let (month, day) = (bounded(month, 1, 12)?, bounded(day, 1, 31)?);
    Some(Moment::Date { year, month, day, clock, offset_seconds: None })
}

/// `HH:MM[:SS][am|pm]`.
fn clock(words: &str) -> Option<Clock> {
    let (words, half) = match (words.strip_suffix("am"), words.strip_suffix("pm")) {
        (Some(rest), _) => (rest.trim_end(), Some(0)),
        (_, Some(rest)) => (rest.trim_end(), Some(12)),
        _ => (words, None),
    };
    let mut parts = words.split(':');
    let hour = bounded(parts.next()?, 0, 23)?;
    let minute = bounded(parts.next()?, 0, 59)?;
    let second = parts.next().map_or(Some(0), |second| bounded(second, 0, 59))?;
    if parts.next().is_some() {
        return None;
    }
    let hour = match half {
        None => hour,
        Some(add) if (1..=12).contains(&hour) => hour % 12 + add,
        Some(_) => return None,
    };
    let narrow = |value: i8| u8::try_from(value).ok();
    Some(Clock { hour: narrow(hour)?, minute: narrow(minute)?, second: narrow(second)? })
}

fn bounded(text: &str, least: i8, most: i8) -> Option<i8> {
    let value = i8::try_from(digits(text).filter(|_| text.len() <= 2)?).ok()?;
    (least..=most).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(hour: u8, minute: u8) -> Clock {
        Clock { hour, minute, second: 0 }
    }

    #[test]
    fn every_form() {
        let date =
            |year, clock, offset_seconds| Moment::Date { year, month: 12, day: 1, clock, offset_seconds };
        let table = [
            ("now", Moment::Now(0)),
            ("now+2h", Moment::Now(7_200)),
            ("now-2days", Moment::Now(-172_800)),
            ("now+60", Moment::Now(60)),
            ("16:00", Moment::Clock(at(16, 0))),
            ("4:30pm", Moment::Clock(at(16, 30))),
            ("12:05am", Moment::Clock(at(0, 5))),
            ("noon", Moment::Clock(at(12, 0))),
            ("tomorrow", Moment::Day(1, MIDNIGHT)),
            ("tomorrowT08:00", Moment::Day(1, at(8, 0))),
            ("2026-12-01", date(Some(2026), MIDNIGHT, None)),
            ("2026-12-01T08:00", date(Some(2026), at(8, 0), None)),
            ("2026-12-01T08:00:00Z", date(Some(2026), at(8, 0), Some(0))),
            ("2026-12-01T08:00-05:30", date(Some(2026), at(8, 0), Some(-19_800))),
            ("12/01", date(None, MIDNIGHT, None)),
            ("12/01/26-08:00", date(Some(2026), at(8, 0), None)),
        ];
        for (text, expected) in table {
            assert_eq!(moment(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refused_forms_and_the_limit_at_its_edge() {
        let bad = [
            "",
            "8",
            "24:00",
            "12:60",
            "13:00pm",
            "2026-13-01",
            "2026-1",
            "now2h",
            "now+",
            "now+h",
            "now+2x",
        ];
        for bad in
            bad.into_iter().chain(["tomorrowT", "tea", "t", "2026-12-01T", "1/2/3", "2026-12-01T08:00+99"])
        {
            assert!(moment(bad).is_err(), "{bad}");
        }
        assert!(moment(&format!("now+{SPAN_SECONDS_MAX}")).is_ok());
        assert!(matches!(moment(&format!("now+{}", SPAN_SECONDS_MAX + 1)), Err(MomentError::TooFar(_))));
        assert!(matches!(moment("now+99999999999999999999d"), Err(MomentError::TooFar(_))));
    }

    proptest! {
        #[test]
        fn no_string_is_too_strange(text in "(now|tomorrow|[0-9T:/+zam-]){0,12}|\\PC{0,12}") {
            let _ = moment(&text);
        }
    }
}
