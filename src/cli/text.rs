//! Words on a terminal: what users wrote is escaped before it is shown, colour only where it is wanted, and a reader
//! that went away ends us quietly.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};

/// `text` with everything escaped that could move the cursor, change colours, reorder or hide words, or fake a line:
/// control characters, bidirectional and invisible ones, line and paragraph separators.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_dangerous) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            letter if is_dangerous(letter) => {
                // Writing into a string can't fail.
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(letter));
            }
            letter => safe.push(letter),
        }
    }
    Cow::Owned(safe)
}

fn is_dangerous(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Whether colour and bars are wanted on standard error: it is a terminal and `NO_COLOR` is unset or empty.
pub fn colour_wanted() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !refused
}

/// Writes data to standard output at once.
///
/// # Errors
/// Whatever the write gives. [`io::ErrorKind::BrokenPipe`] means that the reader has gone: the caller ends quietly,
/// which `CliError::from` does by itself.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Says something on standard error. That nobody listens there is no reason to stop.
pub fn say(text: &str) {
    let mut err = io::stderr().lock();
    let _ = writeln!(err, "{text}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_are_seen() {
        assert_eq!(escape("plain é 表"), "plain é 表");
        assert_eq!(escape("\u{1b}[31mred\nfake\u{202e}"), "\\u{1b}[31mred\\nfake\\u{202e}");
    }

    proptest! {
        #[test]
        fn nothing_dangerous_is_left(text in ".*") {
            prop_assert!(!escape(&text).chars().any(is_dangerous));
        }
    }
}
