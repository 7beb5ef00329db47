//! File patterns: `%j` and the others, filled in for one task. Pure.

use crate::model::ids::{JobId, TaskIndex};
use crate::model::spec::PATH_BYTES_MAX;

/// The most bytes that one filled-in value may have.
pub const VALUE_BYTES_MAX: usize = 200;
/// The most digits that a number is padded to (`%10a`).
pub const PAD_DIGITS_MAX: usize = 10;

/// What can stand in a pattern.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The task's own number.
    pub number: JobId,
    /// The job's or array's number.
    pub job: JobId,
    /// The task's index, if the job is an array.
    pub index: Option<TaskIndex>,
    /// The job's name.
    pub name: &'a str,
    /// The user's name.
    pub user: &'a str,
    /// The node's name.
    pub node: &'a str,
}

/// A path is longer than the system takes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file pattern makes a path of more than {PATH_BYTES_MAX} bytes; shorten it")]
pub struct TooLong;

/// The file that `pattern` means for a task, relative to `work_dir`. What users chose (names) can't leave its
/// place in the path: a slash, a control character, and a name of dots only become `_`.
pub fn fill(pattern: &str, work_dir: &str, facts: &Facts<'_>) -> Result<String, TooLong> {
    let mut path = String::new();
    if !pattern.starts_with('/') {
        path.push_str(work_dir.trim_end_matches('/'));
        path.push('/');
    }
    if pattern.contains('\\') {
        // As in Slurm: with a backslash anywhere nothing is filled in.
        path.extend(pattern.chars().filter(|c| *c != '\\'));
    } else {
        pieces(pattern, |piece| match piece {
            Piece::Text(text) => path.push_str(text),
            Piece::Symbol { symbol, pad, raw } => match value(symbol, pad, facts) {
                Some(value) => path.push_str(&value),
                None => path.push_str(raw),
            },
        });
    }
    if path.len() > PATH_BYTES_MAX { Err(TooLong) } else { Ok(path) }
}

/// Whether the tasks of an array get different files by this pattern. Those that share one append to it.
pub fn tells_tasks_apart(pattern: &str) -> bool {
    let mut apart = false;
    if !pattern.contains('\\') {
        pieces(pattern, |piece| {
            apart |= matches!(piece, Piece::Symbol { symbol: 'a' | 'j' | 'J', .. });
        });
    }
    apart
}

enum Piece<'a> {
    Text(&'a str),
    Symbol { symbol: char, pad: usize, raw: &'a str },
}

fn pieces<'a>(pattern: &'a str, mut each: impl FnMut(Piece<'a>)) {
    let mut rest = pattern;
    while let Some(at) = rest.find('%') {
        let (before, from) = rest.split_at(at);
        each(Piece::Text(before));
        let after = &from[1..];
        let digits = after.bytes().take_while(u8::is_ascii_digit).count();
        let (pad, tail) = after.split_at(digits);
        let Some(symbol) = tail.chars().next() else {
            each(Piece::Text(from));
            return;
        };
        let (raw, next) = from.split_at(1 + digits + symbol.len_utf8());
        let pad = pad.parse().unwrap_or(if digits > 0 { PAD_DIGITS_MAX } else { 0 });
        each(Piece::Symbol { symbol, pad: pad.min(PAD_DIGITS_MAX), raw });
        rest = next;
    }
    each(Piece::Text(rest));
}

/// `None`: no such symbol; it stays as it is written.
fn value(symbol: char, pad: usize, facts: &Facts<'_>) -> Option<String> {
    let number = |number: u64| Some(format!("{number:0pad$}"));
    match symbol {
        '%' => Some("%".to_owned()),
        'j' | 'J' => number(facts.number.0),
        'A' => number(facts.job.0),
        'a' => number(facts.index.map_or(0, |index| u64::from(index.0))),
        'n' | 't' => number(0),
        's' => Some("batch".to_owned()),
        'x' => Some(sanitised(facts.name)),
        'u' => Some(sanitised(facts.user)),
        'N' => Some(sanitised(facts.node)),
        _ => None,
    }
}

fn sanitised(value: &str) -> String {
    let mut clean = String::new();
    for c in value.chars() {
        if clean.len() + c.len_utf8() > VALUE_BYTES_MAX {
            break;
        }
        clean.push(if c == '/' || c.is_control() { '_' } else { c });
    }
    if clean.chars().all(|c| c == '.') { "_".repeat(clean.len().max(1)) } else { clean }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts<'a>(name: &'a str, user: &'a str) -> Facts<'a> {
        Facts { number: JobId(130), job: JobId(123), index: Some(TaskIndex(6)), name, user, node: "n1" }
    }

    #[test]
    fn every_symbol() {
        let fill = |pattern: &str| fill(pattern, "/w/", &facts("a/b", "alice")).unwrap();
        assert_eq!(fill("jsched-%j.out"), "/w/jsched-130.out");
        assert_eq!(fill("%A_%a %4a %J %x %u %N %n %t %s %%"), "/w/123_6 0006 130 a_b alice n1 0 0 batch %");
        assert_eq!(fill("/abs/%99999999999999999999a"), "/abs/0000000006");
        assert_eq!(fill("%q%"), "/w/%q%");
        assert_eq!(fill("%4"), "/w/%4");
        assert_eq!(fill("\\%j"), "/w/%j");
        assert!(tells_tasks_apart("x-%4a") && tells_tasks_apart("%%%j"));
        assert!(!tells_tasks_apart("%A") && !tells_tasks_apart("%%a") && !tells_tasks_apart("\\%a"));
    }

    #[test]
    fn the_longest_path() {
        let pattern = format!("/{}", "x".repeat(PATH_BYTES_MAX - 1));
        assert!(fill(&pattern, "/w", &facts("", "")).is_ok());
        assert_eq!(fill(&format!("{pattern}x"), "/w", &facts("", "")), Err(TooLong));
    }

    proptest! {
        #[test]
        fn values_stay_in_their_place(name in "\\PC*|[./\n\0a]*", user in ".*", pad in 0usize..20) {
            let path = fill(&format!("d/%x/%{pad}a.%u"), "/w", &facts(&name, &user)).unwrap();
            let parts: Vec<&str> = path.split('/').collect();
            prop_assert_eq!(parts.len(), 5);
            prop_assert!(!path.chars().any(char::is_control));
            prop_assert!(!matches!(parts[3], "" | "." | ".."));
            prop_assert!(parts[3].len() <= VALUE_BYTES_MAX);
        }

        #[test]
        fn any_pattern_is_filled(pattern in ".*") {
            let path = fill(&pattern, "/w", &facts("x", "u")).unwrap();
            prop_assert!(path.starts_with('/'));
        }
    }
}
