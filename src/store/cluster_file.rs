//! The `cluster` file: whose state a folder holds. Made last at `init`, and needed for everything else.
//!
//! A folder without it is never taken for a new cluster's: an empty queue must be somebody's wish, not a disk that
//! was not mounted.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::disk::{Disk, DiskError, read_all, write_whole};
use crate::model::identity::name_is_valid;
use crate::model::ids::Incarnation;

/// Where it is.
pub const CLUSTER_FILE: &str = "cluster";
/// The version written, and the highest one read.
pub const VERSION: u32 = 1;
/// The most bytes that are read of it.
pub const CLUSTER_FILE_BYTES_MAX: u64 = 4096;

const TEMPORARY: &str = "cluster.new";

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterFile {
    /// The cluster's name; valid as [`name_is_valid`] says.
    pub name: String,
    /// The incarnation that journal and tables must have, too.
    pub incarnation: Incarnation,
}

/// Why there is no use in it.
#[derive(Debug, Error)]
pub enum ClusterFileError {
    /// The folder is not, or no longer, a controller's.
    #[error(
        "the state folder has no `cluster` file; check its path and that its disk is mounted, or run `jctld init`"
    )]
    Missing,
    /// `init` on a folder that is in use.
    #[error("the state folder is that of cluster {name} already; nothing was changed")]
    Exists {
        /// Its name, as far as it can be read.
        name: String,
    },
    /// Its content is not what was written.
    #[error(
        "the `cluster` file of the state folder is damaged ({what}); put it back from a backup: `jctld restore`"
    )]
    Damaged {
        /// What is wrong.
        what: String,
    },
    /// Written by a later version of jsched.
    #[error("the `cluster` file has format {found}, and this jctld reads up to {VERSION}; run the newer one")]
    Newer {
        /// The version found.
        found: u32,
    },
    /// A name that no cluster can have.
    #[error("{name:?} can't be a cluster's name: letters, digits, `-`, `_` and `.`, at most 63")]
    BadName {
        /// As given.
        name: String,
    },
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// Writes the file, durably.
///
/// # Errors
/// [`ClusterFileError::Exists`] if there is one, whatever it holds.
pub fn create(disk: &dyn Disk, cluster: &ClusterFile) -> Result<(), ClusterFileError> {
    if !name_is_valid(&cluster.name) {
        return Err(ClusterFileError::BadName { name: cluster.name.clone() });
    }
    if disk.length(CLUSTER_FILE)?.is_some() {
        let name = load(disk).map_or_else(|_| "(unreadable)".to_owned(), |found| found.name);
        return Err(ClusterFileError::Exists { name });
    }
    let text = render(cluster);
    Ok(write_whole(disk, "", TEMPORARY, CLUSTER_FILE, text.as_bytes())?)
}

/// Reads the file.
pub fn load(disk: &dyn Disk) -> Result<ClusterFile, ClusterFileError> {
    let bytes = match read_all(disk, CLUSTER_FILE, CLUSTER_FILE_BYTES_MAX) {
        Err(DiskError::Missing { .. }) => return Err(ClusterFileError::Missing),
        other => other?,
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it is not text"))?;
    let version: Version = toml::from_str(text).map_err(|error| damaged(error.message()))?;
    if version.version > VERSION {
        return Err(ClusterFileError::Newer { found: version.version });
    }
    let lines: Lines = toml::from_str(text).map_err(|error| damaged(error.message()))?;
    let incarnation =
        parse_hex(&lines.incarnation).ok_or_else(|| damaged("the incarnation is no hex number"))?;
    let cluster = ClusterFile { name: lines.name, incarnation: Incarnation(incarnation) };
    if !name_is_valid(&cluster.name) || render(&cluster) != text {
        return Err(damaged("the check does not agree"));
    }
    Ok(cluster)
}

/// Only what every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Lines {
    version: u32,
    name: String,
    incarnation: String,
    check: String,
}

/// The text of the file. It has one form only, so reading can compare.
fn render(cluster: &ClusterFile) -> String {
    let mut text = String::new();
    // Writing into a String can't fail.
    let _ = write!(
        text,
        "# Made by jctld; whose state this folder holds. Don't edit, don't copy elsewhere.\n\
         version = {VERSION}\nname = \"{}\"\nincarnation = \"{}\"\n",
        cluster.name, cluster.incarnation
    );
    let check = blake3::hash(text.as_bytes()).to_hex();
    let _ = writeln!(text, "check = \"{check}\"");
    text
}

fn parse_hex(text: &str) -> Option<[u8; 16]> {
    if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(u128::from_str_radix(text, 16).ok()?.to_be_bytes())
}

fn damaged(what: &str) -> ClusterFileError {
    ClusterFileError::Damaged { what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::memory::MemoryDisk;

    fn example() -> ClusterFile {
        ClusterFile { name: "hpc-1".to_owned(), incarnation: Incarnation(*b"0123456789abcdef") }
    }

    #[test]
    fn it_is_there_after_any_crash_once_made_and_never_made_twice() {
        for seed in 0..20 {
            let disk = MemoryDisk::new();
            assert!(matches!(load(&disk), Err(ClusterFileError::Missing)));
            create(&disk, &example()).unwrap();
            let disk = disk.crash(seed);
            assert_eq!(load(&disk).unwrap(), example());
            assert!(
                matches!(create(&disk, &example()), Err(ClusterFileError::Exists { name }) if name == "hpc-1")
            );
        }
    }

    #[test]
    fn any_flipped_bit_is_seen() {
        let disk = MemoryDisk::new();
        create(&disk, &example()).unwrap();
        let bits = disk.contents(CLUSTER_FILE).unwrap().len() as u64 * 8;
        for bit in 0..bits {
            disk.flip(CLUSTER_FILE, bit);
            assert!(load(&disk).is_err(), "bit {bit}");
            disk.flip(CLUSTER_FILE, bit);
        }
        load(&disk).unwrap();
    }

    #[test]
    fn names_are_checked_and_later_versions_named() {
        let disk = MemoryDisk::new();
        let bad = ClusterFile { name: "a\"b".to_owned(), ..example() };
        assert!(matches!(create(&disk, &bad), Err(ClusterFileError::BadName { .. })));
        write_whole(&disk, "", TEMPORARY, CLUSTER_FILE, b"version = 2\nnews = true\n").unwrap();
        assert!(matches!(load(&disk), Err(ClusterFileError::Newer { found: 2 })));
    }
}
