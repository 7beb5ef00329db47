//! A node: its host, its spool, and its daemon, which is the real agent and the loop around it.

use std::collections::BTreeMap;

use super::dice::Dice;
use super::links::{Message, Way};
use super::supervisor::{Heard, Process};
use super::world::{Event, World};
use crate::agent::{Agent, Effect, Facts, Record, Said, SupervisorId};
use crate::model::ids::{Attempt, BootId, ContentHash, Instance, JobId, NodeId, SpoolId, TaskRef};
use crate::model::resources::Resources;
use crate::model::time::{Now, WallTime};
use crate::wire::node::{Act, Beat, FromNode, Hardware, Hello, ToNode};
use crate::wire::supervisor::ToSupervisor;
use crate::worker::translate::{Lines, said, to_supervisor};

/// A node's host.
pub struct Node {
    pub name: String,
    pub id: NodeId,
    pub cpus: u32,
    /// Which life of the host.
    pub power: u32,
    pub on: bool,
    pub booted: u64,
    pub wall_off: i64,
    /// Which life of the daemon.
    pub life: u32,
    pub daemon: Option<Daemon>,
    pub spool: SpoolId,
    pub spools: u8,
    pub records: Vec<Record>,
    pub synced: usize,
    pub contents: BTreeMap<ContentHash, Vec<u8>>,
    pub supervisors: BTreeMap<SupervisorId, Process>,
    /// What runs under supervisors whose folders are gone, and when those make it stand still; `None`: they are dead.
    pub strays: BTreeMap<(TaskRef, Attempt), Option<u64>>,
    /// Until when nothing gets through, up and down.
    pub cut: [u64; 2],
    /// Until when an answer to one of its beats is on its way.
    pub answer_under_way: u64,
    pub wiped: bool,
    /// When the last thing said between its processes is heard.
    heard_at: u64,
}

/// A running daemon.
pub struct Daemon {
    pub agent: Agent,
    /// When it began.
    pub since: u64,
    pub conn: Option<u64>,
    /// A dial is due, or its answer is.
    pub dialling: bool,
    pub trying: Option<u64>,
    wakes: Option<u64>,
}

impl Node {
    pub fn new(at: usize, dice: &mut Dice) -> Node {
        Node {
            name: format!("n{at}"),
            id: NodeId(at as u32 + 1),
            cpus: dice.between(2, 4) as u32,
            power: 0,
            on: true,
            booted: 0,
            wall_off: 0,
            life: 0,
            daemon: None,
            spool: SpoolId([at as u8 + 1; 16]),
            spools: 0,
            records: Vec::new(),
            synced: 0,
            contents: BTreeMap::new(),
            supervisors: BTreeMap::new(),
            strays: BTreeMap::new(),
            cut: [0; 2],
            answer_under_way: 0,
            wiped: false,
            heard_at: 0,
        }
    }

    pub fn hardware(&self) -> Hardware {
        let resources = Resources { cpus: self.cpus, memory_bytes: 1 << 30, tmp_bytes: 0 };
        Hardware { resources, ..Hardware::default() }
    }

    pub fn instance(&self) -> Instance {
        let mut boot = [0; 16];
        boot[..4].copy_from_slice(&self.power.to_le_bytes());
        boot[4] = self.id.0 as u8;
        Instance { spool: self.spool, boot: BootId(boot) }
    }

    pub fn hello(&self, agent: &Agent, now: Now) -> Hello {
        let (incarnation, epoch, position) = agent.office();
        Hello {
            instance: self.instance(),
            hardware: self.hardware(),
            version: "sim".to_owned(),
            only_uid: None,
            boot_time: WallTime(now.wall.0.saturating_sub_unsigned(now.boot.0)),
            incarnation,
            epoch,
            position,
            clock: now.wall,
        }
    }
}

impl World {
    pub fn node_now(&self, node: usize) -> Now {
        self.clocks(self.nodes[node].booted, self.nodes[node].wall_off)
    }

    pub fn node_starts(&mut self, node: usize) {
        if self.nodes[node].on {
            return;
        }
        self.note(format!("n{node} boots"));
        let now = self.now;
        let host = &mut self.nodes[node];
        host.on = true;
        host.booted = now;
        let power = host.power;
        let wait = self.dice.between(10_000, 2_000_000);
        self.after(wait, Event::DaemonStarts { node, power });
    }

