//! Sets of tasks as sorted runs, and the index sets that users write.

use serde::{Deserialize, Serialize};

use super::ids::{Ordinal, TaskIndex};

/// The most tasks that one array may have.
pub const ARRAY_TASKS_MAX: u32 = 4_194_304;
/// The largest index that an array's task may have.
pub const ARRAY_INDEX_MAX: u32 = 4_000_000_000;
/// The most pieces between commas that an index expression may have.
pub const ARRAY_PIECES_MAX: usize = 65_536;

/// A set of ordinals as sorted, disjoint, non-adjacent runs, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskSet {
    runs: Vec<(u32, u32)>,
}

impl TaskSet {
    /// The empty set.
    pub fn new() -> TaskSet {
        TaskSet::default()
    }

    /// All ordinals below `count`.
    pub fn first(count: u32) -> TaskSet {
        match count.checked_sub(1) {
            Some(last) => TaskSet { runs: vec![(0, last)] },
            None => TaskSet::new(),
        }
    }

    /// A set of one.
    pub fn one(ordinal: Ordinal) -> TaskSet {
        TaskSet { runs: vec![(ordinal.0, ordinal.0)] }
    }

    /// From runs in any order, which may touch and overlap.
    pub fn from_runs(mut runs: Vec<(u32, u32)>) -> TaskSet {
        runs.retain(|(first, last)| first <= last);
        runs.sort_unstable();
        let mut merged: Vec<(u32, u32)> = Vec::with_capacity(runs.len());
        for (first, last) in runs {
            match merged.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => previous.1 = previous.1.max(last),
                _ => merged.push((first, last)),
            }
        }
        TaskSet { runs: merged }
    }

    /// Adds one; cheap when it is at or after the end.
    pub fn push(&mut self, ordinal: Ordinal) {
        match self.runs.last_mut() {
            Some(last) if ordinal.0 == last.1.wrapping_add(1) && last.1 != u32::MAX => last.1 = ordinal.0,
            Some(last) if ordinal.0 <= last.1 => {
                if !self.contains(ordinal) {
                    let mut runs = std::mem::take(&mut self.runs);
                    runs.push((ordinal.0, ordinal.0));
                    *self = TaskSet::from_runs(runs);
                }
            }
            _ => self.runs.push((ordinal.0, ordinal.0)),
        }
    }

    /// The runs, sorted, both ends included.
    pub fn runs(&self) -> &[(u32, u32)] {
        &self.runs
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many ordinals are in it.
    pub fn count(&self) -> u64 {
        self.runs.iter().map(|(first, last)| u64::from(last - first) + 1).sum()
    }

    /// Whether `ordinal` is in it.
    pub fn contains(&self, ordinal: Ordinal) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= ordinal.0);
        after > 0 && self.runs[after - 1].1 >= ordinal.0
    }

    /// The ordinals in order.
    pub fn iter(&self) -> impl Iterator<Item = Ordinal> + '_ {
        self.runs.iter().flat_map(|(first, last)| (*first..=*last).map(Ordinal))
    }

    /// Whether the runs are as this type promises and lie below `count`: for sets that came over the wire.
    pub fn is_valid(&self, count: u32) -> bool {
        self.runs.iter().all(|(first, last)| first <= last && *last < count)
            && self.runs.windows(2).all(|pair| u64::from(pair[0].1) + 1 < u64::from(pair[1].0))
    }
}

/// A piece of an index expression: `first-last:step`, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexRun {
    /// The first index.
    pub first: u32,
    /// The last index; it is in the run.
    pub last: u32,
    /// The distance from one to the next, at least 1.
    pub step: u32,
}

impl IndexRun {
    /// How many indexes it has.
    pub fn count(&self) -> u32 {
        (self.last - self.first) / self.step + 1
    }
}

/// The indexes of an array in ascending order, as runs that do not interleave.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IndexSet {
    runs: Vec<IndexRun>,
}

