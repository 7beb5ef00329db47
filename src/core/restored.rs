//! A state that was restored from a backup. What happened after the backup is not in it, and nodes may still run
//! what was started then. So nodes obey only once an admin has accepted this state; then every unfinished job is
//! held until somebody releases it, what a node still runs of a known job is taken over as it is, and what belongs to
//! jobs that this state has never heard of is left alone and shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::command::Outcome;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::ids::{Attempt, Incarnation, Instance, JobId, NodeId, TaskRef};
use crate::model::record::{Hold, JobRecord, Live, Memory, Phase, Restored, Slots, Wanted};
use crate::model::resources::Resources;
use crate::model::state::State;
use crate::model::task_set::TaskSet;
use crate::model::time::{Now, WallTime};
use crate::session::Inventory;
use crate::wire::client::{RefusalCode, Reply};

impl Core {
    /// An admin says that nodes may obey. All unfinished jobs are held: some of them may have run already.
    pub(super) fn accept(&mut self, outcome: &mut Outcome) -> Reply {
        let Some(restored) = self.cluster.restored.filter(|restored| !restored.accepted) else {
            return refuse(RefusalCode::Conflict, "this state was not restored, or is accepted already", "");
        };
        let ids: Vec<JobId> = self.cluster.jobs.keys().copied().collect();
        let mut held = 0u64;
        for id in ids {
            held += u64::from(self.hold_restored(id, outcome));
        }
        self.commit(Change::Restored(Restored { accepted: true, ..restored }), outcome);
        let lines = vec![
            format!("nodes obey incarnation {} from now on", self.cluster.incarnation),
            format!("{held} unfinished jobs are held; some may have run after the backup"),
            "next: jnode, then `jqueue release --all` or `jcancel JOB` as you decide".to_owned(),
        ];
        Reply::Done { lines, warnings: Vec::new() }
    }

    fn hold_restored(&mut self, id: JobId, outcome: &mut Outcome) -> bool {
        let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.ended.is_none()).cloned() else {
            return false;
        };
        if job.record.hold != Hold::Admin {
            let record =
                JobRecord { hold: Hold::Admin, version: job.record.version + 1, ..(*job.record).clone() };
            self.commit(Change::Job(Arc::new(record)), outcome);
        }
        let set = job.tasks.select(None, |state| state == State::Pending);
        if set.count() > 0 {
            self.commit(Change::Waiting { job: id, set, held: true }, outcome);
        }
        true
    }

    /// Whether a node that obeys `seen` may come over to this state.
    pub(super) fn may_come_over(&self, name: &str, seen: Incarnation) -> Result<(), String> {
        match self.cluster.restored {
            Some(restored) if restored.replaces == seen && restored.accepted => Ok(()),
            Some(restored) if restored.replaces == seen => Err(format!(
                "this cluster's state was restored from a backup; node {name} obeys it once an admin has said \
                 `jctld accept`"
            )),
            _ => Err(format!("node {name} obeys another incarnation of this cluster")),
        }
    }

    /// Takes over what a node runs of known jobs, and gives what is to be left alone.
    pub(super) fn adopt(
        &mut self,
        now: Now,
        node: NodeId,
        instance: Instance,
        inventory: &Inventory,
        outcome: &mut Outcome,
    ) -> BTreeSet<(TaskRef, Attempt)> {
        let mut left = BTreeSet::new();
        let Some(restored) = self.cluster.restored.filter(|restored| restored.accepted) else { return left };
        let began = inventory.started.iter().map(|(key, start)| (*key, Some(*start)));
        let all: Vec<_> = began.chain(inventory.queued.iter().map(|key| (*key, None))).collect();
        for ((task, attempt), start) in all {
            let unknown = (restored.first_unknown..restored.next).contains(&task.job);
            if unknown {
                left.insert((task, attempt));
                let text = format!(
                    "job {} attempt {attempt}, which the backup does not know, is still on node {node}",
                    task.job
                );
                outcome.effects.push(super::Effect::Alarm(text));
            } else if let Some(start) = start
                && self.take_over(now, task, attempt, (node, instance), start, outcome)
            {
                left.insert((task, attempt));
            }
        }
        self.sight(node).foreign =
            left.iter().filter(|(task, _)| task.job >= restored.first_unknown).count() as u32;
        left
    }

    /// An attempt that began after the backup, of a task that waits in it.
    fn take_over(
        &mut self,
        now: Now,
        task: TaskRef,
        attempt: Attempt,
        (node, instance): (NodeId, Instance),
        start: WallTime,
        outcome: &mut Outcome,
    ) -> bool {
        let Some(job) = self.cluster.jobs.get(&task.job).cloned() else { return false };
        let Some(total) = self
            .cluster
            .nodes
            .get(&node)
            .and_then(|node| node.record.hardware.as_ref().map(|hardware| hardware.resources))
        else {
            return false;
        };
        let waits = matches!(job.tasks.get(task.ordinal), Some(State::Pending | State::Held));
        if !waits || attempt < job.next_attempt(task.ordinal) {
            return false;
        }
        let old = job.slots.get(&node).copied();
        let slots = match old {
            Some(old) => Slots { count: old.count + 1, ..old },
            None => Slots {
                count: 1,
                charge: charge_of(&job.record, &total),
                exclusive: false,
                refills: false,
                not_after: None,
            },
        };
        self.commit(Change::Slots { job: task.job, node, slots: Some(slots) }, outcome);
        let live = Live {
            node,
            instance,
            attempt,
            phase: Phase::Running,
            given: now.wall,
            start: Some(start),
            wanted: Wanted::Run,
        };
        self.commit(Change::Live { job: task.job, set: TaskSet::one(task.ordinal), live }, outcome);
        true
    }
}

/// What one slot of a job takes of a node.
pub(super) fn charge_of(record: &JobRecord, total: &Resources) -> Resources {
    let memory_bytes = match record.memory {
        Memory::Fixed(bytes) => bytes,
        Memory::Share => {
            let bytes =
                u128::from(record.cpus) * u128::from(total.memory_bytes) / u128::from(total.cpus.max(1));
            u64::try_from(bytes).unwrap_or(u64::MAX)
        }
        Memory::Whole => total.memory_bytes,
    };
    Resources { cpus: record.cpus, memory_bytes, tmp_bytes: record.spec.request.tmp_bytes }
}
