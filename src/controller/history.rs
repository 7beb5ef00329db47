//! Reading what has ended from the tables.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::core::authorise::in_reach;
use crate::core::job::Job;
use crate::core::state::{Cluster, View};
use crate::model::identity::Identity;
use crate::model::ids::{Attempt, ContentHash, JobId, Ordinal, Position, TaskRef, Uid};
use crate::model::record::{Exception, KeyRecord};
use crate::model::state::{Cause, End};
use crate::model::time::WallTime;
use crate::store::collect::orphan_key;
use crate::store::results;
use crate::store::rows::{
    ANSWER, ENDED_EXCEPTION, ENDED_TASKS, FAILED_BY, JobRow, ORPHAN, RESULT_SET, RESULT_TEXT, SENT, SetRow,
    answer_key, content_key, job_key, name_key, pair_key, result_key, task_key,
};
use crate::store::tables::{Order, Table, TablesError, TablesRead};
use crate::wire::codec::decode;

/// The most ended jobs that one listing reads.
pub const LISTED_MAX: usize = 200_000;
/// The most ended jobs of its owner that are looked at for one that a job reaches by name or as its last.
pub const FAMILY_LOOKED_AT_MAX: usize = 4_096;
/// Rows read at once.
const PAGE: usize = 4_096;

/// An ended job with the states of its tasks.
///
/// # Errors
/// What the tables said.
pub fn job(tables: &dyn TablesRead, id: JobId) -> Result<Option<Job>, TablesError> {
    let Some(bytes) = tables.get(Table::ENDED, &job_key(id))? else { return Ok(None) };
    let row: JobRow = decode(&bytes).map_err(broken)?;
    let mut job = Job::new(row.record);
    job.cancel = row.cancel.map(Into::into);
    job.ended = row.ended;
    job.first_start = row.first_start;
    job.worst = row.worst.map(Into::into);
    for chunk in 0..job.tasks.chunk_count() {
        let key = [job_key(id), chunk.to_be_bytes().to_vec()].concat();
        if let Some(bytes) = tables.get(ENDED_TASKS, &key)? {
            job.tasks.restore_chunk(chunk, &bytes);
        }
    }
    let mut from = Bound::Included(task_key(id, Ordinal(0)));
    let to = task_key(id, Ordinal(u32::MAX));
    loop {
        let low = from.as_ref().map(Vec::as_slice);
        let page = tables.range(ENDED_EXCEPTION, low, Bound::Included(&to), Order::Up, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        from = Bound::Excluded(last.clone());
        for (key, value) in &page {
            let exception: Exception = decode(value).map_err(broken)?;
            let ordinal = key.get(8..12).and_then(|bytes| bytes.try_into().ok()).map(u32::from_be_bytes);
            if let Some(ordinal) = ordinal {
                job.exceptions.insert(Ordinal(ordinal), exception);
            }
        }
    }
    Ok(Some(job))
}

/// The ended job that owns a number.
///
/// # Errors
/// What the tables said.
pub fn owner_of(tables: &dyn TablesRead, number: JobId) -> Result<Option<Job>, TablesError> {
    let key = job_key(number);
    let found = tables.range(Table::ENDED, Bound::Unbounded, Bound::Included(&key), Order::Down, 1)?;
    let Some((key, _)) = found.first() else { return Ok(None) };
    let Some(id) = key.as_slice().try_into().ok().map(u64::from_be_bytes) else { return Ok(None) };
    let Some(job) = job(tables, JobId(id))? else { return Ok(None) };
    let own = if job.is_array() { u64::from(job.tasks.count()) } else { 0 };
    Ok((number.0 - id <= own).then_some(job))
}

/// The newest ended job of the caller's and that name; from inside a job the newest in its reach.
///
/// # Errors
/// What the tables said.
pub fn newest_named(
    tables: &dyn TablesRead,
    caller: &Identity,
    name: &str,
) -> Result<Option<Job>, TablesError> {
    let Some(uid) = caller.uid else { return Ok(None) };
    // What a job submits has a higher number than itself.
    let (least, most) = caller.within.map_or((JobId(0), 1), |within| (within.task.job, FAMILY_LOOKED_AT_MAX));
    let (from, to) = (name_key(uid, name, least), name_key(uid, name, JobId(u64::MAX)));
    let found =
        tables.range(Table::BY_NAME, Bound::Included(&from), Bound::Included(&to), Order::Down, most)?;
    for (key, _) in &found {
        let id = key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes)));
        let ended = id.map_or(Ok(None), |id| job(tables, id))?;
        if let Some(ended) = ended.filter(|ended| in_reach(caller, &ended.record)) {
            return Ok(Some(ended));
        }
    }
    Ok(None)
}

