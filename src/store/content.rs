//! Content too large for the tables, in files named by their hash. Durable before a record may name it.
//!
//! The caller decides who may name what; here a hash is only a name.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

use super::disk::{Disk, DiskError, read_all, write_whole};
use crate::model::ids::ContentHash;

/// Where the files are.
pub const FOLDER: &str = "content";
/// Content of more bytes than this belongs here, up to this into the tables.
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of one file.
pub const CONTENT_BYTES_MAX: usize = 64 * 1024 * 1024;

const TEMPORARY_PREFIX: &str = "new-";

/// Why content can't be kept or had.
#[derive(Debug, Error)]
pub enum ContentError {
    /// Nothing has that hash.
    #[error("no content {hash} in the store")]
    Missing {
        /// The hash asked for.
        hash: ContentHash,
    },
    /// What the disk holds has another hash.
    #[error("content {hash} is damaged on the disk; submit it again, and run `jctld verify DIR`")]
    Damaged {
        /// The hash asked for.
        hash: ContentHash,
    },
    /// What was to be kept under a hash has another one.
    #[error("the content does not have the hash {hash} that it is sent with")]
    WrongHash {
        /// As given.
        hash: ContentHash,
    },
    /// More than [`CONTENT_BYTES_MAX`].
    #[error(
        "content of {bytes} bytes is too large, the most is {CONTENT_BYTES_MAX}; put it into a file of the job's own"
    )]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The disk failed, or has no room.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// The content files of one state folder. May be shared between threads.
pub struct Content {
    disk: Arc<dyn Disk>,
    next_temporary: AtomicU64,
    /// What the last pass found useless, less what was asked for since.
    useless: Mutex<BTreeSet<ContentHash>>,
}

