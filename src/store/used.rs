//! What ended attempts had of the cluster, summed by user, account and partition: added up as they are written, so that
//! nobody has to look through history for a sum. The rows follow the log exactly as far as the tables do.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::rows::{JobRow, USED, job_key};
use super::tables::{Order, Row, Table, TablesError, TablesRead};
use crate::core::state::{Cluster, Touched};
use crate::model::change::Change;
use crate::model::ids::JobId;
use crate::model::record::JobRecord;
use crate::wire::codec::decode;

/// The most sums that are read at once.
const SUMS_MAX: usize = 100_000;

/// A sum.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Whose jobs.
    pub user: String,
    /// Of which account, or empty.
    pub account: String,
    /// In which partitions.
    pub partition: String,
    /// Cpus times the time for which they were held, in milliseconds.
    pub cpu_ms: u64,
}

/// The sums with what has ended in a batch.
///
/// # Errors
/// What the tables said.
pub fn used_rows(
    tables: &dyn TablesRead,
    cluster: &Cluster,
    touched: &Touched,
) -> Result<Vec<Row>, TablesError> {
    let mut added: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for change in &touched.ended {
        let Change::Ended { task, end } = change else { continue };
        let Some(start) = end.start else { continue };
        let Some(record) = record_of(tables, cluster, task.job)? else { continue };
        let held_ms = end.end.micros_since(start) / 1_000 * u64::from(record.cpus);
        let key = key(&record.user, &record.spec.account, &record.partitions.join(","));
        let sum = added.entry(key).or_default();
        *sum = sum.saturating_add(held_ms);
    }
    let mut rows = Vec::new();
    for (key, ms) in added {
        let before = tables.get(USED, &key)?.map_or(0, |bytes| number(&bytes));
        let value = Some(before.saturating_add(ms).to_be_bytes().to_vec());
        rows.push(Row { table: USED, key, value });
    }
    Ok(rows)
}

/// A job's record. What was given up may be found long after its job has ended and left memory (seed 67 of the
/// simulator).
fn record_of(
    tables: &dyn TablesRead,
    cluster: &Cluster,
    id: JobId,
) -> Result<Option<Arc<JobRecord>>, TablesError> {
    if let Some(job) = cluster.jobs.get(&id) {
        return Ok(Some(Arc::clone(&job.record)));
    }
    let Some(bytes) = tables.get(Table::ENDED, &job_key(id))? else { return Ok(None) };
    let row: JobRow = decode(&bytes).map_err(|error| TablesError::Broken { what: error.to_string() })?;
    Ok(Some(row.record))
}

/// All sums.
///
/// # Errors
/// What the tables said.
pub fn sums(tables: &dyn TablesRead) -> Result<Vec<Used>, TablesError> {
    let rows = tables.range(USED, Bound::Unbounded, Bound::Unbounded, Order::Up, SUMS_MAX)?;
    Ok(rows.iter().filter_map(|(key, value)| read(key, number(value))).collect())
}

fn number(bytes: &[u8]) -> u64 {
    bytes.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The three names, each behind its length.
fn key(user: &str, account: &str, partition: &str) -> Vec<u8> {
    let mut key = Vec::new();
    for name in [user, account, partition] {
        let bytes = name.as_bytes();
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        key.extend(length.to_be_bytes());
        key.extend(bytes.iter().take(usize::from(length)));
    }
    key
}

fn read(key: &[u8], cpu_ms: u64) -> Option<Used> {
    let mut rest = key;
    let mut name = || {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let (name, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        rest = after;
        Some(String::from_utf8_lossy(name).into_owned())
    };
    Some(Used { user: name()?, account: name()?, partition: name()?, cpu_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::tests_spec::job_record;
    use crate::model::ids::{Attempt, Incarnation, Ordinal, Position, TaskRef};
    use crate::model::state::{Cause, CauseKind, End, State, Usage};
    use crate::model::time::WallTime;
    use crate::store::tables::Tables;
    use crate::store::tables::memory::MemoryTables;

    #[test]
    fn ends_add_up() {
        let mut tables = MemoryTables::new(Incarnation([1; 16]));
        let mut cluster = Cluster::default();
        let end = |attempt, start| End {
            state: State::Failed,
            exit_code: 1,
            signal: 0,
            cause: Cause::plain(CauseKind::Exit),
            node: None,
            start,
            end: WallTime(9_000_000),
            usage: Usage::default(),
            attempt: Attempt(attempt),
        };
        let task = TaskRef { job: JobId(5), ordinal: Ordinal(0) };
        let ended = |attempt, start| Change::Ended { task, end: Box::new(end(attempt, start)) };
        let mut record = job_record(JobId(5));
        record.cpus = 3;
        cluster.absorb(&Change::Job(Arc::new(record)), &mut Touched::default());
        for (position, starts) in [(1, vec![Some(1_000_000), None]), (2, vec![Some(8_000_000)])] {
            let mut touched = Touched::default();
            for start in starts {
                cluster.absorb(&ended(position as u32, start.map(WallTime)), &mut touched);
            }
            let rows = used_rows(&tables, &cluster, &touched).unwrap();
            tables.apply(&rows, Position(position)).unwrap();
        }
        // One that was given up is found when its job has ended and lies in history alone.
        let row = JobRow {
            record: Arc::clone(&cluster.jobs[&JobId(5)].record),
            cancel: None,
            ended: Some(WallTime(9_000_000)),
            first_start: None,
            worst: None,
        };
        let value = Some(crate::wire::codec::encode(&row).unwrap());
        let ended = Row { table: Table::ENDED, key: job_key(JobId(5)), value };
        tables.apply(&[ended], Position(3)).unwrap();
        let (mut cluster, mut touched) = (Cluster::default(), Touched::default());
        let late = Change::LateEnd { task, end: Box::new(end(9, Some(WallTime(7_000_000)))) };
        cluster.absorb(&late, &mut touched);
        let rows = used_rows(&tables, &cluster, &touched).unwrap();
        tables.apply(&rows, Position(4)).unwrap();
        let (user, account, partition) = ("ada".to_owned(), String::new(), "main".to_owned());
        assert_eq!(
            sums(&tables).unwrap(),
            [Used { user, account, partition, cpu_ms: 3 * (8_000 + 1_000 + 2_000) }]
        );
    }
}