/// The jobs that ended DependencyFailed because of that one, as far as the tables know.
///
/// # Errors
/// What the tables said.
pub fn failed_by(tables: &dyn TablesRead, parent: JobId) -> Result<Vec<JobId>, TablesError> {
    let (from, to) = (pair_key(parent, JobId(0)), pair_key(parent, JobId(u64::MAX)));
    let rows =
        tables.range(FAILED_BY, Bound::Included(&from), Bound::Included(&to), Order::Up, LISTED_MAX)?;
    let child = |key: &Vec<u8>| key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes)));
    Ok(rows.iter().filter_map(|(key, _)| child(key)).collect())
}

/// Jobs that ended since then, newest last, at most [`LISTED_MAX`]; of one owner if `uid` is given.
///
/// # Errors
/// What the tables said.
pub fn ended_since(
    tables: &dyn TablesRead,
    since: WallTime,
    uid: Option<Uid>,
) -> Result<BTreeMap<JobId, Arc<Job>>, TablesError> {
    let mut jobs = BTreeMap::new();
    let mut from = Bound::Included(since.0.max(0).to_be_bytes().to_vec());
    loop {
        let low = from.as_ref().map(Vec::as_slice);
        let page = tables.range(Table::BY_END, low, Bound::Unbounded, Order::Up, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(jobs) };
        from = Bound::Excluded(last.clone());
        for (key, value) in &page {
            let owner = value.first_chunk::<4>().map(|bytes| Uid(u32::from_be_bytes(*bytes)));
            if uid.is_some() && owner != uid {
                continue;
            }
            let Some(id) = key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes))) else {
                continue;
            };
            if let Some(job) = job(tables, id)? {
                jobs.insert(id, Arc::new(job));
            }
            if jobs.len() >= LISTED_MAX {
                return Ok(jobs);
            }
        }
    }
}

/// How an owner's jobs ended lately, for the foot of a listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lately {
    /// Ended jobs.
    pub ended: u64,
    /// Of them badly.
    pub failed: u64,
    /// One of those.
    pub example: Option<JobId>,
}

/// Counts an owner's jobs that ended since then; looks at no more than the last few thousand of everybody's.
///
/// # Errors
/// What the tables said.
pub fn ended_briefly(tables: &dyn TablesRead, since: WallTime, uid: Uid) -> Result<Lately, TablesError> {
    let low = since.0.max(0).to_be_bytes();
    let page = tables.range(Table::BY_END, Bound::Included(&low), Bound::Unbounded, Order::Down, PAGE)?;
    let mut lately = Lately::default();
    for (key, value) in page.iter().filter(|(_, value)| value.starts_with(&uid.0.to_be_bytes())) {
        lately.ended += 1;
        let bad = value.get(4).is_some_and(|bad| *bad == 1);
        if bad {
            lately.failed += 1;
            let id = key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes)));
            lately.example = lately.example.or(id);
        }
    }
    Ok(lately)
}

/// Jobs whose ends a live view that stood at `position` has not seen, as far as the tables knew them at `until`; newest
/// first, at most [`LISTED_MAX`].
///
/// # Errors
/// What the tables said.
pub fn ended_between(
    tables: &dyn TablesRead,
    position: Position,
    until: Position,
) -> Result<Vec<JobId>, TablesError> {
    let mut jobs = Vec::new();
    let mut to = Bound::Unbounded;
    loop {
        let high = to.as_ref().map(Vec::as_slice);
        let page = tables.range(Table::BY_END, Bound::Unbounded, high, Order::Down, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(jobs) };
        to = Bound::Excluded(last.clone());
        let mut newer = false;
        for (key, value) in &page {
            let written = value.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            newer |= written > position.0;
            if written > position.0 && written <= until.0 {
                jobs.extend(key.last_chunk::<8>().map(|bytes| JobId(u64::from_be_bytes(*bytes))));
            }
        }
        // They stand in the order of time, which a clock that was set may turn: a whole page of old ones is the end.
        if !newer || jobs.len() >= LISTED_MAX {
            return Ok(jobs);
        }
    }
}

