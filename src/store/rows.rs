//! The cluster's state as rows, and back. Rows are derived from a state and from what was touched in it, so several
//! groups can be written as one: the last value wins.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::collect::{orphan_key, use_key};
use super::keys::{abandoned_key, chunk_key, split_abandoned, split_key};
pub use super::keys::{
    answer_key, audit_time_key, content_key, job_key, name_key, pair_key, result_key, task_key,
};
use super::tables::{Row, Table};
use crate::core::audit::AuditHead;
use crate::core::job::Job;
use crate::core::state::{Cluster, Touched};
use crate::model::account::{AccountRecord, QosRecord};
use crate::model::change::{AuditRecord, Change};
use crate::model::ids::{Epoch, Incarnation, JobId, NodeId, Ordinal, Position, TaskRef};
use crate::model::priority::{DecayedUse, PriorityRecord};
use crate::model::record::{
    CancelNote, CertificateRecord, Exception, JobRecord, KeyRecord, Live, NodeRecord, PartitionRecord,
    Restored, Slots, SpentToken, TokenRecord, UserRecord,
};
use crate::model::state::{Cause, End, State};
use crate::model::task_set::TaskSet;
use crate::model::time::{Seconds, WallTime};
use crate::wire::codec::{Body, DecodeError, decode, encode};
use crate::wire_body;

/// Tasks on nodes.
pub const LIVE: Table = Table(11);
/// What is out of the ordinary about tasks.
pub const EXCEPTION: Table = Table(12);
/// What jobs hold on nodes.
pub const SLOTS: Table = Table(13);
/// Used tokens that have not expired.
pub const SPENT: Table = Table(15);
/// States of ended jobs' tasks, by chunk.
pub const ENDED_TASKS: Table = Table(134);
/// What is out of the ordinary about ended jobs' tasks.
pub const ENDED_EXCEPTION: Table = Table(135);
/// Words that belong to results: who cancelled, and why.
pub const RESULT_TEXT: Table = Table(136);
/// Ends of whole sets of tasks that never got an attempt.
pub const RESULT_SET: Table = Table(137);
/// Keys of requests, with what was answered.
pub const ANSWER: Table = Table(138);
/// Scripts and environments, by owner and hash.
pub const SENT: Table = Table(139);

/// Who ended DependencyFailed because of whom: the parent's number, then the child's.
pub const FAILED_BY: Table = Table(140);

/// Attempts that were given up: node, job, task, attempt.
pub const ABANDONED: Table = Table(16);
/// Accounts.
pub const ACCOUNT: Table = Table(17);
/// What is spent of budgets.
pub const BUDGET: Table = Table(19);
/// Qualities of service.
pub const QOS: Table = Table(18);
/// What members have used, for fair share.
pub const USE: Table = Table(20);

/// What ended jobs used: hash, owner, job.
pub const SENT_BY: Table = Table(141);
/// Content that may be of no use any more, and since when: hash, owner.
pub const ORPHAN: Table = Table(142);

/// What ended attempts had, summed: user, account, partition.
pub const USED: Table = Table(143);
/// The key of the counters among the single values.
const META_KEY: &[u8] = b"meta";
/// Where [`Table::META`] says how the state came out of a backup.
const RESTORED: &[u8] = b"restored";
/// Where [`Table::META`] has the lease.
const LEASE: &[u8] = b"lease";
/// Where [`Table::META`] says how priorities are worked out.
const PRIORITY: &[u8] = b"priority";
/// The key of the numbers of a submission that is not accepted yet.
const UNSETTLED: &[u8] = b"unsettled";

/// Index: when, to the audit's records.
pub const AUDIT_BY_TIME: Table = Table(150);

/// The key of the audit's end among the single values.
const AUDIT_HEAD: &[u8] = b"audit";
/// A job's row: its record and what else it knows that is not about single tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// The record.
    pub record: Arc<JobRecord>,
    /// Who asked for the end of its live tasks.
    pub cancel: Option<CancelNote>,
    /// When all of it had ended.
    pub ended: Option<WallTime>,
    /// When its first task started.
    pub first_start: Option<WallTime>,
    /// The end with the highest exit code.
    pub worst: Option<End>,
}

