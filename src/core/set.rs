//! `jqueue set` and `requeue --with`: what a job asks for is changed. All that is asked for is checked before
//! anything is changed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Core;
use super::authorise::{Right, allowed};
use super::belong::{belong, may_move, time_within};
use super::command::{Caller, Found, Outcome};
use super::depend::Batch;
use super::job::Job;
use super::limits::size_within;
use super::resolve::resolve;
use super::select::Chosen;
use super::submit::check_size;
use crate::model::change::Change;
use crate::model::identity::Identity;
use crate::model::ids::{JobId, NodeId};
use crate::model::record::{Hold, JobRecord, Wait};
use crate::model::spec::{
    COMMENT_BYTES_MAX, DEPENDENCIES_MAX, Dependencies, DependencyKind, JOB_NAME_BYTES_MAX, JobSpec,
    MemoryRequest,
};
use crate::model::state::State;
use crate::model::time::{Now, TimeLimit};
use crate::wire::client::{Refusal, RefusalCode, Settings};
use crate::wire::node::Act as Order;

/// The most jobs that are looked at to find out whether one would wait for itself.
const CIRCLE_JOBS_MAX: usize = 100_000;

impl Core {
    /// The record of a job as it will be. `again`: for a requeue, so that what runs is ended anyhow.
    ///
    /// # Errors
    /// What can't be, or is not the caller's to change.
    pub(super) fn changed(
        &self,
        caller: &Caller,
        one: &Chosen,
        settings: &Settings,
        again: bool,
        found: &Found,
    ) -> Result<JobRecord, Refusal> {
        let job = &one.job;
        let id = job.id();
        let operator = allowed(caller.identity.role, Right::Operate);
        if settings.nice.is_some_and(|nice| nice < job.record.spec.nice) && !operator {
            let message = "only operators lower a nice value";
            return Err(Refusal::new(RefusalCode::NotAllowed, message, "leave out nice=, or ask one"));
        }
        if !again {
            let part = one.tasks.as_ref().is_some_and(|set| set.count() < u64::from(job.tasks.count()));
            if part {
                let message = format!("what is set is the same for all tasks of array {id}");
                let hint = format!("name the array itself: jqueue set {id} …");
                return Err(Refusal::new(RefusalCode::Invalid, message, hint));
            }
            check_running(job, settings, operator)?;
        }
        let mut record = (*job.record).clone();
        apply(settings, Arc::make_mut(&mut record.spec))?;
        if again {
            record.waits_for.clear();
        }
        if let Some(wanted) = &settings.dependencies {
            record.waits_for = self.new_waits(caller, &record, wanted, found)?;
            let on_failure = record.spec.dependencies.on_failure;
            Arc::make_mut(&mut record.spec).dependencies = Dependencies { on_failure, ..wanted.clone() };
        }
        let accounting = &self.cluster.accounting;
        let moves = settings.account.is_some() || settings.qos.is_some();
        if moves {
            record.spec = belong(accounting, &record.user, &record.spec)?;
            may_move(accounting, job, &record.spec)?;
        }
        check_size(&record.spec)?;
        let mut resolved = resolve(&self.cluster, record.uid, &record.spec)?;
        if moves || settings.time.is_some() {
            resolved.limit = time_within(accounting, &record.spec, resolved.limit)?;
        }
        if moves || settings.cpus.is_some() {
            size_within(accounting, &record.spec, resolved.cpus)?;
        }
        record.partitions = resolved.partitions;
        record.limit = resolved.limit;
        record.cpus = resolved.cpus;
        let grown = matches!(record.spec.request.memory, MemoryRequest::Range(..));
        if !grown || settings.memory_bytes.is_some() {
            record.memory = resolved.memory;
        }
        Ok(record)
    }

    /// Puts a changed record in force. False if it is as it was.
    pub(super) fn put_record(
        &mut self,
        now: Now,
        mut record: JobRecord,
        found: &Found,
        outcome: &mut Outcome,
    ) -> bool {
        let id = record.id;
        let Some(old) = self.cluster.jobs.get(&id).map(|job| job.record.clone()) else { return false };
        record.version = old.version;
        if record == *old {
            return false;
        }
        record.version += 1;
        let limit = (record.limit != old.limit).then_some(record.limit);
        let waits = record.waits_for != old.waits_for;
        self.commit(Change::Job(Arc::new(record)), outcome);
        self.forget_bodies(id);
        self.set_timers(id);
        if let Some(limit) = limit {
            self.tell_limit(id, limit, outcome);
        }
        if waits {
            self.wait_anew(now, id, found, outcome);
        }
        true
    }