impl Content {
    /// Opens the folder, makes it if needed, and clears away what a crash left half written.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Content, ContentError> {
        disk.make_folder(FOLDER)?;
        for name in disk.list(FOLDER)? {
            if name.starts_with(TEMPORARY_PREFIX) {
                disk.remove(&format!("{FOLDER}/{name}"))?;
            }
        }
        Ok(Content { disk, next_temporary: AtomicU64::new(0), useless: Mutex::default() })
    }

    /// Keeps `bytes` under `hash`; durable when it returns. Content that is there already costs no writing.
    ///
    /// # Errors
    /// Without room the disk stays usable ([`DiskError::NoRoom`]); any other failure of the disk ends its use.
    pub fn put(&self, hash: ContentHash, bytes: &[u8]) -> Result<(), ContentError> {
        if bytes.len() > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLarge { bytes: bytes.len() });
        }
        if ContentHash::of(bytes) != hash {
            return Err(ContentError::WrongHash { hash });
        }
        let path = path(hash);
        self.useless.lock().unwrap_or_else(PoisonError::into_inner).remove(&hash);
        if self.get(hash).is_ok() {
            // Its bytes were synced before it got its name; the name itself may still wait.
            self.disk.sync_folder(FOLDER)?;
            return Ok(());
        }
        let number = self.next_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{FOLDER}/{TEMPORARY_PREFIX}{number}");
        Ok(write_whole(&*self.disk, FOLDER, &temporary, &path, bytes)?)
    }

    /// The content of that hash, checked.
    pub fn get(&self, hash: ContentHash) -> Result<Vec<u8>, ContentError> {
        get(&*self.disk, hash)
    }

    /// Lets go of content; nothing happens if it is not there. After a crash it may be there again.
    pub fn remove(&self, hash: ContentHash) -> Result<(), ContentError> {
        match self.disk.remove(&path(hash)) {
            Err(DiskError::Missing { .. }) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Lets go of what was useless the last time, too, and was not put again since; remembers what is useless now.
    ///
    /// # Errors
    /// What the disk said.
    pub fn remove_useless(&self, now: BTreeSet<ContentHash>) -> Result<(), ContentError> {
        // Held until the files are gone: who puts one of them meanwhile waits, and then writes it anew.
        let mut useless = self.useless.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in useless.intersection(&now) {
            self.remove(*hash)?;
        }
        *useless = now.difference(&useless).copied().collect();
        Ok(())
    }

    /// The hashes of everything here, in order, whole or not.
    pub fn list(&self) -> Result<Vec<ContentHash>, ContentError> {
        Ok(list(&*self.disk)?)
    }
}

/// The content of that hash on `disk`, checked; changes nothing.
pub fn get(disk: &dyn Disk, hash: ContentHash) -> Result<Vec<u8>, ContentError> {
    let path = path(hash);
    match disk.length(&path)? {
        None => return Err(ContentError::Missing { hash }),
        Some(length) if length > CONTENT_BYTES_MAX as u64 => return Err(ContentError::Damaged { hash }),
        Some(_) => {}
    }
    let bytes = read_all(disk, &path, CONTENT_BYTES_MAX as u64)?;
    if ContentHash::of(&bytes) == hash { Ok(bytes) } else { Err(ContentError::Damaged { hash }) }
}

/// The hashes of all content files on `disk`, in order, whole or not. None if the folder is not there.
pub fn list(disk: &dyn Disk) -> Result<Vec<ContentHash>, DiskError> {
    match disk.list(FOLDER) {
        Ok(names) => Ok(names.iter().filter_map(|name| parse(name)).collect()),
        Err(DiskError::Missing { .. }) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Where content of that hash lies.
pub fn path(hash: ContentHash) -> String {
    format!("{FOLDER}/{hash}")
}

fn parse(name: &str) -> Option<ContentHash> {
    blake3::Hash::from_hex(name).ok().map(|hash| ContentHash(*hash.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::memory::{Fault, MemoryDisk};

    fn open(disk: &MemoryDisk) -> Content {
        Content::open(Arc::new(disk.clone())).unwrap()
    }

    #[test]
    fn what_was_put_outlives_every_crash_and_nothing_else_is_given() {
        let (kept, lost) = (vec![1; 70_000], vec![2; 70_000]);
        let (kept_hash, lost_hash) = (ContentHash::of(&kept), ContentHash::of(&lost));
        for seed in 0..50 {
            let disk = MemoryDisk::new();
            open(&disk).put(kept_hash, &kept).unwrap();
            disk.plan(Fault::Sync(u32::try_from(seed).unwrap() % 2));
            assert!(open(&disk).put(lost_hash, &lost).is_err());
            let content = open(&disk.crash(seed));
            assert_eq!(content.get(kept_hash).unwrap(), kept);
            assert!(content.get(lost_hash).map_or(true, |bytes| bytes == lost));
            // Put again after the failure, it is durable.
            content.put(lost_hash, &lost).unwrap();
            assert_eq!(content.list().unwrap().len(), 2);
            content.remove(lost_hash).unwrap();
            content.remove(lost_hash).unwrap();
            assert!(matches!(content.get(lost_hash), Err(ContentError::Missing { .. })));
        }
    }

    #[test]
    fn a_flipped_bit_is_seen_and_put_again_heals_it() {
        let disk = MemoryDisk::new();
        let content = open(&disk);
        let hash = ContentHash::of(b"script");
        content.put(hash, b"script").unwrap();
        disk.flip(&path(hash), 13);
        assert!(matches!(content.get(hash), Err(ContentError::Damaged { .. })));
        content.put(hash, b"script").unwrap();
        assert_eq!(content.get(hash).unwrap(), b"script");
    }

    #[test]
    fn refusals_leave_the_disk_usable() {
        let disk = MemoryDisk::new();
        let content = open(&disk);
        let hash = ContentHash::of(b"x");
        assert!(matches!(content.put(hash, b"y"), Err(ContentError::WrongHash { .. })));
        let large = vec![0; CONTENT_BYTES_MAX + 1];
        assert!(matches!(content.put(hash, &large), Err(ContentError::TooLarge { .. })));
        let most = &large[1..];
        disk.set_capacity(10);
        let refused = content.put(ContentHash::of(most), most);
        assert!(matches!(refused, Err(ContentError::Disk(error)) if error.is_no_room()));
        content.put(hash, b"x").unwrap();
        assert_eq!(disk.used(), 1, "what had no room left nothing behind");
        disk.set_capacity(u64::MAX);
        content.put(ContentHash::of(most), most).unwrap();
    }
}
