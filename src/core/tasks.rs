//! The states of a job's tasks: per chunk of 4,096 one state for all, or 4 bits a task.

use std::sync::Arc;

use imbl::Vector;

use crate::model::ids::Ordinal;
use crate::model::record::StateCounts;
use crate::model::state::State;
use crate::model::task_set::TaskSet;

/// Tasks in one chunk.
pub const CHUNK_TASKS: u32 = 4_096;

/// The states of tasks `0..count`. Cloning is cheap; a change copies one chunk of at most 2 KiB. While all are in
/// one state, which a job that is no array always is, nothing else is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskTable {
    count: u32,
    states: States,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum States {
    /// All the same.
    Same(State),
    /// By chunk.
    Chunks(Arc<Chunks>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Chunks {
    chunks: Vector<Chunk>,
    counts: StateCounts,
}

/// The states of up to [`CHUNK_TASKS`] tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunk {
    /// All the same.
    Run(State),
    /// Two a byte, the even ordinal in the low half.
    Nibbles(Arc<[u8; (CHUNK_TASKS / 2) as usize]>),
}

impl TaskTable {
    /// A table of `count` tasks that are all in `state`.
    pub fn new(count: u32, state: State) -> TaskTable {
        TaskTable { count, states: States::Same(state) }
    }

    /// How many tasks there are.
    pub fn count(&self) -> u32 {
        self.count
    }

    /// How many are in each state.
    pub fn counts(&self) -> StateCounts {
        match &self.states {
            States::Same(state) => counts_of(self.count, *state),
            States::Chunks(chunks) => chunks.counts,
        }
    }

    /// How many are in that state.
    pub fn counted(&self, state: State) -> u32 {
        match &self.states {
            States::Same(same) => u32::from(*same == state) * self.count,
            States::Chunks(chunks) => chunks.counts[state as usize],
        }
    }

    /// How many have ended.
    pub fn ended(&self) -> u32 {
        State::ALL.iter().filter(|state| state.is_end()).map(|state| self.counted(*state)).sum()
    }

    /// The state of a task; `None` if there is no such task.
    pub fn get(&self, ordinal: Ordinal) -> Option<State> {
        if ordinal.0 >= self.count {
            return None;
        }
        Some(self.chunk(ordinal.0 / CHUNK_TASKS)?.get(ordinal.0 % CHUNK_TASKS))
    }

    fn chunk(&self, chunk: u32) -> Option<ChunkRef<'_>> {
        match &self.states {
            States::Same(state) => (chunk < self.chunk_count()).then_some(ChunkRef::Run(*state)),
            States::Chunks(chunks) => Some(match chunks.chunks.get(chunk as usize)? {
                Chunk::Run(state) => ChunkRef::Run(*state),
                Chunk::Nibbles(nibbles) => ChunkRef::Nibbles(nibbles),
            }),
        }
    }

    /// Sets every task of `set` that exists. Returns the chunks that are different now.
    pub fn set(&mut self, set: &TaskSet, state: State) -> Vec<u32> {
        if let States::Same(same) = self.states {
            if same == state || set.is_empty() {
                return Vec::new();
            }
            if matches!(set.runs(), [(0, last)] if last.saturating_add(1) >= self.count) {
                self.states = States::Same(state);
                return (0..self.chunk_count()).collect();
            }
            let chunks = (0..self.chunk_count()).map(|_| Chunk::Run(same)).collect();
            self.states = States::Chunks(Arc::new(Chunks { chunks, counts: counts_of(self.count, same) }));
        }
        let mut changed = Vec::new();
        for &(first, last) in set.runs() {
            let Some(end) = self.count.checked_sub(1).map(|end| end.min(last)) else { break };
            let mut from = first;
            while from <= end {
                let chunk = from / CHUNK_TASKS;
                let chunk_end = (chunk * CHUNK_TASKS + (CHUNK_TASKS - 1)).min(self.count - 1);
                let to = end.min(chunk_end);
                if self.set_in_chunk(chunk, from, to, chunk_end, state) && changed.last() != Some(&chunk) {
                    changed.push(chunk);
                }
                from = to + 1;
            }
        }
        if self.counted(state) == self.count {
            self.states = States::Same(state);
        }
        changed
    }

    fn set_in_chunk(&mut self, chunk: u32, from: u32, to: u32, chunk_end: u32, state: State) -> bool {
        let States::Chunks(chunks) = &mut self.states else { return false };
        let Chunks { chunks, counts } = Arc::make_mut(chunks);
        let Some(slot) = chunks.get_mut(chunk as usize) else { return false };
        let base = chunk * CHUNK_TASKS;
        if let Chunk::Run(old) = *slot {
            if old == state {
                return false;
            }
            let moved = to - from + 1;
            counts[old as usize] -= moved;
            counts[state as usize] += moved;
            if from == base && to == chunk_end {
                *slot = Chunk::Run(state);
                return true;
            }
            let byte = old as u8 | (old as u8) << 4;
            let mut nibbles = [byte; (CHUNK_TASKS / 2) as usize];
            for ordinal in from..=to {
                set_nibble(&mut nibbles, ordinal - base, state);
            }
            *slot = Chunk::Nibbles(Arc::new(nibbles));
            return true;
        }
        let Chunk::Nibbles(nibbles) = slot else { return false };
        let nibbles = Arc::make_mut(nibbles);
        let mut changed = false;
        for ordinal in from..=to {
            let old = nibble(nibbles, ordinal - base);
            if old != state {
                counts[old as usize] -= 1;
                counts[state as usize] += 1;
                set_nibble(nibbles, ordinal - base, state);
                changed = true;
            }
        }
        let size = chunk_end - base + 1;
        if changed && to == chunk_end {
            let uniform = (0..size).all(|at| nibble(nibbles, at) == state);
            if uniform {
                *slot = Chunk::Run(state);
            }
        }
        changed
    }

    /// Up to `most` tasks in `state`, lowest first, not looking below `from`.
    pub fn take(&self, state: State, from: u32, most: u32) -> TaskSet {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut left = most.min(self.counted(state));
        let mut ordinal = from;
        while left > 0 && ordinal < self.count {
            let chunk = ordinal / CHUNK_TASKS;
            let chunk_end = (chunk * CHUNK_TASKS + (CHUNK_TASKS - 1)).min(self.count - 1);
            match self.chunk(chunk) {
                Some(ChunkRef::Run(same)) if same == state => {
                    let last = chunk_end.min(ordinal.saturating_add(left - 1));
                    left -= last - ordinal + 1;
                    runs.push((ordinal, last));
                    ordinal = last + 1;
                }
                Some(ChunkRef::Nibbles(nibbles)) => {
                    while left > 0 && ordinal <= chunk_end {
                        if nibble(nibbles, ordinal % CHUNK_TASKS) == state {
                            runs.push((ordinal, ordinal));
                            left -= 1;
                        }
                        ordinal += 1;
                    }
                }
                _ => ordinal = chunk_end + 1,
            }
        }
        TaskSet::from_runs(runs)
    }

    /// The tasks of `among` (all if `None`) whose state passes.
    pub fn select(&self, among: Option<&TaskSet>, pass: impl Fn(State) -> bool) -> TaskSet {
        let all = TaskSet::first(self.count);
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for &(first, last) in among.unwrap_or(&all).runs() {
            let Some(end) = self.count.checked_sub(1).map(|end| end.min(last)) else { break };
            let mut ordinal = first;
            while ordinal <= end {
                let chunk = ordinal / CHUNK_TASKS;
                let to = end.min(chunk * CHUNK_TASKS + (CHUNK_TASKS - 1));
                match self.chunk(chunk) {
                    Some(ChunkRef::Run(same)) if pass(same) => runs.push((ordinal, to)),
                    Some(ChunkRef::Nibbles(nibbles)) => {
                        let hits = (ordinal..=to).filter(|at| pass(nibble(nibbles, at % CHUNK_TASKS)));
                        for at in hits {
                            match runs.last_mut() {
                                Some(run) if run.1 + 1 == at => run.1 = at,
                                _ => runs.push((at, at)),
                            }
                        }
                    }
                    _ => {}
                }
                ordinal = to + 1;
            }
        }
        TaskSet::from_runs(runs)
    }

    /// How many chunks there are.
    pub fn chunk_count(&self) -> u32 {
        self.count.div_ceil(CHUNK_TASKS)
    }

    /// A chunk's bytes: one for a run, else two tasks a byte.
    pub fn chunk_bytes(&self, chunk: u32) -> Option<Vec<u8>> {
        Some(match self.chunk(chunk)? {
            ChunkRef::Run(state) => vec![state as u8],
            ChunkRef::Nibbles(nibbles) => nibbles.to_vec(),
        })
    }

    /// Puts back what [`TaskTable::chunk_bytes`] gave. False if the bytes make no sense.
    pub fn restore_chunk(&mut self, chunk: u32, bytes: &[u8]) -> bool {
        let base = chunk.saturating_mul(CHUNK_TASKS);
        if base >= self.count {
            return false;
        }
        let last = (base + (CHUNK_TASKS - 1)).min(self.count - 1);
        if let [one] = bytes {
            let Some(state) = State::from_number(*one) else { return false };
            self.set(&TaskSet::from_runs(vec![(base, last)]), state);
            return true;
        }
        let Ok(nibbles) = <[u8; (CHUNK_TASKS / 2) as usize]>::try_from(bytes) else { return false };
        let mut from = base;
        while from <= last {
            let state = nibble(&nibbles, from - base);
            let alike = (from..=last).take_while(|at| nibble(&nibbles, at - base) == state).count() as u32;
            self.set(&TaskSet::from_runs(vec![(from, from + alike - 1)]), state);
            from += alike;
        }
        true
    }
}

