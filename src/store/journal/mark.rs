//! The durable mark: up to where the journal is known to be durable, so that a journal that ends earlier is damage.
//!
//! A small file of its own with two slots, overwritten after each sync of the journal and not synced itself. Only
//! the hot slot is overwritten; the other one has been synced. They change roles every [`SETTLE_EVERY`] writes,
//! after a sync. So a crash can tear one slot at most, and an older mark is still a true one.
//!
//! A slot, little-endian: `jsmk`, version (2), zero (2), incarnation (16), position (8), CRC of that frame (4),
//! CRC-32 over the slot so far (4).

use super::MARK_FILE;
use crate::model::ids::{Incarnation, Position};
use crate::store::disk::{Access, Disk, DiskError, DiskFile};
use crate::store::frame::field;
use crate::store::log::{Damage, LogError};

/// The version written, and the highest one read.
pub const VERSION: u16 = 1;
/// Bytes of a slot that mean something.
pub const SLOT_BYTES: usize = 40;
/// How many overwrites the hot slot takes until the file is synced and the slots change roles.
pub const SETTLE_EVERY: u32 = 1024;

const MAGIC: [u8; 4] = *b"jsmk";
/// Each slot has a page of its own, so that writing one never touches the other.
const SLOT_STRIDE_BYTES: u64 = 4096;
const SLOTS: usize = 2;

/// Groups up to `position` are durable, and the frame of that position has this CRC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The last durable group known of.
    pub position: Position,
    /// The CRC of its frame, 0 if there is none yet.
    pub crc: u32,
}

impl Mark {
    /// The bytes of a slot.
    pub fn encode(&self) -> [u8; SLOT_BYTES] {
        let mut slot = Vec::with_capacity(SLOT_BYTES);
        slot.extend_from_slice(&MAGIC);
        slot.extend_from_slice(&VERSION.to_le_bytes());
        slot.extend_from_slice(&0u16.to_le_bytes());
        slot.extend_from_slice(&self.incarnation.0);
        slot.extend_from_slice(&self.position.0.to_le_bytes());
        slot.extend_from_slice(&self.crc.to_le_bytes());
        let own = crc32fast::hash(&slot);
        slot.extend_from_slice(&own.to_le_bytes());
        let mut bytes = [0; SLOT_BYTES];
        bytes.iter_mut().zip(slot).for_each(|(to, from)| *to = from);
        bytes
    }

    /// Reads a slot: `None` if it is torn or damaged, the version alone if it is a later one.
    pub fn decode(slot: &[u8]) -> Option<Result<Mark, u16>> {
        let slot = slot.get(..SLOT_BYTES)?;
        let own = u32::from_le_bytes(field(slot, SLOT_BYTES - 4).ok()?);
        if slot.get(..MAGIC.len())? != MAGIC || crc32fast::hash(slot.get(..SLOT_BYTES - 4)?) != own {
            return None;
        }
        let version = u16::from_le_bytes(field(slot, 4).ok()?);
        if version > VERSION {
            return Some(Err(version));
        }
        Some(Ok(Mark {
            incarnation: Incarnation(field(slot, 8).ok()?),
            position: Position(u64::from_le_bytes(field(slot, 24).ok()?)),
            crc: u32::from_le_bytes(field(slot, 32).ok()?),
        }))
    }
}

/// Reads the newest whole mark, and which slot it stands in.
pub fn load(disk: &dyn Disk) -> Result<(Mark, usize), LogError> {
    let file = match disk.open(MARK_FILE, Access::Read) {
        Err(DiskError::Missing { .. }) => return Err(damage(0, "the file is not there").into()),
        other => other?,
    };
    let mut newest: Option<(Mark, usize)> = None;
    for slot in 0..SLOTS {
        let mut bytes = [0; SLOT_BYTES];
        let offset = slot as u64 * SLOT_STRIDE_BYTES;
        file.read_at(offset, &mut bytes)?;
        match Mark::decode(&bytes) {
            Some(Ok(mark)) if newest.is_none_or(|(other, _)| other.position <= mark.position) => {
                newest = Some((mark, slot));
            }
            Some(Err(found)) => {
                return Err(LogError::Newer { file: MARK_FILE.to_owned(), offset, found, known: VERSION });
            }
            _ => {}
        }
    }
    newest.ok_or_else(|| damage(0, "neither of its two slots is whole").into())
}

