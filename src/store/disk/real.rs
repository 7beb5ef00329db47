//! A disk in a folder of the file system, held by one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, posix_fallocate};

use super::{Access, Disk, DiskError, DiskFile, Poison, check_folder, check_path};

/// Name of the file whose lock is the right to use the folder. It holds the pid of who has it.
pub const LOCK_FILE: &str = "lock";

/// Permissions of every file made here: scripts and environments are the owner's secret.
const FILE_MODE: u32 = 0o600;
/// Permissions of every folder made here.
const FOLDER_MODE: u32 = 0o700;
/// The most bytes of the lock file that are looked at.
const LOCK_FILE_BYTES_MAX: u64 = 64;

/// How much room the file system of a folder has for who is not root, in bytes.
///
/// # Errors
/// What the operating system says.
pub fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = nix::sys::statvfs::statvfs(folder)?;
    Ok(found.blocks_available().saturating_mul(found.fragment_size()))
}

/// The state folder of a controller, locked for as long as this value or a clone of it lives.
#[derive(Clone, Debug)]
pub struct RealDisk {
    root: PathBuf,
    poison: Poison,
    _lock: Arc<Flock<File>>,
}

impl RealDisk {
    /// Makes the folder `root` unless it is there, and takes it as `open` does. For `init` alone.
    pub fn create(root: &Path) -> Result<RealDisk, DiskError> {
        make_durable_folder(root)?;
        RealDisk::open(root)
    }

    /// Takes the folder `root` for this process alone.
    ///
    /// # Errors
    /// [`DiskError::Missing`] if it is not there, [`DiskError::Locked`] if another holder lives, anything else if
    /// it can't be used.
    pub fn open(root: &Path) -> Result<RealDisk, DiskError> {
        let path = root.join(LOCK_FILE);
        let name = path.display().to_string();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(&path)
            .map_err(failed("open", &name))?;
        let lock =
            Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(file, errno)| match errno {
                Errno::EWOULDBLOCK => DiskError::Locked { path: name.clone(), holder: holder_of(&file) },
                errno => failed("lock", &name)(errno.into()),
            })?;
        lock.set_len(0).map_err(failed("write", &name))?;
        (&*lock).write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed("write", &name))?;
        Ok(RealDisk { root: root.to_owned(), poison: Poison::default(), _lock: Arc::new(lock) })
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, path: &str) -> Result<PathBuf, DiskError> {
        self.poison.check()?;
        check_path(path)?;
        Ok(self.root.join(path))
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str, access: Access) -> Result<Box<dyn DiskFile>, DiskError> {
        let full = self.path(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(access == Access::Write)
            .open(full)
            .map_err(failed("open", path))?;
        Ok(Box::new(RealFile { file, path: path.to_owned(), poison: self.poison.clone() }))
    }

    fn create(&self, path: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        let full = self.path(path)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FILE_MODE)
            .open(full)
            .map_err(failed("create", path))?;
        Ok(Box::new(RealFile { file, path: path.to_owned(), poison: self.poison.clone() }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        self.poison.check()?;
        check_folder(folder)?;
        let mut names = Vec::new();
        for entry in fs::read_dir(self.root.join(folder)).map_err(failed("list", folder))? {
            let entry = entry.map_err(failed("list", folder))?;
            let is_file = entry.file_type().map_err(failed("list", folder))?.is_file();
            // A name that is not UTF-8 was not made here.
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn length(&self, path: &str) -> Result<Option<u64>, DiskError> {
        match fs::metadata(self.path(path)?) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("look at", path)(error)),
        }
    }

    fn make_folder(&self, folder: &str) -> Result<(), DiskError> {
        make_durable_folder(&self.path(folder)?)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        fs::rename(self.path(from)?, self.path(to)?).map_err(failed("rename", from))
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        fs::remove_file(self.path(path)?).map_err(failed("remove", path))
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        self.poison.check()?;
        check_folder(folder)?;
        self.poison.guard(sync_folder(&self.root.join(folder)))
    }
}

struct RealFile {
    file: File,
    path: String,
    poison: Poison,
}

impl DiskFile for RealFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.poison.check()?;
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(done as u64)) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed("read", &self.path)(error)),
            }
        }
        Ok(done)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.poison.check()?;
        self.poison.guard(self.file.write_all_at(bytes, offset).map_err(failed("write", &self.path)))
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<(), DiskError> {
        self.poison.check()?;
        let too_big = || failed("allocate", &self.path)(Errno::EFBIG.into());
        let from = i64::try_from(offset).map_err(|_| too_big())?;
        let count = i64::try_from(length).map_err(|_| too_big())?;
        loop {
            match posix_fallocate(&self.file, from, count) {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed("allocate", &self.path)(errno.into())),
            }
        }
    }

    fn truncate(&mut self, length: u64) -> Result<(), DiskError> {
        self.poison.check()?;
        self.poison.guard(self.file.set_len(length).map_err(failed("cut", &self.path)))
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.poison.check()?;
        self.poison.guard(self.file.sync_data().map_err(failed("sync", &self.path)))
    }

    fn length(&self) -> Result<u64, DiskError> {
        self.poison.check()?;
        Ok(self.file.metadata().map_err(failed("look at", &self.path))?.len())
    }
}

