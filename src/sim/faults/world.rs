//! Virtual time: what happens when, one thing at a time, and the run from its first step to its rest.

use std::collections::{BTreeMap, VecDeque};

use super::client::Client;
use super::controller::Controller;
use super::counts::Counts;
use super::dice::Dice;
use super::facts::Facts;
use super::links::{Conn, Message, Way};
use super::node::Node;
use super::supervisor::Heard;
use crate::agent::SupervisorId;
use crate::model::ids::Position;
use crate::model::time::{BootTime, Now, WallTime};
use crate::wire::supervisor::ToSupervisor;

/// How long faults go on, in microseconds of virtual time.
const CHAOS_MICROS: u64 = 75_000_000;
/// How long everything may take to come to rest afterwards.
const REST_MICROS: u64 = 1_800_000_000;
/// The most steps of a run.
const STEPS_MAX: u64 = 150_000;
/// How many events a failing run shows, unless `JSCHED_SIM_EVENTS` says otherwise.
const RECENT: usize = 60;
/// What a boot clock shows when its host begins, in microseconds.
pub const BOOT_MICROS: u64 = 1_000_000;
/// Where the wall clocks begin.
const WALL: i64 = 1_790_000_000_000_000;

/// Something that happens.
#[derive(Clone, Debug)]
pub enum Event {
    /// A client does something.
    Client(usize),
    /// A client wants what it has just submitted no more.
    Regrets(usize),
    /// A request or a reply arrives.
    Post(Message),
    /// Something arrives on a node's connection.
    Arrive {
        conn: u64,
        way: Way,
        message: Message,
    },
    /// One end notices that a connection is broken.
    Lost {
        conn: u64,
        way: Way,
    },
    /// What waits for its content is tried again.
    Flush {
        conn: u64,
    },
    ControllerStarts,
    ControllerTicks {
        life: u32,
    },
    LogWrites {
        life: u32,
    },
    LogIsDurable {
        life: u32,
        position: Position,
    },
    TablesWrite {
        life: u32,
    },
    Plans {
        life: u32,
    },
    DiskHasRoom,
    NodeStarts {
        node: usize,
    },
    DaemonStarts {
        node: usize,
        power: u32,
    },
    DaemonTurns {
        node: usize,
        life: u32,
    },
    DaemonDies {
        node: usize,
        life: u32,
    },
    Dials {
        node: usize,
        life: u32,
    },
    /// The daemon greets a supervisor; `starts`: it has just started it, with a job.
    Greets {
        node: usize,
        life: u32,
        supervisor: SupervisorId,
        starts: bool,
    },
    /// A supervisor hears something.
    Hears {
        node: usize,
        power: u32,
        supervisor: SupervisorId,
        message: Box<ToSupervisor>,
    },
    /// A supervisor looks around.
    Turns {
        node: usize,
        power: u32,
        supervisor: SupervisorId,
    },
    /// The daemon hears of a supervisor.
    News {
        node: usize,
        life: u32,
        supervisor: SupervisorId,
        news: Heard,
    },
    /// Something breaks.
    Mischief,
}

/// How likely what is, in ten thousandths.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub drop: u64,
    pub double: u64,
    pub reorder: u64,
    pub delay: u64,
    pub controller: u64,
    pub power: u64,
    pub daemon: u64,
    pub supervisor: u64,
    pub disk: u64,
    pub host: u64,
    /// Absences and cuts that outlast leases.
    pub long: u64,
}

