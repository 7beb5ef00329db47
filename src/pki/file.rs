//! Files of the PKI: written whole or not at all, secrets readable by their owner alone from the first byte.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The most bytes that a key or certificate file may have; a certificate of ours has under 1 KiB.
pub const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Mode of a file that holds a key.
const SECRET_MODE: u32 = 0o600;
/// Mode of a file that holds certificates.
const PUBLIC_MODE: u32 = 0o644;

/// What can go wrong with a key or certificate file.
#[derive(Debug, Error)]
pub enum FileError {
    /// The operating system said no.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// A new file was to be made and one is there.
    #[error("{0} is there already; it is not overwritten: move it away to make a new one")]
    Exists(PathBuf),
    /// A key file that others can read is no secret any more.
    #[error(
        "the key file {path} can be read by others (mode {mode:04o}); run `chmod 600 {path}`, and get a new \
         certificate if somebody may have copied it"
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Bigger than any file of this kind.
    #[error("{path} has more than {max} bytes and is no key or certificate", max = FILE_BYTES_MAX)]
    TooLong {
        /// The file.
        path: PathBuf,
    },
    /// Not readable as PEM text of the kind wanted.
    #[error("{path} holds no {wanted} in PEM form: {detail}")]
    NotPem {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        wanted: &'static str,
        /// What the reader said.
        detail: String,
    },
}

/// How a finished file takes its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Publish {
    /// Only if no file has that name ([`FileError::Exists`] otherwise).
    New,
    /// In place of what was there, at once.
    Replace,
}

/// Writes a secret: mode 0600 from the first byte, on disk with its folder before this returns.
///
/// # Errors
/// [`FileError::Exists`] with [`Publish::New`] when the name is taken; otherwise what the disk answered. Nothing
/// is left behind on failure.
pub fn write_secret(path: &Path, bytes: &[u8], publish: Publish) -> Result<(), FileError> {
    write(path, bytes, SECRET_MODE, publish)
}

/// Writes what anybody may read (mode 0644), else as [`write_secret`].
///
/// # Errors
/// As [`write_secret`].
pub fn write_public(path: &Path, bytes: &[u8], publish: Publish) -> Result<(), FileError> {
    write(path, bytes, PUBLIC_MODE, publish)
}

/// Reads a secret, and refuses one that group or others could read or write.
///
/// # Errors
/// [`FileError::Exposed`], [`FileError::TooLong`], or what the disk answered.
pub fn read_secret(path: &Path) -> Result<String, FileError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(io_error("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(FileError::Exposed { path: path.to_owned(), mode });
    }
    read_text(file, path)
}

/// Reads a certificate file.
///
/// # Errors
/// [`FileError::TooLong`], or what the disk answered.
pub fn read_public(path: &Path) -> Result<String, FileError> {
    read_text(open(path)?, path)
}

fn write(path: &Path, bytes: &[u8], mode: u32, publish: Publish) -> Result<(), FileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let draft = draft_of(path, folder)?;
    let written = write_draft(&draft, bytes, mode)
        .map_err(io_error("write", &draft))
        .and_then(|()| publish_draft(&draft, path, publish));
    if written.is_err() || publish == Publish::New {
        // Best effort: with `New` the draft is a second name of the finished file.
        let _ = fs::remove_file(&draft);
    }
    written?;
    File::open(folder).and_then(|f| f.sync_all()).map_err(io_error("sync", folder))
}

fn draft_of(path: &Path, folder: &Path) -> Result<PathBuf, FileError> {
    let mut salt = [0u8; 8];
    getrandom::fill(&mut salt)
        .map_err(|e| io_error("name a draft of", path)(io::Error::other(e.to_string())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(folder.join(format!(".{name}.{:016x}", u64::from_le_bytes(salt))))
}

fn write_draft(draft: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    // `create_new` is O_CREAT|O_EXCL, and the mode goes with the open: there is no moment of wider permission.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(draft)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn publish_draft(draft: &Path, path: &Path, publish: Publish) -> Result<(), FileError> {
    let done = match publish {
        // A hard link fails when the name is taken, which a rename does not.
        Publish::New => fs::hard_link(draft, path),
        Publish::Replace => fs::rename(draft, path),
    };
    done.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => FileError::Exists(path.to_owned()),
        _ => io_error("write", path)(source),
    })
}

fn open(path: &Path) -> Result<File, FileError> {
    File::open(path).map_err(io_error("open", path))
}

fn read_text(file: File, path: &Path) -> Result<String, FileError> {
    let mut text = String::new();
    let taken = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(io_error("read", path))?;
    if taken as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLong { path: path.to_owned() });
    }
    Ok(text)
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { action, path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_secret_is_private_new_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        write_secret(&path, b"one", Publish::New).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert!(matches!(write_secret(&path, b"two", Publish::New), Err(FileError::Exists(_))));
        assert_eq!(read_secret(&path).unwrap(), "one");
        write_secret(&path, b"three", Publish::Replace).unwrap();
        assert_eq!(read_secret(&path).unwrap(), "three");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "no draft is left behind");
        for mode in [0o640, 0o604, 0o620, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_secret(&path).unwrap_err();
            assert!(matches!(refused, FileError::Exposed { .. }), "{mode:o}");
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn a_file_at_the_edge_of_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        write_public(&path, &vec![b'a'; FILE_BYTES_MAX as usize], Publish::New).unwrap();
        assert_eq!(read_public(&path).unwrap().len() as u64, FILE_BYTES_MAX);
        write_public(&path, &vec![b'a'; FILE_BYTES_MAX as usize + 1], Publish::Replace).unwrap();
        assert!(matches!(read_public(&path), Err(FileError::TooLong { .. })));
    }
}
