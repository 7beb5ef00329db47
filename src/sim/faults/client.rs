//! Clients: users who submit, cancel, requeue and hold, repeat what was not answered under the same key, and remember
//! what they were told.

use std::sync::Arc;

use super::controller::Waiter;
use super::dice::Dice;
use super::links::Message;
use super::node::Node;
use super::supervisor::Plan;
use super::switch::key_of;
use super::world::World;
use crate::core::tests_spec::spec;
use crate::core::{Caller, Command};
use crate::model::change::Change;
use crate::model::identity::{Identity, Role, Serial};
use crate::model::ids::{ContentHash, JobId, NodeId, Uid};
use crate::model::priority::PriorityRecord;
use crate::model::record::{Hold, NodeAdmin, NodeRecord, PartitionRecord};
use crate::model::spec::{Dependency, DependencyKind, JobSpec, LostPolicy, Parent};
use crate::model::state::State;
use crate::model::time::Seconds;
use crate::wire::client::{
    Act, Filter, NodeAct, RefusalCode, Reply, Request, Selection, Selector, Submit, Verb,
};
use crate::wire::node::Content;

/// A job that runs until somebody ends it.
const FOR_EVER: u64 = u64::MAX;

/// A user at work.
pub struct Client {
    at: usize,
    caller: Caller,
    /// Until when nothing gets through.
    pub cut: u64,
    operations: u64,
    pending: Option<Pending>,
    numbers: u64,
    jobs: Vec<Own>,
    finishing: bool,
    quiet: u32,
    /// The newest job has many short tasks.
    burst: bool,
    /// The next job is cancelled as soon as it is acknowledged, and this one in a moment.
    racing: bool,
    regrets: Option<JobId>,
}

/// What was asked and not answered yet.
struct Pending {
    key: String,
    request: Request,
    again: u64,
    /// The job that it is about, and whether it ends it.
    about: Option<(JobId, bool)>,
}

/// A job of one's own.
struct Own {
    id: JobId,
    /// It was said to be cancelled, and nobody has asked for it since.
    cancelled: bool,
}

