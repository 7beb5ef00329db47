//! The jobs and attempts that a node knows, and how they live again from its log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::effects::SupervisorId;
use super::records::{Record, Try, runs_of, tries_of};
use crate::model::ids::{BootId, Epoch, Incarnation, JobId, Position};
use crate::model::state::End;
use crate::model::time::{BootTime, WallTime};
use crate::wire::node::{JobBody, TaskRun};

/// Where an attempt is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum State {
    /// With nobody but the agent.
    Held,
    /// With a supervisor that has not said that it started.
    Given(SupervisorId),
    /// Started by that supervisor.
    Started(SupervisorId, WallTime),
    /// Ended. With the supervisor that said so and the number it gave, until its end is in the agent's own log.
    Ended(Option<(SupervisorId, u64)>, Box<End>),
    /// Will never start.
    Never,
}

/// An attempt that is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) state: State,
    /// Not to be started later.
    pub(super) not_after: Option<WallTime>,
    /// Wanted back.
    pub(super) withdrawing: bool,
    /// How many earlier attempts at its task never started.
    pub(super) unstarted: u32,
}

/// A job of which attempts are known, or were a short while ago.
#[derive(Debug, Default)]
pub(super) struct Job {
    pub(super) body: Option<Arc<JobBody>>,
    pub(super) slots: u32,
    pub(super) entries: BTreeMap<Try, Entry>,
    /// The tries whose state is `Held`.
    pub(super) held: BTreeSet<Try>,
    /// How many are in the state `Given`.
    pub(super) given: usize,
    /// The supervisor that gets what is held.
    pub(super) current: Option<SupervisorId>,
    /// Others that still speak, older ones.
    pub(super) others: Vec<SupervisorId>,
    /// How many supervisors found in the spool have not been reached nor found dead yet.
    pub(super) unsettled: u32,
    /// Of how many dead supervisors something may still run: it takes their slots.
    pub(super) leftovers: u32,
    /// How many supervisors were lost since one has last started anything.
    pub(super) losses: u32,
    /// Since when nothing is known of it, and its place among the idle ones.
    pub(super) idle: Option<(u64, BootTime)>,
    /// Its attempts were ordered in an earlier boot.
    pub(super) earlier_boot: bool,
    /// The current supervisor was told of the job as it was before somebody changed it: it gets nothing more.
    pub(super) stale: bool,
}

impl Job {
    /// Changes an attempt's state and keeps `held` and `given` true.
    pub(super) fn set(&mut self, which: Try, state: State) {
        if let Some(entry) = self.entries.get_mut(&which) {
            if state == State::Held {
                self.held.insert(which);
            } else {
                self.held.remove(&which);
            }
            self.given -= usize::from(matches!(entry.state, State::Given(_)));
            self.given += usize::from(matches!(state, State::Given(_)));
            entry.state = state;
        }
    }

    /// Takes an attempt in; false if it is known already.
    pub(super) fn add(&mut self, which: Try, not_after: Option<WallTime>) -> bool {
        if self.entries.contains_key(&which) {
            return false;
        }
        self.entries.insert(which, Entry { state: State::Held, not_after, withdrawing: false, unstarted: 0 });
        self.held.insert(which);
        true
    }

    /// Notes how many earlier attempts never started.
    pub(super) fn note_unstarted(&mut self, attempts: &[(Try, u32)]) {
        for (which, count) in attempts {
            if let Some(entry) = self.entries.get_mut(which) {
                entry.unstarted = *count;
            }
        }
    }

    /// Takes a tombstone in, for an attempt that is held or not known at all.
    pub(super) fn bury(&mut self, which: Try) {
        self.add(which, None);
        self.set(which, State::Never);
    }

    /// Forgets an attempt.
    pub(super) fn remove(&mut self, which: Try) -> Option<Entry> {
        let entry = self.entries.remove(&which)?;
        self.held.remove(&which);
        self.given -= usize::from(matches!(entry.state, State::Given(_)));
        Some(entry)
    }
}