    pub fn daemon_starts(&mut self, node: usize, power: u32) {
        let (now, since) = (self.node_now(node), self.now);
        let host = &mut self.nodes[node];
        if host.power != power || !host.on || host.daemon.is_some() {
            return;
        }
        host.life += 1;
        let life = host.life;
        let supervisors: Vec<_> = host.supervisors.iter().map(|(id, process)| (*id, process.job)).collect();
        let facts = Facts {
            instance: host.instance(),
            records: host.records.clone(),
            supervisors: supervisors.clone(),
            contents: host.contents.keys().copied().collect(),
        };
        let agent = Agent::new(now, facts);
        host.daemon = Some(Daemon { agent, since, conn: None, dialling: false, trying: None, wakes: None });
        self.note(format!("n{node}'s daemon starts"));
        for (supervisor, _) in supervisors {
            let wait = self.dice.between(200, 30_000);
            self.after(wait, Event::Greets { node, life, supervisor, starts: false });
        }
        if self.daemon_may_die(node, "while it begins") {
            return;
        }
        self.daemon_turn(node);
    }

    pub fn daemon_wakes(&mut self, node: usize, life: u32) {
        let now = self.now;
        let host = &mut self.nodes[node];
        let Some(daemon) = host.daemon.as_mut().filter(|_| host.life == life) else { return };
        if daemon.wakes.is_some_and(|at| at <= now) {
            daemon.wakes = None;
            self.daemon_turn(node);
        }
    }

    /// Does what comes out of the agent, and sees to it that it is asked again.
    pub fn daemon_turn(&mut self, node: usize) {
        let now = self.node_now(node);
        let life = self.nodes[node].life;
        let Some(daemon) = &mut self.nodes[node].daemon else { return };
        for effect in daemon.agent.flush(now) {
            if self.daemon_may_die(node, point_before(&effect)) {
                return;
            }
            self.carry_out(node, effect);
        }
        if self.daemon_may_die(node, "after a turn") {
            return;
        }
        let true_now = self.now;
        let Some(daemon) = &mut self.nodes[node].daemon else { return };
        let mut dials = false;
        if daemon.conn.is_none() && !daemon.dialling && daemon.agent.is_settled() {
            daemon.dialling = true;
            dials = true;
        }
        let wake = daemon.agent.wake_at().map(|at| true_now + at.0.saturating_sub(now.boot.0).max(1));
        let wake = wake.filter(|at| daemon.wakes.is_none_or(|known| *at < known));
        if let Some(at) = wake {
            daemon.wakes = Some(at);
            self.after(at - true_now, Event::DaemonTurns { node, life });
        }
        if dials {
            let wait = self.dice.between(1_000, 1_500_000);
            self.after(wait, Event::Dials { node, life });
        }
    }

    fn carry_out(&mut self, node: usize, effect: Effect) {
        let life = self.nodes[node].life;
        let power = self.nodes[node].power;
        let now = self.node_now(node);
        let host = &mut self.nodes[node];
        let conn = host.daemon.as_ref().and_then(|daemon| daemon.conn);
        match effect {
            Effect::Keep(content) => drop(host.contents.insert(content.hash, content.bytes)),
            Effect::Drop(hash) => drop(host.contents.remove(&hash)),
            Effect::Append(records) => {
                let sync = records.iter().any(Record::must_sync);
                host.records.extend(records);
                if sync {
                    host.synced = host.records.len();
                }
                self.tidy(node);
            }
            Effect::Start { supervisor, job, body } => {
                if job == GHOST_JOB {
                    self.fail("a node obeys a controller that is deposed");
                }
                if !self.calm && self.dice.chance(self.rates.supervisor / 4) {
                    let news = Heard::Failed;
                    self.after(500, Event::News { node, life, supervisor, news });
                    return;
                }
                self.nodes[node].supervisors.insert(supervisor, Process::new(job, Some(body)));
                let slow = self.dice.chance(1_000);
                let wait =
                    if slow { self.dice.between(20_000, 2_000_000) } else { self.dice.between(500, 20_000) };
                self.after(wait, Event::Greets { node, life, supervisor, starts: true });
            }
            Effect::Tell { supervisor, job, what } => {
                let Some(daemon) = &host.daemon else { return };
                let body = daemon.agent.body(job);
                let messages = match (body, what) {
                    (Some(body), tell) => to_supervisor(job, &body, &Lines::default(), tell),
                    (None, crate::agent::Tell::Acknowledge(up_to)) => {
                        vec![ToSupervisor::Acknowledge { up_to }]
                    }
                    (None, crate::agent::Tell::Finish) => vec![ToSupervisor::Finish],
                    (None, _) => Vec::new(),
                };
                for message in messages {
                    let message = Box::new(message);
                    let wait = self.in_turn(node);
                    self.after(wait, Event::Hears { node, power, supervisor, message });
                }
            }
            Effect::EndLeftovers { supervisor, .. } => {
                let wait = self.dice.between(500, 200_000);
                self.after(wait, Event::News { node, life, supervisor, news: Heard::LeftoversEnded });
            }
            Effect::Remove { supervisor, .. } => {
                if self.nodes[node].supervisors.remove(&supervisor).is_some_and(|process| process.alive) {
                    self.fail(format!("n{node} removes the folder of a living supervisor"));
                }
            }
            Effect::Report(report) => {
                let never = !report.never.is_empty() && !self.calm;
                if never && self.dice.chance(self.rates.daemon * 20) {
                    // What never starts must not do so after a death either.
                    let wait = self.dice.between(0, 4_000);
                    self.after(wait, Event::DaemonDies { node, life });
                }
                self.say(conn, FromNode::Report(report));
            }
            Effect::Refuse(refused) => self.say(conn, FromNode::Refused(refused)),
            Effect::Beat(number) => {
                self.say(conn, FromNode::Beat(Beat { number, load_hundredths: 0, clock: now.wall }));
            }
        }
    }

