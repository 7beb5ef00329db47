//! A backup: a fresh export, content, kept output, and the identity of the cluster, in a folder of its own from which
//! `jctld restore` makes a controller again, on this host or another. It holds the CA's key: whoever has it can be
//! anybody, so it is readable by its owner alone.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::store::cluster_file::{self, ClusterFile, ClusterFileError};
use crate::store::content;
use crate::store::disk::real::RealDisk;
use crate::store::disk::{self, Disk, DiskError};
use crate::store::export::manifest::Manifest;
use crate::store::export::rows_file::RowsFault;
use crate::store::export::{self, files};
use crate::store::output;

/// The settings in a backup.
pub const SETTINGS: &str = "jctld.toml";
/// The CA in a backup.
pub const CA: &str = "ca";
/// The controller's certificate and key in a backup.
pub const CREDENTIALS: &str = "controller";

/// Why there is no backup, or none that can be used.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is something already.
    #[error("{path} is not empty; name a folder that is new or empty")]
    NotEmpty {
        /// Which.
        path: PathBuf,
    },
    /// A relative path means nothing to a daemon.
    #[error("{path} is not absolute; name the folder from the root, on the controller's host")]
    Relative {
        /// Which.
        path: PathBuf,
    },
    /// A file outside of the state folder.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder of state.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The cluster file.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// What was copied is not what was written.
    #[error(transparent)]
    Damage(#[from] RowsFault),
}

/// What a backup is made of, beside the export.
#[derive(Clone, Debug)]
pub struct Sources {
    /// `jctld.toml`.
    pub settings: PathBuf,
    /// The CA's folder.
    pub ca: PathBuf,
    /// The controller's certificate and key.
    pub credentials: PathBuf,
}

/// Copies an export and all that belongs to it into `folder`, durably, and reads it back. The `cluster` file comes
/// last: without it a folder is no backup.
///
/// # Errors
/// Nothing of the running controller is changed by any failure; what was copied stays, and is no backup.
pub fn write(
    from: &dyn Disk,
    cluster: &ClusterFile,
    manifest: &Manifest,
    sources: &Sources,
    folder: &Path,
) -> Result<u64, BackupError> {
    if !folder.is_absolute() {
        return Err(BackupError::Relative { path: folder.to_owned() });
    }
    must_be_empty(folder)?;
    let to = RealDisk::create(folder)?;
    to.make_folder(export::FOLDER)?;
    let mut bytes = 0;
    for note in files(manifest) {
        bytes += disk::copy(from, &note.path, &to, &note.path)?;
    }
    to.sync_folder(export::FOLDER)?;
    export::verify(&to, manifest)?;
    manifest.write(&to)?;
    to.make_folder(content::FOLDER)?;
    for hash in content::list(from)? {
        let path = content::path(hash);
        bytes += disk::copy(from, &path, &to, &path)?;
    }
    to.sync_folder(content::FOLDER)?;
    bytes += output::copy(from, &to)?;
    copy_outside(&sources.settings, &folder.join(SETTINGS))?;
    copy_folder(&sources.ca, &folder.join(CA))?;
    copy_folder(&sources.credentials, &folder.join(CREDENTIALS))?;
    to.sync_folder("")?;
    cluster_file::create(&to, cluster)?;
    Ok(bytes)
}

/// Whether `folder` is not there or has nothing in it.
///
/// # Errors
/// [`BackupError::NotEmpty`], or that it can't be read.
pub fn must_be_empty(folder: &Path) -> Result<(), BackupError> {
    match fs::read_dir(folder) {
        Ok(mut entries) => match entries.next() {
            Some(_) => Err(BackupError::NotEmpty { path: folder.to_owned() }),
            None => Ok(()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(BackupError::File { path: folder.to_owned(), source }),
    }
}

/// Copies the files of a folder that is nobody's state, readable by their owner alone, durably.
///
/// # Errors
/// The first file that can't be copied.
pub fn copy_folder(from: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed(to))?;
    for entry in fs::read_dir(from).map_err(failed(from))? {
        let entry = entry.map_err(failed(from))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            copy_outside(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    fs::File::open(to).and_then(|folder| folder.sync_all()).map_err(failed(to))
}

/// Brings the copies of settings, CA and credentials in a mirror up to what they are now.
///
/// # Errors
/// Which file, and why.
pub fn refresh_identity(sources: &Sources, folder: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    refresh(&sources.settings, &folder.join(SETTINGS))?;
    for (from, name) in [(&sources.ca, CA), (&sources.credentials, CREDENTIALS)] {
        let to = folder.join(name);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&to).map_err(failed(&to))?;
        for entry in fs::read_dir(from).map_err(failed(from))? {
            let entry = entry.map_err(failed(from))?;
            if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                refresh(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
        fs::File::open(&to).and_then(|folder| folder.sync_all()).map_err(failed(&to))?;
    }
    fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed(folder))
}

/// Copies one file in place of what is there, unless that is the same.
fn refresh(from: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    if fs::read(to).is_ok_and(|old| fs::read(from).is_ok_and(|new| new == old)) {
        return Ok(());
    }
    let draft = to.with_extension("new");
    let _ = fs::remove_file(&draft);
    copy_outside(from, &draft)?;
    fs::rename(&draft, to).map_err(failed(to))
}

/// Copies one such file; one that is there is not overwritten.
///
/// # Errors
/// Which file, and why.
pub fn copy_outside(from: &Path, to: &Path) -> Result<(), BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let mut source = fs::File::open(from).map_err(failed(from))?;
    let mut target =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed(to))?;
    io::copy(&mut source, &mut target).map_err(failed(to))?;
    target.sync_all().map_err(failed(to))
}
