//! Listings.

use std::sync::Arc;

use super::{found, refuse, tables_failed};
use crate::controller::clock;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::select::{Chosen, choose};
use crate::core::state::View;
use crate::model::identity::Identity;
use crate::model::ids::JobId;
use crate::model::time::{Seconds, WallTime};
use crate::wire::client::{Footer, LIST_ROWS_MAX, List, Reply};
use crate::wire::info::{JobInfo, Reason};

/// From so many jobs on they are gone through aside.
const LONG: usize = 2_000;
/// What counts as lately in the footer.
const LATELY: Seconds = Seconds(3_600);

/// Answers a listing, a frame per [`LIST_ROWS_MAX`] rows.
///
/// # Errors
/// If the client is gone.
pub async fn list(
    office: &Arc<Office>,
    caller: &Caller,
    list: &List,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let view = office.published.view();
    let history = match found::jobs(office, &view, &caller.identity, &list.selection) {
        Ok(history) => history,
        Err(error) => return refuse(replies, tables_failed(&error)).await,
    };
    let select = || choose(&view.cluster, &view.nodes, &history, &caller.identity, &list.selection);
    // A long listing must not keep the others of this thread waiting.
    let long = view.cluster.jobs.len() + history.len() > LONG;
    let chosen = match if long { tokio::task::block_in_place(select) } else { select() } {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    let explain = explain(office);
    let mut rows = Vec::new();
    let whose = (!list.brief).then_some(&caller.identity);
    for one in &chosen {
        rows.extend(complete(office, &view, whose, one, list.expand, &*explain));
        if rows.len() >= LIST_ROWS_MAX {
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(LIST_ROWS_MAX));
                let jobs = std::mem::replace(&mut rows, rest);
                replies.push(&Reply::Jobs { jobs, position: view.position, footer: None }).await?;
            }
            tokio::task::yield_now().await;
        }
    }
    let footer = Some(footer(office, &view, caller));
    replies.last(&Reply::Jobs { jobs: rows, position: view.position, footer }).await
}

/// Rows with the ends that only the tables know.
pub fn complete(
    office: &Office,
    view: &View,
    caller: Option<&Identity>,
    one: &Chosen,
    expand: bool,
    explain: &dyn Fn(JobId) -> Option<Reason>,
) -> Vec<JobInfo> {
    let mut rows = view.rows(caller, one, expand, explain);
    for row in &mut rows {
        if row.state.is_end() && row.end.is_none() && one.job.is_array() {
            super::show::put_last_end(office, view, &one.job, row);
        }
    }
    rows
}

/// Why jobs wait, by the scheduler. Of a long listing only the first are asked: each answer costs it time.
pub fn explain<'a>(office: &'a Office) -> Box<dyn Fn(JobId) -> Option<Reason> + Send + Sync + 'a> {
    const EXPLAINED_MAX: usize = 200;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    Box::new(move |job| {
        if asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) >= EXPLAINED_MAX {
            return None;
        }
        let explanation = office.explainer.explain(job);
        Some(super::show::reason_of(&explanation))
    })
}

pub fn footer(office: &Office, view: &View, caller: &Caller) -> Footer {
    if caller.identity.within.is_some() {
        // A job hears of nothing but what it reaches.
        return Footer::default();
    }
    let since = WallTime(clock::wall().0 - i64::try_from(LATELY.micros()).unwrap_or(0));
    let uid = caller.identity.uid;
    let open_of = &view.cluster.open_of;
    let all: u64 = open_of.values().map(|open| u64::from(*open)).sum();
    let mine = uid.and_then(|uid| open_of.get(&uid)).map_or(0, |open| u64::from(*open));
    let mut footer = Footer { others: all.saturating_sub(mine), ..Footer::default() };
    let lately = uid.map(|uid| crate::controller::history::ended_briefly(&*office.tables, since, uid));
    if let Some(Ok(lately)) = lately {
        footer.ended_lately = lately.ended;
        footer.failed_lately = lately.failed;
        footer.failed_example = lately.example;
    }
    footer
}
