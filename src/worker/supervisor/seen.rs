//! Which attempts were ever handed to a supervisor: none is started twice. Pure.

use std::collections::BTreeMap;

use crate::model::ids::{Attempt, Ordinal};
use crate::wire::supervisor::AttemptRef;

/// The highest attempt seen of each task, as runs of neighbours with the same one: an array of a million tasks
/// that come in order takes one entry.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    runs: BTreeMap<u32, (u32, Attempt)>,
}

impl Seen {
    /// The highest attempt seen of a task.
    pub fn highest(&self, ordinal: Ordinal) -> Option<Attempt> {
        let (_, (last, attempt)) = self.runs.range(..=ordinal.0).next_back()?;
        (*last >= ordinal.0).then_some(*attempt)
    }

    /// Notes an attempt. Whether it is new: higher than all before it.
    pub fn note(&mut self, task: AttemptRef) -> bool {
        if self.highest(task.ordinal).is_some_and(|highest| highest >= task.attempt) {
            return false;
        }
        let at = task.ordinal.0;
        self.cut_out(at);
        let (mut first, mut last) = (at, at);
        if let Some((before, (_, _))) = self
            .runs
            .range(..at)
            .next_back()
            .filter(|(_, (end, attempt))| end.checked_add(1) == Some(at) && *attempt == task.attempt)
        {
            first = *before;
        }
        if let Some(next) = at.checked_add(1)
            && let Some((end, _)) = self.runs.get(&next).filter(|(_, attempt)| *attempt == task.attempt)
        {
            last = *end;
            self.runs.remove(&next);
        }
        self.runs.insert(first, (last, task.attempt));
        true
    }

    /// Takes one ordinal out of the run that holds it.
    fn cut_out(&mut self, at: u32) {
        let Some((&first, &(last, attempt))) = self.runs.range(..=at).next_back() else { return };
        if last < at {
            return;
        }
        self.runs.remove(&first);
        if first < at {
            self.runs.insert(first, (at - 1, attempt));
        }
        if at < last {
            self.runs.insert(at + 1, (last, attempt));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(notes in prop::collection::vec((0u32..40, 1u32..4), 0..200)) {
            let mut seen = Seen::default();
            let mut plain: BTreeMap<u32, u32> = BTreeMap::new();
            for (ordinal, attempt) in notes {
                let task = AttemptRef { ordinal: Ordinal(ordinal), attempt: Attempt(attempt) };
                let new = plain.get(&ordinal).is_none_or(|highest| *highest < attempt);
                prop_assert_eq!(seen.note(task), new);
                if new {
                    plain.insert(ordinal, attempt);
                }
                for at in 0..40 {
                    prop_assert_eq!(seen.highest(Ordinal(at)).map(|a| a.0), plain.get(&at).copied());
                }
            }
        }
    }

    #[test]
    fn neighbours_take_one_entry() {
        let mut seen = Seen::default();
        for at in (0..1_000).step_by(2).chain((1..1_000).step_by(2)) {
            assert!(seen.note(AttemptRef { ordinal: Ordinal(at), attempt: Attempt(1) }));
        }
        assert_eq!(seen.runs.len(), 1);
        assert!(seen.note(AttemptRef { ordinal: Ordinal(u32::MAX), attempt: Attempt(1) }));
    }
}