/// The single values of the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetaRow {
    incarnation: Incarnation,
    epoch: Epoch,
    next_job: JobId,
    next_node: NodeId,
}

/// An end of a whole set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetRow {
    /// Which tasks.
    pub set: TaskSet,
    /// How.
    pub end: End,
}

wire_body! {
    JobRow = "job row", 1;
    MetaRow = "meta row", 1;
    SetRow = "row of ended tasks", 1;
    Live = "live row", 1;
    Exception = "exception row", 1;
    Slots = "slots row", 1;
    NodeRecord = "node row", 1;
    PartitionRecord = "partition row", 1;
    UserRecord = "user row", 1;
    AccountRecord = "account row", 1;
    QosRecord = "row of a quality of service", 1;
    PriorityRecord = "priority row", 1;
    TokenRecord = "token row", 1;
    SpentToken = "row of a used token", 1;
    CertificateRecord = "certificate row", 1;
    KeyRecord = "answer row", 1;
    Cause = "cause row", 1;
    Restored = "restored row", 1;
    AuditRecord = "audit row", 1;
    AuditHead = "end of the audit", 1;
}

/// The rows of everything that was touched, as the state has it at `position`; those of single attempts that ended
/// are made by [`super::results::rows`].
///
/// # Errors
/// A value that can't be encoded, which its limits exclude.
pub fn rows_of(cluster: &Cluster, touched: &Touched, position: Position) -> Result<Vec<Row>, DecodeError> {
    let mut rows = Vec::new();
    for change in &touched.ended {
        end_rows(change, &mut rows)?;
    }
    for change in &touched.others {
        other_rows(cluster, change, &mut rows)?;
    }
    for id in &touched.records {
        if let Some(job) = cluster.jobs.get(id) {
            job_rows(
                job,
                touched.again.contains(id),
                touched.job_ends.get(id).copied().unwrap_or(position),
                &mut rows,
            )?;
        }
    }
    for (id, chunk) in &touched.chunks {
        let job = cluster.jobs.get(id);
        let Some(job) = job else { continue };
        let key = chunk_key(*id, *chunk);
        let bytes = job.tasks.chunk_bytes(*chunk);
        if job.ended.is_some() {
            rows.push(Row { table: ENDED_TASKS, key: key.clone(), value: bytes });
            rows.push(Row { table: Table::TASKS, key, value: None });
            continue;
        }
        if touched.again.contains(id) {
            rows.push(Row { table: ENDED_TASKS, key: key.clone(), value: None });
        }
        // Without a row all tasks of the chunk wait.
        let value = bytes.filter(|bytes| *bytes != [State::Pending as u8]);
        rows.push(Row { table: Table::TASKS, key, value });
    }
    for (id, ordinal) in &touched.live {
        let live = cluster.jobs.get(id).and_then(|job| job.live.get(ordinal));
        rows.push(Row { table: LIVE, key: task_key(*id, *ordinal), value: live.map(encode).transpose()? });
    }
    for (id, ordinal) in &touched.exceptions {
        let Some(job) = cluster.jobs.get(id) else { continue };
        let value = job.exceptions.get(ordinal).map(encode).transpose()?;
        let key = task_key(*id, *ordinal);
        if touched.again.contains(id) && job.ended.is_none() {
            rows.push(Row { table: ENDED_EXCEPTION, key: key.clone(), value: None });
        }
        let table = if job.ended.is_some() { ENDED_EXCEPTION } else { EXCEPTION };
        rows.push(Row { table, key, value });
    }
    for (id, node) in &touched.slots {
        let slots = cluster.jobs.get(id).and_then(|job| job.slots.get(node));
        let key = [job_key(*id).as_slice(), &node.0.to_be_bytes()].concat();
        rows.push(Row { table: SLOTS, key, value: slots.map(encode).transpose()? });
    }
    for id in &touched.nodes {
        let record = cluster.nodes.get(id).map(|node| &*node.record);
        let key = id.0.to_be_bytes().to_vec();
        rows.push(Row { table: Table::NODE, key, value: record.map(encode).transpose()? });
    }
    Ok(rows)
}

