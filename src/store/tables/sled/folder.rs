//! The files around sled: the note of how it was left, and its folder as a whole.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::TablesError;
use crate::model::ids::BootId;

const STORE: &str = "sled";
const NOTE: &str = "note";
const NOTE_TEMPORARY: &str = "note.new";
const ASIDE_SUFFIX: &str = "aside";
/// The most bytes of the note that are looked at.
const NOTE_BYTES_MAX: u64 = 256;

/// How the tables were left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note {
    /// The host's boot in which they were opened last.
    pub boot: BootId,
    /// Whether they were closed, all of it durable, since then.
    pub closed: bool,
}

impl Note {
    /// Reads it; `None` if it is not there or not whole.
    pub fn load(folder: &Path) -> Option<Note> {
        let mut text = String::new();
        File::open(folder.join(NOTE)).ok()?.take(NOTE_BYTES_MAX).read_to_string(&mut text).ok()?;
        let (boot, rest) = text.strip_prefix("boot ")?.split_once(' ')?;
        let boot = u128::from_str_radix(boot, 16).ok()?.to_be_bytes();
        let note = Note { boot: BootId(boot), closed: rest.starts_with("closed") };
        // There is one way to write it; anything else is damage.
        (note.text() == text).then_some(note)
    }

    /// Writes it, durably.
    pub fn save(&self, folder: &Path) -> Result<(), TablesError> {
        let temporary = folder.join(NOTE_TEMPORARY);
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
            file.write_all(self.text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, folder.join(NOTE))?;
            File::open(folder)?.sync_all()
        };
        write().map_err(failed("write the note of", folder))
    }

    fn text(&self) -> String {
        let state = if self.closed { "closed" } else { "open" };
        let line = format!("boot {} {state}", self.boot);
        let check = crc32fast::hash(line.as_bytes());
        format!("{line} {check:08x}\n")
    }
}

/// Sees to it that the tables are not believed when they are opened next.
pub fn distrust(folder: &Path) {
    // What can't be removed can't be read next time either, or sled says again what it said now.
    let _ = fs::remove_file(folder.join(NOTE));
}

/// Where sled itself is.
pub fn store(folder: &Path) -> PathBuf {
    folder.join(STORE)
}

/// Makes the folder.
pub fn make(folder: &Path) -> Result<(), TablesError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed("make", folder))?;
    sync_parent(folder)
}

/// Removes the folder, if it is there.
pub fn remove(folder: &Path) -> Result<(), TablesError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// Gives the folder another name; what has that name from an earlier time goes.
pub fn set_aside(folder: &Path) -> Result<(), TablesError> {
    let aside = folder.with_extension(ASIDE_SUFFIX);
    remove(&aside)?;
    fs::rename(folder, &aside).map_err(failed("set aside", folder))?;
    sync_parent(folder)
}

/// Syncs all files below `folder`, and the folders.
pub fn sync(folder: &Path) -> Result<(), TablesError> {
    let walk = || -> io::Result<Vec<PathBuf>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                File::open(entry.path())?.sync_all()?;
            }
        }
        File::open(folder)?.sync_all()?;
        Ok(folders)
    };
    // sled's folder has one level below it.
    walk().map_err(failed("sync", folder))?.iter().try_for_each(|folder| sync(folder))
}

fn sync_parent(folder: &Path) -> Result<(), TablesError> {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed("sync", parent))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TablesError {
    let path = path.display().to_string();
    move |source| TablesError::File { what, path, source }
}
