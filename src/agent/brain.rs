//! The agent itself: what it knows, its session with the controller, and its turns.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::contents::{Contents, IDLE_JOBS_MAX};
use super::effects::{Effect, SupervisorId};
use super::jobs::{Job, Memory, State, records_of};
use super::records::{Record, Try, runs_of};
use super::reports::Session;
use super::supervisors::{Phase, Supervisor};
use crate::model::bug::{self, Bug};
use crate::model::ids::{BootId, ContentHash, Epoch, Incarnation, Instance, JobId, Position};
use crate::model::time::{BootTime, Now};
use crate::wire::node::{Content, JobBody, Welcome};

/// How long a supervisor stays when nothing of its job is known any more, in microseconds: the next task of the
/// same job often comes right away.
pub const FINISH_LINGER_MICROS: u64 = 100_000;

/// What the shell has found before the agent begins.
#[derive(Debug)]
pub struct Facts {
    /// Which life of the node this is.
    pub instance: Instance,
    /// The agent's log.
    pub records: Vec<Record>,
    /// The folders of supervisors; of each the agent is to be told either what it says or what remains of it.
    pub supervisors: Vec<(SupervisorId, JobId)>,
    /// The contents in the spool.
    pub contents: Vec<ContentHash>,
}

/// The node's brain. See the module.
#[derive(Debug)]
pub struct Agent {
    pub(super) instance: Instance,
    pub(super) incarnation: Option<Incarnation>,
    pub(super) epoch: Epoch,
    pub(super) position: Position,
    pub(super) jobs: BTreeMap<JobId, Job>,
    pub(super) supervisors: BTreeMap<SupervisorId, Supervisor>,
    pub(super) contents: Contents,
    pub(super) session: Option<Session>,
    pub(super) unsettled: u32,
    pub(super) keeps: Vec<Content>,
    pub(super) records: Vec<Record>,
    pub(super) effects: Vec<Effect>,
    pub(super) acknowledge: BTreeSet<SupervisorId>,
    forgotten: BTreeMap<JobId, BTreeSet<Try>>,
    /// The boot that the log speaks of; its attempts are dealt with before it becomes this one.
    logged_boot: Option<BootId>,
    next_supervisor: u64,
    idle: BTreeMap<u64, JobId>,
    idle_stamps: u64,
    lingering: VecDeque<(BootTime, u64, JobId)>,
    contact: Option<BootTime>,
}

impl Agent {
    /// Lives from what was found. Before the controller is dialled, [`Agent::is_settled`] must be true.
    pub fn new(now: Now, facts: Facts) -> Agent {
        let memory = Memory::replay(facts.records);
        let mut agent = Agent {
            instance: facts.instance,
            incarnation: memory.incarnation,
            epoch: memory.epoch,
            position: memory.position,
            jobs: memory.jobs,
            supervisors: BTreeMap::new(),
            contents: Contents::found(facts.contents),
            session: None,
            unsettled: 0,
            keeps: Vec::new(),
            records: Vec::new(),
            effects: Vec::new(),
            acknowledge: BTreeSet::new(),
            forgotten: BTreeMap::new(),
            logged_boot: memory.boot,
            next_supervisor: 1,
            idle: BTreeMap::new(),
            idle_stamps: 0,
            lingering: VecDeque::new(),
            contact: None,
        };
        for body in agent.jobs.values().filter_map(|job| job.body.as_ref()) {
            agent.contents.claim(body);
        }
        if memory.boot.is_some_and(|boot| boot != facts.instance.boot) {
            agent.jobs.values_mut().for_each(|job| job.earlier_boot = true);
        }
        for (supervisor, job) in facts.supervisors {
            agent.find_supervisor(supervisor, job);
        }
        let jobs: Vec<JobId> = agent.jobs.keys().copied().collect();
        for job in jobs {
            agent.bury_withdrawn(job);
            agent.hand_out(now, job);
        }
        agent
    }

