//! The journal: the log of one controller, in segment files on its own disk, and the truth about the queue.
//!
//! `journal/` holds the segments `0000000001.seg` and so on, the two-slot `mark` (see [`mark`]), and `spare`, a
//! segment to be, allocated ahead so that the lack of room is found before a group is decided. Opening begins a new
//! segment and copies into it what lies behind the mark: that may be in the page cache only, and a later sync of
//! the same file would not bring it to the disk. Whatever fails on the way to the disk ends this journal for good;
//! the next process finds out by opening it.

pub mod mark;
mod opening;
mod reading;
pub mod segment;
mod space;
pub mod survey;

use std::sync::Arc;

use self::mark::{Mark, MarkFile};
use self::reading::Reading;
use self::segment::{Header, Link};
use self::space::Space;
use self::survey::Extent;
use super::disk::{Disk, DiskError};
use super::frame::{self, Frame, OVERHEAD_BYTES};
use super::log::{
    Claim, Damage, Durability, Groups, Log, LogError, Opened, PAYLOAD_BYTES_MAX, ROOM_GROUPS, Room,
};
use crate::model::bug::{self, Bug};
use crate::model::ids::{Epoch, Incarnation, Position};

/// Where the segments are.
pub const FOLDER: &str = "journal";
/// Where the mark is.
pub const MARK_FILE: &str = "journal/mark";

/// Up to this capacity the buffer in which frames are built is kept.
const BUFFER_BYTES_KEPT: usize = 1024 * 1024;

/// How a journal uses space, in bytes. The default is what daemons use; tests take less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most that a segment file may have.
    pub segment_bytes: u64,
    /// How much is allocated at a time.
    pub chunk_bytes: u64,
    /// How much is kept allocated ahead.
    pub ahead_bytes: u64,
    /// Below this, [`Room::Reserve`] is given: room for what is on its way and for what frees space.
    pub reserve_bytes: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        const MIB: u64 = 1024 * 1024;
        // 16 MiB may be undurable at any time; 4 MiB more take cancels and ends.
        Limits {
            segment_bytes: 64 * MIB,
            chunk_bytes: 16 * MIB,
            ahead_bytes: 24 * MIB,
            reserve_bytes: 20 * MIB,
        }
    }
}

/// The [`Log`] on one disk.
pub struct Journal {
    disk: Arc<dyn Disk>,
    limits: Limits,
    state: Option<State>,
}

/// What an open journal knows.
struct State {
    incarnation: Incarnation,
    epoch: Epoch,
    /// The segments before the current one.
    closed: Vec<Extent>,
    /// Header of the current one.
    header: Header,
    space: Space,
    /// The last frame written.
    appended: Link,
    /// The last frame known to be durable.
    durable: Link,
    marks: MarkFile,
    buffer: Vec<u8>,
}

