//! The second place of a state: the same journal, exports and content files in another folder, which is on another disk.
//!
//! It looks like a state folder, so `jctld verify DIR` checks it and `jctld restore --from DIR` makes a controller of it.
//! It is written behind the first place and never ahead of it: where it has more, the first has lost something.

use std::sync::Arc;

use thiserror::Error;

use super::cluster_file::{self, ClusterFile, ClusterFileError};
use super::content::{self, Content, ContentError};
use super::disk::real::LOCK_FILE;
use super::disk::{self, Disk, DiskError};
use super::export::manifest::Manifest;
use super::export::rows_file::RowsFault;
use super::export::{self, files};
use super::journal::{self, Journal};
use super::log::{Claim, Log, LogError, Opened};
use crate::model::ids::{ContentHash, Epoch, Position};

/// So many groups are synced at once while it catches up.
const CATCH_UP_GROUPS: u64 = 1_000;

/// Why there is no second place, or it is behind.
#[derive(Debug, Error)]
pub enum MirrorError {
    /// It is somebody else's, or from before a restore.
    #[error("it holds incarnation {found} of cluster {name}; name an empty folder, or move that one away")]
    Other {
        /// Whose.
        name: String,
        /// Which life of it.
        found: crate::model::ids::Incarnation,
    },
    /// There is something in it that is no mirror.
    #[error("it is not empty and no mirror; name an empty folder")]
    NoMirror,
    /// It has what the state folder lacks.
    #[error(
        "it has groups up to {mirror} and the state folder up to {state}, which was told and is gone there: \
         move the state folder away and run `jctld restore --from` the mirror"
    )]
    Ahead {
        /// Where the mirror ends.
        mirror: Position,
        /// Where the state folder ends.
        state: Position,
    },
    /// The same position is another group in both.
    #[error(
        "its group {0} is another one than the state folder's: one of the two was put back from an older copy; \
         run `jctld verify` on both"
    )]
    Apart(Position),
    /// Its cluster file.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// Its journal, or the state folder's.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// Content.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// An export did not arrive as it was.
    #[error(transparent)]
    Rows(#[from] RowsFault),
}

/// What is mirrored.
pub struct Origin<'a> {
    /// The state folder.
    pub disk: &'a dyn Disk,
    /// Whose.
    pub cluster: &'a ClusterFile,
    /// Its open journal.
    pub journal: &'a mut dyn Log,
    /// What that said at opening.
    pub opened: &'a Opened,
    /// Its exports, oldest first.
    pub exports: &'a [Manifest],
}

/// An open mirror.
pub struct Replica {
    disk: Arc<dyn Disk>,
    journal: Journal,
    epoch: Epoch,
    content: Content,
    /// How many groups it lacked when it was opened.
    pub caught_up: u64,
}

impl Replica {
    /// Opens the mirror on `disk`, which is made if nothing is there, and brings it up to the state.
    ///
    /// # Errors
    /// Nothing of another cluster, and nothing that the state lacks, is overwritten.
    pub fn open(disk: Arc<dyn Disk>, origin: &mut Origin<'_>) -> Result<Replica, MirrorError> {
        let incarnation = origin.cluster.incarnation;
        match cluster_file::load(&*disk) {
            Ok(file) if file.incarnation == incarnation => {}
            Ok(file) => return Err(MirrorError::Other { name: file.name, found: file.incarnation }),
            Err(ClusterFileError::Missing) => {
                must_be_empty(&*disk)?;
                // First: what follows may be interrupted, and then it is a mirror that is behind.
                cluster_file::create(&*disk, origin.cluster)?;
            }
            Err(error) => return Err(error.into()),
        }
        take_exports(origin.disk, &*disk, origin.exports)?;
        let claim = Claim { incarnation };
        let mut journal = Journal::new(disk.clone());
        let mut opened = match journal.open(claim) {
            Err(LogError::Missing | LogError::Disk(DiskError::Missing { .. })) => None,
            other => Some(other?),
        };
        if let Some(Opened { end, .. }) = opened
            && end > origin.opened.end
        {
            return Err(MirrorError::Ahead { mirror: end, state: origin.opened.end });
        }
        // Away for so long that the journal has been trimmed since: it begins anew behind the exports that it has now.
        if opened.is_none_or(|opened| opened.end.0 + 1 < origin.opened.start.0) {
            drop(journal);
            disk.make_folder(journal::FOLDER)?;
            Journal::discard(&*disk)?;
            begin(&*disk, origin)?;
            journal = Journal::new(disk.clone());
            opened = Some(journal.open(claim)?);
        }
        let opened = opened.ok_or(LogError::Missing)?;
        let content = Content::open(disk.clone())?;
        let mut replica = Replica { disk, journal, epoch: opened.epoch, content, caught_up: 0 };
        replica.compare(origin, &opened)?;
        replica.catch_up(origin, opened.end)?;
        replica.level_content(origin.disk)?;
        Ok(replica)
    }