    /// Whether every supervisor found at the beginning has been reached or found dead, so that the inventory is whole.
    pub fn is_settled(&self) -> bool {
        self.unsettled == 0
    }

    /// What goes into the hello: whom the node obeys, and the highest epoch and position that it has seen.
    pub fn office(&self) -> (Option<Incarnation>, Epoch, Position) {
        (self.incarnation, self.epoch, self.position)
    }

    /// What is known of a job whose attempts are.
    pub fn body(&self, job: JobId) -> Option<Arc<JobBody>> {
        self.jobs.get(&job)?.body.clone()
    }

    /// How many attempts are known.
    pub fn attempts(&self) -> usize {
        self.jobs.values().map(|job| job.entries.len()).sum()
    }

    /// When the last beat that was answered was sent; leases count from here.
    pub fn contact(&self) -> Option<BootTime> {
        self.contact
    }

    /// The controller has answered the hello.
    pub fn on_connected(&mut self, now: Now, welcome: &Welcome) {
        let obey = self.may_obey(welcome);
        if obey.is_ok() {
            self.enter_office(welcome.incarnation, welcome.epoch);
        }
        self.session = Some(Session::new(now, welcome, self.position, obey));
    }

    /// Why orders of this session are refused: `None` if they are obeyed, or if there is no session.
    pub fn disobeys(&self) -> Option<&str> {
        self.session.as_ref()?.obey.as_ref().err().map(String::as_str)
    }

    /// The connection is lost. Everything goes on; the next session hears of it.
    pub fn on_disconnected(&mut self) {
        self.session = None;
    }

    /// The controller has answered a beat. Beats follow the inventory, so by now it has said what may not go on.
    pub fn on_beat_answer(&mut self, now: Now, number: u64) {
        let Some(session) = &mut self.session else { return };
        if session.obey.is_err() && !bug::is_made(Bug::LeaseOfDeposed) {
            return;
        }
        if let Some(sent) = session.answered(number) {
            self.contact = Some(if bug::is_made(Bug::LeaseOnArrival) { now.boot } else { sent });
            self.tell_contact(now);
        }
    }

    /// Ends a turn: everything that is to be done, in order. Call it after inputs, and at [`Agent::wake_at`].
    pub fn flush(&mut self, now: Now) -> Vec<Effect> {
        self.finish_lingering(now);
        self.acknowledge_ends();
        self.report(now);
        if self.logged_boot != Some(self.instance.boot) && self.is_settled() {
            self.logged_boot = Some(self.instance.boot);
            self.records.push(Record::Boot(self.instance.boot));
        }
        for (job, tries) in std::mem::take(&mut self.forgotten) {
            self.records.push(Record::Forgotten { job, attempts: runs_of(tries) });
        }
        let mut effects: Vec<Effect> =
            std::mem::take(&mut self.keeps).into_iter().map(Effect::Keep).collect();
        if !self.records.is_empty() {
            effects.push(Effect::Append(std::mem::take(&mut self.records)));
        }
        effects.append(&mut self.effects);
        effects.extend(self.contents.sweep().into_iter().map(Effect::Drop));
        effects
    }

    /// When [`Agent::flush`] has something to do although nothing happens.
    pub fn wake_at(&self) -> Option<BootTime> {
        let beat = self.session.as_ref().map(|session| session.next_beat);
        let finish = self.lingering.front().map(|(at, _, _)| *at);
        let held = self.session.as_ref().and_then(super::reports::Session::held_until);
        beat.into_iter().chain(finish).chain(held).min()
    }

    /// The records from which the agent, as it is after a flush, lives again: for writing the log anew.
    pub fn snapshot(&self) -> Vec<Record> {
        let mut records: Vec<Record> = self.logged_boot.into_iter().map(Record::Boot).collect();
        if let Some(incarnation) = self.incarnation {
            records.push(Record::Office { incarnation, epoch: self.epoch });
        }
        records.push(Record::Seen(self.position));
        records.extend(self.jobs.iter().flat_map(|(id, job)| records_of(*id, job)));
        records
    }

