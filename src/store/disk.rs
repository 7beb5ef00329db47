//! The file operations that the log and the content files need, relative to one root folder.
//!
//! Two disks stand behind the trait: [`real::RealDisk`], and [`memory::MemoryDisk`], which knows what was synced
//! and what was not, and can lose power, flip bits, run full and fail. Both keep one rule: after one failed write
//! or sync nobody knows what is on the platter, so the whole disk is poisoned and every later call fails. The
//! process ends and its successor finds out by reading. Only a lack of room met while *allocating* is harmless;
//! therefore space is always allocated before it is written.

pub mod memory;
pub mod real;

use std::io;
use std::sync::{Arc, OnceLock};

use thiserror::Error;

/// What can go wrong with a file operation. Paths are relative to the state folder, unless they begin with `/`.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The file or folder is not there.
    #[error("{path} is not there; check that the state folder is the right one, mounted and complete")]
    Missing {
        /// Which.
        path: String,
    },
    /// There is no room for more; nothing was written.
    #[error("{path}: no room left on the disk of the state folder; free some and try again")]
    NoRoom {
        /// The file that was to grow.
        path: String,
    },
    /// Another process holds the state folder.
    #[error("{path}: the state folder is in use by {holder}; stop that process first")]
    Locked {
        /// The lock file.
        path: String,
        /// Who, as far as the lock file says: `process 123`.
        holder: String,
    },
    /// An earlier write or sync failed, so nothing more is believed.
    #[error("the state folder is not used any more after a failure ({cause}); restart the daemon")]
    Poisoned {
        /// What failed first.
        cause: String,
    },
    /// A path that leads out of the state folder, or is empty: a mistake in the caller.
    #[error("{path:?} is no path inside the state folder")]
    BadPath {
        /// As given.
        path: String,
    },
    /// Anything else that the operating system said.
    #[error("cannot {what} {path}: {source}; check the disk, then restart the daemon")]
    Failed {
        /// The operation, as a verb.
        what: &'static str,
        /// On which file.
        path: String,
        /// The reason.
        source: io::Error,
    },
}

impl DiskError {
    /// Whether this only says that there is no room, which changed nothing and may pass.
    pub fn is_no_room(&self) -> bool {
        matches!(self, DiskError::NoRoom { .. })
    }
}

/// The folder that holds all durable state of one controller. Paths use `/` and are relative.
pub trait Disk: Send + Sync {
    /// Opens an existing file for reading and writing, or only for reading.
    fn open(&self, path: &str, access: Access) -> Result<Box<dyn DiskFile>, DiskError>;
    /// Opens a new, empty file; one that is there already is emptied. Durable only after a sync of the file and
    /// of its folder. No room for it is [`DiskError::NoRoom`].
    fn create(&self, path: &str) -> Result<Box<dyn DiskFile>, DiskError>;
    /// The names of the files in `folder`, sorted; `""` is the root.
    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError>;
    /// Length of a file in bytes, or `None` if it is not there.
    fn length(&self, path: &str) -> Result<Option<u64>, DiskError>;
    /// Makes a folder below the root, unless it is there, and makes it durable.
    fn make_folder(&self, folder: &str) -> Result<(), DiskError>;
    /// Gives a file another name in the same folder, in place of what has that name. Durable after `sync_folder`.
    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError>;
    /// Removes a file. Durable after `sync_folder`.
    fn remove(&self, path: &str) -> Result<(), DiskError>;
    /// Makes creations, renames and removals in `folder` durable; `""` is the root.
    fn sync_folder(&self, folder: &str) -> Result<(), DiskError>;
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading only.
    Read,
    /// Reading and writing.
    Write,
}

/// One open file of a [`Disk`].
pub trait DiskFile: Send + Sync {
    /// Reads from `offset` (bytes) until `buffer` is full or the file ends; gives the number of bytes read.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;
    /// Writes all of `bytes` at `offset`. Not durable before `sync_data`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;
    /// Sees to it that bytes `offset..offset + length` can be written without needing more room. New ones read as
    /// zeros, and the file is at least that long. [`DiskError::NoRoom`] leaves the disk usable.
    fn allocate(&mut self, offset: u64, length: u64) -> Result<(), DiskError>;
    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, length: u64) -> Result<(), DiskError>;
    /// Blocks until everything written to this file is durable, its length included.
    fn sync_data(&mut self) -> Result<(), DiskError>;
    /// Length in bytes.
    fn length(&self) -> Result<u64, DiskError>;
}

