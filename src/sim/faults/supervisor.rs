//! Supervisors: the real desk (queue and reports) and the real translation of what they are told, around processes
//! that exist only in virtual time. The records are those of `worker/supervisor/records`, as a list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::lease::Lease;
use super::world::{Event, World};
use crate::agent::{Remains, SupervisorId};
use crate::model::ids::{JobId, TaskRef};
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::{Now, TimeLimit, WallTime};
use crate::wire::node::JobBody;
use crate::wire::supervisor::{
    AttemptRef, FromSupervisor, Inventory, KillReason, News, StartedAttempt, TaskRun, ToSupervisor, VERSION,
    Which,
};
use crate::worker::supervisor::desk::{Desk, end_without_start};
use crate::worker::translate::try_of;

/// What the daemon hears of a supervisor.
#[derive(Clone, Debug)]
pub enum Heard {
    Said(FromSupervisor),
    Failed,
    Gone,
    LeftoversEnded,
}

/// A record of a supervisor.
#[derive(Clone, Debug)]
enum Recorded {
    Intent(AttemptRef),
    Started(AttemptRef, WallTime),
    Ended(AttemptRef, Box<End>),
}

/// A running process.
#[derive(Clone, Debug)]
pub struct Running {
    start: WallTime,
    /// In true time.
    started: u64,
    pub killed: Option<(u64, KillReason)>,
    /// When it will stand still, since when it does, and how long it did so far.
    pub freezes: Option<u64>,
    pub frozen: Option<u64>,
    pub stood: u64,
}

/// A supervisor: alive, or what is left of it.
#[derive(Debug)]
pub struct Process {
    pub job: JobId,
    pub alive: bool,
    /// What the daemon that started it will tell it.
    pub to_tell: Option<Arc<JobBody>>,
    /// What it was told.
    pub body: Option<Arc<JobBody>>,
    /// Which life of the daemon it speaks with.
    pub daemon: Option<u32>,
    desk: Desk,
    slots: u32,
    limit: TimeLimit,
    finishing: bool,
    records: Vec<Recorded>,
    pub running: BTreeMap<AttemptRef, Running>,
    pub lease: Lease,
    unsaid_started: Vec<StartedAttempt>,
    unsaid_kept: Vec<AttemptRef>,
    /// When it looks around by itself.
    turns_at: Option<u64>,
}

impl Process {
    pub fn new(job: JobId, to_tell: Option<Arc<JobBody>>) -> Process {
        Process {
            job,
            alive: true,
            to_tell,
            body: None,
            daemon: None,
            desk: Desk::default(),
            slots: 0,
            limit: TimeLimit(None),
            finishing: false,
            records: Vec::new(),
            running: BTreeMap::new(),
            lease: Lease::default(),
            unsaid_started: Vec::new(),
            unsaid_kept: Vec::new(),
            turns_at: None,
        }
    }

    /// What its records say, as the keeper reads them.
    pub fn remains(&self) -> Remains {
        let mut remains = Remains::default();
        let mut last: BTreeMap<AttemptRef, &Recorded> = BTreeMap::new();
        for record in &self.records {
            let (Recorded::Intent(task) | Recorded::Started(task, _) | Recorded::Ended(task, _)) = record;
            last.insert(*task, record);
        }
        for (task, record) in last {
            let which = try_of(task);
            match record {
                Recorded::Intent(_) => remains.intents.push(which),
                Recorded::Started(_, start) => remains.started.push((which, *start)),
                Recorded::Ended(_, end) => {
                    remains.ended.push((which, End { node: None, ..(**end).clone() }));
                }
            }
        }
        remains
    }

    /// The host went down: it is dead, and the last of its records may never have reached the disk.
    pub fn lose_power(&mut self, kept: usize) -> BTreeSet<AttemptRef> {
        self.alive = false;
        self.records.truncate(kept);
        std::mem::take(&mut self.running).into_keys().collect()
    }

    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// Nothing of it runs any more; gives what did.
    pub fn end_leftovers(&mut self) -> BTreeSet<AttemptRef> {
        std::mem::take(&mut self.running).into_keys().collect()
    }

