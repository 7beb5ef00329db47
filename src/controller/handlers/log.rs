//! Output: windows of a task's file, read on its node as its owner; and when that can't be had, head and tail as they are
//! kept here.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::log_source::{AGAIN_EVERY, Source, Window};
use super::{found, note_foreign, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::Office;
use crate::controller::published::Listening;
use crate::controller::server::{REPLY_PATIENCE, Replies, Undelivered};
use crate::controller::windows::{Pass, WAITED_BYTES};
use crate::core::Caller;
use crate::core::act::pattern_of;
use crate::core::audit::Deed;
use crate::core::authorise::may_see;
use crate::core::job::Job;
use crate::core::select::choose;
use crate::core::state::View;
use crate::model::ids::{Attempt, NodeId, Ordinal, TaskRef};
use crate::model::pattern::{Facts, fill};
use crate::model::spec::WorkDir;
use crate::model::state::State;
use crate::wire::client::{Log, Output, Refusal, RefusalCode, Reply, Selection};
use crate::wire::data::{CHUNK_BYTES_MAX, From};

/// The longest that one window waits for more.
const WAIT_MS_MAX: u32 = 30_000;

/// So long a node is asked again that may answer in a moment.
const AGAIN_FOR: Duration = Duration::from_secs(10);

/// Answers with one window.
///
/// # Errors
/// If the client is gone.
pub async fn log(
    office: &Arc<Office>,
    caller: &Caller,
    log: &Log,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let Some(pass) = office.windows.enter(&caller.identity.name) else {
        let message = "you read too much output at once";
        return refuse(replies, Refusal::new(RefusalCode::Busy, message, "end some `jqueue log -f`")).await;
    };
    let mut permit = None;
    match answer(office, caller, log, replies, &pass, &mut permit).await {
        Ok(Some(output)) => {
            replies.last(&Reply::Output(output)).await?;
            // Until the reader has it, it takes memory here: so long it counts.
            let _ = tokio::time::timeout(REPLY_PATIENCE, replies.gone()).await;
            drop(permit);
            Ok(())
        }
        Ok(None) => Ok(()),
        Err(refusal) => refuse(replies, refusal).await,
    }
}

/// An attempt that was given to a node.
struct Try {
    attempt: Attempt,
    node: NodeId,
    over: bool,
    /// Why it was not started, if it was not.
    failure: String,
}

async fn answer(
    office: &Arc<Office>,
    caller: &Caller,
    log: &Log,
    replies: &mut Replies,
    pass: &Pass,
    permit: &mut Option<OwnedSemaphorePermit>,
) -> Result<Option<Output>, Refusal> {
    let wait = Duration::from_millis(log.wait_ms.min(WAIT_MS_MAX).into());
    let begun = tokio::time::Instant::now();
    let mut links = office.data_links_changed.subscribe();
    loop {
        let Some((view, job, ordinal, listening)) = look(office, caller, log)? else { continue };
        let state = view.shown(&job, ordinal);
        let tries = tries(office, &view, &job, ordinal)?;
        let one = choose_try(&tries, log);
        let output = blank(&job, ordinal, state, one, &tries, log);
        let left = wait.saturating_sub(begun.elapsed());
        let waits = log.wait_ms > 0 && !state.is_end() && !left.is_zero();
        let Some(one) = one.filter(|_| pattern_of(&job, log.error).is_some()) else {
            if !waits {
                return nothing(output, one, &tries, log).map(Some);
            }
            tokio::select! {
                () = listening.changed() => {}
                () = tokio::time::sleep(left) => {}
                () = replies.gone() => return Ok(None),
            }
            continue;
        };
        let source = source(office, &view, &job, ordinal, one, log);
        *permit = pass.window().await;
        let mut window = source.read(log.from, log.bytes.min(CHUNK_BYTES_MAX), Duration::ZERO).await;
        // What a lost node had of an attempt that is over is not coming back soon: then what is kept goes on.
        if !(source.silent && one.over) {
            hold_back(&mut window, log);
        }
        let is_early = begun.elapsed() < AGAIN_FOR && source.may_answer();
        if window.passing && log.wait_ms == 0 && is_early {
            // Half of an output, or none, would pass for the whole: what passes in a moment is waited for.
            *permit = None;
            tokio::select! {
                () = tokio::time::sleep(AGAIN_EVERY) => {}
                _ = links.changed() => {}
                () = replies.gone() => return Ok(None),
            }
            continue;
        }
        if window.bytes.is_empty() && waits && !one.over {
            // Whoever waits holds no window.
            *permit = None;
            let from = From::Offset(window.offset);
            let more = tokio::select! {
                more = source.wait(from, WAITED_BYTES, left, &window) => Some(more),
                () = ended(office, &listening, &job, ordinal, one.attempt) => None,
                _ = links.changed() => None,
                () = replies.gone() => return Ok(None),
            };
            // Something else has changed: one more look at everything.
            let Some(more) = more else { continue };
            window = more;
            hold_back(&mut window, &Log { from, ..log.clone() });
        }
        return Ok(Some(filled(output, one, window)));
    }
}

/// A job in a view, one of its tasks, and a way to hear of changes.
type Looked = (Arc<View>, Job, Ordinal, Listening);

/// The job as it is now, and a way to hear of its changes from now on. `None`: look again.
fn look(office: &Arc<Office>, caller: &Caller, log: &Log) -> Result<Option<Looked>, Refusal> {
    let before = office.published.view();
    let (mut job, ordinal) = find(office, &before, caller, log)?;
    let listening = office.published.listen([job.id()]);
    // What changed before it was listened for is in this view.
    let view = office.published.view();
    match view.cluster.jobs.get(&job.id()) {
        Some(now) => job = (**now).clone(),
        None if before.cluster.jobs.contains_key(&job.id()) => return Ok(None),
        None => {}
    }
    Ok(Some((view, job, ordinal, listening)))
}

fn choose_try<'a>(tries: &'a [Try], log: &Log) -> Option<&'a Try> {
    match log.attempt {
        None => tries.last(),
        Some(attempt) if log.wait_ms > 0 => tries.iter().find(|one| one.attempt >= attempt),
        Some(attempt) => tries.iter().find(|one| one.attempt == attempt),
    }
}