impl Client {
    pub fn new(at: usize, dice: &mut Dice) -> Client {
        let uid = Uid(1_000 + at as u32);
        let identity = Identity {
            role: Role::User,
            name: format!("u{at}"),
            uid: Some(uid),
            serial: Serial([at as u8; 16]),
            within: None,
        };
        Client {
            at,
            caller: Caller { identity, from: "here".to_owned() },
            cut: 0,
            operations: dice.between(5, 20),
            pending: None,
            numbers: 0,
            jobs: Vec::new(),
            finishing: false,
            quiet: 0,
            burst: false,
            racing: false,
            regrets: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.caller.identity.name
    }

    /// Whether it has asked for everything and was answered.
    pub fn is_done(&self) -> bool {
        self.finishing && self.pending.is_none() && self.quiet > 2
    }

    /// Who asks: nodes are an admin's business.
    pub fn caller_for(&self, request: &Request) -> Caller {
        let mut caller = self.caller.clone();
        if matches!(request, Request::NodeAct(_)) {
            caller.identity.role = Role::Admin;
        }
        caller
    }

    fn next_key(&mut self) -> String {
        self.numbers += 1;
        format!("{}-{}", self.at, self.numbers)
    }
}

/// What `jctld init` and `jnode add` leave behind.
pub fn first_changes(nodes: &[Node]) -> Vec<Change> {
    let main = PartitionRecord { default: true, ..crate::core::node_act::new_partition("main") };
    let weights = PriorityRecord {
        half_life: Some(Seconds(60)),
        period: Seconds(5),
        age: 10,
        fair_share: 1_000,
        ..PriorityRecord::default()
    };
    let mut changes =
        vec![Change::Partition(Box::new(main)), Change::NextNode(NodeId(nodes.len() as u32 + 1))];
    // The others go without.
    if nodes.len() > 2 {
        changes.push(Change::Priority(Box::new(weights)));
    }
    for node in nodes {
        changes.push(Change::Node(Box::new(NodeRecord {
            id: node.id,
            name: node.name.clone(),
            hardware: None,
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
    changes
}

impl World {
    pub fn client_acts(&mut self, at: usize) {
        // Where leases run out, work has to come all the time.
        let slow = if self.rates.long > 1_000 && !self.calm { 4 } else { 1 };
        let wait = self.dice.between(50_000, 900_000) * slow;
        self.after(wait, super::world::Event::Client(at));
        let now = self.now;
        if let Some(pending) = &mut self.clients[at].pending {
            if pending.again <= now {
                pending.again = now + 4_000_000;
                let request = Box::new(pending.request.clone());
                self.note(format!(
                    "u{at} repeats {}",
                    self.clients[at].pending.as_ref().map_or("", |p| &p.key)
                ));
                self.post(at, Message::Request { client: at, request });
            }
            return;
        }
        if self.clients[at].finishing {
            return self.tidy_up(at);
        }
        if self.clients[at].operations == 0 {
            return;
        }
        self.clients[at].operations -= 1;
        self.ask_something(at);
    }

    pub fn client_regrets(&mut self, at: usize) {
        let Some(job) = self.clients[at].regrets.take() else { return };
        if self.clients[at].pending.is_none() {
            self.act(at, Verb::Cancel { reason: "at once".to_owned() }, job);
        }
    }

    fn ask_something(&mut self, at: usize) {
        let known: Vec<JobId> = self.clients[at].jobs.iter().map(|own| own.id).collect();
        // Mostly the newest: something can still be done about that.
        let job = if self.dice.chance(6_000) { known.last().copied() } else { self.dice.pick(&known) };
        let burst = std::mem::take(&mut self.clients[at].burst);
        if let (true, Some(last)) = (burst && self.dice.chance(6_000), known.last()) {
            let verb = if self.dice.chance(7_000) { Verb::Hold } else { Verb::Requeue };
            return self.act(at, verb, *last);
        }
        match (self.dice.below(100), job) {
            (0..=49, _) | (_, None) => self.submit(at),
            (50..=52, _) => self.act_on_all(at),
            (53..=64, Some(job)) => self.act(at, Verb::Cancel { reason: String::new() }, job),
            (65..=75, Some(job)) => self.act(at, Verb::Requeue, job),
            (76..=83, Some(job)) => self.act(at, Verb::Hold, job),
            (84..=87, Some(job)) => self.act(at, Verb::Release, job),
            (88..=94, Some(job)) => {
                let settings = crate::wire::client::Settings {
                    time: Some(crate::model::time::TimeLimit(Some(Seconds(self.dice.between(2, 20))))),
                    ..Default::default()
                };
                self.act(at, Verb::Set(Box::new(settings)), job);
            }
            _ => self.ask_of_a_node(at),
        }
    }

    fn submit(&mut self, at: usize) {
        let spec = self.some_job(at);
        let key = self.clients[at].next_key();
        let contents = vec![Content { hash: ContentHash::of(b"x"), bytes: b"x".to_vec() }];
        let specs = self.like_it(spec);
        let request = Request::Submit(Submit { key, specs, contents, test_only: false });
        self.ask(at, request, None);
    }

    /// Now and then several jobs at once, which are taken on in steps.
    fn like_it(&mut self, spec: JobSpec) -> Vec<Arc<JobSpec>> {
        let ends = spec.arguments.first().is_some_and(|micros| *micros != FOR_EVER.to_string());
        let mut specs = vec![Arc::new(spec)];
        if !ends || !self.dice.chance(1_200) {
            return specs;
        }
        let count = self.dice.between(4, 10) as u32;
        for place in 0..count {
            let mut next = (*specs[0]).clone();
            next.dependencies.conditions.clear();
            if self.dice.chance(3_000) {
                let parent = Parent::Batch(place);
                let condition = Dependency { kind: DependencyKind::AfterAny, parent, delay: Seconds(0) };
                next.dependencies.conditions.push(condition);
            }
            specs.push(next.into());
        }
        specs
    }

    /// All of one's own at once, which is done in steps.
    fn act_on_all(&mut self, at: usize) {
        let key = self.clients[at].next_key();
        let verb = if self.dice.chance(5_000) { Verb::Hold } else { Verb::Release };
        let filter = Filter { own: true, ..Filter::default() };
        let selection = Selection { filter, ..Selection::default() };
        self.ask(at, Request::Act(Act { key, verb, selection, dry_run: false }), None);
    }

    fn some_job(&mut self, at: usize) -> JobSpec {
        let dice = &mut self.dice;
        // Many short tasks, so that a node is given some ahead.
        let burst = dice.chance(1_200);
        let most = if burst { 25 } else { 6 };
        let tasks = (burst || dice.chance(3_000)).then(|| format!("0-{}", dice.below(most)));
        let racing = !burst && dice.chance(2_500);
        let lasts = self.rates.long > 1_000;
        let lasting = if lasts { 6_000 } else { 1_500 };
        let for_ever = !burst && dice.chance(if racing { 5_000 } else { lasting });
        let limit = dice.chance(3_000).then(|| dice.between(3, 20));
        let mut spec = spec(dice.between(1, 2) as u32, limit, tasks.as_deref());
        let micros = match dice.below(3) {
            _ if for_ever && !racing && lasts && dice.chance(8_000) => dice.between(10_000_000, 50_000_000),
            _ if for_ever => FOR_EVER,
            _ if burst => dice.between(1_000, 150_000),
            0 => dice.between(1_000, 100_000),
            1 => dice.between(100_000, 3_000_000),
            _ => dice.between(3_000_000, 12_000_000),
        };
        let fails = dice.chance(2_500);
        let plan = Plan { micros, fails_until: if fails { dice.between(1, 3) as u32 } else { 0 }, exit: 3 };
        spec.arguments = plan.arguments();
        spec.restart.lost = match dice.below(12) {
            0 => LostPolicy::Proof,
            1..=2 if !lasts => LostPolicy::Proof,
            1..=8 => LostPolicy::Fenced(None),
            9..=10 => LostPolicy::Fenced(Some(Seconds(dice.between(15, 30)))),
            _ => LostPolicy::Overlap,
        };
        match dice.below(10) {
            1..=2 if lasts => {}
            0..=2 if !burst => spec.restart.lost = LostPolicy::Never,
            3..=4 => {
                spec.restart.retries = 2;
                spec.restart.on.fail = true;
            }
            _ => {}
        }
        spec.hold = dice.chance(800);
        self.clients[at].burst = burst;
        self.clients[at].racing = racing;
        let known: Vec<JobId> = self.clients[at].jobs.iter().map(|own| own.id).collect();
        if self.dice.chance(1_500)
            && let Some(parent) = self.dice.pick(&known)
        {
            let kind =
                if self.dice.chance(5_000) { DependencyKind::AfterOk } else { DependencyKind::AfterAny };
            let condition = Dependency { kind, parent: Parent::Job(parent), delay: Seconds(0) };
            spec.dependencies.conditions.push(condition);
        }
        spec
    }

    fn act(&mut self, at: usize, verb: Verb, job: JobId) {
        let key = self.clients[at].next_key();
        let ends = matches!(verb, Verb::Cancel { .. });
        if matches!(verb, Verb::Requeue) {
            *self.facts.requeues.entry(job).or_default() += 1;
            self.clients[at]
                .jobs
                .iter_mut()
                .filter(|own| own.id == job)
                .for_each(|own| own.cancelled = false);
        }
        let selection = Selection { selectors: vec![Selector::Number(job)], ..Selection::default() };
        let request = Request::Act(Act { key, verb, selection, dry_run: false });
        self.ask(at, request, Some((job, ends)));
    }

    fn ask_of_a_node(&mut self, at: usize) {
        let node = self.dice.below(self.nodes.len() as u64) as usize;
        let nodes = vec![self.nodes[node].name.clone()];
        let act = if self.dice.chance(5_000) {
            NodeAct::Drain { nodes, reason: "why not".to_owned(), deadline: None }
        } else {
            NodeAct::Resume { nodes }
        };
        self.ask(at, Request::NodeAct(act), None);
    }

    fn ask(&mut self, at: usize, request: Request, about: Option<(JobId, bool)>) {
        let key = key_of(&request);
        let again = self.now + self.dice.between(1_000_000, 8_000_000);
        self.note(format!("u{at} asks {key}: {}", words(&request)));
        let pending = Pending { key, request: request.clone(), again, about };
        self.clients[at].pending = Some(pending);
        self.post(at, Message::Request { client: at, request: Box::new(request) });
    }

    pub fn on_reply(&mut self, at: usize, key: &str, reply: Reply) {
        let mine = self.clients[at].pending.as_ref().is_some_and(|pending| pending.key == key);
        match &reply {
            Reply::Submitted { jobs, .. } => {
                let known = self.facts.answers.entry(key.to_owned()).or_insert_with(|| jobs.clone());
                if known != jobs {
                    let what = format!("key {key} was answered with job {known:?} and {jobs:?}");
                    return self.fail(what);
                }
                for id in jobs {
                    let facts = super::facts::JobFacts { key: key.to_owned() };
                    let known = self.facts.jobs.entry(*id).or_insert(facts);
                    if known.key != key {
                        let what = format!("job {id} was acknowledged for {} and for {key}", known.key);
                        return self.fail(what);
                    }
                }
                self.note(format!("u{at} has {key}: {jobs:?}"));
            }
            Reply::Refused(refusal) => {
                if matches!(refusal.code, RefusalCode::NoRoom | RefusalCode::Stopping) {
                    return;
                }
                self.note(format!("u{at} is refused {key}: {}", refusal.message));
            }
            _ => {}
        }
        if !mine {
            return;
        }
        let Some(pending) = self.clients[at].pending.take() else { return };
        let client = &mut self.clients[at];
        match (&reply, pending.about) {
            (Reply::Submitted { jobs, .. }, _) => {
                let own = |id: &JobId| Own { id: *id, cancelled: false };
                client.jobs.extend(jobs.iter().map(own));
                let racing = std::mem::take(&mut client.racing);
                if let Some(job) = jobs.first().copied().filter(|_| racing) {
                    // Either it races the launch, or the start.
                    let first = self.dice.chance(5_000);
                    let wait = if first { 0 } else { self.dice.between(2_000, 40_000) };
                    self.clients[at].regrets = Some(job);
                    self.after(wait, super::world::Event::Regrets(at));
                }
            }
            (Reply::Acted { lines }, Some((job, true))) => {
                let hit = lines.iter().any(|line| line.tasks > 0);
                client
                    .jobs
                    .iter_mut()
                    .filter(|own| own.id == job && hit)
                    .for_each(|own| own.cancelled = true);
            }
            _ => {}
        }
    }

    /// Faults have stopped: no new wishes, but what is held is released and what would never end is cancelled.
    pub fn finish_up(&mut self, at: usize) {
        self.clients[at].finishing = true;
        self.clients[at].operations = 0;
    }

    fn tidy_up(&mut self, at: usize) {
        let Some(up) = &self.controller.up else { return };
        let cluster = up.pipeline.core().cluster();
        if at == 0
            && let Some(node) = cluster.nodes.values().find(|node| node.record.admin != NodeAdmin::Up)
        {
            let act = NodeAct::Resume { nodes: vec![node.record.name.clone()] };
            return self.ask(at, Request::NodeAct(act), None);
        }
        let uid = self.clients[at].caller.identity.uid;
        let mut wish = None;
        for job in cluster.jobs.values().filter(|job| job.ended.is_none() && Some(job.record.uid) == uid) {
            let id = job.id();
            let held = job.record.hold != Hold::No || job.tasks.counted(State::Held) > 0;
            let own = self.clients[at].jobs.iter().find(|own| own.id == id);
            let for_ever = job.record.limit.0.is_none()
                && job.record.spec.arguments.first().is_some_and(|micros| *micros == FOR_EVER.to_string());
            let never = !job.record.never.is_empty();
            if held {
                wish = Some((Verb::Release, id));
            } else if never || (for_ever && !own.is_some_and(|own| own.cancelled)) {
                wish = Some((Verb::Cancel { reason: "at last".to_owned() }, id));
            }
            if wish.is_some() {
                break;
            }
        }
        match wish {
            Some((verb, job)) => {
                self.clients[at].quiet = 0;
                self.act(at, verb, job);
            }
            None => self.clients[at].quiet += 1,
        }
    }

    /// An admin vouches that a node is dead, which it is.
    pub fn confirm_dead(&mut self, node: usize) {
        let Some(up) = &self.controller.up else { return };
        if self.nodes[node].on || !up.waiting.is_empty() {
            return;
        }
        let nodes = vec![self.nodes[node].name.clone()];
        self.note(format!("n{node} is said to be dead, and is"));
        let act = NodeAct::Down { nodes, reason: "dead".to_owned(), confirmed_dead: true };
        let request = Request::NodeAct(act);
        let caller = self.clients[0].caller_for(&request);
        let command = Command::Client { caller, request: Box::new(request), found: Box::default() };
        self.command(command, Waiter::Nobody);
    }
}

fn words(request: &Request) -> String {
    match request {
        Request::Submit(submit) => submit.specs.first().map_or_else(String::new, |spec| {
            let tasks = spec.task_count();
            format!(
                "{tasks} tasks {:?}, {:?}, limit {:?}",
                spec.arguments, spec.restart.lost, spec.times.limit
            )
        }),
        Request::Act(act) => format!("{:?} {:?}", act.verb, act.selection.selectors),
        other => format!("{other:?}"),
    }
}
