//! The expression of `--array`: indexes with an optional `%limit`, as in `0-99:2%10`.

use super::{digits, excerpt};
use crate::model::task_set::{IndexError, IndexSet};

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrayError {
    /// The indexes make no sense.
    #[error(transparent)]
    Indexes(#[from] IndexError),
    /// What follows `%`.
    #[error("`%{0}` is no limit of tasks that run at once: write a whole number, as in `0-99%10`")]
    BadLimit(String),
}

/// Reads the indexes and how many may run at once; a limit of 0 means none, as for Slurm.
pub fn expression(text: &str) -> Result<(IndexSet, Option<u32>), ArrayError> {
    let (indexes, limit) = match text.trim().split_once('%') {
        Some((indexes, limit)) => {
            let count = digits(limit).and_then(|count| u32::try_from(count).ok());
            (indexes, Some(count.ok_or_else(|| ArrayError::BadLimit(excerpt(limit)))?))
        }
        None => (text.trim(), None),
    };
    let bare = indexes.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
    Ok((IndexSet::parse(bare.unwrap_or(indexes))?, limit.filter(|count| *count > 0)))
}

/// Writes indexes as `--array` reads them, without a limit.
pub fn write(indexes: &IndexSet) -> String {
    let words: Vec<String> = indexes
        .runs()
        .iter()
        .map(|run| match (run.first == run.last, run.step) {
            (true, _) => run.first.to_string(),
            (false, 1) => format!("{}-{}", run.first, run.last),
            (false, step) => format!("{}-{}:{step}", run.first, run.last),
        })
        .collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits() {
        let set = IndexSet::parse("0-99:2").unwrap();
        assert_eq!(expression("0-99:2%10"), Ok((set.clone(), Some(10))));
        assert_eq!(expression("[0-99:2]%0"), Ok((set, None)));
        for bad in ["1-9%", "1-9%x", "1-9%-1", "%5", "1-9%4294967296"] {
            assert!(expression(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(text in "[0-9]{1,2}(,[0-9]{1,3})?") {
            let (set, _) = expression(&text).unwrap();
            prop_assert_eq!(expression(&write(&set)).unwrap().0, set);
        }

        #[test]
        fn no_string_is_too_strange(text in "[0-9,:%\\[\\]-]{0,9}|\\PC{0,12}") {
            let _ = expression(&text);
        }
    }
}
