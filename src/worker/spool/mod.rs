//! What a node keeps on its disk: its spool id, the agent's log, contents, and a folder for each supervisor.
//!
//! ```text
//! spool/id            the spool id; another one is another instance of the node
//! spool/lock          held by the one daemon that uses the spool
//! spool/agent.log     the agent's records
//! spool/content/HASH  scripts, environments and lines that known attempts need
//! spool/jobs/JOB-N-ID a supervisor's folder: its socket, script and records
//! spool/ahead/ID      the folder of a supervisor that has no job yet; moved to `jobs` before it is given one
//! ```

mod log;

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};

pub use log::{Found, Log, RECORD_BYTES_MAX, REWRITE_BYTES};

use crate::agent::{Record, SupervisorId};
use crate::model::ids::{ContentHash, JobId, SpoolId};
use crate::wire::node::Content;

const ID_FILE: &str = "id";
const LOCK_FILE: &str = "lock";
const CONTENT_FOLDER: &str = "content";
/// The folder of the supervisors' folders, `JOB-SUPERVISOR-NAME` each.
pub const JOBS_FOLDER: &str = "jobs";
const AHEAD_FOLDER: &str = "ahead";
/// Users' processes pass through to their own folders below, and see nothing on the way.
const PASSING_MODE: u32 = 0o711;
const PRIVATE_MODE: u32 = 0o700;

/// What can be wrong with a spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The disk.
    #[error("{path}: {error}; the node's folder must be on a local disk with room")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Another daemon has it.
    #[error("{path} is in use{by}: one jworkerd per folder; stop the other one or use another --dir")]
    InUse {
        /// The lock.
        path: PathBuf,
        /// By which process, if that is known.
        by: String,
    },
    /// A log without its id: this is no new spool, but a damaged one.
    #[error(
        "{path} is missing or unreadable although the spool has been used; restore it, or move the folder away \
         for a new instance of this node"
    )]
    NoId {
        /// The file.
        path: PathBuf,
    },
    /// A record that this build can't read or write.
    #[error("{path}: {reason}")]
    Record {
        /// The log.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// A supervisor's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The supervisor's number in this spool.
    pub supervisor: SupervisorId,
    /// Its job.
    pub job: JobId,
    /// Its random name, which marks its processes.
    pub name: String,
    /// Where.
    pub path: PathBuf,
}

/// A spool, locked.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    id: SpoolId,
    log: Log,
    _lock: Flock<File>,
}

/// What a spool was found to hold.
#[derive(Debug)]
pub struct Contained {
    /// The agent's log.
    pub log: Found,
    /// Contents.
    pub contents: Vec<ContentHash>,
    /// Supervisors' folders.
    pub supervisors: Vec<Folder>,
}

