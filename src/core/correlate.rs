//! `aftercorr`: a task of an array waits for the task of the same index in another. What waits so is held back task
//! by task; it shows as pending, and each end of a counterpart decides about one task.

use std::sync::Arc;

use super::Core;
use super::command::{Found, Outcome};
use super::job::Job;
use crate::model::change::Change;
use crate::model::ids::{JobId, Ordinal};
use crate::model::record::{Hold, Wait};
use crate::model::spec::{Dependency, DependencyKind, JobSpec, OnDependencyFailure};
use crate::model::state::{Cause, CauseKind, State};
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{Refusal, RefusalCode};

/// What a look at the counterparts of one task says.
enum Verdict {
    Ready,
    Open,
    Never(String),
}

impl Core {
    /// The condition as it is kept: between two arrays task by task, otherwise as `afterok`.
    ///
    /// # Errors
    /// Tasks that have no counterpart; `?` beside it.
    pub(super) fn correlated_condition(
        spec: &JobSpec,
        parent: (JobId, &JobSpec),
        condition: &Dependency,
    ) -> Result<Dependency, Refusal> {
        let invalid = |message: String, hint: &str| Err(Refusal::new(RefusalCode::Invalid, message, hint));
        let (Some(own), Some(theirs)) = (&spec.array, &parent.1.array) else {
            return Ok(Dependency { kind: DependencyKind::AfterOk, ..condition.clone() });
        };
        if spec.dependencies.any {
            return invalid(
                "aftercorr does not go with `?`".to_owned(),
                "write `,`: all conditions must hold",
            );
        }
        let common = theirs.indexes.ordinals(&own.indexes).count();
        if common != u64::from(own.indexes.count()) {
            let missing = u64::from(own.indexes.count()) - common;
            let message =
                format!("aftercorr: {missing} of its tasks have no counterpart in array {}", parent.0);
            return invalid(message, "give both arrays the same indexes with --array");
        }
        Ok(condition.clone())
    }

    /// Tasks of an array ended: their counterparts in a job that waits for them are looked at.
    pub(super) fn wake_counterparts(
        &mut self,
        now: Now,
        child: JobId,
        parent: JobId,
        ended: Option<&TaskSet>,
        outcome: &mut Outcome,
    ) {
        let Some(job) = self.cluster.jobs.get(&child).cloned() else { return };
        if !job.record.correlated().any(|wait| wait.parent == parent) {
            return;
        }
        let Some(from) = self.cluster.jobs.get(&parent).cloned() else { return };
        let (Some(own), Some(ended)) = (&job.record.spec.array, ended) else { return };
        let counterpart = |ordinal: Ordinal| own.indexes.ordinal(from.index(ordinal)?);
        let runs = ended.iter().filter_map(counterpart).map(|ordinal| (ordinal.0, ordinal.0)).collect();
        self.correlate(now, child, &TaskSet::from_runs(runs), &Found::default(), outcome);
    }

    /// Decides about waiting tasks of a job by what has become of their counterparts.
    pub(super) fn correlate(
        &mut self,
        now: Now,
        id: JobId,
        candidates: &TaskSet,
        found: &Found,
        outcome: &mut Outcome,
    ) {
        let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.record.waits_by_task()).cloned() else {
            return;
        };
        let waits: Vec<Wait> = job.record.correlated().cloned().collect();
        let untouched =
            |wait: &Wait| self.parent(wait.parent, found).is_some_and(|job| job.tasks.ended() == 0);
        let waiting =
            job.tasks.select(Some(candidates), |state| matches!(state, State::Pending | State::Held));
        let (mut ready, mut open, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let mut why = String::new();
        if waits.iter().all(untouched) {
            open.extend(waiting.runs());
        } else {
            for ordinal in waiting.iter() {
                let run = (ordinal.0, ordinal.0);
                match self.counterparts(&job, &waits, ordinal, found) {
                    Verdict::Ready => ready.push(run),
                    Verdict::Open => open.push(run),
                    Verdict::Never(text) => {
                        why = text;
                        failed.push(run);
                    }
                }
            }
        }
        match job.record.spec.dependencies.on_failure {
            OnDependencyFailure::Run => ready.append(&mut failed),
            OnDependencyFailure::Hold => open.append(&mut failed),
            OnDependencyFailure::Cancel => {}
        }
        self.sort_tasks(&job, ready, open, outcome);
        self.settle(now, &job, found, outcome);
        let cause = Cause::said(CauseKind::Dependency, why);
        self.end_unstarted(now, id, TaskSet::from_runs(failed), State::DependencyFailed, cause, outcome);
    }

    fn sort_tasks(
        &mut self,
        job: &Job,
        ready: Vec<(u32, u32)>,
        open: Vec<(u32, u32)>,
        outcome: &mut Outcome,
    ) {
        let free = job.record.hold == Hold::No;
        for (runs, from, held) in [(ready, State::Held, false), (open, State::Pending, true)] {
            let set = job.tasks.select(Some(&TaskSet::from_runs(runs)), |state| state == from);
            if !set.is_empty() && (held || free) {
                self.commit(Change::Waiting { job: job.id(), set, held }, outcome);
            }
        }
    }

    /// Conditions whose parents have ended altogether have nothing more to say.
    fn settle(&mut self, now: Now, job: &Job, found: &Found, outcome: &mut Outcome) {
        let over = |wait: &Wait| {
            wait.condition.kind == DependencyKind::AfterCorrelated
                && self.parent(wait.parent, found).is_none_or(|parent| parent.ended.is_some())
        };
        if self.cluster.jobs.get(&job.id()).is_none_or(|job| job.ended.is_some()) {
            // A record of it would bring it back, were the log read again without the tables that let go of it.
            return;
        }
        let mut record = (*job.record).clone();
        for wait in record.waits_for.iter_mut().filter(|wait| !wait.is_settled() && over(wait)) {
            wait.holds_at = Some(now.wall);
        }
        if record != *job.record {
            record.version += 1;
            self.commit(Change::Job(Arc::new(record)), outcome);
        }
    }

    fn counterparts(&self, job: &Job, waits: &[Wait], ordinal: Ordinal, found: &Found) -> Verdict {
        let mut verdict = Verdict::Ready;
        for wait in waits {
            let parent = self.parent(wait.parent, found);
            let index = job.index(ordinal);
            let state = parent.and_then(|parent| {
                parent.tasks.get(parent.record.spec.array.as_ref()?.indexes.ordinal(index?)?)
            });
            let name = || format!("{}_{}", wait.parent, index.map_or(0, |index| index.0));
            match state {
                Some(State::Completed) => {}
                Some(state) if state.is_end() => {
                    return Verdict::Never(format!("task {} did not end well, as aftercorr asks", name()));
                }
                Some(_) => verdict = Verdict::Open,
                None => return Verdict::Never(format!("task {} is not known any more", name())),
            }
        }
        verdict
    }
}
