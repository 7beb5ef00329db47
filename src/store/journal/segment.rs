//! A segment: one file of the journal, and how frames are read from it.
//!
//! It is named by its sequence number, begins with a header, holds frames of consecutive positions, and ends in
//! zeros that were allocated ahead. The header, little-endian: `jssg`, version (2), zero (2), incarnation (16),
//! epoch in which it was begun (8), sequence number (8), first position (8), CRC of the frame before it (4),
//! CRC-32 over the header so far (4).

use super::FOLDER;
use crate::model::ids::{Epoch, Incarnation, Position};
use crate::store::disk::{Access, Disk, DiskError, DiskFile};
use crate::store::frame::{self, Frame, FrameFault, field};
use crate::store::log::{Damage, LogError};

/// The version written, and the highest one read.
pub const VERSION: u16 = 1;
/// Bytes before the first frame.
pub const HEADER_BYTES: u64 = 64;

const MAGIC: [u8; 4] = *b"jssg";
/// Bytes of the header that mean something, its CRC included.
const HEADER_USED_BYTES: usize = 56;
const SUFFIX: &str = ".seg";
/// How much is read at a time, at least.
const WINDOW_BYTES: usize = 256 * 1024;

/// What a segment says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The cluster's incarnation.
    pub incarnation: Incarnation,
    /// The term of office in which it was begun.
    pub epoch: Epoch,
    /// Its number; rises by one with each segment begun.
    pub sequence: u64,
    /// The position of its first frame. What earlier segments hold from here on does not count.
    pub first: Position,
    /// The CRC of the frame before the first.
    pub previous: u32,
}

impl Header {
    /// The bytes at the beginning of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES as usize);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0u16.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.0);
        bytes.extend_from_slice(&self.epoch.0.to_le_bytes());
        bytes.extend_from_slice(&self.sequence.to_le_bytes());
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes.resize(HEADER_BYTES as usize, 0);
        bytes
    }

    /// Reads the header of a file.
    pub fn load(file: &dyn DiskFile, path: &str) -> Result<Header, LogError> {
        let mut bytes = [0; HEADER_USED_BYTES];
        file.read_at(0, &mut bytes)?;
        let header = Header::decode(&bytes).ok_or_else(|| damage(path, 0, "the header is not whole"))?;
        header.map_err(|found| LogError::Newer { file: path.to_owned(), offset: 0, found, known: VERSION })
    }

    fn decode(bytes: &[u8]) -> Option<Result<Header, u16>> {
        let crc = u32::from_le_bytes(field(bytes, HEADER_USED_BYTES - 4).ok()?);
        let covered = bytes.get(..HEADER_USED_BYTES - 4)?;
        if bytes.get(..MAGIC.len())? != MAGIC || crc32fast::hash(covered) != crc {
            return None;
        }
        let version = u16::from_le_bytes(field(bytes, 4).ok()?);
        if version > VERSION {
            return Some(Err(version));
        }
        Some(Ok(Header {
            incarnation: Incarnation(field(bytes, 8).ok()?),
            epoch: Epoch(u64::from_le_bytes(field(bytes, 24).ok()?)),
            sequence: u64::from_le_bytes(field(bytes, 32).ok()?),
            first: Position(u64::from_le_bytes(field(bytes, 40).ok()?)),
            previous: u32::from_le_bytes(field(bytes, 48).ok()?),
        }))
    }

    /// Where a reader of this segment begins.
    pub fn link(&self) -> Link {
        Link { last: Position(self.first.0.saturating_sub(1)), crc: self.previous, epoch: Epoch(0) }
    }
}

/// The path of the segment with that number.
pub fn path(sequence: u64) -> String {
    format!("{FOLDER}/{sequence:010}{SUFFIX}")
}

/// The numbers of all segments, in order.
pub fn sequences(disk: &dyn Disk) -> Result<Vec<u64>, DiskError> {
    let names = disk.list(FOLDER)?;
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// What the next frame has to join on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The position before it.
    pub last: Position,
    /// The CRC of the frame before it.
    pub crc: u32,
    /// The epoch of the frame before it; it never falls.
    pub epoch: Epoch,
}

/// Reads the frames of one segment in order, each checked and in its place.
pub struct Cursor {
    window: Window,
    incarnation: Incarnation,
    offset: u64,
    link: Link,
}

/// What a [`Cursor`] finds next.
pub enum Step<'a> {
    /// The next frame.
    Frame {
        /// As decoded.
        frame: Frame<'a>,
        /// As it stands in the file.
        raw: &'a [u8],
    },
    /// Anything else: the end, or something broken.
    Stop(Stop),
}

/// Why there is no next frame at this place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Bytes that are no whole frame.
    Fault(FrameFault),
    /// A whole frame that does not belong here; says why.
    Misplaced(&'static str),
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::Fault(fault) => fault.fmt(f),
            Stop::Misplaced(why) => f.write_str(why),
        }
    }
}

impl Cursor {
    /// A cursor before the first frame of the segment at `path` with that header.
    pub fn open(disk: &dyn Disk, path: &str, header: &Header) -> Result<Cursor, DiskError> {
        let window = Window::new(disk.open(path, Access::Read)?)?;
        Ok(Cursor { window, incarnation: header.incarnation, offset: HEADER_BYTES, link: header.link() })
    }

