//! The agent's log: records appended one after the other, each with its length and CRC32 before it.
//!
//! Appends are plain writes, so they survive the death of every process but not of the host; records that must
//! survive that, too, are synced. A torn tail is cut off at opening.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{SpoolError, sync_folder};
use crate::agent::Record;
use crate::wire::codec;

/// A log that is so long, and much longer than what lives in it, is written anew.
pub const REWRITE_BYTES: u64 = 4 << 20;
/// The most bytes of one record.
pub const RECORD_BYTES_MAX: usize = codec::BODY_BYTES_MAX;

const LOG_FILE: &str = "agent.log";
const HEAD_BYTES: usize = 8;
/// A log is written anew when it is so many times as long as right after the last time.
const GROWTH: u64 = 4;

/// The log, open for writing.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
    length: u64,
    rewritten: u64,
}

/// What was found in it.
#[derive(Debug, Default)]
pub struct Found {
    /// The records up to the first that is damaged.
    pub records: Vec<Record>,
    /// Bytes that were cut off; 0 as a rule.
    pub torn_bytes: u64,
}

impl Log {
    /// Opens the log in `folder`, and makes it if there is none.
    ///
    /// # Errors
    /// What the disk answered; a record of a newer build.
    pub fn open(folder: &Path) -> Result<(Log, Found), SpoolError> {
        let path = folder.join(LOG_FILE);
        let io = |error| SpoolError::Io { path: path.clone(), error };
        let mut file =
            OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(&path).map_err(io)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(io)?;
        let mut found = Found::default();
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let Some((body, after)) = cut(rest) else { break };
            let record = codec::decode(body)
                .map_err(|error| SpoolError::Record { path: path.clone(), reason: error.to_string() })?;
            found.records.push(record);
            rest = after;
        }
        found.torn_bytes = rest.len() as u64;
        let length = bytes.len() as u64 - found.torn_bytes;
        if found.torn_bytes > 0 {
            file.set_len(length).map_err(io)?;
        }
        Ok((Log { path, file, length, rewritten: length }, found))
    }

    /// Appends records, and syncs if one of them must be.
    ///
    /// # Errors
    /// What the disk answered. Then it is not known what the log holds, and the daemon has to end.
    pub fn append(&mut self, records: &[Record]) -> Result<(), SpoolError> {
        let bytes = self.encode(records)?;
        let io = |error| SpoolError::Io { path: self.path.clone(), error };
        self.file.write_all(&bytes).map_err(io)?;
        if records.iter().any(Record::must_sync) {
            self.file.sync_data().map_err(io)?;
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// How long it is.
    pub fn bytes(&self) -> u64 {
        self.length
    }

    /// Whether it should be written anew.
    pub fn is_long(&self) -> bool {
        self.length >= REWRITE_BYTES && self.length / GROWTH >= self.rewritten
    }

    /// Puts a log of just these records in its place.
    ///
    /// # Errors
    /// What the disk answered; the old log is still there then.
    pub fn rewrite(&mut self, records: &[Record]) -> Result<(), SpoolError> {
        let bytes = self.encode(records)?;
        let new = self.path.with_extension("new");
        let io = |error| SpoolError::Io { path: new.clone(), error };
        let write = || -> io::Result<File> {
            let _ = std::fs::remove_file(&new);
            let mut file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            std::fs::rename(&new, &self.path)?;
            Ok(file)
        };
        let file = write().map_err(io)?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.rewritten = self.length;
        self.path.parent().map_or(Ok(()), sync_folder)
    }

    fn encode(&self, records: &[Record]) -> Result<Vec<u8>, SpoolError> {
        let mut bytes = Vec::new();
        for record in records {
            let body = codec::encode(record)
                .map_err(|error| SpoolError::Record { path: self.path.clone(), reason: error.to_string() })?;
            bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
            bytes.extend_from_slice(&body);
        }
        Ok(bytes)
    }
}

/// The body of the first record and what follows it; `None` if it is torn or damaged.
fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let [a, b, c, d, e, f, g, h] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let (body, after) = rest.split_at_checked(length)?;
    let whole = !body.is_empty() && crc32fast::hash(body) == u32::from_le_bytes([e, f, g, h]);
    whole.then_some((body, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::{BootId, Position};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_torn_tail_takes_nothing_before_it(
            count in 1u64..20, at in any::<prop::sample::Index>(), flip in any::<bool>()
        ) {
            let folder = tempfile::tempdir().unwrap();
            let records: Vec<Record> = (0..count).map(|n| Record::Seen(Position(n * 100))).collect();
            let (mut log, _) = Log::open(folder.path()).unwrap();
            let mut ends = Vec::new();
            for record in &records {
                log.append(std::slice::from_ref(record)).unwrap();
                ends.push(log.length as usize);
            }
            let path = folder.path().join(LOG_FILE);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if flip { bytes[at] ^= 0x40 } else { bytes.truncate(at) }
            std::fs::write(&path, &bytes).unwrap();
            let sure = ends.iter().filter(|end| **end <= at).count();
            let (mut log, found) = Log::open(folder.path()).unwrap();
            prop_assert_eq!(&found.records, &records[..sure]);
            log.append(&records[..1]).unwrap();
            let (_, found) = Log::open(folder.path()).unwrap();
            prop_assert_eq!(found.records.len(), sure + 1);
            prop_assert_eq!(found.torn_bytes, 0);
        }
    }

    #[test]
    fn a_rewritten_log_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(folder.path()).unwrap();
        log.append(&[Record::Seen(Position(1)), Record::Seen(Position(2))]).unwrap();
        log.rewrite(&[Record::Boot(BootId([3; 16]))]).unwrap();
        log.append(&[Record::Seen(Position(4))]).unwrap();
        let (_, found) = Log::open(folder.path()).unwrap();
        assert_eq!(found.records, [Record::Boot(BootId([3; 16])), Record::Seen(Position(4))]);
    }
}
