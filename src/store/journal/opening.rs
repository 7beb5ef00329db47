//! How a journal is made, and how one is taken over.

use super::mark::{Mark, MarkFile};
use super::segment::{self, HEADER_BYTES, Header};
use super::space::{SPARE_FILE, Space};
use super::survey::{Survey, survey};
use super::{FOLDER, Limits, MARK_FILE, State};
use crate::model::ids::{Epoch, Incarnation, Position};
use crate::store::disk::{Access, Disk, DiskError, DiskFile};
use crate::store::log::{Claim, LogError, Opened};

/// How much of the tail is copied at a time.
const COPY_BYTES: u64 = 1024 * 1024;

/// Makes an empty journal.
pub(super) fn create(disk: &dyn Disk, incarnation: Incarnation) -> Result<(), LogError> {
    create_behind(disk, incarnation, Epoch(0), Position(0))
}

/// Makes an empty journal that goes on behind `after`.
pub(super) fn create_behind(
    disk: &dyn Disk,
    incarnation: Incarnation,
    epoch: Epoch,
    after: Position,
) -> Result<(), LogError> {
    disk.make_folder(FOLDER)?;
    for sequence in segment::sequences(disk)? {
        let path = segment::path(sequence);
        // An interrupted `init` leaves a first segment with nothing in it.
        if disk.length(&path)?.is_some_and(|length| length > HEADER_BYTES) {
            return Err(LogError::Exists);
        }
        disk.remove(&path)?;
    }
    MarkFile::create(disk, &Mark { incarnation, position: after, crc: 0 })?;
    let header = Header { incarnation, epoch, sequence: 1, first: Position(after.0 + 1), previous: 0 };
    let mut file = disk.create(SPARE_FILE)?;
    file.allocate(0, HEADER_BYTES)?;
    file.write_at(0, &header.encode())?;
    file.sync_data()?;
    disk.rename(SPARE_FILE, &segment::path(header.sequence))?;
    disk.sync_folder(FOLDER)?;
    Ok(())
}

/// Takes over the journal: checks all of it, cuts a torn end, moves what may not be durable into a new segment.
pub(super) fn open(disk: &dyn Disk, limits: &Limits, claim: Claim) -> Result<(State, Opened), LogError> {
    let found = survey(disk)?;
    if let Some(damage) = found.damages.first() {
        return Err(damage.clone().into());
    }
    if found.mark.incarnation != claim.incarnation {
        let (found, expected) = (found.mark.incarnation, claim.incarnation);
        return Err(LogError::OtherIncarnation { file: MARK_FILE.to_owned(), found, expected });
    }
    // A spare left over holds nothing, and its room may be needed.
    if disk.length(SPARE_FILE)?.is_some() {
        disk.remove(SPARE_FILE)?;
    }
    let end = found.end();
    let header = Header {
        incarnation: claim.incarnation,
        epoch: Epoch(found.epoch().0 + 1),
        sequence: found.extents.last().map_or(0, |extent| extent.header.sequence) + 1,
        first: Position(found.tail_link.last.0 + 1),
        previous: found.tail_link.crc,
    };
    let mut space = copy_tail(disk, limits, &found, &header)?;
    let mut marks = MarkFile::open(disk, &found.mark, found.slot)?;
    marks.write(&Mark { incarnation: claim.incarnation, position: end.last, crc: end.crc })?;
    marks.settle()?;
    let start = found.start();
    let torn_bytes = found.torn_bytes;
    let closed = give_back(disk, found)?;
    space.keep_ahead(disk, limits)?;
    let opened =
        Opened { epoch: header.epoch, start, end: end.last, incarnation: claim.incarnation, torn_bytes };
    let state = State {
        incarnation: claim.incarnation,
        epoch: header.epoch,
        closed,
        header,
        space,
        appended: end,
        durable: end,
        marks,
        buffer: Vec::new(),
    };
    Ok((state, opened))
}

/// Writes the new segment: its header and the frames from its first position on, byte for byte. Gives the space to
/// go on in.
fn copy_tail(disk: &dyn Disk, limits: &Limits, found: &Survey, header: &Header) -> Result<Space, LogError> {
    let (from, to, path) = match found.extents.last() {
        Some(last) => (found.tail_offset, last.end_offset, last.path()),
        None => return Err(LogError::Missing),
    };
    let tail_bytes = to - from;
    let mut file = disk.create(SPARE_FILE).map_err(|error| match error.is_no_room() {
        true => LogError::NoRoom { bytes: HEADER_BYTES + tail_bytes },
        false => LogError::Disk(error),
    })?;
    let allocated_bytes = allocate_first(&mut *file, limits, HEADER_BYTES + tail_bytes)?;
    file.write_at(0, &header.encode())?;
    let source = disk.open(&path, Access::Read)?;
    let mut done = 0;
    while done < tail_bytes {
        let count = COPY_BYTES.min(tail_bytes - done);
        let mut bytes = vec![0; usize::try_from(count).unwrap_or_default()];
        let got = source.read_at(from + done, &mut bytes)?;
        if got as u64 != count {
            return Err(segment::damage(&path, from + done, "it became shorter while it was read").into());
        }
        file.write_at(HEADER_BYTES + done, &bytes)?;
        done += count;
    }
    file.sync_data()?;
    disk.rename(SPARE_FILE, &segment::path(header.sequence))?;
    disk.sync_folder(FOLDER)?;
    Ok(Space::new(file, HEADER_BYTES + tail_bytes, allocated_bytes))
}

/// Allocates a chunk and what is `needed`, or at least what is needed.
fn allocate_first(file: &mut dyn DiskFile, limits: &Limits, needed: u64) -> Result<u64, LogError> {
    let generous = (needed + limits.chunk_bytes).min(limits.segment_bytes).max(needed);
    for bytes in [generous, needed] {
        match file.allocate(0, bytes) {
            Ok(()) => return Ok(bytes),
            Err(error) if error.is_no_room() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(LogError::NoRoom { bytes: needed })
}

/// Frees what the older segments hold beyond what counts, now that the new one is durable: frames copied
/// into it, torn bytes, space allocated ahead. Gives the segments that remain.
fn give_back(disk: &dyn Disk, found: Survey) -> Result<Vec<super::Extent>, DiskError> {
    let count = found.extents.len();
    let mut closed = Vec::with_capacity(count);
    let mut removed = false;
    for (index, mut extent) in found.extents.into_iter().enumerate() {
        let is_last = index + 1 == count;
        if is_last {
            extent.end_offset = found.tail_offset;
            extent.last = found.tail_link;
        }
        let until = extent.last.last.0 + 1;
        if until == extent.header.first.0 {
            // It holds nothing that counts.
            disk.remove(&extent.path())?;
            removed = true;
            continue;
        }
        if extent.file_bytes > extent.end_offset {
            let mut file = disk.open(&extent.path(), Access::Write)?;
            file.truncate(extent.end_offset)?;
            file.sync_data()?;
            extent.file_bytes = extent.end_offset;
        }
        closed.push(extent);
    }
    if removed {
        disk.sync_folder(FOLDER)?;
    }
    Ok(closed)
}
