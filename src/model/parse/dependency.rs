//! The expression of `--dependency`: `afterok:1:2,afterany:name:prep`, `after:5+10?afternotok:6`, `singleton`.

use super::selector::{self, JobSelector, SelectorError};
use super::{digits, excerpt, split_outside_brackets};
use crate::model::spec::{
    DEPENDENCIES_MAX, Dependencies, Dependency, DependencyKind, OnDependencyFailure, Parent,
};
use crate::model::time::Seconds;

/// The longest delay of `after:ID+MINUTES`, in minutes: a year.
pub const DELAY_MINUTES_MAX: u64 = 366 * 24 * 60;

/// Why an expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DependencyError {
    /// Not of the form.
    #[error(
        "`{0}` is no dependency: write `afterok:ID`, with `after`, `afterany`, `afterok`, `afternotok` or `aftercorr`, or `singleton`"
    )]
    Malformed(String),
    /// Both separators.
    #[error("`{0}` mixes `,` (all of them) and `?` (any of them)")]
    Mixed(String),
    /// A parent that names no job.
    #[error(transparent)]
    Parent(#[from] SelectorError),
    /// `@label` of nothing.
    #[error("no line of this file above has the label `{0}`")]
    UnknownLabel(String),
    /// `@label` where there are none.
    #[error("`@{0}`: labels are known within one `--jobs` file only")]
    NoLabels(String),
    /// `last` changes its meaning between writing and reading.
    #[error("`last` can't be depended on; write the number or `name:NAME`")]
    Last,
    /// `+` elsewhere than after `after`.
    #[error("`{0}`: only `after` takes a delay, in minutes of at most {DELAY_MINUTES_MAX}")]
    BadDelay(String),
    /// More than [`DEPENDENCIES_MAX`].
    #[error("more than {DEPENDENCIES_MAX} dependencies")]
    TooMany,
}

/// Finds the place of a label among the jobs of the same call.
pub type Labels<'a> = Option<&'a dyn Fn(&str) -> Option<u32>>;

/// Reads the expression; `labels` finds what `@label` means, where there are labels. A bare number means `afterany`.
pub fn expression(text: &str, labels: Labels<'_>) -> Result<Dependencies, DependencyError> {
    let words = text.trim();
    let pieces = split_outside_brackets(words, &[',', '?']);
    let any = split_outside_brackets(words, &['?']).len() > 1;
    if any && split_outside_brackets(words, &[',']).len() > 1 {
        return Err(DependencyError::Mixed(excerpt(text)));
    }
    let mut conditions = Vec::new();
    for piece in pieces {
        read_piece(piece.trim(), labels, &mut conditions)?;
        if conditions.len() > DEPENDENCIES_MAX {
            return Err(DependencyError::TooMany);
        }
    }
    Ok(Dependencies { conditions, any, on_failure: OnDependencyFailure::default() })
}

/// The word of `--dependency` for a kind.
pub fn word(kind: DependencyKind) -> &'static str {
    match kind {
        DependencyKind::After => "after",
        DependencyKind::AfterAny => "afterany",
        DependencyKind::AfterOk => "afterok",
        DependencyKind::AfterNotOk => "afternotok",
        DependencyKind::AfterCorrelated => "aftercorr",
        DependencyKind::Singleton => "singleton",
    }
}

fn read_piece(
    piece: &str,
    labels: Labels<'_>,
    conditions: &mut Vec<Dependency>,
) -> Result<(), DependencyError> {
    let malformed = || DependencyError::Malformed(excerpt(piece));
    if piece.eq_ignore_ascii_case("singleton") {
        conditions.push(Dependency {
            kind: DependencyKind::Singleton,
            parent: Parent::Nobody,
            delay: Seconds(0),
        });
        return Ok(());
    }
    let (kind, parents) = match piece.split_once(':') {
        Some((kind, parents)) => (kind, parents),
        None if piece.starts_with(|c: char| c.is_ascii_digit()) => ("afterany", piece),
        None => return Err(malformed()),
    };
    let kind = match kind.to_ascii_lowercase().as_str() {
        "after" => DependencyKind::After,
        "afterany" => DependencyKind::AfterAny,
        "afterok" => DependencyKind::AfterOk,
        "afternotok" => DependencyKind::AfterNotOk,
        "aftercorr" => DependencyKind::AfterCorrelated,
        _ => return Err(malformed()),
    };
    let mut parents = split_outside_brackets(parents, &[':']).into_iter();
    while let Some(parent) = parents.next() {
        // A name may hold a `+`, so that only numbers and labels can have a delay.
        let (parent, delay) = if parent == "name" {
            let name = parents.next().ok_or_else(malformed)?;
            (read_parent(&format!("name:{name}"), labels)?, Seconds(0))
        } else {
            let (parent, delay) = split_delay(parent, kind)?;
            (read_parent(parent, labels)?, delay)
        };
        conditions.push(Dependency { kind, parent, delay });
    }
    Ok(())
}

