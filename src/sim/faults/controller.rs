//! The controller's process: the real pipeline, core, scheduler, journal, exports and writer of the tables, on a
//! simulated disk, and the places where it may die.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;

use super::dice::Dice;
use super::links::{Message, Way};
use super::shelf::{Folder, ShelfTables};
use super::world::{Event, World};
use crate::controller::driver::{self, Gauges, WelcomeFacts, channel_pair};
use crate::controller::recovery::{Settled, settle};
use crate::controller::tables_writer::{Durable, ExportRule, Writer};
use crate::core::pipeline::{Held, Pipeline};
use crate::core::{Command, Core, Effect, Outcome, Settings};
use crate::model::change::Group;
use crate::model::ids::{BootId, ContentHash, Epoch, Incarnation, Position, SessionId, Uid};
use crate::model::time::{Now, Seconds};
use crate::sched::{Note, Scheduler};
use crate::store::cluster_file::{self, ClusterFile};
use crate::store::content::Content;
use crate::store::disk::Disk;
use crate::store::disk::memory::{Fault, MemoryDisk};
use crate::store::export::Exports;
use crate::store::journal::{Journal, Limits};
use crate::store::log::{Claim, Log};
use crate::store::tables::ledger::Fit;
use crate::store::tables::{Tables, TablesRead};
use crate::wire::codec::encode;
use crate::wire::node::Welcome;

/// The incarnation of every simulated cluster.
pub const INCARNATION: Incarnation = Incarnation([7; 16]);
/// Small, so that segments roll and exports trim within a run.
const LIMITS: Limits =
    Limits { segment_bytes: 24 << 10, chunk_bytes: 8 << 10, ahead_bytes: 12 << 10, reserve_bytes: 8 << 10 };
/// An export is made once the journal has grown by so much.
const EXPORT_BYTES: u64 = 7 << 10;

/// Who waits for what comes of a command.
#[derive(Clone, Debug, Default)]
pub enum Waiter {
    #[default]
    Nobody,
    Client {
        client: usize,
        key: String,
    },
    Hello(u64),
    /// The next message of that connection is read then.
    Read(u64),
}

/// Work for the log.
pub enum Work {
    Append(Position, Vec<Vec<u8>>),
    Trim(Position),
}

/// The host and its disk.
pub struct Controller {
    pub disk: MemoryDisk,
    pub tables: Folder,
    /// Which process.
    pub life: u32,
    pub up: Option<Running>,
    boot: u8,
    booted: u64,
    pub wall_off: i64,
    made: bool,
    kill_grace: Seconds,
}

/// A running controller.
pub struct Running {
    pub pipeline: Pipeline<Waiter>,
    pub scheduler: Scheduler,
    pub journal: Journal,
    pub writer: Writer<ShelfTables>,
    pub messages: Receiver<driver::Message>,
    pub reader: Arc<dyn TablesRead>,
    pub waiting: VecDeque<(Command, Waiter)>,
    pub log: VecDeque<Work>,
    pub log_is_due: bool,
    pub behind: VecDeque<Durable>,
    pub tables_are_due: bool,
    pub notes: Vec<Note>,
    /// When the next plan is made.
    pub plan_at: Option<u64>,
    pub sessions: BTreeMap<SessionId, u64>,
    pub welcome: WelcomeFacts,
    pub gauges: Arc<Gauges>,
    /// Content that was sent lately.
    pub cache: BTreeMap<(Uid, ContentHash), Vec<u8>>,
}

impl Running {
    /// Whether the log is below its reserve.
    pub fn is_nearly_full(&self) -> bool {
        self.gauges.reserve.load(Ordering::Relaxed)
    }
}

impl Controller {
    pub fn new(dice: &mut Dice) -> Controller {
        Controller {
            disk: MemoryDisk::new(),
            tables: Folder::default(),
            life: 0,
            up: None,
            boot: 1,
            booted: 0,
            wall_off: 0,
            made: false,
            kill_grace: Seconds(if dice.chance(5_000) { 2 } else { 40 }),
        }
    }
}

