//! What is too old to keep: rows of jobs that ended long ago, and answers to old keys, as removals.

use std::ops::Bound;

use super::collect::{orphan_key, use_key};
use super::rows::{
    ANSWER, AUDIT_BY_TIME, ENDED_EXCEPTION, ENDED_TASKS, FAILED_BY, JobRow, ORPHAN, RESULT_SET, RESULT_TEXT,
    SENT_BY, audit_time_key, job_key, name_key, pair_key,
};
use super::tables::{Order, Row, Table, TablesError, TablesRead};
use crate::model::change::AuditRecord;
use crate::model::ids::JobId;
use crate::model::record::{AUDIT_KEPT, HISTORY_KEPT, KEY_KEPT, KeyRecord};
use crate::model::time::{Seconds, WallTime};
use crate::wire::codec::decode;

/// The most rows that one pass removes; the next pass goes on.
pub const ROWS_MAX: usize = 20_000;

/// Removals of what has been kept long enough, at most about [`ROWS_MAX`].
///
/// # Errors
/// What the tables said.
pub fn outdated(tables: &dyn TablesRead, now: WallTime) -> Result<Vec<Row>, TablesError> {
    let mut rows = Vec::new();
    let until = before(now, HISTORY_KEPT).0.max(0).to_be_bytes();
    let old = tables.range(Table::BY_END, Bound::Unbounded, Bound::Excluded(&until), Order::Up, ROWS_MAX)?;
    for (key, _) in old {
        if rows.len() >= ROWS_MAX {
            return Ok(rows);
        }
        let id = key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes)));
        let at = key.first_chunk::<8>().map(|bytes| WallTime(i64::from_be_bytes(*bytes)));
        if let (Some(id), Some(at)) = (id, at) {
            job(tables, id, at, now, &mut rows)?;
        }
        rows.push(Row { table: Table::BY_END, key, value: None });
    }
    answers(tables, before(now, KEY_KEPT), &mut rows)?;
    audit(tables, before(now, AUDIT_KEPT), &mut rows)?;
    Ok(rows)
}

fn before(now: WallTime, span: Seconds) -> WallTime {
    WallTime(now.0.saturating_sub(i64::try_from(span.micros()).unwrap_or(i64::MAX)))
}

/// Everything that is kept of one job that ended then. Keys of tasks begin with the job's own. One that was wanted
/// again since lives, or has ended later.
fn job(
    tables: &dyn TablesRead,
    id: JobId,
    at: WallTime,
    now: WallTime,
    rows: &mut Vec<Row>,
) -> Result<(), TablesError> {
    let key = job_key(id);
    let Some(bytes) = tables.get(Table::ENDED, &key)? else { return Ok(()) };
    if let Ok(row) = decode::<JobRow>(&bytes) {
        if row.ended.is_some_and(|ended| ended != at) {
            return Ok(());
        }
        let record = row.record;
        let name = name_key(record.uid, &record.spec.name, id);
        rows.push(Row { table: Table::BY_NAME, key: name, value: None });
        let pairs = record.waits_for.iter().map(|wait| pair_key(wait.parent, id));
        rows.extend(pairs.map(|key| Row { table: FAILED_BY, key, value: None }));
        for hash in record.spec.contents() {
            rows.push(Row { table: SENT_BY, key: use_key(hash, record.uid, id), value: None });
            let since = Some(now.0.to_be_bytes().to_vec());
            rows.push(Row { table: ORPHAN, key: orphan_key(hash, record.uid), value: since });
        }
    }
    rows.push(Row { table: Table::ENDED, key: key.clone(), value: None });
    let end = job_key(JobId(id.0.saturating_add(1)));
    for table in [ENDED_TASKS, ENDED_EXCEPTION, Table::RESULT, RESULT_TEXT, RESULT_SET, FAILED_BY] {
        let found =
            tables.range(table, Bound::Included(&key), Bound::Excluded(&end), Order::Up, usize::MAX)?;
        rows.extend(found.into_iter().map(|(key, _)| Row { table, key, value: None }));
    }
    Ok(())
}

