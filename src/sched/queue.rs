//! Waiting jobs in order, searchable for the first one that could fit into a given room.

use super::note::Rank;
use super::room::Axes;

/// Rows of one chunk before it is split.
const CHUNK_ROWS_MAX: usize = 256;

/// A waiting job, as far as searching goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) rank: Rank,
    pub(crate) need: Axes,
    /// The longest that one task may take, in microseconds.
    pub(crate) span: u64,
    /// What one slot counts against bounds on cpus.
    pub(crate) cpus: u32,
}

/// Rows by rank, in chunks that know the least that any of their rows asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    chunks: Vec<Chunk>,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// Never empty.
    rows: Vec<Row>,
    need: Axes,
    span: u64,
    cpus: u32,
    /// The most cpus that a row counts, or more.
    cpus_most: u32,
}

impl Queue {
    pub(crate) fn insert(&mut self, row: Row) {
        let at = self.chunk_of(row.rank).min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::of(vec![row]));
            return;
        };
        match chunk.rows.binary_search_by_key(&row.rank, |row| row.rank) {
            Ok(same) => {
                chunk.rows[same] = row;
                chunk.measure();
            }
            Err(gap) => {
                chunk.rows.insert(gap, row);
                chunk.stretch(&row);
            }
        }
        if chunk.rows.len() > CHUNK_ROWS_MAX {
            // Most rows come last: then the chunk stays full.
            let last = chunk.rows.last().is_some_and(|last| last.rank == row.rank);
            let tail = chunk.rows.split_off(if last { CHUNK_ROWS_MAX } else { CHUNK_ROWS_MAX / 2 });
            chunk.rows.shrink_to_fit();
            chunk.measure();
            self.chunks.insert(at + 1, Chunk::of(tail));
        }
    }

    pub(crate) fn remove(&mut self, rank: Rank) {
        let at = self.chunk_of(rank);
        let Some(chunk) = self.chunks.get_mut(at) else { return };
        let Ok(place) = chunk.rows.binary_search_by_key(&rank, |row| row.rank) else { return };
        let row = chunk.rows.remove(place);
        if chunk.rows.is_empty() {
            self.chunks.remove(at);
        } else if chunk.depends_on(&row) {
            chunk.measure();
        }
    }

    /// The first row after `after`, if given.
    pub(crate) fn first(&self, after: Option<Rank>) -> Option<Rank> {
        self.next(after, &Axes::ALL, u64::MAX, u64::MAX)
    }

    /// Whether there is no row.
    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The most cpus that any row counts against bounds, or more.
    pub(crate) fn cpus_most(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.cpus_most).max().unwrap_or(0)
    }

    /// The first row after `after` that needs no more than `room`, and that for no longer than `span`, and counts no
    /// more than `cpus`.
    pub(crate) fn next(&self, after: Option<Rank>, room: &Axes, span: u64, cpus: u64) -> Option<Rank> {
        let mut start = after;
        let skipped = start.map_or(0, |rank| self.chunk_of(rank));
        for chunk in self.chunks.iter().skip(skipped) {
            let from = start.take().map_or(0, |rank| chunk.rows.partition_point(|row| row.rank <= rank));
            if chunk.span > span || u64::from(chunk.cpus) > cpus || !room.holds(&chunk.need) {
                continue;
            }
            let rows = chunk.rows.get(from..).unwrap_or_default();
            let fits = |row: &&Row| row.span <= span && u64::from(row.cpus) <= cpus && room.holds(&row.need);
            if let Some(row) = rows.iter().find(fits) {
                return Some(row.rank);
            }
        }
        None
    }

    /// How many rows come before that rank.
    pub(crate) fn before(&self, rank: Rank) -> usize {
        let at = self.chunk_of(rank);
        let whole: usize = self.chunks.iter().take(at).map(|chunk| chunk.rows.len()).sum();
        let part = self.chunks.get(at).map_or(0, |chunk| chunk.rows.partition_point(|row| row.rank < rank));
        whole + part
    }

    /// The first chunk whose last row is not before that rank.
    fn chunk_of(&self, rank: Rank) -> usize {
        self.chunks.partition_point(|chunk| chunk.rows.last().is_some_and(|row| row.rank < rank))
    }
}

impl Chunk {
    fn of(rows: Vec<Row>) -> Chunk {
        let mut chunk = Chunk { rows, need: Axes::ALL, span: u64::MAX, cpus: u32::MAX, cpus_most: 0 };
        chunk.measure();
        chunk
    }

    fn measure(&mut self) {
        (self.need, self.span) = (Axes::ALL, u64::MAX);
        (self.cpus, self.cpus_most) = (u32::MAX, 0);
        for at in 0..self.rows.len() {
            let row = self.rows[at];
            self.stretch(&row);
        }
    }

    fn stretch(&mut self, row: &Row) {
        self.need = self.need.and(&row.need);
        self.span = self.span.min(row.span);
        self.cpus = self.cpus.min(row.cpus);
        self.cpus_most = self.cpus_most.max(row.cpus);
    }

    /// Whether the bounds may be wider than needed once that row has gone.
    fn depends_on(&self, row: &Row) -> bool {
        row.span == self.span || row.cpus == self.cpus || row.need.touches(&self.need)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::Bound;

    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::JobId;
    use crate::sched::note::MemoryDemand;
    use crate::sched::room::Shape;

    fn row(job: u64, cpus: u32, span: u64) -> Row {
        let memory = MemoryDemand::Fixed(u64::from(cpus) % 3);
        let shape = Shape { cpus, memory, tmp_bytes: 0, exclusive: false, span };
        Row {
            rank: Rank { tier: 0, priority: (job % 5) as i64, order: 0, submit: job, job: JobId(job) },
            need: shape.need(),
            span,
            cpus,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn finds_what_a_plain_list_finds(
            steps in prop::collection::vec((0u64..2_000, 1u32..9, 1u64..9, any::<bool>()), 1..3_000),
        ) {
            let (mut queue, mut plain) = (Queue::default(), BTreeMap::new());
            for (job, cpus, span, gone) in steps {
                let row = row(job, cpus, span);
                if gone && job % 2 == 0 {
                    queue.remove(row.rank);
                    plain.remove(&row.rank);
                } else {
                    queue.insert(row);
                    plain.insert(row.rank, row);
                }
                let room = self::row(0, 10 - cpus, 0).need;
                let found = plain
                    .range((Bound::Excluded(row.rank), Bound::Unbounded))
                    .find(|(_, other)| room.holds(&other.need) && other.span <= span && other.cpus <= 6);
                prop_assert_eq!(queue.next(Some(row.rank), &room, span, 6), found.map(|(rank, _)| *rank));
                prop_assert_eq!(queue.before(row.rank), plain.range(..row.rank).count());
            }
            let walked = std::iter::successors(queue.first(None), |last| queue.first(Some(*last)));
            prop_assert!(walked.eq(plain.keys().copied()));
        }
    }
}