    /// The nodes get the job's body anew with its next launch.
    pub(super) fn forget_bodies(&mut self, id: JobId) {
        for node in self.bodies_at.remove(&id).unwrap_or_default() {
            if let Some(session) = self.sessions.get_mut(&node) {
                session.forget_body(id);
            }
        }
    }

    /// Nodes that run something of a job hear how long it may.
    fn tell_limit(&mut self, id: JobId, limit: TimeLimit, outcome: &mut Outcome) {
        let nodes: BTreeSet<NodeId> = self
            .cluster
            .jobs
            .get(&id)
            .map_or_else(BTreeSet::new, |job| job.live.values().map(|live| live.node).collect());
        for node in nodes {
            self.send_order(node, id, Order::Limit { limit }, outcome);
        }
    }

    fn wait_anew(&mut self, now: Now, id: JobId, found: &Found, outcome: &mut Outcome) {
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return };
        let held = job.tasks.select(None, |state| state == State::Held);
        if job.record.hold == Hold::No && !held.is_empty() {
            self.commit(Change::Waiting { job: id, set: held, held: false }, outcome);
        }
        self.evaluate_dependencies(now, id, found, outcome);
        self.correlate(now, id, &crate::model::task_set::TaskSet::first(job.tasks.count()), found, outcome);
    }

    fn new_waits(
        &self,
        caller: &Caller,
        record: &JobRecord,
        wanted: &Dependencies,
        found: &Found,
    ) -> Result<Vec<Wait>, Refusal> {
        if wanted.conditions.len() > DEPENDENCIES_MAX {
            let message = format!("more than {DEPENDENCIES_MAX} dependencies");
            return Err(Refusal::new(RefusalCode::Invalid, message, ""));
        }
        let spec = JobSpec { dependencies: wanted.clone(), ..(*record.spec).clone() };
        // Names mean the owner's jobs, whoever sets this; the reach stays the caller's.
        let identity = Identity { uid: Some(record.uid), ..caller.identity.clone() };
        let owner = Caller { identity, from: caller.from.clone() };
        let waits = self.resolve_dependencies(&owner, &spec, record.id, &Batch::default(), found)?;
        self.check_waits(record.uid, waits.len().saturating_sub(record.waits_for.len()))?;
        if self.is_circle(record, &waits) {
            let message = format!("job {} would wait for itself", record.id);
            return Err(Refusal::new(
                RefusalCode::Invalid,
                message,
                "`jqueue show` tells what waits for what",
            ));
        }
        Ok(waits)
    }

    /// Whether following who waits for whom leads back to the job. Many jobs that are to wait for the same, in one request,
    /// are looked at once: none of them is among those that are found, so that what they wait for changes nothing there.
    fn is_circle(&self, record: &JobRecord, waits: &[Wait]) -> bool {
        let alone = waits.iter().any(|wait| wait.condition.kind == DependencyKind::Singleton);
        let parents: Vec<JobId> = waits.iter().map(|wait| wait.parent).collect();
        let mut known = self.reach.borrow_mut();
        if alone || known.as_ref().is_none_or(|(from, _)| *from != parents) {
            let found = self.reach_of(record, waits);
            *known = Some((parents, found));
        }
        known.as_ref().is_some_and(|(_, found)| found.contains(&record.id) || found.len() > CIRCLE_JOBS_MAX)
    }

    /// The jobs that have to end before somebody with these waits may start.
    fn reach_of(&self, record: &JobRecord, waits: &[Wait]) -> BTreeSet<JobId> {
        let mut seen: BTreeSet<JobId> = BTreeSet::new();
        // A name and a number: of the jobs before it, all of that name.
        let mut named: BTreeSet<(&str, JobId)> = BTreeSet::new();
        let mut next: Vec<(&JobRecord, &Wait, JobId)> =
            waits.iter().map(|wait| (record, wait, wait.parent)).collect();
        while let Some((child, wait, at)) = next.pop() {
            if wait.condition.kind == DependencyKind::Singleton {
                let name = child.spec.name.as_str();
                let before = self.unfinished_before(child.uid, name, at);
                if let Some(before) = before.filter(|before| named.insert((name, *before))) {
                    next.push((child, wait, before));
                }
            }
            if seen.len() > CIRCLE_JOBS_MAX || !seen.insert(at) {
                continue;
            }
            if let Some(job) = self.cluster.jobs.get(&at) {
                next.extend(job.record.open_waits().map(|wait| (&*job.record, wait, wait.parent)));
            }
        }
        seen
    }
}

