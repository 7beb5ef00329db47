//! Dependencies: resolved to numbers at submit, looked at again only when a parent starts or ends.
//!
//! `singleton` means all earlier jobs of a name, and still costs one number a job: whoever asks for it waits for the
//! newest of them, and when that one has ended, for the newest of those that are left.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::Core;
use super::authorise::in_reach;
use super::command::{Caller, Found, Outcome};
use super::job::Job;
use super::within::out_of_reach;
use crate::model::change::Change;
use crate::model::identity::Identity;
use crate::model::ids::{JobId, Uid};
use crate::model::record::{Hold, JobRecord, Wait};
use crate::model::spec::{Dependency, DependencyKind, JobSpec, OnDependencyFailure, Parent};
use crate::model::state::{Cause, CauseKind, State};
use crate::model::task_set::TaskSet;
use crate::model::time::{Now, WallTime};
use crate::wire::client::{Refusal, RefusalCode};

/// How many jobs and tasks the jobs of one user may wait for, all together: each takes about half a kilobyte. Small in
/// tests, so that its edge can be seen.
pub const WAITS_PER_USER_MAX: u64 = if cfg!(test) { 700 } else { 500_000 };

/// What a look at a parent says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The condition holds.
    Holds,
    /// It will hold at that time.
    HoldsAt(WallTime),
    /// It may hold later.
    Open,
    /// It may hold later, and that one is waited for by now.
    Moves(JobId),
    /// It can hold no more, and why.
    Never(String),
}

/// The jobs of a submission that come before the one that is looked at.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// In order of their numbers.
    pub(super) records: Vec<Arc<JobRecord>>,
    /// The last of each name.
    named: BTreeMap<Name, JobId>,
}

/// The name in a job's description, without a copy of it.
#[derive(Debug)]
struct Name(Arc<JobSpec>);

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0.name
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Name) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Name) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

impl Core {
    /// Turns conditions into numbers, for a job that is to have the number `id`.
    pub(super) fn resolve_dependencies(
        &self,
        caller: &Caller,
        spec: &JobSpec,
        id: JobId,
        batch: &Batch,
        found: &Found,
    ) -> Result<Vec<Wait>, Refusal> {
        let caller = &caller.identity;
        let Some(uid) = caller.uid else { return Ok(Vec::new()) };
        let mut waits = Vec::new();
        for condition in &spec.dependencies.conditions {
            let wait = |parent, tasks| Wait { condition: condition.clone(), parent, tasks, holds_at: None };
            match &condition.parent {
                Parent::Batch(place) => match batch.records.get(*place as usize) {
                    Some(record) => waits.push(wait(record.id, None)),
                    None => {
                        return Err(Refusal::new(
                            RefusalCode::Invalid,
                            "a job of the submission depends on itself or on a later one",
                            "put it behind its parents",
                        ));
                    }
                },
                Parent::Nobody => {
                    let name = spec.name.as_str();
                    let newest = batch.named.get(name).copied();
                    let newest = newest.or_else(|| self.unfinished_before(uid, name, id));
                    waits.extend(newest.map(|parent| wait(parent, None)));
                }
                Parent::Job(number) => {
                    let wait = self.wait_on_number(*number, found, condition)?;
                    self.check_parent(caller, wait.parent, found)?;
                    waits.push(wait);
                }
                Parent::Tasks(number, indexes) => {
                    let job = self.parent(*number, found).ok_or_else(|| no_parent(&number.to_string()))?;
                    self.check_parent(caller, job.id(), found)?;
                    let set = job.record.spec.array.as_ref().map(|array| array.indexes.ordinals(indexes));
                    let set = set.filter(|set| set.count() == u64::from(indexes.count()));
                    let set = set.ok_or_else(|| no_parent(&format!("{number}_[…]")))?;
                    waits.push(wait(job.id(), Some(set)));
                }
                Parent::Name(name) => {
                    let near = |job: &&Job| in_reach(caller, &job.record);
                    let here = self.named(uid, name, JobId(u64::MAX)).rev().find(near).map(Job::id);
                    let mut past = found.jobs.values().rev().map(|job| &**job).filter(near);
                    let history = past.find(|job| &job.record.spec.name == name).map(|job| job.id());
                    let batch = batch.named.get(name.as_str()).copied();
                    let newest = batch.or(here.max(history));
                    let newest = newest.ok_or_else(|| no_parent(&format!("name:{name}")))?;
                    waits.push(wait(newest, None));
                }
            }
        }
        for wait in waits.iter_mut().filter(|wait| wait.condition.kind == DependencyKind::AfterCorrelated) {
            if wait.tasks.is_some() {
                let message = format!("aftercorr names a whole array, not tasks of {}", wait.parent);
                return Err(Refusal::new(RefusalCode::Invalid, message, "afterok takes tasks"));
            }
            let parent = batch.of_number(wait.parent).map(|record| &record.spec);
            let parent = parent.or_else(|| self.parent(wait.parent, found).map(|job| &job.record.spec));
            let parent = parent.ok_or_else(|| no_parent(&wait.parent.to_string()))?;
            wait.condition = Core::correlated_condition(spec, (wait.parent, parent), &wait.condition)?;
        }
        Ok(waits)
    }

