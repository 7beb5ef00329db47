//! Attempts that were given up: their job may start again, and yet nobody has seen them dead. What becomes of them is
//! noted when it is known; until then their node gets no new work.

use std::sync::Arc;

use super::state::{Cluster, Touched};
use crate::model::change::Change;
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskRef};
use crate::model::record::Live;
use crate::model::state::End;
use crate::model::task_set::TaskSet;

/// Node, job, task, attempt.
pub type AbandonedKey = (NodeId, JobId, Ordinal, Attempt);

impl Cluster {
    /// The attempts that were given up on a node and are not known to be dead.
    pub fn abandoned_on(&self, node: NodeId) -> impl Iterator<Item = (TaskRef, &Live)> {
        let first = (node, JobId(0), Ordinal(0), Attempt(0));
        let last = (node, JobId(u64::MAX), Ordinal(u32::MAX), Attempt(u32::MAX));
        let all = self.abandoned.range(first..=last);
        all.map(|((_, job, ordinal, _), live)| (TaskRef { job: *job, ordinal: *ordinal }, live))
    }

    /// The attempts at a task that were given up and are not known to be dead.
    pub fn abandoned_of(&self, task: TaskRef) -> impl Iterator<Item = Live> {
        let own = move |key: &AbandonedKey| (key.1, key.2) == (task.job, task.ordinal);
        self.abandoned.iter().filter(move |(key, _)| own(key)).map(|(_, live)| *live)
    }

    /// Whether anything that may still run was given up on that node.
    pub fn has_abandoned(&self, node: NodeId) -> bool {
        self.abandoned_on(node).next().is_some()
    }

    pub(super) fn absorb_abandoned(&mut self, key: AbandonedKey, live: Option<Live>, touched: &mut Touched) {
        let (node, job, ordinal, attempt) = key;
        match live {
            Some(live) => self.abandoned.insert(key, live),
            None => self.abandoned.remove(&key),
        };
        touched.jobs.insert(job);
        touched.nodes.insert(node);
        touched.others.push(Change::Abandoned { task: TaskRef { job, ordinal }, attempt, node, live });
    }

    /// Attempts that are live are not given up, or not any more.
    pub(super) fn find_again(&mut self, job: JobId, set: &TaskSet, live: &Live, touched: &mut Touched) {
        if self.abandoned.is_empty() {
            return;
        }
        for ordinal in set.iter() {
            let key = (live.node, job, ordinal, live.attempt);
            if self.abandoned.contains_key(&key) {
                self.absorb_abandoned(key, None, touched);
            }
        }
    }

    /// An attempt has ended, whatever its task is doing by now.
    pub(super) fn note_end(&mut self, task: TaskRef, end: &End, touched: &mut Touched) {
        touched.ended.push(Change::Ended { task, end: Box::new(end.clone()) });
        self.recent.insert((task, end.attempt), Arc::new(end.clone()));
        let Some(node) = end.node.filter(|_| !self.abandoned.is_empty()) else { return };
        let key = (node, task.job, task.ordinal, end.attempt);
        if self.abandoned.contains_key(&key) {
            self.absorb_abandoned(key, None, touched);
        }
    }
}
