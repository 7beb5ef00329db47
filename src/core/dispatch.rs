//! From a plan to orders: what the scheduler placed is checked once more, made durable, and sent.

use super::Core;
use super::command::{Effect, Outcome};
use super::job::Job;
use super::notes::free_on;
use crate::model::change::Change;
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal};
use crate::model::record::{JobRecord, Live, Memory, NodeAdmin, Phase, Slots, Wanted};
use crate::model::resources::Resources;
use crate::model::spec::{LostPolicy, MemoryRequest};
use crate::model::state::State;
use crate::model::task_set::TaskSet;
use crate::model::time::{BootTime, Now, Seconds};
use crate::sched::{Place, Plan, Refill, Right};
use crate::wire::node::{Act, JobBody, Launch, Order, TaskRun, ToNode};

/// How long one step of the measurement of a slot's flow is.
const FLOW_WINDOW_MICROS: u64 = 100_000;
/// The most tasks that a node holds ahead for one job, whatever its flow.
pub const AHEAD_MAX: u32 = 2_048;

/// How many tasks of a job ended on a node lately.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flow {
    since: BootTime,
    ended_now: u32,
    ended_before: u32,
}

impl Flow {
    fn count(&mut self, now: BootTime, ended: u32) {
        let passed = now.0.saturating_sub(self.since.0);
        if passed >= 2 * FLOW_WINDOW_MICROS {
            *self = Flow { since: now, ended_now: 0, ended_before: 0 };
        } else if passed >= FLOW_WINDOW_MICROS {
            *self = Flow { since: now, ended_now: 0, ended_before: self.ended_now };
        }
        self.ended_now = self.ended_now.saturating_add(ended);
    }

    /// How many to hold ahead of the running ones: what ended in the last window.
    fn ahead(&self) -> u32 {
        self.ended_before.max(self.ended_now).min(AHEAD_MAX)
    }
}

impl Core {
    /// Carries out a plan, as far as it still holds. Everything in it is told to the scheduler again, whether it
    /// was carried out or not.
    pub(super) fn on_plan(&mut self, now: Now, plan: &Plan, outcome: &mut Outcome) {
        for place in &plan.places {
            self.untold.jobs.insert(place.job);
            self.untold.slots.insert((place.job, place.node));
            self.place(now, place, outcome);
        }
        for right in &plan.rights {
            self.untold.jobs.insert(right.job);
            self.untold.slots.insert((right.job, right.node));
            self.set_right(right, outcome);
        }
    }