    /// Where the next frame begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What was read last.
    pub fn link(&self) -> Link {
        self.link
    }

    /// The next frame. After a stop the cursor stays where it is.
    pub fn step(&mut self) -> Result<Step<'_>, DiskError> {
        let head = self.window.bytes(self.offset, frame::HEADER_BYTES)?;
        let size = match frame::size(head) {
            Ok(size) => size,
            Err(fault) => return Ok(Step::Stop(Stop::Fault(fault))),
        };
        let raw = self.window.bytes(self.offset, size)?;
        let (frame, crc) = match frame::decode(raw) {
            Ok(decoded) => decoded,
            Err(fault) => return Ok(Step::Stop(Stop::Fault(fault))),
        };
        if let Some(why) = misplaced(&frame, &self.link, self.incarnation) {
            return Ok(Step::Stop(Stop::Misplaced(why)));
        }
        self.link = Link { last: frame.position, crc, epoch: frame.epoch };
        self.offset += size as u64;
        Ok(Step::Frame { frame, raw })
    }

    /// Looks through the rest of the file, from where the cursor stopped, for a whole frame that knew position
    /// `known` to be durable. Also gives where the last byte is that is not zero.
    pub fn search(&mut self, known: Position) -> Result<Rest, DiskError> {
        let mut rest = Rest { used_end: self.offset, proof: None };
        let mut at = self.offset;
        while at < self.window.length {
            let chunk = self.window.bytes(at, WINDOW_BYTES)?;
            let length = chunk.len();
            if length == 0 {
                break;
            }
            if chunk == ZEROS.get(..length).unwrap_or_default() {
                at += length as u64;
                continue;
            }
            let used = chunk.iter().rposition(|&byte| byte != 0).unwrap_or(0);
            rest.used_end = at + used as u64 + 1;
            let hits: Vec<usize> = chunk
                .windows(frame::MAGIC.len())
                .enumerate()
                .filter_map(|(index, window)| (window == frame::MAGIC).then_some(index))
                .collect();
            for hit in hits {
                let offset = at + hit as u64;
                if self.proves(offset, known)? {
                    rest.proof = Some(offset);
                    return Ok(rest);
                }
            }
            // A magic may stand across the border of two chunks.
            at += (length - (frame::MAGIC.len() - 1).min(length - 1)) as u64;
        }
        Ok(rest)
    }

    fn proves(&mut self, offset: u64, known: Position) -> Result<bool, DiskError> {
        let incarnation = self.incarnation;
        let head = self.window.bytes(offset, frame::HEADER_BYTES)?;
        // A payload may hold what looks like frames, written by a user; a checksum over up to 64 MiB for each of
        // them would take for ever, so the fields that such a user does not know are compared first.
        let size = match (frame::size(head), frame::claims(head)) {
            (Ok(size), Ok(claims)) if claims.0 == incarnation && claims.1 >= known => size,
            _ => return Ok(false),
        };
        Ok(frame::decode(self.window.bytes(offset, size)?).is_ok())
    }
}

/// What lies behind the last frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Behind the last byte that is not zero.
    pub used_end: u64,
    /// Where a frame lies that proves that something durable is broken before it.
    pub proof: Option<u64>,
}

/// Makes a [`Damage`].
pub fn damage(path: &str, offset: u64, what: impl Into<String>) -> Damage {
    Damage { file: path.to_owned(), offset, what: what.into() }
}

static ZEROS: [u8; WINDOW_BYTES] = [0; WINDOW_BYTES];

fn misplaced(frame: &Frame<'_>, link: &Link, incarnation: Incarnation) -> Option<&'static str> {
    if frame.incarnation != incarnation {
        Some("the frame is of another incarnation")
    } else if link.last.0.checked_add(1) != Some(frame.position.0) {
        Some("the frame has another position than the next")
    } else if frame.previous != link.crc {
        Some("the frame does not follow the one before it")
    } else if frame.epoch < link.epoch {
        Some("the frame has a lower epoch than the one before it")
    } else {
        None
    }
}

/// A part of a file in memory, so that small frames do not cost a system call each.
struct Window {
    file: Box<dyn DiskFile>,
    length: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    fn new(file: Box<dyn DiskFile>) -> Result<Window, DiskError> {
        let length = file.length()?;
        Ok(Window { file, length, start: 0, buffer: Vec::new() })
    }

    /// Bytes `offset..offset + count`, or fewer at the end of the file.
    fn bytes(&mut self, offset: u64, count: usize) -> Result<&[u8], DiskError> {
        let have_end = self.start + self.buffer.len() as u64;
        let want_end = offset.saturating_add(count as u64).min(self.length);
        if offset < self.start || (want_end > have_end && offset < want_end) {
            self.buffer.resize(count.max(WINDOW_BYTES), 0);
            let got = self.file.read_at(offset, &mut self.buffer)?;
            self.buffer.truncate(got);
            self.start = offset;
        }
        let from = usize::try_from(offset - self.start).unwrap_or(usize::MAX).min(self.buffer.len());
        let rest = self.buffer.get(from..).unwrap_or_default();
        Ok(rest.get(..count).unwrap_or(rest))
    }
}