impl Journal {
    /// The journal on `disk`, not open yet.
    pub fn new(disk: Arc<dyn Disk>) -> Journal {
        Journal::with_limits(disk, Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(disk: Arc<dyn Disk>, limits: Limits) -> Journal {
        Journal { disk, limits, state: None }
    }

    /// Makes an empty journal, durably. Part of `init`, before the cluster file; what an interrupted one left is
    /// replaced.
    ///
    /// # Errors
    /// [`LogError::Exists`] if there is one that holds groups.
    pub fn create(disk: &dyn Disk, incarnation: Incarnation) -> Result<(), LogError> {
        opening::create(disk, incarnation)
    }

    /// About how many bytes lie behind `position`, whole segments counted.
    pub fn bytes_behind(&self, position: Position) -> u64 {
        let Some(state) = &self.state else { return 0 };
        let closed = state.closed.iter().filter(|extent| extent.last.last > position);
        closed.map(|extent| extent.end_offset).sum::<u64>() + state.space.written_bytes()
    }

    /// The same, but it goes on behind `after`, which an export holds, and in terms above `epoch`.
    ///
    /// # Errors
    /// [`LogError::Exists`] if there is one that holds groups.
    pub fn create_behind(
        disk: &dyn Disk,
        incarnation: Incarnation,
        epoch: Epoch,
        after: Position,
    ) -> Result<(), LogError> {
        opening::create_behind(disk, incarnation, epoch, after)
    }

    /// Removes the journal on `disk`, for one that is made anew.
    ///
    /// # Errors
    /// The disk.
    pub fn discard(disk: &dyn Disk) -> Result<(), DiskError> {
        for name in disk.list(FOLDER)? {
            disk.remove(&format!("{FOLDER}/{name}"))?;
        }
        disk.sync_folder(FOLDER)
    }

    /// The groups of a journal that is not open, from the first one at or behind `from` on, as far as they are whole;
    /// nothing is changed. Also gives what is wrong with it.
    ///
    /// # Errors
    /// That it can't be read at all.
    pub fn peek(disk: &dyn Disk, from: Position) -> Result<(Groups<'_>, Vec<Damage>), LogError> {
        let found = match survey::survey(disk) {
            Err(LogError::Damage(damage)) if damage.file == MARK_FILE => {
                let mut found = survey::survey_without_mark(disk)?;
                found.damages.push(damage);
                found
            }
            other => other?,
        };
        let headers: Vec<Header> = found.extents.iter().map(|extent| extent.header).collect();
        let skip = headers.iter().filter(|header| header.first <= from).count().saturating_sub(1);
        let from = from.max(found.start());
        let headers = headers.into_iter().skip(skip).collect();
        Ok((Box::new(Reading::new(disk, headers, from, found.end().last)), found.damages))
    }

    fn state(&mut self) -> Result<&mut State, LogError> {
        self.state.as_mut().ok_or(LogError::NotOpen)
    }

    /// Does `work`; after a failure of the disk, other than a lack of room, the journal is dead.
    fn or_die<T>(
        &mut self,
        work: impl FnOnce(&mut State, &dyn Disk, &Limits) -> Result<T, LogError>,
    ) -> Result<T, LogError> {
        let disk = self.disk.clone();
        let limits = self.limits;
        let outcome = work(self.state()?, &*disk, &limits);
        if matches!(&outcome, Err(LogError::Disk(error)) if !error.is_no_room()) {
            self.state = None;
        }
        outcome
    }
}

impl Log for Journal {
    fn open(&mut self, claim: Claim) -> Result<Opened, LogError> {
        self.state = None;
        let (state, opened) = opening::open(&*self.disk, &self.limits, claim)?;
        self.state = Some(state);
        Ok(opened)
    }

    fn append(&mut self, epoch: Epoch, position: Position, payload: &[u8]) -> Result<(), LogError> {
        self.or_die(|state, disk, limits| state.append(disk, limits, epoch, position, payload))
    }

    fn sync(&mut self) -> Result<(), LogError> {
        self.or_die(|state, disk, limits| state.sync(disk, limits))
    }

    fn poll(&self) -> Durability {
        self.state.as_ref().map_or(Durability::Unknown, |state| Durability::Durable(state.durable.last))
    }

    fn read(&mut self, from: Position) -> Result<Groups<'_>, LogError> {
        let disk = &*self.disk;
        let state = self.state.as_ref().ok_or(LogError::NotOpen)?;
        let start = state.closed.first().map_or(state.header.first, |extent| extent.header.first);
        if from < start {
            return Err(LogError::Trimmed { start, asked: from });
        }
        let firsts = state.closed.iter().map(|extent| extent.header).chain([state.header]);
        // The last segment that begins at or before `from` holds it, if anything does.
        let skip = firsts.clone().filter(|header| header.first <= from).count().saturating_sub(1);
        let headers: Vec<Header> = firsts.skip(skip).collect();
        Ok(Box::new(Reading::new(disk, headers, from, state.durable.last)))
    }

    fn room(&mut self) -> Result<Room, LogError> {
        self.or_die(|state, disk, limits| {
            state.space.keep_ahead(disk, limits)?;
            let overhead = ROOM_GROUPS * OVERHEAD_BYTES as u64;
            let bytes = state.space.certain_bytes();
            let payload = bytes.saturating_sub(overhead);
            Ok(if bytes < limits.reserve_bytes { Room::Reserve(payload) } else { Room::Enough(payload) })
        })
    }

    fn trim(&mut self, before: Position) -> Result<(), LogError> {
        self.or_die(|state, disk, _| state.trim(disk, before))
    }

    fn close(&mut self) -> Result<(), LogError> {
        self.sync()?;
        self.or_die(|state, _, _| Ok(state.marks.settle()?))?;
        self.state = None;
        Ok(())
    }
}

impl State {
    fn append(
        &mut self,
        disk: &dyn Disk,
        limits: &Limits,
        epoch: Epoch,
        position: Position,
        payload: &[u8],
    ) -> Result<(), LogError> {
        if epoch != self.epoch {
            return Err(LogError::Deposed { given: epoch, current: self.epoch });
        }
        let expected = Position(self.appended.last.0 + 1);
        if position != expected {
            return Err(LogError::OutOfOrder { expected, given: position });
        }
        let most = PAYLOAD_BYTES_MAX.min(usize::try_from(limits.largest_payload()).unwrap_or(usize::MAX));
        if payload.len() > most {
            return Err(LogError::TooLarge { bytes: payload.len(), most });
        }
        let needed = (payload.len() + OVERHEAD_BYTES) as u64;
        if !self.space.fits(limits, needed)? {
            self.roll(disk, limits, needed)?;
        }
        self.buffer.clear();
        let frame = Frame {
            incarnation: self.incarnation,
            epoch,
            position,
            durable: self.durable.last,
            previous: self.appended.crc,
            payload,
        };
        let crc = frame::encode(&frame, &mut self.buffer);
        self.space.write(&self.buffer)?;
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
        self.appended = Link { last: position, crc, epoch };
        Ok(())
    }