/// Remembers the first failure for all handles of one disk.
#[derive(Clone, Debug, Default)]
struct Poison(Arc<OnceLock<String>>);

impl Poison {
    /// Fails if anything failed before.
    fn check(&self) -> Result<(), DiskError> {
        match self.0.get() {
            Some(cause) => Err(DiskError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    /// Passes `outcome` on, and remembers it for ever if it is a failure.
    fn guard<T>(&self, outcome: Result<T, DiskError>) -> Result<T, DiskError> {
        if let Err(error) = &outcome {
            // Only the first cause counts; the later ones follow from it.
            let _ = self.0.set(error.to_string());
        }
        outcome
    }
}

/// Whether `path` stays below the root: parts joined by `/`, none of them empty, `.` or `..`.
fn check_path(path: &str) -> Result<(), DiskError> {
    let fits = path.split('/').all(|part| !matches!(part, "" | "." | "..") && !part.contains('\0'));
    if fits { Ok(()) } else { Err(DiskError::BadPath { path: path.to_owned() }) }
}

/// The same for a folder, which may also be the root, `""`.
fn check_folder(folder: &str) -> Result<(), DiskError> {
    if folder.is_empty() { Ok(()) } else { check_path(folder) }
}

/// Reads a whole file that must not be longer than `most_bytes`.
pub fn read_all(disk: &dyn Disk, path: &str, most_bytes: u64) -> Result<Vec<u8>, DiskError> {
    let file = disk.open(path, Access::Read)?;
    let length = file.length()?;
    let too_long = || DiskError::Failed {
        what: "read",
        path: path.to_owned(),
        source: io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has {length} bytes, and at most {most_bytes} were expected"),
        ),
    };
    if length > most_bytes {
        return Err(too_long());
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| too_long())?];
    let got = file.read_at(0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// How much is copied at a time.
const COPY_BYTES: u64 = 1 << 20;

/// Copies one file to another disk, durably but for its name; how many bytes it has.
///
/// # Errors
/// Either disk.
pub fn copy(from: &dyn Disk, path: &str, to: &dyn Disk, name: &str) -> Result<u64, DiskError> {
    let source = from.open(path, Access::Read)?;
    let mut target = to.create(name)?;
    let length = source.length()?;
    let mut done = 0;
    while done < length {
        let mut bytes = vec![0; usize::try_from(COPY_BYTES.min(length - done)).unwrap_or_default()];
        let got = source.read_at(done, &mut bytes)?;
        if got == 0 {
            break;
        }
        bytes.truncate(got);
        target.allocate(done, got as u64)?;
        target.write_at(done, &bytes)?;
        done += got as u64;
    }
    target.sync_data()?;
    Ok(done)
}

/// Writes a whole file so that its name holds either what was there before or all of `bytes`, durably when it
/// returns. `temporary` is a name in the same folder that is free for it.
pub fn write_whole(
    disk: &dyn Disk,
    folder: &str,
    temporary: &str,
    path: &str,
    bytes: &[u8],
) -> Result<(), DiskError> {
    let mut file = disk.create(temporary)?;
    if !bytes.is_empty()
        && let Err(error) = file.allocate(0, bytes.len() as u64)
    {
        drop(file);
        // A lack of room leaves nothing behind that would make it worse.
        disk.remove(temporary)?;
        return Err(error);
    }
    file.write_at(0, bytes)?;
    file.sync_data()?;
    drop(file);
    disk.rename(temporary, path)?;
    disk.sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert!(check_path("journal/0001.seg").is_ok());
        for bad in ["", "/etc", "a//b", "../x", "a/../b", ".", "a/", "a\0b"] {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_folder("").is_ok());
    }
}