    fn place(&mut self, now: Now, place: &Place, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&place.job).cloned() else { return };
        let Some(node) = self.cluster.nodes.get(&place.node).cloned() else { return };
        let ready = self.sights.get(&place.node).is_some_and(|sight| sight.takes_work());
        let stale = job.record.version != place.demand_version
            || node.record.version_number != place.supply_version
            || node.record.admin != NodeAdmin::Up
            || !ready;
        let room = self.cluster.accounting.room(&job.record, place.charge.cpus);
        let count = place.slots.min(self.slots_wanted(&job)).min(room);
        if stale || count == 0 {
            return;
        }
        let free = free_on(&node);
        let fits = free.fits(&place.charge) >= count && !node.exclusive;
        let alone = !place.exclusive || (node.slots == 0 && count == 1);
        let old = job.slots.get(&place.node).copied();
        let same = old.is_none_or(|old| old.charge == place.charge && !old.exclusive);
        if !fits || !alone || !same {
            return;
        }
        let slots = Slots {
            count: old.map_or(0, |old| old.count) + count,
            charge: place.charge,
            exclusive: place.exclusive,
            refills: job.is_array(),
            not_after: place.not_after,
        };
        self.commit(Change::Slots { job: job.id(), node: place.node, slots: Some(slots) }, outcome);
        self.hand_out(now, job.id(), place.node, count, outcome);
    }

    fn set_right(&mut self, right: &Right, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&right.job) else { return };
        let Some(old) = job.slots.get(&right.node).copied() else { return };
        let (refills, not_after) = match right.refill {
            Refill::Never => (false, None),
            Refill::Until(at) => (true, Some(at)),
            Refill::Always => (true, None),
        };
        let slots = Slots { refills, not_after, ..old };
        if slots != old {
            self.commit(Change::Slots { job: right.job, node: right.node, slots: Some(slots) }, outcome);
        }
    }

    /// Gives a node up to `count` of a job's waiting tasks, within its slots there.
    pub(super) fn hand_out(
        &mut self,
        now: Now,
        id: JobId,
        node: NodeId,
        count: u32,
        outcome: &mut Outcome,
    ) -> u32 {
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return 0 };
        let Some(slots) = job.slots.get(&node).copied() else { return 0 };
        let Some(instance) = self.sessions.get(&node).map(|session| session.instance) else { return 0 };
        let set = job.tasks.take(State::Pending, job.cursor, count);
        if set.is_empty() {
            return 0;
        }
        let mut free_slots = slots.count.saturating_sub(job.live_on(node));
        let mut runs: Vec<TaskRun> = Vec::new();
        let mut groups: Vec<(Attempt, Phase, TaskSet)> = Vec::new();
        for ordinal in set.iter() {
            let attempt = job.next_attempt(ordinal);
            let phase = if free_slots > 0 { Phase::Starting } else { Phase::Handed };
            free_slots = free_slots.saturating_sub(1);
            add_to_runs(&mut runs, ordinal, attempt);
            match groups.last_mut() {
                Some((same, at, set)) if *same == attempt && *at == phase => set.push(ordinal),
                _ => groups.push((attempt, phase, TaskSet::one(ordinal))),
            }
        }
        for (attempt, phase, set) in groups {
            let live =
                Live { node, instance, attempt, phase, given: now.wall, start: None, wanted: Wanted::Run };
            self.commit(Change::Live { job: id, set, live }, outcome);
        }
        if let Some(last) = set.runs().last()
            && let Some(job) = self.cluster.jobs.get_mut(&id)
        {
            std::sync::Arc::make_mut(job).cursor = last.1 + 1;
        }
        self.send_launch(&job, node, runs, slots, outcome);
        set.count() as u32
    }

    /// Sends tasks to a node that are, durably, its own already.
    pub(super) fn send_launch(
        &mut self,
        job: &Job,
        node: NodeId,
        attempts: Vec<TaskRun>,
        slots: Slots,
        outcome: &mut Outcome,
    ) {
        let lease = self.cluster.lease;
        let Some(session) = self.sessions.get_mut(&node) else { return };
        let first = session.first_of(job.id());
        if first {
            self.bodies_at.entry(job.id()).or_default().insert(node);
        }
        let body = first.then(|| Box::new(self.settings.body_of(&job.record, &slots, lease)));
        // The node looks at its own clock.
        let sight = self.sights.get(&node);
        let of_run = |run: &TaskRun| job.exceptions.range(run.first..=run.last);
        let unstarted = attempts.iter().flat_map(of_run).filter(|(_, exception)| exception.unstarted > 0);
        let unstarted = unstarted.map(|(ordinal, exception)| (*ordinal, exception.unstarted)).collect();
        let launch = Launch {
            body,
            contents: Vec::new(),
            attempts,
            unstarted,
            slots: slots.count,
            not_after: slots.not_after.map(|at| sight.map_or(at, |sight| sight.by_its_clock(at))),
        };
        self.send_order(node, job.id(), Act::Launch(launch), outcome);
    }

    /// Sends an order on a node's session, if there is one.
    pub(super) fn send_order(&mut self, node: NodeId, job: JobId, act: Act, outcome: &mut Outcome) {
        let Some(session) = self.sessions.get(&node) else { return };
        let order = Order {
            incarnation: self.cluster.incarnation,
            epoch: self.cluster.epoch,
            position: self.position,
            session: session.id,
            instance: session.instance,
            job,
            act,
        };
        let message = Box::new(ToNode::Order(order));
        outcome.effects.push(Effect::Send { node, session: session.id, message });
    }

    /// After tasks of a job have ended on a node: its free slots take the next tasks, or are given up.
    pub(super) fn refill(&mut self, now: Now, id: JobId, node: NodeId, ended: u32, outcome: &mut Outcome) {
        let flow = self.flows.entry((id, node)).or_default();
        flow.count(now.boot, ended);
        let ahead = flow.ahead();
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return };
        // What waits on a node that reboots is lost with it, so a job that must not run twice gives none ahead.
        let ahead = if job.record.spec.restart.lost == LostPolicy::Never { 0 } else { ahead };
        let Some(slots) = job.slots.get(&node).copied() else { return };
        let here = job.live_on(node);
        let in_time = slots.not_after.is_none_or(|at| now.wall < at);
        let ready = self.sights.get(&node).is_some_and(|sight| sight.takes_work());
        let ready = ready && !self.cluster.has_abandoned(node);
        let accepts = self.cluster.nodes.get(&node).is_some_and(|n| n.record.admin == NodeAdmin::Up);
        let may = slots.refills && in_time && ready && accepts && job.record.blocked_by().next().is_none();
        let may = may && is_current(&job.record, &slots) && !self.cluster.accounting.is_over(&job.record);
        let over = job
            .record
            .spec
            .array
            .as_ref()
            .and_then(|array| array.limit)
            .is_some_and(|limit| job.slots.values().map(|slots| slots.count).sum::<u32>() > limit);
        let mut have = here;
        if may && !over && here < slots.count + ahead {
            have += self.hand_out(now, id, node, slots.count + ahead - here, outcome);
        }
        if have < slots.count {
            let left = (have > 0).then_some(Slots { count: have, ..slots });
            self.commit(Change::Slots { job: id, node, slots: left }, outcome);
            if left.is_none() {
                self.flows.remove(&(id, node));
            }
        }
    }
}

