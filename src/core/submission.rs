//! A submission on its way: checked job by job, then made job by job, in one go or in steps between which others get
//! their turn. All of it is accepted, or none.
//!
//! In steps, the numbers are set aside at the beginning, and what stands already is marked as unsettled in the state: the
//! scheduler does not hear of it, and a controller that finds it after a crash takes it back, since nobody was told that
//! it was accepted and the client will ask again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Core;
use super::belong::{Counted, belong};
use super::command::{Caller, Found, Outcome};
use super::depend::Batch;
use super::job::Job;
use super::resolve::Resolved;
use super::submit::{CONTENT_LOG_BYTES_MAX, note_budgets, note_unmanaged_names};
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{ContentHash, JobId, Uid};
use crate::model::record::{Hold, JobRecord, Wait};
use crate::model::spec::JobSpec;
use crate::model::state::{Cause, CauseKind, State};
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{Refusal, RefusalCode, Reply, Submit};

/// How far a submission is.
#[derive(Debug)]
pub struct Submission {
    pub(super) caller: Caller,
    submit: Submit,
    found: Found,
    uid: Uid,
    names: Names,
    sent: BTreeSet<ContentHash>,
    /// Whether others get their turn between its jobs.
    in_steps: bool,
    /// The number of its first job, and of the next that is looked at.
    first: JobId,
    next: JobId,
    batch: Batch,
    counted: Counted,
    waits: usize,
    /// The job before, as it was asked for, as it belongs to an account, and as it was resolved: most are alike.
    asked: Option<(Arc<JobSpec>, Arc<JobSpec>)>,
    before: Option<(Arc<JobSpec>, Resolved)>,
    /// How many of the checked jobs have been made.
    made: usize,
    /// What will be said once all of it is done.
    reply: Option<Reply>,
}

/// What all jobs of a submission have in common.
#[derive(Debug)]
struct Names {
    uid: Uid,
    user: Arc<str>,
    key: Arc<str>,
    ancestors: Vec<JobId>,
}

impl Core {
    /// Begins a submission, without changing anything.
    ///
    /// # Errors
    /// Whoever may not submit, or not so much.
    pub(super) fn begin_submission(
        &mut self,
        caller: Caller,
        submit: Submit,
        found: Found,
        in_steps: bool,
    ) -> Result<Submission, Refusal> {
        let no = |message, hint| Err(Refusal::new(RefusalCode::NotAllowed, message, hint));
        let Some(uid) = caller.identity.uid else {
            return no("this certificate names no user", "");
        };
        if uid.0 == 0 && !self.settings.allow_root {
            let hint = "submit as an ordinary user, or set allow_root = true in jctld.toml";
            return no("jobs of uid 0 are not run here", hint);
        }
        self.check_submission(uid, &submit)?;
        let first = self.next_number();
        if in_steps {
            let numbers: u64 = submit.specs.iter().map(|spec| numbers_of(spec)).sum();
            self.set_aside = Some(JobId(first.0 + numbers));
        }
        let names = Names {
            uid,
            user: caller.identity.name.as_str().into(),
            key: submit.key.as_str().into(),
            ancestors: self.ancestors(&caller),
        };
        let sent = submit.contents.iter().map(|content| content.hash).collect();
        Ok(Submission {
            caller,
            submit,
            found,
            uid,
            names,
            sent,
            in_steps,
            first,
            next: first,
            batch: Batch::default(),
            counted: Counted::default(),
            waits: 0,
            asked: None,
            before: None,
            made: 0,
            reply: None,
        })
    }

    /// The next number that no job has and that is not set aside.
    fn next_number(&self) -> JobId {
        self.set_aside.map_or(self.cluster.next_job, |behind| behind.max(self.cluster.next_job))
    }

    /// Takes a submission on by at most so many jobs. Gives the answer when there is no more to do.
    pub(super) fn submission_step(
        &mut self,
        now: Now,
        submission: &mut Submission,
        most: usize,
        outcome: &mut Outcome,
    ) -> Option<Reply> {
        if submission.reply.is_none() {
            for _ in 0..most {
                let at = submission.batch.records.len();
                let Some(asked) = submission.submit.specs.get(at).cloned() else { break };
                if let Err(refusal) = self.check_next(now, submission, &asked) {
                    self.set_aside = self.set_aside.filter(|_| !submission.in_steps);
                    return Some(Reply::Refused(refusal));
                }
            }
            if submission.batch.records.len() < submission.submit.specs.len() {
                return None;
            }
            let reply = self.checked(submission);
            if submission.submit.test_only {
                self.set_aside = self.set_aside.filter(|_| !submission.in_steps);
                let first = submission.batch.records.first().map(|record| Job::new(record.clone()));
                outcome.demand = first.and_then(|job| self.demand(&job)).map(Box::new);
                return Some(reply);
            }
            submission.reply = Some(reply);
            if submission.in_steps {
                return None;
            }
        }
        self.make_some(now, submission, most, outcome);
        if submission.made < submission.batch.records.len() {
            return None;
        }
        let reply = submission.reply.take()?;
        if submission.in_steps {
            self.commit(Change::Unsettled(None), outcome);
        }
        let Submission { caller, submit, found, .. } = submission;
        self.remember_key(now, caller, &submit.key, found, &reply, outcome);
        Some(reply)
    }

