//! The segments on disk: one is written at its end, the others are only read, until they go.

use std::sync::Mutex;

use super::index::{Fill, Index};
use super::record::{self, HEADER_BYTES, Header, Piece, SECRET_BYTES, Secret};
use super::{FOLDER, SEGMENT_BYTES, lock};
use crate::store::disk::{self, Access, Disk, DiskError, DiskFile, read_all};

/// The first bytes of a segment; its secret comes next, then a CRC of both. All this stands there twice: without the
/// secret nothing in the segment can be believed.
const MAGIC: [u8; 8] = *b"jsoseg\x02\0";
const COPY_BYTES: usize = MAGIC.len() + SECRET_BYTES + 4;
/// Bytes before the first record.
const HEAD_BYTES: u64 = 2 * COPY_BYTES as u64;
/// So much is read at once while headers are looked for.
const LOOK_BYTES: u64 = 32 << 10;

/// Room for a segment is taken in steps of so many bytes.
const GROW_BYTES: u64 = 256 << 10;

/// The end of the newest segment.
pub(super) struct Writer {
    active: Option<Active>,
    next: u64,
}

struct Active {
    id: u64,
    file: Box<dyn DiskFile>,
    secret: Secret,
    length: u64,
    allocated: u64,
}

/// A record that was written: its header, its segment, and where its bytes lie.
pub(super) type Written = (Header, u64, u64);

pub(super) fn path(segment: u64) -> String {
    format!("{FOLDER}/{segment:016x}")
}

impl Writer {
    /// Reads all segments into the index, and cuts off what a crash left behind their last record.
    pub fn open(disk: &dyn Disk, index: &mut Index) -> Result<Writer, DiskError> {
        let mut next = 0;
        for id in ids(disk)? {
            next = next.max(id.saturating_add(1));
            let headers = headers(disk, id)?;
            let end = headers.last().map_or(HEAD_BYTES, |(header, at)| at + u64::from(header.length));
            index.segments.insert(id, Fill { length: end, live: 0 });
            for (header, at) in &headers {
                index.insert(header, id, *at);
            }
            if disk.length(&path(id))?.is_some_and(|length| length > end) {
                let mut file = disk.open(&path(id), Access::Write)?;
                file.truncate(end)?;
                file.sync_data()?;
            }
        }
        Ok(Writer { active: None, next })
    }

    /// Writes records, as many segments as it takes, and syncs them.
    pub fn append(
        &mut self,
        disk: &dyn Disk,
        index: &Mutex<Index>,
        pieces: &[Piece],
        generations: &[u32],
    ) -> Result<Vec<Written>, DiskError> {
        let mut written = Vec::with_capacity(pieces.len());
        let mut buffer = Vec::new();
        for (piece, generation) in pieces.iter().zip(generations) {
            let bytes = (HEADER_BYTES + piece.path.len() + piece.bytes.len()) as u64;
            let is_full = self
                .active
                .as_ref()
                .is_none_or(|active| active.length + buffer.len() as u64 + bytes > SEGMENT_BYTES);
            if is_full {
                self.flush(index, &mut buffer)?;
                self.begin(disk, index)?;
            }
            let Some(active) = &self.active else { continue };
            let begin = buffer.len();
            record::encode(piece, *generation, &active.secret, &mut buffer);
            let at = active.length + (begin + HEADER_BYTES + piece.path.len()) as u64;
            if let Some(mut header) = buffer.get(begin..).and_then(record::decode) {
                header.piece.path.clone_from(&piece.path);
                written.push((header, active.id, at));
            }
        }
        self.flush(index, &mut buffer)?;
        Ok(written)
    }

    fn flush(&mut self, index: &Mutex<Index>, buffer: &mut Vec<u8>) -> Result<(), DiskError> {
        let Some(active) = self.active.as_mut().filter(|_| !buffer.is_empty()) else { return Ok(()) };
        let end = active.length + buffer.len() as u64;
        if end > active.allocated {
            let more = (end - active.allocated).next_multiple_of(GROW_BYTES);
            active.file.allocate(active.allocated, more)?;
            active.allocated += more;
        }
        active.file.write_at(active.length, buffer)?;
        active.file.sync_data()?;
        active.length += buffer.len() as u64;
        lock(index).segments.entry(active.id).or_default().length = active.length;
        buffer.clear();
        Ok(())
    }

