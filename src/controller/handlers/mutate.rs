//! Submissions, verbs and settings: looked up, handed to the core, answered when durable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{found, refuse, tables_failed};
use crate::controller::driver::{Answer, Message};
use crate::controller::history;
use crate::controller::office::{Office, lock};
use crate::controller::server::{Replies, Undelivered};
use crate::core::act::REASON_BYTES_MAX;
use crate::core::depend::WAITS_PER_USER_MAX;
use crate::core::submit::{CONTENT_LOG_BYTES_MAX, key_owner};
use crate::core::work::may_be_long;
use crate::core::{Caller, Command, Found};
use crate::model::ids::ContentHash;
use crate::model::spec::{
    Dependencies, DependencyKind, ENVIRONMENT_BYTES_MAX, JobSpec, Parent, SCRIPT_BYTES_MAX,
};
use crate::net::points;
use crate::sched::Start;
use crate::store::tables::TablesError;
use crate::wire::client::{
    KEY_BYTES_MAX, Refusal, RefusalCode, Reply, Request, SELECTORS_MAX, Selection, Selector, Submit, Verb,
};
use crate::wire::codec::encode;

/// The most bytes of one piece of content.
const CONTENT_BYTES_MAX: usize =
    if SCRIPT_BYTES_MAX > ENVIRONMENT_BYTES_MAX { SCRIPT_BYTES_MAX } else { ENVIRONMENT_BYTES_MAX };

/// The most bytes of a request that does something to jobs.
const ACT_BYTES_MAX: usize = 2 << 20;

/// From so many jobs on a submission is prepared aside.
const LARGE_JOBS: usize = 64;

