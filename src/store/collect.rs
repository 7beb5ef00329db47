//! Scripts and environments that no job needs any more. Each ended job leaves a row for what it used; when the last
//! of them is forgotten and no living job uses it either, the content goes, after a while: a submission that has just
//! found it here may be on its way.

use std::collections::BTreeSet;
use std::ops::Bound;

use super::content::{Content, ContentError};
use super::rows::{ORPHAN, SENT, SENT_BY, content_key};
use super::tables::{Order, Row, TablesError, TablesRead};
use crate::core::state::Cluster;
use crate::model::ids::{ContentHash, JobId, Uid};
use crate::model::time::{Seconds, WallTime};

/// How long content stays after the last job that used it was forgotten.
pub const CONTENT_GRACE: Seconds = Seconds(600);
/// The most pieces that one pass looks at; the next goes on.
const LOOKED_AT_MAX: usize = 10_000;

/// The key of what a job used.
pub fn use_key(hash: ContentHash, owner: Uid, job: JobId) -> Vec<u8> {
    [orphan_key(hash, owner).as_slice(), &job.0.to_be_bytes()].concat()
}

/// The key of content that may be of no use any more.
pub fn orphan_key(hash: ContentHash, owner: Uid) -> Vec<u8> {
    [hash.0.as_slice(), &owner.0.to_be_bytes()].concat()
}

/// What living jobs use.
pub fn used_by_living(cluster: &Cluster) -> BTreeSet<(ContentHash, Uid)> {
    let jobs = cluster.jobs.values();
    jobs.flat_map(|job| job.record.spec.contents().map(|hash| (hash, job.record.uid))).collect()
}

/// Removals of content that has been of no use for long enough. `living` is asked only if there is any in question.
///
/// # Errors
/// What the tables said.
pub fn outdated(
    tables: &dyn TablesRead,
    now: WallTime,
    living: impl FnOnce() -> BTreeSet<(ContentHash, Uid)>,
) -> Result<Vec<Row>, TablesError> {
    let mut rows = Vec::new();
    let page = tables.range(ORPHAN, Bound::Unbounded, Bound::Unbounded, Order::Up, LOOKED_AT_MAX)?;
    let since = |value: &[u8]| value.first_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
    let due = page.into_iter().filter(|(_, value)| WallTime(since(value)).plus(CONTENT_GRACE) <= now);
    let due: Vec<Vec<u8>> = due.map(|(key, _)| key).collect();
    if due.is_empty() {
        return Ok(rows);
    }
    let living = living();
    for key in due {
        let parts =
            key.split_first_chunk::<32>().and_then(|(hash, rest)| Some((hash, rest.first_chunk::<4>()?)));
        if let Some((hash, owner)) = parts {
            let (hash, owner) = (ContentHash(*hash), Uid(u32::from_be_bytes(*owner)));
            if !living.contains(&(hash, owner)) && !any_below(tables, SENT_BY, &key)? {
                rows.push(Row { table: SENT, key: content_key(owner, hash), value: None });
            }
        }
        rows.push(Row { table: ORPHAN, key, value: None });
    }
    Ok(rows)
}

/// Removes the files of content that nothing names: what was kept for submissions that were refused, and what was
/// forgotten. A file goes when two passes in a row found no use for it and it was not asked for in between.
///
/// # Errors
/// What the tables or the disk said.
pub fn sweep(
    tables: &dyn TablesRead,
    content: &Content,
    living: impl FnOnce() -> BTreeSet<(ContentHash, Uid)>,
) -> Result<(), SweepError> {
    let files = content.list()?;
    if files.is_empty() {
        return Ok(());
    }
    let living: BTreeSet<ContentHash> = living().into_iter().map(|(hash, _)| hash).collect();
    let mut useless = BTreeSet::new();
    for hash in files.into_iter().filter(|hash| !living.contains(hash)) {
        if !any_below(tables, SENT_BY, &hash.0)? && !any_below(tables, ORPHAN, &hash.0)? {
            useless.insert(hash);
        }
    }
    content.remove_useless(useless)?;
    Ok(())
}