/// A job that has ended moves, with all that is its own, from the live tables to history; one that is wanted again
/// moves back.
fn job_rows(job: &Job, again: bool, position: Position, rows: &mut Vec<Row>) -> Result<(), DecodeError> {
    let row = JobRow {
        record: Arc::clone(&job.record),
        cancel: job.cancel.as_ref().map(|note| (**note).clone()),
        ended: job.ended,
        first_start: job.first_start,
        worst: job.worst.as_ref().map(|end| (**end).clone()),
    };
    let key = job_key(job.id());
    let bytes = encode(&row)?;
    let name_key = name_key(row.record.uid, &row.record.spec.name, job.id());
    let Some(ended) = job.ended else {
        if again {
            rows.push(Row { table: Table::ENDED, key: key.clone(), value: None });
        }
        rows.push(Row { table: Table::JOB, key, value: Some(bytes) });
        return Ok(());
    };
    rows.push(Row { table: Table::ENDED, key: key.clone(), value: Some(bytes) });
    rows.push(Row { table: Table::JOB, key, value: None });
    rows.push(Row { table: Table::BY_NAME, key: name_key, value: Some(Vec::new()) });
    let end_key = [ended.0.to_be_bytes(), job.id().0.to_be_bytes()].concat();
    let bad = row.worst.as_ref().is_some_and(|end| end.state.is_bad());
    let owner = row.record.uid.0.to_be_bytes();
    let value = [owner.as_slice(), &[u8::from(bad)], &position.0.to_be_bytes()].concat();
    rows.push(Row { table: Table::BY_END, key: end_key, value: Some(value) });
    for chunk in 0..job.tasks.chunk_count() {
        let key = chunk_key(job.id(), chunk);
        rows.push(Row { table: Table::TASKS, key: key.clone(), value: None });
        rows.push(Row { table: ENDED_TASKS, key, value: job.tasks.chunk_bytes(chunk) });
    }
    for hash in row.record.spec.contents() {
        let key = use_key(hash, row.record.uid, job.id());
        rows.push(Row { table: SENT_BY, key, value: Some(Vec::new()) });
    }
    if job.tasks.counted(State::DependencyFailed) > 0 {
        for wait in &row.record.waits_for {
            rows.push(Row {
                table: FAILED_BY,
                key: pair_key(wait.parent, job.id()),
                value: Some(Vec::new()),
            });
        }
    }
    for (ordinal, exception) in &job.exceptions {
        let key = task_key(job.id(), *ordinal);
        rows.push(Row { table: EXCEPTION, key: key.clone(), value: None });
        rows.push(Row { table: ENDED_EXCEPTION, key, value: Some(encode(exception)?) });
    }
    Ok(())
}

fn end_rows(change: &Change, rows: &mut Vec<Row>) -> Result<(), DecodeError> {
    match change {
        Change::Ended { task, end } if !end.cause.by.is_empty() || !end.cause.text.is_empty() => {
            let value = Some(encode(&end.cause)?);
            rows.push(Row { table: RESULT_TEXT, key: result_key(*task, end.attempt), value });
        }
        Change::EndedUnstarted { job, set, end } => {
            let first = set.runs().first().map_or(0, |run| u64::from(run.0));
            let key = [job_key(*job), first.to_be_bytes().to_vec()].concat();
            let row = SetRow { set: set.clone(), end: (**end).clone() };
            rows.push(Row { table: RESULT_SET, key, value: Some(encode(&row)?) });
        }
        _ => {}
    }
    Ok(())
}