/// How the simulated clusters are set up.
pub fn settings(lease: Seconds, kill_grace: Seconds) -> Settings {
    Settings {
        cluster: "sim".to_owned(),
        node_timeout: Seconds(15),
        lease,
        kill_grace,
        jobs_per_user_max: 1_000,
        allow_root: false,
        submit_from_jobs: true,
        addresses: vec![],
        fingerprint: [0; 32],
    }
}

impl World {
    pub fn controller_now(&self) -> Now {
        self.clocks(self.controller.booted, self.controller.wall_off)
    }

    /// `jctld init`, once in a world; it is not tried with faults.
    fn make_state(&mut self) {
        let disk = self.controller.disk.clone();
        let file = ClusterFile { name: "sim".to_owned(), incarnation: INCARNATION };
        let made = Journal::create(&disk, INCARNATION).map_err(|error| error.to_string());
        let made = made.and_then(|()| cluster_file::create(&disk, &file).map_err(|error| error.to_string()));
        if let Err(error) = made {
            self.fail(format!("no state can be made: {error}"));
        }
        self.controller.made = true;
    }

    pub fn controller_starts(&mut self) {
        if self.controller.up.is_some() || self.failed() {
            return;
        }
        if !self.controller.made {
            self.make_state();
        }
        match self.recover() {
            Ok(mut up) => {
                if self.controller_may_die("office was taken") {
                    return;
                }
                let life = self.controller.life;
                up.pipeline.apply(self.controller_now(), office(&up.welcome), Waiter::Nobody);
                if up.pipeline.core().cluster().partitions.is_empty() {
                    for change in super::client::first_changes(&self.nodes) {
                        let command = Command::Change(Box::new(change));
                        up.pipeline.apply(self.controller_now(), command, Waiter::Nobody);
                    }
                }
                self.after(500_000, Event::ControllerTicks { life });
                self.controller.up = Some(up);
                self.drive(|_, _| true);
            }
            Err(error) => {
                self.note(format!("the controller does not start: {error}"));
                if self.calm && !error.contains("simulated disk failed") {
                    return self.fail(format!("the controller can't start: {error}"));
                }
                self.controller_dies(false);
            }
        }
    }

    fn recover(&mut self) -> Result<Running, String> {
        let words = |error: &dyn std::fmt::Display| error.to_string();
        let disk: Arc<dyn Disk> = Arc::new(self.controller.disk.clone());
        let file = cluster_file::load(&*disk).map_err(|error| words(&error))?;
        let mut journal = Journal::with_limits(disk.clone(), LIMITS);
        let opened = journal.open(Claim { incarnation: file.incarnation }).map_err(|error| words(&error))?;
        let reopened = self.facts.reopened(opened.end);
        let boot = BootId([self.controller.boot; 16]);
        let fit = Fit { incarnation: file.incarnation, boot, start: opened.start, end: opened.end };
        let found = self.controller.tables.open(&fit);
        let how = found.1.clone();
        let exports = Exports::open(disk.clone(), file.incarnation).map_err(|error| words(&error))?;
        let now = self.controller_now();
        let settled = settle(&mut journal, &opened, found, exports, ShelfTables::set_aside, now.wall);
        let Settled { cluster, tables, words: says, .. } = settled.map_err(|error| words(&error))?;
        let content = Content::open(disk).map_err(|error| words(&error))?;
        self.note(format!(
            "the controller starts: epoch {}, group {}, {how}, {says}",
            opened.epoch, opened.end
        ));
        if let Err(what) = reopened {
            self.fail(what);
        }
        let lease = Seconds(if self.dice.chance(8_000) { 15 } else { 20 });
        let mut core = Core::new(cluster, settings(lease, self.controller.kill_grace), opened.end);
        core.expect_nodes(now);
        let (driver, messages) = channel_pair();
        let gauges = Arc::new(Gauges::default());
        let since = tables.exports().newest().map_or(0, |newest| newest.position.0);
        gauges.log_grown.store(journal.bytes_behind(Position(since)), Ordering::Relaxed);
        let rule =
            ExportRule { bytes: EXPORT_BYTES, epoch: opened.epoch, gauges: gauges.clone(), mirror: None };
        let reader = tables.reader();
        let writer = Writer::new(tables, Arc::new(content), rule, driver);
        let welcome = WelcomeFacts {
            incarnation: opened.incarnation,
            epoch: opened.epoch,
            cluster: file.name,
            beat: Seconds(3),
            lease,
        };
        Ok(Running {
            pipeline: Pipeline::new(core, opened.end),
            scheduler: Scheduler::new(),
            journal,
            writer,
            messages,
            reader,
            waiting: VecDeque::new(),
            log: VecDeque::new(),
            log_is_due: false,
            behind: VecDeque::new(),
            tables_are_due: false,
            notes: Vec::new(),
            plan_at: None,
            sessions: BTreeMap::new(),
            welcome,
            gauges,
            cache: BTreeMap::new(),
        })
    }