/// Why files were not looked through.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The tables failed.
    #[error(transparent)]
    Tables(#[from] TablesError),
    /// The disk failed.
    #[error(transparent)]
    Content(#[from] ContentError),
}

fn any_below(
    tables: &dyn TablesRead,
    table: super::tables::Table,
    prefix: &[u8],
) -> Result<bool, TablesError> {
    let high = [prefix, &[0xff; 16]].concat();
    Ok(!tables.range(table, Bound::Included(prefix), Bound::Included(&high), Order::Up, 1)?.is_empty())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::state::Touched;
    use crate::core::tests_spec::job_record;
    use crate::model::change::Change;
    use crate::model::ids::{Incarnation, Position};
    use crate::model::record::HISTORY_KEPT;
    use crate::store::disk::memory::MemoryDisk;
    use crate::store::prune;
    use crate::store::rows::rows_of;
    use crate::store::tables::memory::MemoryTables;
    use crate::store::tables::{Table, Tables};

    const ENDED: WallTime = WallTime(1_000_000_000_000_000);

    /// Two jobs that use the same script: one has ended, the other ends on the last day of the first.
    fn told(tables: &mut MemoryTables, cluster: &mut Cluster, changes: Vec<Change>, position: u64) {
        let mut touched = Touched::default();
        changes.iter().for_each(|change| cluster.absorb(change, &mut touched));
        tables.apply(&rows_of(cluster, &touched, Position(position)).unwrap(), Position(position)).unwrap();
    }

    fn pass(tables: &mut MemoryTables, cluster: &Cluster, now: WallTime, position: u64) -> usize {
        let mut rows = prune::outdated(tables, now).unwrap();
        rows.extend(outdated(tables, now, || used_by_living(cluster)).unwrap());
        tables.apply(&rows, Position(position)).unwrap();
        let sent = tables.range(SENT, Bound::Unbounded, Bound::Unbounded, Order::Up, 9).unwrap();
        sent.len()
    }

    #[test]
    fn content_goes_a_while_after_the_last_job_that_used_it_was_forgotten() {
        let mut tables = MemoryTables::new(Incarnation([1; 16]));
        let mut cluster = Cluster::default();
        let hash = job_record(JobId(5)).spec.script;
        let sent = Change::Content { owner: Uid(1_000), hash, bytes: Some(b"x".to_vec()) };
        let job = |id| Change::Job(Arc::new(job_record(JobId(id))));
        let end = |id, at| Change::JobEnded { job: JobId(id), at };
        told(&mut tables, &mut cluster, vec![sent.clone(), job(5), job(6), end(5, ENDED)], 1);
        cluster.forget(&crate::core::state::Outdated::Job(JobId(5)));
        let later = ENDED.plus(HISTORY_KEPT).plus(Seconds(1));
        // The second still lives.
        assert_eq!(pass(&mut tables, &cluster, later, 2), 1);
        assert_eq!(pass(&mut tables, &cluster, later.plus(CONTENT_GRACE), 3), 1);
        told(&mut tables, &mut cluster, vec![end(6, later)], 4);
        cluster.forget(&crate::core::state::Outdated::Job(JobId(6)));
        let last = later.plus(HISTORY_KEPT).plus(Seconds(1));
        assert_eq!(pass(&mut tables, &cluster, last, 5), 1, "it is only in question");
        assert_eq!(pass(&mut tables, &cluster, WallTime(last.plus(CONTENT_GRACE).0 - 1), 6), 1);
        // Sent again meanwhile, it is out of question.
        told(&mut tables, &mut cluster, vec![sent], 7);
        assert_eq!(pass(&mut tables, &cluster, last.plus(CONTENT_GRACE), 8), 1);
        told(&mut tables, &mut cluster, vec![job(7), end(7, last)], 9);
        cluster.forget(&crate::core::state::Outdated::Job(JobId(7)));
        let end = last.plus(HISTORY_KEPT).plus(Seconds(1));
        assert_eq!(pass(&mut tables, &cluster, end, 10), 1);
        assert_eq!(pass(&mut tables, &cluster, end.plus(CONTENT_GRACE), 11), 0);
        for table in (128..=255).map(Table) {
            let left = tables.range(table, Bound::Unbounded, Bound::Unbounded, Order::Up, 9).unwrap();
            assert!(left.is_empty(), "{table:?}: {left:?}");
        }
    }

    #[test]
    fn files_that_nothing_names_go_unless_they_are_asked_for() {
        let tables = MemoryTables::new(Incarnation([1; 16]));
        let disk = MemoryDisk::new();
        let content = Content::open(Arc::new(disk)).unwrap();
        let (one, two) = (ContentHash::of(b"one"), ContentHash::of(b"two"));
        content.put(one, b"one").unwrap();
        content.put(two, b"two").unwrap();
        let living = || BTreeSet::from([(two, Uid(1))]);
        sweep(&tables, &content, living).unwrap();
        assert_eq!(content.list().unwrap().len(), 2);
        content.put(one, b"one").unwrap();
        sweep(&tables, &content, living).unwrap();
        assert_eq!(content.list().unwrap().len(), 2, "it was sent again since the last pass");
        sweep(&tables, &content, living).unwrap();
        assert_eq!(content.list().unwrap(), [two]);
    }
}
