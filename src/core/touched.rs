//! What a change was about, and what memory need not keep any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::change::Change;
use crate::model::ids::{Attempt, ContentHash, JobId, NodeId, Ordinal, Position, TaskRef, Uid};

/// What was touched since the last time somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Jobs of which anything changed.
    pub jobs: BTreeSet<JobId>,
    /// Job records.
    pub records: BTreeSet<JobId>,
    /// Ended jobs that are wanted again: what history has of them goes.
    pub again: BTreeSet<JobId>,
    /// Chunks of task states.
    pub chunks: BTreeSet<(JobId, u32)>,
    /// Tasks on nodes.
    pub live: BTreeSet<(JobId, Ordinal)>,
    /// Exceptions.
    pub exceptions: BTreeSet<(JobId, Ordinal)>,
    /// Slots.
    pub slots: BTreeSet<(JobId, NodeId)>,
    /// Nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Everything else, one change each, as it came.
    pub others: Vec<Change>,
    /// Ends, as they came.
    pub ended: Vec<Change>,
    /// Jobs that ended, and the position of the group that says so, once that is known.
    pub job_ends: BTreeMap<JobId, Position>,
    /// Whether partitions or the set of nodes changed, so that places must be resolved anew.
    pub places: bool,
}

impl Touched {
    /// Adds what `other` touched later.
    pub fn merge(&mut self, other: Touched) {
        self.jobs.extend(other.jobs);
        self.records.extend(other.records);
        self.again.extend(other.again);
        self.chunks.extend(other.chunks);
        self.live.extend(other.live);
        self.exceptions.extend(other.exceptions);
        self.slots.extend(other.slots);
        self.nodes.extend(other.nodes);
        self.others.extend(other.others);
        self.ended.extend(other.ended);
        self.job_ends.extend(other.job_ends);
        self.places |= other.places;
    }

    /// All of it stands in the group of that position.
    pub fn stamp(&mut self, position: Position) {
        self.job_ends.values_mut().for_each(|at| *at = position);
    }
}

/// Something that memory need not keep once the tables have passed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// An ended job.
    Job(JobId),
    /// An end.
    End(TaskRef, Attempt),
    /// An end of a set.
    EndSet(JobId, u64),
    /// A key.
    Key(Arc<str>, Arc<str>),
    /// Content.
    Content(Uid, ContentHash),
}