/// Makes `folder` and what is missing above it, each durable in its parent.
fn make_durable_folder(folder: &Path) -> Result<(), DiskError> {
    if folder.is_dir() {
        return Ok(());
    }
    let name = folder.display().to_string();
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    if let Some(parent) = parent {
        make_durable_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(FOLDER_MODE).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make", &name)(error));
        }
        _ => {}
    }
    sync_folder(parent.unwrap_or(Path::new(".")))
}

fn sync_folder(folder: &Path) -> Result<(), DiskError> {
    let name = folder.display().to_string();
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed("sync", &name))
}

/// Who holds the lock, in words.
fn holder_of(file: &File) -> String {
    let mut text = String::new();
    let read = file.take(LOCK_FILE_BYTES_MAX).read_to_string(&mut text);
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}

/// Turns what the operating system says into an error that names the operation and the file.
fn failed(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| match source.kind() {
        io::ErrorKind::NotFound => DiskError::Missing { path },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => DiskError::NoRoom { path },
        _ => DiskError::Failed { what, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_folder_has_one_holder_who_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("deep/state");
        assert!(matches!(RealDisk::open(&root), Err(DiskError::Missing { .. })), "never made by opening");
        let first = RealDisk::create(&root).unwrap();
        let refusal = RealDisk::open(&root).unwrap_err();
        assert!(refusal.to_string().contains(&format!("process {}", std::process::id())), "{refusal}");
        let clone = first.clone();
        drop(first);
        assert!(RealDisk::open(&root).is_err(), "a clone holds the lock as well");
        drop(clone);
        RealDisk::open(&root).unwrap();
    }

    #[test]
    fn files_are_private_and_do_what_the_trait_says() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        disk.make_folder("a").unwrap();
        let mut file = disk.create("a/x").unwrap();
        file.allocate(0, 10_000).unwrap();
        file.write_at(9_998, b"hello").unwrap();
        file.sync_data().unwrap();
        disk.sync_folder("a").unwrap();
        assert_eq!(disk.length("a/x").unwrap(), Some(10_003));
        let mut bytes = [7; 8];
        assert_eq!(file.read_at(9_997, &mut bytes).unwrap(), 6);
        assert_eq!(&bytes[..6], b"\0hello");
        file.truncate(3).unwrap();
        disk.rename("a/x", "a/y").unwrap();
        assert_eq!(disk.list("a").unwrap(), ["y"]);
        let mode = fs::metadata(folder.path().join("a/y")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, FILE_MODE);
        disk.remove("a/y").unwrap();
        assert_eq!(disk.length("a/y").unwrap(), None);
        assert!(matches!(disk.open("a/y", Access::Read), Err(DiskError::Missing { .. })));
        assert!(matches!(disk.create("../z"), Err(DiskError::BadPath { .. })));
    }

    #[test]
    fn a_failed_write_poisons_every_handle() {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path()).unwrap();
        disk.create("x").unwrap();
        let mut other = disk.create("y").unwrap();
        let mut file = disk.open("x", Access::Read).unwrap();
        assert!(file.write_at(0, b"no").is_err(), "it was opened for reading");
        assert!(matches!(other.sync_data(), Err(DiskError::Poisoned { .. })));
        assert!(matches!(disk.list(""), Err(DiskError::Poisoned { .. })));
    }
}
