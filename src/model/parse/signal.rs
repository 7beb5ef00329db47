//! Signals as users write them: `USR1`, `SIGUSR1`, `10`, and the warnings `[B:]SIG[@SECONDS]` of `--signal`.

use super::{digits, excerpt};
use crate::model::spec::Warning;
use crate::model::time::Seconds;

/// The highest signal of Linux.
pub const SIGNAL_MAX: u8 = 64;
/// How long before the limit a warning comes that does not say when, in seconds.
pub const WARNING_SECONDS_DEFAULT: u64 = 60;
/// The longest that a warning may come before the limit, in seconds.
pub const WARNING_SECONDS_MAX: u64 = 65_535;
/// The first real-time signal that the C library leaves to programs.
const RTMIN: u8 = 34;

/// Why a signal was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignalError {
    /// No such signal.
    #[error("`{0}` is no signal: write a name such as `USR1` or a number from 1 to {SIGNAL_MAX}")]
    Unknown(String),
    /// The seconds of a warning.
    #[error("`{0}` is no time for a signal: write 0 to {WARNING_SECONDS_MAX} seconds, as in `USR1@120`")]
    BadSeconds(String),
    /// A prefix other than `B:`.
    #[error("`{0}:` before a signal is not understood; `B:` sends it to the batch shell alone")]
    BadPrefix(String),
}

/// The numbers of signals that have names, as Linux counts them on all machines we run on.
const NAMES: [(&str, u8); 35] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
    ("RTMIN", RTMIN),
];

/// Reads a signal's name, in either case, with or without `SIG`, or its number.
pub fn number(text: &str) -> Result<u8, SignalError> {
    let unknown = || SignalError::Unknown(excerpt(text));
    let word = text.trim().to_ascii_uppercase();
    let value = match digits(&word) {
        Some(value) => Some(value),
        None => {
            let name = word.strip_prefix("SIG").unwrap_or(&word);
            match name.strip_prefix("RTMIN+").and_then(digits) {
                Some(more) => u64::from(RTMIN).checked_add(more),
                None => NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| u64::from(*number)),
            }
        }
    };
    let value = value.and_then(|value| u8::try_from(value).ok());
    value.filter(|value| (1..=SIGNAL_MAX).contains(value)).ok_or_else(unknown)
}

/// The name of a signal without `SIG`, or its number where it has none.
pub fn name(number: u8) -> String {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => (*name).to_owned(),
        None => number.to_string(),
    }
}

/// Reads `[B:]SIG[@SECONDS]`.
pub fn warning(text: &str) -> Result<Warning, SignalError> {
    let (batch_only, rest) = match text.trim().split_once(':') {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case("B") => (true, rest),
        Some((prefix, _)) => return Err(SignalError::BadPrefix(excerpt(prefix))),
        None => (false, text.trim()),
    };
    let (signal, before) = match rest.split_once('@') {
        Some((signal, seconds)) => {
            let before = digits(seconds).filter(|seconds| *seconds <= WARNING_SECONDS_MAX);
            (signal, before.ok_or_else(|| SignalError::BadSeconds(excerpt(seconds)))?)
        }
        None => (rest, WARNING_SECONDS_DEFAULT),
    };
    Ok(Warning { signal: number(signal)?, before: Seconds(before), batch_only })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_numbers_and_warnings() {
        for usr1 in ["USR1", "usr1", "SIGUSR1", "10"] {
            assert_eq!(number(usr1), Ok(10), "{usr1}");
        }
        assert_eq!(number("RTMIN+3"), Ok(37));
        assert_eq!(number("64"), Ok(SIGNAL_MAX));
        for bad in ["", "0", "65", "SIG", "FOO", "-9", "RTMIN+31", "99999999999999999999"] {
            assert!(number(bad).is_err(), "{bad}");
        }
        let plain = Warning { signal: 12, before: Seconds(60), batch_only: false };
        assert_eq!(warning("USR2"), Ok(plain));
        assert_eq!(warning("B:USR2@300"), Ok(Warning { before: Seconds(300), batch_only: true, ..plain }));
        assert!(warning("USR2@65535").is_ok());
        for bad in ["USR2@65536", "USR2@", "R:USR2", "B:", "@60"] {
            assert!(warning(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn names_come_back(value in 1..=SIGNAL_MAX) {
            prop_assert_eq!(number(&name(value)), Ok(value));
        }

        #[test]
        fn no_string_is_too_strange(text in "[B:SIGUR0-9@+]{0,16}|\\PC{0,12}") {
            let _ = warning(&text);
        }
    }
}
