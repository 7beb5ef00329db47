//! Lost contact: what may start again elsewhere, and when. A node is silent, its jobs are `Unreachable`, and that is no
//! end. An attempt is given up when its job's policy says so: once its lease has surely run out, so that it stands
//! still; at the node timeout, if the job may overlap itself; never, if only proof counts. What was given up is
//! remembered until it is known to be dead.

use super::Core;
use super::command::{Effect, Outcome};
use super::job::Job;
use super::restart::may_start_again;
use crate::agent::FREEZE_PATIENCE;
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{Attempt, Instance, NodeId, Ordinal, TaskRef};
use crate::model::record::{Exception, Live, Phase, Slots, Wanted};
use crate::model::spec::LostPolicy;
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::task_set::TaskSet;
use crate::model::time::{BootTime, Now, Seconds};
use crate::session::Inventory;

/// Two clocks may run apart by one part in so many: that much longer a lease is waited for.
const CLOCK_DRIFT: u64 = 10;

/// When an attempt may be given up that was heard of last at `heard`; never, if only proof counts.
pub(super) fn give_up_at(policy: LostPolicy, lease: Seconds, heard: BootTime) -> Option<BootTime> {
    match policy {
        LostPolicy::Fenced(own) => {
            let freezing = if bug::is_made(Bug::FreezeForgotten) { 0 } else { FREEZE_PATIENCE.micros() };
            let micros = own.unwrap_or(lease).micros().saturating_add(freezing);
            Some(BootTime(heard.0.saturating_add(micros).saturating_add(micros / CLOCK_DRIFT)))
        }
        LostPolicy::Overlap => Some(heard),
        LostPolicy::Proof | LostPolicy::Never => None,
    }
}

impl Core {
    /// A term begins: the lease is what the configuration says, unless attempts run that were told a longer one.
    pub(super) fn begin_leases(&mut self, outcome: &mut Outcome) {
        let (old, new) = (self.cluster.lease, self.settings.lease);
        let idle = self.cluster.totals.live == 0 && self.cluster.abandoned.is_empty();
        if new != old && (new > old || idle) {
            self.commit(Change::Lease(new), outcome);
        }
    }

    /// Asks for proof that a silent node is dead, if anything depends on it.
    pub(super) fn fence(&mut self, node: NodeId, outcome: &mut Outcome) {
        if self.jobs_on(node).is_empty() && !self.cluster.has_abandoned(node) {
            return;
        }
        if let Some(known) = self.cluster.nodes.get(&node) {
            outcome.effects.push(Effect::Fence { node, name: known.record.name.clone() });
        }
    }

    /// What the fence command has said of a node. It is asked again as long as the node is silent.
    pub(super) fn on_fenced(&mut self, now: Now, node: NodeId, dead: bool, outcome: &mut Outcome) {
        if !self.sights.get(&node).is_some_and(|sight| sight.unreachable) {
            return;
        }
        if dead {
            self.declare_dead(now, node, "the fence command has confirmed that the node is dead", outcome);
        } else {
            self.fence(node, outcome);
        }
    }

    /// Gives up what has been silent for long enough. Looked at only when the next one comes up.
    pub(super) fn give_up_due(&mut self, now: Now, outcome: &mut Outcome) {
        let due =
            |sight: &super::NodeSight| sight.unreachable && sight.give_up_at.is_some_and(|at| at <= now.boot);
        let nodes: Vec<NodeId> =
            self.sights.iter().filter(|(_, sight)| due(sight)).map(|(node, _)| *node).collect();
        for node in nodes {
            let heard = self.sight(node).heard;
            let mut next: Option<BootTime> = None;
            for id in self.jobs_on(node) {
                let Some(job) = self.cluster.jobs.get(&id).cloned() else { continue };
                let policy = job.record.spec.restart.lost;
                let Some(at) = give_up_at(policy, self.cluster.lease, heard) else { continue };
                if at > now.boot {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    continue;
                }
                for (ordinal, live) in job.live.iter().filter(|(_, live)| live.node == node) {
                    self.give_up(now, &job, TaskRef { job: id, ordinal: *ordinal }, *live, outcome);
                }
                self.refill(now, id, node, 0, outcome);
            }
            self.sight(node).give_up_at = next;
        }
    }