    /// Whether an owner may wait for so many more.
    pub(super) fn check_waits(&self, uid: Uid, more: usize) -> Result<(), Refusal> {
        let mine = self.cluster.waits_of.get(&uid).copied().unwrap_or_default();
        if more == 0 || mine.saturating_add(more as u64) <= WAITS_PER_USER_MAX {
            return Ok(());
        }
        let message = format!(
            "your jobs wait for {mine} jobs, and {more} more would make that more than {WAITS_PER_USER_MAX}, the most for one user"
        );
        let hint = "put a job between that waits for all and is waited for by all, or use arrays";
        Err(Refusal::new(RefusalCode::Limit, message, hint))
    }

    fn wait_on_number(&self, number: JobId, found: &Found, condition: &Dependency) -> Result<Wait, Refusal> {
        let wait = |parent, tasks| Wait { condition: condition.clone(), parent, tasks, holds_at: None };
        if let Some((job, task)) = self.cluster.job_of_number(number) {
            return Ok(wait(job.id(), task.map(TaskSet::one)));
        }
        let owner = found.jobs.range(..=number).next_back().map(|(_, job)| job);
        match owner {
            Some(job) if job.id() == number => Ok(wait(number, None)),
            Some(job) if job.is_array() && number.0 - job.id().0 <= u64::from(job.tasks.count()) => {
                let ordinal = crate::model::ids::Ordinal((number.0 - job.id().0 - 1) as u32);
                Ok(wait(job.id(), Some(TaskSet::one(ordinal))))
            }
            _ => Err(no_parent(&number.to_string())),
        }
    }

    pub(super) fn parent<'a>(&'a self, id: JobId, found: &'a Found) -> Option<&'a Job> {
        self.cluster.jobs.get(&id).map(|job| &**job).or_else(|| found.jobs.get(&id).map(|job| &**job))
    }

    /// The newest unfinished job of that owner and name before `id`.
    pub(super) fn unfinished_before(&self, uid: Uid, name: &str, id: JobId) -> Option<JobId> {
        let earlier = self.named(uid, name, id).rev();
        earlier.filter(|job| job.ended.is_none()).map(Job::id).next()
    }

    /// From inside a job only what it reaches can be waited for by name or number.
    fn check_parent(&self, caller: &Identity, id: JobId, found: &Found) -> Result<(), Refusal> {
        match self.parent(id, found) {
            Some(job) if !in_reach(caller, &job.record) => Err(out_of_reach(caller, id)),
            _ => Ok(()),
        }
    }