impl Spool {
    /// Opens the spool in `folder`, and makes it if there is none. `random` becomes the id of a new one.
    ///
    /// # Errors
    /// [`SpoolError`]; nothing was changed then but what was missing.
    pub fn open(folder: &Path, random: [u8; 16]) -> Result<(Spool, Contained), SpoolError> {
        for (path, mode) in [
            (folder.to_owned(), PASSING_MODE),
            (folder.join(JOBS_FOLDER), PASSING_MODE),
            (folder.join(AHEAD_FOLDER), PRIVATE_MODE),
            (folder.join(CONTENT_FOLDER), PRIVATE_MODE),
        ] {
            make_folder(&path, mode)?;
        }
        let lock = lock(&folder.join(LOCK_FILE))?;
        let id = id(folder, random)?;
        // What was started ahead by an earlier daemon went with it.
        for name in names(&folder.join(AHEAD_FOLDER))? {
            let _ = std::fs::remove_dir_all(folder.join(AHEAD_FOLDER).join(name));
        }
        let (log, found) = Log::open(folder)?;
        let contents = names(&folder.join(CONTENT_FOLDER))?.iter().filter_map(|name| hash_of(name)).collect();
        let mut supervisors = Vec::new();
        for name in names(&folder.join(JOBS_FOLDER))? {
            supervisors.extend(folder_of(&folder.join(JOBS_FOLDER), &name));
        }
        let spool = Spool { folder: folder.to_owned(), id, log, _lock: lock };
        Ok((spool, Contained { log: found, contents, supervisors }))
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its id.
    pub fn id(&self) -> SpoolId {
        self.id
    }

    /// Appends to the agent's log.
    ///
    /// # Errors
    /// As [`Log::append`].
    pub fn append(&mut self, records: &[Record]) -> Result<(), SpoolError> {
        self.log.append(records)
    }

    /// Writes the log anew if it has grown long; `snapshot` is asked only then.
    ///
    /// # Errors
    /// As [`Log::rewrite`].
    pub fn tidy(&mut self, snapshot: impl FnOnce() -> Vec<Record>) -> Result<(), SpoolError> {
        if self.log.is_long() { self.log.rewrite(&snapshot()) } else { Ok(()) }
    }

    /// How long the agent's log is.
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// Its contents.
    pub fn contents(&self) -> Contents {
        Contents { folder: self.folder.join(CONTENT_FOLDER) }
    }

    /// Where supervisors without a job have their folders.
    pub fn ahead_folder(&self) -> PathBuf {
        self.folder.join(AHEAD_FOLDER)
    }

    /// The folder for a new supervisor of that name, which is a random number in 16 hexadecimal digits.
    pub fn supervisor_folder(&self, supervisor: SupervisorId, job: JobId, name: String) -> Folder {
        let path = self.folder.join(JOBS_FOLDER).join(format!("{job}-{supervisor}-{name}"));
        Folder { supervisor, job, name, path }
    }

    /// Removes a supervisor's folder. Links in it are removed, not followed.
    ///
    /// # Errors
    /// What the disk answered; that it is gone already is none.
    pub fn remove_supervisor(folder: &Folder) -> io::Result<()> {
        match std::fs::remove_dir_all(&folder.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The contents of a spool; a handle that can be passed around.
#[derive(Clone, Debug)]
pub struct Contents {
    folder: PathBuf,
}

impl Contents {
    /// Keeps a content; whole under its name, or not there.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn keep(&self, content: &Content) -> Result<(), SpoolError> {
        let path = self.content_path(&content.hash);
        let new = path.with_extension("new");
        let write = || -> io::Result<()> {
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&content.bytes)?;
            std::fs::rename(&new, &path)
        };
        write().map_err(|error| SpoolError::Io { path: new.clone(), error })
    }

    /// Reads a content, and believes it only if it has its hash.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn read(&self, hash: &ContentHash) -> Result<Vec<u8>, SpoolError> {
        let path = self.content_path(hash);
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "it is damaged");
        std::fs::read(&path)
            .and_then(|bytes| if ContentHash::of(&bytes) == *hash { Ok(bytes) } else { Err(damaged()) })
            .map_err(|error| SpoolError::Io { path, error })
    }

    /// Removes a content. That it is gone already is as good.
    pub fn remove(&self, hash: &ContentHash) {
        let _ = std::fs::remove_file(self.content_path(hash));
    }

    fn content_path(&self, hash: &ContentHash) -> PathBuf {
        self.folder.join(hash.to_string())
    }
}

/// Syncs a folder, so that names in it stay.
///
/// # Errors
/// What the disk answered.
pub fn sync_folder(folder: &Path) -> Result<(), SpoolError> {
    let sync = || File::open(folder)?.sync_all();
    sync().map_err(|error| SpoolError::Io { path: folder.to_owned(), error })
}

/// Makes a folder of that mode, whatever the umask, with those above it.
///
/// # Errors
/// What the disk answered.
pub fn make_folder(path: &Path, mode: u32) -> Result<(), SpoolError> {
    let make = || -> io::Result<()> {
        if let Some(above) = path.parent() {
            std::fs::create_dir_all(above)?;
        }
        match DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
            other => other?,
        }
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))
    };
    make().map_err(|error| SpoolError::Io { path: path.to_owned(), error })
}

fn lock(path: &Path) -> Result<Flock<File>, SpoolError> {
    let io = |error| SpoolError::Io { path: path.to_owned(), error };
    let mut options = OpenOptions::new();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(mut lock) => {
            // For whoever is refused later; the lock itself does not depend on it.
            let _ = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
            Ok(lock)
        }
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            let by = std::fs::read_to_string(path).ok().filter(|pid| !pid.trim().is_empty());
            let by = by.map_or(String::new(), |pid| format!(" by process {}", pid.trim()));
            Err(SpoolError::InUse { path: path.to_owned(), by })
        }
        Err((_, errno)) => Err(io(errno.into())),
    }
}