    /// How long it takes until the next thing said between processes of that node is heard: none passes another.
    pub fn in_turn(&mut self, node: usize) -> u64 {
        let wait = self.local();
        let host = &mut self.nodes[node];
        host.heard_at = host.heard_at.max(self.now + wait);
        host.heard_at - self.now
    }

    fn say(&mut self, conn: Option<u64>, message: FromNode) {
        if let Some(conn) = conn {
            self.send(conn, Way::Up, Message::FromNode(Box::new(message)));
        }
    }

    /// Writes the log anew when it has grown long.
    fn tidy(&mut self, node: usize) {
        let host = &mut self.nodes[node];
        if host.records.len() > 200
            && let Some(daemon) = &host.daemon
        {
            host.records = daemon.agent.snapshot();
            host.synced = host.records.len();
        }
    }

    /// Something arrives from the controller.
    pub fn node_hears(&mut self, id: u64, message: Message) {
        let Some(conn) = self.conns.get(&id).filter(|conn| conn.node_end) else { return };
        let node = conn.node;
        let life = conn.daemon;
        let now = self.node_now(node);
        let host = &mut self.nodes[node];
        let Some(daemon) = host.daemon.as_mut().filter(|_| host.life == life) else { return };
        let mut order = false;
        let mut told = None;
        match message {
            Message::Welcome(welcome) => {
                if daemon.trying != Some(id) {
                    return;
                }
                daemon.trying = None;
                daemon.dialling = false;
                daemon.conn = Some(id);
                daemon.agent.on_connected(now, &welcome);
                let text =
                    daemon.agent.disobeys().map_or_else(String::new, |why| format!(", not obeyed: {why}"));
                self.note(format!("n{node} is welcome: session {}{text}", welcome.session));
            }
            _ if daemon.conn != Some(id) => return,
            Message::ToNode(message) => match *message {
                ToNode::Confirmed { report } => daemon.agent.on_confirmed(now, report),
                ToNode::Beat { number } => daemon.agent.on_beat_answer(now, number),
                ToNode::Order(what) => {
                    order = true;
                    told = Some(format!("n{node} is told of {}: {}", what.job, words(&what.act)));
                    daemon.agent.on_order(now, what);
                }
            },
            _ => return,
        }
        if let Some(told) = told {
            self.note(told);
        }
        if order && self.daemon_may_die(node, "after an order") {
            return;
        }
        self.daemon_turn(node);
    }

    /// The daemon reaches a supervisor, or finds it dead.
    pub fn greets(&mut self, node: usize, life: u32, id: SupervisorId, starts: bool) {
        if self.nodes[node].life != life || self.nodes[node].daemon.is_none() {
            return;
        }
        let now = self.node_now(node);
        let power = self.nodes[node].power;
        let greeting = self.greet(node, life, id);
        let has_job = self.nodes[node].supervisors.get(&id).is_some_and(|process| process.body.is_some());
        let Some(greeting) = greeting else {
            return self.daemon_hears(node, life, id, Heard::Gone);
        };
        if starts && !has_job {
            // The job goes first; what the agent says comes behind it.
            self.supervisor_hears(node, power, id, ToSupervisor::Hello { version: 0 });
        } else if !has_job {
            let message = Box::new(ToSupervisor::Finish);
            let wait = self.in_turn(node);
            return self.after(wait, Event::Hears { node, power, supervisor: id, message });
        }
        let Some(daemon) = &mut self.nodes[node].daemon else { return };
        if let Some(said) = said(greeting) {
            daemon.agent.on_supervisor(now, id, said);
        }
        self.daemon_turn(node);
    }