    /// The attempt may run for all that is known, or stand still; its task waits for the next one.
    fn give_up(&mut self, now: Now, job: &Job, task: TaskRef, live: Live, outcome: &mut Outcome) {
        let old = job.exceptions.get(&task.ordinal).copied().unwrap_or_default();
        let end = lost_end(now, &live, "");
        let Some(counted) = may_start_again(job, &live, &end, old.retries) else { return };
        let abandoned = Change::Abandoned { task, attempt: live.attempt, node: live.node, live: Some(live) };
        self.commit(abandoned, outcome);
        let exception = Exception {
            attempts: old.attempts.max(live.attempt),
            retries: old.retries + u32::from(counted),
            ..old
        };
        self.commit(Change::Exception { task, exception }, outcome);
        let set = TaskSet::one(task.ordinal);
        self.commit(Change::Waiting { job: task.job, set, held: self.is_held(task.job) }, outcome);
    }

    /// The record of an attempt that was given up there.
    pub(super) fn abandoned(&self, node: NodeId, task: TaskRef, attempt: Attempt) -> Option<Live> {
        self.cluster.abandoned.get(&(node, task.job, task.ordinal, attempt)).copied()
    }

    /// The end of an attempt that was given up: the task's own, if no other attempt has taken its place; else it is
    /// noted.
    pub(super) fn on_late_end(
        &mut self,
        now: Now,
        task: TaskRef,
        live: Live,
        end: End,
        outcome: &mut Outcome,
    ) {
        let waits = self.cluster.jobs.get(&task.job).is_some_and(|job| {
            matches!(job.tasks.get(task.ordinal), Some(State::Pending | State::Held))
                && last_attempt(job, task.ordinal) == live.attempt
        });
        if waits && end.state != State::NodeFail {
            return self.end_attempt(now, task, live, end, outcome);
        }
        if let Some(job) = self.cluster.jobs.get(&task.job).cloned() {
            self.charge(now, &job, &live, &end, outcome);
        }
        self.commit(Change::LateEnd { task, end: Box::new(end) }, outcome);
    }

    /// An attempt that was given up is known not to have started, and never will.
    pub(super) fn on_late_never(
        &mut self,
        node: NodeId,
        task: TaskRef,
        attempt: Attempt,
        outcome: &mut Outcome,
    ) {
        if self.abandoned(node, task, attempt).is_some() {
            self.commit(Change::Abandoned { task, attempt, node, live: None }, outcome);
        }
    }

    /// A node is back with its inventory. What was given up there and runs goes on if nothing has taken its place, and
    /// is killed otherwise; what is not there any more is dead.
    pub(super) fn conclude_abandoned(
        &mut self,
        now: Now,
        node: NodeId,
        instance: Instance,
        inventory: &Inventory,
        outcome: &mut Outcome,
    ) {
        let all: Vec<(TaskRef, Live)> =
            self.cluster.abandoned_on(node).map(|(task, live)| (task, *live)).collect();
        for (task, live) in all {
            let key = (task, live.attempt);
            if let Some(start) = inventory.started.get(&key) {
                let live = Live { phase: Phase::Running, start: Some(*start), ..live };
                self.go_on(task, live, outcome);
            } else if inventory.queued.contains(&key) {
                // Nobody waits for it: the strangers are taken back, and the answer says that it never started.
            } else {
                let same = live.instance == instance;
                let why = if same { "the node no longer has it" } else { "the node rebooted" };
                let end = lost_end(now, &live, why);
                self.commit(Change::LateEnd { task, end: Box::new(end) }, outcome);
            }
        }
    }

