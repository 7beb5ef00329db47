//! A check of a whole state folder that changes nothing: what `jctld verify DIR` reports.

use std::fmt;

use super::cluster_file::{self, ClusterFile, ClusterFileError};
use super::content::{self, ContentError};
use super::disk::{Disk, DiskError};
use super::export;
use super::export::manifest::Manifest;
use super::export::rows_file::RowsFault;
use super::journal::survey::{Survey, survey};
use super::log::LogError;
use super::output;
use crate::model::ids::ContentHash;

/// What was found. Its `Display` is for people, a line per finding.
#[derive(Debug)]
pub struct Report {
    /// Whose state it is.
    pub cluster: Result<ClusterFile, ClusterFileError>,
    /// The journal, damage included; `None` in a backup, which has none.
    pub journal: Option<Result<Survey, LogError>>,
    /// The exports that are whole.
    pub exports: Vec<Manifest>,
    /// What is wrong with the others.
    pub exports_damaged: Vec<String>,
    /// How many content files are whole.
    pub content_sound: usize,
    /// Those that are not.
    pub content_damaged: Vec<ContentHash>,
    /// Kept output.
    pub output: output::Survey,
}

/// Reads everything on `disk` and checks it. sled's folder is not looked at: whatever it holds can be rebuilt.
///
/// # Errors
/// Only a failure of the disk while listing or reading content; everything else is in the report.
pub fn verify(disk: &dyn Disk) -> Result<Report, DiskError> {
    let mut report = Report {
        cluster: cluster_file::load(disk),
        journal: None,
        exports: Vec::new(),
        exports_damaged: Vec::new(),
        content_sound: 0,
        content_damaged: Vec::new(),
        output: output::survey(disk)?,
    };
    report.journal = match survey(disk) {
        // A backup is an export without a journal.
        Err(LogError::Missing | LogError::Disk(DiskError::Missing { .. }))
            if !export::manifest_numbers(disk)?.is_empty() =>
        {
            None
        }
        other => Some(other),
    };
    for number in export::manifest_numbers(disk)? {
        match Manifest::read(disk, &Manifest::path(number))? {
            Err(fault) => report.exports_damaged.push(fault),
            Ok(manifest) => match export::verify(disk, &manifest) {
                Ok(()) => report.exports.push(manifest),
                Err(fault) if fault.is_fatal() => return Err(fatal(fault)),
                Err(fault) => report.exports_damaged.push(fault.to_string()),
            },
        }
    }
    report.check_reach();
    for hash in content::list(disk)? {
        match content::get(disk, hash) {
            Ok(_) => report.content_sound += 1,
            Err(ContentError::Disk(error)) => return Err(error),
            Err(_) => report.content_damaged.push(hash),
        }
    }
    Ok(report)
}

fn fatal(fault: RowsFault) -> DiskError {
    match fault {
        RowsFault::Disk(error) => error,
        RowsFault::Damage { path, .. } => DiskError::Missing { path },
    }
}

impl Report {
    /// Each export must reach the journal: it was trimmed behind the older of them.
    fn check_reach(&mut self) {
        let Some(Ok(survey)) = &self.journal else { return };
        let (start, end) = (survey.start(), survey.end().last);
        for Manifest { number, position, .. } in &self.exports {
            if position.0 + 1 < start.0 || (*position > end && survey.damages.is_empty()) {
                self.exports_damaged.push(format!(
                    "export {number} is at group {position}, and the journal has groups {start} to {end}: what lies \
                     between is gone; run `jctld export`, which makes one that fits"
                ));
            }
        }
    }

    /// Whether nothing at all is wrong.
    pub fn is_sound(&self) -> bool {
        let exports = self.exports_damaged.is_empty() && (self.journal.is_some() || !self.exports.is_empty());
        self.cluster.is_ok() && self.journal_is_sound() && exports && self.content_damaged.is_empty()
    }