fn other_rows(cluster: &Cluster, change: &Change, rows: &mut Vec<Row>) -> Result<(), DecodeError> {
    let mut put = |table: Table, key: Vec<u8>, value: Option<Vec<u8>>| rows.push(Row { table, key, value });
    match change {
        Change::Office { .. } | Change::NextJob(_) | Change::NextNode(_) => {
            let meta = MetaRow {
                incarnation: cluster.incarnation,
                epoch: cluster.epoch,
                next_job: cluster.next_job,
                next_node: cluster.next_node,
            };
            put(Table::META, META_KEY.to_vec(), Some(encode(&meta)?));
        }
        Change::Abandoned { task, attempt, node, live } => {
            let key = abandoned_key(*node, *task, *attempt);
            put(ABANDONED, key, live.as_ref().map(encode).transpose()?);
        }
        Change::Lease(lease) => put(Table::META, LEASE.to_vec(), Some(lease.0.to_be_bytes().to_vec())),
        Change::Unsettled(range) => put(
            Table::META,
            UNSETTLED.to_vec(),
            range.map(|(first, behind)| [first.0.to_be_bytes(), behind.0.to_be_bytes()].concat()),
        ),
        Change::Restored(restored) => put(Table::META, RESTORED.to_vec(), Some(encode(restored)?)),
        Change::NodeRemoved(id) => put(Table::NODE, id.0.to_be_bytes().to_vec(), None),
        Change::Partition(record) => {
            put(Table::PARTITION, record.name.clone().into_bytes(), Some(encode(&**record)?));
        }
        Change::PartitionRemoved(name) => put(Table::PARTITION, name.clone().into_bytes(), None),
        Change::Account(record) => put(ACCOUNT, record.name.clone().into_bytes(), Some(encode(&**record)?)),
        Change::AccountRemoved(name) => {
            put(ACCOUNT, name.clone().into_bytes(), None);
            put(BUDGET, name.clone().into_bytes(), None);
        }
        Change::BudgetSpent { account, cpu_ms } => {
            put(BUDGET, account.clone().into_bytes(), Some(cpu_ms.to_be_bytes().to_vec()));
        }
        Change::Priority(record) => put(Table::META, PRIORITY.to_vec(), Some(encode(&**record)?)),
        Change::Use { account, user, used } => {
            let key = [account.as_bytes(), &[0], user.as_bytes()].concat();
            put(USE, key, used.map(|used| used.to_bytes().to_vec()));
        }
        Change::Qos(record) => put(QOS, record.name.clone().into_bytes(), Some(encode(&**record)?)),
        Change::QosRemoved(name) => put(QOS, name.clone().into_bytes(), None),
        Change::User(record) => put(Table::USER, record.name.clone().into_bytes(), Some(encode(record)?)),
        Change::UserRemoved(name) => put(Table::USER, name.clone().into_bytes(), None),
        Change::Token(record) => put(Table::TOKEN, record.hash.0.to_vec(), Some(encode(record)?)),
        Change::TokenUsed(hash) => {
            put(Table::TOKEN, hash.0.to_vec(), None);
            put(SPENT, hash.0.to_vec(), None);
        }
        Change::TokenSpent(record) => {
            put(Table::TOKEN, record.token.hash.0.to_vec(), None);
            put(SPENT, record.token.hash.0.to_vec(), Some(encode(&**record)?));
        }
        Change::Certificate(record) => put(Table::CERT, record.serial.0.to_vec(), Some(encode(record)?)),
        Change::CertificateDropped(serial) => put(Table::CERT, serial.0.to_vec(), None),
        Change::Key(record) => {
            put(ANSWER, answer_key(&record.owner, &record.key), Some(encode(&**record)?));
        }
        Change::Content { owner, hash, bytes } => {
            put(SENT, content_key(*owner, *hash), Some(bytes.clone().unwrap_or_default()));
            put(ORPHAN, orphan_key(*hash, *owner), None);
        }
        Change::Audit(record) => {
            put(Table::AUDIT, record.number.to_be_bytes().to_vec(), Some(encode(&**record)?));
            put(AUDIT_BY_TIME, audit_time_key(record.at, record.number), Some(Vec::new()));
            put(Table::META, AUDIT_HEAD.to_vec(), Some(encode(&cluster.audit)?));
        }
        _ => {}
    }
    Ok(())
}

