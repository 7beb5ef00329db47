//! A controller from a backup. What happened after the backup is not in it, so it is another incarnation: job
//! numbers go on far above, and nodes obey it only once an admin has said so.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use super::backup::{self, BackupError, CA, CREDENTIALS, SETTINGS};
use super::config::{Config, ConfigError};
use crate::model::change::{Change, Group};
use crate::model::ids::{Incarnation, JobId, Position};
use crate::model::record::Restored;
use crate::model::time::WallTime;
use crate::store::cluster_file::{self, ClusterFile};
use crate::store::content;
use crate::store::disk::real::RealDisk;
use crate::store::disk::{self, Disk, DiskError};
use crate::store::export::manifest::Manifest;
use crate::store::export::rows_file::read_noted;
use crate::store::export::{self, files};
use crate::store::journal::Journal;
use crate::store::log::{Claim, Log, LogError};
use crate::store::output;
use crate::store::rows::next_job_of;
use crate::wire::codec::{DecodeError, encode};

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
    /// The backup holds no export that can be read.
    #[error("{path} holds no export that can be read ({faults}); use another backup")]
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

/// Makes a new state from the backup in `from`, with the settings in `settings`; those of the backup are taken if
/// there are none yet, reached at `advertise` if that is given.
///
/// # Errors
/// A state folder that is not empty is never touched.
pub fn restore(settings: &Path, from: &Path, advertise: Option<String>) -> Result<Vec<String>, RestoreError> {
    let source = RealDisk::open(from)?;
    let old = cluster_file::load(&source).map_err(BackupError::from)?;
    let manifest = newest_sound(&source, from)?;
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
    for note in files(&manifest) {
        disk::copy(&source, &note.path, &disk, &note.path)?;
    }
    disk.sync_folder(export::FOLDER)?;
    let manifest = Manifest { incarnation, ..manifest };
    export::verify(&disk, &manifest).map_err(BackupError::from)?;
    manifest.write(&disk)?;
    copy_content(&source, &disk)?;
    output::copy(&source, &disk)?;
    let next = begin_journal(&disk, &manifest, old.incarnation)?;
    cluster_file::create(&disk, &ClusterFile { name: old.name.clone(), incarnation })
        .map_err(BackupError::from)?;
    Ok(vec![
        format!("cluster {} is restored as it was at {}", old.name, in_words(manifest.at)),
        format!("it is incarnation {incarnation} now; new jobs get numbers from {next} on"),
        format!("next: jctld --settings {} run", settings.display()),
        "then: jctld accept, once you are sure that the old controller is gone; nodes obey from then on"
            .to_owned(),
    ])
}

fn in_words(at: WallTime) -> String {
    let moment = jiff::Timestamp::from_second(at.unix_seconds());
    moment.map_or_else(|_| format!("second {}", at.unix_seconds()), |moment| moment.to_string())
}

/// The newest export of a backup all of whose bytes are as they were written.
fn newest_sound(disk: &dyn Disk, folder: &Path) -> Result<Manifest, RestoreError> {
    let mut faults = Vec::new();
    for number in export::manifest_numbers(disk)?.into_iter().rev() {
        match Manifest::read(disk, &Manifest::path(number))? {
            Err(fault) => faults.push(fault),
            Ok(manifest) => match export::verify(disk, &manifest) {
                Ok(()) => return Ok(manifest),
                Err(fault) => faults.push(fault.to_string()),
            },
        }
    }
    if faults.is_empty() {
        faults.push("there is none".to_owned());
    }
    Err(RestoreError::NoExport { path: folder.to_owned(), faults: faults.join("; ") })
}

fn take_settings(settings: &Path, from: &Path, advertise: Option<String>) -> Result<Config, RestoreError> {
    if !settings.exists() {
        let mut config = Config::load_plain(&from.join(SETTINGS))?;
        if let Some(advertise) = advertise {
            config.advertise = vec![super::config::with_port(&advertise)];
        }
        let config = config.with_usual_folders();
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

/// An empty journal that goes on behind the export, with one group that says what is different now.
fn begin_journal(disk: &RealDisk, manifest: &Manifest, old: Incarnation) -> Result<JobId, RestoreError> {
    let first_unknown = next_job(disk, manifest)?;
    let next = JobId(first_unknown.0.saturating_add(JOBS_SKIPPED));
    Journal::create_behind(disk, manifest.incarnation, manifest.epoch, manifest.position)?;
    let mut journal = Journal::new(Arc::new(disk.clone()) as Arc<dyn Disk>);
    let opened = journal.open(Claim { incarnation: manifest.incarnation })?;
    let restored = Restored { replaces: old, first_unknown, next, accepted: false };
    let changes = vec![Change::NextJob(next), Change::Restored(restored)];
    let payload = encode(&Group { changes })?;
    journal.append(opened.epoch, Position(opened.end.0 + 1), &payload)?;
    journal.sync()?;
    journal.close()?;
    Ok(next)
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
