//! A small world around the core: clients, nodes that hold attempts, and the scheduler, one step at a time.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::state::Touched;
use crate::core::tests_spec::settings;
use crate::core::{Caller, Cluster, Command, Core, Effect, Found, Outcome, Settings, invariants};
use crate::model::change::Change;
use crate::model::identity::{Identity, Role, Serial};
use crate::model::ids::{
    Attempt, BootId, ContentHash, Epoch, Incarnation, Instance, JobId, NodeId, Ordinal, Position, SessionId,
    SpoolId, TaskRef, Uid,
};
use crate::model::record::{Hardware, NodeAdmin, NodeRecord, PartitionRecord};
use crate::model::resources::Resources;
use crate::model::spec::JobSpec;
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::{BootTime, Now, Seconds, TimeLimit, WallTime};
use crate::sched::Scheduler;
use crate::wire::client::{Act, Filter, Reply, Request, Selection, Selector, Submit, Verb};
use crate::wire::node::{Act as OrderAct, AttemptRef, Content, Ended, Hello, Report, Started, ToNode};

/// An attempt on a model node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnNode {
    Queued,
    Running,
}

/// A node that does what it is told and remembers everything it ever started.
#[derive(Clone, Debug, Default)]
pub struct ModelNode {
    pub session: Option<SessionId>,
    pub boot: u8,
    pub booted: WallTime,
    pub holds: BTreeMap<(TaskRef, Attempt), OnNode>,
    pub unconfirmed: Vec<Ended>,
    pub never: Vec<AttemptRef>,
    pub tombs: BTreeSet<(TaskRef, Attempt)>,
    pub report: u64,
    /// How long tasks of jobs may run, as it was told.
    pub limits: Vec<(JobId, TimeLimit)>,
}

pub struct World {
    pub core: Core,
    pub scheduler: Scheduler,
    pub nodes: BTreeMap<NodeId, ModelNode>,
    pub now: Now,
    pub log: Vec<Change>,
    pub starts: BTreeMap<(TaskRef, Attempt), u32>,
    position: u64,
    keys: u64,
}

pub fn caller() -> Caller {
    let identity = Identity {
        role: Role::User,
        name: "ada".to_owned(),
        uid: Some(Uid(1_000)),
        serial: Serial([1; 16]),
        within: None,
    };
    Caller { identity, from: "here".to_owned() }
}

impl World {
    pub fn new(cpus: &[u32]) -> World {
        World::with_lease(cpus, Seconds(100_000))
    }

    /// The same, with a lease that runs out when a node is silent for longer.
    pub fn with_lease(cpus: &[u32], lease: Seconds) -> World {
        let mut cluster = Cluster { next_job: JobId(1), ..Cluster::default() };
        let mut log = Vec::new();
        let mut first = vec![Change::Partition(Box::new(PartitionRecord {
            default: true,
            ..crate::core::node_act::new_partition("main")
        }))];
        for (k, cpus) in cpus.iter().enumerate() {
            let resources = Resources { cpus: *cpus, memory_bytes: 1 << 30, tmp_bytes: 0 };
            first.push(Change::Node(Box::new(NodeRecord {
                id: NodeId(k as u32 + 1),
                name: format!("n{}", k + 1),
                hardware: Some(Hardware { resources, ..Hardware::default() }),
                instance: None,
                version: String::new(),
                only_uid: None,
                boot_time: None,
                admin: NodeAdmin::Up,
                reason: None,
                version_number: 1,
                features: vec![],
                weight: 1,
                drain_until: None,
            })));
        }
        for change in first {
            cluster.absorb(&change, &mut Touched::default());
            log.push(change);
        }
        let now = Now { wall: WallTime(1_000_000_000_000), boot: BootTime(1_000_000_000) };
        let core = Core::new(cluster, Settings { lease, ..settings() }, Position(0));
        let nodes = (1..=cpus.len() as u32).map(|id| (NodeId(id), ModelNode::default())).collect();
        let scheduler = Scheduler::new();
        let mut world =
            World { core, scheduler, nodes, now, log, starts: BTreeMap::new(), position: 0, keys: 0 };
        world.apply(Command::Office { incarnation: Incarnation([7; 16]), epoch: Epoch(1) });
        for id in world.nodes.keys().copied().collect::<Vec<_>>() {
            world.connect(id);
        }
        world
    }

