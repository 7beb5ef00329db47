//! What is kept of whose output, and where it lies. In memory, built anew from the segments at each start. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{Header, Key};
use super::{HEAD_BYTES, TAIL_BYTES};
use crate::model::ids::Uid;
use crate::model::time::WallTime;

/// What an entry counts beside its bytes: the record's header, and its place in memory.
pub const ENTRY_BYTES: u64 = 512;

/// Bytes that lie in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub offset: u64,
    pub length: u32,
    pub segment: u64,
    /// Where the bytes lie in it.
    pub at: u64,
    pub crc: u32,
    /// What the whole record takes there.
    pub record_bytes: u32,
}

/// One attempt's output, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The owner.
    pub uid: Uid,
    /// Where the attempt's part of the file begins.
    pub start: u64,
    /// Its end, as last seen.
    pub size: u64,
    /// Whether that was the end of it.
    pub last: bool,
    /// The file, if it can't be told from the job; else empty.
    pub path: Box<str>,
    pub(super) extents: Vec<Extent>,
    pub(super) generation: u32,
    pub(super) at: WallTime,
    stamp: u64,
}

impl Kept {
    fn bytes(&self) -> u64 {
        ENTRY_BYTES + self.extents.iter().map(|extent| u64::from(extent.record_bytes)).sum::<u64>()
    }
}

/// How full a segment is, and with what is still wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fill {
    pub length: u64,
    pub live: u64,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    pub entries: BTreeMap<Key, Kept>,
    pub segments: BTreeMap<u64, Fill>,
    ages: BTreeMap<Uid, BTreeMap<u64, Key>>,
    owners: BTreeMap<Uid, u64>,
    stamps: u64,
}

impl Index {
    /// The generation under which a piece that says this size is to be written.
    pub fn generation(&self, key: &Key, start: u64, size: u64) -> u32 {
        self.entries.get(key).map_or(0, |entry| {
            let other = size < entry.size || start != entry.start;
            if other { entry.generation.saturating_add(1) } else { entry.generation }
        })
    }

    /// Takes a record in that lies in a segment, and lets go of what is neither head nor tail any more.
    pub fn insert(&mut self, header: &Header, segment: u64, at: u64) {
        let piece = &header.piece;
        let mut entry = self.remove(&piece.key).unwrap_or_else(|| Kept {
            uid: piece.uid,
            start: piece.start,
            size: 0,
            last: false,
            path: piece.path.as_str().into(),
            extents: Vec::new(),
            generation: header.generation,
            at: piece.at,
            stamp: 0,
        });
        if header.generation >= entry.generation {
            if header.generation > entry.generation {
                self.release(&entry.extents);
                entry.extents.clear();
            }
            entry.generation = header.generation;
            (entry.start, entry.size, entry.at) = (piece.start, piece.size, piece.at);
            entry.last = piece.last;
            let record_bytes = u32::try_from(header.record_bytes()).unwrap_or(u32::MAX);
            // Also one without bytes: it carries the end, and its segment must not go before it.
            let extent = Extent {
                offset: piece.offset,
                length: header.length,
                segment,
                at,
                crc: header.crc,
                record_bytes,
            };
            self.place(&mut entry, extent);
        }
        self.stamps += 1;
        entry.stamp = self.stamps;
        self.ages.entry(entry.uid).or_default().insert(entry.stamp, piece.key);
        *self.owners.entry(entry.uid).or_default() += entry.bytes();
        self.entries.insert(piece.key, entry);
    }

    fn place(&mut self, entry: &mut Kept, extent: Extent) {
        if let Some(fill) = self.segments.get_mut(&extent.segment) {
            fill.live += u64::from(extent.record_bytes);
        }
        let end = |one: &Extent| one.offset.saturating_add(u64::from(one.length));
        let (head_end, tail_start) =
            (entry.start.saturating_add(HEAD_BYTES), entry.size.saturating_sub(TAIL_BYTES));
        let mut gone = Vec::new();
        entry.extents.retain(|old| {
            // Within the new one, or without bytes: the new one says more.
            let same = old.offset >= extent.offset && end(old) <= end(&extent) || old.length == 0;
            let wanted = old.offset < head_end || end(old) > tail_start;
            if same || !wanted {
                gone.push(*old);
            }
            !same && wanted
        });
        self.release(&gone);
        let place = entry.extents.partition_point(|old| old.offset <= extent.offset);
        // Most have one, and there are very many.
        entry.extents.reserve_exact(1);
        entry.extents.insert(place, extent);
    }

    fn release(&mut self, extents: &[Extent]) {
        for extent in extents {
            if let Some(fill) = self.segments.get_mut(&extent.segment) {
                fill.live = fill.live.saturating_sub(u64::from(extent.record_bytes));
            }
        }
    }

    /// Takes an entry out; its extents still count in their segments.
    fn remove(&mut self, key: &Key) -> Option<Kept> {
        let entry = self.entries.remove(key)?;
        if let Some(ages) = self.ages.get_mut(&entry.uid) {
            ages.remove(&entry.stamp);
            if ages.is_empty() {
                self.ages.remove(&entry.uid);
            }
        }
        if let Some(bytes) = self.owners.get_mut(&entry.uid) {
            *bytes = bytes.saturating_sub(entry.bytes());
            if *bytes == 0 {
                self.owners.remove(&entry.uid);
            }
        }
        Some(entry)
    }

    /// Forgets an entry.
    pub fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.remove(key) {
            self.release(&entry.extents);
        }
    }

    /// Forgets a user's oldest entries until he has at most so many bytes.
    pub fn hold_quota(&mut self, uid: Uid, bytes_max: u64) {
        while self.owners.get(&uid).is_some_and(|bytes| *bytes > bytes_max) {
            if !self.forget_oldest_of(uid) {
                return;
            }
        }
    }

    /// Forgets the oldest entry of whoever has the most. `false`: there is none.
    pub fn forget_oldest(&mut self) -> bool {
        let most = self.owners.iter().max_by_key(|(_, bytes)| **bytes).map(|(uid, _)| *uid);
        most.is_some_and(|uid| self.forget_oldest_of(uid))
    }

    fn forget_oldest_of(&mut self, uid: Uid) -> bool {
        let Some((_, key)) = self.ages.get(&uid).and_then(BTreeMap::first_key_value) else { return false };
        let key = *key;
        self.forget(&key);
        true
    }

    /// The entries last written before then.
    pub fn older_than(&self, at: WallTime) -> Vec<Key> {
        self.entries.iter().filter(|(_, entry)| entry.at < at).map(|(key, _)| *key).collect()
    }

    /// The segment is not there any more, nor what was in it.
    pub fn drop_segment(&mut self, segment: u64) {
        if let Some(fill) = self.segments.get_mut(&segment) {
            fill.live = 0;
        }
    }

    /// All bytes that count against quotas.
    pub fn bytes(&self) -> u64 {
        self.owners.values().sum()
    }

    /// Segments that hold nothing wanted, `active` apart.
    pub fn empty(&self, active: Option<u64>) -> BTreeSet<u64> {
        let empty = self.segments.iter().filter(|(id, fill)| fill.live == 0 && Some(**id) != active);
        empty.map(|(id, _)| *id).collect()
    }
}