    fn inventory(&mut self) -> Inventory {
        Inventory {
            job: self.body.as_ref().map(|_| self.job),
            slots: self.slots,
            queued: self.desk.queued().collect(),
            running: self
                .running
                .iter()
                .map(|(task, running)| started_attempt(*task, running.start))
                .collect(),
            reports: self.desk.all_reports(),
            ended: Vec::new(),
        }
    }

    /// When a process ends, and how.
    fn fate(&self, task: AttemptRef, running: &Running) -> (u64, State, u8, Cause) {
        let plan = self.body.as_ref().map(|body| Plan::of(body)).unwrap_or_default();
        // What stands still comes no nearer to its end or to its limit.
        let still = running.frozen.map_or(0, |_| u64::MAX);
        let from = running.started.saturating_add(running.stood).saturating_add(still);
        let mut ends = from.saturating_add(plan.micros);
        let code = plan.code(task);
        let state = if code == 0 { State::Completed } else { State::Failed };
        let mut fate = (state, code, Cause::plain(CauseKind::Exit));
        if let Some(limit) = self.limit.0 {
            let at = from.saturating_add(limit.micros());
            if at < ends {
                ends = at;
                fate = (State::Timeout, 0, Cause::plain(CauseKind::TimeLimit));
            }
        }
        if let Some((at, reason)) = &running.killed
            && *at < ends
        {
            ends = *at;
            fate = (reason.state(), 0, reason.cause());
        }
        (ends, fate.0, fate.1, fate.2)
    }

    /// When something happens by itself, on a host that booted then.
    fn next(&self, booted: u64) -> Option<u64> {
        let ends = self.running.iter().map(|(task, running)| self.fate(*task, running).0);
        // A dead one freezes nothing any more (seed 16013: it was looked at again and again).
        let freezes = self.running.values().filter_map(|running| running.freezes).filter(|_| self.alive);
        let next = ends.chain(freezes).chain(self.lease_deadline(booted)).min();
        next.filter(|at| *at < u64::MAX)
    }
}

/// What a job's processes do; it stands in the job's arguments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// How long they run.
    pub micros: u64,
    /// Their exit code, as long as the attempt is not above this.
    pub fails_until: u32,
    pub exit: u8,
}

impl Plan {
    pub fn arguments(self) -> Vec<String> {
        vec![self.micros.to_string(), self.fails_until.to_string(), self.exit.to_string()]
    }

    fn of(body: &JobBody) -> Plan {
        let number =
            |at: usize| body.arguments.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Plan { micros: number(0), fails_until: number(1) as u32, exit: number(2) as u8 }
    }

    fn code(self, task: AttemptRef) -> u8 {
        if task.attempt.0 <= self.fails_until { self.exit } else { 0 }
    }
}

fn started_attempt(task: AttemptRef, start: WallTime) -> StartedAttempt {
    StartedAttempt {
        task,
        pid: 1,
        start_ticks: 1,
        start,
        output: String::new(),
        error: String::new(),
        truncated: false,
        output_start: 0,
        error_start: 0,
    }
}

impl World {
    /// Runs `act` with a process, unless its host was started anew since.
    fn with<T>(
        &mut self,
        node: usize,
        power: u32,
        id: SupervisorId,
        act: impl FnOnce(&mut World, &mut Process) -> T,
    ) -> Option<T> {
        if self.nodes[node].power != power {
            return None;
        }
        let mut process = self.nodes[node].supervisors.remove(&id)?;
        let value = act(self, &mut process);
        self.nodes[node].supervisors.insert(id, process);
        Some(value)
    }

    /// The daemon's hello, and what it holds as the answer.
    pub fn greet(&mut self, node: usize, life: u32, id: SupervisorId) -> Option<FromSupervisor> {
        let power = self.nodes[node].power;
        self.with(node, power, id, |_, process| {
            if !process.alive {
                return None;
            }
            process.daemon = Some(life);
            process.unsaid_started.clear();
            process.unsaid_kept.clear();
            let inventory = process.inventory();
            Some(FromSupervisor::Welcome { version: VERSION, pid: 1, inventory })
        })?
    }