/// A chunk to look at.
enum ChunkRef<'a> {
    Run(State),
    Nibbles(&'a [u8; (CHUNK_TASKS / 2) as usize]),
}

impl ChunkRef<'_> {
    fn get(&self, at: u32) -> State {
        match self {
            ChunkRef::Run(state) => *state,
            ChunkRef::Nibbles(nibbles) => nibble(nibbles, at),
        }
    }
}

fn counts_of(count: u32, state: State) -> StateCounts {
    let mut counts = [0; State::ALL.len()];
    counts[state as usize] = count;
    counts
}

fn nibble(nibbles: &[u8; (CHUNK_TASKS / 2) as usize], at: u32) -> State {
    let byte = nibbles[(at / 2) as usize];
    State::ALL[usize::from(if at.is_multiple_of(2) { byte & 15 } else { byte >> 4 })]
}

fn set_nibble(nibbles: &mut [u8; (CHUNK_TASKS / 2) as usize], at: u32, state: State) {
    let byte = &mut nibbles[(at / 2) as usize];
    *byte = if at.is_multiple_of(2) { *byte & 0xf0 | state as u8 } else { *byte & 0x0f | (state as u8) << 4 };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(
            count in 1u32..12_000,
            steps in prop::collection::vec((0u32..12_000, 0u32..6_000, 0u8..16), 1..12),
            from in 0u32..12_000,
            most in 0u32..5_000,
        ) {
            let mut table = TaskTable::new(count, State::Pending);
            let mut plain = vec![State::Pending; count as usize];
            for (first, length, number) in steps {
                let state = State::from_number(number).unwrap();
                table.set(&TaskSet::from_runs(vec![(first, first + length)]), state);
                for at in first..=(first + length).min(count.saturating_sub(1)) {
                    plain[at as usize] = state;
                }
            }
            for state in State::ALL {
                let here = plain.iter().filter(|s| **s == state).count();
                prop_assert_eq!(table.counted(state) as usize, here);
            }
            let pending: Vec<u32> = (from..count).filter(|at| plain[*at as usize] == State::Pending).take(most as usize).collect();
            let taken: Vec<u32> = table.take(State::Pending, from, most).iter().map(|o| o.0).collect();
            prop_assert_eq!(taken, pending);
            let bad: Vec<u32> = (0..count).filter(|at| plain[*at as usize].is_bad()).collect();
            let selected: Vec<u32> = table.select(None, State::is_bad).iter().map(|o| o.0).collect();
            prop_assert_eq!(selected, bad);
            let mut again = TaskTable::new(count, State::Pending);
            for chunk in 0..table.chunk_count() {
                prop_assert!(again.restore_chunk(chunk, &table.chunk_bytes(chunk).unwrap()));
            }
            for at in 0..count {
                prop_assert_eq!(again.get(Ordinal(at)), table.get(Ordinal(at)));
            }
        }
    }
}
