//! Head and tail of what tasks have written, so that it outlives node and file: in packed segments, with checksums.
//!
//! What [`OutputStore::keep`] has taken is durable when it returns; one sync makes any number of pieces so. The
//! segments are the only thing on disk; what lies where is read from their headers at each start. Each user has a
//! quota, all together have a bound: beyond either the oldest go first. A segment goes when nothing in it is wanted
//! any more; one that is mostly unwanted is written anew.

mod index;
mod record;
mod segments;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use index::{ENTRY_BYTES, Kept};
pub use record::{Key, PIECE_BYTES_MAX, Piece};
pub use segments::{Survey, copy, survey};

use index::{Extent, Index};
use segments::Writer;

use super::disk::{Access, Disk, DiskError};
use crate::model::ids::{Attempt, NodeId, Uid};
use crate::model::time::WallTime;

/// Where the segments are.
pub const FOLDER: &str = "output";
/// So many bytes from the beginning of each attempt's output are kept.
pub const HEAD_BYTES: u64 = 64 << 10;
/// And so many up to its end.
pub const TAIL_BYTES: u64 = 1 << 20;
/// Usually a user may have so many bytes here.
pub const USER_BYTES_MAX: u64 = 256 << 20;
/// Usually all together have so many at most.
pub const ALL_BYTES_MAX: u64 = 2 << 30;
/// Usually the output of so many attempts is kept at most, which takes about 400 bytes of memory for each.
pub const ENTRIES_MAX: usize = 1 << 18;
/// An attempt's output that lies in more pieces than this is written anew in one.
pub const PIECES_MAX: usize = 64;
/// Bytes of a segment.
pub const SEGMENT_BYTES: u64 = 8 << 20;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of each user.
    pub user_bytes: u64,
    /// In all.
    pub all_bytes: u64,
    /// Attempts' outputs in all.
    pub entries: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { user_bytes: USER_BYTES_MAX, all_bytes: ALL_BYTES_MAX, entries: ENTRIES_MAX }
    }
}

/// The kept output of one state folder. May be shared between threads; one at a time writes.
pub struct OutputStore {
    disk: Arc<dyn Disk>,
    limits: Limits,
    index: Mutex<Index>,
    writer: Mutex<Writer>,
}

impl OutputStore {
    /// Opens the folder, makes it if needed, and reads what lies where. Damaged records are passed over.
    ///
    /// # Errors
    /// What the disk said.
    pub fn open(disk: Arc<dyn Disk>, limits: Limits) -> Result<OutputStore, DiskError> {
        disk.make_folder(FOLDER)?;
        let mut index = Index::default();
        let writer = Writer::open(&*disk, &mut index)?;
        let uids: Vec<Uid> = {
            let mut uids: Vec<Uid> = index.entries.values().map(|entry| entry.uid).collect();
            uids.sort_unstable();
            uids.dedup();
            uids
        };
        uids.into_iter().for_each(|uid| index.hold_quota(uid, limits.user_bytes));
        let store = OutputStore { disk, limits, index: Mutex::new(index), writer: Mutex::new(writer) };
        store.tidy(&mut lock(&store.writer))?;
        Ok(store)
    }