    /// Closes the current segment and begins the next one with at least `needed` bytes behind its header.
    fn roll(&mut self, disk: &dyn Disk, limits: &Limits, needed: u64) -> Result<(), LogError> {
        self.space.prepare_spare(disk, limits, needed)?;
        // A segment is whole and durable before the next one says so.
        self.settle_appended()?;
        let header = Header {
            sequence: self.header.sequence + 1,
            epoch: self.epoch,
            first: Position(self.appended.last.0 + 1),
            previous: self.appended.crc,
            ..self.header
        };
        let (end_offset, file_bytes) = self.space.begin(disk, &header)?;
        self.closed.push(Extent { header: self.header, last: self.appended, end_offset, file_bytes });
        self.header = header;
        Ok(())
    }

    fn sync(&mut self, disk: &dyn Disk, limits: &Limits) -> Result<(), LogError> {
        if self.durable.last == self.appended.last {
            return Ok(());
        }
        self.settle_appended()?;
        self.space.keep_ahead(disk, limits)?;
        Ok(())
    }

    /// Syncs what was appended and moves the mark behind it.
    fn settle_appended(&mut self) -> Result<(), LogError> {
        if self.durable.last == self.appended.last {
            return Ok(());
        }
        if !bug::is_made(Bug::SkipSync) {
            self.space.sync()?;
        }
        self.durable = self.appended;
        let Link { last: position, crc, .. } = self.durable;
        self.marks.write(&Mark { incarnation: self.incarnation, position, crc })?;
        Ok(())
    }

    fn trim(&mut self, disk: &dyn Disk, before: Position) -> Result<(), LogError> {
        // A mark older than the start of the journal would be damage.
        self.marks.settle()?;
        loop {
            let next = self.closed.get(1).map_or(self.header.first, |extent| extent.header.first);
            let Some(oldest) =
                self.closed.first().filter(|_| next <= before && next.0 <= self.durable.last.0 + 1)
            else {
                return Ok(());
            };
            disk.remove(&oldest.path())?;
            // One at a time: a crash must not keep an older one and lose a newer one.
            disk.sync_folder(FOLDER)?;
            self.closed.remove(0);
        }
    }
}

impl Limits {
    /// The most bytes of payload that fit into a segment of their own.
    fn largest_payload(&self) -> u64 {
        self.segment_bytes.saturating_sub(segment::HEADER_BYTES + OVERHEAD_BYTES as u64)
    }
}

#[cfg(test)]
mod tests;
