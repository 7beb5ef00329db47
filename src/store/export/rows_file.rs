//! A file of rows, checked block by block: what exports consist of.
//!
//! All numbers are little-endian. The file begins with `jsrw`, version u16, kind u16, incarnation (16 bytes), number
//! u64 and the CRC of these. Then come blocks: length u32 and CRC-32 of a body of that length, which is `after` u64,
//! `position` u64, time i64, flags u8 (1: the last block of its batch), and rows: table u8, key length u16, value
//! length u32 (all ones: the row was removed), key, value.

use thiserror::Error;

use crate::model::ids::{ContentHash, Incarnation, Position};
use crate::model::time::WallTime;
use crate::store::disk::{Access, Disk, DiskError, DiskFile};
use crate::store::tables::{KEY_BYTES_MAX, Row, Table, VALUE_BYTES_MAX};

/// The version written, and the highest one read.
pub const VERSION: u16 = 1;
/// Rows gather up to so many bytes in one block.
pub const BLOCK_BYTES: usize = 1 << 20;
/// The most bytes of a block's body: one that was nearly full takes one largest row more.
pub const BLOCK_BYTES_MAX: usize = BLOCK_BYTES + ROW_OVERHEAD_BYTES + KEY_BYTES_MAX + VALUE_BYTES_MAX;

const MAGIC: [u8; 4] = *b"jsrw";
const HEAD_BYTES: usize = 36;
const FRAME_BYTES: usize = 8;
const PREFIX_BYTES: usize = 25;
const ROW_OVERHEAD_BYTES: usize = 7;
const REMOVED: u32 = u32::MAX;
const LAST: u8 = 1;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All live rows at one position.
    Live = 0,
    /// Rows of history, batch by batch as they were written.
    History = 1,
}

/// Whose file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it holds.
    pub kind: Kind,
    /// Of which life of the cluster's state.
    pub incarnation: Incarnation,
    /// Its number among those of its kind.
    pub number: u64,
}

/// What a block says of its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Where the tables were before.
    pub after: Position,
    /// Where they are with these rows.
    pub position: Position,
    /// When it was written.
    pub at: WallTime,
    /// Whether the batch ends with this block.
    pub last: bool,
}

/// What is known of a finished file.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FileNote {
    /// Its path in the state folder.
    pub path: String,
    /// Its length in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// BLAKE3 of all of it.
    pub hash: ContentHash,
}

/// Why a file of rows can't be used.
#[derive(Debug, Error)]
pub enum RowsFault {
    /// Its bytes are not those that were written.
    #[error("{path} is damaged at byte {offset}: {what}")]
    Damage {
        /// Which file.
        path: String,
        /// Where, in bytes.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// The disk failed, or the file is not there.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl RowsFault {
    /// Whether the disk itself failed, so that nothing else should be tried.
    pub fn is_fatal(&self) -> bool {
        matches!(self, RowsFault::Disk(error) if !matches!(error, DiskError::Missing { .. }))
    }
}

/// Writes a file of rows.
pub struct RowsWriter {
    file: Box<dyn DiskFile>,
    path: String,
    offset: u64,
    rows: u64,
    hash: blake3::Hasher,
}

impl RowsWriter {
    /// Begins a file; nothing of it is durable before `finish`.
    pub fn create(disk: &dyn Disk, path: &str, head: Head) -> Result<RowsWriter, DiskError> {
        let file = disk.create(path)?;
        let mut writer =
            RowsWriter { file, path: path.to_owned(), offset: 0, rows: 0, hash: blake3::Hasher::new() };
        let mut bytes = Vec::with_capacity(HEAD_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(head.kind as u16).to_le_bytes());
        bytes.extend_from_slice(&head.incarnation.0);
        bytes.extend_from_slice(&head.number.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        writer.write(&bytes)?;
        Ok(writer)
    }

    /// Adds one batch, in as many blocks as it needs; an empty one takes a block, too.
    pub fn append<'a>(
        &mut self,
        batch: Batch,
        rows: impl IntoIterator<Item = &'a Row>,
    ) -> Result<(), DiskError> {
        let mut block = Block::new();
        for row in rows {
            block.push(row.table, &row.key, row.value.as_deref());
            self.rows += 1;
            if block.is_full() {
                self.write(&block.finish(Batch { last: false, ..batch }))?;
                block = Block::new();
            }
        }
        if batch.last || !block.is_empty() {
            self.write(&block.finish(batch))?;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        // Lack of room is found here, where it harms nothing.
        self.file.allocate(self.offset, bytes.len() as u64)?;
        self.file.write_at(self.offset, bytes)?;
        self.offset += bytes.len() as u64;
        self.hash.update(bytes);
        Ok(())
    }

    /// Where it lies.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Makes its bytes durable; its name is only after a sync of its folder.
    pub fn finish(mut self) -> Result<FileNote, DiskError> {
        self.file.sync_data()?;
        let hash = ContentHash(*self.hash.finalize().as_bytes());
        Ok(FileNote { path: self.path, bytes: self.offset, rows: self.rows, hash })
    }
}

/// A block that is being filled.
struct Block(Vec<u8>);

impl Block {
    fn new() -> Block {
        Block(vec![0; FRAME_BYTES + PREFIX_BYTES])
    }

