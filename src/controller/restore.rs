//! A controller from a backup, from a mirror, or from what is left of a state folder. What happened after it is not in it,
//! so it is another incarnation: job numbers go on far above, and nodes obey it only once an admin has said so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::backup::{self, BackupError, CA, CREDENTIALS, SETTINGS};
use super::config::{Config, ConfigError};
use crate::model::change::{Change, Group};
use crate::model::ids::{Epoch, Incarnation, JobId, Position};
use crate::model::record::Restored;
use crate::model::time::WallTime;
use crate::store::cluster_file::{self, ClusterFile};
use crate::store::content;
use crate::store::disk::real::RealDisk;
use crate::store::disk::{self, Disk, DiskError};
use crate::store::export::manifest::Manifest;
use crate::store::export::rows_file::{FileNote, read_noted};
use crate::store::export::{self, files};
use crate::store::journal::Journal;
use crate::store::log::{Claim, Log, LogError};
use crate::store::output;
use crate::store::rows::next_job_of;
use crate::wire::codec::{DecodeError, decode, encode};

/// Job numbers go on so far above those in the backup: what was submitted after it has lower ones.
pub const JOBS_SKIPPED: u64 = 1_000_000;

/// Why nothing was restored.
#[derive(Debug, Error)]
pub enum RestoreError {
    /// The settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The backup, or the folder to fill.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// There is no export that can be read, and no journal from its beginning.
    #[error(
        "{path} holds no export that can be read, and no journal from its beginning ({faults}); use another backup"
    )]
    NoExport {
        /// The backup.
        path: PathBuf,
        /// What is wrong.
        faults: String,
    },
    /// A disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The new journal.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The first group can't be encoded.
    #[error(transparent)]
    Encode(#[from] DecodeError),
    /// No random numbers.
    #[error("{0}")]
    Other(String),
}

/// Makes a new state from the backup, mirror or state folder in `from`, with the settings in `settings`; those that it
/// holds are taken if there are none yet, reached at `advertise` if that is given.
///
/// # Errors
/// A state folder that is not empty is never touched.
pub fn restore(settings: &Path, from: &Path, advertise: Option<String>) -> Result<Vec<String>, RestoreError> {
    let source = RealDisk::open(from)?;
    let old = cluster_file::load(&source).map_err(BackupError::from)?;
    let mut said = Vec::new();
    let base = base(&source, from, &mut said)?;
    let config = take_settings(settings, from, advertise)?;
    for (folder, name) in [(&config.ca, CA), (&config.credentials, CREDENTIALS)] {
        if !folder.exists() {
            backup::copy_folder(&from.join(name), folder)?;
        }
    }
    backup::must_be_empty(&config.state)?;
    let incarnation = random_incarnation()?;
    let disk = RealDisk::create(&config.state)?;
    disk.make_folder(export::FOLDER)?;
    let base = base.map(|manifest| Manifest { incarnation, ..manifest });
    if let Some(manifest) = &base {
        for note in files(manifest) {
            disk::copy(&source, &note.path, &disk, &note.path)?;
        }
        disk.sync_folder(export::FOLDER)?;
        export::verify(&disk, manifest).map_err(BackupError::from)?;
        manifest.write(&disk)?;
    }
    copy_content(&source, &disk)?;
    output::copy(&source, &disk)?;
    let made = begin_journal(&source, &disk, incarnation, base.as_ref(), old.incarnation, &mut said)?;
    cluster_file::create(&disk, &ClusterFile { name: old.name.clone(), incarnation })
        .map_err(BackupError::from)?;
    let upto = match &base {
        Some(manifest) if made.groups == 0 => format!("as it was at {}", in_words(manifest.at)),
        _ => format!("up to group {}", made.end),
    };
    let next = made.next;
    let mut lines = vec![format!("cluster {} is restored {upto}", old.name)];
    lines.extend(said);
    lines.extend([
        format!("it is incarnation {incarnation} now; new jobs get numbers from {next} on"),
        format!("next: jctld --settings {} run", settings.display()),
        "then: jctld accept, once you are sure that the old controller is gone; nodes obey from then on"
            .to_owned(),
    ]);
    Ok(lines)
}

fn in_words(at: WallTime) -> String {
    let moment = jiff::Timestamp::from_second(at.unix_seconds());
    moment.map_or_else(|_| format!("second {}", at.unix_seconds()), |moment| moment.to_string())
}

