//! The private folders of a job's attempts: made when one is needed, and used again when they come back as they were
//! made, because making and removing one takes longer than a short task.

use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AtFlags;
use nix::unistd::{Gid, Uid, getegid, geteuid};

use crate::worker::launch::Switch;
use crate::worker::private::SUFFIX;

const PRIVATE_MODE: u32 = 0o700;

/// The folders of one job on one node.
#[derive(Debug)]
pub struct Folders {
    base: PathBuf,
    owner: (Uid, Gid),
    /// Whether the owner is somebody else than this process.
    give_away: bool,
    made: u64,
    spare: Vec<String>,
}

impl Folders {
    /// Makes the folder around them. Only the daemon can change it, so names inside it can't be taken by others.
    ///
    /// # Errors
    /// What the disk answered.
    pub fn create(base: PathBuf, switch: Option<&Switch>) -> io::Result<Folders> {
        std::fs::DirBuilder::new().mode(0o711).create(&base)?;
        std::fs::set_permissions(&base, PermissionsExt::from_mode(0o711))?;
        let owner = match switch {
            Some(switch) => (Uid::from_raw(switch.uid), Gid::from_raw(switch.gid)),
            None => (geteuid(), getegid()),
        };
        Ok(Folders { base, owner, give_away: switch.is_some(), made: 0, spare: Vec::new() })
    }

    /// An empty folder that belongs to the user.
    ///
    /// # Errors
    /// Its path, and what the disk answered.
    pub fn take(&mut self) -> Result<String, (String, io::Error)> {
        match self.spare.pop() {
            Some(folder) => Ok(folder),
            None => self.make(""),
        }
    }

    /// A new private working directory that belongs to the user. Its name says that it outlives the supervisor.
    ///
    /// # Errors
    /// Its path, and what the disk answered.
    pub fn make_work(&mut self) -> Result<String, (String, io::Error)> {
        self.make(SUFFIX)
    }

    fn make(&mut self, suffix: &str) -> Result<String, (String, io::Error)> {
        self.made += 1;
        let folder = self.base.join(format!("{}{suffix}", self.made));
        let path = folder.to_string_lossy().into_owned();
        std::fs::DirBuilder::new()
            .mode(PRIVATE_MODE)
            .create(&folder)
            .map_err(|error| (path.clone(), error))?;
        if self.give_away {
            let ((uid, gid), at) = (self.owner, nix::fcntl::AT_FDCWD);
            nix::unistd::fchownat(at, &folder, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(|errno| (path.clone(), errno.into()))?;
        }
        Ok(path)
    }

    /// Takes a folder back of which nothing is used any more. Gives it if it has to be emptied first, by its user.
    pub fn give_back(&mut self, folder: String) -> Option<String> {
        if self.is_as_made(Path::new(&folder)) {
            self.spare.push(folder);
            return None;
        }
        std::fs::remove_dir(&folder).is_err().then_some(folder)
    }

    /// Removes all that is empty; at the very end.
    pub fn remove(&mut self) {
        for folder in self.spare.drain(..) {
            let _ = std::fs::remove_dir(folder);
        }
        let _ = std::fs::remove_dir(&self.base);
    }

    fn is_as_made(&self, folder: &Path) -> bool {
        let Ok(data) = std::fs::symlink_metadata(folder) else { return false };
        let (uid, gid) = self.owner;
        data.is_dir()
            && data.mode() & 0o7777 == PRIVATE_MODE
            && (data.uid(), data.gid()) == (uid.as_raw(), gid.as_raw())
            && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_it_was_made_is_used_again() {
        let root = tempfile::tempdir().unwrap();
        let mut folders = Folders::create(root.path().join("base"), None).unwrap();
        let first = folders.take().unwrap();
        assert_eq!(folders.give_back(first.clone()), None);
        assert_eq!(folders.take().unwrap(), first);
        std::fs::set_permissions(&first, PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(folders.give_back(first.clone()), None);
        assert!(!Path::new(&first).exists(), "somebody opened it to others");
        let second = folders.take().unwrap();
        assert_ne!(second, first);
        std::fs::write(Path::new(&second).join("left"), "").unwrap();
        assert_eq!(folders.give_back(second.clone()), Some(second.clone()));
        std::fs::remove_file(Path::new(&second).join("left")).unwrap();
        assert_eq!(folders.give_back(second), None);
        folders.remove();
        assert!(!root.path().join("base").exists());
    }
}