    fn push(&mut self, table: Table, key: &[u8], value: Option<&[u8]>) {
        let bytes = &mut self.0;
        bytes.push(table.0);
        // The tables hold no longer keys and values than their limits, which fit.
        bytes.extend_from_slice(&(key.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&value.map_or(REMOVED, |value| value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value.unwrap_or_default());
    }

    fn is_full(&self) -> bool {
        self.0.len() >= BLOCK_BYTES
    }

    fn is_empty(&self) -> bool {
        self.0.len() == FRAME_BYTES + PREFIX_BYTES
    }

    fn finish(self, batch: Batch) -> Vec<u8> {
        let mut bytes = self.0;
        let prefix = [
            batch.after.0.to_le_bytes().as_slice(),
            &batch.position.0.to_le_bytes(),
            &batch.at.0.to_le_bytes(),
            &[if batch.last { LAST } else { 0 }],
        ]
        .concat();
        for (to, from) in bytes.iter_mut().skip(FRAME_BYTES).zip(prefix) {
            *to = from;
        }
        let body = bytes.get(FRAME_BYTES..).unwrap_or_default();
        let frame = [(body.len() as u32).to_le_bytes(), crc32fast::hash(body).to_le_bytes()].concat();
        for (to, from) in bytes.iter_mut().zip(frame) {
            *to = from;
        }
        bytes
    }
}

/// Reads a file of rows, block by block.
pub struct RowsReader {
    file: Box<dyn DiskFile>,
    path: String,
    length: u64,
    offset: u64,
    rows: u64,
    hash: blake3::Hasher,
    head: Head,
}

impl RowsReader {
    /// Opens a file and reads whose it is.
    pub fn open(disk: &dyn Disk, path: &str) -> Result<RowsReader, RowsFault> {
        let file = disk.open(path, Access::Read)?;
        let length = file.length()?;
        let mut reader = RowsReader {
            file,
            path: path.to_owned(),
            length,
            offset: 0,
            rows: 0,
            hash: blake3::Hasher::new(),
            head: Head { kind: Kind::Live, incarnation: Incarnation::default(), number: 0 },
        };
        let bytes = reader.take(HEAD_BYTES)?;
        reader.head = read_head(&bytes).map_err(|what| reader.fault(0, what))?;
        Ok(reader)
    }

    /// Whose it is.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Up to where it was read, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next block, or `None` at the end.
    pub fn block(&mut self) -> Result<Option<(Batch, Vec<Row>)>, RowsFault> {
        let start = self.offset;
        if start == self.length {
            return Ok(None);
        }
        let frame = self.take(FRAME_BYTES)?;
        let length = u32_at(&frame, 0).unwrap_or_default() as usize;
        if !(PREFIX_BYTES..=BLOCK_BYTES_MAX).contains(&length) {
            return Err(self.fault(start, format!("a block of {length} bytes")));
        }
        let body = self.take(length)?;
        if Some(crc32fast::hash(&body)) != u32_at(&frame, 4) {
            return Err(self.fault(start, "the checksum of a block is wrong"));
        }
        let (batch, rows) =
            read_body(&body).ok_or_else(|| self.fault(start, "a block holds something else than rows"))?;
        self.rows += rows.len() as u64;
        Ok(Some((batch, rows)))
    }

    /// What is known of the file up to here.
    pub fn note(&self) -> FileNote {
        let hash = ContentHash(*self.hash.finalize().as_bytes());
        FileNote { path: self.path.clone(), bytes: self.offset, rows: self.rows, hash }
    }

    fn take(&mut self, count: usize) -> Result<Vec<u8>, RowsFault> {
        if self.length - self.offset < count as u64 {
            return Err(self.fault(self.offset, "it ends in the middle"));
        }
        let mut bytes = vec![0; count];
        let got = self.file.read_at(self.offset, &mut bytes)?;
        if got != count {
            return Err(self.fault(self.offset, "it became shorter while it was read"));
        }
        self.offset += count as u64;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn fault(&self, offset: u64, what: impl Into<String>) -> RowsFault {
        RowsFault::Damage { path: self.path.clone(), offset, what: what.into() }
    }
}

/// Reads a whole file and compares it with what is known of it; each batch of rows is given to `take`.
///
/// # Errors
/// Anything but exactly the file that was written.
pub fn read_noted(
    disk: &dyn Disk,
    note: &FileNote,
    take: &mut dyn FnMut(Batch, Vec<Row>) -> Result<(), RowsFault>,
) -> Result<(), RowsFault> {
    let mut reader = RowsReader::open(disk, &note.path)?;
    while let Some((batch, rows)) = reader.block()? {
        take(batch, rows)?;
    }
    if reader.note() != *note {
        return Err(reader.fault(reader.offset, "it is another file than the manifest names"));
    }
    Ok(())
}

fn read_head(bytes: &[u8]) -> Result<Head, String> {
    if bytes.get(..4) != Some(MAGIC.as_slice()) {
        return Err("it is no file of rows".to_owned());
    }
    if bytes.get(..HEAD_BYTES - 4).map(crc32fast::hash) != u32_at(bytes, HEAD_BYTES - 4) {
        return Err("the checksum of its head is wrong".to_owned());
    }
    let version = u16_at(bytes, 4).unwrap_or_default();
    if version > VERSION {
        return Err(format!("it has format {version}, and this jctld reads up to {VERSION}"));
    }
    let kind = match u16_at(bytes, 6) {
        Some(0) => Kind::Live,
        Some(1) => Kind::History,
        other => return Err(format!("it is of kind {}", other.unwrap_or_default())),
    };
    let incarnation = bytes.get(8..24).and_then(|bytes| bytes.try_into().ok()).map(Incarnation);
    let (Some(incarnation), Some(number)) = (incarnation, u64_at(bytes, 24)) else {
        return Err("its head is cut short".to_owned());
    };
    Ok(Head { kind, incarnation, number })
}

fn read_body(body: &[u8]) -> Option<(Batch, Vec<Row>)> {
    let batch = Batch {
        after: Position(u64_at(body, 0)?),
        position: Position(u64_at(body, 8)?),
        at: WallTime(u64_at(body, 16)?.cast_signed()),
        last: body.get(24)? & LAST != 0,
    };
    let mut rows = Vec::new();
    let mut rest = body.get(PREFIX_BYTES..)?;
    while !rest.is_empty() {
        let (table, key_bytes, value_bytes) = (Table(*rest.first()?), u16_at(rest, 1)?, u32_at(rest, 3)?);
        let (key, tail) = rest.get(ROW_OVERHEAD_BYTES..)?.split_at_checked(usize::from(key_bytes))?;
        let (value, tail) = match value_bytes {
            REMOVED => (None, tail),
            length => {
                let (value, tail) = tail.split_at_checked(length as usize)?;
                (Some(value.to_vec()), tail)
            }
        };
        rows.push(Row { table, key: key.to_vec(), value });
        rest = tail;
    }
    Some((batch, rows))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes)
}
