//! A node on which every launch fails would swallow the whole queue: a circuit breaker takes it out, and says why. What
//! failed there goes back into the queue at no cost; a task that cannot be launched anywhere is held in the end.
//!
//! Counts are not durable: what they lead to is.

use std::collections::BTreeMap;

use super::Core;
use super::command::{Effect, Outcome};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, TaskRef, Uid};
use crate::model::record::{Exception, Live, NodeAdmin, NodeReason, NodeRecord};
use crate::model::state::{CauseKind, End, State};
use crate::model::task_set::TaskSet;
use crate::model::text::clip;
use crate::model::time::Now;

/// So many launches that fail in a row take a node out.
pub const LAUNCHES_FAILED_MAX: u32 = 3;
/// After so many failed launches without a start between them a task is held.
pub const TASK_LAUNCHES_MAX: u32 = 12;
/// Of so many owners it is remembered on which node their launches failed last.
pub const OWNERS_MAX: usize = 10_000;
/// The most bytes of a failure's words that become a node's reason.
const REASON_BYTES_MAX: usize = 300;
/// Who has drained a node that no person has.
const BY: &str = "jctld";

/// How launches go, node by node.
#[derive(Clone, Debug, Default)]
pub struct Breakers {
    in_a_row: BTreeMap<NodeId, u32>,
    /// Where an owner's launches fail since one of his jobs has started last. On a second node they say nothing about
    /// that node: an owner who can be launched nowhere must not take one node after the other with him.
    failing: BTreeMap<Uid, NodeId>,
}

impl Breakers {
    /// A task of that owner has started there.
    pub fn started(&mut self, node: NodeId, owner: Uid) {
        self.in_a_row.remove(&node);
        self.failing.remove(&owner);
    }

    /// A launch for that owner has failed there. Whether the node is to be taken out.
    pub fn failed(&mut self, node: NodeId, owner: Uid) -> bool {
        if self.failing.len() >= OWNERS_MAX && !self.failing.contains_key(&owner) {
            self.failing.clear();
        }
        if *self.failing.entry(owner).or_insert(node) != node {
            return false;
        }
        let count = self.in_a_row.entry(node).or_default();
        *count += 1;
        *count >= LAUNCHES_FAILED_MAX
    }

    /// Somebody vouches for the node.
    pub fn resumed(&mut self, node: NodeId) {
        self.in_a_row.remove(&node);
        self.failing.retain(|_, failing| *failing != node);
    }
}

/// Whether an attempt never started for a reason that lies with its node.
pub fn is_failed_launch(end: &End) -> bool {
    end.state == State::NodeFail
        && end.start.is_none()
        && matches!(end.cause.kind, CauseKind::Launch | CauseKind::Supervisor)
}

impl Core {
    /// Counts a start, or the end of an attempt, for its node.
    pub(super) fn note_launch(
        &mut self,
        now: Now,
        task: TaskRef,
        live: &Live,
        end: Option<&End>,
        outcome: &mut Outcome,
    ) {
        let Some(owner) = self.cluster.jobs.get(&task.job).map(|job| job.record.uid) else { return };
        match end {
            Some(end) if is_failed_launch(end) => {
                if self.breakers.failed(live.node, owner) {
                    self.take_out(now, live.node, task.job, &end.cause.text, outcome);
                }
            }
            Some(end) if end.start.is_none() => {}
            _ => self.breakers.started(live.node, owner),
        }
    }

    fn take_out(&mut self, now: Now, id: NodeId, job: JobId, why: &str, outcome: &mut Outcome) {
        let Some(node) = self.cluster.nodes.get(&id).filter(|node| node.record.admin == NodeAdmin::Up) else {
            return;
        };
        let name = &node.record.name;
        let mut why = why.to_owned();
        clip(&mut why, REASON_BYTES_MAX);
        let text = format!(
            "{LAUNCHES_FAILED_MAX} launches in a row failed, the last one of job {job}: {why}; when that is mended: \
             jnode resume {name}"
        );
        let alarm = format!("node {name} takes no more jobs: {text}");
        let record = NodeRecord {
            admin: NodeAdmin::Drain,
            reason: Some(NodeReason { text, by: BY.to_owned(), at: now.wall }),
            version_number: node.record.version_number + 1,
            ..(*node.record).clone()
        };
        self.commit(Change::Node(Box::new(record)), outcome);
        outcome.effects.push(Effect::Alarm(alarm));
    }

    /// Whoever releases held tasks wants their launches tried again.
    pub(super) fn forgive_launches(&mut self, id: JobId, set: &TaskSet, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return };
        for (ordinal, old) in job.exceptions.iter().filter(|(_, exception)| exception.launches > 0) {
            if set.contains(*ordinal) {
                let exception = Exception { launches: 0, ..*old };
                self.commit(
                    Change::Exception { task: TaskRef { job: id, ordinal: *ordinal }, exception },
                    outcome,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_taken_out_after_so_many_failures_and_no_start_between() {
        let mut breakers = Breakers::default();
        let (bad, good) = (NodeId(1), NodeId(2));
        for _ in 1..LAUNCHES_FAILED_MAX {
            assert!(!breakers.failed(bad, Uid(1)));
        }
        assert!(breakers.failed(bad, Uid(1)));
        breakers.resumed(bad);
        assert!(!breakers.failed(bad, Uid(1)), "it begins anew");
        breakers.started(bad, Uid(2));
        for _ in 1..LAUNCHES_FAILED_MAX {
            assert!(!breakers.failed(bad, Uid(1)), "a start of anybody's shows that it works");
        }
        assert!(!breakers.failed(good, Uid(3)));
    }

    #[test]
    fn an_owner_who_can_be_launched_nowhere_takes_one_node_and_no_more() {
        let mut breakers = Breakers::default();
        let out: Vec<u32> =
            (1..=5u32).filter(|node| (0..100).any(|_| breakers.failed(NodeId(*node), Uid(1)))).collect();
        assert_eq!(out, [1]);
        // Others still count there, and he again once he has started somewhere.
        assert!((0..LAUNCHES_FAILED_MAX).any(|_| breakers.failed(NodeId(2), Uid(2))));
        breakers.started(NodeId(4), Uid(1));
        assert!((0..LAUNCHES_FAILED_MAX).any(|_| breakers.failed(NodeId(3), Uid(1))));
        // What is remembered is bounded.
        for owner in 0..2 * OWNERS_MAX as u32 {
            breakers.failed(NodeId(9), Uid(owner));
        }
        assert!(breakers.failing.len() <= OWNERS_MAX);
    }
}