    /// Makes an attempt the task's own again, if its task waits and nothing came after it.
    fn go_on(&mut self, task: TaskRef, live: Live, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&task.job).cloned() else { return };
        let waits = matches!(job.tasks.get(task.ordinal), Some(State::Pending | State::Held));
        if !waits || last_attempt(&job, task.ordinal) != live.attempt || live.wanted != Wanted::Run {
            return;
        }
        let Some(node) = self.cluster.nodes.get(&live.node) else { return };
        let Some(total) = node.record.hardware.as_ref().map(|hardware| hardware.resources) else { return };
        let old = job.slots.get(&live.node).copied();
        let slots = old.unwrap_or_else(|| Slots {
            count: 0,
            charge: super::restored::charge_of(&job.record, &total),
            exclusive: job.record.spec.request.exclusive,
            refills: false,
            not_after: None,
        });
        // What was held ahead has begun, perhaps, in the slot of one that has ended: there is none for each of them.
        let needed = node.allocated.plus(&slots.charge);
        let fits = needed.cpus <= total.cpus && needed.memory_bytes <= total.memory_bytes;
        let fits = fits && self.cluster.accounting.room(&job.record, slots.charge.cpus) > 0;
        if !fits && slots.count == 0 {
            return;
        }
        let slots = Slots { count: slots.count + u32::from(fits), ..slots };
        let old = job.exceptions.get(&task.ordinal).copied().unwrap_or_default();
        let exception = Exception { attempts: Attempt(live.attempt.0.saturating_sub(1)), ..old };
        self.commit(Change::Exception { task, exception }, outcome);
        self.commit(Change::Slots { job: task.job, node: live.node, slots: Some(slots) }, outcome);
        self.commit(Change::Live { job: task.job, set: TaskSet::one(task.ordinal), live }, outcome);
    }

    /// Everything that a node had is dead: somebody has said so who must know.
    pub(super) fn declare_dead(&mut self, now: Now, node: NodeId, why: &str, outcome: &mut Outcome) {
        for id in self.jobs_on(node) {
            let Some(job) = self.cluster.jobs.get(&id).cloned() else { continue };
            for (ordinal, live) in job.live.iter().filter(|(_, live)| live.node == node) {
                self.lose(now, TaskRef { job: id, ordinal: *ordinal }, *live, why, outcome);
            }
            self.refill(now, id, node, 0, outcome);
        }
        let all: Vec<(TaskRef, Live)> =
            self.cluster.abandoned_on(node).map(|(task, live)| (task, *live)).collect();
        for (task, live) in all {
            let end = lost_end(now, &live, why);
            self.commit(Change::LateEnd { task, end: Box::new(end) }, outcome);
        }
    }
}

fn last_attempt(job: &Job, ordinal: Ordinal) -> Attempt {
    job.exceptions.get(&ordinal).copied().unwrap_or_default().attempts
}

/// The end of an attempt that went with its node.
pub(super) fn lost_end(now: Now, live: &Live, why: &str) -> End {
    End {
        state: State::NodeFail,
        exit_code: 0,
        signal: 0,
        cause: Cause::said(CauseKind::Node, why),
        node: Some(live.node),
        start: live.start,
        end: now.wall,
        usage: Usage::default(),
        attempt: live.attempt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_waited_for_longer_than_it_lasts() {
        let heard = BootTime(1_000_000);
        let at = |policy| give_up_at(policy, Seconds(30), heard);
        assert_eq!(at(LostPolicy::Fenced(None)), Some(BootTime(1_000_000 + 38_500_000)));
        assert_eq!(at(LostPolicy::Fenced(Some(Seconds(15)))), Some(BootTime(1_000_000 + 22_000_000)));
        assert_eq!(at(LostPolicy::Overlap), Some(heard));
        assert_eq!((at(LostPolicy::Proof), at(LostPolicy::Never)), (None, None));
    }
}