    /// The last group must be the same in both, as far as both have it.
    fn compare(&mut self, origin: &mut Origin<'_>, opened: &Opened) -> Result<(), MirrorError> {
        let at = opened.end;
        if at < opened.start || at < origin.opened.start {
            return Ok(());
        }
        let last = |log: &mut dyn Log| log.read(at).and_then(|mut groups| groups.next().transpose());
        if last(&mut self.journal)? == last(origin.journal)? { Ok(()) } else { Err(MirrorError::Apart(at)) }
    }

    fn catch_up(&mut self, origin: &mut Origin<'_>, end: Position) -> Result<(), MirrorError> {
        if end >= origin.opened.end {
            return Ok(());
        }
        for group in origin.journal.read(Position(end.0 + 1))? {
            let (position, payload) = group?;
            self.journal.append(self.epoch, position, &payload)?;
            self.caught_up += 1;
            if self.caught_up.is_multiple_of(CATCH_UP_GROUPS) {
                self.journal.sync()?;
            }
        }
        Ok(self.journal.sync()?)
    }

    /// The same content files in both.
    fn level_content(&mut self, from: &dyn Disk) -> Result<(), MirrorError> {
        let (here, there) = (content::list(&*self.disk)?, content::list(from)?);
        for hash in there.iter().filter(|hash| here.binary_search(hash).is_err()) {
            // What is damaged there can't be had.
            if let Ok(bytes) = content::get(from, *hash) {
                self.content.put(*hash, &bytes)?;
            }
        }
        for hash in here.iter().filter(|hash| there.binary_search(hash).is_err()) {
            self.content.remove(*hash)?;
        }
        Ok(())
    }

    /// Keeps groups, durably.
    ///
    /// # Errors
    /// After one the mirror is behind until it is opened again.
    pub fn keep(&mut self, groups: &[(Position, Vec<u8>)]) -> Result<(), MirrorError> {
        for (position, payload) in groups {
            self.journal.append(self.epoch, *position, payload)?;
        }
        self.journal.sync()?;
        self.journal.room()?;
        Ok(())
    }

    /// Keeps a content file, durably.
    ///
    /// # Errors
    /// As above.
    pub fn put(&mut self, hash: ContentHash, bytes: &[u8]) -> Result<(), MirrorError> {
        Ok(self.content.put(hash, bytes)?)
    }

    /// Lets go of groups that both exports hold.
    ///
    /// # Errors
    /// As above.
    pub fn trim(&mut self, before: Position) -> Result<(), MirrorError> {
        Ok(self.journal.trim(before)?)
    }

    /// A clean stop.
    ///
    /// # Errors
    /// As above.
    pub fn close(&mut self) -> Result<(), MirrorError> {
        Ok(self.journal.close()?)
    }
}

