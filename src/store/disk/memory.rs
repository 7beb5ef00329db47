//! A disk in memory that knows what is durable. For tests and the simulator.
//!
//! Each file has two faces: what a reader sees now, and what lies on the platter. What was written since the last
//! sync waits in between; [`MemoryDisk::crash`] keeps a part of it that depends on a seed alone, cut anywhere, and
//! drops the rest. Creations, renames and removals wait in the same way for the sync of their folder. A failed
//! sync does what kernels do: the waiting writes are forgotten, some of them reached the platter, and readers go
//! on seeing them all.

mod platter;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::platter::{Change, Dice, Entry, Platter, folder_of};
use super::{Access, Disk, DiskError, DiskFile, Poison, check_folder, check_path};

/// The simulated folder. Clones are the same mount; [`MemoryDisk::crash`] and [`MemoryDisk::restart`] end all
/// mounts and give a new one.
#[derive(Clone, Debug)]
pub struct MemoryDisk {
    platter: Arc<Mutex<Platter>>,
    mount: u64,
    poison: Poison,
}

/// The next failure to happen, counted in operations of that kind from now: 0 is the very next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A write fails, and may be half done.
    Write(u32),
    /// A sync of a file or folder fails.
    Sync(u32),
}

impl MemoryDisk {
    /// An empty disk without bounds.
    pub fn new() -> MemoryDisk {
        MemoryDisk { platter: Arc::default(), mount: 0, poison: Poison::default() }
    }

    /// The power goes: of everything not synced, a part that `seed` decides is there afterwards.
    pub fn crash(&self, seed: u64) -> MemoryDisk {
        self.platter().crash(&mut Dice(seed));
        self.restart()
    }

    /// The process goes, the machine stays: everything written is seen by the next mount, synced or not.
    pub fn restart(&self) -> MemoryDisk {
        let mut platter = self.platter();
        platter.mount += 1;
        platter.fault = None;
        MemoryDisk { platter: self.platter.clone(), mount: platter.mount, poison: Poison::default() }
    }

    /// Plans one failure.
    pub fn plan(&self, fault: Fault) {
        self.platter().fault = Some(fault);
    }

    /// From now on allocations fail that would bring all files together above `bytes`.
    pub fn set_capacity(&self, bytes: u64) {
        self.platter().capacity_bytes = bytes;
    }

    /// How many bytes all files hold together.
    pub fn used(&self) -> u64 {
        self.platter().used()
    }

    /// Turns one bit over, on the platter and in what readers see. Bits are counted from the file's beginning;
    /// gives false if the file has none of that number.
    pub fn flip(&self, path: &str, bit: u64) -> bool {
        let mut platter = self.platter();
        let Some(file) = platter.names.get(path).copied().and_then(|inode| platter.files.get_mut(&inode))
        else {
            return false;
        };
        let Ok(index) = usize::try_from(bit / 8) else { return false };
        let mask = 1 << (bit % 8);
        if let Some(byte) = file.durable.get_mut(index) {
            *byte ^= mask;
        }
        file.now.get_mut(index).map(|byte| *byte ^= mask).is_some()
    }

    /// What a reader sees in a file.
    pub fn contents(&self, path: &str) -> Option<Vec<u8>> {
        let platter = self.platter();
        let inode = platter.names.get(path)?;
        Some(platter.files.get(inode)?.now.clone())
    }

    fn platter(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The platter, if this mount is still the current one and nothing failed.
    fn live(&self) -> Result<MutexGuard<'_, Platter>, DiskError> {
        self.poison.check()?;
        let platter = self.platter();
        if platter.mount == self.mount {
            Ok(platter)
        } else {
            Err(DiskError::Poisoned { cause: "this mount has ended".to_owned() })
        }
    }

    fn handle(&self, path: &str, inode: u64, access: Access) -> Box<dyn DiskFile> {
        Box::new(MemoryFile { disk: self.clone(), path: path.to_owned(), inode, access })
    }
}

impl Default for MemoryDisk {
    fn default() -> MemoryDisk {
        MemoryDisk::new()
    }
}

impl Disk for MemoryDisk {
    fn open(&self, path: &str, access: Access) -> Result<Box<dyn DiskFile>, DiskError> {
        check_path(path)?;
        let inode = *self.live()?.names.get(path).ok_or_else(|| missing(path))?;
        Ok(self.handle(path, inode, access))
    }

