//! The core's thread: commands in, groups to the log, and only what is durable out.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::clock;
use super::log_writer::{LogWork, write_log};
use super::planner::Planner;
use super::published::Published;
use super::tables_writer::{Durable, ExportAnswer, TablesWriter};
use crate::core::pipeline::{Held, Pipeline};
use crate::core::state::Outdated;
use crate::core::{Command, Core, Effect};
use crate::model::ids::{Epoch, Incarnation, NodeId, Position, SessionId};
use crate::model::record::TokenRecord;
use crate::model::time::{Seconds, WallTime};
use crate::net::points;
use crate::sched::Demand;
use crate::store::log::Log;
use crate::wire::client::Reply;
use crate::wire::node::{ToNode, Welcome};

/// Groups of reports alone are closed no faster than this: nobody waits for them so urgently, and each costs a sync
/// and wakes half a dozen threads.
const REPORTS_PACE: Duration = Duration::from_millis(2);
/// How often time is looked at when nothing happens and no job's time comes up.
const TICK: Duration = Duration::from_secs(1);
/// How soon it is looked at again at the earliest.
const TICK_MIN: Duration = Duration::from_millis(10);
/// The most messages that one turn takes before the group is closed.
const TURN_MESSAGES_MAX: usize = 4_096;
/// The most jobs that the scheduler is told of in one turn.
const TURN_NOTES_MAX: usize = 1_024;

/// A message to the driver.
#[derive(Debug)]
pub enum Message {
    /// For the core.
    Command {
        /// The command.
        command: Box<Command>,
        /// Who waits for the answer.
        answer: Option<oneshot::Sender<Answer>>,
        /// For a hello: where the node is reached.
        link: Option<NodeSender>,
    },
    /// The log is durable up to there.
    LogDurable(Position),
    /// The tables are that far, and memory need not keep this any more.
    Tables {
        /// How far.
        position: Position,
        /// What.
        outdated: Vec<Outdated>,
    },
    /// Exports hold everything up to there: the log need not.
    Trim(Position),
    /// Make an export of everything that is durable now.
    Export(ExportAnswer),
    /// Something failed that can't be mended here.
    Fatal(String),
    /// Stop in order.
    Stop,
}

/// Messages to a node; unbounded, since the core bounds what is on a node.
pub type NodeSender = mpsc::UnboundedSender<NodeMessage>;

/// What the node's connection is told.
#[derive(Debug)]
pub enum NodeMessage {
    /// Send this.
    Send(Box<ToNode>),
    /// End the connection.
    Close(String),
}

/// What came of a command, once it may be told.
#[derive(Debug, Default)]
pub struct Answer {
    /// The reply.
    pub reply: Option<Reply>,
    /// For a hello: the session.
    pub session: Option<(NodeId, SessionId, Welcome)>,
    /// For a hello: why not.
    pub refused: Option<String>,
    /// For a join: what to sign.
    pub issue: Option<TokenRecord>,
    /// Of a submission that was only tried: what its first job would ask for.
    pub demand: Option<Box<Demand>>,
}

/// A handle to the driver's thread.
#[derive(Clone, Debug)]
pub struct Driver {
    sender: Sender<Message>,
}

