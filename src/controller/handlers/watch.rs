//! Live views: a snapshot, then what changes, at most ten frames a second; the latest state of a job wins. Who was away
//! goes on from the position that it saw last: every end since then is told once, and what has left its filter.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::list::{complete, explain};
use super::{found, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::Office;
use crate::controller::quota::Bearer;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::job::Job;
use crate::core::select::choose;
use crate::core::state::View;
use crate::model::ids::{JobId, Position};
use crate::model::state::State;
use crate::wire::client::{Filter, LIST_ROWS_MAX, Refusal, Reply, Selection, Selector, Watch};
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
    bearer: &Bearer,
    watch: &Watch,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let mut job_changes = office.published.job_changes();
    let mut live = Live { office, caller, filter: &watch.filter, shown: BTreeSet::new() };
    let mut seen = watch.position;
    loop {
        let view = office.published.view();
        let turn = office.quotas.listing(bearer).await;
        let caught_up = match live.catch_up(&view, seen, replies).await? {
            Ok(caught_up) => caught_up,
            Err(refusal) => return refuse(replies, refusal).await,
        };
        let rows = match live.rows(&view) {
            Ok(rows) => rows,
            Err(refusal) => return refuse(replies, refusal).await,
        };
        live.shown = rows.iter().map(|row| row.job).collect();
        if !caught_up {
            for jobs in rows.chunks(LIST_ROWS_MAX) {
                let jobs = jobs.to_vec();
                replies.push(&Reply::Jobs { jobs, position: view.position, footer: None }).await?;
            }
            let footer = Some(super::list::footer(office, &view, caller));
            replies.push(&Reply::Jobs { jobs: Vec::new(), position: view.position, footer }).await?;
        }
        drop((rows, turn));
        replies.flush().await?;
        let mut at = view.position;
        // It would keep in memory what changes from here on.
        drop(view);
        loop {
            tokio::select! {
                _ = job_changes.changed() => {}
                () = replies.gone() => return Ok(()),
            }
            // The view first: what came after it is told again with the next one.
            let view = office.published.view();
            // Too many to name: what was missed is found out as after a loss of the connection.
            let Ok(changed) = office.published.changed_since(at) else { break };
            let jobs = live.changed(&view, &changed, true);
            changes(&jobs, at, view.position, replies).await?;
            replies.flush().await?;
            at = view.position;
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                () = replies.gone() => return Ok(()),
            }
        }
        seen = Some(at);
    }
}

/// Sends changes. Only the last frame carries the new position: who has that has seen all of them.
async fn changes(
    jobs: &[JobInfo],
    old: Position,
    new: Position,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let mut pages = jobs.chunks(LIST_ROWS_MAX).peekable();
    while let Some(page) = pages.next() {
        let position = if pages.peek().is_some() { old } else { new };
        replies.push(&Reply::Changed { jobs: page.to_vec(), position }).await?;
    }
    Ok(())
}

struct Live<'a> {
    office: &'a Office,
    caller: &'a Caller,
    filter: &'a Filter,
    /// Jobs that the client has seen passing the filter.
    shown: BTreeSet<JobId>,
}