    /// The jobs of that owner and name before `id`, oldest first.
    pub(super) fn named(&self, uid: Uid, name: &str, id: JobId) -> impl DoubleEndedIterator<Item = &Job> {
        let name: Arc<str> = name.into();
        let range = (uid, name.clone(), JobId(0))..(uid, name, id);
        self.cluster.by_name.range(range).filter_map(|(_, _, id)| self.cluster.jobs.get(id)).map(|job| &**job)
    }

    /// Looks at all conditions of a job anew and acts on what has become of them.
    pub(super) fn evaluate_dependencies(
        &mut self,
        now: Now,
        id: JobId,
        found: &Found,
        outcome: &mut Outcome,
    ) {
        // An ended one waits for nothing any more; and a record of it, read again after the tables have let go of it,
        // would bring it back.
        let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.ended.is_none()).cloned() else { return };
        if job.record.blocked_by().next().is_none() || !job.record.never.is_empty() {
            return;
        }
        let dependencies = &job.record.spec.dependencies;
        // Tasks that wait for their counterparts are looked at one by one, elsewhere.
        let of_blocking = |wait: &&Wait| wait.condition.kind != DependencyKind::AfterCorrelated;
        let by_task: Vec<Wait> =
            job.record.waits_for.iter().filter(|wait| !of_blocking(wait)).cloned().collect();
        let mut open = Vec::new();
        let mut held = false;
        let mut failed = None;
        for wait in job.record.blocked_by() {
            match self.verdict(now, &job, wait, found) {
                Verdict::Holds => held = true,
                Verdict::HoldsAt(at) => open.push(Wait { holds_at: Some(at), ..wait.clone() }),
                Verdict::Open => open.push(wait.clone()),
                Verdict::Moves(parent) => open.push(Wait { parent, ..wait.clone() }),
                Verdict::Never(why) => failed = Some(why),
            }
        }
        let any = dependencies.any;
        if (any && held) || (open.is_empty() && failed.is_none()) {
            return self.set_waits(&job, by_task, String::new(), None, outcome);
        }
        if let Some(why) = failed.filter(|_| !any || open.is_empty()) {
            return self.on_dependency_failure(now, &job, why, outcome);
        }
        let open = [by_task, open].concat();
        if open != job.record.waits_for {
            let first = open.iter().filter(of_blocking).filter_map(|wait| wait.holds_at).min();
            self.set_waits(&job, open, String::new(), None, outcome);
            if let Some(at) = first {
                self.timers.insert((at, id));
            }
        }
    }

    fn on_dependency_failure(&mut self, now: Now, job: &Job, why: String, outcome: &mut Outcome) {
        match job.record.spec.dependencies.on_failure {
            OnDependencyFailure::Run => {
                let by_task = job.record.correlated().cloned().collect();
                self.set_waits(job, by_task, String::new(), None, outcome);
            }
            OnDependencyFailure::Hold => {
                let by_task = job.record.correlated().cloned().collect();
                self.set_waits(job, by_task, String::new(), Some(Hold::User), outcome);
                let set = job.tasks.select(None, |state| state == State::Pending);
                self.commit(Change::Waiting { job: job.id(), set, held: true }, outcome);
            }
            OnDependencyFailure::Cancel => {
                let set = job.tasks.select(None, |state| matches!(state, State::Pending | State::Held));
                let cause = Cause::said(CauseKind::Dependency, why);
                self.end_unstarted(now, job.id(), set, State::DependencyFailed, cause, outcome);
            }
        }
    }

    fn set_waits(
        &mut self,
        job: &Job,
        waits_for: Vec<Wait>,
        never: String,
        hold: Option<Hold>,
        outcome: &mut Outcome,
    ) {
        let mut record = (*job.record).clone();
        record.waits_for = waits_for;
        record.never = never;
        record.hold = hold.unwrap_or(record.hold);
        record.version += 1;
        self.commit(Change::Job(Arc::new(record)), outcome);
    }

    fn verdict(&self, now: Now, job: &Job, wait: &Wait, found: &Found) -> Verdict {
        if wait.condition.kind == DependencyKind::Singleton {
            let record = &job.record;
            let waits = self.cluster.jobs.get(&wait.parent).is_some_and(|parent| parent.ended.is_none());
            return match self.unfinished_before(record.uid, &record.spec.name, record.id) {
                _ if waits => Verdict::Open,
                Some(parent) => Verdict::Moves(parent),
                None => Verdict::Holds,
            };
        }
        let Some(parent) = self.parent(wait.parent, found) else {
            return Verdict::Never(format!("job {} is not known any more", wait.parent));
        };
        if wait.condition.kind == DependencyKind::After {
            let started = match &wait.tasks {
                Some(set) => set.iter().all(|ordinal| has_started(parent, ordinal)),
                None => parent.first_start.is_some() || parent.ended.is_some(),
            };
            let since = parent.first_start.or(parent.ended).unwrap_or(now.wall);
            let holds_at = since.plus(wait.condition.delay);
            return match started {
                true if holds_at <= now.wall => Verdict::Holds,
                true => Verdict::HoldsAt(holds_at),
                false => Verdict::Open,
            };
        }
        let (all_ended, all_well) = match &wait.tasks {
            Some(set) => {
                let state = |ordinal| parent.tasks.get(ordinal).unwrap_or(State::Completed);
                let ended = set.iter().all(|ordinal| state(ordinal).is_end());
                (ended, set.iter().all(|ordinal| state(ordinal) == State::Completed))
            }
            None => (parent.ended.is_some(), parent.tasks.counted(State::Completed) == parent.tasks.count()),
        };
        if !all_ended {
            return Verdict::Open;
        }
        match wait.condition.kind {
            DependencyKind::AfterOk if !all_well => {
                Verdict::Never(format!("job {} did not end well, as afterok asks", wait.parent))
            }
            DependencyKind::AfterNotOk if all_well => {
                Verdict::Never(format!("job {} ended well, against afternotok", wait.parent))
            }
            _ => Verdict::Holds,
        }
    }

    /// A job started, or tasks of it ended: whoever waits for that is looked at.
    pub(super) fn wake_dependents(
        &mut self,
        now: Now,
        parent: JobId,
        ended: Option<&TaskSet>,
        outcome: &mut Outcome,
    ) {
        let range = (parent, JobId(0))..=(parent, JobId(u64::MAX));
        let children: Vec<JobId> = self.cluster.dependents.range(range).map(|(_, child)| *child).collect();
        if children.is_empty() {
            return;
        }
        let whole = self.cluster.jobs.get(&parent).is_none_or(|job| job.ended.is_some());
        for child in children {
            self.wake_counterparts(now, child, parent, ended, outcome);
            let Some(job) = self.cluster.jobs.get(&child) else { continue };
            let concerned = job.record.blocked_by().filter(|wait| wait.parent == parent).any(|wait| {
                whole
                    || wait.condition.kind == DependencyKind::After
                    || matches!((&wait.tasks, ended), (Some(tasks), Some(ended))
                        if ended.iter().any(|ordinal| tasks.contains(ordinal)))
            });
            if concerned {
                self.evaluate_dependencies(now, child, &Found::default(), outcome);
            }
        }
    }
}

impl Batch {
    pub(super) fn push(&mut self, record: JobRecord) {
        self.named.insert(Name(record.spec.clone()), record.id);
        self.records.push(Arc::new(record));
    }

    fn of_number(&self, id: JobId) -> Option<&JobRecord> {
        let place = self.records.binary_search_by_key(&id, |record| record.id).ok()?;
        self.records.get(place).map(|record| &**record)
    }
}

fn has_started(job: &Job, ordinal: crate::model::ids::Ordinal) -> bool {
    job.tasks.get(ordinal).is_some_and(State::is_end)
        || job.live.get(&ordinal).is_some_and(|live| live.start.is_some())
}

fn no_parent(name: &str) -> Refusal {
    Refusal::new(
        RefusalCode::NoSuchJob,
        format!("the dependency names job {name}, which is not known"),
        "`jqueue -a -t all` shows the jobs that are",
    )
}
