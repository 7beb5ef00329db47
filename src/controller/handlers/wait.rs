//! Waiting: level-triggered, so a job that has ended already answers at once; otherwise told by push.

use std::sync::Arc;
use std::time::Duration;

use super::{found, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::core::Caller;
use crate::core::act::chosen_id;
use crate::core::job::{Job, waiting_code};
use crate::core::select::{Chosen, choose};
use crate::core::state::View;
use crate::model::ids::{JobId, Ordinal, TaskRef};
use crate::model::state::State;
use crate::wire::client::{Refusal, Reply, Selection, Selector, Wait, WaitOutcome};

/// Between two pictures of a bar.
const PICTURE_PAUSE: Duration = Duration::from_millis(100);

/// Answers when what was waited for has happened.
///
/// # Errors
/// If the client is gone.
pub async fn wait(
    office: &Arc<Office>,
    caller: &Caller,
    wait: &Wait,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let chosen = match look(office, &office.published.view(), caller, &wait.selection) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    // From here on the jobs are meant by number, whatever is submitted under the same name later.
    let fixed = Selection { selectors: chosen.iter().map(fix).collect(), ..Selection::default() };
    if fixed.selectors.is_empty() {
        return replies.last(&Reply::Waited { outcomes: Vec::new() }).await;
    }
    let ids: Vec<JobId> = chosen.iter().map(|one| one.job.id()).collect();
    drop(chosen);
    loop {
        let over = if wait.progress {
            with_progress(office, caller, &ids, &fixed, wait.start, replies).await?
        } else {
            one_by_one(office, caller, &ids, &fixed, wait.start, replies).await?
        };
        match over {
            Over::Done => {}
            Over::Gone => return Ok(()),
            Over::Refused(refusal) => return refuse(replies, refusal).await,
        }
        match outcomes(office, caller, &fixed, wait.start) {
            Ok(Some(outcomes)) => return replies.last(&Reply::Waited { outcomes }).await,
            // One of them is wanted again meanwhile.
            Ok(None) => {}
            Err(refusal) => return refuse(replies, refusal).await,
        }
    }
}

/// How all of them came out; `None` if one is not done.
fn outcomes(
    office: &Office,
    caller: &Caller,
    fixed: &Selection,
    start: bool,
) -> Result<Option<Vec<WaitOutcome>>, Refusal> {
    let view = office.published.view();
    let chosen = look(office, &view, caller, fixed)?;
    if !chosen.iter().all(|one| is_done(one, start)) {
        return Ok(None);
    }
    Ok(Some(chosen.iter().map(|one| outcome(office, &view, one, start)).collect()))
}

/// How a waiting came to its end.
enum Over {
    Done,
    Gone,
    Refused(Refusal),
}

/// Each job is looked at when it is its turn, and again only when it changes: of ten thousand that are waited for, an
/// end costs one look.
async fn one_by_one(
    office: &Arc<Office>,
    caller: &Caller,
    ids: &[JobId],
    fixed: &Selection,
    start: bool,
    replies: &mut Replies,
) -> Result<Over, Undelivered> {
    for (id, selector) in ids.iter().zip(&fixed.selectors) {
        let listening = office.published.listen([*id]);
        let selection = Selection { selectors: vec![selector.clone()], ..Selection::default() };
        loop {
            // No view is held while nothing happens: it would keep in memory what has changed since.
            match look(office, &office.published.view(), caller, &selection) {
                Ok(chosen) if chosen.iter().all(|one| is_done(one, start)) => break,
                Ok(_) => {}
                Err(refusal) => return Ok(Over::Refused(refusal)),
            }
            tokio::select! {
                () = listening.changed() => {}
                () = replies.gone() => return Ok(Over::Gone),
            }
        }
    }
    Ok(Over::Done)
}

/// All of them at once, with a picture of how far they are.
async fn with_progress(
    office: &Arc<Office>,
    caller: &Caller,
    ids: &[JobId],
    fixed: &Selection,
    start: bool,
    replies: &mut Replies,
) -> Result<Over, Undelivered> {
    let listening = office.published.listen(ids.iter().copied());
    let mut told = None;
    loop {
        let chosen = match look(office, &office.published.view(), caller, fixed) {
            Ok(chosen) => chosen,
            Err(refusal) => return Ok(Over::Refused(refusal)),
        };
        if chosen.iter().all(|one| is_done(one, start)) {
            return Ok(Over::Done);
        }
        let progress = progress(&chosen);
        drop(chosen);
        if told.as_ref() != Some(&progress) {
            replies.push(&progress).await?;
            replies.flush().await?;
            told = Some(progress);
        }
        tokio::select! {
            () = listening.changed() => {}
            () = replies.gone() => return Ok(Over::Gone),
        }
        // A bar needs no more than ten pictures a second, and the end is not held up by it.
        let done = one_by_one(office, caller, ids, fixed, start, replies);
        tokio::select! {
            () = tokio::time::sleep(PICTURE_PAUSE) => {}
            over = done => return over,
        }
    }
}

fn look(
    office: &Office,
    view: &View,
    caller: &Caller,
    selection: &Selection,
) -> Result<Vec<Chosen>, Refusal> {
    let history =
        found::jobs(office, view, &caller.identity, selection).map_err(|error| tables_failed(&error))?;
    choose(&view.cluster, &view.nodes, &history, &caller.identity, selection)
}

fn fix(one: &Chosen) -> Selector {
    match (&one.tasks, &one.job.record.spec.array) {
        (Some(set), Some(array)) => {
            let indexes: Vec<u32> =
                set.iter().filter_map(|ordinal| array.indexes.index(ordinal)).map(|index| index.0).collect();
            match crate::model::task_set::IndexSet::from_indexes(&indexes) {
                Ok(indexes) => Selector::Tasks(one.job.id(), indexes),
                Err(_) => Selector::Number(one.job.id()),
            }
        }
        _ => Selector::Number(one.job.id()),
    }
}

fn is_done(one: &Chosen, start: bool) -> bool {
    let job = &one.job;
    if job.ended.is_some() {
        return true;
    }
    match &one.tasks {
        None if start => job.first_start.is_some(),
        None => false,
        Some(set) if start => set.iter().all(|ordinal| has_started(job, ordinal)),
        Some(set) => set.iter().all(|ordinal| job.tasks.get(ordinal).is_some_and(State::is_end)),
    }
}

fn has_started(job: &Job, ordinal: Ordinal) -> bool {
    job.tasks.get(ordinal).is_some_and(State::is_end)
        || job.live.get(&ordinal).is_some_and(|live| live.start.is_some())
}

fn outcome(office: &Office, view: &View, one: &Chosen, start: bool) -> WaitOutcome {
    let job = &one.job;
    let id = chosen_id(one);
    if start && job.ended.is_none() {
        return WaitOutcome { id, state: State::Running, code: 0 };
    }
    let worst = match &one.tasks {
        Some(set) if job.is_array() => set
            .iter()
            .filter_map(|ordinal| {
                let task = TaskRef { job: job.id(), ordinal };
                history::attempts(&*office.tables, view, task).unwrap_or_default().pop()
            })
            .max_by_key(waiting_code),
        _ => job.worst.as_ref().map(|end| (**end).clone()),
    };
    match worst {
        Some(end) => WaitOutcome { id, state: end.state, code: waiting_code(&end) },
        None => WaitOutcome { id, state: State::Completed, code: 0 },
    }
}

fn progress(chosen: &[Chosen]) -> Reply {
    let mut sums = [0u64; 4];
    for one in chosen {
        let tasks = &one.job.tasks;
        let bad =
            State::ALL.iter().filter(|s| s.is_end() && **s != State::Completed).map(|s| tasks.counted(*s));
        sums[0] += u64::from(tasks.ended());
        sums[1] += u64::from(bad.sum::<u32>());
        sums[2] += u64::from(tasks.counted(State::Running));
        sums[3] += u64::from(tasks.count());
    }
    Reply::Progress { ended: sums[0], bad: sums[1], running: sums[2], total: sums[3] }
}
