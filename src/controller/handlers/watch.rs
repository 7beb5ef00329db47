//! Live views: a snapshot, then what changes, at most ten frames a second; the latest state of a job wins.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::list::{complete, explain};
use super::{found, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::select::choose;
use crate::core::state::View;
use crate::model::ids::JobId;
use crate::wire::client::{Filter, LIST_ROWS_MAX, Reply, Selection, Selector, Watch};
use crate::wire::info::JobInfo;

/// Between two frames.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves a live view until the client goes away.
///
/// # Errors
/// If the client is gone.
pub async fn watch(
    office: &Arc<Office>,
    caller: &Caller,
    watch: &Watch,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let listening = office.published.listen_all();
    let mut shown: BTreeSet<JobId> = BTreeSet::new();
    if let Some(position) = watch.position {
        // First what ended since: no later snapshot would show it.
        let view = office.published.view();
        let mut ended: BTreeSet<JobId> = match history::ended_after(&*office.tables, position) {
            Ok(ended) => ended.into_iter().collect(),
            Err(error) => return refuse(replies, tables_failed(&error)).await,
        };
        ended.extend(view.cluster.jobs.values().filter(|job| job.ended.is_some()).map(|job| job.id()));
        let passes = Filter { states: Vec::new(), ..watch.filter.clone() };
        let jobs = changed_rows(office, &view, caller, &passes, &ended, &mut shown);
        for page in jobs.chunks(LIST_ROWS_MAX) {
            replies.push(&Reply::Changed { jobs: page.to_vec(), position }).await?;
        }
    }
    'snapshot: loop {
        let view = office.published.view();
        let selection = Selection { selectors: Vec::new(), filter: watch.filter.clone() };
        let rows = match rows(office, &view, caller, &selection) {
            Ok(rows) => rows,
            Err(refusal) => return refuse(replies, refusal).await,
        };
        shown.extend(rows.iter().map(|row| row.job));
        let pages: Vec<Vec<JobInfo>> = rows.chunks(LIST_ROWS_MAX).map(<[JobInfo]>::to_vec).collect();
        for jobs in pages {
            replies.push(&Reply::Jobs { jobs, position: view.position, footer: None }).await?;
        }
        let end = Reply::Jobs { jobs: Vec::new(), position: view.position, footer: Some(Default::default()) };
        replies.push(&end).await?;
        replies.flush().await?;
        loop {
            let changed = tokio::select! {
                changed = listening.changed() => changed,
                () = replies.gone() => return Ok(()),
            };
            let Some(changed) = changed else { continue 'snapshot };
            let view = office.published.view();
            let jobs = changed_rows(office, &view, caller, &watch.filter, &changed, &mut shown);
            if !jobs.is_empty() {
                replies.push(&Reply::Changed { jobs, position: view.position }).await?;
                replies.flush().await?;
            }
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = replies.gone() => return Ok(()),
            }
        }
    }
}

fn rows(
    office: &Office,
    view: &View,
    caller: &Caller,
    selection: &Selection,
) -> Result<Vec<JobInfo>, crate::wire::client::Refusal> {
    let history = found::jobs(office, view, &caller.identity, selection).map_err(|e| tables_failed(&e))?;
    let chosen = choose(&view.cluster, &history, &caller.identity, selection)?;
    let explain = explain(office);
    Ok(chosen
        .iter()
        .flat_map(|one| complete(office, view, Some(&caller.identity), one, false, &*explain))
        .collect())
}

/// The rows of changed jobs that pass the filter, or that did and have ended: ends are never left out.
fn changed_rows(
    office: &Office,
    view: &View,
    caller: &Caller,
    filter: &Filter,
    changed: &BTreeSet<JobId>,
    shown: &mut BTreeSet<JobId>,
) -> Vec<JobInfo> {
    let mut rows = Vec::new();
    let explain = explain(office);
    for id in changed {
        let mut history = std::collections::BTreeMap::new();
        if !view.cluster.jobs.contains_key(id)
            && let Ok(Some(job)) = history::job(&*office.tables, *id)
        {
            history.insert(*id, std::sync::Arc::new(job));
        }
        let passes_all = Filter { states: Vec::new(), ..filter.clone() };
        let filter = if shown.contains(id) { &passes_all } else { filter };
        let selection = Selection { selectors: vec![Selector::Number(*id)], filter: filter.clone() };
        let chosen = choose(&view.cluster, &history, &caller.identity, &selection).unwrap_or_default();
        for one in &chosen {
            shown.insert(*id);
            if one.job.ended.is_some() {
                shown.remove(id);
            }
            rows.extend(complete(office, view, Some(&caller.identity), one, false, &*explain));
        }
    }
    rows
}
