//! What lies on the simulated disk: two faces of each file and of the names, and what waits in between.

use std::collections::BTreeMap;

use super::Fault;

/// Everything on the disk.
#[derive(Debug)]
pub(super) struct Platter {
    pub(super) files: BTreeMap<u64, Bytes>,
    pub(super) names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    entries: Vec<Entry>,
    next_inode: u64,
    pub(super) mount: u64,
    pub(super) fault: Option<Fault>,
    pub(super) capacity_bytes: u64,
}

impl Default for Platter {
    fn default() -> Platter {
        Platter {
            files: BTreeMap::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            entries: Vec::new(),
            next_inode: 0,
            mount: 0,
            fault: None,
            capacity_bytes: u64::MAX,
        }
    }
}

/// A change of names that waits for the sync of its folder.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Create { path: String, inode: u64 },
    Rename { from: String, to: String, inode: u64 },
    Remove { path: String },
}

impl Entry {
    fn folder(&self) -> &str {
        match self {
            Entry::Create { path, .. } | Entry::Remove { path } => folder_of(path),
            Entry::Rename { to, .. } => folder_of(to),
        }
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Entry::Create { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Entry::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
            Entry::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

impl Platter {
    pub(super) fn file(&mut self, inode: u64) -> &mut Bytes {
        self.files.entry(inode).or_default()
    }

    pub(super) fn used(&self) -> u64 {
        self.names.values().filter_map(|inode| self.files.get(inode)).map(|file| file.now.len() as u64).sum()
    }

    pub(super) fn entry(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.entries.push(entry);
    }

    pub(super) fn create(&mut self, path: &str) -> u64 {
        if let Some(inode) = self.names.get(path).copied() {
            self.file(inode).pend(Change::Cut { to: 0 });
            return inode;
        }
        self.next_inode += 1;
        let inode = self.next_inode;
        self.files.insert(inode, Bytes::default());
        self.entry(Entry::Create { path: path.to_owned(), inode });
        inode
    }

    pub(super) fn sync_folder(&mut self, folder: &str) {
        let (now, later) = self.entries.drain(..).partition(|entry| entry.folder() == folder);
        self.entries = later;
        now.iter().for_each(|entry: &Entry| entry.apply(&mut self.durable_names));
    }

    pub(super) fn crash(&mut self, dice: &mut Dice) {
        for entry in std::mem::take(&mut self.entries) {
            if dice.flip() {
                entry.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        for file in self.files.values_mut() {
            file.settle(|change| dice.keep(change));
            file.now = file.durable.clone();
        }
        let names = &self.names;
        self.files.retain(|inode, _| names.values().any(|named| named == inode));
    }

    pub(super) fn write_fails(&mut self) -> bool {
        match self.fault {
            Some(Fault::Write(0)) => {
                self.fault = None;
                true
            }
            Some(Fault::Write(left)) => {
                self.fault = Some(Fault::Write(left - 1));
                false
            }
            _ => false,
        }
    }

    pub(super) fn sync_fails(&mut self) -> bool {
        match self.fault {
            Some(Fault::Sync(0)) => {
                self.fault = None;
                true
            }
            Some(Fault::Sync(left)) => {
                self.fault = Some(Fault::Sync(left - 1));
                false
            }
            _ => false,
        }
    }
}

/// A file: what is seen, what is durable, and what waits in between.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) now: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Grow { to: u64 },
    Cut { to: u64 },
}

impl Change {
    fn apply(&self, file: &mut Vec<u8>) {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
        match self {
            Change::Write { offset, bytes } => {
                let from = at(*offset);
                file.resize(file.len().max(from + bytes.len()), 0);
                file.splice(from..from + bytes.len(), bytes.iter().copied());
            }
            Change::Grow { to } => file.resize(file.len().max(at(*to)), 0),
            Change::Cut { to } => file.resize(at(*to), 0),
        }
    }
}

impl Bytes {
    pub(super) fn pend(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.pending.push(change);
    }

    /// Brings of each waiting change what `keep` leaves of it to the platter.
    pub(super) fn settle(&mut self, mut keep: impl FnMut(Change) -> Option<Change>) {
        for change in std::mem::take(&mut self.pending) {
            if let Some(change) = keep(change) {
                change.apply(&mut self.durable);
            }
        }
    }
}

/// Repeatable chance (splitmix64), so that a seed is a whole crash.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn flip(&mut self) -> bool {
        self.roll() & 1 == 0
    }

    /// A third of the changes survives whole, a third not at all; of the rest a middle piece does.
    pub(super) fn keep(&mut self, change: Change) -> Option<Change> {
        match (self.roll() % 3, change) {
            (0, change) => Some(change),
            (1, Change::Write { offset, bytes }) => {
                let end = (self.roll() % (bytes.len() as u64 + 1)) as usize;
                let from = if self.flip() { 0 } else { (self.roll() % (end as u64 + 1)) as usize };
                let piece = bytes.get(from..end).unwrap_or_default().to_vec();
                Some(Change::Write { offset: offset + from as u64, bytes: piece })
            }
            _ => None,
        }
    }
}

/// The folder of a path, `""` for the root.
pub(super) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