    /// Keeps pieces; durable when it returns.
    ///
    /// # Errors
    /// Without room the disk stays usable ([`DiskError::NoRoom`]) and nothing of this call is kept; any other failure
    /// of the disk ends its use.
    pub fn keep(&self, pieces: &[Piece]) -> Result<(), DiskError> {
        let mut writer = lock(&self.writer);
        let generations = generations(&lock(&self.index), pieces);
        let written = match writer.append(&*self.disk, &self.index, pieces, &generations) {
            Err(error) if error.is_no_room() => {
                // Room is made by letting go of the oldest; whoever sent this sends it again.
                self.make_room(&mut writer)?;
                return Err(error);
            }
            other => other?,
        };
        let mut index = lock(&self.index);
        for (header, segment, at) in &written {
            index.insert(header, *segment, *at);
        }
        let mut uids: Vec<Uid> = pieces.iter().map(|piece| piece.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        uids.into_iter().for_each(|uid| index.hold_quota(uid, self.limits.user_bytes));
        drop(index);
        for piece in pieces {
            match self.join(&mut writer, piece.key) {
                // It only saves something; what it would join is kept.
                Err(error) if error.is_no_room() => break,
                other => other?,
            }
        }
        self.tidy(&mut writer)
    }

    /// Makes few pieces of many.
    fn join(&self, writer: &mut Writer, key: Key) -> Result<(), DiskError> {
        let Some(kept) = self.find(&key).filter(|kept| kept.extents.len() > PIECES_MAX) else {
            return Ok(());
        };
        let (mut pieces, mut from) = (Vec::new(), 0);
        loop {
            let (offset, bytes) = self.read(&kept, from, u64::MAX, PIECE_BYTES_MAX)?;
            if bytes.is_empty() {
                break;
            }
            from = offset.saturating_add(bytes.len() as u64);
            let Kept { uid, start, size, last, at, .. } = kept;
            let path = kept.path.to_string();
            pieces.push(Piece { key, uid, start, offset, size, last, at, path, bytes });
        }
        let generations = vec![kept.generation; pieces.len()];
        let written = writer.append(&*self.disk, &self.index, &pieces, &generations)?;
        let mut index = lock(&self.index);
        for (header, segment, at) in &written {
            index.insert(header, *segment, *at);
        }
        Ok(())
    }

    /// What is kept under a key.
    pub fn find(&self, key: &Key) -> Option<Kept> {
        lock(&self.index).entries.get(key).cloned()
    }

    /// Where the next attempt began that is kept of the same file on the same node: what comes from there on in a file that
    /// both appended to is not the earlier one's.
    pub fn next_start(&self, key: &Key) -> Option<u64> {
        let low =
            Key { attempt: Attempt(key.attempt.0.saturating_add(1)), node: NodeId(0), error: false, ..*key };
        let high = Key { attempt: Attempt(u32::MAX), node: NodeId(u32::MAX), error: true, ..*key };
        let index = lock(&self.index);
        let mut later = index.entries.range(low..=high);
        later.find(|(one, _)| one.node == key.node && one.error == key.error).map(|(_, kept)| kept.start)
    }

    /// The first kept bytes at or after `offset` and before `end`, at most `bytes_max`, and where they begin. Empty:
    /// there are none.
    ///
    /// # Errors
    /// What the disk said; bytes that are damaged count as not kept.
    pub fn read(
        &self,
        kept: &Kept,
        offset: u64,
        end: u64,
        bytes_max: usize,
    ) -> Result<(u64, Vec<u8>), DiskError> {
        let (mut begin, mut bytes) = (offset, Vec::new());
        for extent in &kept.extents {
            let next = begin.saturating_add(bytes.len() as u64);
            let stop = extent.offset.saturating_add(u64::from(extent.length)).min(end);
            if stop <= next || bytes.len() >= bytes_max {
                continue;
            }
            if extent.offset > next {
                if !bytes.is_empty() {
                    break;
                }
                begin = extent.offset;
            }
            let Some(all) = self.fetch(extent)? else { continue };
            let from = begin.saturating_add(bytes.len() as u64).saturating_sub(extent.offset);
            let wanted = stop.saturating_sub(extent.offset);
            let (from, to) = (usize::try_from(from), usize::try_from(wanted));
            if let (Ok(from), Ok(to)) = (from, to) {
                bytes.extend_from_slice(all.get(from..to).unwrap_or_default());
            }
        }
        bytes.truncate(bytes_max);
        Ok((begin, bytes))
    }

    /// Forgets what was last added to before then.
    ///
    /// # Errors
    /// What the disk said.
    pub fn forget_before(&self, at: WallTime) -> Result<(), DiskError> {
        let mut writer = lock(&self.writer);
        let mut index = lock(&self.index);
        for key in index.older_than(at) {
            index.forget(&key);
        }
        drop(index);
        self.tidy(&mut writer)
    }

    /// How many bytes count as kept, and how many the segments have.
    pub fn usage(&self) -> (u64, u64) {
        let index = lock(&self.index);
        (index.bytes(), index.segments.values().map(|fill| fill.length).sum())
    }

    /// The bytes of an extent; `None` if they are damaged or gone.
    fn fetch(&self, extent: &Extent) -> Result<Option<Vec<u8>>, DiskError> {
        let file = match self.disk.open(&segments::path(extent.segment), Access::Read) {
            Err(DiskError::Missing { .. }) => return Ok(None),
            other => other?,
        };
        let mut bytes = vec![0; extent.length as usize];
        let got = file.read_at(extent.at, &mut bytes)?;
        Ok((got == bytes.len() && crc32fast::hash(&bytes) == extent.crc).then_some(bytes))
    }

    /// Removes empty segments, writes a mostly unwanted one anew, and keeps the whole within its bound.
    fn tidy(&self, writer: &mut Writer) -> Result<(), DiskError> {
        {
            let mut index = lock(&self.index);
            while index.entries.len() > self.limits.entries && index.forget_oldest() {}
        }
        loop {
            writer.remove_empty(&*self.disk, &self.index)?;
            // Apart: the guard would live through the block, and the block locks again.
            let unwanted = writer.mostly_unwanted(&lock(&self.index));
            if let Some(segment) = unwanted {
                match self.rewrite(writer, segment) {
                    Err(error) if error.is_no_room() => {
                        if !lock(&self.index).forget_oldest() {
                            return Ok(());
                        }
                    }
                    other => other?,
                }
                continue;
            }
            let (_, length) = self.usage();
            if length <= self.limits.all_bytes || !lock(&self.index).forget_oldest() {
                return Ok(());
            }
        }
    }

    fn make_room(&self, writer: &mut Writer) -> Result<(), DiskError> {
        let (_, before) = self.usage();
        while self.usage().1.saturating_add(SEGMENT_BYTES) > before {
            if !lock(&self.index).forget_oldest() {
                break;
            }
            writer.remove_empty(&*self.disk, &self.index)?;
        }
        Ok(())
    }

    /// Copies what is wanted of a segment to the end, and removes it.
    fn rewrite(&self, writer: &mut Writer, segment: u64) -> Result<(), DiskError> {
        let mut pieces = Vec::new();
        let mut generations = Vec::new();
        for (header, at) in segments::headers(&*self.disk, segment)? {
            let key = header.piece.key;
            let Some(kept) = self.find(&key) else { continue };
            let Some(extent) = kept.extents.iter().find(|one| (one.segment, one.at) == (segment, at)) else {
                continue;
            };
            let bytes = self.fetch(extent)?.unwrap_or_default();
            let Kept { uid, start, size, last, at, generation, .. } = kept;
            let (offset, path) = (extent.offset, kept.path.to_string());
            pieces.push(Piece { key, uid, start, offset, size, last, at, path, bytes });
            generations.push(generation);
        }
        let written = writer.append(&*self.disk, &self.index, &pieces, &generations)?;
        let mut index = lock(&self.index);
        for (header, new, at) in &written {
            index.insert(header, *new, *at);
        }
        // What could not be read there is gone.
        index.drop_segment(segment);
        Ok(())
    }
}

/// The generations of pieces of one call: a later one may be of the same file.
fn generations(index: &Index, pieces: &[Piece]) -> Vec<u32> {
    let mut seen: std::collections::BTreeMap<Key, (u64, u64, u32)> = std::collections::BTreeMap::new();
    let of =
        |piece: &Piece, seen: &std::collections::BTreeMap<Key, (u64, u64, u32)>| match seen.get(&piece.key) {
            Some((start, size, generation)) => {
                let other = piece.size < *size || piece.start != *start;
                if other { generation.saturating_add(1) } else { *generation }
            }
            None => index.generation(&piece.key, piece.start, piece.size),
        };
    let mut generations = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let generation = of(piece, &seen);
        seen.insert(piece.key, (piece.start, piece.size, generation));
        generations.push(generation);
    }
    generations
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves what is behind these locks whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
