//! A walk over the whole journal that changes nothing: what is there, where it ends, and what is broken.
//!
//! Rules: a segment counts up to the first position of the next one; up to there it must be whole, because it was
//! synced before the next one was begun. The last segment may be torn behind what is known to be durable, which
//! the mark says and later frames prove.

use super::mark::{self, Mark};
use super::segment::{self, Cursor, HEADER_BYTES, Header, Link, Rest, Step, Stop, damage};
use crate::model::ids::{Epoch, Position};
use crate::store::disk::Disk;
use crate::store::frame::FrameFault;
use crate::store::log::{Damage, LogError};

/// What one segment holds that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it says about itself.
    pub header: Header,
    /// Its last frame, or what is before its first.
    pub last: Link,
    /// Where its last frame that counts ends, in bytes.
    pub end_offset: u64,
    /// Length of the file in bytes.
    pub file_bytes: u64,
}

impl Extent {
    /// Where it is, relative to the state folder.
    pub fn path(&self) -> String {
        segment::path(self.header.sequence)
    }
}

/// What a walk over a journal found.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The mark.
    pub mark: Mark,
    /// Which slot it stands in.
    pub slot: usize,
    /// All segments, in order, up to the first broken one, which is among them as far as it could be read.
    pub extents: Vec<Extent>,
    /// Where in the last segment the frames behind the mark begin, in bytes.
    pub tail_offset: u64,
    /// What is before the first of these frames.
    pub tail_link: Link,
    /// Bytes behind the last frame that were being written when the power or the process went.
    pub torn_bytes: u64,
    /// Everything that is broken; empty for a sound journal.
    pub damages: Vec<Damage>,
}

impl Survey {
    /// The first position held.
    pub fn start(&self) -> Position {
        self.extents.first().map_or(Position(1), |extent| extent.header.first)
    }

    /// The last frame.
    pub fn end(&self) -> Link {
        let none = Link { last: Position(0), crc: 0, epoch: Epoch(0) };
        self.extents.last().map_or(none, |extent| extent.last)
    }

    /// The highest epoch that ever was.
    pub fn epoch(&self) -> Epoch {
        let began = self.extents.iter().map(|extent| extent.header.epoch).max();
        began.unwrap_or_default().max(self.end().epoch)
    }
}

/// Walks over the journal on `disk`.
///
/// # Errors
/// [`LogError::Missing`] if there is none, [`LogError::Damage`] if the mark can't be read at all,
/// [`LogError::Newer`], or a failure of the disk. Other damage is in the survey.
pub fn survey(disk: &dyn Disk) -> Result<Survey, LogError> {
    let sequences = segment::sequences(disk)?;
    if sequences.is_empty() && disk.length(super::MARK_FILE)?.is_none() {
        return Err(LogError::Missing);
    }
    let marked = mark::load(disk)?;
    walk_all(disk, sequences, marked)
}

/// The same where the mark can't be read: what was durable behind the last whole frame is not known then.
///
/// # Errors
/// There is no segment whose header can be read.
pub fn survey_without_mark(disk: &dyn Disk) -> Result<Survey, LogError> {
    let sequences = segment::sequences(disk)?;
    let first = sequences.first().copied().ok_or(LogError::Missing)?;
    let path = segment::path(first);
    let header = Header::load(&*disk.open(&path, crate::store::disk::Access::Read)?, &path)?;
    let before = Position(header.first.0.saturating_sub(1));
    let mark = Mark { incarnation: header.incarnation, position: before, crc: header.previous };
    walk_all(disk, sequences, (mark, 0))
}

fn walk_all(disk: &dyn Disk, sequences: Vec<u64>, (mark, slot): (Mark, usize)) -> Result<Survey, LogError> {
    let nothing = Link { last: Position(0), crc: 0, epoch: Epoch(0) };
    let mut survey = Survey {
        mark,
        slot,
        extents: Vec::new(),
        tail_offset: HEADER_BYTES,
        tail_link: nothing,
        torn_bytes: 0,
        damages: Vec::new(),
    };
    let mut headers = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        match load_header(disk, sequence, &mark) {
            Ok(header) => headers.push(header),
            Err(LogError::Damage(damage)) => survey.damages.push(damage),
            Err(other) => return Err(other),
        }
    }
    if survey.damages.is_empty() {
        for (index, header) in headers.iter().enumerate() {
            survey.walk(disk, header, headers.get(index + 1))?;
        }
        survey.check_mark();
    }
    Ok(survey)
}

