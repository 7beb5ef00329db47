//! What follows an end: the next attempt, if the restart policy names the cause; else the end of the task, perhaps
//! of the job, and a look at those who wait for it.

use std::sync::Arc;

use super::Core;
use super::breaker::{TASK_LAUNCHES_MAX, is_failed_launch};
use super::command::{Found, Outcome};
use super::job::Job;
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{JobId, TaskRef};
use crate::model::record::{Live, Memory, Wanted};
use crate::model::spec::{LostPolicy, MemoryRequest};
use crate::model::state::{Cause, CauseKind, End, State};
use crate::model::task_set::TaskSet;
use crate::model::time::Now;

/// Whether and how a task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// No.
    No,
    /// Yes, and it costs nothing.
    Free,
    /// Yes, and it costs one of the retries.
    Counted,
}

impl Core {
    /// Commits the end of a live attempt and what follows from it.
    pub(super) fn end_attempt(
        &mut self,
        now: Now,
        task: TaskRef,
        live: Live,
        end: End,
        outcome: &mut Outcome,
    ) {
        let Some(job) = self.cluster.jobs.get(&task.job).cloned() else { return };
        let old = job.exceptions.get(&task.ordinal).copied().unwrap_or_default();
        let again = again(&job, &live, &end, old.retries);
        let grown = grown(&job, &live, &end).filter(|_| again != Again::No);
        let launches = if is_failed_launch(&end) { old.launches.saturating_add(1) } else { 0 };
        let unstarted = u32::from(is_failed_launch(&end));
        self.charge(now, &job, &live, &end, outcome);
        self.commit(Change::Ended { task, end: Box::new(end) }, outcome);
        let set = TaskSet::one(task.ordinal);
        if again == Again::No {
            // An attempt number is never used twice, whatever starts the task again later.
            if live.attempt.0 > 1 && old.attempts < live.attempt {
                let exception = crate::model::record::Exception { attempts: live.attempt, ..old };
                self.commit(Change::Exception { task, exception }, outcome);
            }
            return self.after_ends(now, task.job, &set, outcome);
        }
        let mut exception = old;
        if !bug::is_made(Bug::ReuseAttempt) {
            exception.attempts = old.attempts.max(live.attempt);
        }
        exception.retries += u32::from(again == Again::Counted);
        exception.launches = launches;
        exception.unstarted = exception.unstarted.saturating_add(unstarted);
        self.commit(Change::Exception { task, exception }, outcome);
        if let Some(memory) = grown {
            let mut record = (*job.record).clone();
            record.memory = Memory::Fixed(memory);
            record.version += 1;
            self.commit(Change::Job(Arc::new(record)), outcome);
            self.forget_bodies(task.job);
        }
        let held = self.is_held(task.job) || launches >= TASK_LAUNCHES_MAX;
        self.commit(Change::Waiting { job: task.job, set, held }, outcome);
    }

    /// Tasks have ended for good: the job with them, if they were the last; then whoever waits for them is looked at.
    pub(super) fn after_ends(&mut self, now: Now, id: JobId, set: &TaskSet, outcome: &mut Outcome) {
        let all = self.cluster.jobs.get(&id).is_some_and(|job| job.unfinished() == 0 && job.ended.is_none());
        if all {
            self.commit(Change::JobEnded { job: id, at: now.wall }, outcome);
            let slots: Vec<_> =
                self.cluster.jobs.get(&id).map(|job| job.slots.keys().copied().collect()).unwrap_or_default();
            for node in slots {
                self.commit(Change::Slots { job: id, node, slots: None }, outcome);
                self.flows.remove(&(id, node));
            }
            self.forget_bodies(id);
        }
        self.wake_dependents(now, id, Some(set), outcome);
    }

    /// Remembers when a job has to be looked at again.
    pub(super) fn set_timers(&mut self, id: JobId) {
        let Some(job) = self.cluster.jobs.get(&id) else { return };
        let times = &job.record.spec.times;
        let waits = job.record.blocked_by().filter_map(|wait| wait.holds_at);
        let all = times.deadline.into_iter().chain(times.start_by).chain(waits);
        self.timers.extend(all.map(|at| (at, id)));
    }

    pub(super) fn on_timer(&mut self, now: Now, id: JobId, outcome: &mut Outcome) {
        self.evaluate_dependencies(now, id, &Found::default(), outcome);
        let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.ended.is_none()).cloned() else { return };
        let times = &job.record.spec.times;
        // A job that has started once has kept its word, whatever became of that attempt.
        let started = !job.is_array() && job.first_start.is_some();
        let late_start = !started && times.start_by.is_some_and(|at| at <= now.wall);
        let late_end = times.deadline.is_some_and(|at| at <= now.wall);
        if !late_start && !late_end {
            return;
        }
        let text = if late_end { "its deadline has passed" } else { "not started by the time given" };
        let waiting = job.tasks.select(None, |state| matches!(state, State::Pending | State::Held));
        let cause = Cause::said(CauseKind::Deadline, text);
        self.end_unstarted(now, id, waiting, State::Deadline, cause, outcome);
        if late_end {
            self.kill_live(&job, &|_| true, Wanted::Cancel, crate::wire::node::KillReason::Deadline, outcome);
        }
    }
}

/// Whether the task of an attempt that ends so starts again, and if so, whether that costs one of its retries.
pub(super) fn may_start_again(job: &Job, live: &Live, end: &End, retries_spent: u32) -> Option<bool> {
    match again(job, live, end, retries_spent) {
        Again::No => None,
        Again::Free => Some(false),
        Again::Counted => Some(true),
    }
}

fn again(job: &Job, live: &Live, end: &End, retries_spent: u32) -> Again {
    let restart = &job.record.spec.restart;
    match live.wanted {
        Wanted::Cancel => return Again::No,
        Wanted::Requeue => return Again::Free,
        Wanted::Run | Wanted::Back | Wanted::Preempt => {}
    }
    let never = restart.lost == LostPolicy::Never && !bug::is_made(Bug::RestartNever);
    let named = match end.state {
        // Both are free, unless `--retry-on` names them: then `--retry` bounds them.
        State::NodeFail if !restart.on.node => return if never { Again::No } else { Again::Free },
        State::Preempted if !restart.on.preempt => return if never { Again::No } else { Again::Free },
        State::NodeFail | State::Preempted => true,
        State::Failed => {
            restart.on.fail || (end.signal == 0 && restart.on.exit.is_some_and(|code| code == end.exit_code))
        }
        State::Timeout => restart.on.timeout,
        // With a range, once more only if it gets more than it had.
        State::OutOfMemory => restart.on.oom && !is_at_most(job, live),
        _ => false,
    };
    if named && !never && retries_spent < restart.retries { Again::Counted } else { Again::No }
}

/// What a slot had where it ran.
fn memory_had(job: &Job, live: &Live) -> Option<u64> {
    job.slots.get(&live.node).map(|slots| slots.charge.memory_bytes)
}

fn is_at_most(job: &Job, live: &Live) -> bool {
    let MemoryRequest::Range(_, most) = job.record.spec.request.memory else { return false };
    memory_had(job, live).is_none_or(|had| had >= most)
}

/// The memory of later attempts after one ended for lack of it: twice what it had, within the range; `None`: as it is.
fn grown(job: &Job, live: &Live, end: &End) -> Option<u64> {
    let MemoryRequest::Range(_, most) = job.record.spec.request.memory else { return None };
    let Memory::Fixed(now) = job.record.memory else { return None };
    let more = memory_had(job, live)?.saturating_mul(2).min(most);
    (end.state == State::OutOfMemory && more > now).then_some(more)
}