impl Driver {
    /// Sends a message. If the thread is gone, so is the process, soon.
    pub fn send(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    /// Hands the core a command and waits until its outcome is durable. `None`: the daemon is stopping.
    pub async fn ask(&self, command: Command, link: Option<NodeSender>) -> Option<Answer> {
        let (answer, receiver) = oneshot::channel();
        self.send(Message::Command { command: Box::new(command), answer: Some(answer), link });
        receiver.await.ok()
    }
}

/// What the driver tells the daemon around it.
pub trait Outside: Send {
    /// A certificate was revoked: end its connections.
    fn cut_off(&self, serial: crate::model::identity::Serial);
    /// A node has been silent for the node timeout: make sure that it is dead, if that can be done.
    fn fence(&self, node: NodeId, name: String);
    /// The core wants the daemon to stop.
    fn stop(&self);
    /// Nothing may be told any more: end the process at once.
    fn fatal(&self, why: &str) -> !;
}

/// Numbers for `jctld status`.
#[derive(Debug, Default)]
pub struct Gauges {
    /// The log's durable end.
    pub position: AtomicU64,
    /// How far the tables are.
    pub tables: AtomicU64,
    /// By how many bytes the log has grown since the last export.
    pub log_grown: AtomicU64,
    /// Whether the log is below its reserve, or the tables are halted.
    pub reserve: std::sync::atomic::AtomicBool,
    /// Whether the tables stand still because their disk is full.
    pub tables_halted: std::sync::atomic::AtomicBool,
}

/// Who waits for what comes of a command.
#[derive(Debug, Default)]
struct Waiter {
    answer: Option<oneshot::Sender<Answer>>,
    link: Option<NodeSender>,
}

/// The thread's own things.
struct Loop<O: Outside> {
    pipeline: Pipeline<Waiter>,
    log: Sender<LogWork>,
    tables: Option<TablesWriter>,
    planner: Planner,
    published: Arc<Published>,
    gauges: Arc<Gauges>,
    outside: O,
    sessions: BTreeMap<SessionId, NodeSender>,
    welcome: WelcomeFacts,
    stopping: bool,
    /// Whether the open group holds anything but reports.
    urgent: bool,
    /// When the last group was closed.
    closed: Instant,
}

/// What every welcome says.
#[derive(Clone, Debug)]
pub struct WelcomeFacts {
    /// The state's life.
    pub incarnation: Incarnation,
    /// The controller's term.
    pub epoch: Epoch,
    /// The cluster's name.
    pub cluster: String,
    /// Between beats.
    pub beat: Seconds,
    /// The lease.
    pub lease: Seconds,
}

/// The threads that the driver needs, started before it.
#[derive(Debug)]
pub struct Parts<L: Log> {
    /// The core.
    pub core: Core,
    /// The log's end.
    pub end: Position,
    /// The open log.
    pub log: L,
    /// Where views go.
    pub published: Arc<Published>,
    /// Numbers.
    pub gauges: Arc<Gauges>,
    /// For welcomes.
    pub welcome: WelcomeFacts,
}

/// A channel for a driver that is about to start.
pub fn channel_pair() -> (Driver, Receiver<Message>) {
    let (sender, receiver) = channel();
    (Driver { sender }, receiver)
}

/// Starts the log's thread and the core's.
pub fn start<L: Log + 'static, O: Outside + 'static>(
    parts: Parts<L>,
    driver: &Driver,
    receiver: Receiver<Message>,
    tables: TablesWriter,
    planner: Planner,
    outside: O,
) -> std::io::Result<JoinHandle<()>> {
    let (log, groups) = channel();
    let epoch = parts.welcome.epoch;
    let reporter = driver.clone();
    let mut writer = parts.log;
    let gauges = parts.gauges.clone();
    let log_thread = std::thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || write_log(&mut writer, epoch, &groups, &reporter, &gauges))?;
    let mut this = Loop {
        pipeline: Pipeline::new(parts.core, parts.end),
        log,
        tables: Some(tables),
        planner,
        published: parts.published,
        gauges: parts.gauges,
        outside,
        sessions: BTreeMap::new(),
        welcome: parts.welcome,
        stopping: false,
        urgent: false,
        closed: Instant::now(),
    };
    std::thread::Builder::new().name("core".to_owned()).spawn(move || {
        this.run(&receiver);
        if let Some(tables) = this.tables.take() {
            tables.stop();
        }
        drop(this);
        let _ = log_thread.join();
    })
}