fn blank(job: &Job, ordinal: Ordinal, state: State, one: Option<&Try>, tries: &[Try], log: &Log) -> Output {
    Output {
        id: job.task_id(ordinal),
        state,
        attempt: one.map_or(Attempt(0), |one| one.attempt),
        offset: match log.from {
            From::Offset(offset) => offset,
            From::LastLines(_) => 0,
        },
        bytes: Vec::new(),
        size: 0,
        note: String::new(),
        start: 0,
        over: one.map_or(state.is_end(), |one| one.over),
        latest: tries.last().map_or(Attempt(0), |last| last.attempt),
        node: one.map_or(NodeId(0), |one| one.node),
    }
}

/// There is nothing to be read, and why.
fn nothing(mut output: Output, one: Option<&Try>, tries: &[Try], log: &Log) -> Result<Output, Refusal> {
    if one.is_some() {
        output.note = "its output is not kept (--output=none)".to_owned();
        return Ok(output);
    }
    if let Some(attempt) = log.attempt.filter(|_| log.wait_ms == 0) {
        let message = format!("job {} has no attempt {attempt}", output.id);
        return Err(Refusal::new(RefusalCode::NoSuchJob, message, "`jqueue show` lists them"));
    }
    if tries.is_empty() {
        let note = if output.state.is_end() { "it never started" } else { "it has not started yet" };
        output.note = note.to_owned();
    }
    Ok(output)
}

/// A follower misses nothing that the node may still give when it is back; he asks without waiting when he has waited
/// long enough.
fn hold_back(window: &mut Window, log: &Log) {
    if let From::Offset(asked) = log.from
        && log.wait_ms > 0
        && !window.note.is_empty()
        && window.offset > asked.max(window.start)
    {
        (window.bytes, window.offset, window.over) = (Vec::new(), asked, false);
    }
}

fn filled(mut output: Output, one: &Try, window: Window) -> Output {
    let Window { offset, bytes, size, note, start, over, passing: _ } = window;
    (output.offset, output.bytes, output.size) = (offset, bytes, size);
    (output.start, output.over) = (start, over && one.over);
    output.note = if note.is_empty() || one.failure.is_empty() { note } else { one.failure.clone() };
    output
}

