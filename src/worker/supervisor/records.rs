//! The supervisor's own record file: what it meant to start, started, and saw end, in this order.
//!
//! Written with plain unsynced appends, so it survives the death of every process but not of the host, whose next
//! boot ends all attempts anyway. Each record is length, CRC32 and body. Only one process ever writes it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::ids::JobId;
use crate::model::state::End;
use crate::model::time::WallTime;
use crate::wire::supervisor::AttemptRef;

/// The name of the file in the supervisor's folder.
pub const RECORDS_FILE: &str = "records";
/// The format that is written.
pub const FORMAT: u16 = 1;
/// The most bytes of one record.
pub const RECORD_BYTES_MAX: usize = 64 << 10;
/// A file that has grown by this much is written anew with only what is still of use.
pub const COMPACT_BYTES: u64 = 8 << 20;

const HEAD_BYTES: usize = 8;

/// One record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// First of all.
    Begin {
        /// `FORMAT` of the writer.
        format: u16,
        /// Whose attempts follow.
        job: JobId,
    },
    /// This attempt is about to be started. Without a later word about it, it may or may not have been.
    Intent(AttemptRef),
    /// Its first process runs.
    Started {
        /// Which attempt.
        task: AttemptRef,
        /// Its first process.
        pid: u32,
        /// That process's start in clock ticks since boot.
        start_ticks: u64,
        /// The same by the wall clock.
        start: WallTime,
    },
    /// It has ended.
    Ended {
        /// Which attempt.
        task: AttemptRef,
        /// How.
        end: Box<End>,
    },
}

/// What became of an attempt, as far as the records know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It was to be started; whether it was is not known. It ends as "launch lost", and is never started again.
    Intended,
    /// It was started and has not ended while its supervisor lived.
    Started {
        /// Its first process.
        pid: u32,
        /// That process's start in clock ticks since boot.
        start_ticks: u64,
        /// The same by the wall clock.
        start: WallTime,
    },
    /// It has ended.
    Ended(Box<End>),
}

/// All that a record file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Whose attempts these are; `None`: the supervisor had not begun.
    pub job: Option<JobId>,
    /// Attempts and their fates. One that is missing was never started, or its end was acknowledged.
    pub attempts: BTreeMap<AttemptRef, Fate>,
    /// Whether the file ends in the middle of a record, as after a kill while writing.
    pub torn: bool,
}

/// Why a record file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// It can't be read or written.
    #[error("{path}: {error}; the folder must be on a local disk with room")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It was written by a newer build.
    #[error("{path}: its format {format} is newer than {FORMAT}; use a newer jworkerd")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u16,
    },
    /// A record does not fit its limit.
    #[error("a record of {0} bytes is above the limit of {RECORD_BYTES_MAX}")]
    TooLong(usize),
}

/// Reads a supervisor's records. A file that is not there is one without records. What follows the first damaged
/// record is not believed.
pub fn read(folder: &Path) -> Result<Recorded, RecordsError> {
    let path = folder.join(RECORDS_FILE);
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Recorded::default()),
        Err(error) => return Err(RecordsError::Io { path, error }),
    };
    let mut recorded = Recorded::default();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        let Some((record, after)) = cut(rest) else {
            recorded.torn = true;
            break;
        };
        rest = after;
        match record {
            Record::Begin { format, .. } if format > FORMAT => {
                return Err(RecordsError::Newer { path, format });
            }
            Record::Begin { job, .. } => recorded.job = Some(job),
            Record::Intent(task) => {
                recorded.attempts.insert(task, Fate::Intended);
            }
            Record::Started { task, pid, start_ticks, start } => {
                recorded.attempts.insert(task, Fate::Started { pid, start_ticks, start });
            }
            Record::Ended { task, end } => {
                recorded.attempts.insert(task, Fate::Ended(end));
            }
        }
    }
    Ok(recorded)
}

/// The file, open for writing.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    file: File,
    job: JobId,
    length: u64,
    compact_at: u64,
    pending: Vec<u8>,
}

impl Records {
    /// Makes the file in the supervisor's folder. Fails if it is there already: an id is used once.
    pub fn create(folder: &Path, job: JobId) -> Result<Records, RecordsError> {
        let path = folder.join(RECORDS_FILE);
        let file = create(&path)?;
        let mut records =
            Records { path, file, job, length: 0, compact_at: COMPACT_BYTES, pending: Vec::new() };
        records.push(&Record::Begin { format: FORMAT, job })?;
        records.flush()?;
        Ok(records)
    }

    /// Takes a record, to be written with the next flush.
    pub fn push(&mut self, record: &Record) -> Result<(), RecordsError> {
        append(record, &mut self.pending)
    }

    /// Writes intents, after all that was taken before. On failure they are forgotten, and nothing may be started.
    pub fn intend(&mut self, tasks: impl IntoIterator<Item = AttemptRef>) -> Result<(), RecordsError> {
        let before = self.pending.len();
        for task in tasks {
            append(&Record::Intent(task), &mut self.pending)?;
        }
        let written = self.flush();
        if written.is_err() {
            self.pending.truncate(before);
        }
        written
    }

