//! Exports: the whole state written anew, so that the journal need not be kept from its beginning and the tables
//! may fail.
//!
//! `exports/` holds manifests, files of live rows, and chunks of history (see [`manifest`], [`rows_file`]). An export
//! is made from the tables while their live rows are checked against count and digest; it is read back before its
//! manifest is written, and counts from then on. Two are kept, and the journal from the older one's position on. A
//! chunk of history is closed by an export and never changed; later exports name it again until retention drops it.

pub mod feed;
pub mod manifest;
pub mod rebuild;
pub mod rows_file;
#[cfg(test)]
mod tests;
pub mod write;

use std::sync::Arc;

use thiserror::Error;

use self::manifest::{Chunk, Manifest};
use self::rows_file::{FileNote, RowsFault, read_noted};
use super::disk::{Disk, DiskError};
use super::tables::TablesError;
use crate::model::ids::{Incarnation, Position};

/// Where exports are.
pub const FOLDER: &str = "exports";
/// How many are kept.
pub const EXPORTS_KEPT: usize = 2;
/// With more chunks than this, the next export writes all history as one.
pub const CHUNKS_MAX: usize = 1_000;

const MANIFEST_SUFFIX: &str = ".manifest";
const LIVE_SUFFIX: &str = ".live";
const HISTORY_SUFFIX: &str = ".history";

/// Why there is no export.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The disk failed or has no room.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The tables are not what they should be.
    #[error("{0}; restart the daemon, it rebuilds them")]
    Tables(#[from] TablesError),
    /// What was written could not be read back.
    #[error("{0}; check the disk")]
    ReadBack(RowsFault),
}

/// The exports of one state folder.
pub struct Exports {
    disk: Arc<dyn Disk>,
    incarnation: Incarnation,
    /// Those whose manifest can be read, oldest first.
    manifests: Vec<Manifest>,
    /// What was found wrong, in words.
    faults: Vec<String>,
}

impl Exports {
    /// Looks at what is there, and clears away what an interrupted export left.
    ///
    /// # Errors
    /// The disk.
    pub fn open(disk: Arc<dyn Disk>, incarnation: Incarnation) -> Result<Exports, DiskError> {
        disk.make_folder(FOLDER)?;
        let mut exports = Exports { disk, incarnation, manifests: Vec::new(), faults: Vec::new() };
        for number in numbers(&*exports.disk, MANIFEST_SUFFIX)? {
            let path = Manifest::path(number);
            match Manifest::read(&*exports.disk, &path)? {
                Ok(manifest) if manifest.incarnation == incarnation && manifest.number == number => {
                    exports.manifests.push(manifest);
                }
                Ok(_) => exports.faults.push(format!("{path} is another cluster's")),
                Err(what) => exports.faults.push(what),
            }
        }
        exports.sweep()?;
        Ok(exports)
    }

    /// The newest one.
    pub fn newest(&self) -> Option<&Manifest> {
        self.manifests.last()
    }

    /// All, oldest first.
    pub fn all(&self) -> &[Manifest] {
        &self.manifests
    }

    /// What was found wrong when they were opened.
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The disk under them.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Groups up to here may leave the journal: the older of two exports holds them.
    pub fn trimmable(&self) -> Option<Position> {
        (self.manifests.len() >= EXPORTS_KEPT).then(|| self.manifests.first().map(|first| first.position))?
    }

    /// Forgets an export that can't be used.
    ///
    /// # Errors
    /// The disk.
    pub fn discard_newest(&mut self) -> Result<(), DiskError> {
        if let Some(manifest) = self.manifests.pop() {
            self.disk.remove(&Manifest::path(manifest.number))?;
            self.disk.sync_folder(FOLDER)?;
        }
        Ok(())
    }

    /// The number of the next one, above any that was ever used here.
    fn next_number(&self) -> Result<u64, DiskError> {
        let manifests = numbers(&*self.disk, MANIFEST_SUFFIX)?;
        let lives = numbers(&*self.disk, LIVE_SUFFIX)?;
        Ok(manifests.into_iter().chain(lives).max().unwrap_or(0) + 1)
    }

    /// Takes in a new one, and lets go of what is not needed any more.
    fn push(&mut self, manifest: Manifest) -> Result<(), DiskError> {
        self.manifests.push(manifest);
        let surplus = self.manifests.len().saturating_sub(EXPORTS_KEPT);
        let old: Vec<Manifest> = self.manifests.drain(..surplus).collect();
        for manifest in &old {
            self.disk.remove(&Manifest::path(manifest.number))?;
        }
        // The manifests first, durably: none may be left that names what is gone.
        self.disk.sync_folder(FOLDER)?;
        let kept: Vec<&FileNote> = self.manifests.iter().flat_map(files).collect();
        let gone: Vec<&FileNote> = old.iter().flat_map(files).filter(|file| !kept.contains(file)).collect();
        for file in gone {
            match self.disk.remove(&file.path) {
                Ok(()) | Err(DiskError::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.faults.clear();
        Ok(())
    }

    /// Live rows without a manifest, and manifests that can't be read, are of no use once others are sound.
    fn sweep(&mut self) -> Result<(), DiskError> {
        for number in numbers(&*self.disk, LIVE_SUFFIX)? {
            let path = live_path(number);
            if disk_has_manifest(&*self.disk, number)?
                || self.manifests.iter().any(|manifest| manifest.live.path == path)
            {
                continue;
            }
            self.disk.remove(&path)?;
        }
        Ok(())
    }
}

/// Reads everything that an export names; changes nothing.
///
/// # Errors
/// The first thing that is not as it was written.
pub fn verify(disk: &dyn Disk, manifest: &Manifest) -> Result<(), RowsFault> {
    files(manifest).try_for_each(|note| read_noted(disk, note, &mut |_, _| Ok(())))
}

/// The files of an export.
pub fn files(manifest: &Manifest) -> impl Iterator<Item = &FileNote> {
    std::iter::once(&manifest.live).chain(manifest.history.iter().map(|Chunk { file, .. }| file))
}

/// Where the live rows of that number lie.
fn live_path(number: u64) -> String {
    format!("{FOLDER}/{number:010}{LIVE_SUFFIX}")
}

fn disk_has_manifest(disk: &dyn Disk, number: u64) -> Result<bool, DiskError> {
    Ok(disk.length(&Manifest::path(number))?.is_some())
}

/// The numbers of all manifests, in order.
///
/// # Errors
/// The disk.
pub fn manifest_numbers(disk: &dyn Disk) -> Result<Vec<u64>, DiskError> {
    numbers(disk, MANIFEST_SUFFIX)
}

/// The numbers of the files with that suffix, in order.
pub fn numbers(disk: &dyn Disk, suffix: &str) -> Result<Vec<u64>, DiskError> {
    let names = match disk.list(FOLDER) {
        Err(DiskError::Missing { .. }) => Vec::new(),
        other => other?,
    };
    let mut numbers: Vec<u64> =
        names.iter().filter_map(|name| name.strip_suffix(suffix)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}
