//! What becomes of an order: refused as a whole, or obeyed.

use std::collections::BTreeMap;

use super::brain::Agent;
use super::contents::{MISSING_CONTENT, needed};
use super::effects::{Effect, Tell};
use super::jobs::{Job, State};
use super::records::{Record, Try, runs_of, tries_of};
use crate::model::ids::{ContentHash, JobId, Ordinal};
use crate::model::time::{Now, TimeLimit};
use crate::wire::node::{Act, JobBody, KillReason, Launch, Order, OrderRefused, TaskRun, Welcome};

/// The most tasks that one order may name.
pub const ORDER_TASKS_MAX: u64 = 65_536;

/// Attempts of one job, by what can be done about them.
#[derive(Default)]
struct Sorted {
    /// With nobody but the agent, or not known at all.
    here: Vec<Try>,
    /// With a supervisor, not known to have started.
    given: Vec<Try>,
    /// Running.
    started: Vec<Try>,
}

impl Agent {
    /// The controller orders something.
    pub fn on_order(&mut self, now: Now, order: Order) {
        let job = order.job;
        if let Err(reason) = self.admit(&order).and_then(|()| self.obey(now, order)) {
            self.effects.push(Effect::Refuse(OrderRefused { job, reason }));
        }
    }

    /// Whether a controller that says this can be obeyed at all.
    pub(super) fn may_obey(&self, welcome: &Welcome) -> Result<(), String> {
        match self.incarnation {
            Some(mine) if mine != welcome.incarnation && welcome.comes_over => return Ok(()),
            Some(mine) if mine != welcome.incarnation => {
                return Err(format!(
                    "this node obeys incarnation {mine}, not {}; if the cluster's state was restored, \
                     `jctld accept` has to say so",
                    welcome.incarnation
                ));
            }
            Some(_) if welcome.position < self.position => {
                return Err(format!(
                    "rewound: this node has seen log position {}, the controller's log ends at {}; \
                     part of the cluster's state is lost",
                    self.position, welcome.position
                ));
            }
            _ => {}
        }
        if welcome.epoch < self.epoch {
            return Err(format!("this node obeys epoch {}, epoch {} is deposed", self.epoch, welcome.epoch));
        }
        Ok(())
    }

    fn admit(&self, order: &Order) -> Result<(), String> {
        let Some(session) = &self.session else {
            return Err("there is no session".to_owned());
        };
        session.obey.clone()?;
        if order.session != session.id {
            return Err(format!("session {} is over, this is session {}", order.session, session.id));
        }
        if order.instance != self.instance {
            return Err("it is for another instance of this node".to_owned());
        }
        if self.incarnation != Some(order.incarnation) {
            return Err(format!("it is of another incarnation, {}", order.incarnation));
        }
        if order.epoch < self.epoch {
            return Err(format!("epoch {} is deposed, this node obeys epoch {}", order.epoch, self.epoch));
        }
        if order.position < session.floor {
            return Err(format!(
                "rewound: it is of log position {}, this node had seen {} when the session began",
                order.position, session.floor
            ));
        }
        Ok(())
    }

    fn obey(&mut self, now: Now, order: Order) -> Result<(), String> {
        let none = Vec::new();
        let runs = match &order.act {
            Act::Limit { .. } => &none,
            Act::Launch(launch) => &launch.attempts,
            Act::Withdraw { attempts }
            | Act::Kill { attempts, .. }
            | Act::Signal { attempts, .. }
            | Act::Suspend { attempts, .. } => attempts,
        };
        check_runs(runs)?;
        if let Act::Launch(launch) = &order.act {
            self.check_launch(order.job, launch)?;
        }
        self.enter_office(order.incarnation, order.epoch);
        if order.position > self.position {
            self.position = order.position;
            self.records.push(Record::Seen(order.position));
        }
        match order.act {
            Act::Launch(launch) => self.launch(now, order.job, launch),
            Act::Withdraw { attempts } => self.withdraw(now, order.job, &attempts, None),
            Act::Kill { attempts, reason } => self.withdraw(now, order.job, &attempts, Some(reason)),
            Act::Signal { attempts, signal, batch_only } => {
                let tell = |attempts| Tell::Signal { attempts, signal, batch_only };
                self.tell_started(order.job, &attempts, tell);
            }
            Act::Limit { limit } => self.set_limit(order.job, limit),
            Act::Suspend { attempts, stop } => {
                self.tell_started(order.job, &attempts, |attempts| Tell::Suspend { attempts, stop });
            }
        }
        Ok(())
    }