/// The newest export all of whose bytes are as they were written; else the newest whose live part is, without the pieces
/// of history that are not; none if the journal has everything from its beginning.
fn base(disk: &dyn Disk, folder: &Path, said: &mut Vec<String>) -> Result<Option<Manifest>, RestoreError> {
    let mut faults = Vec::new();
    let mut readable = Vec::new();
    for number in export::manifest_numbers(disk)?.into_iter().rev() {
        match Manifest::read(disk, &Manifest::path(number))? {
            Err(fault) => faults.push(fault),
            Ok(manifest) => match export::verify(disk, &manifest) {
                Ok(()) => return Ok(Some(manifest)),
                Err(fault) => {
                    faults.push(fault.to_string());
                    readable.push(manifest);
                }
            },
        }
    }
    if faults.is_empty() {
        faults.push("there is none".to_owned());
    }
    if let Ok((mut groups, _)) = Journal::peek(disk, Position(1))
        && groups.next().is_some_and(|first| first.is_ok_and(|(position, _)| position == Position(1)))
    {
        return Ok(None);
    }
    let whole = |note: &FileNote| read_noted(disk, note, &mut |_, _| Ok(()));
    let Some(mut manifest) = readable.into_iter().find(|manifest| whole(&manifest.live).is_ok()) else {
        return Err(RestoreError::NoExport { path: folder.to_owned(), faults: faults.join("; ") });
    };
    manifest.history.retain(|chunk| match whole(&chunk.file) {
        Ok(()) => true,
        Err(fault) => {
            let (after, until) = (chunk.after, chunk.position);
            said.push(format!("given up: history of groups {after} to {until}; {fault}"));
            false
        }
    });
    Ok(Some(manifest))
}

fn take_settings(settings: &Path, from: &Path, advertise: Option<String>) -> Result<Config, RestoreError> {
    if !settings.exists() {
        let mut config = Config::load_plain(&from.join(SETTINGS))?;
        if let Some(advertise) = advertise {
            config.advertise = vec![super::config::with_port(&advertise)];
        }
        // The mirror is the old incarnation's.
        let config = Config { mirror: None, mirror_required: false, ..config.with_usual_folders() };
        config.write_new(settings)?;
    }
    Ok(Config::load(settings)?)
}

fn copy_content(from: &dyn Disk, to: &dyn Disk) -> Result<(), DiskError> {
    to.make_folder(content::FOLDER)?;
    for hash in content::list(from)? {
        let path = content::path(hash);
        disk::copy(from, &path, to, &path)?;
    }
    to.sync_folder(content::FOLDER)
}

/// What the new journal came to.
struct Made {
    /// The first number of a new job.
    next: JobId,
    /// So many groups came from the old journal,
    groups: u64,
    /// the last of them, or of the export, being this.
    end: Position,
}

/// A journal that goes on behind the export with the groups that the old one has there, as far as they can be read, and
/// with one that says what is different now.
fn begin_journal(
    source: &dyn Disk,
    disk: &RealDisk,
    incarnation: Incarnation,
    base: Option<&Manifest>,
    old: Incarnation,
    said: &mut Vec<String>,
) -> Result<Made, RestoreError> {
    let mut first_unknown = base.map_or(Ok(JobId(1)), |manifest| next_job(disk, manifest))?;
    let after = base.map_or(Position(0), |manifest| manifest.position);
    let epoch = base.map_or(Epoch(0), |manifest| manifest.epoch);
    Journal::create_behind(disk, incarnation, epoch, after)?;
    let mut journal = Journal::new(Arc::new(disk.clone()) as Arc<dyn Disk>);
    let opened = journal.open(Claim { incarnation })?;
    let mut end = after;
    let (behind, mut faults) = match Journal::peek(source, Position(after.0 + 1)) {
        Ok((behind, damages)) => (Some(behind), damages.iter().map(ToString::to_string).collect()),
        // A backup has none.
        Err(LogError::Missing | LogError::Disk(DiskError::Missing { .. })) => (None, Vec::new()),
        Err(error) => (None, vec![error.to_string()]),
    };
    for group in behind.into_iter().flatten() {
        let (position, payload) = match group {
            Ok(group) if group.0.0 == end.0 + 1 => group,
            Ok((position, _)) => {
                faults.push(format!("the journal goes on with group {position} only"));
                break;
            }
            Err(error) => {
                faults.push(error.to_string());
                break;
            }
        };
        let group: Group = decode(&payload)?;
        for change in &group.changes {
            if let Change::NextJob(next) = change {
                first_unknown = first_unknown.max(*next);
            }
        }
        journal.append(opened.epoch, position, &payload)?;
        end = position;
    }
    if !faults.is_empty() {
        said.push(format!("given up: what came behind group {end}; {}", faults.join("; ")));
    }
    let next = JobId(first_unknown.0.saturating_add(JOBS_SKIPPED));
    let restored = Restored { replaces: old, first_unknown, next, accepted: false };
    let changes = vec![Change::NextJob(next), Change::Restored(restored)];
    let payload = encode(&Group { changes })?;
    journal.append(opened.epoch, Position(end.0 + 1), &payload)?;
    journal.sync()?;
    journal.close()?;
    Ok(Made { next, groups: end.0 - after.0, end })
}

fn next_job(disk: &RealDisk, manifest: &Manifest) -> Result<JobId, RestoreError> {
    let mut next = JobId(1);
    read_noted(disk, &manifest.live, &mut |_, rows| {
        for row in rows {
            let found = next_job_of(row.table, &row.key, row.value.as_deref().unwrap_or_default());
            next = found.unwrap_or(next).max(next);
        }
        Ok(())
    })
    .map_err(BackupError::from)?;
    Ok(next)
}

/// A life of the state that nobody has seen before.
fn random_incarnation() -> Result<Incarnation, RestoreError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| RestoreError::Other(error.to_string()))?;
    Ok(Incarnation(random))
}