/// The mark file, open for overwriting.
pub struct MarkFile {
    file: Box<dyn DiskFile>,
    hot: usize,
    writes: u32,
}

impl MarkFile {
    /// Makes the file with `mark` in both slots. The caller syncs the folder.
    pub fn create(disk: &dyn Disk, mark: &Mark) -> Result<MarkFile, DiskError> {
        let mut file = disk.create(MARK_FILE)?;
        file.allocate(0, SLOTS as u64 * SLOT_STRIDE_BYTES)?;
        for slot in 0..SLOTS {
            file.write_at(slot as u64 * SLOT_STRIDE_BYTES, &mark.encode())?;
        }
        file.sync_data()?;
        Ok(MarkFile { file, hot: 0, writes: 0 })
    }

    /// Opens the file in which `load` found `mark` in slot `newest`, and makes that mark durable: it may have
    /// been seen in the page cache only, and the other slot is overwritten next.
    pub fn open(disk: &dyn Disk, mark: &Mark, newest: usize) -> Result<MarkFile, DiskError> {
        let file = disk.open(MARK_FILE, Access::Write)?;
        let mut marks = MarkFile { file, hot: newest, writes: 0 };
        marks.write(mark)?;
        marks.settle()?;
        Ok(marks)
    }

    /// Overwrites the hot slot, and settles now and then.
    pub fn write(&mut self, mark: &Mark) -> Result<(), DiskError> {
        self.file.write_at(self.hot as u64 * SLOT_STRIDE_BYTES, &mark.encode())?;
        self.writes += 1;
        if self.writes >= SETTLE_EVERY { self.settle() } else { Ok(()) }
    }

    /// Makes the last mark durable; the other slot is the hot one from now on.
    pub fn settle(&mut self) -> Result<(), DiskError> {
        if self.writes > 0 {
            self.file.sync_data()?;
            self.hot = (self.hot + 1) % SLOTS;
            self.writes = 0;
        }
        Ok(())
    }
}

fn damage(offset: u64, what: &str) -> Damage {
    Damage { file: MARK_FILE.to_owned(), offset, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::memory::MemoryDisk;

    const GOLDEN: &[u8] = include_bytes!("../../../tests/golden/store-mark-1.bin");

    fn mark(position: u64) -> Mark {
        Mark { incarnation: Incarnation([0xab; 16]), position: Position(position), crc: 0xdead_beef }
    }

    #[test]
    fn old_marks_are_read_for_ever_and_any_bit_is_seen() {
        assert_eq!(Mark::decode(GOLDEN), Some(Ok(mark(7))));
        assert_eq!(mark(7).encode(), GOLDEN);
        for bit in 0..SLOT_BYTES * 8 {
            let mut bytes = GOLDEN.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::decode(&bytes), None, "bit {bit}");
        }
    }

    #[test]
    fn no_crash_takes_back_more_than_the_unsettled_writes() {
        for seed in 0..100 {
            let disk = MemoryDisk::new();
            let mut marks = MarkFile::create(&disk, &mark(1)).unwrap();
            disk.sync_folder("journal").unwrap();
            (2..20).for_each(|position| marks.write(&mark(position)).unwrap());
            marks.settle().unwrap();
            (20..30).for_each(|position| marks.write(&mark(position)).unwrap());
            // With the process alone gone, the newest mark is seen, though it is in the cache only.
            let disk = if seed % 2 == 0 { disk.crash(seed) } else { disk.restart() };
            let (found, slot) = load(&disk).unwrap();
            assert!((19..30).contains(&found.position.0), "{found:?}");
            // What is taken up again is settled first, so the next crash does no harm either.
            let mut marks = MarkFile::open(&disk, &found, slot).unwrap();
            marks.write(&mark(31)).unwrap();
            let (after, _) = load(&disk.crash(seed)).unwrap();
            assert!(after == found || after == mark(31), "{after:?}");
        }
    }
}