    /// Obeys that office from now on; recorded before anything else of this turn is done.
    pub(super) fn enter_office(&mut self, incarnation: Incarnation, epoch: Epoch) {
        if self.incarnation != Some(incarnation) || epoch > self.epoch {
            if self.incarnation.is_some_and(|mine| mine != incarnation) {
                // Positions of another incarnation mean nothing here.
                self.position = Position(0);
            }
            self.incarnation = Some(incarnation);
            self.epoch = epoch;
            self.records.push(Record::Office { incarnation, epoch });
        }
    }

    /// Something is to be said of this attempt.
    pub(super) fn mark(&mut self, job: JobId, which: Try) {
        if let Some(session) = &mut self.session {
            session.dirty.insert((job, which));
        }
    }

    /// Forgets an attempt whose end or tombstone is safe.
    pub(super) fn forget(&mut self, now: Now, id: JobId, which: Try) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(entry) = job.remove(which) else { return };
        self.forgotten.entry(id).or_default().insert(which);
        if let State::Ended(Some((supervisor, number)), _) = entry.state {
            if let Some(supervisor) = self.supervisors.get_mut(&supervisor) {
                supervisor.unsafe_notices.remove(&number);
            }
            self.acknowledge.insert(supervisor);
        }
        if job.entries.is_empty() {
            self.rest(now, id);
        }
    }

    /// The next number for a supervisor.
    pub(super) fn new_supervisor(&mut self) -> SupervisorId {
        let id = SupervisorId(self.next_supervisor);
        self.next_supervisor += 1;
        id
    }

    /// Nothing of the job is known (any more): its supervisors go soon, its body when others push it out.
    pub(super) fn rest(&mut self, now: Now, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        self.idle_stamps += 1;
        if let Some((stamp, _)) = job.idle.replace((self.idle_stamps, now.boot)) {
            self.idle.remove(&stamp);
        }
        self.idle.insert(self.idle_stamps, id);
        let until = BootTime(now.boot.0.saturating_add(FINISH_LINGER_MICROS));
        self.lingering.push_back((until, self.idle_stamps, id));
        while self.idle.len() > IDLE_JOBS_MAX {
            let Some((_, oldest)) = self.idle.pop_first() else { return };
            self.finish_supervisors(oldest);
            if let Some(body) = self.jobs.remove(&oldest).and_then(|job| job.body) {
                self.contents.release(&body);
            }
        }
    }

    /// There is something to do for the job again.
    pub(super) fn wake(&mut self, id: JobId) -> &mut Job {
        let job = self.jobs.entry(id).or_default();
        if let Some((stamp, _)) = job.idle.take() {
            self.idle.remove(&stamp);
        }
        job
    }

    fn find_supervisor(&mut self, id: SupervisorId, job: JobId) {
        self.next_supervisor = self.next_supervisor.max(id.0.saturating_add(1));
        let known = self.jobs.entry(job).or_default();
        // Whoever speaks with it knows the job as it is known now: it would not know what an order means that comes
        // later.
        let stray = known.body.is_none();
        let mut supervisor = Supervisor::new(job, Phase::Unknown);
        supervisor.stray = stray;
        if self.supervisors.insert(id, supervisor).is_none() {
            self.unsettled += 1;
            known.unsettled += 1;
        }
    }

    fn finish_lingering(&mut self, now: Now) {
        while let Some((until, stamp, id)) = self.lingering.front().copied() {
            if until > now.boot {
                return;
            }
            self.lingering.pop_front();
            let job = self.jobs.get(&id);
            if job.is_some_and(|job| job.idle.is_some_and(|(idle, _)| idle == stamp)) {
                self.finish_supervisors(id);
            }
        }
    }
}

#[cfg(test)]
impl Agent {
    /// Whether the agent believes exactly these contents to be kept.
    pub(super) fn contents_match(&self, kept: &BTreeSet<ContentHash>) -> bool {
        kept.iter().all(|hash| self.contents.has(hash)) && self.contents.count() == kept.len()
    }
}
