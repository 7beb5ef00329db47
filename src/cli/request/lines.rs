//! The lines of `--each-line`: task k gets line k, counted from 1.

use crate::cli::error::CliError;
use crate::model::task_set::ARRAY_TASKS_MAX;

/// The most bytes of a file of lines.
pub const LINES_BYTES_MAX: usize = 64 << 20;
/// The most bytes of one line: what the kernel takes as one variable, less `JSCHED_LINE=` and the end.
pub const LINE_BYTES_MAX: usize = (128 << 10) - 13;

/// Checks the lines and gives their bytes, a newline after each, and how many there are.
///
/// # Errors
/// No line, too many, too long, or a NUL in one (65, with the line).
pub fn check(mut bytes: Vec<u8>) -> Result<(Vec<u8>, u32), CliError> {
    if bytes.is_empty() {
        return Err(CliError::script("no_lines", "the file has no lines"));
    }
    if bytes.last() != Some(&b'\n') {
        bytes.push(b'\n');
    }
    let mut count = 0_u32;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        count = count.saturating_add(1);
        let text = line.len().saturating_sub(1);
        if text > LINE_BYTES_MAX {
            let message = format!("the line has {text} bytes; a variable holds {LINE_BYTES_MAX}");
            return Err(CliError::script("line_too_long", message).on_line(count));
        }
        if line.contains(&0) {
            return Err(CliError::script("bad_line", "the line holds a NUL").on_line(count));
        }
    }
    if count > ARRAY_TASKS_MAX {
        let message =
            format!("{count} lines are more than the {ARRAY_TASKS_MAX} tasks that an array may have");
        return Err(CliError::script("too_many_lines", message));
    }
    Ok((bytes, count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_edges() {
        assert_eq!(check(b"a\n\nb".to_vec()), Ok((b"a\n\nb\n".to_vec(), 3)));
        assert_eq!(check(Vec::new()).unwrap_err().word, "no_lines");
        assert!(check(vec![b'x'; LINE_BYTES_MAX]).is_ok());
        let long = [b"a\n".to_vec(), vec![b'x'; LINE_BYTES_MAX + 1]].concat();
        assert_eq!(check(long).unwrap_err().place.line, Some(2));
        assert_eq!(check(b"a\0b".to_vec()).unwrap_err().word, "bad_line");
        assert_eq!(check(vec![b'\n'; ARRAY_TASKS_MAX as usize]).unwrap().1, ARRAY_TASKS_MAX);
        assert_eq!(check(vec![b'\n'; ARRAY_TASKS_MAX as usize + 1]).unwrap_err().word, "too_many_lines");
    }
}