/// Whether nothing of anybody's is there.
fn must_be_empty(disk: &dyn Disk) -> Result<(), MirrorError> {
    for folder in ["", journal::FOLDER, export::FOLDER, content::FOLDER] {
        match disk.list(folder) {
            Ok(names) if names.iter().all(|name| name == LOCK_FILE) => {}
            Ok(_) => return Err(MirrorError::NoMirror),
            Err(_) if !folder.is_empty() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// An empty journal behind the older export, or behind what the state's own has lost, or at the beginning.
fn begin(to: &dyn Disk, origin: &Origin<'_>) -> Result<(), MirrorError> {
    let gone = Position(origin.opened.start.0.saturating_sub(1));
    let oldest = origin.exports.first().map_or(Position(0), |oldest| oldest.position);
    let after = if gone == Position(0) { gone } else { oldest.max(gone) };
    Ok(Journal::create_behind(to, origin.cluster.incarnation, Epoch(0), after)?)
}

/// Copies what is missing of these exports, and lets go of others. A manifest comes after what it names.
///
/// # Errors
/// What was there before still counts.
pub fn take_exports(from: &dyn Disk, to: &dyn Disk, exports: &[Manifest]) -> Result<(), MirrorError> {
    to.make_folder(export::FOLDER)?;
    for manifest in exports {
        let missing = |path: &str| to.length(path).map(|length| length.is_none());
        if !missing(&Manifest::path(manifest.number))? {
            continue;
        }
        for note in files(manifest) {
            if to.length(&note.path)? != Some(note.bytes) {
                disk::copy(from, &note.path, to, &note.path)?;
            }
        }
        to.sync_folder(export::FOLDER)?;
        export::verify(to, manifest)?;
        manifest.write(to)?;
    }
    let kept: Vec<String> = exports.iter().map(|manifest| Manifest::path(manifest.number)).collect();
    for number in export::manifest_numbers(to)? {
        let path = Manifest::path(number);
        // What can't be read here may be the only one there is.
        if !kept.is_empty() && !kept.contains(&path) {
            to.remove(&path)?;
        }
    }
    to.sync_folder(export::FOLDER)?;
    let named: Vec<&str> = exports.iter().flat_map(files).map(|note| note.path.as_str()).collect();
    for name in to.list(export::FOLDER)? {
        let path = format!("{}/{name}", export::FOLDER);
        if !kept.is_empty() && !kept.contains(&path) && !named.contains(&path.as_str()) {
            to.remove(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::Incarnation;
    use crate::store::disk::memory::MemoryDisk;
    use crate::store::log::Durability;

    /// A state folder whose journal goes on.
    struct State {
        disk: MemoryDisk,
        journal: Journal,
        opened: Opened,
        cluster: ClusterFile,
    }

    impl State {
        fn new() -> State {
            let disk = MemoryDisk::new();
            let incarnation = Incarnation([7; 16]);
            Journal::create(&disk, incarnation).unwrap();
            Content::open(Arc::new(disk.clone())).unwrap();
            State::open(disk, ClusterFile { name: "c".to_owned(), incarnation })
        }

        fn open(disk: MemoryDisk, cluster: ClusterFile) -> State {
            let mut journal = Journal::new(Arc::new(disk.clone()));
            let opened = journal.open(Claim { incarnation: cluster.incarnation }).unwrap();
            State { disk, journal, opened, cluster }
        }

        /// The process ends and another begins.
        fn again(self) -> State {
            State::open(self.disk.restart(), self.cluster)
        }

        fn write(&mut self, groups: u64) -> Vec<(Position, Vec<u8>)> {
            let Durability::Durable(end) = self.journal.poll() else { panic!("it is open") };
            let all: Vec<_> =
                (end.0 + 1..=end.0 + groups).map(|at| (Position(at), at.to_le_bytes().to_vec())).collect();
            for (position, payload) in &all {
                self.journal.append(self.opened.epoch, *position, payload).unwrap();
            }
            self.journal.sync().unwrap();
            all
        }

        fn mirror(&mut self, to: &MemoryDisk) -> Result<Replica, MirrorError> {
            let mut origin = Origin {
                disk: &self.disk,
                cluster: &self.cluster,
                journal: &mut self.journal,
                opened: &self.opened,
                exports: &[],
            };
            Replica::open(Arc::new(to.clone()), &mut origin)
        }
    }

    fn ends(disk: &MemoryDisk) -> Vec<u64> {
        let (groups, damages) = Journal::peek(disk, Position(0)).unwrap();
        assert_eq!(damages, []);
        groups.map(|group| group.unwrap().0.0).collect()
    }

    #[test]
    fn it_has_everything_and_catches_up_when_it_was_away() {
        let (mut state, there) = (State::new(), MemoryDisk::new());
        state.write(3);
        state = state.again();
        let mut replica = state.mirror(&there).unwrap();
        assert_eq!(replica.caught_up, 3);
        let kept = state.write(2);
        replica.keep(&kept).unwrap();
        let content = vec![5; 70_000];
        replica.put(ContentHash::of(&content), &content).unwrap();
        // The power goes there, and here it goes on.
        let there = there.crash(1);
        assert_eq!(ends(&there), [1, 2, 3, 4, 5]);
        assert!(content::get(&there, ContentHash::of(&content)).is_ok());
        drop(replica);
        state.write(4);
        let mut state = state.again();
        assert_eq!(state.mirror(&there).unwrap().caught_up, 4);
        assert_eq!(ends(&there), (1..=9).collect::<Vec<_>>());
        assert_eq!(content::list(&there).unwrap(), [], "the state has no such content");
    }

    #[test]
    fn one_that_was_away_for_too_long_begins_anew() {
        let (mut state, there) = (State::new(), MemoryDisk::new());
        state.write(2);
        drop(state.again().mirror(&there).unwrap());
        // Another state of the same cluster, whose journal begins later.
        let disk = MemoryDisk::new();
        let incarnation = Incarnation([7; 16]);
        Journal::create_behind(&disk, incarnation, Epoch(4), Position(20)).unwrap();
        let mut state = State::open(disk, ClusterFile { name: "c".to_owned(), incarnation });
        state.write(2);
        let mut state = state.again();
        assert_eq!(state.mirror(&there).unwrap().caught_up, 2);
        assert_eq!(ends(&there), [21, 22]);
    }

    #[test]
    fn nothing_of_others_is_overwritten_and_what_only_the_mirror_has_is_seen() {
        let (mut state, there) = (State::new(), MemoryDisk::new());
        state.write(3);
        let older = MemoryDisk::new();
        older.make_folder(journal::FOLDER).unwrap();
        for name in state.disk.list(journal::FOLDER).unwrap() {
            let path = format!("{}/{name}", journal::FOLDER);
            disk::copy(&state.disk, &path, &older, &path).unwrap();
        }
        state.write(2);
        let mut state = state.again();
        drop(state.mirror(&there).unwrap());
        // An older copy of the state was put back.
        let cluster = state.cluster.clone();
        let mut back = State::open(older, cluster.clone());
        let refused = back.mirror(&there).err().unwrap();
        assert!(
            matches!(refused, MirrorError::Ahead { mirror: Position(5), state: Position(3) }),
            "{refused}"
        );
        // And it went on by itself.
        for at in 4..=5 {
            back.journal.append(back.opened.epoch, Position(at), b"other").unwrap();
        }
        back.journal.sync().unwrap();
        let mut back = State::open(back.disk.restart(), cluster.clone());
        assert!(matches!(back.mirror(&there), Err(MirrorError::Apart(Position(5)))));
        // After a restore it is another incarnation's.
        let (disk, incarnation) = (MemoryDisk::new(), Incarnation([8; 16]));
        Journal::create(&disk, incarnation).unwrap();
        let mut other = State::open(disk, ClusterFile { name: "c".to_owned(), incarnation });
        assert!(matches!(other.mirror(&there), Err(MirrorError::Other { .. })));
        assert_eq!(ends(&there), [1, 2, 3, 4, 5]);
        // A folder with something else in it.
        let disk = MemoryDisk::new();
        disk.create("notes").unwrap();
        assert!(matches!(state.mirror(&disk), Err(MirrorError::NoMirror)));
    }
}