/// Why an index expression was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// Not of the form.
    #[error("`{0}` is no index, range `A-B` or range with step `A-B:S`")]
    Malformed(String),
    /// Nothing in it.
    #[error("the index list is empty")]
    Empty,
    /// Descending.
    #[error("the range `{0}` goes down")]
    Descending(String),
    /// A step of 0.
    #[error("the step of `{0}` is 0")]
    ZeroStep(String),
    /// Too large an index.
    #[error("the index {0} is above {ARRAY_INDEX_MAX}")]
    IndexTooLarge(u64),
    /// Too many tasks.
    #[error("{0} tasks are more than the {ARRAY_TASKS_MAX} that an array may have")]
    TooMany(u64),
    /// Too many pieces.
    #[error("the list has more than {ARRAY_PIECES_MAX} pieces")]
    TooManyPieces,
}

impl IndexSet {
    /// Reads `0-9,20,30-40:2` (no `%limit`). Overlaps count once.
    pub fn parse(text: &str) -> Result<IndexSet, IndexError> {
        let mut runs = Vec::new();
        for piece in text.split(',') {
            if runs.len() == ARRAY_PIECES_MAX {
                return Err(IndexError::TooManyPieces);
            }
            runs.push(parse_piece(piece.trim())?);
        }
        IndexSet::from_runs(runs)
    }

    /// From runs that may overlap and interleave.
    pub fn from_runs(mut runs: Vec<IndexRun>) -> Result<IndexSet, IndexError> {
        if runs.is_empty() {
            return Err(IndexError::Empty);
        }
        runs.sort_unstable_by_key(|run| (run.first, run.last));
        let total: u64 = runs.iter().map(|run| u64::from(run.count())).sum();
        if total > u64::from(ARRAY_TASKS_MAX) {
            return Err(IndexError::TooMany(total));
        }
        if runs.windows(2).any(|pair| pair[0].last >= pair[1].first) {
            runs = untangle(&runs);
        }
        Ok(IndexSet { runs })
    }

    /// From single indexes in any order.
    pub fn from_indexes(indexes: &[u32]) -> Result<IndexSet, IndexError> {
        IndexSet::from_runs(indexes.iter().map(|&i| IndexRun { first: i, last: i, step: 1 }).collect())
    }

    /// How many tasks it makes.
    pub fn count(&self) -> u32 {
        self.runs.iter().map(IndexRun::count).sum()
    }

    /// The runs in order.
    pub fn runs(&self) -> &[IndexRun] {
        &self.runs
    }

    /// The index of the task at `ordinal`.
    pub fn index(&self, ordinal: Ordinal) -> Option<TaskIndex> {
        let mut rest = ordinal.0;
        for run in &self.runs {
            if rest < run.count() {
                return Some(TaskIndex(run.first + rest * run.step));
            }
            rest -= run.count();
        }
        None
    }

    /// The ordinal of the task with that index.
    pub fn ordinal(&self, index: TaskIndex) -> Option<Ordinal> {
        let mut before = 0;
        for run in &self.runs {
            if index.0 < run.first {
                return None;
            }
            if index.0 <= run.last {
                let offset = index.0 - run.first;
                return offset.is_multiple_of(run.step).then(|| Ordinal(before + offset / run.step));
            }
            before += run.count();
        }
        None
    }

    /// The ordinals of the indexes in `wanted` that are here, in time proportional to the runs where steps are 1.
    pub fn ordinals(&self, wanted: &IndexSet) -> TaskSet {
        let mut runs = Vec::new();
        let mut before = 0;
        for mine in &self.runs {
            for theirs in &wanted.runs {
                let (first, last) = (mine.first.max(theirs.first), mine.last.min(theirs.last));
                if first > last {
                    continue;
                }
                if mine.step == 1 && theirs.step == 1 {
                    runs.push((before + first - mine.first, before + last - mine.first));
                    continue;
                }
                let skip = (theirs.step - (first - theirs.first) % theirs.step) % theirs.step;
                let Some(start) = first.checked_add(skip) else { continue };
                let hits = (start..=last).step_by(theirs.step as usize);
                for index in hits.filter(|index| (index - mine.first) % mine.step == 0) {
                    let ordinal = before + (index - mine.first) / mine.step;
                    runs.push((ordinal, ordinal));
                }
            }
            before += mine.count();
        }
        TaskSet::from_runs(runs)
    }

