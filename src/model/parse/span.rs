//! Spans of time as users write them: `30`, `MM:SS`, `HH:MM:SS`, `D-HH[:MM[:SS]]`, `90s`, `1h30m`, `2d`.

use super::{digits, excerpt};
use crate::model::time::{Seconds, TimeLimit};

/// The longest span that can be asked for, in seconds: a hundred years.
pub const SPAN_SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// Why a span was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not of any of the forms.
    #[error(
        "`{0}` is no time: write minutes, `MM:SS`, `HH:MM:SS`, `D-HH[:MM[:SS]]`, or like `90s`, `1h30m`, `2d`"
    )]
    Malformed(String),
    /// Above [`SPAN_SECONDS_MAX`], or not countable at all.
    #[error("`{0}` is longer than a hundred years; `UNLIMITED` means no limit")]
    TooLong(String),
}

/// Reads a time limit. `0`, in any form, and `UNLIMITED` (or `INFINITE`) mean none.
pub fn limit(text: &str) -> Result<TimeLimit, SpanError> {
    if ["unlimited", "infinite"].iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Ok(TimeLimit(None));
    }
    let seconds = span(text)?;
    Ok(TimeLimit((seconds.0 > 0).then_some(seconds)))
}

/// Reads a span; a bare number counts minutes. 0 is 0 here.
pub fn span(text: &str) -> Result<Seconds, SpanError> {
    let words = text.trim();
    let malformed = || SpanError::Malformed(excerpt(text));
    if words.is_empty() || !words.is_ascii() {
        return Err(malformed());
    }
    if words.bytes().any(|b| b.is_ascii_alphabetic()) {
        return with_units(words, text);
    }
    let (days, clock) = match words.split_once('-') {
        Some((days, clock)) => (Some(number(days, text)?), clock),
        None => (None, words),
    };
    let mut parts = Vec::with_capacity(3);
    for part in clock.splitn(4, ':') {
        parts.push(number(part, text)?);
    }
    let seconds = match (days, parts.as_slice()) {
        (Some(days), [h]) => sum(&[(days, 86_400), (*h, 3_600)]),
        (Some(days), [h, m]) => sum(&[(days, 86_400), (*h, 3_600), (*m, 60)]),
        (Some(days), [h, m, s]) => sum(&[(days, 86_400), (*h, 3_600), (*m, 60), (*s, 1)]),
        (None, [m]) => sum(&[(*m, 60)]),
        (None, [m, s]) => sum(&[(*m, 60), (*s, 1)]),
        (None, [h, m, s]) => sum(&[(*h, 3_600), (*m, 60), (*s, 1)]),
        _ => return Err(malformed()),
    };
    within(seconds, text)
}

/// Seconds in the unit of that name.
pub(crate) fn unit_seconds(unit: &str) -> Option<u64> {
    match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" | "secs" | "second" | "seconds" => Some(1),
        "m" | "min" | "mins" | "minute" | "minutes" => Some(60),
        "h" | "hr" | "hrs" | "hour" | "hours" => Some(3_600),
        "d" | "day" | "days" => Some(86_400),
        "w" | "week" | "weeks" => Some(604_800),
        _ => None,
    }
}

/// `1h30m`: each unit once, the larger first, so that a slip such as `1m30h` is seen.
fn with_units(words: &str, text: &str) -> Result<Seconds, SpanError> {
    let malformed = || SpanError::Malformed(excerpt(text));
    let (mut rest, mut above, mut parts) = (words, u64::MAX, Vec::new());
    while !rest.is_empty() {
        let letters = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
        let (count, tail) = rest.split_at(letters);
        let end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let seconds = unit_seconds(unit).filter(|seconds| *seconds < above).ok_or_else(malformed)?;
        parts.push((number(count, text)?, seconds));
        (rest, above) = (next, seconds);
    }
    within(sum(&parts), text)
}

fn number(part: &str, text: &str) -> Result<u64, SpanError> {
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(SpanError::Malformed(excerpt(text)));
    }
    digits(part).ok_or_else(|| SpanError::TooLong(excerpt(text)))
}

fn sum(parts: &[(u64, u64)]) -> Option<u64> {
    parts.iter().try_fold(0_u64, |total, (count, unit)| total.checked_add(count.checked_mul(*unit)?))
}

fn within(seconds: Option<u64>, text: &str) -> Result<Seconds, SpanError> {
    match seconds {
        Some(seconds) if seconds <= SPAN_SECONDS_MAX => Ok(Seconds(seconds)),
        _ => Err(SpanError::TooLong(excerpt(text))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form() {
        let table = [
            ("30", 1_800),
            ("10:30", 630),
            ("02:00:05", 7_205),
            ("1-06", 108_000),
            ("1-06:30", 109_800),
            ("1-06:30:10", 109_810),
            ("90s", 90),
            ("1h30m", 5_400),
            ("2d", 172_800),
            ("2days", 172_800),
            ("00:90:00", 5_400),
            ("0", 0),
        ];
        for (text, seconds) in table {
            assert_eq!(span(text), Ok(Seconds(seconds)), "{text}");
        }
        for none in ["0", "00:00:00", "unlimited", "INFINITE", "0s"] {
            assert_eq!(limit(none), Ok(TimeLimit(None)), "{none}");
        }
    }

    #[test]
    fn refused_forms_and_the_limit_at_its_edge() {
        for bad in [
            "",
            " ",
            "-",
            "1-",
            "-1",
            "1:",
            ":1",
            "1:2:3:4",
            "1-1:1:1:1",
            "1m30h",
            "1h1h",
            "h",
            "5x",
            "1.5h",
            "１",
        ] {
            assert!(matches!(span(bad), Err(SpanError::Malformed(_))), "{bad}");
        }
        assert!(span(&format!("{SPAN_SECONDS_MAX}s")).is_ok());
        for long in
            [format!("{}s", SPAN_SECONDS_MAX + 1), "99999999-99".into(), "99999999999999999999".into()]
        {
            assert!(matches!(span(&long), Err(SpanError::TooLong(_))), "{long}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(seconds in 1..=SPAN_SECONDS_MAX) {
            let shown = TimeLimit(Some(Seconds(seconds)));
            prop_assert_eq!(limit(&shown.to_string()), Ok(shown));
        }

        #[test]
        fn no_string_is_too_strange(text in "[0-9:dhms.\\- -]{0,24}|\\PC{0,12}") {
            let _ = limit(&text);
        }
    }
}
