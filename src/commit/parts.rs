//! Groups that are too large for one frame of the log stand in several, one position each. Each but the only one begins
//! with [`Change::Part`]; nothing of a group counts before its last part is there, so a command is done as a whole or
//! not at all, however much it changes.

use crate::model::bug::{self, Bug};
use crate::model::change::Change;

/// A part is closed at about this size. A frame takes eight times as much, so that sizes need only be roughly known.
/// Small in tests, so that the simulator meets groups of several parts at every turn.
pub const PART_BYTES_MAX: usize = if cfg!(test) { 256 } else { 8 << 20 };

/// The parts of a group of about `bytes`, in order; usually one.
pub fn split(changes: Vec<Change>, bytes: usize, size: impl Fn(&Change) -> usize) -> Vec<Vec<Change>> {
    if bytes <= PART_BYTES_MAX {
        return vec![changes];
    }
    let (mut parts, mut room) = (vec![Vec::new()], PART_BYTES_MAX);
    for change in changes {
        let needed = size(&change);
        if needed > room && parts.last().is_some_and(|part| !part.is_empty()) {
            parts.push(Vec::new());
            room = PART_BYTES_MAX;
        }
        room = room.saturating_sub(needed);
        if let Some(part) = parts.last_mut() {
            part.push(change);
        }
    }
    if parts.len() > 1 {
        let of = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        for (index, part) in (0..of).zip(&mut parts) {
            part.insert(0, Change::Part { index, of });
        }
    }
    parts
}

/// Puts groups together again as the log is read.
#[derive(Debug, Default)]
pub struct Gathering {
    changes: Vec<Change>,
    parts: u32,
}

impl Gathering {
    /// Takes what stands at the next position; gives a group once it is whole. What a crash left of a group that did not
    /// become whole is dropped: nobody was told of it.
    pub fn take(&mut self, changes: Vec<Change>) -> Option<Vec<Change>> {
        let Some(Change::Part { index, of }) = changes.first().cloned() else {
            *self = Gathering::default();
            return Some(changes);
        };
        if bug::is_made(Bug::HalfGroup) {
            return Some(changes.into_iter().skip(1).collect());
        }
        if index == 0 || index != self.parts {
            *self = Gathering::default();
        }
        if index != self.parts {
            return None;
        }
        self.changes.extend(changes.into_iter().skip(1));
        self.parts += 1;
        (self.parts == of).then(|| std::mem::take(self).changes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::JobId;

    fn numbers(changes: &[Change]) -> Vec<u64> {
        let number = |change: &Change| match change {
            Change::NextJob(JobId(number)) => *number,
            other => panic!("{other:?}"),
        };
        changes.iter().map(number).collect()
    }

    proptest! {
        /// Whole groups come back in order, of torn ones nothing, wherever they were torn and whatever follows.
        #[test]
        fn whole_or_not_at_all(groups in prop::collection::vec((0u64..60, prop::option::of(0usize..20)), 0..12)) {
            let (mut gathering, mut next, mut wanted, mut found) = (Gathering::default(), 0, Vec::new(), Vec::new());
            for (count, torn) in groups {
                let all: Vec<u64> = (next..next + count).collect();
                next += count;
                let changes: Vec<Change> = all.iter().map(|number| Change::NextJob(JobId(*number))).collect();
                // Of unlike sizes, some larger than a part.
                let size = |change: &Change| if numbers(std::slice::from_ref(change))[0].is_multiple_of(7) { 300 } else { 20 };
                let bytes = changes.iter().map(size).sum();
                let mut parts = split(changes, bytes, size);
                let whole = parts.len();
                parts.truncate(torn.unwrap_or(whole));
                if parts.len() == whole {
                    wanted.push(all);
                }
                found.extend(parts.into_iter().filter_map(|part| gathering.take(part)).map(|all| numbers(&all)));
            }
            prop_assert_eq!(found, wanted);
        }
    }
}