/// What may be changed of a job that runs: its limit downwards, by operators anywhere; what it asks for only for tasks
/// of it that still wait.
fn check_running(job: &Job, settings: &Settings, operator: bool) -> Result<(), Refusal> {
    if job.live.is_empty() {
        return Ok(());
    }
    let id = job.id();
    let longer = |time: TimeLimit| match (time.0, job.record.limit.0) {
        (Some(new), Some(old)) => new > old,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if settings.time.is_some_and(longer) && !operator {
        let message = format!("job {id} runs, and only operators raise the limit of what runs");
        return Err(Refusal::new(RefusalCode::NotAllowed, message, "ask one of them"));
    }
    let waits = job.tasks.counted(State::Pending) + job.tasks.counted(State::Held) > 0;
    let placed = settings.memory_bytes.is_some()
        || settings.cpus.is_some()
        || settings.nodes.is_some()
        || settings.partitions.is_some()
        || settings.nodelist.is_some()
        || settings.exclude.is_some()
        || settings.constraint.is_some()
        || settings.begin.is_some()
        || settings.dependencies.is_some();
    if placed && !waits {
        let message = format!("job {id} runs: what it was given and where stays until it ends");
        let hint = format!("`jqueue requeue {id} --with …` ends it and runs it again so");
        return Err(Refusal::new(RefusalCode::Conflict, message, hint));
    }
    Ok(())
}

fn apply(settings: &Settings, spec: &mut JobSpec) -> Result<(), Refusal> {
    let invalid = |what: String| Err(Refusal::new(RefusalCode::Invalid, what, ""));
    let put = |target: &mut String, value: &Option<String>| {
        if let Some(value) = value {
            target.clone_from(value);
        }
    };
    put(&mut spec.account, &settings.account);
    put(&mut spec.qos, &settings.qos);
    put(&mut spec.name, &settings.name);
    put(&mut spec.comment, &settings.comment);
    if spec.name.is_empty() || spec.name.len() > JOB_NAME_BYTES_MAX || spec.name.contains('\0') {
        return invalid(format!("a job name has 1 to {JOB_NAME_BYTES_MAX} bytes"));
    }
    if spec.comment.len() > COMMENT_BYTES_MAX {
        return invalid(format!("a comment has at most {COMMENT_BYTES_MAX} bytes"));
    }
    spec.times.limit = settings.time.or(spec.times.limit);
    match (settings.memory_bytes, settings.memory_most_bytes) {
        (Some(least), Some(most)) if least == 0 || most < least => {
            return invalid("the memory range goes down".to_owned());
        }
        (Some(least), Some(most)) => spec.request.memory = MemoryRequest::Range(least, most),
        (Some(0), None) => spec.request.memory = MemoryRequest::WholeNode,
        (Some(bytes), None) => spec.request.memory = MemoryRequest::PerNode(bytes),
        (None, _) => {}
    }
    if let Some(cpus) = settings.cpus {
        spec.request.tasks = None;
        spec.request.tasks_per_node = None;
        spec.request.cpus_per_task = Some(cpus);
    }
    if let Some((least, most)) = settings.nodes {
        if least > 1 {
            let message = "not supported yet: nodes above 1";
            return Err(Refusal::new(RefusalCode::NotSupported, message, ""));
        }
        spec.request.nodes = Some((least, most));
    }
    if let Some(partitions) = &settings.partitions {
        spec.place.partitions.clone_from(partitions);
    }
    if let Some(nodes) = &settings.nodelist {
        spec.place.nodes.clone_from(nodes);
    }
    if let Some(nodes) = &settings.exclude {
        spec.place.exclude.clone_from(nodes);
    }
    if let Some(constraint) = &settings.constraint {
        if constraint.as_ref().is_some_and(|constraint| !constraint.is_valid()) {
            return invalid("the constraint makes no sense".to_owned());
        }
        spec.place.constraint.clone_from(constraint);
    }
    spec.nice = settings.nice.unwrap_or(spec.nice);
    spec.priority = settings.priority.or(spec.priority);
    spec.times.begin = settings.begin.or(spec.times.begin);
    spec.times.deadline = settings.deadline.or(spec.times.deadline);
    if let (Some(array), Some(limit)) = (&mut spec.array, settings.array_limit) {
        array.limit = (limit > 0).then_some(limit);
    }
    if let Some((retries, on)) = settings.retry {
        spec.restart.retries = retries;
        spec.restart.on = on;
    }
    Ok(())
}