/// The caller's newest ended job; from inside a job the newest in its reach.
///
/// # Errors
/// What the tables said.
pub fn newest_of(tables: &dyn TablesRead, caller: &Identity) -> Result<Option<Job>, TablesError> {
    let Some(uid) = caller.uid else { return Ok(None) };
    let mut looked_at = 0;
    let mut to = Bound::Unbounded;
    for _ in 0..LISTED_MAX / PAGE {
        let high = to.as_ref().map(Vec::as_slice);
        let page = tables.range(Table::BY_END, Bound::Unbounded, high, Order::Down, PAGE)?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        let mine = page.iter().filter(|(_, value)| value.starts_with(&uid.0.to_be_bytes()));
        let ids = mine.filter_map(|(key, _)| key.last_chunk::<8>()).map(|b| JobId(u64::from_be_bytes(*b)));
        let mut ids: Vec<JobId> = match &caller.within {
            Some(within) => ids.filter(|id| *id > within.task.job).collect(),
            None => ids.max().into_iter().collect(),
        };
        ids.sort_unstable_by(|a, b| b.cmp(a));
        for id in ids {
            looked_at += 1;
            let ended = job(tables, id)?;
            if let Some(ended) = ended.filter(|ended| in_reach(caller, &ended.record)) {
                return Ok(Some(ended));
            }
            if looked_at >= FAMILY_LOOKED_AT_MAX {
                return Ok(None);
            }
        }
        to = Bound::Excluded(last.clone());
    }
    Ok(None)
}

/// All attempts of a task that have ended, first to last.
///
/// # Errors
/// What the tables said.
pub fn attempts(tables: &dyn TablesRead, view: &View, task: TaskRef) -> Result<Vec<End>, TablesError> {
    let mut ends: BTreeMap<Attempt, End> = BTreeMap::new();
    for mut end in results::ends_of(tables, task)? {
        put_words(tables, &result_key(task, end.attempt), &mut end)?;
        ends.insert(end.attempt, end);
    }
    let recent = view.cluster.recent.range((task, Attempt(0))..=(task, Attempt(u32::MAX)));
    for ((_, attempt), end) in recent {
        ends.insert(*attempt, (**end).clone());
    }
    let mut list: Vec<End> = ends.into_values().collect();
    if let Some(end) = unstarted(tables, &view.cluster, task)? {
        let later = list.last().is_none_or(|last| last.end <= end.end);
        list.insert(if later { list.len() } else { 0 }, end);
    }
    Ok(list)
}

/// The end that a task had as one of a set, without an attempt.
fn unstarted(tables: &dyn TablesRead, cluster: &Cluster, task: TaskRef) -> Result<Option<End>, TablesError> {
    let here = cluster.recent_sets.range((task.job, 0)..=(task.job, u64::MAX));
    let mut here = here.filter(|(_, pair)| pair.0.contains(task.ordinal)).map(|(_, pair)| pair.1.clone());
    let mut newest: Option<End> = here.next_back();
    let low = job_key(task.job);
    let high = [job_key(task.job), u64::from(task.ordinal.0).to_be_bytes().to_vec()].concat();
    let rows = tables.range(RESULT_SET, Bound::Included(&low), Bound::Included(&high), Order::Down, PAGE)?;
    for (_, value) in rows {
        let row: SetRow = decode(&value).map_err(broken)?;
        let newer = newest.as_ref().is_none_or(|newest| newest.end < row.end.end);
        if row.set.contains(task.ordinal) && newer {
            newest = Some(row.end);
        }
    }
    Ok(newest)
}

fn put_words(tables: &dyn TablesRead, key: &[u8], end: &mut End) -> Result<(), TablesError> {
    if let Some(bytes) = tables.get(RESULT_TEXT, key)? {
        let cause: Cause = decode(&bytes).map_err(broken)?;
        end.cause = cause;
    }
    Ok(())
}

/// The answer kept for a key.
///
/// # Errors
/// What the tables said.
pub fn answer(tables: &dyn TablesRead, owner: &str, key: &str) -> Result<Option<KeyRecord>, TablesError> {
    let Some(bytes) = tables.get(ANSWER, &answer_key(owner, key))? else { return Ok(None) };
    decode(&bytes).map(Some).map_err(broken)
}

/// Content that an owner has sent. `Some(None)`: it lies in a file.
///
/// # Errors
/// What the tables said.
pub fn content(
    tables: &dyn TablesRead,
    owner: Uid,
    hash: ContentHash,
) -> Result<Option<Option<Vec<u8>>>, TablesError> {
    let bytes = tables.get(SENT, &content_key(owner, hash))?;
    let empty = ContentHash::of(&[]);
    Ok(bytes.map(|bytes| (!bytes.is_empty() || hash == empty).then_some(bytes)))
}

/// Whether content that is here may soon be gone: it has to be sent again.
///
/// # Errors
/// What the tables said.
pub fn is_orphan(tables: &dyn TablesRead, owner: Uid, hash: ContentHash) -> Result<bool, TablesError> {
    Ok(tables.get(ORPHAN, &orphan_key(hash, owner))?.is_some())
}

fn broken(error: crate::wire::codec::DecodeError) -> TablesError {
    TablesError::Broken { what: error.to_string() }
}