    pub fn supervisor_hears(&mut self, node: usize, power: u32, id: SupervisorId, message: ToSupervisor) {
        self.with(node, power, id, |world, process| {
            if process.alive {
                world.obey(node, id, process, message);
            }
        });
        self.supervisor_turns(node, power, id);
    }

    fn obey(&mut self, node: usize, id: SupervisorId, process: &mut Process, message: ToSupervisor) {
        match message {
            ToSupervisor::Job(_) | ToSupervisor::Hello { .. } => {
                if self.supervisor_may_die(node, id, process, "it was not told its job") {
                    return;
                }
                process.body = process.to_tell.clone();
                process.limit = process.body.as_ref().map_or(TimeLimit(None), |body| body.limit);
            }
            ToSupervisor::Run { tasks } => tasks.into_iter().for_each(|run| process.desk.add(run)),
            ToSupervisor::SetSlots { slots } => process.slots = slots,
            ToSupervisor::Withdraw { tasks } => {
                let kept = tasks.into_iter().filter(|task| !process.desk.withdraw(*task));
                process.unsaid_kept.extend(kept);
            }
            ToSupervisor::Acknowledge { up_to } => drop(process.desk.acknowledge(up_to)),
            ToSupervisor::Finish => process.finishing = true,
            ToSupervisor::SetLimit { limit } => process.limit = limit,
            ToSupervisor::Kill { which, reason, grace } => {
                let wall = self.node_now(node).wall;
                for run in process.desk.take(&which) {
                    let end = end_without_start(reason.state(), reason.cause(), wall, run.task);
                    self.record_end(node, process, run.task, end);
                }
                let Which::These(tasks) = which else { return };
                for task in tasks {
                    self.kill(process, task, &reason, grace);
                }
            }
            ToSupervisor::Contact { at } => process.lease.note_contact(at),
            ToSupervisor::Signal { .. } | ToSupervisor::Suspend { .. } | ToSupervisor::Resume { .. } => {}
        }
    }

    /// Ends, starts and says what there is to end, start and say.
    pub fn supervisor_turns(&mut self, node: usize, power: u32, id: SupervisorId) {
        let next = self.with(node, power, id, |world, process| {
            if process.alive {
                world.keep_lease(node, process);
            }
            let over: Vec<AttemptRef> = process.running.keys().copied().collect();
            for task in over {
                let Some(running) = process.running.get(&task).cloned() else { continue };
                let (at, state, exit_code, cause) = process.fate(task, &running);
                if at > world.now {
                    continue;
                }
                // The process itself ends all the same.
                world.supervisor_may_die(node, id, process, "before the end is recorded");
                process.running.remove(&task);
                world.facts.stopped(reference(process.job, task), task.attempt);
                if !process.alive {
                    continue;
                }
                let end = End {
                    state,
                    exit_code,
                    signal: 0,
                    cause,
                    node: None,
                    start: Some(running.start),
                    end: world.node_now(node).wall,
                    usage: Usage { cpu_ms: u64::from(task.ordinal.0) + 1, memory_peak_bytes: 1 },
                    attempt: task.attempt,
                };
                world.record_end(node, process, task, end);
                world.supervisor_may_die(node, id, process, "after the end was recorded");
            }
            if process.alive {
                world.start_tasks(node, id, process);
            }
            if process.alive {
                world.tell_daemon(node, id, process);
                world.supervisor_may_go(node, id, process);
            }
            let now = world.now;
            process.turns_at = process.turns_at.filter(|at| *at > now);
            let at = process.next(world.nodes[node].booted).map(|at| at.max(now + 1))?;
            let sooner = process.turns_at.is_none_or(|known| at < known);
            if sooner {
                process.turns_at = Some(at);
            }
            sooner.then_some(at)
        });
        if let Some(Some(at)) = next {
            self.after(at - self.now, Event::Turns { node, power, supervisor: id });
        }
    }

    fn record_end(&mut self, node: usize, process: &mut Process, task: AttemptRef, end: End) {
        self.note(format!("n{node}: {} {}/{} ends {}", process.job, task.ordinal, task.attempt, end.state));
        self.facts.recorded(reference(process.job, task), &end);
        process.records.push(Recorded::Ended(task, Box::new(end.clone())));
        process.desk.report(task, News::Ended(Box::new(end)));
    }

