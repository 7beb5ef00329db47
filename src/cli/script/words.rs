//! Splits a directive into words as `sbatch` does: blanks between them, quotes of both kinds, backslashes, and an
//! unquoted `#` that makes the rest of the line a comment.

/// Why a directive could not be split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WordsError {
    /// A quote that nothing closes.
    #[error("the quote {0} is not closed")]
    OpenQuote(char),
}

/// The words of a line. A backslash takes the next character as it is, inside quotes, too.
pub fn split(line: &str) -> Result<Vec<String>, WordsError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (_, '\\') => word.get_or_insert_default().extend(letters.next()),
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.get_or_insert_default().push(letter),
            (None, '"' | '\'') => {
                word.get_or_insert_default();
                quote = Some(letter);
            }
            (None, '#') => break,
            (None, _) if letter.is_ascii_whitespace() => words.extend(word.take()),
            (None, _) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match quote {
        Some(open) => Err(WordsError::OpenQuote(open)),
        None => Ok(words),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_backslashes_and_comments() {
        let table: [(&str, &[&str]); 8] = [
            ("-J a  -n 4", &["-J", "a", "-n", "4"]),
            ("--comment='two words' # three", &["--comment=two words"]),
            ("--comment=\"it's\"", &["--comment=it's"]),
            ("-J a\\ b\\#c", &["-J", "a b#c"]),
            ("--time=1:00#comment", &["--time=1:00"]),
            ("-J '#1'", &["-J", "#1"]),
            ("--comment=\"a\\\"b\"", &["--comment=a\"b"]),
            ("-J ''", &["-J", ""]),
        ];
        for (line, words) in table {
            assert_eq!(split(line).unwrap(), words, "{line}");
        }
        assert_eq!(split("-J 'a"), Err(WordsError::OpenQuote('\'')));
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(words in prop::collection::vec("[^\0\n]{0,12}", 0..5)) {
            let quoted: Vec<String> =
                words.iter().map(|w| format!("'{}'", w.replace('\\', "\\\\").replace('\'', "\\'"))).collect();
            prop_assert_eq!(split(&quoted.join(" ")).unwrap(), words);
        }

        #[test]
        fn no_line_is_too_strange(line in ".*") {
            let _ = split(&line);
        }
    }
}