    fn begin(&mut self, disk: &dyn Disk, index: &Mutex<Index>) -> Result<(), DiskError> {
        let id = self.next;
        let path = path(id);
        if let Some(mut old) = self.active.take() {
            old.file.truncate(old.length)?;
        }
        let mut file = disk.create(&path)?;
        if let Err(error) = file.allocate(0, GROW_BYTES) {
            drop(file);
            disk.remove(&path)?;
            return Err(error);
        }
        let mut secret = Secret::default();
        getrandom::fill(&mut secret).map_err(|error| DiskError::Failed {
            what: "draw random bytes for",
            path: path.clone(),
            source: std::io::Error::other(error.to_string()),
        })?;
        file.write_at(0, &head(&secret))?;
        file.sync_data()?;
        disk.sync_folder(FOLDER)?;
        self.next += 1;
        let length = HEAD_BYTES;
        lock(index).segments.insert(id, Fill { length, live: 0 });
        self.active = Some(Active { id, file, secret, length, allocated: GROW_BYTES });
        Ok(())
    }

    /// Removes the segments that hold nothing wanted.
    pub fn remove_empty(&mut self, disk: &dyn Disk, index: &Mutex<Index>) -> Result<(), DiskError> {
        let empty = lock(index).empty(self.active.as_ref().map(|active| active.id));
        if empty.is_empty() {
            return Ok(());
        }
        for id in empty {
            match disk.remove(&path(id)) {
                Err(DiskError::Missing { .. }) => {}
                other => other?,
            }
            lock(index).segments.remove(&id);
        }
        disk.sync_folder(FOLDER)
    }

    /// A segment of which less than half is wanted, the emptiest first; not the one that is being written.
    pub fn mostly_unwanted(&self, index: &Index) -> Option<u64> {
        let active = self.active.as_ref().map(|active| active.id);
        let old = index.segments.iter().filter(|(id, _)| Some(**id) != active);
        let (id, fill) = old.min_by_key(|(_, fill)| fill.live.saturating_mul(1_000) / fill.length.max(1))?;
        (fill.live.saturating_mul(2) < fill.length).then_some(*id)
    }
}

/// Copies the segments, as they are, to another disk, durably; how many bytes they have. Meanwhile they may be added to, and
/// written anew: then what is new is copied, too. A record whose end is not there yet counts as not kept.
///
/// # Errors
/// Either disk.
pub fn copy(from: &dyn Disk, to: &dyn Disk) -> Result<u64, DiskError> {
    to.make_folder(FOLDER)?;
    let (mut bytes, mut done) = (0, std::collections::BTreeSet::new());
    loop {
        let mut went = false;
        for id in ids(from)? {
            if !done.insert(id) {
                continue;
            }
            match disk::copy(from, &path(id), to, &path(id)) {
                Ok(copied) => bytes += copied,
                // It was written anew into a later one.
                Err(DiskError::Missing { .. }) => went = true,
                Err(error) => return Err(error),
            }
        }
        if !went {
            break;
        }
    }
    to.sync_folder(FOLDER)?;
    Ok(bytes)
}

/// What is in the segments of a folder that nobody writes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Records that are whole.
    pub sound: usize,
    /// Records whose bytes are not those that were written.
    pub damaged: usize,
}

/// Reads all segments.
///
/// # Errors
/// What the disk said.
pub fn survey(disk: &dyn Disk) -> Result<Survey, DiskError> {
    let mut survey = Survey::default();
    for id in ids(disk)? {
        let file = disk.open(&path(id), Access::Read)?;
        for (header, at) in headers(disk, id)? {
            let mut bytes = vec![0; header.length as usize];
            let got = file.read_at(at, &mut bytes)?;
            let is_sound = got == bytes.len() && crc32fast::hash(&bytes) == header.crc;
            *(if is_sound { &mut survey.sound } else { &mut survey.damaged }) += 1;
        }
    }
    Ok(survey)
}