    /// Applies a command, makes it "durable" at once, carries out the effects, and checks everything.
    pub fn apply(&mut self, command: Command) -> Outcome {
        self.position += 1;
        let mut outcome = self.core.apply(self.now, Position(self.position), command);
        self.log.append(&mut outcome.changes);
        for effect in std::mem::take(&mut outcome.effects) {
            self.carry_out(effect);
        }
        if let Err(error) = invariants::check(self.core.cluster()) {
            panic!("{error}");
        }
        outcome
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Welcome { node, session, .. } => {
                if let Some(node) = self.nodes.get_mut(&node) {
                    node.session = Some(session);
                    node.report = 0;
                }
            }
            Effect::Send { node, session, message } => {
                let Some(model) = self.nodes.get_mut(&node).filter(|model| model.session == Some(session))
                else {
                    return;
                };
                match *message {
                    ToNode::Order(order) => obey(model, order.job, order.act),
                    ToNode::Confirmed { report } if report == model.report => {
                        model.unconfirmed.clear();
                        model.never.clear();
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }

    pub fn connect(&mut self, id: NodeId) {
        let boot = self.nodes[&id].boot;
        let cpus = self.core.cluster().nodes[&id].record.hardware.clone().unwrap_or_default();
        let hello = Hello {
            instance: Instance { spool: SpoolId([1; 16]), boot: BootId([boot; 16]) },
            hardware: cpus,
            version: "test".to_owned(),
            only_uid: None,
            boot_time: self.nodes[&id].booted,
            incarnation: None,
            epoch: Epoch(0),
            position: Position(0),
            clock: self.now.wall,
        };
        self.apply(Command::Hello { name: format!("n{}", id.0), hello: Box::new(hello) });
        let model = self.nodes[&id].clone();
        let pick =
            |wanted: OnNode| model.holds.iter().filter(move |(_, at)| **at == wanted).map(|(key, _)| *key);
        let report = Report {
            number: 0,
            last_of_inventory: true,
            queued: pick(OnNode::Queued).map(|(task, attempt)| AttemptRef { task, attempt }).collect(),
            started: pick(OnNode::Running)
                .map(|(task, attempt)| Started {
                    attempt: AttemptRef { task, attempt },
                    start: self.now.wall,
                })
                .collect(),
            ..Report::default()
        };
        self.send(id, report);
    }

    pub fn send(&mut self, id: NodeId, report: Report) {
        let Some(model) = self.nodes.get_mut(&id) else { return };
        let Some(session) = model.session else { return };
        model.report += 1;
        // What is unconfirmed is in every report, so that a confirmation of any confirms it.
        let (ended, never) = (model.unconfirmed.clone(), model.never.clone());
        let report = Report { number: model.report, ended, never, ..report };
        self.apply(Command::Report { node: id, session, report: Box::new(report) });
    }

    /// Lets the scheduler plan until nothing more comes of it.
    pub fn plan(&mut self) {
        for _ in 0..100 {
            for note in self.core.take_notes() {
                self.scheduler.note(note);
            }
            let plan = self.scheduler.plan(self.now.wall, u64::MAX);
            if plan.places.is_empty() && plan.rights.is_empty() {
                return;
            }
            self.apply(Command::Plan(plan));
        }
        panic!("the scheduler does not come to rest");
    }

    pub fn submit(&mut self, spec: JobSpec) -> Reply {
        self.keys += 1;
        let content = Content { hash: ContentHash::of(b"x"), bytes: b"x".to_vec() };
        let submit = Submit {
            key: format!("k{}", self.keys),
            specs: vec![spec.into()],
            contents: vec![content],
            test_only: false,
        };
        self.ask(Request::Submit(submit))
    }

    pub fn act(&mut self, verb: Verb, job: JobId, states: Vec<State>) -> Reply {
        self.keys += 1;
        let selection = Selection {
            selectors: vec![Selector::Number(job)],
            filter: Filter { states, ..Filter::default() },
        };
        self.ask(Request::Act(Act { key: format!("k{}", self.keys), verb, selection, dry_run: false }))
    }

    pub fn ask(&mut self, request: Request) -> Reply {
        let hash = ContentHash::of(format!("{request:?}").as_bytes());
        let found = Found { request_hash: Some(hash), ..Found::default() };
        let command =
            Command::Client { caller: caller(), request: Box::new(request), found: Box::new(found) };
        self.apply(command).reply.unwrap()
    }

    /// Starts up to `count` of what a node holds.
    pub fn start(&mut self, id: NodeId, count: usize) {
        let Some(model) = self.nodes.get_mut(&id) else { return };
        let queued: Vec<(TaskRef, Attempt)> = model
            .holds
            .iter()
            .filter(|(_, at)| **at == OnNode::Queued)
            .map(|(key, _)| *key)
            .take(count)
            .collect();
        for key in &queued {
            model.holds.insert(*key, OnNode::Running);
            *self.starts.entry(*key).or_default() += 1;
        }
        let start = self.now.wall;
        let started = queued
            .into_iter()
            .map(|(task, attempt)| Started { attempt: AttemptRef { task, attempt }, start });
        self.send(id, Report { started: started.collect(), ..Report::default() });
    }

    /// Ends up to `count` of what runs on a node, with that exit code.
    pub fn end(&mut self, id: NodeId, count: usize, exit_code: u8) {
        let now = self.now.wall;
        let Some(model) = self.nodes.get_mut(&id) else { return };
        let running: Vec<(TaskRef, Attempt)> = model
            .holds
            .iter()
            .filter(|(_, at)| **at == OnNode::Running)
            .map(|(key, _)| *key)
            .take(count)
            .collect();
        for (task, attempt) in &running {
            model.holds.remove(&(*task, *attempt));
            model.tombs.insert((*task, *attempt));
            model.unconfirmed.push(Ended { task: *task, end: end(*attempt, exit_code, now) });
        }
        let report =
            Report { ended: model.unconfirmed.clone(), never: model.never.clone(), ..Report::default() };
        self.send(id, report);
    }

    /// The node dies with everything on it and boots again.
    pub fn reboot(&mut self, id: NodeId) {
        self.now.wall = self.now.wall.plus(Seconds(1));
        let session = self.nodes[&id].session;
        if let Some(session) = session {
            self.apply(Command::NodeGone { node: id, session });
        }
        if let Some(model) = self.nodes.get_mut(&id) {
            model.boot += 1;
            model.booted = self.now.wall;
            for key in std::mem::take(&mut model.holds).into_keys() {
                model.tombs.insert(key);
            }
        }
        self.connect(id);
    }

    /// The log replayed from its beginning gives the same state.
    pub fn check_replay(&self) {
        let mut again = Cluster { next_job: JobId(1), ..Cluster::default() };
        let mut touched = Touched::default();
        for change in &self.log {
            again.absorb(change, &mut touched);
        }
        let here = self.core.cluster();
        assert_eq!(again.jobs.len(), here.jobs.len());
        for (id, job) in &here.jobs {
            let other = &again.jobs[id];
            assert_eq!((&other.tasks, &other.live, &other.slots), (&job.tasks, &job.live, &job.slots));
            assert_eq!((&other.exceptions, other.ended), (&job.exceptions, job.ended));
        }
        assert_eq!(again.totals, here.totals);
        again.recount();
        assert_eq!(again.accounting.uses.decayed, here.accounting.uses.decayed);
        assert_eq!(again.accounting.uses.rates, here.accounting.uses.rates);
    }
}

fn obey(model: &mut ModelNode, job: JobId, act: OrderAct) {
    let each = |runs: &[crate::wire::node::TaskRun]| -> Vec<(TaskRef, Attempt)> {
        let tasks = runs.iter().flat_map(|run| (run.first.0..=run.last.0).map(|o| (Ordinal(o), run.attempt)));
        tasks.map(|(ordinal, attempt)| (TaskRef { job, ordinal }, attempt)).collect()
    };
    match act {
        OrderAct::Launch(launch) => {
            for key in each(&launch.attempts) {
                if !model.tombs.contains(&key) {
                    model.holds.entry(key).or_insert(OnNode::Queued);
                }
            }
        }
        OrderAct::Withdraw { attempts } => {
            for key in each(&attempts) {
                if model.holds.get(&key) == Some(&OnNode::Queued) {
                    bury(model, key);
                }
            }
        }
        OrderAct::Kill { attempts, .. } => {
            for key in each(&attempts) {
                match model.holds.get(&key) {
                    Some(OnNode::Queued) => bury(model, key),
                    Some(OnNode::Running) => {
                        model.holds.remove(&key);
                        model.tombs.insert(key);
                        model.unconfirmed.push(Ended { task: key.0, end: end(key.1, 143, WallTime(1)) });
                    }
                    None => {}
                }
            }
        }
        OrderAct::Limit { limit } => model.limits.push((job, limit)),
        OrderAct::Signal { .. } | OrderAct::Suspend { .. } => {}
    }
}

fn bury(model: &mut ModelNode, key: (TaskRef, Attempt)) {
    model.holds.remove(&key);
    model.tombs.insert(key);
    model.never.push(AttemptRef { task: key.0, attempt: key.1 });
}

pub fn end(attempt: Attempt, exit_code: u8, at: WallTime) -> End {
    End {
        state: if exit_code == 0 { State::Completed } else { State::Failed },
        exit_code,
        signal: 0,
        cause: Cause::plain(CauseKind::Exit),
        node: None,
        start: Some(at),
        end: at,
        usage: Usage::default(),
        attempt,
    }
}