    fn start_tasks(&mut self, node: usize, id: SupervisorId, process: &mut Process) {
        let Now { wall, boot } = self.node_now(node);
        if !process.has_lease(boot) {
            return;
        }
        let mut runs: Vec<TaskRun> = Vec::new();
        while process.body.is_some() && process.running.len() + runs.len() < process.slots as usize {
            let Some(run) = process.desk.next(wall) else { break };
            runs.push(run);
        }
        if runs.is_empty() || self.supervisor_may_die(node, id, process, "before the intent") {
            return;
        }
        process.records.extend(runs.iter().map(|run| Recorded::Intent(run.task)));
        if self.supervisor_may_die(node, id, process, "after the intent") {
            return;
        }
        for run in runs {
            let running = Running {
                start: wall,
                started: self.now,
                killed: None,
                freezes: None,
                frozen: None,
                stood: 0,
            };
            process.running.insert(run.task, running);
            self.note(format!("n{node}: {} {}/{} starts", process.job, run.task.ordinal, run.task.attempt));
            let cpus = process.body.as_ref().map_or(0, |body| body.resources.cpus);
            self.check_start(node, reference(process.job, run.task), run.task.attempt, cpus);
            if self.supervisor_may_die(node, id, process, "after the start, unrecorded") {
                return;
            }
            process.records.push(Recorded::Started(run.task, wall));
            process.unsaid_started.push(started_attempt(run.task, wall));
            if self.supervisor_may_die(node, id, process, "after the start") {
                return;
            }
        }
    }

    fn tell_daemon(&mut self, node: usize, id: SupervisorId, process: &mut Process) {
        let Some(life) = process.daemon else { return };
        let started = std::mem::take(&mut process.unsaid_started);
        let kept = std::mem::take(&mut process.unsaid_kept);
        let mut all = Vec::new();
        if !started.is_empty() {
            all.push(FromSupervisor::Started { attempts: started });
        }
        if !kept.is_empty() {
            all.push(FromSupervisor::Kept { tasks: kept });
        }
        let reports = process.desk.unsent();
        if !reports.is_empty() {
            all.push(FromSupervisor::Reports { reports });
        }
        for said in all {
            let wait = self.in_turn(node);
            self.after(wait, Event::News { node, life, supervisor: id, news: Heard::Said(said) });
        }
    }

    fn supervisor_may_go(&mut self, node: usize, id: SupervisorId, process: &mut Process) {
        if process.finishing && process.running.is_empty() && process.desk.is_clear() {
            self.note(format!("n{node}: supervisor {id} of {} goes", process.job));
            process.alive = false;
            self.supervisor_is_gone(node, id, process);
        }
    }

    fn supervisor_is_gone(&mut self, node: usize, id: SupervisorId, process: &Process) {
        if let Some(life) = process.daemon {
            let wait = self.in_turn(node);
            self.after(wait, Event::News { node, life, supervisor: id, news: Heard::Gone });
        }
    }

    /// A place where a supervisor may be killed; its processes go on.
    fn supervisor_may_die(
        &mut self,
        node: usize,
        id: SupervisorId,
        process: &mut Process,
        point: &'static str,
    ) -> bool {
        if !process.alive || !self.dies(self.rates.supervisor, 1) {
            return !process.alive;
        }
        self.counts.fired("supervisor dies", point);
        self.counts.fired("fault", "supervisor killed");
        self.note(format!("n{node}: supervisor {id} of {} is killed: {point}", process.job));
        process.alive = false;
        let job = process.job;
        let open = process.running.keys().copied().collect::<Vec<_>>();
        let intents = process.remains().intents;
        for task in open {
            self.facts.excuse(reference(job, task), task.attempt);
        }
        for which in intents {
            self.facts.excuse(TaskRef { job, ordinal: which.ordinal }, which.attempt);
        }
        self.supervisor_is_gone(node, id, process);
        true
    }
}

pub fn reference(job: JobId, task: AttemptRef) -> TaskRef {
    TaskRef { job, ordinal: task.ordinal }
}
