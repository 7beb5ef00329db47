//! Jobs kept in an order, in chunks that know their smallest and their sum, so that a scan skips whole chunks.

/// A job in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// By what it stands in the order, ascending.
    pub key: i64,
    /// What decides between equal keys: the order of arrival.
    pub index: u64,
    /// For how long it is expected to run, in seconds.
    pub estimate: i64,
    /// How many processors it takes.
    pub processors: u32,
    /// Where the rest of it is kept.
    pub slot: u32,
}

impl Entry {
    fn place(&self) -> (i64, u64) {
        (self.key, self.index)
    }
}

/// What may start beside a reservation: free processors now, for how long they are free, and how many of them are
/// not needed even then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Processors that are free now.
    pub free: u32,
    /// Seconds until the reservation begins.
    pub window: i64,
    /// Processors that stay free when it has begun.
    pub extra: u32,
}

impl Gap {
    /// Whether a job of this size and length may start.
    pub fn holds(&self, processors: u32, estimate: i64) -> bool {
        processors <= self.free && (estimate <= self.window || processors <= self.extra)
    }
}

/// A place in the order, from which a scan goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    chunk: usize,
    at: usize,
}

/// How many entries a chunk holds before it is cut in two.
const CHUNK_LEN_MAX: usize = 64;

#[derive(Clone, Debug)]
struct Chunk {
    entries: Vec<Entry>,
    processors_min: u32,
    estimate_min: i64,
    processors_sum: u64,
}

impl Chunk {
    fn new(entries: Vec<Entry>) -> Chunk {
        let mut chunk =
            Chunk { entries, processors_min: u32::MAX, estimate_min: i64::MAX, processors_sum: 0 };
        chunk.measure();
        chunk
    }

    fn measure(&mut self) {
        let (mut processors, mut estimate, mut sum) = (u32::MAX, i64::MAX, 0);
        for entry in &self.entries {
            processors = processors.min(entry.processors);
            estimate = estimate.min(entry.estimate);
            sum += u64::from(entry.processors);
        }
        (self.processors_min, self.estimate_min, self.processors_sum) = (processors, estimate, sum);
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        self.entries.insert(at, entry);
        self.processors_min = self.processors_min.min(entry.processors);
        self.estimate_min = self.estimate_min.min(entry.estimate);
        self.processors_sum += u64::from(entry.processors);
    }

    fn remove(&mut self, at: usize) -> Entry {
        let entry = self.entries.remove(at);
        if entry.processors == self.processors_min || entry.estimate == self.estimate_min {
            self.measure();
        } else {
            self.processors_sum -= u64::from(entry.processors);
        }
        entry
    }

    fn last_place(&self) -> Option<(i64, u64)> {
        self.entries.last().map(Entry::place)
    }
}

/// Jobs by key and index. No chunk is empty.
#[derive(Clone, Debug, Default)]
pub struct Ordered {
    chunks: Vec<Chunk>,
    len: usize,
}

impl Ordered {
    /// How many jobs there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The job that stands first.
    pub fn first(&self) -> Option<Entry> {
        self.chunks.first().and_then(|chunk| chunk.entries.first()).copied()
    }

    /// The fewest processors that any of them takes; `u32::MAX` if there is none.
    pub fn processors_min(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.processors_min).min().unwrap_or(u32::MAX)
    }

    /// The index of the last job that takes at most so many processors.
    pub fn last_within(&self, processors: u32) -> Option<u64> {
        let chunk = self.chunks.iter().rev().find(|chunk| chunk.processors_min <= processors)?;
        chunk.entries.iter().rev().find(|entry| entry.processors <= processors).map(|entry| entry.index)
    }

    /// All in order.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.chunks.iter().flat_map(|chunk| &chunk.entries)
    }

    /// Adds a job.
    pub fn insert(&mut self, entry: Entry) {
        self.len += 1;
        let place = entry.place();
        let found = self.chunks.partition_point(|chunk| chunk.last_place() < Some(place));
        let number = found.min(self.chunks.len().saturating_sub(1));
        let Some(chunk) = self.chunks.get_mut(number) else {
            self.chunks.push(Chunk::new(vec![entry]));
            return;
        };
        let at = chunk.entries.partition_point(|other| other.place() < place);
        if chunk.entries.len() < CHUNK_LEN_MAX {
            chunk.insert(at, entry);
            return;
        }
        // What comes in order fills its chunks; what does not halves them.
        let cut = if at == chunk.entries.len() { at } else { CHUNK_LEN_MAX / 2 };
        let mut behind = chunk.entries.split_off(cut);
        if at <= cut && cut < CHUNK_LEN_MAX {
            chunk.entries.insert(at, entry);
        } else {
            behind.insert(at - cut, entry);
        }
        chunk.measure();
        self.chunks.insert(number + 1, Chunk::new(behind));
    }

    /// Takes out the job of that key and index, if it is there.
    pub fn remove(&mut self, key: i64, index: u64) -> Option<Entry> {
        let place = (key, index);
        let number = self.chunks.partition_point(|chunk| chunk.last_place() < Some(place));
        let chunk = self.chunks.get(number)?;
        let at = chunk.entries.partition_point(|other| other.place() < place);
        if chunk.entries.get(at).map(Entry::place) != Some(place) {
            return None;
        }
        self.take(Cursor { chunk: number, at })
    }

    /// Takes out the job that stands first.
    pub fn pop_first(&mut self) -> Option<Entry> {
        self.take(Cursor::default())
    }

    /// Takes out what stands at the cursor, which then stands before the next.
    pub fn take(&mut self, cursor: Cursor) -> Option<Entry> {
        let chunk = self.chunks.get_mut(cursor.chunk)?;
        if cursor.at >= chunk.entries.len() {
            return None;
        }
        let entry = chunk.remove(cursor.at);
        self.len -= 1;
        if chunk.entries.is_empty() {
            self.chunks.remove(cursor.chunk);
        }
        Some(entry)
    }

    /// The first job from the cursor on that fits into the gap, and where it stands.
    pub fn next_fit(&self, cursor: Cursor, gap: Gap) -> Option<(Cursor, Entry)> {
        let either = gap.extra.min(gap.free);
        let mut from = cursor.at;
        for (number, chunk) in self.chunks.iter().enumerate().skip(cursor.chunk) {
            let hopeless = chunk.processors_min > gap.free
                || (chunk.estimate_min > gap.window && chunk.processors_min > either);
            if !hopeless {
                for (at, entry) in chunk.entries.iter().enumerate().skip(from) {
                    if gap.holds(entry.processors, entry.estimate) {
                        return Some((Cursor { chunk: number, at }, *entry));
                    }
                }
            }
            from = 0;
        }
        None
    }

    /// The key up to which the processors of all jobs, ties included, add up to `wanted` or more, and their sum.
    /// `None` if all together are fewer.
    pub fn key_of_sum(&self, wanted: u64) -> Option<(i64, u64)> {
        let mut sum = 0;
        let mut reached = None;
        for chunk in &self.chunks {
            if reached.is_none() && sum + chunk.processors_sum < wanted {
                sum += chunk.processors_sum;
                continue;
            }
            for entry in &chunk.entries {
                match reached {
                    Some(key) if entry.key > key => return Some((key, sum)),
                    _ => {}
                }
                sum += u64::from(entry.processors);
                if reached.is_none() && sum >= wanted {
                    reached = Some(entry.key);
                }
            }
        }
        reached.map(|key| (key, sum))
    }
}
