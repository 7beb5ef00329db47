//! The file that is being written, and the space allocated ahead of what is written.

use super::segment::{self, HEADER_BYTES, Header};
use super::{FOLDER, Limits};
use crate::store::disk::{Disk, DiskError, DiskFile};
use crate::store::log::LogError;

/// The file that becomes the next segment.
pub const SPARE_FILE: &str = "journal/spare";

/// The current segment's file, and the next one's as far as there is one.
pub struct Space {
    current: Room,
    spare: Option<Room>,
}

/// A file with some allocated space left.
struct Room {
    file: Box<dyn DiskFile>,
    /// Where the next byte goes.
    written_bytes: u64,
    /// How much is allocated.
    allocated_bytes: u64,
}

impl Space {
    /// Goes on in `file`, which holds `written_bytes` of the `allocated_bytes` that it has.
    pub fn new(file: Box<dyn DiskFile>, written_bytes: u64, allocated_bytes: u64) -> Space {
        Space { current: Room { file, written_bytes, allocated_bytes }, spare: None }
    }

    /// How many bytes of frames certainly fit, however they are cut. A frame that does not fit into the rest of
    /// the current file goes to the spare one, and so does everything after it; so it is the larger of the two.
    pub fn certain_bytes(&self) -> u64 {
        let spare = self.spare.as_ref().map_or(0, |spare| spare.left().saturating_sub(HEADER_BYTES));
        self.current.left().max(spare)
    }

    /// Whether the current file takes `needed` bytes more, after allocating more if it may.
    pub fn fits(&mut self, limits: &Limits, needed: u64) -> Result<bool, LogError> {
        if self.current.left() < needed && self.current.written_bytes + needed <= limits.segment_bytes {
            let end = self.current.written_bytes + needed;
            grow_or_stay(&mut self.current, limits, end)?;
        }
        // If the disk said no within the segment's limit, a spare that is large enough still helps.
        Ok(self.current.left() >= needed)
    }

    /// Adds bytes to the current file; they must fit.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.current.file.write_at(self.current.written_bytes, bytes)?;
        self.current.written_bytes += bytes.len() as u64;
        Ok(())
    }

    /// Bytes in the current file.
    pub fn written_bytes(&self) -> u64 {
        self.current.written_bytes
    }

    /// Makes the current file durable.
    pub fn sync(&mut self) -> Result<(), DiskError> {
        self.current.file.sync_data()
    }

    /// Allocates ahead, as far as the disk has room: first in the current segment, then in the spare one.
    pub fn keep_ahead(&mut self, disk: &dyn Disk, limits: &Limits) -> Result<(), DiskError> {
        if self.certain_bytes() >= limits.ahead_bytes {
            return Ok(());
        }
        let end = self.current.written_bytes + limits.ahead_bytes;
        if end <= limits.segment_bytes {
            return grow_or_stay(&mut self.current, limits, end);
        }
        let wanted = (HEADER_BYTES + limits.ahead_bytes).min(limits.segment_bytes);
        match self.spare(disk) {
            Ok(spare) => grow_or_stay(spare, limits, wanted),
            Err(error) if error.is_no_room() => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that the spare file takes a header and `needed` bytes.
    ///
    /// # Errors
    /// [`LogError::NoRoom`], and then nothing has changed.
    pub fn prepare_spare(&mut self, disk: &dyn Disk, limits: &Limits, needed: u64) -> Result<(), LogError> {
        let end = HEADER_BYTES + needed;
        let no_room = |error: DiskError| match error.is_no_room() {
            true => LogError::NoRoom { bytes: needed },
            false => LogError::Disk(error),
        };
        let spare = self.spare(disk).map_err(no_room)?;
        grow_or_stay(spare, limits, end)?;
        if spare.allocated_bytes < end { Err(LogError::NoRoom { bytes: needed }) } else { Ok(()) }
    }

    /// Makes the spare file the current one, durably, under the name that `header` gives it. Gives where the old
    /// one ended and how long its file is now.
    pub fn begin(&mut self, disk: &dyn Disk, header: &Header) -> Result<(u64, u64), LogError> {
        let mut next = self.spare.take().ok_or(LogError::NotOpen)?;
        let bytes = header.encode();
        next.file.write_at(0, &bytes)?;
        next.written_bytes = HEADER_BYTES;
        next.file.sync_data()?;
        disk.rename(SPARE_FILE, &segment::path(header.sequence))?;
        disk.sync_folder(FOLDER)?;
        let mut old = std::mem::replace(&mut self.current, next);
        // The rest of what was allocated for it goes back.
        old.file.truncate(old.written_bytes)?;
        Ok((old.written_bytes, old.written_bytes))
    }

    fn spare(&mut self, disk: &dyn Disk) -> Result<&mut Room, DiskError> {
        match &mut self.spare {
            Some(spare) => Ok(spare),
            none => {
                let file = disk.create(SPARE_FILE)?;
                Ok(none.insert(Room { file, written_bytes: 0, allocated_bytes: 0 }))
            }
        }
    }
}

impl Room {
    fn left(&self) -> u64 {
        self.allocated_bytes.saturating_sub(self.written_bytes)
    }
}

/// Allocates in chunks until `end` is reached; if the disk has no room for that, just up to `end`; if not even
/// that, as it was. The new length is made durable here, so that later syncs write data alone.
fn grow_or_stay(room: &mut Room, limits: &Limits, end: u64) -> Result<(), DiskError> {
    if room.allocated_bytes >= end {
        return Ok(());
    }
    let chunk = limits.chunk_bytes.max(1);
    let rounded = end.div_ceil(chunk).saturating_mul(chunk).min(limits.segment_bytes).max(end);
    for target in [rounded, end] {
        match room.file.allocate(room.allocated_bytes, target - room.allocated_bytes) {
            Ok(()) => {
                room.allocated_bytes = target;
                return room.file.sync_data();
            }
            Err(error) if error.is_no_room() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