impl Live<'_> {
    /// Tells what was missed since `seen`. True if that was all there is to tell; otherwise a snapshot is due.
    async fn catch_up(
        &mut self,
        view: &View,
        seen: Option<Position>,
        replies: &mut Replies,
    ) -> Result<Result<bool, Refusal>, Undelivered> {
        // A position that was never reached is another life's: there is nothing to go on from.
        let Some(seen) = seen.filter(|seen| *seen <= view.position) else { return Ok(Ok(false)) };
        match self.office.published.changed_since(seen) {
            Ok(changed) => {
                let jobs = self.changed(view, &changed, false);
                changes(&jobs, seen, view.position, replies).await?;
                Ok(Ok(true))
            }
            Err((known, mut changed)) => {
                match history::ended_between(&*self.office.tables, seen, known) {
                    Ok(ended) => changed.extend(ended),
                    Err(error) => return Ok(Err(tables_failed(&error))),
                }
                // Which of the others have left the filter meanwhile is not known: all that may have.
                let left = view.cluster.jobs.iter().filter(|(_, job)| self.may_have_left(job));
                changed.extend(left.map(|(id, _)| *id));
                let jobs = self.changed(view, &changed, false);
                changes(&jobs, seen, seen, replies).await?;
                Ok(Ok(false))
            }
        }
    }

    fn may_have_left(&self, job: &Job) -> bool {
        let narrow = !self.filter.states.is_empty() || !self.filter.nodes.is_empty();
        job.ended.is_none() && narrow && (has_run(job) || self.waits_pass())
    }

    /// Whether jobs that wait pass the filter.
    fn waits_pass(&self) -> bool {
        let states = &self.filter.states;
        self.filter.nodes.is_empty()
            && (states.is_empty() || states.iter().any(|state| matches!(state, State::Pending | State::Held)))
    }

    /// Everything that passes.
    fn rows(&self, view: &View) -> Result<Vec<JobInfo>, Refusal> {
        let selection = Selection { selectors: Vec::new(), filter: self.filter.clone() };
        let history = found::jobs(self.office, view, &self.caller.identity, &selection)
            .map_err(|error| tables_failed(&error))?;
        let chosen = choose(&view.cluster, &view.nodes, &history, &self.caller.identity, &selection)?;
        let explain = explain(self.office);
        let rows = chosen.iter();
        Ok(rows
            .flat_map(|one| complete(self.office, view, Some(&self.caller.identity), one, false, &*explain))
            .collect())
    }

    /// The rows of changed jobs that pass the filter, that no longer do, or that have ended. `exact`: what the client
    /// was shown is known.
    fn changed(&mut self, view: &View, changed: &BTreeSet<JobId>, exact: bool) -> Vec<JobInfo> {
        let mut rows = Vec::new();
        let explain = explain(self.office);
        for id in changed {
            let mut history = BTreeMap::new();
            if !view.cluster.jobs.contains_key(id)
                && let Ok(Some(job)) = history::job(&*self.office.tables, *id)
            {
                history.insert(*id, Arc::new(job));
            }
            let select = |filter: Filter| {
                let selection = Selection { selectors: vec![Selector::Number(*id)], filter };
                choose(&view.cluster, &view.nodes, &history, &self.caller.identity, &selection)
                    .unwrap_or_default()
            };
            let mut chosen = select(self.filter.clone());
            if chosen.is_empty() {
                let was = self.shown.remove(id);
                let job = view.cluster.jobs.get(id).or_else(|| history.get(id));
                let ended = job.is_some_and(|job| job.ended.is_some());
                let unknown = !exact && job.is_some_and(|job| has_run(job) || self.waits_pass());
                if was || ended || unknown {
                    chosen = select(self.leaving(was));
                }
            } else {
                self.shown.insert(*id);
            }
            for one in &chosen {
                if one.job.ended.is_some() {
                    self.shown.remove(id);
                }
                rows.extend(complete(self.office, view, Some(&self.caller.identity), one, false, &*explain));
            }
        }
        rows
    }

    /// The filter for what has left: whoever was shown it may see it go, whatever about it is different now.
    fn leaving(&self, was: bool) -> Filter {
        let filter = self.filter;
        let who = Filter { own: filter.own, users: filter.users.clone(), ..Filter::default() };
        if was {
            return who;
        }
        Filter { states: Vec::new(), nodes: Vec::new(), ended_since: None, ..filter.clone() }
    }
}

/// Whether some of it was ever handed to a node: otherwise it has only waited.
fn has_run(job: &Job) -> bool {
    job.first_start.is_some() || !job.live.is_empty() || !job.exceptions.is_empty()
}
