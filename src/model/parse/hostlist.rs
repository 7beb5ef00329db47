//! Lists of nodes as users write them, `n[001-016,20],login1`: expanded to names, and folded again.

use std::collections::BTreeSet;

use super::{digits, excerpt, split_outside_brackets};
use crate::model::identity::name_is_valid;

/// The most names that one list may stand for.
pub const HOSTLIST_NAMES_MAX: usize = 65_536;
/// The most bytes that a list may have.
pub const HOSTLIST_BYTES_MAX: usize = 1 << 20;
/// The most digits of a number in a range.
const NUMBER_DIGITS_MAX: usize = 18;

/// Why a list was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostlistError {
    /// Brackets or ranges that make no sense.
    #[error("`{0}` is no list of nodes: write names and ranges like `n[001-016,20],login1`")]
    Malformed(String),
    /// A range that goes down.
    #[error("the range `{0}` goes down")]
    Descending(String),
    /// Something that can't be a node's name.
    #[error("`{0}` can't be a node's name: 1 to 63 letters, digits, `-`, `_` and `.`")]
    BadName(String),
    /// More than [`HOSTLIST_NAMES_MAX`] names.
    #[error("`{0}` stands for more than {HOSTLIST_NAMES_MAX} nodes")]
    TooMany(String),
    /// More than [`HOSTLIST_BYTES_MAX`] bytes.
    #[error("a list of nodes has at most {HOSTLIST_BYTES_MAX} bytes; this one has {0}")]
    TooLong(usize),
}

/// The names that a list stands for, in the order written; repeated ones stay. How many they are is known before
/// memory is taken for them.
pub fn expand(text: &str) -> Result<Vec<String>, HostlistError> {
    if text.len() > HOSTLIST_BYTES_MAX {
        return Err(HostlistError::TooLong(text.len()));
    }
    let words = text.trim();
    if words.is_empty() {
        return Err(HostlistError::Malformed(String::new()));
    }
    let mut patterns = Vec::new();
    let mut total = 0_u64;
    for piece in split_outside_brackets(words, &[',']) {
        let pattern = parse_pattern(piece.trim(), text)?;
        let count = pattern.iter().try_fold(1_u64, |product, part| product.checked_mul(part.count()));
        total = count.and_then(|count| total.checked_add(count)).unwrap_or(u64::MAX);
        if total > HOSTLIST_NAMES_MAX as u64 {
            return Err(HostlistError::TooMany(excerpt(text)));
        }
        patterns.push(pattern);
    }
    let mut names = Vec::new();
    for pattern in &patterns {
        write_names(pattern, &mut String::new(), &mut names);
    }
    match names.iter().find(|name| !name_is_valid(name)) {
        Some(bad) => Err(HostlistError::BadName(excerpt(bad))),
        None => Ok(names),
    }
}

/// Writes names as short as ranges over their last number make it, sorted, each once.
pub fn fold<S: AsRef<str>>(names: &[S]) -> String {
    let mut parsed: Vec<(&str, &str, usize, u64)> =
        names.iter().map(|name| last_number(name.as_ref())).collect();
    // `n100` belongs to `n001`: a number as long as padded ones beside it counts as padded.
    let padded_ones: BTreeSet<(&str, &str, usize)> =
        parsed.iter().filter(|item| item.2 > 1).map(|item| (item.0, item.1, item.2)).collect();
    for item in &mut parsed {
        let length = item.3.to_string().len();
        if item.2 == 1 && padded_ones.contains(&(item.0, item.1, length)) {
            item.2 = length;
        }
    }
    parsed.sort_unstable();
    parsed.dedup();
    let mut pieces = Vec::new();
    let mut at = 0;
    while let Some(&(prefix, suffix, width, first)) = parsed.get(at) {
        let group =
            parsed.iter().skip(at).take_while(|item| (item.0, item.1, item.2) == (prefix, suffix, width));
        let numbers: Vec<u64> = group.map(|item| item.3).collect();
        at += numbers.len();
        pieces.push(match (width, numbers.len()) {
            (0, _) => format!("{prefix}{suffix}"),
            (_, 1) => format!("{prefix}{}{suffix}", padded(first, width)),
            _ => format!("{prefix}[{}]{suffix}", ranges(&numbers, width)),
        });
    }
    pieces.join(",")
}

/// A piece of a name: text, or the numbers between brackets.
enum Part<'a> {
    Text(&'a str),
    /// First, last, and how many digits at least.
    Ranges(Vec<(u64, u64, usize)>),
}

impl Part<'_> {
    fn count(&self) -> u64 {
        match self {
            Part::Text(_) => 1,
            Part::Ranges(ranges) => ranges
                .iter()
                .fold(0_u64, |sum, (first, last, _)| sum.saturating_add((last - first).saturating_add(1))),
        }
    }
}

fn parse_pattern<'a>(piece: &'a str, whole: &str) -> Result<Vec<Part<'a>>, HostlistError> {
    let malformed = || HostlistError::Malformed(excerpt(whole));
    let (mut rest, mut parts) = (piece, Vec::new());
    if piece.is_empty() {
        return Err(malformed());
    }
    while let Some((text, tail)) = rest.split_once('[') {
        let (inside, after) = tail.split_once(']').ok_or_else(malformed)?;
        parts.push(Part::Text(text));
        let ranges: Result<Vec<_>, _> =
            inside.split(',').map(|range| parse_range(range.trim(), whole)).collect();
        parts.push(Part::Ranges(ranges?));
        rest = after;
    }
    parts.push(Part::Text(rest));
    let stray = parts.iter().any(|part| matches!(part, Part::Text(text) if text.contains([']', '['])));
    if stray { Err(malformed()) } else { Ok(parts) }
}