    fn check_launch(&self, job: JobId, launch: &Launch) -> Result<(), String> {
        for content in &launch.contents {
            if ContentHash::of(&content.bytes) != content.hash {
                return Err(format!("the content {} does not have that hash", content.hash));
            }
        }
        let held = self.jobs.get(&job).and_then(|job| job.body.as_deref());
        let Some(body) = launch.body.as_deref().or(held) else {
            return Err(format!("{MISSING_CONTENT} the body of job {job}"));
        };
        let here = |hash: &ContentHash| {
            self.contents.has(hash) || launch.contents.iter().any(|content| content.hash == *hash)
        };
        if launch.unstarted.len() as u64 > ORDER_TASKS_MAX {
            return Err(format!(
                "it says of more than {ORDER_TASKS_MAX} tasks how often they were not started"
            ));
        }
        match needed(body).find(|hash| !here(hash)) {
            Some(hash) => Err(format!("{MISSING_CONTENT} the content {hash} of job {job}")),
            None => Ok(()),
        }
    }

    fn launch(&mut self, now: Now, id: JobId, launch: Launch) {
        for content in launch.contents {
            if self.contents.add(&content) {
                self.keeps.push(content);
            }
        }
        let had_entries = self.jobs.get(&id).is_some_and(|job| !job.entries.is_empty());
        let job = self.wake(id);
        let slots_change = job.slots != launch.slots;
        job.slots = launch.slots;
        let new_body = launch.body.filter(|body| job.body.as_deref() != Some(&**body));
        let write_body = new_body.is_some() || !had_entries;
        let mut other_limit = None;
        if let Some(body) = new_body {
            let same =
                job.body.as_ref().is_none_or(|old| JobBody { limit: body.limit, ..(**old).clone() } == *body);
            job.stale |= !same && job.current.is_some();
            other_limit = job.body.as_ref().map(|_| body.limit).filter(|_| same);
            let old = job.body.replace(std::sync::Arc::from(body));
            self.change_body(id, old.as_deref());
        }
        if let Some(limit) = other_limit {
            self.tell_limit(id, limit);
        }
        let job = self.jobs.entry(id).or_default();
        if let Some(body) = job.body.as_ref().filter(|_| write_body) {
            let body = Box::new(JobBody::clone(body));
            self.records.push(Record::Body { job: id, body });
        }
        let new: Vec<Try> =
            tries_of(&launch.attempts).filter(|which| job.add(*which, launch.not_after)).collect();
        let of_task: BTreeMap<Ordinal, u32> = launch.unstarted.into_iter().collect();
        let unstarted: Vec<(Try, u32)> =
            new.iter().filter_map(|which| Some((*which, *of_task.get(&which.ordinal)?))).collect();
        job.note_unstarted(&unstarted);
        if !new.is_empty() || slots_change {
            let (slots, not_after) = (launch.slots, launch.not_after);
            self.records.push(Record::Ordered { job: id, attempts: runs_of(new), slots, not_after });
        }
        if !unstarted.is_empty() {
            self.records.push(Record::Unstarted { job: id, attempts: unstarted });
        }
        // A repeat: what has become of it was perhaps said before the controller asked again.
        let again: Vec<Try> = tries_of(&launch.attempts).collect();
        again.into_iter().for_each(|which| self.mark(id, which));
        if slots_change {
            self.tell_slots(id);
        }
        self.hand_out(now, id);
        if self.jobs.get(&id).is_some_and(|job| job.entries.is_empty()) {
            self.rest(now, id);
        }
    }

    fn change_body(&mut self, id: JobId, old: Option<&crate::wire::node::JobBody>) {
        if let Some(body) = self.jobs.get(&id).and_then(|job| job.body.as_deref()) {
            self.contents.claim(body);
        }
        if let Some(old) = old {
            self.contents.release(old);
        }
    }