/// The oldest records, from the beginning of the chain: what is left stays a chain.
fn audit(tables: &dyn TablesRead, until: WallTime, rows: &mut Vec<Row>) -> Result<(), TablesError> {
    let room = ROWS_MAX.saturating_sub(rows.len()) / 2;
    let oldest =
        tables.range(Table::AUDIT, Bound::Unbounded, Bound::Unbounded, Order::Up, room.min(1_000))?;
    for (key, value) in oldest {
        // One that can't be read is for `jctld audit --verify` to report, not for us to remove.
        let Ok(record) = decode::<AuditRecord>(&value) else { return Ok(()) };
        if record.at >= until {
            return Ok(());
        }
        let by_time = audit_time_key(record.at, record.number);
        rows.push(Row { table: AUDIT_BY_TIME, key: by_time, value: None });
        rows.push(Row { table: Table::AUDIT, key, value: None });
    }
    Ok(())
}

fn answers(tables: &dyn TablesRead, until: WallTime, rows: &mut Vec<Row>) -> Result<(), TablesError> {
    let mut from: Bound<Vec<u8>> = Bound::Unbounded;
    loop {
        let low = from.as_ref().map(Vec::as_slice);
        let page = tables.range(ANSWER, low, Bound::Unbounded, Order::Up, 4_096)?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        from = Bound::Excluded(last.clone());
        for (key, value) in page {
            // An answer that can't be read any more is of no use to anybody.
            let old = decode::<KeyRecord>(&value).map_or(true, |record| record.at < until);
            if old {
                rows.push(Row { table: ANSWER, key, value: None });
            }
            if rows.len() >= ROWS_MAX {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::state::{Cluster, Touched};
    use crate::core::tests_spec::job_record;
    use crate::model::change::Change;
    use crate::model::ids::{Incarnation, Position};
    use crate::store::rows::rows_of;
    use crate::store::tables::Tables;
    use crate::store::tables::memory::MemoryTables;

    #[test]
    fn a_job_is_kept_for_ninety_days_and_not_longer() {
        let mut tables = MemoryTables::new(Incarnation([1; 16]));
        let (mut cluster, mut touched) = (Cluster::default(), Touched::default());
        let ended = WallTime(1_000_000_000_000_000);
        for change in
            [Change::Job(job_record(JobId(5)).into()), Change::JobEnded { job: JobId(5), at: ended }]
        {
            cluster.absorb(&change, &mut touched);
        }
        tables.apply(&rows_of(&cluster, &touched, Position(1)).unwrap(), Position(1)).unwrap();
        let edge = ended.plus(HISTORY_KEPT);
        assert!(outdated(&tables, edge).unwrap().is_empty());
        let rows = outdated(&tables, edge.plus(Seconds(1))).unwrap();
        tables.apply(&rows, Position(2)).unwrap();
        for table in (128..=255).map(Table).filter(|table| *table != ORPHAN) {
            let left = tables.range(table, Bound::Unbounded, Bound::Unbounded, Order::Up, 9).unwrap();
            assert!(left.is_empty(), "{table:?}: {left:?}");
        }
    }

    #[test]
    fn the_audit_is_cut_from_its_beginning() {
        let mut tables = MemoryTables::new(Incarnation([1; 16]));
        let (mut cluster, mut touched) = (Cluster::default(), Touched::default());
        let begin = WallTime(1_000_000_000_000_000);
        for number in 1..=3u64 {
            let at = begin.plus(Seconds(number));
            let before = cluster.audit.hash;
            let record = AuditRecord {
                number,
                before,
                at,
                who: String::new(),
                from: String::new(),
                what: String::new(),
                jobs: vec![],
                nodes: vec![],
                allowed: true,
            };
            cluster.absorb(&Change::Audit(Box::new(record)), &mut touched);
        }
        tables.apply(&rows_of(&cluster, &touched, Position(1)).unwrap(), Position(1)).unwrap();
        let edge = begin.plus(AUDIT_KEPT).plus(Seconds(2));
        let rows = outdated(&tables, edge.plus(Seconds(1))).unwrap();
        tables.apply(&rows, Position(2)).unwrap();
        let left = |table| tables.range(table, Bound::Unbounded, Bound::Unbounded, Order::Up, 9).unwrap();
        assert_eq!((left(Table::AUDIT).len(), left(AUDIT_BY_TIME).len()), (1, 1));
        assert_eq!(left(Table::AUDIT)[0].0, 3u64.to_be_bytes());
    }
}
