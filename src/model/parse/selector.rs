//! How users name jobs: `123`, `123_4`, `123_[1-9,12]`, `name:foo`, `last`.

use super::{digits, excerpt, split_outside_brackets};
use crate::model::ids::JobId;
use crate::model::spec::JOB_NAME_BYTES_MAX;
use crate::model::task_set::{IndexError, IndexSet};

/// The most selectors that one list may hold.
pub const SELECTORS_MAX: usize = 10_000;

/// Which jobs somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobSelector {
    /// A job or a whole array by its number; or one task by its own number.
    Job(JobId),
    /// Some tasks of an array, by their indexes.
    Tasks(JobId, IndexSet),
    /// The caller's jobs of that name.
    Name(String),
    /// The caller's newest acknowledged job.
    Last,
}

/// Why a selector was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// Not of any of the forms.
    #[error("`{0}` names no job: write `123`, `123_4`, `123_[1-9,12]`, `name:NAME` or `last`")]
    Malformed(String),
    /// The tasks make no sense.
    #[error("the tasks of `{0}`: {1}")]
    Tasks(String, IndexError),
    /// More than [`SELECTORS_MAX`].
    #[error("{0} jobs are more than the {SELECTORS_MAX} that can be named at once")]
    TooMany(usize),
}

/// Reads one selector.
pub fn job(text: &str) -> Result<JobSelector, SelectorError> {
    let words = text.trim();
    if words.eq_ignore_ascii_case("last") {
        return Ok(JobSelector::Last);
    }
    if let Some(name) = words.strip_prefix("name:") {
        let fits = !name.is_empty() && name.len() <= JOB_NAME_BYTES_MAX;
        return fits.then(|| JobSelector::Name(name.to_owned())).ok_or_else(|| malformed(text));
    }
    match words.split_once('_') {
        None => number(words, text).map(JobSelector::Job),
        Some((job, tasks)) => {
            let bare = tasks.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
            let indexes = match bare {
                Some(inner) => inner,
                None if digits(tasks).is_some() => tasks,
                None => return Err(malformed(text)),
            };
            let set = IndexSet::parse(indexes).map_err(|why| SelectorError::Tasks(excerpt(text), why))?;
            Ok(JobSelector::Tasks(number(job, text)?, set))
        }
    }
}

/// Reads selectors between commas.
pub fn jobs(text: &str) -> Result<Vec<JobSelector>, SelectorError> {
    let pieces = split_outside_brackets(text, &[',']);
    if pieces.len() > SELECTORS_MAX {
        return Err(SelectorError::TooMany(pieces.len()));
    }
    pieces.into_iter().map(job).collect()
}

fn number(digits_of: &str, text: &str) -> Result<JobId, SelectorError> {
    digits(digits_of).filter(|number| *number > 0).map(JobId).ok_or_else(|| malformed(text))
}

fn malformed(text: &str) -> SelectorError {
    SelectorError::Malformed(excerpt(text))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form() {
        let set = |text| IndexSet::parse(text).unwrap();
        assert_eq!(job("123"), Ok(JobSelector::Job(JobId(123))));
        assert_eq!(job("123_4"), Ok(JobSelector::Tasks(JobId(123), set("4"))));
        assert_eq!(job("123_[1-9,12]"), Ok(JobSelector::Tasks(JobId(123), set("1-9,12"))));
        assert_eq!(job("name:foo_1"), Ok(JobSelector::Name("foo_1".into())));
        assert_eq!(job("last"), Ok(JobSelector::Last));
        assert_eq!(jobs("1,2_[3,4],last").unwrap().len(), 3);
        for bad in
            ["", "0", "-1", "abc", "1_", "_1", "1_[", "1_[]", "1_1-2", "name:", "1,2", "99999999999999999999"]
        {
            assert!(job(bad).is_err(), "{bad}");
        }
        let long = "n".repeat(JOB_NAME_BYTES_MAX);
        assert!(job(&format!("name:{long}")).is_ok());
        assert!(job(&format!("name:{long}n")).is_err());
        let full = vec!["1"; SELECTORS_MAX].join(",");
        assert!(jobs(&full).is_ok());
        assert_eq!(jobs(&format!("{full},1")), Err(SelectorError::TooMany(SELECTORS_MAX + 1)));
    }

    proptest! {
        #[test]
        fn no_string_is_too_strange(text in "[0-9_,\\[\\]:-]{0,24}|\\PC{0,12}") {
            let _ = jobs(&text);
        }
    }
}