    pub fn daemon_hears(&mut self, node: usize, life: u32, id: SupervisorId, news: Heard) {
        let now = self.node_now(node);
        let host = &mut self.nodes[node];
        if host.life != life {
            return;
        }
        let Some(daemon) = &mut host.daemon else { return };
        match news {
            Heard::Said(message) => {
                if let Some(said) = said(message) {
                    let said: Said = said;
                    daemon.agent.on_supervisor(now, id, said);
                }
            }
            Heard::Failed => daemon.agent.on_supervisor_failed(now, id, "no process can be made"),
            Heard::Gone => {
                let Some(process) = host.supervisors.get(&id) else { return };
                daemon.agent.on_supervisor_lost(now, id, process.remains());
            }
            Heard::LeftoversEnded => {
                if let Some(process) = host.supervisors.get_mut(&id) {
                    let job = process.job;
                    for task in process.end_leftovers() {
                        self.facts.stopped(TaskRef { job, ordinal: task.ordinal }, task.attempt);
                    }
                }
                daemon.agent.on_leftovers_ended(now, id);
            }
        }
        self.daemon_turn(node);
    }

    /// A place where the daemon may be killed.
    fn daemon_may_die(&mut self, node: usize, point: &'static str) -> bool {
        let weight = match point {
            "before a refusal" | "before dropping content" | "before ending leftovers" => 30,
            "before keeping content" | "while it begins" => 12,
            "before removing a folder" | "before starting a supervisor" => 5,
            "before a beat" | "after a turn" => 1,
            _ => 2,
        };
        if !self.dies(self.rates.daemon, weight) {
            return self.nodes[node].daemon.is_none();
        }
        self.counts.fired("daemon dies", point);
        self.note(format!("n{node}'s daemon is killed: {point}"));
        self.daemon_dies(node);
        true
    }

    pub fn daemon_dies(&mut self, node: usize) {
        self.counts.fired("fault", "daemon killed");
        self.end_daemon(node);
        let power = self.nodes[node].power;
        let mut wait = self.dice.between(10_000, 5_000_000);
        if !self.calm && self.dice.chance(self.rates.long) {
            self.counts.fired("fault", "daemon away");
            wait = self.dice.between(15_000_000, 45_000_000);
        }
        self.after(wait, Event::DaemonStarts { node, power });
    }

    pub fn end_daemon(&mut self, node: usize) {
        let life = self.nodes[node].life;
        self.nodes[node].daemon = None;
        self.nodes[node].supervisors.values_mut().for_each(|process| process.daemon = None);
        let mine: Vec<u64> = self
            .conns
            .iter()
            .filter(|(_, conn)| conn.node == node && conn.daemon == life)
            .map(|(id, _)| *id)
            .collect();
        for id in mine {
            if let Some(conn) = self.conns.get_mut(&id) {
                conn.node_end = false;
                conn.break_off();
            }
            let wait = self.dice.between(1_000, 20_000_000);
            self.after(wait, Event::Lost { conn: id, way: Way::Up });
        }
    }
}

fn words(act: &Act) -> String {
    match act {
        Act::Launch(launch) => format!("launch {:?}", launch.attempts),
        other => format!("{other:?}"),
    }
}

/// The job that only a deposed controller knows.
pub const GHOST_JOB: JobId = JobId(9_999_999);

fn point_before(effect: &Effect) -> &'static str {
    match effect {
        Effect::Keep(_) => "before keeping content",
        Effect::Append(_) => "before recording",
        Effect::Drop(_) => "before dropping content",
        Effect::Start { .. } => "before starting a supervisor",
        Effect::Tell { .. } => "before telling a supervisor",
        Effect::EndLeftovers { .. } => "before ending leftovers",
        Effect::Remove { .. } => "before removing a folder",
        Effect::Report(_) => "before a report",
        Effect::Refuse(_) => "before a refusal",
        Effect::Beat(_) => "before a beat",
    }
}
