//! From a state folder to a state: the tables if they can be trusted, and the journal behind them; else the newest
//! export that can be read and the journal behind it, from which the tables are built anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::recent::Recent;
use crate::commit::parts::Gathering;
use crate::core::Cluster;
use crate::core::state::Touched;
use crate::model::bug::{self, Bug};
use crate::model::change::Group;
use crate::model::ids::{BootId, Position};
use crate::model::time::WallTime;
use crate::store::cluster_file::{self, ClusterFile, ClusterFileError};
use crate::store::content::{Content, ContentError};
use crate::store::disk::real::RealDisk;
use crate::store::disk::{Disk, DiskError};
use crate::store::export::Exports;
use crate::store::export::rebuild::rebuild;
use crate::store::fed::Fed;
use crate::store::journal::Journal;
use crate::store::log::{Claim, Log, LogError, Opened};
use crate::store::output::{Limits, OutputStore};
use crate::store::results;
use crate::store::rows::{restore_row, rows_of};
use crate::store::tables::sled::{Fit, Found, SledTables};
use crate::store::tables::{Tables, TablesError};
use crate::store::used::used_rows;
use crate::wire::codec::{DecodeError, decode};

/// The tables are written at least so often while they are built anew, in groups of the log.
const REBUILD_GROUPS: u64 = 1_000;

/// What a controller works with.
pub struct Recovered {
    /// The state.
    pub cluster: Cluster,
    /// The open journal.
    pub journal: Journal,
    /// The open tables, and the exports that are made of them.
    pub tables: Fed<SledTables>,
    /// Content files.
    pub content: Content,
    /// Kept output.
    pub output: OutputStore,
    /// Whose state it is.
    pub file: ClusterFile,
    /// What the journal said at opening.
    pub opened: Opened,
    /// How the state was come by, for the admin.
    pub words: String,
    /// The files.
    pub disk: Arc<dyn Disk>,
    /// What changed in the groups that the tables did not have.
    pub recent: Recent,
}

/// Why a state folder could not be opened.
#[derive(Debug, Error)]
pub enum RecoveryError {
    /// No cluster, or not a readable one.
    #[error(transparent)]
    Cluster(#[from] ClusterFileError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The tables.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The content files.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A group of the journal that this build can't read.
    #[error("group {position} of the journal: {source}; run `jctld verify DIR`")]
    Group {
        /// Which.
        position: Position,
        /// Why.
        source: DecodeError,
    },
    /// The tables can't be believed, no export can be read, and the journal does not begin at the beginning.
    #[error(
        "the tables can't be believed, and there is no export to go with a journal that begins at group {start}{faults}; \
         run `jctld verify DIR`, then `jctld restore --from BACKUP`"
    )]
    NoExport {
        /// Where the journal begins.
        start: Position,
        /// What is wrong with the exports.
        faults: String,
    },
    /// The kernel's boot id can't be read.
    #[error("cannot read the kernel's boot id: {0}")]
    Boot(std::io::Error),
}

/// Where the tables lie under a state folder.
pub fn tables_folder(state: &Path) -> PathBuf {
    state.join("tables")
}

/// Opens a state folder and takes office.
///
/// # Errors
/// Everything that makes it unsafe to go on; nothing is told to anybody before this succeeded.
pub fn recover(state: &Path) -> Result<Recovered, RecoveryError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(state)?);
    let file = cluster_file::load(&*disk)?;
    let mut journal = Journal::new(disk.clone());
    let opened = journal.open(Claim { incarnation: file.incarnation })?;
    let boot = boot_id().map_err(RecoveryError::Boot)?;
    let fit = Fit { incarnation: file.incarnation, boot, start: opened.start, end: opened.end };
    let (tables, found) = SledTables::open(&tables_folder(state), &fit)?;
    let exports = Exports::open(disk.clone(), file.incarnation)?;
    let words = describe(&found);
    let now = super::clock::wall();
    let settled = settle(&mut journal, &opened, (tables, words), exports, SledTables::set_aside, now)?;
    let Settled { cluster, tables, recent, mut words } = settled;
    if opened.torn_bytes > 0 {
        words.push_str(&format!("; {} bytes of an unfinished group were cut off", opened.torn_bytes));
    }
    let content = Content::open(disk.clone())?;
    let output = OutputStore::open(disk.clone(), Limits::default())?;
    Ok(Recovered { cluster, journal, tables, content, output, file, opened, words, disk, recent })
}

/// What a journal and its tables come to.
pub struct Settled<T: Tables> {
    /// The state.
    pub cluster: Cluster,
    /// The tables, which go as far as the journal now.
    pub tables: Fed<T>,
    /// What changed in the groups that the tables did not have.
    pub recent: Recent,
    /// How the state was come by.
    pub words: String,
}

