//! Words that come from elsewhere, kept within bounds.

/// The most bytes of words that a node says for show: why a task ended, its version, its system.
pub const NODE_WORDS_BYTES_MAX: usize = 4_096;

/// Cuts `text` to at most so many bytes, between characters.
pub fn clip(text: &mut String, bytes_max: usize) {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_cut_between_characters() {
        for (text, most, wanted) in
            [("abc", 3, "abc"), ("abc", 2, "ab"), ("aéb", 2, "a"), ("é", 1, ""), ("", 0, "")]
        {
            let mut text = text.to_owned();
            clip(&mut text, most);
            assert_eq!(text, wanted);
        }
    }
}