fn source<'a>(
    office: &'a Office,
    view: &View,
    job: &Job,
    ordinal: Ordinal,
    one: &Try,
    log: &Log,
) -> Source<'a> {
    let task = TaskRef { job: job.id(), ordinal };
    let path = |error| path_of(view, job, ordinal, one.node, error);
    // Both in one file: then it is the output file's.
    let apart = job.record.spec.files.error.is_some()
        && path(true).unwrap_or_default() != path(false).unwrap_or_default();
    let apart = apart || job.record.spec.files.error.is_some() && path(false).is_none();
    let error = log.error && apart;
    Source {
        office,
        name: view.node_name(one.node),
        silent: view.nodes.get(&one.node).is_none_or(|sight| sight.unreachable),
        key: crate::store::output::Key { task, attempt: one.attempt, node: one.node, error },
        user: job.record.user.to_string(),
        uid: job.record.uid,
        path: path(error),
        region: log.attempt.is_some(),
        over: one.over,
    }
}

/// Returns when the attempt is over or another one has come.
async fn ended(office: &Office, listening: &Listening, job: &Job, ordinal: Ordinal, attempt: Attempt) {
    loop {
        let view = office.published.view();
        let live = view.cluster.jobs.get(&job.id()).and_then(|job| job.live.get(&ordinal).cloned());
        if live.is_none_or(|live| live.attempt != attempt) {
            return;
        }
        listening.changed().await;
    }
}

fn find(office: &Office, view: &View, caller: &Caller, log: &Log) -> Result<(Job, Ordinal), Refusal> {
    let selection = Selection { selectors: vec![log.selector.clone()], ..Selection::default() };
    let history = found::jobs(office, view, &caller.identity, &selection).map_err(|e| tables_failed(&e))?;
    let mut chosen = choose(&view.cluster, &view.nodes, &history, &caller.identity, &selection)?;
    // Of several jobs of one name the newest is meant.
    chosen.sort_by_key(|one| one.job.id());
    let Some(one) = chosen.pop() else {
        return Err(crate::core::select::unknown("that"));
    };
    let id = one.job.id();
    if !may_see(&caller.identity, &one.job.record) {
        let message = format!("the output of job {id} belongs to {}", one.job.record.user);
        super::note(office, caller, Deed::of(format!("read output (refused: {message})")), false);
        return Err(Refusal::new(RefusalCode::NotAllowed, message, ""));
    }
    let set = one.set();
    let mut tasks = set.iter();
    match (tasks.next(), tasks.next()) {
        (Some(ordinal), None) => {
            note_foreign(office, caller, "read output", &[&one.job]);
            Ok((Arc::unwrap_or_clone(one.job), ordinal))
        }
        _ => Err(Refusal::new(
            RefusalCode::Invalid,
            format!("job {id} is an array: say which task"),
            format!("`jqueue log {id}_K`"),
        )),
    }
}

/// The attempts that were given to a node and have started or failed to, first to last.
fn tries(office: &Office, view: &View, job: &Job, ordinal: Ordinal) -> Result<Vec<Try>, Refusal> {
    let task = TaskRef { job: job.id(), ordinal };
    let ends = history::attempts(&*office.tables, view, task).map_err(|error| tables_failed(&error))?;
    let mut tries: Vec<Try> = Vec::new();
    for end in ends {
        let Some(node) = end.node else { continue };
        let failure = if end.start.is_none() { end.cause.text } else { String::new() };
        tries.push(Try { attempt: end.attempt, node, over: true, failure });
    }
    if let Some(live) = job.live.get(&ordinal).filter(|live| live.start.is_some()) {
        tries.retain(|one| one.attempt != live.attempt);
        let (attempt, node) = (live.attempt, live.node);
        tries.push(Try { attempt, node, over: false, failure: String::new() });
    }
    tries.sort_by_key(|one| one.attempt);
    Ok(tries)
}

/// The file's absolute path, by the same rules as on the node.
fn path_of(view: &View, job: &Job, ordinal: Ordinal, node: NodeId, error: bool) -> Option<String> {
    let pattern = pattern_of(job, error)?;
    let name = view.node_name(node);
    let facts = Facts {
        number: job.id().task_number(job.is_array(), ordinal),
        job: job.id(),
        index: job.index(ordinal),
        name: &job.record.spec.name,
        user: &job.record.user,
        node: &name,
    };
    let work_dir = match &job.record.spec.work_dir {
        WorkDir::Path(dir) => dir.as_str(),
        WorkDir::Private if pattern.starts_with('/') => "/",
        WorkDir::Private => return None,
    };
    fill(pattern, work_dir, &facts).ok()
}