fn parse_range(range: &str, whole: &str) -> Result<(u64, u64, usize), HostlistError> {
    let number = |text: &str| match digits(text) {
        Some(value) if text.len() <= NUMBER_DIGITS_MAX => Ok(value),
        _ => Err(HostlistError::Malformed(excerpt(whole))),
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let (first, last) = (number(low)?, number(high)?);
    if last < first {
        return Err(HostlistError::Descending(excerpt(range)));
    }
    Ok((first, last, low.len()))
}

fn write_names(parts: &[Part<'_>], name: &mut String, names: &mut Vec<String>) {
    let Some((part, rest)) = parts.split_first() else {
        names.push(name.clone());
        return;
    };
    let length = name.len();
    match part {
        Part::Text(text) => {
            name.push_str(text);
            write_names(rest, name, names);
            name.truncate(length);
        }
        Part::Ranges(ranges) => {
            for (first, last, width) in ranges {
                for number in *first..=*last {
                    name.push_str(&padded(number, *width));
                    write_names(rest, name, names);
                    name.truncate(length);
                }
            }
        }
    }
}

/// What stands before the last number of a name, what after it, how many digits it is padded to (0: no number that
/// could be written again as it was), and the number.
fn last_number(name: &str) -> (&str, &str, usize, u64) {
    let whole = (name, "", 0, 0);
    let Some(end) = name.rfind(|c: char| c.is_ascii_digit()).map(|at| at + 1) else { return whole };
    let head = name.get(..end).unwrap_or_default();
    let start = head.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (Some(prefix), Some(number), Some(suffix)) =
        (name.get(..start), name.get(start..end), name.get(end..))
    else {
        return whole;
    };
    match digits(number) {
        Some(value) if number.len() <= NUMBER_DIGITS_MAX => {
            let width = if number.starts_with('0') { number.len() } else { 1 };
            (prefix, suffix, width, value)
        }
        _ => whole,
    }
}

fn padded(number: u64, width: usize) -> String {
    format!("{number:0width$}")
}

fn ranges(numbers: &[u64], width: usize) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == number => run.1 = number,
            _ => runs.push((number, number)),
        }
    }
    let words: Vec<String> = runs
        .iter()
        .map(|(first, last)| match first == last {
            true => padded(*first, width),
            false => format!("{}-{}", padded(*first, width), padded(*last, width)),
        })
        .collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn padding_and_products() {
        assert_eq!(expand("n[009-011,20]").unwrap(), ["n009", "n010", "n011", "n20"]);
        assert_eq!(expand("r[1-2]n[1-2],x").unwrap(), ["r1n1", "r1n2", "r2n1", "r2n2", "x"]);
        assert_eq!(fold(&["n010", "n009", "n011", "n20", "x", "n009"]), "n20,n[009-011],x");
        assert_eq!(fold(&["n100", "n099", "n98"]), "n98,n[099-100]");
        assert_eq!(fold(&["a1.ib", "a2.ib"]), "a[1-2].ib");
    }

    #[test]
    fn refused_lists_and_the_cap_at_its_edge() {
        for bad in
            ["", " ", ",", "n[", "n]", "n[]", "n[1", "n[a]", "n[1-]", "n[1,]", "n[[1]]", "n[1]]", "a,,b"]
        {
            assert!(matches!(expand(bad), Err(HostlistError::Malformed(_))), "{bad}");
        }
        assert!(matches!(expand("n[3-1]"), Err(HostlistError::Descending(_))));
        assert!(matches!(expand("n/1"), Err(HostlistError::BadName(_))));
        assert_eq!(expand(&format!("n[1-{HOSTLIST_NAMES_MAX}]")).unwrap().len(), HOSTLIST_NAMES_MAX);
        for many in [format!("n[0-{HOSTLIST_NAMES_MAX}]"), "n[1-999999999]".into(), "n[0-999]x[0-999]".into()]
        {
            assert!(matches!(expand(&many), Err(HostlistError::TooMany(_))), "{many}");
        }
        assert!(matches!(expand(&"a".repeat(HOSTLIST_BYTES_MAX)), Err(HostlistError::BadName(_))));
        assert!(matches!(expand(&"a".repeat(HOSTLIST_BYTES_MAX + 1)), Err(HostlistError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn folding_loses_nothing(names in prop::collection::vec("[a-c]{1,2}(0{0,2}[0-9]{1,2})?([a-b]|-[0-9]{1,2})?", 1..40)) {
            let mut sorted = names.clone();
            sorted.sort();
            sorted.dedup();
            let mut again = expand(&fold(&names)).unwrap();
            again.sort();
            prop_assert_eq!(again, sorted);
        }

        #[test]
        fn no_string_is_too_strange(text in "[n0-9,\\[\\]-]{0,24}|\\PC{0,12}") {
            if let Ok(names) = expand(&text) {
                prop_assert!(names.len() <= HOSTLIST_NAMES_MAX);
            }
        }
    }
}
