//! Keys of rows: numbers in the order of their bytes, so that what belongs together stands together.

use crate::model::ids::{Attempt, ContentHash, JobId, NodeId, Ordinal, TaskRef, Uid};
use crate::model::time::WallTime;
use crate::wire::codec::DecodeError;

/// The key of a job.
pub fn job_key(job: JobId) -> Vec<u8> {
    job.0.to_be_bytes().to_vec()
}

/// The key of a parent and a child.
pub fn pair_key(parent: JobId, child: JobId) -> Vec<u8> {
    [parent.0.to_be_bytes(), child.0.to_be_bytes()].concat()
}

/// The key of one task of a job.
pub fn task_key(job: JobId, ordinal: Ordinal) -> Vec<u8> {
    [job.0.to_be_bytes().as_slice(), &ordinal.0.to_be_bytes()].concat()
}

/// The key of an attempt that was given up.
pub(super) fn abandoned_key(node: NodeId, task: TaskRef, attempt: Attempt) -> Vec<u8> {
    let parts: [&[u8]; 4] = [
        &node.0.to_be_bytes(),
        &task.job.0.to_be_bytes(),
        &task.ordinal.0.to_be_bytes(),
        &attempt.0.to_be_bytes(),
    ];
    parts.concat()
}

pub(super) fn split_abandoned(key: &[u8]) -> Option<(NodeId, TaskRef, Attempt)> {
    let (node, rest) = key.split_first_chunk()?;
    let (job, rest) = rest.split_first_chunk()?;
    let (ordinal, rest) = rest.split_first_chunk()?;
    let task =
        TaskRef { job: JobId(u64::from_be_bytes(*job)), ordinal: Ordinal(u32::from_be_bytes(*ordinal)) };
    Some((NodeId(u32::from_be_bytes(*node)), task, Attempt(u32::from_be_bytes(rest.try_into().ok()?))))
}

/// The key of the words of one attempt's result.
pub fn result_key(task: TaskRef, attempt: Attempt) -> Vec<u8> {
    [task_key(task.job, task.ordinal).as_slice(), &attempt.0.to_be_bytes()].concat()
}

pub(super) fn chunk_key(job: JobId, chunk: u32) -> Vec<u8> {
    [job.0.to_be_bytes().as_slice(), &chunk.to_be_bytes()].concat()
}

/// The key of a name in the index; without the job: the beginning of all of them.
pub fn name_key(uid: Uid, name: &str, job: JobId) -> Vec<u8> {
    [uid.0.to_be_bytes().as_slice(), name.as_bytes(), &[0], &job.0.to_be_bytes()].concat()
}

/// The key of an answer. A hash, since owner and key are text of any kind.
pub fn answer_key(owner: &str, key: &str) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(owner.len() as u64).to_le_bytes());
    hasher.update(owner.as_bytes());
    hasher.update(key.as_bytes());
    hasher.finalize().as_bytes().to_vec()
}

/// The key of an audit record in the index by time.
pub fn audit_time_key(at: WallTime, number: u64) -> Vec<u8> {
    [at.0.max(0).to_be_bytes(), number.to_be_bytes()].concat()
}

/// The key of content.
pub fn content_key(owner: Uid, hash: ContentHash) -> Vec<u8> {
    [owner.0.to_be_bytes().as_slice(), &hash.0].concat()
}

pub(super) fn split_key(key: &[u8]) -> Result<(JobId, u32), DecodeError> {
    let short = || DecodeError::Short { name: "key", have: key.len(), need: 12 };
    let (job, rest) = key.split_first_chunk::<8>().ok_or_else(short)?;
    let rest: [u8; 4] = rest.try_into().map_err(|_| short())?;
    Ok((JobId(u64::from_be_bytes(*job)), u32::from_be_bytes(rest)))
}
