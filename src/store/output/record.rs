//! One record of a segment: a piece of one attempt's output and what is known of the whole of it.
//!
//! The secret of a segment is random and leaves the disk nowhere: bytes of output that look like a record, found where a
//! crash has torn one, are not taken for one.
//!
//! All numbers are little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `jsor` |
//! | 2 | version, 1 |
//! | 2 | flags: 1 the last piece, 2 the error file |
//! | 8 | job |
//! | 4, 4, 4, 4 | ordinal, attempt, node, uid |
//! | 4 | generation: one more each time the file was found to be shorter |
//! | 8 | where the attempt's part of the file begins |
//! | 8 | where these bytes begin |
//! | 8 | the file's size, as far as it is the attempt's |
//! | 8 | when, microseconds since 1970 |
//! | 4 | length of the path |
//! | 4 | length of the bytes |
//! | 4 | CRC-32 of the bytes |
//! | 4 | CRC-32 of the segment's secret, the header so far and the path |
//! | n | path, if it can't be told from the job |
//! | m | bytes |

use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskRef, Uid};
use crate::model::spec::PATH_BYTES_MAX;
use crate::model::time::WallTime;

/// The first bytes of each record.
pub const MAGIC: [u8; 4] = *b"jsor";
/// The version written, and the highest one read.
pub const VERSION: u16 = 1;
/// Bytes before path and bytes.
pub const HEADER_BYTES: usize = 84;
/// Bytes of a segment's secret.
pub const SECRET_BYTES: usize = 16;
/// The secret of a segment.
pub type Secret = [u8; SECRET_BYTES];
/// The most bytes of one piece.
pub const PIECE_BYTES_MAX: usize = 1 << 20;

const LAST: u16 = 1;
const ERROR: u16 = 2;

/// Whose output: one attempt on one node, one of its two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Which task.
    pub task: TaskRef,
    /// Which try.
    pub attempt: Attempt,
    /// Where it ran: what another node says of it stands apart.
    pub node: NodeId,
    /// The error file.
    pub error: bool,
}

/// Some bytes of an attempt's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Whose.
    pub key: Key,
    /// The job's owner, whose quota it counts against.
    pub uid: Uid,
    /// Where the attempt's part of the file begins.
    pub start: u64,
    /// Where these bytes begin.
    pub offset: u64,
    /// The file's size when they were read.
    pub size: u64,
    /// The attempt has ended and this is all.
    pub last: bool,
    /// When they came.
    pub at: WallTime,
    /// The file, if it can't be told from the job; else empty.
    pub path: String,
    /// They; at most [`PIECE_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// A record without its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub piece: Piece,
    pub generation: u32,
    pub length: u32,
    pub crc: u32,
    path_length: u32,
    header_crc: u32,
}

impl Header {
    /// Bytes of the record in all.
    pub fn record_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.path_length) + u64::from(self.length)
    }

    /// Bytes of the path behind the header.
    pub fn path_bytes(&self) -> usize {
        self.path_length as usize
    }
}

/// Appends a record; gives the CRC of its bytes.
pub(super) fn encode(piece: &Piece, generation: u32, secret: &Secret, out: &mut Vec<u8>) -> u32 {
    let begin = out.len();
    let crc = crc32fast::hash(&piece.bytes);
    let flags = if piece.last { LAST } else { 0 } | if piece.key.error { ERROR } else { 0 };
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&flags.to_le_bytes());
    out.extend_from_slice(&piece.key.task.job.0.to_le_bytes());
    let Key { task, attempt, node, .. } = piece.key;
    for number in [task.ordinal.0, attempt.0, node.0, piece.uid.0, generation] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    for number in [piece.start, piece.offset, piece.size] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&piece.at.0.to_le_bytes());
    for number in [piece.path.len() as u32, piece.bytes.len() as u32, crc] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let mut digest = crc32fast::Hasher::new();
    digest.update(secret);
    digest.update(out.get(begin..).unwrap_or_default());
    digest.update(piece.path.as_bytes());
    out.extend_from_slice(&digest.finalize().to_le_bytes());
    out.extend_from_slice(piece.path.as_bytes());
    out.extend_from_slice(&piece.bytes);
    crc
}

/// Reads a header; the path comes after it and [`check`] has the last word. `None`: there is none here.
pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
    let mut rest = bytes.get(..HEADER_BYTES)?;
    let (magic, version) = (take::<4>(&mut rest)?, u16::from_le_bytes(take(&mut rest)?));
    if magic != MAGIC || version > VERSION {
        return None;
    }
    let flags = u16::from_le_bytes(take(&mut rest)?);
    let job = JobId(u64::from_le_bytes(take(&mut rest)?));
    let mut short = || take(&mut rest).map(u32::from_le_bytes);
    let (ordinal, attempt, node) = (Ordinal(short()?), Attempt(short()?), NodeId(short()?));
    let (uid, generation) = (Uid(short()?), short()?);
    let mut long = || take(&mut rest).map(u64::from_le_bytes);
    let (start, offset, size) = (long()?, long()?, long()?);
    let at = WallTime(i64::from_le_bytes(take(&mut rest)?));
    let mut short = || take(&mut rest).map(u32::from_le_bytes);
    let (path_length, length, crc, header_crc) = (short()?, short()?, short()?, short()?);
    if path_length as usize > PATH_BYTES_MAX || length as usize > PIECE_BYTES_MAX {
        return None;
    }
    let key = Key { task: TaskRef { job, ordinal }, attempt, node, error: flags & ERROR != 0 };
    let last = flags & LAST != 0;
    let piece = Piece { key, uid, start, offset, size, last, at, path: String::new(), bytes: Vec::new() };
    Some(Header { piece, generation, length, crc, path_length, header_crc })
}

/// Whether header and path belong to the segment and together, and are whole; puts the path in its place.
pub(super) fn check(mut header: Header, bytes: &[u8], path: &[u8], secret: &Secret) -> Option<Header> {
    let mut digest = crc32fast::Hasher::new();
    digest.update(secret);
    digest.update(bytes.get(..HEADER_BYTES - 4)?);
    digest.update(path);
    if digest.finalize() != header.header_crc {
        return None;
    }
    header.piece.path = String::from_utf8(path.to_vec()).ok()?;
    Some(header)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (first, more) = rest.split_first_chunk::<N>()?;
    *rest = more;
    Some(*first)
}
