//! Links: between a node and the controller one connection of two ordered ways, for a client's request and its reply
//! a way each. What is sent may be lost (then the connection breaks, though either end notices only later), doubled,
//! passed by what was sent after it, delayed, or caught in a cut of one direction.

use std::collections::VecDeque;

use super::world::{Event, World};
use crate::model::ids::{NodeId, SessionId};
use crate::wire::client::{Reply, Request, Verb};
use crate::wire::node::{Act, FromNode, Hello, ToNode, Welcome};

/// Kinds of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Submit,
    Cancel,
    Requeue,
    Hold,
    NodeAct,
    Reply,
    Hello,
    Welcome,
    Inventory,
    Report,
    Beat,
    Refused,
    Confirmed,
    BeatAnswer,
    Launch,
    Withdraw,
    Kill,
    Limit,
}

impl Kind {
    pub const ALL: [Kind; 18] = [
        Kind::Submit,
        Kind::Cancel,
        Kind::Requeue,
        Kind::Hold,
        Kind::NodeAct,
        Kind::Reply,
        Kind::Hello,
        Kind::Welcome,
        Kind::Inventory,
        Kind::Report,
        Kind::Beat,
        Kind::Refused,
        Kind::Confirmed,
        Kind::BeatAnswer,
        Kind::Launch,
        Kind::Withdraw,
        Kind::Kill,
        Kind::Limit,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Kind::Submit => "submit",
            Kind::Cancel => "cancel",
            Kind::Requeue => "requeue",
            Kind::Hold => "hold and release",
            Kind::NodeAct => "node verb",
            Kind::Reply => "reply",
            Kind::Hello => "hello",
            Kind::Welcome => "welcome",
            Kind::Inventory => "inventory",
            Kind::Report => "report",
            Kind::Beat => "beat",
            Kind::Refused => "refusal",
            Kind::Confirmed => "confirmation",
            Kind::BeatAnswer => "answer to a beat",
            Kind::Launch => "launch",
            Kind::Withdraw => "withdraw",
            Kind::Kill => "kill",
            Kind::Limit => "limit",
        }
    }

    /// How much likelier faults hit what is seldom sent, so that each pair is tried.
    fn weight(self) -> u64 {
        match self {
            Kind::Beat | Kind::BeatAnswer => 3,
            Kind::Confirmed | Kind::Reply | Kind::Launch => 4,
            Kind::Report => 5,
            Kind::Inventory | Kind::Hello | Kind::Welcome => 5,
            Kind::Submit | Kind::Cancel | Kind::Requeue | Kind::Hold => 10,
            Kind::NodeAct => 30,
            Kind::Kill => 55,
            Kind::Limit => 80,
            Kind::Refused => 140,
            Kind::Withdraw => 200,
        }
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
pub enum Message {
    Request { client: usize, request: Box<Request> },
    Reply { client: usize, key: String, reply: Box<Reply> },
    Hello(Box<Hello>),
    Welcome(Box<Welcome>),
    FromNode(Box<FromNode>),
    ToNode(Box<ToNode>),
}

impl Message {
    pub fn kind(&self) -> Kind {
        match self {
            Message::Request { request, .. } => match &**request {
                Request::Submit(_) => Kind::Submit,
                Request::Act(act) => match act.verb {
                    Verb::Cancel { .. } => Kind::Cancel,
                    Verb::Requeue => Kind::Requeue,
                    _ => Kind::Hold,
                },
                _ => Kind::NodeAct,
            },
            Message::Reply { .. } => Kind::Reply,
            Message::Hello(_) => Kind::Hello,
            Message::Welcome(_) => Kind::Welcome,
            Message::FromNode(message) => match &**message {
                FromNode::Report(report) if report.last_of_inventory => Kind::Inventory,
                FromNode::Report(_) => Kind::Report,
                FromNode::Beat(_) => Kind::Beat,
                FromNode::Refused(_) => Kind::Refused,
            },
            Message::ToNode(message) => match &**message {
                ToNode::Confirmed { .. } => Kind::Confirmed,
                ToNode::Beat { .. } => Kind::BeatAnswer,
                ToNode::Order(order) => match &order.act {
                    Act::Launch(_) => Kind::Launch,
                    Act::Withdraw { .. } => Kind::Withdraw,
                    Act::Kill { .. } => Kind::Kill,
                    Act::Limit { .. } | Act::Signal { .. } | Act::Suspend { .. } => Kind::Limit,
                },
            },
        }
    }
}

/// One direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the controller.
    Up,
    /// From it.
    Down,
}