impl<O: Outside> Loop<O> {
    fn run(&mut self, receiver: &Receiver<Message>) {
        let mut waiting: VecDeque<Message> = VecDeque::new();
        loop {
            self.turn_out();
            if self.stopping && self.pipeline.is_idle() {
                return;
            }
            let mut taken = 0;
            while taken < TURN_MESSAGES_MAX && self.pipeline.accepts() {
                let Some(message) = waiting.pop_front() else { break };
                self.take(message);
                taken += 1;
            }
            let works = self.pipeline.may_go_on();
            if works {
                self.urgent = true;
                self.pipeline.go_on(clock::now());
            }
            let busy = taken > 0 || works || self.pipeline.has_notes();
            let patience = if busy { Duration::ZERO } else { self.patience() };
            match receiver.recv_timeout(patience) {
                Ok(message) => self.take_in_turn(message, &mut waiting),
                Err(RecvTimeoutError::Timeout) if busy || self.pipeline.could_close() => {}
                Err(RecvTimeoutError::Timeout) => self.apply(Command::Tick, None, None),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            for _ in 1..TURN_MESSAGES_MAX {
                match receiver.try_recv() {
                    Ok(message) => self.take_in_turn(message, &mut waiting),
                    Err(_) => break,
                }
            }
        }
    }

    /// Commands keep their order: while one waits for room in the log, later ones wait behind it.
    fn take_in_turn(&mut self, message: Message, waiting: &mut VecDeque<Message>) {
        let full = !waiting.is_empty() || !self.pipeline.accepts();
        match message {
            Message::Command { .. } if full => waiting.push_back(message),
            _ => self.take(message),
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Command { command, answer, link } => self.apply(*command, answer, link),
            Message::LogDurable(position) => self.on_durable(position),
            Message::Tables { position, outdated } => self.on_tables(position, outdated),
            Message::Trim(position) => {
                // If its thread is gone, the next append finds out.
                let _ = self.log.send(LogWork::Trim(position));
            }
            Message::Export(answer) => match &self.tables {
                Some(tables) => tables.export(answer),
                None => drop(answer),
            },
            Message::Fatal(why) => self.outside.fatal(&why),
            Message::Stop => self.stopping = true,
        }
    }

    fn apply(&mut self, command: Command, answer: Option<oneshot::Sender<Answer>>, link: Option<NodeSender>) {
        if let Command::NodeGone { session, .. } = &command {
            // Nothing can be sent there any more, and nobody else would let go of it.
            self.sessions.remove(session);
        }
        self.urgent |= !matches!(command, Command::Report { .. } | Command::Beat { .. } | Command::Tick);
        let place = match &command {
            Command::Client { .. } => Some("controller.applied"),
            Command::Plan(_) => Some("controller.plan-applied"),
            _ => None,
        };
        self.pipeline.apply(clock::now(), command, Waiter { answer, link });
        place.into_iter().for_each(points::reach);
    }

    /// How long to wait for the next message.
    fn patience(&self) -> Duration {
        if self.pipeline.could_close() && !self.urgent {
            return REPORTS_PACE.saturating_sub(self.closed.elapsed());
        }
        let until = |at: WallTime| Duration::from_micros(at.micros_since(clock::wall()));
        self.pipeline.core().next_timer().map_or(TICK, |at| until(at).clamp(TICK_MIN, TICK))
    }

    /// The end of a turn: the scheduler is told, a group is closed, what is durable is released.
    fn turn_out(&mut self) {
        let notes = self.pipeline.take_some_notes(TURN_NOTES_MAX);
        if !notes.is_empty() {
            self.planner.note(notes);
        }
        let due = self.urgent || self.stopping || self.closed.elapsed() >= REPORTS_PACE;
        if let Some(group) = Some(()).filter(|()| due).and_then(|()| self.pipeline.close(clock::wall())) {
            (self.urgent, self.closed) = (false, Instant::now());
            if self.log.send(LogWork::Append(group)).is_err() {
                self.outside.fatal("the journal's thread is gone");
            }
        }
        if let Some((view, jobs)) = self.pipeline.glance(clock::wall()) {
            self.published.publish(view, &jobs);
        }
        self.release();
        self.pipeline.forget(clock::now().boot);
    }

    fn on_durable(&mut self, position: Position) {
        self.gauges.position.store(position.0, Ordering::Relaxed);
        if self.pipeline.core().cluster().unsettled.is_some() {
            points::reach("controller.half-submission");
        }
        for flying in self.pipeline.on_durable(position) {
            self.published.publish(flying.view.clone(), &flying.jobs);
            if let Some(tables) = &self.tables {
                tables.write(Durable { touched: flying.touched, view: flying.view });
            }
        }
        self.release();
    }

    fn release(&mut self) {
        while let Some(Held { waiter, outcome }) = self.pipeline.release() {
            let mut answer = Answer { reply: outcome.reply, demand: outcome.demand, ..Answer::default() };
            for effect in outcome.effects {
                self.carry_out(effect, &mut answer, waiter.link.as_ref());
            }
            if let Some(sender) = waiter.answer {
                let _ = sender.send(answer);
            }
        }
    }

    fn carry_out(&mut self, effect: Effect, answer: &mut Answer, link: Option<&NodeSender>) {
        match effect {
            Effect::Send { session, message, .. } => {
                if let Some(sender) = self.sessions.get(&session) {
                    let _ = sender.send(NodeMessage::Send(message));
                }
            }
            Effect::Welcome { node, session, comes_over } => {
                let facts = &self.welcome;
                let welcome = Welcome {
                    incarnation: facts.incarnation,
                    epoch: facts.epoch,
                    position: self.pipeline.durable(),
                    session,
                    cluster: facts.cluster.clone(),
                    beat: facts.beat,
                    lease: facts.lease,
                    comes_over,
                };
                if let Some(link) = link {
                    self.sessions.insert(session, link.clone());
                }
                answer.session = Some((node, session, welcome));
            }
            Effect::Close { name, session, reason } => {
                tracing::info!(node = name, reason, "node session ended");
                match session.and_then(|session| self.sessions.remove(&session)) {
                    Some(sender) => {
                        let _ = sender.send(NodeMessage::Close(reason));
                    }
                    None => answer.refused = Some(reason),
                }
            }
            Effect::Issue(token) => answer.issue = Some(token),
            Effect::CutOff(serial) => self.outside.cut_off(serial),
            Effect::Fence { node, name } => self.outside.fence(node, name),
            Effect::Audit(record) => tracing::info!(
                target: "audit",
                number = record.number,
                who = record.who,
                from = record.from,
                what = record.what,
                jobs = ?record.jobs,
                nodes = ?record.nodes,
                allowed = record.allowed,
                "audit"
            ),
            Effect::Alarm(text) => tracing::warn!(text, "alarm"),
            Effect::Stop => self.outside.stop(),
        }
    }

    fn on_tables(&mut self, position: Position, outdated: Vec<Outdated>) {
        self.gauges.tables.store(position.0, Ordering::Relaxed);
        self.pipeline.on_tables(clock::now().boot, outdated);
    }
}