/// Whether slots are what the job asks for now: after a change the old ones take nothing more.
pub(super) fn is_current(record: &JobRecord, slots: &Slots) -> bool {
    let memory = match record.memory {
        Memory::Fixed(bytes) => slots.charge.memory_bytes == bytes,
        Memory::Share | Memory::Whole => true,
    };
    slots.exclusive || (memory && slots.charge.cpus == record.cpus)
}

/// Adds an ordinal to the last run if it continues it.
pub(super) fn add_to_runs(runs: &mut Vec<TaskRun>, ordinal: Ordinal, attempt: Attempt) {
    match runs.last_mut() {
        Some(run) if run.attempt == attempt && run.last.0 + 1 == ordinal.0 => run.last = ordinal,
        _ => runs.push(TaskRun { first: ordinal, last: ordinal, attempt }),
    }
}

impl super::Settings {
    fn body_of(&self, record: &JobRecord, slots: &Slots, lease: Seconds) -> JobBody {
        let spec = &record.spec;
        let (per_node, per_cpu) = match spec.request.memory {
            MemoryRequest::PerNode(bytes) => (Some(bytes), None),
            MemoryRequest::PerCpu(bytes) => (None, Some(bytes)),
            MemoryRequest::WholeNode | MemoryRequest::Range(..) => (Some(slots.charge.memory_bytes), None),
            MemoryRequest::Default => (None, None),
        };
        let memory_bytes = match record.memory {
            Memory::Fixed(bytes) if slots.exclusive => bytes,
            _ => slots.charge.memory_bytes,
        };
        JobBody {
            name: spec.name.clone(),
            user: record.user.to_string(),
            uid: record.uid,
            partition: record.partitions.first().cloned().unwrap_or_default(),
            account: spec.account.clone(),
            qos: spec.qos.clone(),
            script: spec.script,
            environment: spec.environment,
            arguments: spec.arguments.clone(),
            work_dir: spec.work_dir.clone(),
            submit_dir: spec.submit_dir.clone(),
            submit_host: spec.submit_host.clone(),
            umask: spec.umask,
            files: spec.files.clone(),
            resources: Resources { memory_bytes, ..slots.charge },
            tasks: spec.request.tasks,
            tasks_per_node: spec.request.tasks_per_node,
            cpus_per_task: spec.request.cpus_per_task,
            memory_per_node_bytes: per_node,
            memory_per_cpu_bytes: per_cpu,
            limit: record.limit,
            grace: self.kill_grace,
            warning: spec.signal,
            lost: match spec.restart.lost {
                LostPolicy::Fenced(own) => LostPolicy::Fenced(Some(own.unwrap_or(lease))),
                other => other,
            },
            indexes: spec.array.as_ref().map(|array| array.indexes.clone()),
            lines: spec.array.as_ref().and_then(|array| array.lines),
            submit_time: record.submit_time,
        }
    }
}