/// A connection of a node.
#[derive(Debug)]
pub struct Conn {
    pub node: usize,
    /// Which life of the node's daemon dialled.
    pub daemon: u32,
    /// Which life of the controller listens; `None`: a deposed one that nobody told so.
    pub controller: Option<u32>,
    /// Whether the node's end is open.
    pub node_end: bool,
    /// Whether the controller's end is open.
    pub controller_end: bool,
    pub session: Option<(NodeId, SessionId)>,
    /// The controller reads one message, and the next when that is durable.
    pub inbox: VecDeque<FromNode>,
    pub reading: bool,
    /// What waits for its content, since when, and whether it will be tried again.
    pub outbox: VecDeque<ToNode>,
    pub waits_since: Option<u64>,
    pub flush_is_due: bool,
    /// Per way: when the last message arrives, those aside that others pass and with them, and whether it is broken.
    last: [u64; 2],
    latest: [u64; 2],
    broken: [bool; 2],
}

impl Conn {
    pub fn new(node: usize, daemon: u32, controller: Option<u32>, node_end: bool) -> Conn {
        Conn {
            node,
            daemon,
            controller,
            node_end,
            controller_end: true,
            session: None,
            inbox: VecDeque::new(),
            reading: false,
            outbox: VecDeque::new(),
            waits_since: None,
            flush_is_due: false,
            last: [0; 2],
            latest: [0; 2],
            broken: [false; 2],
        }
    }

    /// Nothing more gets through.
    pub fn break_off(&mut self) {
        self.broken = [true; 2];
    }
}

/// What becomes of a message on its way.
struct Fate {
    lost: bool,
    copies: u64,
    /// Others may pass it.
    passed: bool,
    extra: u64,
}

impl World {
    /// Draws what happens to a message of that kind, and counts it.
    fn fate(&mut self, kind: Kind, cut: &mut u64) -> Fate {
        let mut fate = Fate { lost: false, copies: 1, passed: false, extra: 0 };
        self.counts.fired("sent", kind.word());
        if self.calm {
            return fate;
        }
        if self.dice.chance(self.rates.drop * kind.weight()) {
            *cut = self.now + self.dice.between(500_000, 25_000_000);
        }
        if *cut > self.now {
            self.counts.fired("cut", kind.word());
            // A short cut only delays; a long one outlasts the connection.
            let left = *cut - self.now;
            if left < 6_000_000 {
                fate.extra = left
            } else {
                fate.lost = true
            }
            return fate;
        }
        let weight = kind.weight();
        let rates = self.rates;
        if self.dice.chance(rates.drop * weight) {
            self.counts.fired("dropped", kind.word());
            fate.lost = true;
        } else if self.dice.chance(rates.double * weight) {
            self.counts.fired("doubled", kind.word());
            fate.copies = 2;
            self.hot = 12;
        } else if self.dice.chance(rates.reorder * weight) {
            // Orders go on one stream. That nothing comes back whose end is confirmed rests on it that no launch is
            // passed by what was sent after it.
            if !matches!(kind, Kind::Hello | Kind::Welcome | Kind::Launch) {
                self.counts.fired("reordered", kind.word());
                fate.passed = true;
                fate.extra = self.dice.between(1_000, 1_500_000);
                self.hot = 12;
            }
        } else if self.dice.chance(rates.delay * weight) {
            self.counts.fired("delayed", kind.word());
            fate.extra = self.dice.between(100_000, 20_000_000);
        }
        fate
    }

