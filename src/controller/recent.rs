//! Which jobs changed lately, group by group: what a live view that was away for a while has missed.

use std::collections::{BTreeSet, VecDeque};

use crate::model::ids::{JobId, Position};

/// The most changes that are remembered. Who was away for longer gets the ends from the tables, and a snapshot.
pub const RECENT_MAX: usize = 100_000;

/// Changes of the last groups.
#[derive(Debug)]
pub struct Recent {
    /// Everything after this position is here.
    from: Position,
    groups: VecDeque<Group>,
    changes: usize,
}

#[derive(Debug)]
struct Group {
    position: Position,
    /// Whether the position was new; otherwise only what is seen of nodes had changed.
    durable: bool,
    jobs: Vec<JobId>,
}

impl Recent {
    /// Knows of nothing up to there.
    pub fn new(from: Position) -> Recent {
        Recent { from, groups: VecDeque::new(), changes: 0 }
    }

    /// Everything after this position is here.
    pub fn from(&self) -> Position {
        self.from
    }

    /// These jobs changed.
    pub fn push(&mut self, position: Position, jobs: &BTreeSet<JobId>) {
        let last = self.groups.back().map_or(self.from, |group| group.position);
        if jobs.is_empty() {
            return;
        }
        let group = Group { position, durable: position > last, jobs: jobs.iter().copied().collect() };
        self.changes += group.jobs.len();
        self.groups.push_back(group);
        while self.changes > RECENT_MAX {
            let Some(oldest) = self.groups.pop_front() else { break };
            self.changes -= oldest.jobs.len();
            self.from = self.from.max(oldest.position);
        }
    }

    /// What changed after a position; `None` if that is not known any more.
    pub fn since(&self, position: Position) -> Option<BTreeSet<JobId>> {
        if position < self.from {
            return None;
        }
        let missed =
            |group: &&Group| group.position > position || (group.position == position && !group.durable);
        let groups = self.groups.iter().rev().take_while(|group| group.position >= position);
        Some(groups.filter(missed).flat_map(|group| group.jobs.iter().copied()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs(ids: impl IntoIterator<Item = u64>) -> BTreeSet<JobId> {
        ids.into_iter().map(JobId).collect()
    }

    #[test]
    fn what_was_missed_and_nothing_that_was_seen() {
        let mut recent = Recent::new(Position(10));
        recent.push(Position(11), &jobs([1, 2]));
        recent.push(Position(13), &jobs([2, 3]));
        recent.push(Position(13), &jobs([9]));
        recent.push(Position(13), &jobs([]));
        assert_eq!(recent.since(Position(9)), None);
        assert_eq!(recent.since(Position(10)), Some(jobs([1, 2, 3, 9])));
        assert_eq!(recent.since(Position(11)), Some(jobs([2, 3, 9])));
        // A change of what is seen of nodes has no position of its own: it is told once more.
        assert_eq!(recent.since(Position(13)), Some(jobs([9])));
        assert_eq!(recent.since(Position(14)), Some(jobs([])));
    }

    #[test]
    fn the_oldest_go_first() {
        let mut recent = Recent::new(Position(0));
        recent.push(Position(1), &jobs([1]));
        recent.push(Position(2), &jobs(1..RECENT_MAX as u64));
        assert_eq!(recent.from(), Position(0));
        recent.push(Position(3), &jobs([7]));
        assert_eq!((recent.from(), recent.since(Position(0))), (Position(1), None));
        assert!(recent.since(Position(1)).is_some());
        recent.push(Position(4), &jobs(0..=RECENT_MAX as u64));
        assert_eq!((recent.from(), recent.since(Position(4))), (Position(4), Some(jobs([]))));
    }
}