/// Everything.
pub struct World {
    pub seed: u64,
    pub dice: Dice,
    /// True time, in microseconds.
    pub now: u64,
    sequence: u64,
    queue: BTreeMap<(u64, u64), Event>,
    pub steps: u64,
    pub trace: u64,
    recent: VecDeque<String>,
    shown: usize,
    pub counts: Counts,
    pub rates: Rates,
    /// Nothing breaks any more.
    pub calm: bool,
    /// So many of the next places to die are much likelier: something was just doubled, or came in the wrong order.
    pub hot: u32,
    pub controller: Controller,
    pub nodes: Vec<Node>,
    pub clients: Vec<Client>,
    pub conns: BTreeMap<u64, Conn>,
    pub next_conn: u64,
    pub facts: Facts,
    failure: Option<String>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Run {
    /// A number that two runs of one seed share.
    pub trace: u64,
    pub counts: Counts,
    /// What does not hold, where, and the last events.
    pub failure: Option<String>,
    /// Jobs that were acknowledged, attempts that were started.
    pub jobs: usize,
    pub starts: usize,
}

/// Runs a seed; without `faults` nothing breaks.
pub fn run(seed: u64, faults: bool) -> Run {
    let mut world = World::new(seed, faults);
    world.begin();
    while world.failure.is_none() && world.now < CHAOS_MICROS && world.steps < STEPS_MAX {
        world.step();
    }
    world.calm_down();
    let until = world.now + REST_MICROS;
    while world.failure.is_none() && !world.rests() {
        if world.now >= until || world.steps >= 2 * STEPS_MAX {
            let what = world.unrest();
            world.fail(format!("it does not come to rest: {what}"));
        }
        world.step();
    }
    if world.failure.is_none() {
        world.check_end();
    }
    world.counts.add_to("fault", "given up", world.facts.given_up);
    world.counts.runs = 1;
    world.counts.steps = world.steps;
    let (jobs, starts) = (world.facts.jobs.len(), world.facts.starts());
    Run { trace: world.trace, counts: world.counts, failure: world.failure, jobs, starts }
}

/// The controller's disk as a run leaves it after so many virtual microseconds.
pub fn disk_after(seed: u64, micros: u64) -> crate::store::disk::memory::MemoryDisk {
    let mut world = World::new(seed, true);
    world.begin();
    while world.failure.is_none() && world.now < micros {
        world.step();
    }
    world.controller.disk.restart()
}

impl World {
    fn new(seed: u64, faults: bool) -> World {
        let mut dice = Dice::new(seed);
        let rates = if faults { rates(&mut dice) } else { Rates::default() };
        // Where leases run out there has to be another node.
        let least = if rates.long > 0 { 2 } else { 1 };
        let nodes = (least + dice.below(4 - least)) as usize;
        let clients = 1 + dice.below(3) as usize;
        let mut nodes: Vec<Node> = (0..nodes).map(|at| Node::new(at, &mut dice)).collect();
        if rates.long > 1_000 {
            // And it must not be full.
            nodes.iter_mut().for_each(|node| node.cpus += 6);
        }
        let clients = (0..clients).map(|at| Client::new(at, &mut dice)).collect();
        World {
            seed,
            controller: Controller::new(&mut dice),
            dice,
            now: 0,
            sequence: 0,
            queue: BTreeMap::new(),
            steps: 0,
            trace: 0,
            recent: VecDeque::new(),
            shown: std::env::var("JSCHED_SIM_EVENTS")
                .ok()
                .and_then(|text| text.parse().ok())
                .unwrap_or(RECENT),
            counts: Counts::default(),
            rates,
            calm: !faults,
            hot: 0,
            nodes,
            clients,
            conns: BTreeMap::new(),
            next_conn: 0,
            facts: Facts::default(),
            failure: None,
        }
    }

    fn begin(&mut self) {
        self.after(0, Event::ControllerStarts);
        for node in 0..self.nodes.len() {
            let wait = self.dice.between(0, 500_000);
            self.after(wait, Event::DaemonStarts { node, power: 0 });
        }
        for client in 0..self.clients.len() {
            let wait = self.dice.between(0, 500_000);
            self.after(wait, Event::Client(client));
        }
        self.after(1_000_000, Event::Mischief);
    }