    /// Sends something on a node's connection.
    pub fn send(&mut self, id: u64, way: Way, message: Message) {
        let Some(conn) = self.conns.get(&id) else { return };
        let at = usize::from(way == Way::Down);
        if conn.broken[at] {
            return;
        }
        let kind = message.kind();
        let node = conn.node;
        // A deposed controller stands on the node's side of what cuts both off from the others.
        let deposed = conn.controller.is_none();
        let mut cut = if deposed { 0 } else { self.nodes[node].cut[at] };
        let mut fate = self.fate(kind, &mut cut);
        if !deposed {
            self.nodes[node].cut[at] = cut;
            self.may_answer_late(node, kind, &mut fate);
        }
        let base = self.dice.between(100, 1_500);
        let Some(conn) = self.conns.get_mut(&id) else { return };
        if fate.lost {
            conn.broken[at] = true;
            // A node that hears nothing more, or whom nobody hears, may notice only when its connection has been idle.
            let late = self.nodes[node].answer_under_way > self.now;
            let idle = if late || self.dice.chance(3_000) { 25_000_000 } else { 3_000_000 };
            // In a long silence the controller knows no better than by its own clock.
            let least = if cut > self.now + 15_000_000 { 16_000_000 } else { 50_000 };
            let (soon, late) = (self.dice.between(50_000, idle), self.dice.between(least, 25_000_000));
            self.after(soon, Event::Lost { conn: id, way: Way::Down });
            self.after(late, Event::Lost { conn: id, way: Way::Up });
            return;
        }
        let mut due = self.now + base + fate.extra;
        if matches!(kind, Kind::Beat | Kind::BeatAnswer) {
            // Leases rest on it that a beat comes behind the inventory, and its answer behind what that led to: both
            // go on one stream, on which nothing passes anything.
            due = due.max(conn.latest[at]);
        }
        // What others may pass does itself pass nothing that was sent before it: a kill would overtake the launch that
        // it takes back (seed 1489).
        due = due.max(conn.last[at]);
        if !fate.passed {
            conn.last[at] = due;
        }
        conn.latest[at] = due.max(conn.latest[at]);
        for copy in 0..fate.copies {
            let wait = due - self.now + copy * 40;
            match (&message, copy) {
                (Message::Hello(_), 1..) => {
                    // The node dialled twice and gave the first connection up: nobody listens at its end.
                    let (node, daemon, controller) = self
                        .conns
                        .get(&id)
                        .map_or((0, 0, None), |conn| (conn.node, conn.daemon, conn.controller));
                    let other = self.new_conn(Conn::new(node, daemon, controller, false));
                    let wait = wait + self.dice.between(0, 5_000_000);
                    self.after(wait, Event::Arrive { conn: other, way, message: message.clone() });
                    self.after(wait + 10_000_000, Event::Lost { conn: other, way: Way::Up });
                }
                _ => self.after(wait, Event::Arrive { conn: id, way, message: message.clone() }),
            }
        }
    }

    /// An answer to a beat takes its time, and meanwhile nothing more is heard of the node: its lease runs from when it
    /// sent that beat.
    fn may_answer_late(&mut self, node: usize, kind: Kind, fate: &mut Fate) {
        let plain = kind == Kind::BeatAnswer && !fate.lost && !self.calm;
        let works = plain && self.facts.running.values().any(|(at, _)| *at == node);
        if !works || !self.dice.chance(self.rates.long / 6) {
            return;
        }
        self.counts.fired("fault", "answer comes late");
        fate.extra = self.dice.between(8_000_000, 20_000_000);
        let host = &mut self.nodes[node];
        host.answer_under_way = self.now + fate.extra;
        host.cut[0] = host.cut[0].max(self.now + self.dice.between(30_000_000, 50_000_000));
    }

    /// Sends a client's request or its reply.
    pub fn post(&mut self, client: usize, message: Message) {
        let kind = message.kind();
        let mut cut = self.clients[client].cut;
        let fate = self.fate(kind, &mut cut);
        self.clients[client].cut = cut;
        if fate.lost {
            return;
        }
        for copy in 0..fate.copies {
            let apart = if self.dice.chance(5_000) { 2_000 } else { 8_000_000 };
            let wait = self.dice.between(100, 1_500) + fate.extra + copy * self.dice.between(0, apart);
            self.after(wait, Event::Post(message.clone()));
        }
    }

    pub fn new_conn(&mut self, conn: Conn) -> u64 {
        self.next_conn += 1;
        self.conns.insert(self.next_conn, conn);
        self.next_conn
    }

    /// One end of a connection notices that it is broken.
    pub fn on_lost(&mut self, id: u64, way: Way) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.broken = [true; 2];
        let node = conn.node;
        match way {
            Way::Down if conn.node_end => {
                conn.node_end = false;
                self.node_disconnected(node, id);
            }
            Way::Up if conn.controller_end => {
                conn.controller_end = false;
                self.controller_lost(id);
            }
            _ => {}
        }
        if self.conns.get(&id).is_some_and(|conn| !conn.node_end && !conn.controller_end) {
            self.conns.remove(&id);
        }
    }

    /// One end closes; the other hears of it soon.
    pub fn close(&mut self, id: u64, by: Way) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        match by {
            Way::Up => conn.node_end = false,
            Way::Down => conn.controller_end = false,
        }
        conn.broken = [true; 2];
        let cut = self.nodes[conn.node].cut[usize::from(by == Way::Down)];
        let late = if cut > self.now { 20_000_000 } else { 500_000 };
        let wait = self.dice.between(200, late);
        self.after(wait, Event::Lost { conn: id, way: by });
    }
}