/// Reads the spool's id, or gives a new spool one; on the disk before it is used.
fn id(folder: &Path, random: [u8; 16]) -> Result<SpoolId, SpoolError> {
    let path = folder.join(ID_FILE);
    let io = |error| SpoolError::Io { path: path.clone(), error };
    match std::fs::read_to_string(&path) {
        Ok(text) => parse_id(text.trim()).ok_or(SpoolError::NoId { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let used = folder.join("agent.log").exists();
            if used {
                return Err(SpoolError::NoId { path });
            }
            let id = SpoolId(random);
            let new = path.with_extension("new");
            let write = || -> io::Result<()> {
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
                writeln!(file, "{id}")?;
                file.sync_all()?;
                std::fs::rename(&new, &path)
            };
            write().map_err(io)?;
            sync_folder(folder)?;
            Ok(id)
        }
        Err(error) => Err(io(error)),
    }
}

fn parse_id(text: &str) -> Option<SpoolId> {
    let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32)?;
    Some(SpoolId(number.to_be_bytes()))
}

fn names(folder: &Path) -> Result<Vec<String>, SpoolError> {
    let io = |error| SpoolError::Io { path: folder.to_owned(), error };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        names.extend(entry.map_err(io)?.file_name().into_string().ok());
    }
    names.sort_unstable();
    Ok(names)
}

fn hash_of(name: &str) -> Option<ContentHash> {
    let mut hash = [0; 32];
    if name.len() != 2 * hash.len() || !name.is_ascii() {
        return None;
    }
    for (byte, at) in hash.iter_mut().zip((0..name.len()).step_by(2)) {
        *byte = u8::from_str_radix(name.get(at..at + 2)?, 16).ok()?;
    }
    Some(ContentHash(hash))
}

fn folder_of(jobs: &Path, name: &str) -> Option<Folder> {
    let mut parts = name.split('-');
    let job = JobId(parts.next()?.parse().ok()?);
    let supervisor = SupervisorId(parts.next()?.parse().ok()?);
    let mark = parts.next().filter(|mark| mark.len() == 16 && parts.next().is_none())?;
    Some(Folder { supervisor, job, name: mark.to_owned(), path: jobs.join(name) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_found_again_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let content = Content { hash: ContentHash::of(b"text"), bytes: b"text".to_vec() };
        let (spool, contained) = Spool::open(folder.path(), [1; 16]).unwrap();
        assert!(contained.contents.is_empty() && contained.supervisors.is_empty());
        spool.contents().keep(&content).unwrap();
        let mine = spool.supervisor_folder(SupervisorId(7), JobId(3), format!("{:016x}", 0xabc));
        std::fs::create_dir(&mine.path).unwrap();
        let refused = Spool::open(folder.path(), [2; 16]).unwrap_err().to_string();
        assert!(refused.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(spool);

        let (spool, contained) = Spool::open(folder.path(), [2; 16]).unwrap();
        assert_eq!(spool.id(), SpoolId([1; 16]));
        assert_eq!(contained.contents, [content.hash]);
        assert_eq!(contained.supervisors, std::slice::from_ref(&mine));
        assert_eq!(spool.contents().read(&content.hash).unwrap(), b"text");
        std::fs::write(spool.contents().content_path(&content.hash), b"other").unwrap();
        assert!(spool.contents().read(&content.hash).is_err(), "a damaged content was believed");
        Spool::remove_supervisor(&mine).unwrap();
        Spool::remove_supervisor(&mine).unwrap();
        assert!(!mine.path.exists());
    }

    #[test]
    fn a_used_spool_without_its_id_is_not_taken_for_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        drop(Spool::open(folder.path(), [1; 16]).unwrap());
        for damage in ["", "not an id"] {
            std::fs::write(folder.path().join(ID_FILE), damage).unwrap();
            assert!(matches!(Spool::open(folder.path(), [2; 16]), Err(SpoolError::NoId { .. })));
        }
        std::fs::remove_file(folder.path().join(ID_FILE)).unwrap();
        assert!(matches!(Spool::open(folder.path(), [2; 16]), Err(SpoolError::NoId { .. })));
    }
}