fn load_header(disk: &dyn Disk, sequence: u64, mark: &Mark) -> Result<Header, LogError> {
    let path = segment::path(sequence);
    let file = disk.open(&path, crate::store::disk::Access::Read)?;
    let header = Header::load(&*file, &path)?;
    if header.sequence != sequence {
        return Err(damage(&path, 0, format!("the header is that of segment {}", header.sequence)).into());
    }
    if header.incarnation != mark.incarnation {
        let (found, expected) = (header.incarnation, mark.incarnation);
        return Err(LogError::OtherIncarnation { file: path, found, expected });
    }
    Ok(header)
}

impl Survey {
    /// Walks over one segment, which ends where `next` begins, or if it is the last one, at its last whole frame.
    fn walk(&mut self, disk: &dyn Disk, header: &Header, next: Option<&Header>) -> Result<(), LogError> {
        let path = segment::path(header.sequence);
        let mut cursor = Cursor::open(disk, &path, header)?;
        let mut at_mark = (cursor.offset(), cursor.link());
        let stop = loop {
            if next.is_some_and(|next| cursor.link().last.0 + 1 >= next.first.0) {
                break None;
            }
            if cursor.link().last <= self.mark.position {
                at_mark = (cursor.offset(), cursor.link());
            }
            match cursor.step()? {
                Step::Frame { .. } => {}
                Step::Stop(stop) => break Some(stop),
            }
        };
        let (offset, last) = (cursor.offset(), cursor.link());
        if let Some(Stop::Fault(FrameFault::Newer(found))) = stop {
            let known = crate::store::frame::VERSION;
            return Err(LogError::Newer { file: path, offset, found, known });
        }
        if at_mark.1.last == self.mark.position && at_mark.1.crc != self.mark.crc {
            let what = format!("group {} is not the one that was durable", self.mark.position);
            self.damages.push(damage(&path, at_mark.0, what));
        }
        match (next, stop) {
            (Some(next), None) => self.check_join(&path, offset, last, next),
            (Some(next), Some(stop)) => {
                let what =
                    format!("{stop}, and groups {} to {} are missing", last.last.0 + 1, next.first.0 - 1);
                self.damages.push(damage(&path, offset, what));
            }
            (None, stop) => {
                (self.tail_offset, self.tail_link) = at_mark;
                self.check_tail(&path, &mut cursor, stop)?;
            }
        }
        let file_bytes = disk.length(&path)?.unwrap_or_default();
        self.extents.push(Extent { header: *header, last, end_offset: offset, file_bytes });
        Ok(())
    }

    /// A closed segment must end with the very frame that the next one follows.
    fn check_join(&mut self, path: &str, offset: u64, last: Link, next: &Header) {
        let next_path = segment::path(next.sequence);
        if last.last.0 + 1 != next.first.0 {
            let what = format!("it begins with group {}, and {path} with a later one", next.first);
            self.damages.push(damage(&next_path, 0, what));
        } else if last.crc != next.previous {
            let what = format!("group {} is not the one that {next_path} follows", last.last);
            self.damages.push(damage(path, offset, what));
        }
    }

    /// What lies behind the last frame is zeros or was never durable, or it is damage.
    fn check_tail(&mut self, path: &str, cursor: &mut Cursor, stop: Option<Stop>) -> Result<(), LogError> {
        let (offset, last) = (cursor.offset(), cursor.link().last);
        let why = stop.map_or_else(String::new, |stop| stop.to_string());
        let Rest { used_end, proof } = cursor.search(Position(last.0 + 1))?;
        self.torn_bytes = used_end - offset;
        if let Some(proof) = proof {
            let what = format!("{why}, but the group at byte {proof} proves that it was durable");
            self.damages.push(damage(path, offset, what));
        } else if last < self.mark.position {
            let what = format!(
                "{why}: the journal ends with group {last}, but group {} was durable",
                self.mark.position
            );
            self.damages.push(damage(path, offset, what));
        }
        Ok(())
    }

    /// The mark must not lie before the start.
    fn check_mark(&mut self) {
        if self.extents.is_empty() {
            self.damages.push(damage(super::FOLDER, 0, "there is a mark but no segment"));
        }
        if self.mark.position.0 + 1 < self.start().0 {
            let (mark, start) = (self.mark.position, self.start());
            let what = format!("the mark is at group {mark}, the journal begins with group {start}");
            self.damages.push(damage(super::MARK_FILE, 0, what));
        }
    }
}