    /// Does something with the running controller, and then what a turn of its loop does. `act` is false if it died.
    pub fn drive(&mut self, act: impl FnOnce(&mut World, &mut Running) -> bool) {
        let Some(mut up) = self.controller.up.take() else { return };
        if act(self, &mut up) && self.turn_out(&mut up) {
            self.controller.up = Some(up);
        }
    }

    /// Gives the core a command, or lets it wait for room in the log.
    pub fn command(&mut self, command: Command, waiter: Waiter) {
        self.drive(|world, up| {
            if world.controller_may_die("a command was read") {
                return false;
            }
            up.waiting.push_back((command, waiter));
            true
        });
    }

    fn turn_out(&mut self, up: &mut Running) -> bool {
        loop {
            while up.pipeline.accepts()
                && let Some((command, waiter)) = up.waiting.pop_front()
            {
                up.pipeline.apply(self.controller_now(), command, waiter);
                if self.controller_may_die("a command was applied") {
                    return false;
                }
            }
            // Between the steps of long work whatever has come meanwhile is done, and groups may be closed.
            while up.pipeline.may_go_on() {
                up.pipeline.go_on(self.controller_now());
                if self.controller_may_die("a step was taken") {
                    return false;
                }
                if self.dice.chance(3_000) {
                    break;
                }
            }
            up.notes.extend(up.pipeline.take_notes());
            if let Some(group) = up.pipeline.close(self.controller_now().wall) {
                let (first, last) = (group.first, group.position());
                let changes = group.parts.concat();
                self.facts.closed(last, &changes);
                let words: Vec<String> = changes.iter().map(super::facts::words).collect();
                self.note(format!("group {last}: {}", words.join(", ")));
                let frames = group.parts.into_iter().map(|changes| encode(&Group { changes }));
                match frames.collect() {
                    Ok(frames) => up.log.push_back(Work::Append(first, frames)),
                    Err(error) => self.fail(format!("a group can't be encoded: {error}")),
                }
                if self.controller_may_die("a group was closed") {
                    return false;
                }
            }
            let mut told = false;
            while let Some(Held { waiter, outcome }) = up.pipeline.release() {
                told = true;
                self.tell(up, waiter, outcome);
                if self.controller_may_die("something was told") {
                    return false;
                }
            }
            if !told {
                break;
            }
        }
        up.pipeline.forget(self.controller_now().boot);
        self.check_core(up);
        let life = self.controller.life;
        if !up.notes.is_empty() {
            let wait = self.dice.between(500, 3_000);
            self.plan_within(up, wait);
        }
        if !up.log.is_empty() && !up.log_is_due {
            up.log_is_due = true;
            let slow = self.dice.chance(500);
            let wait = if slow { self.dice.between(1_000, 150_000) } else { self.dice.between(20, 400) };
            self.after(wait, Event::LogWrites { life });
        }
        true
    }