/// Believes the tables or builds them anew, and replays the journal behind them. `words` say how the tables were
/// found; `set_aside` empties those that turn out to be wrong.
///
/// # Errors
/// Everything that makes it unsafe to go on.
pub fn settle<T: Tables>(
    journal: &mut dyn Log,
    opened: &Opened,
    (mut tables, mut words): (T, String),
    mut exports: Exports,
    set_aside: impl Fn(&mut T) -> Result<(), TablesError>,
    now: WallTime,
) -> Result<Settled<T>, RecoveryError> {
    let mut cluster = empty();
    let loaded = match tables.position() {
        Position(0) if !bug::is_made(Bug::EmptyIsNew) => Err(words.clone()),
        _ => load(&tables, &mut cluster),
    };
    if let Err(error) = loaded {
        if tables.position() > Position(0) {
            words = format!("the tables were set aside ({error})");
            set_aside(&mut tables)?;
        }
        cluster = empty();
        let from = build(&mut exports, &mut tables, opened)?;
        if tables.position() > Position(0) {
            load(&tables, &mut cluster)
                .map_err(|what| TablesError::Broken { what: format!("newly built: {what}") })?;
        }
        words.push_str(&from);
    }
    let mut tables = Fed::new(tables, exports, now)?;
    let from = Position(tables.position().0 + 1);
    let mut recent = Recent::new(tables.position());
    replay(journal, from, opened.end, &mut cluster, &mut tables, &mut recent)?;
    Ok(Settled { cluster, tables, recent, words })
}

fn empty() -> Cluster {
    Cluster { next_job: crate::model::ids::JobId(1), ..Cluster::default() }
}

/// Fills empty tables from the newest export that can be read, or leaves them empty if the journal has everything.
fn build<T: Tables>(exports: &mut Exports, tables: &mut T, opened: &Opened) -> Result<String, RecoveryError> {
    let mut faults = exports.faults().to_vec();
    let disk = exports.disk().clone();
    // None is let go of before another one has done: what can't be read now may be there again when it is asked for next.
    for manifest in exports.all().to_vec().into_iter().rev() {
        if manifest.position.0 + 1 < opened.start.0 || manifest.position > opened.end {
            let (number, position) = (manifest.number, manifest.position);
            faults.push(format!("export {number} is at group {position}, outside of the journal"));
            continue;
        }
        match rebuild(&*disk, &manifest, tables) {
            Ok(()) => {
                while exports.newest().is_some_and(|newest| newest.number > manifest.number) {
                    exports.discard_newest()?;
                }
                let mut words = format!("; built anew from export {} and the journal", manifest.number);
                faults.iter().for_each(|fault| words.push_str(&format!("; {fault}")));
                return Ok(words);
            }
            Err(error) if error.is_fatal() => {
                return Err(TablesError::Broken { what: error.to_string() }.into());
            }
            Err(error) => faults.push(error.to_string()),
        }
    }
    if opened.start > Position(1) {
        let faults = faults.iter().map(|fault| format!("; {fault}")).collect();
        return Err(RecoveryError::NoExport { start: opened.start, faults });
    }
    while exports.newest().is_some() {
        exports.discard_newest()?;
    }
    tables.reset(opened.incarnation)?;
    let mut words = "; built anew from the journal".to_owned();
    faults.iter().for_each(|fault| words.push_str(&format!("; {fault}")));
    Ok(words)
}

fn describe(found: &Found) -> String {
    match found {
        Found::Kept => "the tables were sound".to_owned(),
        Found::Nothing => "there were no tables yet".to_owned(),
        Found::SetAside(why) => {
            format!("the tables were set aside ({why})")
        }
    }
}

fn load(tables: &impl Tables, cluster: &mut Cluster) -> Result<(), String> {
    let mut broken = None;
    let visited = tables.load_live(&mut |table, key, value| {
        if broken.is_none()
            && let Err(error) = restore_row(cluster, table, key, value)
        {
            broken = Some(error.to_string());
        }
    });
    match (visited, broken) {
        (Err(error), _) => Err(error.to_string()),
        (Ok(()), Some(error)) => Err(error),
        (Ok(()), None) => Ok(()),
    }
}

fn replay(
    journal: &mut dyn Log,
    from: Position,
    end: Position,
    cluster: &mut Cluster,
    tables: &mut impl Tables,
    recent: &mut Recent,
) -> Result<(), RecoveryError> {
    if from > end {
        return Ok(());
    }
    let mut touched = Touched::default();
    let (mut last, mut gathering) = (from, Gathering::default());
    for group in journal.read(from)? {
        let (position, payload) = group?;
        let unreadable = |source| RecoveryError::Group { position, source };
        let group: Group = decode(&payload).map_err(unreadable)?;
        let Some(changes) = gathering.take(group.changes) else { continue };
        let mut now = Touched::default();
        for change in &changes {
            crate::core::Core::replay(cluster, change, &mut now);
        }
        now.stamp(position);
        recent.push(position, &now.jobs);
        touched.merge(now);
        last = position;
        if position.0 - from.0 >= REBUILD_GROUPS && (position.0 - from.0).is_multiple_of(REBUILD_GROUPS) {
            write(cluster, &mut touched, tables, position)?;
        }
    }
    if last > tables.position() {
        write(cluster, &mut touched, tables, last)?;
    }
    Ok(())
}

fn write(
    cluster: &mut Cluster,
    touched: &mut Touched,
    tables: &mut impl Tables,
    position: Position,
) -> Result<(), RecoveryError> {
    let unwritable = |source| RecoveryError::Group { position, source };
    let batch = std::mem::take(touched);
    let mut rows = rows_of(cluster, &batch, position).map_err(unwritable)?;
    rows.extend(results::rows(tables, &batch.ended)?);
    rows.extend(used_rows(tables, cluster, &batch)?);
    tables.apply(&rows, position)?;
    for outdated in super::tables_writer::outdated_by(&batch, cluster) {
        cluster.forget(&outdated);
    }
    Ok(())
}

/// The kernel's boot id of this host.
///
/// # Errors
/// If `/proc` does not give it.
pub fn boot_id() -> std::io::Result<BootId> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(std::io::Error::other)?;
    Ok(BootId(number.to_be_bytes()))
}