/// Answers a request that changes something.
///
/// # Errors
/// If the client is gone.
pub async fn mutate(
    office: &Arc<Office>,
    caller: Caller,
    request: Request,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let prepare = || {
        check(office, &request)?;
        let found = look_up(office, &caller, &request).map_err(|error| tables_failed(&error))?;
        keep_content(office, &caller, &request, found)
    };
    // Hashes, tables and files take long for many jobs: the others of this thread go on elsewhere.
    let prepared = if is_large(&request) { tokio::task::block_in_place(prepare) } else { prepare() };
    let found = match prepared {
        Ok(found) => found,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    let command = Command::Client { caller, request: Box::new(request), found: Box::new(found) };
    points::reach("controller.request-read");
    match office.driver.ask(command, None).await {
        Some(Answer { reply: Some(mut reply), demand, .. }) => {
            points::reach("controller.before-reply");
            if let (Reply::Submitted { receipt, .. }, Some(demand)) = (&mut reply, demand) {
                let start = office.explainer.start_of(&demand);
                receipt.start = start.map(|start| start.at);
                let name = |start: Start| office.published.view().node_name(start.node);
                receipt.nodes = start.map(name).into_iter().collect();
            }
            let told = replies.last(&reply).await;
            points::reach("controller.after-reply");
            told
        }
        _ => {
            let hint = "repeat the command with its --key";
            refuse(replies, Refusal::new(RefusalCode::Stopping, "the controller is stopping", hint)).await
        }
    }
}

/// Whether a request is so large that preparing it takes milliseconds.
fn is_large(request: &Request) -> bool {
    let Request::Submit(submit) = request else { return may_be_long(request) };
    let bytes: usize = submit.contents.iter().map(|content| content.bytes.len()).sum();
    submit.specs.len() > LARGE_JOBS || bytes > CONTENT_LOG_BYTES_MAX
}

fn check(office: &Office, request: &Request) -> Result<(), Refusal> {
    check_sizes(request)?;
    let (key, selectors) = match request {
        Request::Submit(submit) => (Some(&submit.key), 0),
        Request::Act(act) => (Some(&act.key), act.selection.selectors.len()),
        _ => (None, 0),
    };
    if key.is_some_and(|key| key.is_empty() || key.len() > KEY_BYTES_MAX) {
        let message = format!("a key has 1 to {KEY_BYTES_MAX} bytes");
        return Err(Refusal::new(RefusalCode::Invalid, message, ""));
    }
    if selectors > SELECTORS_MAX {
        let message = format!("{selectors} selectors are more than {SELECTORS_MAX}");
        return Err(Refusal::new(RefusalCode::Limit, message, "use filters"));
    }
    let reserve = office.gauges.reserve.load(std::sync::atomic::Ordering::Relaxed);
    if reserve && matches!(request, Request::Submit(_)) {
        return Err(Refusal::new(
            RefusalCode::NoRoom,
            "the controller's disk is nearly full: it takes no submissions now",
            "cancels and status still work; tell an admin",
        ));
    }
    let Request::Submit(submit) = request else { return Ok(()) };
    for content in &submit.contents {
        if content.bytes.len() > CONTENT_BYTES_MAX {
            let size = content.bytes.len();
            let message = format!("a script or environment of {size} bytes is over {CONTENT_BYTES_MAX}");
            return Err(Refusal::new(RefusalCode::Limit, message, ""));
        }
        if ContentHash::of(&content.bytes) != content.hash {
            return Err(Refusal::new(
                RefusalCode::Invalid,
                "content does not have the hash it came with",
                "",
            ));
        }
    }
    Ok(())
}

/// No request may bring what would not fit where it is to be kept.
fn check_sizes(request: &Request) -> Result<(), Refusal> {
    let limit = |what: &str, bytes: usize, most: usize| {
        let message = format!("{what} of {bytes} bytes is over the limit of {most}");
        if bytes > most { Err(Refusal::new(RefusalCode::Limit, message, "")) } else { Ok(()) }
    };
    let size = |encoded: Result<Vec<u8>, _>| encoded.map_or(usize::MAX, |bytes: Vec<u8>| bytes.len());
    let Request::Submit(submit) = request else {
        if let Request::Act(act) = request {
            if let Verb::Cancel { reason } = &act.verb {
                limit("a reason", reason.len(), REASON_BYTES_MAX)?;
            }
            limit("a request", size(encode(request)), ACT_BYTES_MAX)?;
        }
        return Ok(());
    };
    let waits: usize = submit.specs.iter().map(|spec| spec.dependencies.conditions.len()).sum();
    let most = usize::try_from(WAITS_PER_USER_MAX).unwrap_or(usize::MAX);
    if waits > most {
        let message = format!("{waits} dependencies in one submission are over the limit of {most}");
        return Err(Refusal::new(RefusalCode::Limit, message, "put a job between that waits for all"));
    }
    Ok(())
}

fn look_up(office: &Office, caller: &Caller, request: &Request) -> Result<Found, TablesError> {
    let mut found = Found::default();
    let tables = &*office.tables;
    let view = office.published.view();
    match request {
        Request::Submit(submit) => {
            found.request_hash = hash_of(request);
            found.key = history::answer(tables, &key_owner(caller), &submit.key)?;
            let Some(uid) = caller.identity.uid else { return Ok(found) };
            for hash in hashes_of(submit) {
                let here = history::content(tables, uid, hash)?.is_some();
                if here && !history::is_orphan(tables, uid, hash)? {
                    found.contents.insert(hash);
                }
            }
            let selection = Selection {
                selectors: parents_of(submit.specs.iter().map(|spec| &spec.dependencies)),
                ..Selection::default()
            };
            found.jobs = found::jobs(office, &view, &caller.identity, &selection)?;
        }
        Request::Act(act) => {
            found.request_hash = hash_of(request);
            found.key = history::answer(tables, &key_owner(caller), &act.key)?;
            found.jobs = found::jobs(office, &view, &caller.identity, &act.selection)?;
            if matches!(act.verb, Verb::RequeueWith { dependents: true, .. }) {
                found::dependents(office, &view, &caller.identity, &act.selection, &mut found.jobs)?;
            }
            if let Some(wanted) = new_dependencies(&act.verb) {
                let selectors = parents_of(std::iter::once(wanted));
                let selection = Selection { selectors, ..Selection::default() };
                found.jobs.append(&mut found::jobs(office, &view, &caller.identity, &selection)?);
            }
        }
        _ => {}
    }
    Ok(found)
}

/// The hash that tells a repeat from another request. The environment does not count: it differs between two runs of
/// the same command in the same shell.
fn hash_of(request: &Request) -> Option<ContentHash> {
    let Request::Submit(submit) = request else {
        return encode(request).ok().map(|bytes| ContentHash::of(&bytes));
    };
    let mut specs: Vec<Arc<JobSpec>> = Vec::with_capacity(submit.specs.len());
    let mut before: Option<&Arc<JobSpec>> = None;
    for spec in &submit.specs {
        let plain = match (before, specs.last()) {
            (Some(before), Some(plain)) if Arc::ptr_eq(before, spec) => Arc::clone(plain),
            _ => Arc::new(JobSpec { environment: ContentHash([0; 32]), ..(**spec).clone() }),
        };
        before = Some(spec);
        specs.push(plain);
    }
    let plain = Submit { key: submit.key.clone(), specs, contents: Vec::new(), test_only: false };
    encode(&Request::Submit(plain)).ok().map(|bytes| ContentHash::of(&bytes))
}

fn hashes_of(submit: &Submit) -> BTreeSet<ContentHash> {
    let of_spec = |spec: &Arc<JobSpec>| {
        let lines = spec.array.as_ref().and_then(|array| array.lines);
        [Some(spec.script), Some(spec.environment), lines]
    };
    submit.specs.iter().flat_map(of_spec).flatten().collect()
}

fn new_dependencies(verb: &Verb) -> Option<&Dependencies> {
    match verb {
        Verb::Set(settings) | Verb::RequeueWith { settings: Some(settings), .. } => {
            settings.dependencies.as_ref()
        }
        _ => None,
    }
}

fn parents_of<'a>(all: impl Iterator<Item = &'a Dependencies>) -> Vec<Selector> {
    let conditions = all.flat_map(|dependencies| &dependencies.conditions);
    let conditions = conditions.filter(|condition| condition.kind != DependencyKind::Singleton);
    let mut selectors: Vec<Selector> = Vec::new();
    let (mut numbers, mut names) = (BTreeSet::new(), BTreeSet::new());
    for condition in conditions {
        let selector = match &condition.parent {
            Parent::Job(id) => Selector::Number(*id),
            Parent::Tasks(id, indexes) => Selector::Tasks(*id, indexes.clone()),
            Parent::Name(name) => Selector::Name(name.clone()),
            Parent::Batch(_) | Parent::Nobody => continue,
        };
        let new = match &selector {
            Selector::Number(number) => numbers.insert(*number),
            Selector::Name(name) => names.insert(name.clone()),
            Selector::Tasks(..) | Selector::Last => true,
        };
        if new {
            selectors.push(selector);
        }
    }
    selectors
}

/// Content that came with a submission: large pieces are durable in files before the core hears of them, all of it
/// is at hand for the nodes.
fn keep_content(
    office: &Office,
    caller: &Caller,
    request: &Request,
    mut found: Found,
) -> Result<Found, Refusal> {
    let (Request::Submit(submit), Some(uid)) = (request, caller.identity.uid) else { return Ok(found) };
    if submit.test_only {
        return Ok(found);
    }
    for content in &submit.contents {
        if content.bytes.len() > CONTENT_LOG_BYTES_MAX && !found.contents.contains(&content.hash) {
            office.content.put(content.hash, &content.bytes).map_err(|error| {
                Refusal::new(RefusalCode::NoRoom, format!("content was not kept: {error}"), "tell an admin")
            })?;
            if let Some(mirror) = &office.mirror
                && let Err(why) = mirror.put(content.hash, &content.bytes)
            {
                office.driver.send(Message::Fatal(why.clone()));
                return Err(Refusal::new(RefusalCode::NoRoom, why, "tell an admin"));
            }
            found.files.insert(content.hash);
        }
        lock(&office.cache).put(uid, content.hash, Arc::new(content.bytes.clone()));
    }
    Ok(found)
}
