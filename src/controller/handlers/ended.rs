//! Ended tasks, row by row.

use std::sync::Arc;

use super::{found, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::select::{Chosen, choose};
use crate::core::state::View;
use crate::model::ids::TaskRef;
use crate::model::record::Memory;
use crate::model::state::{End, State};
use crate::wire::client::{LIST_ROWS_MAX, Reply, Selection};
use crate::wire::info::EndedRow;

/// Answers with all ended tasks that were chosen, the last attempt of each.
///
/// # Errors
/// If the client is gone.
pub async fn ended(
    office: &Arc<Office>,
    caller: &Caller,
    selection: &Selection,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let view = office.published.view();
    let history = match found::jobs(office, &view, &caller.identity, selection) {
        Ok(history) => history,
        Err(error) => return refuse(replies, tables_failed(&error)).await,
    };
    let chosen = match choose(&view.cluster, &view.nodes, &history, &caller.identity, selection) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    let mut rows = Vec::new();
    for one in &chosen {
        let set = one.job.tasks.select(one.tasks.as_ref(), State::is_end);
        for ordinal in set.iter() {
            let task = TaskRef { job: one.job.id(), ordinal };
            let end = if one.job.is_array() {
                history::attempts(&*office.tables, &view, task).unwrap_or_default().pop()
            } else {
                one.job.worst.as_ref().map(|end| (**end).clone())
            };
            if let Some(end) = end {
                rows.push(row(&view, one, task, end));
            }
            if rows.len() == LIST_ROWS_MAX {
                replies.push(&Reply::Ended { rows: std::mem::take(&mut rows), last: false }).await?;
            }
        }
    }
    replies.last(&Reply::Ended { rows, last: true }).await
}

fn row(view: &View, one: &Chosen, task: TaskRef, end: End) -> EndedRow {
    let job = &one.job;
    let record = &job.record;
    let total = end
        .node
        .and_then(|node| view.cluster.nodes.get(&node))
        .and_then(|node| node.record.hardware.as_ref().map(|hardware| hardware.resources));
    EndedRow {
        id: job.task_id(task.ordinal),
        job: job.id(),
        task: job.index(task.ordinal),
        name: record.spec.name.clone(),
        user: record.user.to_string(),
        node: end.node.map(|node| view.node_name(node)).unwrap_or_default(),
        cpus: record.cpus,
        memory_bytes: match (record.memory, total) {
            (Memory::Fixed(bytes), _) => bytes,
            (memory, Some(total)) => crate::core::resolve::memory_on(&total, memory, record.cpus),
            (_, None) => 0,
        },
        limit: record.limit,
        end,
    }
}
