//! A check of a whole state folder that changes nothing: what `jctld verify DIR` reports.

use std::fmt;

use super::cluster_file::{self, ClusterFile, ClusterFileError};
use super::content::{self, ContentError};
use super::disk::{Disk, DiskError};
use super::journal::survey::{Survey, survey};
use super::log::LogError;
use crate::model::ids::ContentHash;

/// What was found. Its `Display` is for people, a line per finding.
#[derive(Debug)]
pub struct Report {
    /// Whose state it is.
    pub cluster: Result<ClusterFile, ClusterFileError>,
    /// The journal, damage included.
    pub journal: Result<Survey, LogError>,
    /// How many content files are whole.
    pub content_sound: usize,
    /// Those that are not.
    pub content_damaged: Vec<ContentHash>,
}

/// Reads everything on `disk` and checks it. sled's folder is not looked at: whatever it holds can be rebuilt.
///
/// # Errors
/// Only a failure of the disk while listing or reading content; everything else is in the report.
pub fn verify(disk: &dyn Disk) -> Result<Report, DiskError> {
    let mut report = Report {
        cluster: cluster_file::load(disk),
        journal: survey(disk),
        content_sound: 0,
        content_damaged: Vec::new(),
    };
    for hash in content::list(disk)? {
        match content::get(disk, hash) {
            Ok(_) => report.content_sound += 1,
            Err(ContentError::Disk(error)) => return Err(error),
            Err(_) => report.content_damaged.push(hash),
        }
    }
    Ok(report)
}

impl Report {
    /// Whether nothing at all is wrong.
    pub fn is_sound(&self) -> bool {
        self.cluster.is_ok() && self.journal_is_sound() && self.content_damaged.is_empty()
    }

    fn journal_is_sound(&self) -> bool {
        match (&self.cluster, &self.journal) {
            (Ok(cluster), Ok(survey)) => {
                survey.damages.is_empty() && survey.mark.incarnation == cluster.incarnation
            }
            (_, journal) => journal.as_ref().is_ok_and(|survey| survey.damages.is_empty()),
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
            Ok(survey) => {
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
            Err(error) => writeln!(f, "{error}")?,
        }
        writeln!(f, "content: {} files whole, {} damaged", self.content_sound, self.content_damaged.len())?;
        self.content_damaged.iter().try_for_each(|hash| writeln!(f, "content {hash} is damaged"))?;
        f.write_str(if self.is_sound() { "everything is sound" } else { "not sound: see above" })
    }
}
