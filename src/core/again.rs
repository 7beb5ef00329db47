//! `jqueue requeue`: what runs is ended and runs again, what has ended runs again, and with it, if that is wanted, what
//! ended DependencyFailed because of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Core;
use super::act::live_in;
use super::authorise::may_change;
use super::command::{Caller, Found, Outcome};
use super::job::Job;
use super::report::requeue_reason;
use super::select::Chosen;
use crate::model::change::Change;
use crate::model::ids::{Attempt, JobId, Ordinal, TaskRef};
use crate::model::record::{Exception, JobRecord, Wanted};
use crate::model::spec::DependencyKind;
use crate::model::state::State;
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{ActLine, Refusal, RefusalCode};

/// The most ended tasks that one request runs again: the number of the next attempt is kept for each of them.
pub const REQUEUE_TASKS_MAX: u64 = if cfg!(test) { 50 } else { 100_000 };

impl Core {
    /// How many of the chosen tasks have ended.
    pub(super) fn ended_in(one: &Chosen) -> u64 {
        one.job.tasks.select(Some(&one.set()), State::is_end).count()
    }

    /// Whether so many ended tasks may run again at once.
    ///
    /// # Errors
    /// More than [`REQUEUE_TASKS_MAX`].
    pub(super) fn check_requeue(count: u64) -> Result<(), Refusal> {
        if count <= REQUEUE_TASKS_MAX {
            return Ok(());
        }
        let message = format!("more than {REQUEUE_TASKS_MAX} ended tasks would run again at once");
        Err(Refusal::new(
            RefusalCode::Limit,
            message,
            "name parts of the array: `jqueue requeue 123_[0-99999]`",
        ))
    }

    /// Runs the chosen tasks again; `with` is the job's record if it shall ask for something else from now on.
    pub(super) fn requeue(
        &mut self,
        now: Now,
        one: &Chosen,
        with: Option<JobRecord>,
        found: &Found,
        outcome: &mut Outcome,
    ) -> u64 {
        let id = one.job.id();
        let set = one.set();
        let ended = one.job.tasks.select(Some(&set), State::is_end);
        let live: Vec<Ordinal> = live_in(&one.job, &set).map(|(ordinal, _)| ordinal).collect();
        if one.job.ended.is_some() && !ended.is_empty() {
            let mut record = (*one.job.record).clone();
            record.waits_for.clear();
            self.bring_back(&one.job, record, outcome);
        }
        if let Some(record) = with {
            self.put_record(now, record, found, outcome);
        }
        if !ended.is_empty() {
            self.wait_again(&one.job, &ended, outcome);
            self.evaluate_dependencies(now, id, found, outcome);
            self.correlate(now, id, &ended, found, outcome);
        }
        let which = |ordinal| set.contains(ordinal);
        self.kill_live(&one.job, &which, Wanted::Requeue, requeue_reason(), outcome);
        ended.count() + live.len() as u64
    }

    /// Ended tasks wait once more; no attempt number is used twice.
    fn wait_again(&mut self, job: &Job, ended: &TaskSet, outcome: &mut Outcome) {
        let id = job.id();
        for ordinal in ended.iter() {
            let old = job.exceptions.get(&ordinal).copied().unwrap_or_default();
            let ran = !matches!(job.tasks.get(ordinal), Some(State::DependencyFailed | State::Deadline));
            let attempts = if ran { old.attempts.max(Attempt(1)) } else { old.attempts };
            // Somebody asks for it anew: the retries begin anew, too.
            let exception = Exception { attempts, retries: 0, ..old };
            if exception != old {
                self.commit(Change::Exception { task: TaskRef { job: id, ordinal }, exception }, outcome);
            }
        }
        let held = self.is_held(id);
        self.commit(Change::Waiting { job: id, set: ended.clone(), held }, outcome);
    }

    /// An ended job is among the living again, as it was.
    fn bring_back(&mut self, job: &Job, mut record: JobRecord, outcome: &mut Outcome) {
        record.version += 1;
        let states = State::ALL.iter().filter_map(|state| {
            let set = job.tasks.select(None, |here| here == *state);
            (!set.is_empty()).then_some((*state, set))
        });
        let change = Change::JobAgain {
            record: Arc::new(record),
            states: states.collect(),
            exceptions: job.exceptions.iter().map(|(ordinal, exception)| (*ordinal, *exception)).collect(),
        };
        self.commit(change, outcome);
    }

    /// What ended DependencyFailed because of a job that runs again waits for it anew, and so on down the line. A
    /// line for each.
    pub(super) fn requeue_dependents(
        &mut self,
        now: Now,
        caller: &Caller,
        id: JobId,
        found: &Found,
        outcome: &mut Outcome,
    ) -> Vec<ActLine> {
        let mut lines = Vec::new();
        let mut seen: BTreeSet<JobId> = BTreeSet::from([id]);
        let mut parents = VecDeque::from([id]);
        while let Some(parent) = parents.pop_front() {
            for child in self.children_of(parent, found) {
                let failed = child.tasks.select(None, |state| state == State::DependencyFailed);
                let mine = may_change(&caller.identity, &child.record);
                if failed.is_empty() || !mine || !seen.insert(child.id()) {
                    continue;
                }
                self.wait_for_parent(now, &child, parent, &failed, found, outcome);
                parents.push_back(child.id());
                lines.push(ActLine {
                    id: child.id().to_string(),
                    old: State::DependencyFailed.word().to_owned(),
                    new: State::Pending.word().to_owned(),
                    note: format!("it depends on {parent}"),
                    tasks: failed.count(),
                });
            }
        }
        lines
    }

    fn children_of(&self, parent: JobId, found: &Found) -> Vec<Arc<Job>> {
        let range = (parent, JobId(0))..=(parent, JobId(u64::MAX));
        let here = self.cluster.dependents.range(range).filter_map(|(_, child)| self.cluster.jobs.get(child));
        let mut children: Vec<Arc<Job>> = here.cloned().collect();
        let waits = |job: &&Arc<Job>| job.record.waits_for.iter().any(|wait| wait.parent == parent);
        let past = found.jobs.values().filter(|job| !self.cluster.jobs.contains_key(&job.id()));
        children.extend(past.filter(waits).cloned());
        children
    }

    fn wait_for_parent(
        &mut self,
        now: Now,
        child: &Job,
        parent: JobId,
        failed: &TaskSet,
        found: &Found,
        outcome: &mut Outcome,
    ) {
        let mut record = (*child.record).clone();
        for wait in record.waits_for.iter_mut().filter(|wait| wait.parent == parent) {
            wait.holds_at = None;
        }
        // A condition that a parent met before it failed elsewhere was struck out then, and is not asked again.
        if child.ended.is_some() {
            self.bring_back(child, record, outcome);
        } else {
            record.version += 1;
            self.commit(Change::Job(Arc::new(record)), outcome);
        }
        self.wait_again(child, failed, outcome);
        self.evaluate_dependencies(now, child.id(), found, outcome);
        let by_task = child
            .record
            .waits_for
            .iter()
            .any(|wait| wait.parent == parent && wait.condition.kind == DependencyKind::AfterCorrelated);
        if by_task {
            self.correlate(now, child.id(), failed, found, outcome);
        }
    }
}