    /// Carries out what a command has led to.
    fn tell(&mut self, up: &mut Running, waiter: Waiter, outcome: Outcome) {
        self.facts.told = self.facts.told.max(up.pipeline.durable());
        let mut welcomed = false;
        let mut refused = false;
        for effect in outcome.effects {
            match effect {
                Effect::Send { session, message, .. } => {
                    if let Some(conn) = up.sessions.get(&session).copied() {
                        self.queue_out(conn, *message);
                    }
                }
                Effect::Welcome { node, session, comes_over } => {
                    let Waiter::Hello(conn) = waiter else { continue };
                    welcomed = true;
                    up.sessions.insert(session, conn);
                    let facts = &up.welcome;
                    let welcome = Welcome {
                        incarnation: facts.incarnation,
                        epoch: facts.epoch,
                        position: up.pipeline.durable(),
                        session,
                        cluster: facts.cluster.clone(),
                        beat: facts.beat,
                        lease: facts.lease,
                        comes_over,
                    };
                    match self.conns.get_mut(&conn).filter(|conn| conn.controller_end) {
                        Some(open) => {
                            open.session = Some((node, session));
                            self.send(conn, Way::Down, Message::Welcome(Box::new(welcome)));
                        }
                        None => up.waiting.push_back((Command::NodeGone { node, session }, Waiter::Nobody)),
                    }
                }
                Effect::Close { session, .. } => {
                    match session.and_then(|session| up.sessions.remove(&session)) {
                        Some(conn) => self.close(conn, Way::Down),
                        None => refused = true,
                    }
                }
                _ => {}
            }
        }
        match waiter {
            Waiter::Nobody => {}
            Waiter::Client { client, key } => {
                if let Some(reply) = outcome.reply {
                    self.check_reply(&key, &reply);
                    self.post(client, Message::Reply { client, key, reply: Box::new(reply) });
                }
            }
            Waiter::Hello(conn) => {
                if refused && !welcomed {
                    self.note("a hello is refused".to_owned());
                    self.close(conn, Way::Down);
                }
            }
            Waiter::Read(conn) => {
                if let Some(open) = self.conns.get_mut(&conn) {
                    open.reading = false;
                }
                self.read_next(up, conn);
            }
        }
    }

    pub fn controller_ticks(&mut self, life: u32) {
        if life != self.controller.life {
            return;
        }
        self.after(500_000, Event::ControllerTicks { life });
        self.drive(|_, up| {
            up.waiting.push_back((Command::Tick, Waiter::Nobody));
            true
        });
    }

    /// A place where the controller may die.
    pub fn controller_may_die(&mut self, point: &'static str) -> bool {
        let weight = match point {
            "an export was made" => 50,
            "a step was taken" => 8,
            "the journal was trimmed" => 900,
            "office was taken" => 10,
            "tables are to be written" | "tables were written" | "a plan was made" => 6,
            _ => 2,
        };
        if !self.dies(self.rates.controller, weight) {
            return false;
        }
        self.counts.fired("controller dies", point);
        self.note(format!("the controller dies: {point}"));
        let power = self.dice.chance(self.rates.power);
        self.controller_dies(power);
        true
    }

    /// Its disk failed it: nothing more may be told. False, for `drive`.
    pub fn controller_fails(&mut self, error: &str) -> bool {
        self.note(format!("the controller ends: {error}"));
        if self.calm {
            self.fail(format!("the controller ends with nothing broken: {error}"));
        }
        self.controller_dies(false);
        false
    }

    /// The process is gone, or with `power` the host.
    pub fn controller_dies(&mut self, power: bool) {
        self.controller.up = None;
        self.controller.life += 1;
        for word in self.controller.tables.crash(&mut self.dice, power) {
            self.counts.fired("fault", word);
        }
        if power {
            self.counts.fired("fault", "controller without power");
            self.note("the controller's power is cut".to_owned());
            let seed = self.dice.next();
            self.controller.disk = self.controller.disk.crash(seed);
            self.controller.boot = self.controller.boot.wrapping_add(1);
            self.controller.booted = self.now;
        } else {
            self.counts.fired("fault", "controller killed");
            self.controller.disk = self.controller.disk.restart();
        }
        self.cut_all_conns();
        let mut wait = self.dice.between(10_000, 4_000_000);
        if !self.calm && self.dice.chance(self.rates.long / 2) {
            self.counts.fired("fault", "controller away");
            wait = self.dice.between(15_000_000, 40_000_000);
        }
        self.after(wait, Event::ControllerStarts);
    }

    pub fn disk_has_room(&mut self) {
        self.controller.disk.set_capacity(u64::MAX);
        if self.calm {
            // What was to fail, and has not yet, never will.
            self.controller.disk.plan(Fault::Write(u32::MAX));
        }
    }
}

fn office(welcome: &WelcomeFacts) -> Command {
    let (incarnation, epoch): (Incarnation, Epoch) = (welcome.incarnation, welcome.epoch);
    Command::Office { incarnation, epoch }
}