    /// Writes a set of this array's tasks as users read it: `1-9,12`.
    pub fn write(&self, set: &TaskSet) -> String {
        self.write_short(set, usize::MAX).unwrap_or_default()
    }

    /// The same, or `None` as soon as it would be longer than `bytes_max`: the work is bounded by that, too.
    pub fn write_short(&self, set: &TaskSet, bytes_max: usize) -> Option<String> {
        let mut text = String::new();
        let mut open: Option<(u32, u32)> = None;
        let mut runs = self.runs.iter();
        let mut run = runs.next()?;
        let mut before = 0;
        for &(first, last) in &set.runs {
            let mut at = first;
            while at <= last {
                while at - before >= run.count() {
                    before += run.count();
                    let Some(next) = runs.next() else {
                        push_piece(&mut text, open);
                        return Some(text);
                    };
                    run = next;
                }
                let start = run.first + (at - before) * run.step;
                let here = if run.step == 1 { (last - at).min(run.last - start) } else { 0 };
                open = match open {
                    Some((from, to)) if to + 1 == start => Some((from, start + here)),
                    other => {
                        push_piece(&mut text, other);
                        Some((start, start + here))
                    }
                };
                if text.len() > bytes_max {
                    return None;
                }
                at += here + 1;
            }
        }
        push_piece(&mut text, open);
        (text.len() <= bytes_max).then_some(text)
    }

    /// The first and the last index, as `0-9999`.
    pub fn write_bounds(&self) -> String {
        match (self.runs.first(), self.runs.last()) {
            (Some(first), Some(last)) => format!("{}-{}", first.first, last.last),
            _ => String::new(),
        }
    }

    /// Whether the runs are as this type promises: for sets that came over the wire.
    pub fn is_valid(&self) -> bool {
        let each = self.runs.iter().all(|run| {
            run.step >= 1
                && run.first <= run.last
                && run.last <= ARRAY_INDEX_MAX
                && (run.last - run.first) % run.step == 0
        });
        each && !self.runs.is_empty()
            && self.runs.len() <= ARRAY_TASKS_MAX as usize
            && self.runs.windows(2).all(|pair| pair[0].last < pair[1].first)
            && self.runs.iter().map(|run| u64::from(run.count())).sum::<u64>() <= u64::from(ARRAY_TASKS_MAX)
    }
}

fn push_piece(text: &mut String, piece: Option<(u32, u32)>) {
    let Some((first, last)) = piece else { return };
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(&first.to_string());
    if last > first {
        text.push('-');
        text.push_str(&last.to_string());
    }
}

fn parse_piece(piece: &str) -> Result<IndexRun, IndexError> {
    let malformed = || IndexError::Malformed(piece.to_owned());
    let number = |text: &str| -> Result<u32, IndexError> {
        if text.is_empty() || text.len() > 12 || !text.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        let value: u64 = text.parse().map_err(|_| malformed())?;
        match u32::try_from(value) {
            Ok(small) if small <= ARRAY_INDEX_MAX => Ok(small),
            _ => Err(IndexError::IndexTooLarge(value)),
        }
    };
    let (range, step) = match piece.split_once(':') {
        Some((range, step)) => (range, number(step)?),
        None => (piece, 1),
    };
    if step == 0 {
        return Err(IndexError::ZeroStep(piece.to_owned()));
    }
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None if step != 1 => return Err(malformed()),
        None => (number(range)?, number(range)?),
    };
    if last < first {
        return Err(IndexError::Descending(piece.to_owned()));
    }
    Ok(IndexRun { first, last: first + (last - first) / step * step, step })
}