fn ids(disk: &dyn Disk) -> Result<Vec<u64>, DiskError> {
    let names = match disk.list(FOLDER) {
        // A backup from before output was kept.
        Err(DiskError::Missing { .. }) => Vec::new(),
        other => other?,
    };
    Ok(names.iter().filter_map(|name| u64::from_str_radix(name, 16).ok()).collect())
}

/// The headers of a segment, each with the place of its bytes. What is damaged is passed over.
pub(super) fn headers(disk: &dyn Disk, segment: u64) -> Result<Vec<(Header, u64)>, DiskError> {
    let path = path(segment);
    let file = disk.open(&path, Access::Read)?;
    let length = file.length()?;
    let mut look = Look { file: &*file, length, at: 0, bytes: Vec::new() };
    let mut headers = Vec::new();
    let Some(secret) = look.at(0, HEAD_BYTES as usize)?.and_then(secret) else {
        // It was just being made.
        return Ok(headers);
    };
    let mut at = HEAD_BYTES;
    let mut whole: Option<Vec<u8>> = None;
    while at + HEADER_BYTES as u64 <= length {
        if let Some(header) = look.header(at, &secret)? {
            let data = at + (HEADER_BYTES + header.path_bytes()) as u64;
            let end = at + header.record_bytes();
            if end <= length {
                headers.push((header, data));
                at = end;
                continue;
            }
        }
        if whole.is_none() {
            whole = Some(read_all(disk, &path, length)?);
        }
        // A crash's remains or damage: behind it there may be more.
        let bytes = whole.as_deref().unwrap_or_default();
        let from = usize::try_from(at).unwrap_or(usize::MAX).saturating_add(1);
        let rest = bytes.get(from..).unwrap_or_default();
        match rest.windows(record::MAGIC.len()).position(|window| window == record::MAGIC) {
            Some(place) => at += 1 + place as u64,
            None => break,
        }
    }
    Ok(headers)
}

fn head(secret: &Secret) -> Vec<u8> {
    let mut copy = [&MAGIC[..], secret].concat();
    copy.extend_from_slice(&crc32fast::hash(&copy).to_le_bytes());
    copy.repeat(2)
}

/// What a segment's head says, if one of its copies is whole.
fn secret(head: &[u8]) -> Option<Secret> {
    let is_whole = |copy: &&[u8]| {
        let (said, crc) = copy.split_at_checked(COPY_BYTES - 4).unwrap_or_default();
        said.starts_with(&MAGIC) && crc == crc32fast::hash(said).to_le_bytes()
    };
    let copy = head.chunks(COPY_BYTES).find(is_whole)?;
    copy.get(MAGIC.len()..MAGIC.len() + SECRET_BYTES)?.try_into().ok()
}

/// Reads a file here and there, many headers that lie close together at once.
struct Look<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    at: u64,
    bytes: Vec<u8>,
}

impl Look<'_> {
    /// Those bytes; `None` if the file ends before.
    fn at(&mut self, at: u64, count: usize) -> Result<Option<&[u8]>, DiskError> {
        let has = |look: &Self| {
            let from = at.checked_sub(look.at).and_then(|from| usize::try_from(from).ok())?;
            look.bytes.get(from..from.checked_add(count)?).map(|_| from)
        };
        let from = match has(self) {
            Some(from) => from,
            None => {
                let wanted = LOOK_BYTES.max(count as u64).min(self.length.saturating_sub(at));
                self.bytes.resize(usize::try_from(wanted).unwrap_or_default(), 0);
                self.at = at;
                let got = self.file.read_at(at, &mut self.bytes)?;
                self.bytes.truncate(got);
                0
            }
        };
        Ok(self.bytes.get(from..from.saturating_add(count)))
    }

    fn header(&mut self, at: u64, secret: &Secret) -> Result<Option<Header>, DiskError> {
        let Some(bytes) = self.at(at, HEADER_BYTES)? else { return Ok(None) };
        let Some(header) = record::decode(bytes) else { return Ok(None) };
        let all = HEADER_BYTES + header.path_bytes();
        let Some((bytes, path)) = self.at(at, all)?.and_then(|bytes| bytes.split_at_checked(HEADER_BYTES))
        else {
            return Ok(None);
        };
        Ok(record::check(header, bytes, path, secret))
    }
}