/// Takes a live row into a state that is being loaded; rows come in the order of their tables.
///
/// # Errors
/// A row that can't be read, or belongs to nothing.
pub fn restore_row(cluster: &mut Cluster, table: Table, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
    let mut touched = Touched::default();
    let mut absorb = |change: Change| cluster.absorb(&change, &mut touched);
    match table {
        Table::NODE => absorb(Change::Node(Box::new(decode(value)?))),
        Table::PARTITION => absorb(Change::Partition(Box::new(decode(value)?))),
        Table::USER => absorb(Change::User(decode(value)?)),
        ACCOUNT => absorb(Change::Account(Box::new(decode(value)?))),
        BUDGET => {
            let cpu_ms = value.try_into().map_err(|_| misplaced("a budget"))?;
            let account = String::from_utf8_lossy(key).into_owned();
            absorb(Change::BudgetSpent { account, cpu_ms: u64::from_be_bytes(cpu_ms) });
        }
        USE => {
            let bytes = value.try_into().map_err(|_| misplaced("what was used"))?;
            let names = String::from_utf8_lossy(key);
            let (account, user) = names.split_once('\0').ok_or_else(|| misplaced("what was used"))?;
            let (account, user) = (account.to_owned(), user.to_owned());
            absorb(Change::Use { account, user, used: Some(DecayedUse::from_bytes(bytes)) });
        }
        QOS => absorb(Change::Qos(Box::new(decode(value)?))),
        Table::TOKEN => absorb(Change::Token(decode(value)?)),
        SPENT => absorb(Change::TokenSpent(Box::new(decode(value)?))),
        Table::CERT => absorb(Change::Certificate(decode(value)?)),
        Table::META if key == LEASE => {
            let seconds = value.try_into().map_err(|_| misplaced("the lease"))?;
            absorb(Change::Lease(Seconds(u64::from_be_bytes(seconds))));
        }
        ABANDONED => {
            let (node, task, attempt) =
                split_abandoned(key).ok_or_else(|| misplaced("an abandoned attempt"))?;
            absorb(Change::Abandoned { task, attempt, node, live: Some(decode(value)?) });
        }
        Table::META if key == PRIORITY => absorb(Change::Priority(Box::new(decode(value)?))),
        Table::META if key == UNSETTLED => {
            let ends: [u8; 16] = value.try_into().map_err(|_| misplaced("the numbers of a submission"))?;
            let both = u128::from_be_bytes(ends);
            let (first, behind) = ((both >> 64) as u64, both as u64);
            absorb(Change::Unsettled(Some((JobId(first), JobId(behind)))));
        }
        Table::META if key == RESTORED => absorb(Change::Restored(decode(value)?)),
        Table::META if key == AUDIT_HEAD => cluster.audit = decode(value)?,
        Table::META => {
            let meta: MetaRow = decode(value)?;
            cluster.incarnation = meta.incarnation;
            cluster.epoch = meta.epoch;
            cluster.next_job = meta.next_job;
            cluster.next_node = meta.next_node;
        }
        Table::JOB => {
            let row: JobRow = decode(value)?;
            let id = row.record.id;
            absorb(Change::Job(row.record));
            cluster.restore_job(id, row.cancel, row.ended, row.first_start, row.worst);
        }
        Table::TASKS => {
            let (job, chunk) = split_key(key)?;
            if !cluster.restore_chunk(job, chunk, value) {
                return Err(misplaced("task states"));
            }
        }
        LIVE => {
            let (job, ordinal) = split_key(key)?;
            let live = decode::<Live>(value)?;
            absorb(Change::Live { job, set: TaskSet::one(Ordinal(ordinal)), live });
        }
        EXCEPTION => {
            let (job, ordinal) = split_key(key)?;
            let task = TaskRef { job, ordinal: Ordinal(ordinal) };
            absorb(Change::Exception { task, exception: decode(value)? });
        }
        SLOTS => {
            let (job, node) = split_key(key)?;
            absorb(Change::Slots { job, node: NodeId(node), slots: Some(decode(value)?) });
        }
        _ => {}
    }
    Ok(())
}

/// The next job number as a row of live rows says it; `None` for any other row.
pub fn next_job_of(table: Table, key: &[u8], value: &[u8]) -> Option<JobId> {
    if table != Table::META || key != META_KEY {
        return None;
    }
    decode::<MetaRow>(value).ok().map(|meta| meta.next_job)
}

fn misplaced(what: &str) -> DecodeError {
    DecodeError::Malformed { name: JobRow::NAME, reason: format!("{what} of a job that is not there") }
}