    /// Looks at the next job of a submission, without making it.
    fn check_next(&self, now: Now, submission: &mut Submission, asked: &Arc<JobSpec>) -> Result<(), Refusal> {
        let (accounting, uid) = (&self.cluster.accounting, submission.uid);
        // What was said once for many jobs stays one.
        let known = submission.asked.as_ref().filter(|(before, _)| Arc::ptr_eq(before, asked));
        let spec = match known {
            Some((_, spec)) => spec.clone(),
            None => belong(accounting, &submission.names.user, asked)?,
        };
        let Submission { caller, sent, found, .. } = &*submission;
        let resolved = self.resolve_next(submission.before.as_ref(), &spec, caller, sent, found, uid)?;
        submission.counted.add(accounting, &spec, uid, u64::from(spec.task_count()))?;
        submission.asked = Some((asked.clone(), spec.clone()));
        submission.before = Some((spec.clone(), resolved.clone()));
        let number = submission.next;
        let Submission { caller, batch, found, .. } = &*submission;
        let waits = self.resolve_dependencies(caller, &spec, number, batch, found)?;
        submission.waits += waits.len();
        self.check_waits(uid, submission.waits)?;
        let record = new_record(number, &submission.names, &spec, resolved, waits, now);
        submission.batch.push(record);
        submission.next = JobId(number.0 + numbers_of(&spec));
        Ok(())
    }

    /// What is said of a submission all of whose jobs may be made.
    fn checked(&self, submission: &Submission) -> Reply {
        let records = &submission.batch.records;
        let mut warnings = Vec::new();
        note_unmanaged_names(&self.cluster.accounting, records, &mut warnings);
        note_budgets(&self.cluster.accounting, records, &mut warnings);
        let receipt = records.first().map(|record| self.receipt(record)).unwrap_or_default();
        Reply::Submitted { jobs: records.iter().map(|record| record.id).collect(), receipt, warnings }
    }

    fn make_some(&mut self, now: Now, submission: &mut Submission, most: usize, outcome: &mut Outcome) {
        if submission.made == 0 {
            self.make_first(submission, outcome);
        }
        let records = submission.batch.records.iter().skip(submission.made).take(most);
        outcome.changes.reserve(records.len() + 2);
        for record in records {
            let (id, found) = (record.id, &submission.found);
            self.commit(Change::Job(Arc::clone(record)), outcome);
            self.set_timers(id);
            self.tie(now, id);
            self.evaluate_dependencies(now, id, found, outcome);
            if let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.record.waits_by_task()) {
                let all = TaskSet::first(job.tasks.count());
                self.correlate(now, id, &all, found, outcome);
            }
        }
        submission.made = submission.made.saturating_add(most).min(submission.batch.records.len());
    }

    /// What comes before the first job: its numbers, and what it runs.
    fn make_first(&mut self, submission: &Submission, outcome: &mut Outcome) {
        let Submission { submit, found, uid, first, next, .. } = submission;
        for content in &submit.contents {
            let known = found.contents.contains(&content.hash)
                || self.cluster.contents.contains(&(*uid, content.hash));
            if !known {
                let small = content.bytes.len() <= CONTENT_LOG_BYTES_MAX;
                let bytes = small.then(|| content.bytes.clone());
                self.commit(Change::Content { owner: *uid, hash: content.hash, bytes }, outcome);
            }
        }
        self.commit(Change::NextJob(self.cluster.next_job.max(*next)), outcome);
        if submission.in_steps {
            self.set_aside = None;
            self.commit(Change::Unsettled(Some((*first, *next))), outcome);
        }
    }

    /// Takes back what another term left of a submission that nobody was told of.
    pub(super) fn take_back_unsettled(&mut self, now: Now, outcome: &mut Outcome) {
        let Some((first, behind)) = self.cluster.unsettled.filter(|_| !bug::is_made(Bug::HalfSubmission))
        else {
            return;
        };
        // The last one first: it is waited for by none of the others.
        let ids: Vec<JobId> = self.cluster.jobs.range(first..behind).map(|(id, _)| *id).rev().collect();
        for id in ids {
            let Some(job) = self.cluster.jobs.get(&id).filter(|job| job.ended.is_none()) else { continue };
            let waiting = job.tasks.select(None, |state| matches!(state, State::Pending | State::Held));
            let text = "the controller stopped before the whole submission was accepted";
            let cause = Cause { kind: CauseKind::Cancel, by: "jctld".to_owned(), text: text.to_owned() };
            self.end_unstarted(now, id, waiting, State::Cancelled, cause, outcome);
        }
        self.commit(Change::Unsettled(None), outcome);
    }
}

/// How many numbers a job takes: one, and one for each task of an array.
fn numbers_of(spec: &JobSpec) -> u64 {
    1 + u64::from(spec.array.is_some()) * u64::from(spec.task_count())
}

fn new_record(
    id: JobId,
    names: &Names,
    spec: &Arc<JobSpec>,
    resolved: Resolved,
    waits_for: Vec<Wait>,
    now: Now,
) -> JobRecord {
    JobRecord {
        id,
        uid: names.uid,
        user: names.user.clone(),
        spec: spec.clone(),
        submit_time: now.wall,
        partitions: resolved.partitions,
        limit: resolved.limit,
        memory: resolved.memory,
        cpus: resolved.cpus,
        hold: if spec.hold { Hold::User } else { Hold::No },
        waits_for,
        never: String::new(),
        place: id.0,
        version: 1,
        key: names.key.clone(),
        ancestors: names.ancestors.clone(),
        since: now.wall,
    }
}