fn split_delay(parent: &str, kind: DependencyKind) -> Result<(&str, Seconds), DependencyError> {
    let Some((before, minutes)) = parent.split_once('+') else { return Ok((parent, Seconds(0))) };
    let minutes =
        digits(minutes).filter(|minutes| *minutes <= DELAY_MINUTES_MAX && kind == DependencyKind::After);
    let minutes = minutes.ok_or_else(|| DependencyError::BadDelay(excerpt(parent)))?;
    Ok((before, Seconds(minutes * 60)))
}

fn read_parent(text: &str, labels: Labels<'_>) -> Result<Parent, DependencyError> {
    if let Some(label) = text.strip_prefix('@') {
        let find = labels.ok_or_else(|| DependencyError::NoLabels(excerpt(label)))?;
        return find(label).map(Parent::Batch).ok_or_else(|| DependencyError::UnknownLabel(excerpt(label)));
    }
    match selector::job(text)? {
        JobSelector::Job(id) => Ok(Parent::Job(id)),
        JobSelector::Tasks(id, tasks) => Ok(Parent::Tasks(id, tasks)),
        JobSelector::Name(name) => Ok(Parent::Name(name)),
        JobSelector::Last => Err(DependencyError::Last),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::JobId;
    use crate::model::task_set::IndexSet;

    fn read(text: &str) -> Result<Dependencies, DependencyError> {
        let labels = |label: &str| (label == "prep").then_some(3);
        expression(text, Some(&labels))
    }

    #[test]
    fn every_form() {
        let all = read("afterok:1:2_[3,4],afterany:name:a+b:7,singleton,aftercorr:@prep").unwrap();
        let parents: Vec<Parent> = all.conditions.into_iter().map(|condition| condition.parent).collect();
        let tasks = Parent::Tasks(JobId(2), IndexSet::parse("3,4").unwrap());
        let (one, seven) = (Parent::Job(JobId(1)), Parent::Job(JobId(7)));
        assert_eq!(
            parents,
            [one, tasks, Parent::Name("a+b".into()), seven, Parent::Nobody, Parent::Batch(3)]
        );
        let any = read("after:5+10?afternotok:6").unwrap();
        assert!(any.any);
        assert_eq!(any.conditions[0].delay, Seconds(600));
        assert_eq!(read("12").unwrap().conditions[0].kind, DependencyKind::AfterAny);
    }

    #[test]
    fn refused_forms() {
        for bad in
            ["", "afterok", "afterok:", "afterok:x", "sometimes:1", "afterok:1,", "afterok:name", "expand:1"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(matches!(read("afterok:1,afterok:2?afterok:3"), Err(DependencyError::Mixed(_))));
        assert!(matches!(read("afterok:@later"), Err(DependencyError::UnknownLabel(_))));
        assert!(matches!(expression("afterok:@a", None), Err(DependencyError::NoLabels(_))));
        assert!(matches!(read("afterok:1+5"), Err(DependencyError::BadDelay(_))));
        assert!(read(&format!("after:1+{DELAY_MINUTES_MAX}")).is_ok());
        assert!(read(&format!("after:1+{}", DELAY_MINUTES_MAX + 1)).is_err());
        let full = vec!["1"; DEPENDENCIES_MAX].join(":");
        assert!(read(&format!("afterok:{full}")).is_ok());
        assert_eq!(read(&format!("afterok:{full}:1")), Err(DependencyError::TooMany));
    }

    proptest! {
        #[test]
        fn no_string_is_too_strange(text in "(after(ok|any)?|singleton|[0-9:,?+@_\\[\\]-]|name){0,8}|\\PC{0,12}") {
            let _ = read(&text);
        }
    }
}
