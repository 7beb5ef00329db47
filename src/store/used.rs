//! What ended attempts had of the cluster, summed by user, account and partition: added up as they are written, so that
//! nobody has to look through history for a sum. The rows follow the log exactly as far as the tables do.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::rows::USED;
use super::tables::{Order, Row, TablesError, TablesRead};
use crate::core::state::{Cluster, Touched};
use crate::model::change::Change;

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
        let (Some(job), Some(start)) = (cluster.jobs.get(&task.job), end.start) else { continue };
        let record = &job.record;
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
    use std::sync::Arc;

    use super::*;
    use crate::core::tests_spec::job_record;
    use crate::model::ids::{Attempt, Incarnation, JobId, Ordinal, Position, TaskRef};
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
        let (user, account, partition) = ("ada".to_owned(), String::new(), "main".to_owned());
        assert_eq!(sums(&tables).unwrap(), [Used { user, account, partition, cpu_ms: 3 * (8_000 + 1_000) }]);
    }
}