    fn create(&self, path: &str) -> Result<Box<dyn DiskFile>, DiskError> {
        check_path(path)?;
        let mut platter = self.live()?;
        if platter.used() >= platter.capacity_bytes {
            return Err(DiskError::NoRoom { path: path.to_owned() });
        }
        let inode = platter.create(path);
        drop(platter);
        Ok(self.handle(path, inode, Access::Write))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, DiskError> {
        check_folder(folder)?;
        let platter = self.live()?;
        let inside = platter.names.keys().filter(|path| folder_of(path) == folder);
        Ok(inside.map(|path| path.rsplit('/').next().unwrap_or(path).to_owned()).collect())
    }

    fn length(&self, path: &str) -> Result<Option<u64>, DiskError> {
        check_path(path)?;
        let platter = self.live()?;
        let file = platter.names.get(path).and_then(|inode| platter.files.get(inode));
        Ok(file.map(|file| file.now.len() as u64))
    }

    fn make_folder(&self, folder: &str) -> Result<(), DiskError> {
        check_path(folder)?;
        // Folders are only prefixes of names here.
        self.live().map(drop)
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), DiskError> {
        check_path(from)?;
        check_path(to)?;
        let mut platter = self.live()?;
        let inode = *platter.names.get(from).ok_or_else(|| missing(from))?;
        platter.entry(Entry::Rename { from: from.to_owned(), to: to.to_owned(), inode });
        Ok(())
    }

    fn remove(&self, path: &str) -> Result<(), DiskError> {
        check_path(path)?;
        let mut platter = self.live()?;
        if !platter.names.contains_key(path) {
            return Err(missing(path));
        }
        platter.entry(Entry::Remove { path: path.to_owned() });
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> Result<(), DiskError> {
        check_folder(folder)?;
        let mut platter = self.live()?;
        if platter.sync_fails() {
            return self.poison.guard(Err(broken("sync", folder)));
        }
        platter.sync_folder(folder);
        Ok(())
    }
}

struct MemoryFile {
    disk: MemoryDisk,
    path: String,
    inode: u64,
    access: Access,
}

impl MemoryFile {
    /// Does `work` on the file.
    fn with<T>(&self, work: impl FnOnce(&mut Platter, u64) -> Result<T, DiskError>) -> Result<T, DiskError> {
        work(&mut *self.disk.live()?, self.inode)
    }

    /// The same for what changes it: a failure poisons.
    fn change(&self, work: impl FnOnce(&mut Platter, u64) -> Result<(), DiskError>) -> Result<(), DiskError> {
        let mut platter = self.disk.live()?;
        let allowed = if self.access == Access::Read { Err(broken("write", &self.path)) } else { Ok(()) };
        self.disk.poison.guard(allowed.and_then(|()| work(&mut platter, self.inode)))
    }
}

impl DiskFile for MemoryFile {
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.with(|platter, inode| {
            let bytes = &platter.file(inode).now;
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            Ok(count)
        })
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.change(|platter, inode| {
            let fails = platter.write_fails();
            let kept = if fails { bytes.len() / 2 } else { bytes.len() };
            let bytes = bytes.get(..kept).unwrap_or_default().to_vec();
            platter.file(inode).pend(Change::Write { offset, bytes });
            if fails { Err(broken("write", &self.path)) } else { Ok(()) }
        })
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<(), DiskError> {
        self.with(|platter, inode| {
            let end = offset.saturating_add(length);
            let more = end.saturating_sub(platter.file(inode).now.len() as u64);
            if platter.used().saturating_add(more) > platter.capacity_bytes {
                return Err(DiskError::NoRoom { path: self.path.clone() });
            }
            if more > 0 {
                platter.file(inode).pend(Change::Grow { to: end });
            }
            Ok(())
        })
    }

    fn truncate(&mut self, length: u64) -> Result<(), DiskError> {
        self.change(|platter, inode| {
            platter.file(inode).pend(Change::Cut { to: length });
            Ok(())
        })
    }

    fn sync_data(&mut self) -> Result<(), DiskError> {
        self.change(|platter, inode| {
            let fails = platter.sync_fails();
            let file = platter.file(inode);
            if fails {
                let mut dice = Dice(file.now.len() as u64);
                file.settle(|change| dice.keep(change));
                return Err(broken("sync", &self.path));
            }
            file.settle(Some);
            Ok(())
        })
    }

    fn length(&self) -> Result<u64, DiskError> {
        self.with(|platter, inode| Ok(platter.file(inode).now.len() as u64))
    }
}

fn missing(path: &str) -> DiskError {
    DiskError::Missing { path: path.to_owned() }
}

fn broken(what: &'static str, path: &str) -> DiskError {
    DiskError::Failed { what, path: path.to_owned(), source: io::Error::other("the simulated disk failed") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_synced_outlives_every_crash_and_the_rest_some() {
        let mut lost = 0;
        for seed in 0..200 {
            let disk = MemoryDisk::new();
            let mut file = disk.create("a/x").unwrap();
            file.write_at(0, b"synced").unwrap();
            file.sync_data().unwrap();
            disk.sync_folder("a").unwrap();
            file.write_at(6, b"waiting").unwrap();
            disk.create("a/y").unwrap();
            let after = disk.crash(seed);
            assert!(file.sync_data().is_err(), "a handle from before the crash is dead");
            let bytes = after.contents("a/x").unwrap();
            assert_eq!(&bytes[..6], b"synced");
            lost += u32::from(bytes != b"syncedwaiting") + u32::from(after.contents("a/y").is_none());
        }
        assert!((100..400).contains(&lost), "{lost}");
    }

    #[test]
    fn a_failed_sync_is_seen_until_the_power_goes() {
        let disk = MemoryDisk::new();
        let mut file = disk.create("x").unwrap();
        disk.sync_folder("").unwrap();
        file.write_at(0, &[1; 100]).unwrap();
        disk.plan(Fault::Sync(0));
        assert!(file.sync_data().is_err());
        assert!(disk.list("").is_err(), "poisoned");
        let next = disk.restart();
        assert_eq!(next.contents("x").unwrap(), [1; 100]);
        next.open("x", Access::Write).unwrap().sync_data().unwrap();
        let after = next.crash(0).contents("x").unwrap();
        assert_ne!(after, [1; 100], "a later sync does not bring back what a failed one dropped");
    }

    #[test]
    fn room_ends_at_the_byte() {
        let disk = MemoryDisk::new();
        let mut file = disk.create("x").unwrap();
        disk.set_capacity(100);
        file.allocate(0, 100).unwrap();
        assert!(file.allocate(100, 1).unwrap_err().is_no_room());
        assert!(disk.create("y").err().is_some_and(|error| error.is_no_room()));
        file.write_at(0, &[1; 100]).unwrap();
    }
}