    /// Writes what was taken. After a failure it is still held, and the next flush tries again.
    pub fn flush(&mut self) -> Result<(), RecordsError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        match self.file.write_all(&self.pending) {
            Ok(()) => {
                self.length += self.pending.len() as u64;
                self.pending.clear();
                Ok(())
            }
            Err(error) => {
                // Half a record in the middle of the file would hide all that follow.
                let _ = self.file.set_len(self.length);
                Err(RecordsError::Io { path: self.path.clone(), error })
            }
        }
    }

    /// Whether the file has grown so much that `rewrite` is due.
    pub fn is_long(&self) -> bool {
        self.length >= self.compact_at
    }

    /// Puts a file with just these records in the place of the old one.
    pub fn rewrite(&mut self, records: impl IntoIterator<Item = Record>) -> Result<(), RecordsError> {
        let path = self.path.with_extension("new");
        let _ = std::fs::remove_file(&path);
        let io = |error| RecordsError::Io { path: path.clone(), error };
        let mut bytes = Vec::new();
        append(&Record::Begin { format: FORMAT, job: self.job }, &mut bytes)?;
        for record in records {
            append(&record, &mut bytes)?;
        }
        let mut file = create(&path)?;
        file.write_all(&bytes).map_err(io)?;
        std::fs::rename(&path, &self.path).map_err(io)?;
        self.file = file;
        self.length = bytes.len() as u64;
        self.compact_at = self.length + COMPACT_BYTES;
        self.pending.clear();
        Ok(())
    }
}

fn create(path: &Path) -> Result<File, RecordsError> {
    let options = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path);
    options.map_err(|error| RecordsError::Io { path: path.to_owned(), error })
}

fn append(record: &Record, bytes: &mut Vec<u8>) -> Result<(), RecordsError> {
    let body = bincode::serde::encode_to_vec(record, bincode::config::standard()).unwrap_or_default();
    if body.is_empty() || body.len() > RECORD_BYTES_MAX {
        return Err(RecordsError::TooLong(body.len()));
    }
    bytes.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(())
}

/// The first record and what follows it.
fn cut(bytes: &[u8]) -> Option<(Record, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let [a, b, c, d, e, f, g, h] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    let body = rest.get(..length).filter(|_| length <= RECORD_BYTES_MAX)?;
    if crc32fast::hash(body) != u32::from_le_bytes([e, f, g, h]) {
        return None;
    }
    let limit = bincode::config::standard().with_limit::<RECORD_BYTES_MAX>();
    let (record, used) = bincode::serde::decode_from_slice(body, limit).ok()?;
    (used == length).then_some((record, rest.get(length..)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::ids::{Attempt, Ordinal};

    fn task(ordinal: u32) -> AttemptRef {
        AttemptRef { ordinal: Ordinal(ordinal), attempt: Attempt(1) }
    }

    fn started(ordinal: u32) -> Record {
        Record::Started { task: task(ordinal), pid: 7, start_ticks: 9, start: WallTime(5) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_torn_or_damaged_tail_hides_only_itself(count in 1u32..20, at in any::<prop::sample::Index>(), flip in any::<bool>()) {
            let folder = tempfile::tempdir().unwrap();
            let mut records = Records::create(folder.path(), JobId(5)).unwrap();
            let mut ends = Vec::new();
            for ordinal in 0..count {
                records.intend([task(ordinal)]).unwrap();
                records.push(&started(ordinal)).unwrap();
                records.flush().unwrap();
                ends.push(records.length as usize);
            }
            let path = folder.path().join(RECORDS_FILE);
            let whole = read(folder.path()).unwrap();
            prop_assert!(!whole.torn && whole.attempts.len() == count as usize && whole.job == Some(JobId(5)));
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            if flip { bytes[at] ^= 0x40 } else { bytes.truncate(at) }
            std::fs::write(&path, &bytes).unwrap();
            let got = read(folder.path()).unwrap();
            let sure = ends.iter().filter(|end| **end <= at).count() as u32;
            for ordinal in 0..count {
                let fate = got.attempts.get(&task(ordinal));
                if ordinal < sure {
                    prop_assert_eq!(fate, Some(&Fate::Started { pid: 7, start_ticks: 9, start: WallTime(5) }));
                } else {
                    prop_assert!(ordinal == sure || fate.is_none());
                }
            }
        }
    }

    #[test]
    fn a_rewritten_file_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut records = Records::create(folder.path(), JobId(5)).unwrap();
        assert!(Records::create(folder.path(), JobId(5)).is_err(), "an id is used once");
        records.push(&started(1)).unwrap();
        records.flush().unwrap();
        records.rewrite([Record::Intent(task(2))]).unwrap();
        records.push(&started(3)).unwrap();
        records.flush().unwrap();
        let got = read(folder.path()).unwrap();
        let found: Vec<_> = got.attempts.into_iter().collect();
        let fate = Fate::Started { pid: 7, start_ticks: 9, start: WallTime(5) };
        assert_eq!(found, [(task(2), Fate::Intended), (task(3), fate)]);
    }
}