/// What a log says.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) boot: Option<BootId>,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) epoch: Epoch,
    pub(super) position: Position,
    pub(super) jobs: BTreeMap<JobId, Job>,
}

impl Memory {
    /// Lives through the records again.
    pub(super) fn replay(records: Vec<Record>) -> Memory {
        let mut memory = Memory::default();
        for record in records {
            memory.take(record);
        }
        memory.jobs.retain(|_, job| !job.entries.is_empty());
        memory
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Boot(boot) => self.boot = Some(boot),
            Record::Office { incarnation, epoch } => {
                if self.incarnation.is_some_and(|mine| mine != incarnation) {
                    self.position = Position(0);
                }
                self.incarnation = Some(incarnation);
                self.epoch = epoch;
            }
            Record::Seen(position) => self.position = position,
            Record::Body { job, body } => {
                let job = self.job(job);
                job.stale |= job
                    .body
                    .as_ref()
                    .is_some_and(|old| JobBody { limit: body.limit, ..(**old).clone() } != *body);
                job.body = Some(Arc::from(body));
            }
            Record::Ordered { job, attempts, slots, not_after } => {
                let job = self.job(job);
                job.slots = slots;
                for which in tries_of(&attempts) {
                    job.add(which, not_after);
                }
            }
            Record::Withdrawing { job, attempts } => self.each(job, &attempts, |job, which| {
                if let Some(entry) = job.entries.get_mut(&which) {
                    entry.withdrawing = true;
                }
            }),
            Record::Never { job, attempts } => self.each(job, &attempts, Job::bury),
            Record::Ended { job, ends } => {
                let job = self.job(job);
                for (which, end) in ends {
                    job.add(which, None);
                    job.set(which, State::Ended(None, Box::new(end)));
                }
            }
            Record::Unstarted { job, attempts } => self.job(job).note_unstarted(&attempts),
            Record::Forgotten { job, attempts } => self.each(job, &attempts, |job, which| {
                job.remove(which);
            }),
        }
    }

    fn job(&mut self, job: JobId) -> &mut Job {
        self.jobs.entry(job).or_default()
    }

    fn each(&mut self, job: JobId, runs: &[TaskRun], act: impl Fn(&mut Job, Try)) {
        let job = self.job(job);
        for which in tries_of(runs) {
            act(job, which);
        }
    }
}

/// The records from which a job lives again.
pub(super) fn records_of(id: JobId, job: &Job) -> Vec<Record> {
    let mut records = Vec::new();
    if job.entries.is_empty() {
        return records;
    }
    if let Some(body) = &job.body {
        records.push(Record::Body { job: id, body: Box::new(JobBody::clone(body)) });
    }
    let mut ordered: BTreeMap<Option<WallTime>, Vec<Try>> = BTreeMap::new();
    let (mut never, mut withdrawing, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    let mut unstarted = Vec::new();
    for (which, entry) in &job.entries {
        match &entry.state {
            State::Never => never.push(*which),
            State::Ended(None, end) => ends.push((*which, End::clone(end))),
            _ => ordered.entry(entry.not_after).or_default().push(*which),
        }
        if entry.withdrawing {
            withdrawing.push(*which);
        }
        if entry.unstarted > 0 {
            unstarted.push((*which, entry.unstarted));
        }
    }
    for (not_after, tries) in ordered {
        records.push(Record::Ordered { job: id, attempts: runs_of(tries), slots: job.slots, not_after });
    }
    if !unstarted.is_empty() {
        records.push(Record::Unstarted { job: id, attempts: unstarted });
    }
    if !withdrawing.is_empty() {
        records.push(Record::Withdrawing { job: id, attempts: runs_of(withdrawing) });
    }
    if !never.is_empty() {
        records.push(Record::Never { job: id, attempts: runs_of(never) });
    }
    if !ends.is_empty() {
        records.push(Record::Ended { job: id, ends });
    }
    records
}
