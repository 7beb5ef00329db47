//! Reads what users write: times, memory, hostlists, selectors and the like. Pure: no clock, no zone, no table of
//! users is asked; every function takes a string of any content and either understands it or says why not.

pub mod array;
pub mod day;
pub mod dependency;
pub mod feature;
pub mod hostlist;
pub mod memory;
pub mod selector;
pub mod signal;
pub mod span;
pub mod states;

/// Splits at any of `separators`, but not inside `[…]`, so that `1,2_[3,4]` has two pieces. Nothing is trimmed.
pub(crate) fn split_outside_brackets<'a>(text: &'a str, separators: &[char]) -> Vec<&'a str> {
    let (mut pieces, mut depth, mut start) = (Vec::new(), 0_u32, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ if depth == 0 && separators.contains(&letter) => {
                pieces.push(text.get(start..at).unwrap_or_default());
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    pieces.push(text.get(start..).unwrap_or_default());
    pieces
}

/// Reads plain ASCII digits. `None` for anything else, signs and blanks included, and on overflow.
pub(crate) fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// What users wrote, short enough to stand in a message.
pub(crate) fn excerpt(text: &str) -> String {
    /// Characters that a message quotes at most.
    const EXCERPT_CHARS_MAX: usize = 60;
    match text.char_indices().nth(EXCERPT_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}