    /// Has something happen later.
    pub fn after(&mut self, micros: u64, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + micros, self.sequence), event);
    }

    /// Something does not hold. The first thing counts.
    pub fn fail(&mut self, what: impl Into<String>) {
        if self.failure.is_some() {
            return;
        }
        let mut text =
            format!("seed {}, step {}: {}\nthe last events:\n", self.seed, self.steps, what.into());
        self.recent.iter().for_each(|line| {
            text.push_str("  ");
            text.push_str(line);
            text.push('\n');
        });
        self.failure = Some(text);
    }

    /// Whether something does not hold.
    pub fn failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Whether something dies at a place where that is so likely.
    pub fn dies(&mut self, rate: u64, weight: u64) -> bool {
        let hot = if self.hot > 0 { 30 } else { 1 };
        self.hot = self.hot.saturating_sub(1);
        !self.calm && self.dice.chance(rate * weight * hot)
    }

    /// How long something between two processes of a host takes: now and then one of them is slow.
    pub fn local(&mut self) -> u64 {
        match self.dice.below(30) {
            0 => self.dice.between(1_000, 400_000),
            _ => self.dice.between(20, 90),
        }
    }

    /// Notes an event for people and for the trace.
    pub fn note(&mut self, line: String) {
        self.trace = line.bytes().fold(self.trace ^ self.now, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        if self.recent.len() >= self.shown {
            self.recent.pop_front();
        }
        self.recent.push_back(format!("{:>12} {line}", self.now));
    }

    fn step(&mut self) {
        let Some(((at, _), event)) = self.queue.pop_first() else {
            return self.fail("nothing will ever happen again");
        };
        self.now = self.now.max(at);
        self.steps += 1;
        match event {
            Event::Client(client) => self.client_acts(client),
            Event::Regrets(client) => self.client_regrets(client),
            Event::Post(message) => self.on_post(message),
            Event::Arrive { conn, way: Way::Up, message } => self.controller_hears(conn, message),
            Event::Arrive { conn, way: Way::Down, message } => self.node_hears(conn, message),
            Event::Lost { conn, way } => self.on_lost(conn, way),
            Event::Flush { conn } => self.flush(conn),
            Event::ControllerStarts => self.controller_starts(),
            Event::ControllerTicks { life } => self.controller_ticks(life),
            Event::LogWrites { life } => self.log_writes(life),
            Event::LogIsDurable { life, position } => self.log_is_durable(life, position),
            Event::TablesWrite { life } => self.tables_write(life),
            Event::Plans { life } => self.plans(life),
            Event::DiskHasRoom => self.disk_has_room(),
            Event::NodeStarts { node } => self.node_starts(node),
            Event::DaemonStarts { node, power } => self.daemon_starts(node, power),
            Event::DaemonTurns { node, life } => self.daemon_wakes(node, life),
            Event::DaemonDies { node, life } => {
                if self.nodes[node].life == life && self.nodes[node].daemon.is_some() {
                    self.daemon_dies(node);
                }
            }
            Event::Dials { node, life } => self.dials(node, life),
            Event::Greets { node, life, supervisor, starts } => self.greets(node, life, supervisor, starts),
            Event::Hears { node, power, supervisor, message } => {
                self.supervisor_hears(node, power, supervisor, *message);
            }
            Event::Turns { node, power, supervisor } => self.supervisor_turns(node, power, supervisor),
            Event::News { node, life, supervisor, news } => self.daemon_hears(node, life, supervisor, news),
            Event::Mischief => self.mischief(),
        }
        if self.steps.is_multiple_of(64) {
            self.check_often();
        }
    }

    /// Both clocks of a host that booted then and whose wall clock is that far off.
    pub fn clocks(&self, booted: u64, wall_off: i64) -> Now {
        let wall = WALL.saturating_add_unsigned(self.now).saturating_add(wall_off);
        Now { wall: WallTime(wall), boot: BootTime(self.now.saturating_sub(booted) + BOOT_MICROS) }
    }

    /// From now on nothing breaks, and what is broken is mended.
    fn calm_down(&mut self) {
        self.calm = true;
        self.note("faults stop".to_owned());
        self.disk_has_room();
        for node in &mut self.nodes {
            node.cut = [0; 2];
        }
        for client in &mut self.clients {
            client.cut = 0;
        }
        for node in 0..self.nodes.len() {
            self.mend_node(node);
        }
        for client in 0..self.clients.len() {
            self.finish_up(client);
        }
    }
}

/// Each run has its own mixture: some kinds of faults are absent, some are frequent.
fn rates(dice: &mut Dice) -> Rates {
    let mut rate = |low: u64, high: u64| match dice.below(4) {
        0 => 0,
        1 => low,
        2 => low + (high - low) / 3,
        _ => high,
    };
    let mut rates = Rates {
        drop: rate(12, 80),
        double: rate(20, 120),
        reorder: rate(20, 120),
        delay: rate(20, 100),
        controller: rate(6, 45),
        power: rate(3_000, 7_000),
        daemon: rate(20, 160),
        supervisor: rate(60, 350),
        disk: rate(300, 1_200),
        host: rate(1_000, 4_000),
        long: rate(1_500, 9_000),
    };
    if rates.long > 5_000 && dice.chance(6_000) {
        // Leases alone: with everything else broken, too, hardly ever is another node there in time.
        rates = Rates { controller: rates.controller / 8, daemon: rates.daemon / 8, disk: 0, ..rates };
    }
    rates
}
