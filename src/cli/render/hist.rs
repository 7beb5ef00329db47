//! `jqueue hist`: ended tasks, as a table or as the indexes of the array's tasks.

use std::collections::BTreeMap;

use super::Sheet;
use super::job_json::{ended_elapsed, exit_code, memory_peak, signal};
use super::quantity::{Clock, size, span};
use crate::model::ids::JobId;
use crate::model::parse::array;
use crate::model::task_set::{IndexError, IndexSet};
use crate::wire::info::{EndedRow, cause_line};

/// The table.
pub fn hist(rows: &[EndedRow], clock: &Clock) -> Sheet {
    let heads =
        ["JOBID", "NAME", "USER", "ST", ">EXIT", ">TIME", ">CPUS", ">MEM_PEAK", "NODE", "END", "CAUSE"];
    let mut sheet = Sheet::new(&heads);
    sheet.rows = rows
        .iter()
        .map(|row| {
            vec![
                row.id.clone(),
                row.name.clone(),
                row.user.clone(),
                row.end.state.code().to_owned(),
                exit_words(row),
                span(ended_elapsed(&row.end)),
                row.cpus.to_string(),
                memory_peak(&row.end).map_or_else(|| "-".to_owned(), size),
                if row.node.is_empty() { "-".to_owned() } else { row.node.clone() },
                clock.local(row.end.end),
                cause_line(&row.end.cause),
            ]
        })
        .collect();
    sheet
}

/// `-o tasks`: the indexes of one array as `3,17,90-95`, ready for `-a`; of several, a line each with the array's
/// number before it. Jobs that are no arrays have no indexes and are left out.
///
/// # Errors
/// When the controller named more tasks than an array may have.
pub fn task_indexes(rows: &[EndedRow]) -> Result<Vec<String>, IndexError> {
    let mut indexes: BTreeMap<JobId, Vec<u32>> = BTreeMap::new();
    for row in rows {
        if let Some(task) = row.task {
            indexes.entry(row.job).or_default().push(task.0);
        }
    }
    let single = indexes.len() == 1;
    indexes
        .into_iter()
        .map(|(job, mut list)| {
            list.sort_unstable();
            list.dedup();
            let words = array::write(&fold(&list)?);
            Ok(if single { words } else { format!("{job}_[{words}]") })
        })
        .collect()
}

/// Neighbours folded into runs before the set is made, so that a million indexes stay a few runs.
fn fold(sorted: &[u32]) -> Result<IndexSet, IndexError> {
    let mut runs: Vec<crate::model::task_set::IndexRun> = Vec::new();
    for &index in sorted {
        match runs.last_mut() {
            Some(run) if run.last.checked_add(1) == Some(index) => run.last = index,
            _ => runs.push(crate::model::task_set::IndexRun { first: index, last: index, step: 1 }),
        }
    }
    IndexSet::from_runs(runs)
}

fn exit_words(row: &EndedRow) -> String {
    match (exit_code(&row.end), signal(&row.end)) {
        (Some(code), _) => code.to_string(),
        (None, Some(signal)) => format!("sig {signal}"),
        (None, None) => "-".to_owned(),
    }
}
