//! Output: windows of a task's file, read on its node as its owner.

use std::sync::Arc;
use std::time::Duration;

use quinn::Connection;

use super::{found, note_foreign, refuse, tables_failed};
use crate::controller::history;
use crate::controller::office::{Office, lock};
use crate::controller::server::{Replies, Undelivered};
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
use crate::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use crate::wire::client::{Log, Output, Refusal, RefusalCode, Reply, Selection};
use crate::wire::codec::{decode, encode};
use crate::wire::data::{CHUNK_BYTES_MAX, FileRead, From, ReadFile};

/// The longest that one window waits for more.
const WAIT_MS_MAX: u32 = 30_000;
/// What the node is given beyond that.
const PATIENCE: Duration = Duration::from_secs(15);

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
    match window(office, caller, log, replies).await {
        Ok(Some(output)) => replies.last(&Reply::Output(output)).await,
        Ok(None) => Ok(()),
        Err(refusal) => refuse(replies, refusal).await,
    }
}

async fn window(
    office: &Arc<Office>,
    caller: &Caller,
    log: &Log,
    replies: &mut Replies,
) -> Result<Option<Output>, Refusal> {
    let wait_ms = log.wait_ms.min(WAIT_MS_MAX);
    let begun = tokio::time::Instant::now();
    loop {
        let view = office.published.view();
        let (job, ordinal) = find(office, &view, caller, log)?;
        let listening = office.published.listen([job.id()]);
        let state = view.shown(&job, ordinal);
        let (node, attempt) = place(office, &view, &job, ordinal, log.attempt)?;
        let left = Duration::from_millis(u64::from(wait_ms)).saturating_sub(begun.elapsed());
        let mut output = Output {
            id: job.task_id(ordinal),
            state,
            attempt,
            offset: match log.from {
                From::Offset(offset) => offset,
                From::LastLines(_) => 0,
            },
            bytes: Vec::new(),
            size: 0,
            note: String::new(),
        };
        let Some(node) = node else {
            if !state.is_end() && !left.is_zero() {
                tokio::select! {
                    () = listening.changed() => {}
                    () = tokio::time::sleep(left) => {}
                    () = replies.gone() => return Ok(None),
                }
                continue;
            }
            output.note =
                if state.is_end() { "it never started" } else { "it has not started yet" }.to_owned();
            return Ok(Some(output));
        };
        let Some(path) = path_of(&view, &job, ordinal, node, log.error) else {
            output.note = "its output is not kept (--output=none)".to_owned();
            return Ok(Some(output));
        };
        // A running task is waited for on its node; the end of it is pushed here and cuts the waiting short.
        let waits = if state.is_end() { 0 } else { u32::try_from(left.as_millis()).unwrap_or(0) };
        let read = read(office, &view, &job, node, path, log, waits);
        let read = tokio::select! {
            read = read => read,
            () = ended(office, &listening, &job, ordinal), if waits > 0 => continue_at_once(office, &view, &job, ordinal, node, log).await,
            () = replies.gone() => return Ok(None),
        };
        match read {
            Ok(FileRead::Chunk { offset, bytes, size }) => {
                (output.offset, output.bytes, output.size) = (offset, bytes, size);
                // What was read may be older than the end that came meanwhile: say the state as of before.
                if output.bytes.is_empty() && !state.is_end() {
                    output.state = state;
                }
            }
            Ok(FileRead::Failed { text, .. }) | Err(text) => output.note = text,
        }
        return Ok(Some(output));
    }
}

/// Returns when the task has ended.
async fn ended(
    office: &Office,
    listening: &crate::controller::published::Listening,
    job: &Job,
    ordinal: Ordinal,
) {
    loop {
        listening.changed().await;
        let view = office.published.view();
        let over = view
            .cluster
            .jobs
            .get(&job.id())
            .is_none_or(|job| job.tasks.get(ordinal).is_some_and(State::is_end));
        if over {
            return;
        }
    }
}

/// The task has ended while a window waited: one more look without waiting.
async fn continue_at_once(
    office: &Office,
    view: &View,
    job: &Job,
    ordinal: Ordinal,
    node: NodeId,
    log: &Log,
) -> Result<FileRead, String> {
    match path_of(view, job, ordinal, node, log.error) {
        Some(path) => read(office, view, job, node, path, log, 0).await,
        None => Err(String::new()),
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

/// Where an attempt ran.
fn place(
    office: &Office,
    view: &View,
    job: &Job,
    ordinal: Ordinal,
    attempt: Option<Attempt>,
) -> Result<(Option<NodeId>, Attempt), Refusal> {
    if let Some(live) = job.live.get(&ordinal).filter(|live| attempt.is_none_or(|one| one == live.attempt)) {
        return Ok((live.start.map(|_| live.node), live.attempt));
    }
    let task = TaskRef { job: job.id(), ordinal };
    let ends = history::attempts(&*office.tables, view, task).map_err(|error| tables_failed(&error))?;
    let ran = ends.iter().rev().filter(|end| end.start.is_some() || end.node.is_some());
    let end = match attempt {
        Some(attempt) => ends.iter().find(|end| end.attempt == attempt),
        None => ran.clone().next(),
    };
    match (end, attempt) {
        (Some(end), _) => Ok((end.node, end.attempt)),
        (None, None) => Ok((None, Attempt(0))),
        (None, Some(attempt)) => {
            let message = format!("job {} has no attempt {attempt}", job.task_id(ordinal));
            Err(Refusal::new(RefusalCode::NoSuchJob, message, "`jqueue show` lists them"))
        }
    }
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

async fn read(
    office: &Office,
    view: &View,
    job: &Job,
    node: NodeId,
    path: String,
    log: &Log,
    wait_ms: u32,
) -> Result<FileRead, String> {
    let name = view.node_name(node);
    let link = lock(&office.data_links).get(&node).cloned();
    let Some(link) = link else {
        return Err(format!("node {name} can't be reached, and its output is read there"));
    };
    let request = ReadFile {
        user: job.record.user.to_string(),
        uid: job.record.uid,
        path,
        from: log.from,
        bytes: log.bytes.min(CHUNK_BYTES_MAX),
        wait_ms,
    };
    let asked =
        tokio::time::timeout(PATIENCE + Duration::from_millis(u64::from(wait_ms)), ask(&link, &request));
    match asked.await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("node {name}: {error}")),
        Err(_) => Err(format!("node {name} did not answer")),
    }
}

async fn ask(link: &Connection, request: &ReadFile) -> Result<FileRead, String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let (send, receive) = link.open_bi().await.map_err(|error| words(&error))?;
    let mut writer = FrameWriter::new(send, FRAME_BYTES_MAX);
    writer.push(&encode(request).map_err(|error| words(&error))?).map_err(|error| words(&error))?;
    writer.finish(PATIENCE).await.map_err(|error| words(&error))?;
    let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
    let frame = reader.next(Patience::for_events(PATIENCE)).await.map_err(|error| words(&error))?;
    let frame = frame.ok_or("no answer")?;
    decode(&frame).map_err(|error| words(&error))
}