    fn journal_is_sound(&self) -> bool {
        match (&self.cluster, &self.journal) {
            (_, None) => true,
            (Ok(cluster), Some(Ok(survey))) => {
                survey.damages.is_empty() && survey.mark.incarnation == cluster.incarnation
            }
            (_, Some(journal)) => journal.as_ref().is_ok_and(|survey| survey.damages.is_empty()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cluster {
            Ok(cluster) => writeln!(f, "cluster {}, incarnation {}", cluster.name, cluster.incarnation)?,
            Err(error) => writeln!(f, "{error}")?,
        }
        match &self.journal {
            None => writeln!(f, "journal: none, this is a backup")?,
            Some(Ok(survey)) => {
                let (start, end, mark) = (survey.start(), survey.end().last, survey.mark.position);
                let segments = survey.extents.len();
                writeln!(
                    f,
                    "journal: {segments} segments, groups {start} to {end}, durable at least to {mark}"
                )?;
                if survey.torn_bytes > 0 {
                    writeln!(
                        f,
                        "journal: {} bytes of a torn end, which opening cuts off",
                        survey.torn_bytes
                    )?;
                }
                survey.damages.iter().try_for_each(|damage| writeln!(f, "{damage}"))?;
                if let Ok(cluster) = &self.cluster
                    && survey.mark.incarnation != cluster.incarnation
                {
                    writeln!(f, "journal: it belongs to incarnation {}", survey.mark.incarnation)?;
                }
            }
            Some(Err(error)) => writeln!(f, "{error}")?,
        }
        for manifest in &self.exports {
            let (number, position, bytes) = (manifest.number, manifest.position, manifest.bytes());
            writeln!(f, "export {number}: whole, up to group {position}, {bytes} bytes")?;
        }
        self.exports_damaged.iter().try_for_each(|fault| writeln!(f, "{fault}"))?;
        writeln!(f, "content: {} files whole, {} damaged", self.content_sound, self.content_damaged.len())?;
        self.content_damaged.iter().try_for_each(|hash| writeln!(f, "content {hash} is damaged"))?;
        let output::Survey { sound, damaged } = self.output;
        writeln!(
            f,
            "output: {sound} pieces whole, {damaged} damaged, which are gaps in what `jqueue log` shows"
        )?;
        f.write_str(if self.is_sound() { "everything is sound" } else { "not sound: see above" })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::ids::{Epoch, Incarnation, Position};
    use crate::store::content::Content;
    use crate::store::disk::memory::MemoryDisk;
    use crate::store::journal::{Journal, segment};
    use crate::store::log::{Claim, Log};

    const INCARNATION: Incarnation = Incarnation([7; 16]);

    fn state_folder() -> MemoryDisk {
        let disk = MemoryDisk::new();
        Journal::create(&disk, INCARNATION).unwrap();
        let cluster = ClusterFile { name: "c".to_owned(), incarnation: INCARNATION };
        cluster_file::create(&disk, &cluster).unwrap();
        Content::open(Arc::new(disk.clone())).unwrap().put(ContentHash::of(b"x"), b"x").unwrap();
        let mut journal = Journal::new(Arc::new(disk.clone()));
        let epoch: Epoch = journal.open(Claim { incarnation: INCARNATION }).unwrap().epoch;
        for position in 1..10 {
            journal.append(epoch, Position(position), b"changes").unwrap();
        }
        journal.close().unwrap();
        disk
    }

    #[test]
    fn it_finds_each_thing_that_is_wrong_and_changes_nothing() {
        let disk = state_folder();
        let report = verify(&disk).unwrap();
        assert!(report.is_sound(), "{report}");
        assert_eq!(report.journal.unwrap().unwrap().end().last, Position(9));
        let content = format!("content/{}", ContentHash::of(b"x"));
        let segment = segment::path(*segment::sequences(&disk).unwrap().last().unwrap());
        for (path, bit) in [("cluster", 500), (content.as_str(), 3), (segment.as_str(), 1_000)] {
            disk.flip(path, bit);
            let before = disk.contents(path);
            let report = verify(&disk).unwrap();
            assert!(!report.is_sound());
            assert!(report.to_string().contains(path.trim_start_matches("content/")), "{report}");
            assert_eq!(disk.contents(path), before);
            disk.flip(path, bit);
        }
        assert!(verify(&disk).unwrap().is_sound());
        let nothing = verify(&MemoryDisk::new()).unwrap();
        assert!(!nothing.is_sound(), "an empty folder is no state");
    }
}