/// Lists every index once and folds neighbours again. The caller has checked that there are not too many.
fn untangle(runs: &[IndexRun]) -> Vec<IndexRun> {
    let mut indexes: Vec<u32> =
        runs.iter().flat_map(|run| (run.first..=run.last).step_by(run.step as usize)).collect();
    indexes.sort_unstable();
    indexes.dedup();
    let mut folded: Vec<IndexRun> = Vec::new();
    for index in indexes {
        match folded.last_mut() {
            Some(run) if index == run.last + 1 => run.last = index,
            _ => folded.push(IndexRun { first: index, last: index, step: 1 }),
        }
    }
    folded
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn limits_at_their_edges() {
        assert_eq!(IndexSet::parse(&format!("1-{ARRAY_TASKS_MAX}")).map(|s| s.count()), Ok(ARRAY_TASKS_MAX));
        assert!(matches!(IndexSet::parse(&format!("0-{ARRAY_TASKS_MAX}")), Err(IndexError::TooMany(_))));
        assert!(IndexSet::parse(&ARRAY_INDEX_MAX.to_string()).is_ok());
        assert!(IndexSet::parse(&(ARRAY_INDEX_MAX + 1).to_string()).is_err());
        for bad in ["", "1-", "-1", "a", "3-1", "1-9:0", "5:2", "1,,2", "99999999999999999999"] {
            assert!(IndexSet::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn index_sets_agree_with_plain_lists(pieces in prop::collection::vec((0u32..200, 0u32..50, 1u32..5), 1..6)) {
            let text: Vec<String> = pieces.iter().map(|(f, n, s)| format!("{f}-{}:{s}", f + n)).collect();
            let set = IndexSet::parse(&text.join(",")).unwrap();
            let mut plain: Vec<u32> =
                pieces.iter().flat_map(|(f, n, s)| (*f..=f + n).step_by(*s as usize)).collect();
            plain.sort_unstable();
            plain.dedup();
            prop_assert!(set.is_valid());
            prop_assert_eq!(set.count() as usize, plain.len());
            for (k, index) in plain.iter().enumerate() {
                prop_assert_eq!(set.index(Ordinal(k as u32)), Some(TaskIndex(*index)));
                prop_assert_eq!(set.ordinal(TaskIndex(*index)), Some(Ordinal(k as u32)));
            }
            let wanted = IndexSet::parse("3-120:3,130-140").unwrap();
            let hit: Vec<u32> = set.ordinals(&wanted).iter().filter_map(|o| set.index(o)).map(|i| i.0).collect();
            let expected: Vec<u32> =
                plain.iter().copied().filter(|i| wanted.ordinal(TaskIndex(*i)).is_some()).collect();
            prop_assert_eq!(&hit, &expected);
            let picked = set.ordinals(&wanted);
            if !picked.is_empty() {
                let written = set.write(&picked);
                let read = IndexSet::parse(&written).unwrap();
                prop_assert_eq!(set.ordinals(&read), picked.clone());
                prop_assert_eq!(read.count() as usize, hit.len());
                prop_assert_eq!(set.write_short(&picked, written.len()), Some(written.clone()));
                prop_assert_eq!(set.write_short(&picked, written.len() - 1), None);
            }
        }

        #[test]
        fn task_sets_agree_with_plain_sets(members in prop::collection::vec(0u32..300, 0..80)) {
            let mut set = TaskSet::new();
            for member in &members {
                set.push(Ordinal(*member));
            }
            let mut plain = members.clone();
            plain.sort_unstable();
            plain.dedup();
            prop_assert!(set.is_valid(300));
            prop_assert_eq!(set.count() as usize, plain.len());
            prop_assert_eq!(set.iter().map(|o| o.0).collect::<Vec<_>>(), plain);
        }
    }
}