    /// Another time limit, for what runs and for what comes.
    fn set_limit(&mut self, id: JobId, limit: TimeLimit) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.entries.is_empty()) else { return };
        let Some(old) = job.body.as_ref().filter(|body| body.limit != limit) else { return };
        let body = JobBody { limit, ..(**old).clone() };
        self.records.push(Record::Body { job: id, body: Box::new(body.clone()) });
        job.body = Some(std::sync::Arc::new(body));
        self.tell_limit(id, limit);
    }

    /// Takes attempts back, and if there is a reason to kill, ends those that have started.
    fn withdraw(&mut self, now: Now, id: JobId, attempts: &[TaskRun], kill: Option<KillReason>) {
        let sorted = sort(self.wake(id), attempts);
        let job = self.jobs.entry(id).or_default();
        for which in &sorted.here {
            job.bury(*which);
        }
        for which in &sorted.given {
            if let Some(entry) = job.entries.get_mut(which) {
                entry.withdrawing = true;
            }
        }
        if !sorted.here.is_empty() {
            let attempts = runs_of(sorted.here.iter().copied());
            self.records.push(Record::Never { job: id, attempts });
        }
        if !sorted.given.is_empty() {
            let attempts = runs_of(sorted.given.iter().copied());
            self.records.push(Record::Withdrawing { job: id, attempts });
        }
        // Also what has ended or was buried before: whoever asks again gets his answer again.
        tries_of(attempts).for_each(|which| self.mark(id, which));
        self.tell_each(id, &sorted.given, Tell::Withdraw);
        if let Some(reason) = kill {
            let mut both = sorted.given;
            both.extend(&sorted.started);
            both.sort_unstable();
            self.tell_each(id, &both, |attempts| Tell::Kill { attempts, reason: reason.clone() });
        }
        if self.jobs.get(&id).is_some_and(|job| job.entries.is_empty()) {
            self.rest(now, id);
        }
    }

    fn tell_started(&mut self, id: JobId, attempts: &[TaskRun], tell: impl Fn(Vec<TaskRun>) -> Tell) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let mut hit = sort(job, attempts);
        // What was given may start before the supervisor hears this; it knows best.
        hit.given.extend(hit.started);
        hit.given.sort_unstable();
        self.tell_each(id, &hit.given, tell);
    }

    /// Says something to the supervisors of these attempts.
    fn tell_each(&mut self, id: JobId, tries: &[Try], tell: impl Fn(Vec<TaskRun>) -> Tell) {
        let Some(job) = self.jobs.get(&id) else { return };
        let mut by_supervisor = std::collections::BTreeMap::<_, Vec<Try>>::new();
        for which in tries {
            if let Some(State::Given(supervisor) | State::Started(supervisor, _)) =
                job.entries.get(which).map(|entry| &entry.state)
            {
                by_supervisor.entry(*supervisor).or_default().push(*which);
            }
        }
        for (supervisor, tries) in by_supervisor {
            self.effects.push(Effect::Tell { supervisor, job: id, what: tell(runs_of(tries)) });
        }
    }
}

fn check_runs(runs: &[TaskRun]) -> Result<(), String> {
    if runs.iter().any(|run| run.first > run.last || run.attempt.0 == 0) {
        return Err("it names a run of tasks that goes down, or an attempt 0".to_owned());
    }
    let tasks: u64 = runs.iter().map(|run| u64::from(run.last.0 - run.first.0) + 1).sum();
    if tasks > ORDER_TASKS_MAX {
        return Err(format!("it names {tasks} tasks, more than the {ORDER_TASKS_MAX} of one order"));
    }
    Ok(())
}

fn sort(job: &Job, attempts: &[TaskRun]) -> Sorted {
    let mut sorted = Sorted::default();
    for which in tries_of(attempts) {
        match job.entries.get(&which).map(|entry| &entry.state) {
            None | Some(State::Held) => sorted.here.push(which),
            Some(State::Given(_)) => sorted.given.push(which),
            Some(State::Started(..)) => sorted.started.push(which),
            Some(State::Ended(..) | State::Never) => {}
        }
    }
    sorted
}
