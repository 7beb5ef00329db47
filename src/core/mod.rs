//! The controller's brain: command in, outcome out. Pure: it is given the time, and what lies in history; it gives
//! back changes to make durable and effects to carry out once they are. The state changes only by absorbing the
//! same changes, so replaying the log after a crash gives the same state.

pub mod abandoned;
mod account_act;
pub mod accounting;
pub mod act;
pub mod acting;
pub mod admin;
pub mod again;
pub mod audit;
pub mod authorise;
pub mod belong;
pub mod breaker;
pub mod budget;
pub mod command;
mod config;
pub mod correlate;
pub mod depend;
pub mod dispatch;
pub mod drain;
pub mod first;
mod indexes;
pub mod info;
pub mod invariants;
pub mod job;
pub mod lanes;
mod limits;
mod lost;
pub mod node_act;
pub mod nodes;
pub mod notes;
pub mod pipeline;
pub mod presence;
pub mod priority;
pub mod report;
pub mod resolve;
pub mod restart;
mod restore;
pub mod restored;
pub mod select;
pub mod set;
pub mod share;
pub mod sight;
pub mod state;
pub mod submission;
pub mod submit;
pub mod tasks;
pub mod tie;
pub mod tokens;
pub mod touched;
mod view;
pub mod why;
pub mod within;
pub mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

pub use command::{Caller, Command, Effect, Found, Outcome, Settings};
pub use pipeline::Pipeline;
pub use sight::NodeSight;
pub use state::{Cluster, View};

use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, Position, SessionId, Uid};
use crate::model::time::{Now, WallTime};
use crate::sched::PartitionId;
use crate::session::NodeSession;
use crate::wire::client::{Refusal, RefusalCode, Reply};
use dispatch::Flow;
use state::{Outdated, Touched};

/// The core. One thread owns it.
#[derive(Debug)]
pub struct Core {
    cluster: Cluster,
    settings: Settings,
    sights: OrdMap<NodeId, Arc<NodeSight>>,
    sessions: BTreeMap<NodeId, NodeSession>,
    next_session: u64,
    /// How fast tasks end where: what decides how many are handed out ahead.
    flows: BTreeMap<(JobId, NodeId), Flow>,
    /// To which nodes each job's body was sent, at some time.
    bodies_at: BTreeMap<JobId, BTreeSet<NodeId>>,
    /// Which nodes fail to launch.
    breakers: breaker::Breakers,
    /// What the scheduler has not been told yet.
    untold: Touched,
    /// What has not been turned into rows yet.
    unwritten: Touched,
    /// What the command at hand has touched so far.
    touched: Touched,
    /// Nodes that serve one user alone.
    restricted: BTreeMap<NodeId, Uid>,
    partition_ids: BTreeMap<Arc<str>, PartitionId>,
    /// The same of what limits bind together.
    bounds: limits::Numbers,
    /// When the command at hand came.
    now: Now,
    /// How ages and shares stood when they were last reckoned.
    standing: Arc<priority::Standing>,
    /// What the scheduler was told of them.
    told: priority::Told,
    /// Where the last job may run that the scheduler was told of, and where not: most say the same.
    last_places: (Arc<[PartitionId]>, Arc<[NodeId]>),
    timers: BTreeSet<(WallTime, JobId)>,
    /// Numbers before this one are set aside for a submission that is being looked at.
    set_aside: Option<JobId>,
    /// Of the command at hand: the jobs that have to end before those that wait for some others may start.
    reach: std::cell::RefCell<Option<(Vec<JobId>, BTreeSet<JobId>)>>,
    /// When drains come to their deadlines.
    drains: BTreeSet<(WallTime, NodeId)>,
    /// The position of the group that is being filled.
    position: Position,
    /// Whether what is seen of nodes has changed since the last view of it.
    looked: bool,
    /// What was recorded in the audit lately, and how often it came again.
    repeats: audit::Repeats,
    /// Jobs that end with the command that submitted them.
    ties: tie::Ties,
}

impl Core {
    /// A core around a recovered state.
    pub fn new(cluster: Cluster, settings: Settings, position: Position) -> Core {
        let mut core = Core {
            cluster,
            settings,
            sights: OrdMap::new(),
            sessions: BTreeMap::new(),
            next_session: 1,
            flows: BTreeMap::new(),
            bodies_at: BTreeMap::new(),
            breakers: breaker::Breakers::default(),
            untold: Touched::default(),
            unwritten: Touched::default(),
            touched: Touched::default(),
            restricted: BTreeMap::new(),
            partition_ids: BTreeMap::new(),
            bounds: limits::Numbers::default(),
            now: Now::default(),
            standing: Arc::default(),
            told: priority::Told::default(),
            last_places: (Arc::from([]), Arc::from([])),
            timers: BTreeSet::new(),
            set_aside: None,
            reach: std::cell::RefCell::default(),
            drains: BTreeSet::new(),
            position,
            looked: true,
            repeats: audit::Repeats::new(),
            ties: tie::Ties::new(),
        };
        core.cluster.recount();
        core.untold.places = true;
        core.untold.jobs = core.cluster.jobs.keys().copied().collect();
        core.untold.slots = core.cluster.on_node.iter().map(|(node, job)| (*job, *node)).collect();
        let ids: Vec<JobId> = core.cluster.jobs.keys().copied().collect();
        for id in ids {
            core.set_timers(id);
        }
        let nodes: Vec<NodeId> = core.cluster.nodes.keys().copied().collect();
        nodes.into_iter().for_each(|node| core.set_drain_timer(node));
        core
    }

    /// The state as it is now, durable or not.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes one command. Everything in the outcome's effects and its reply may leave only once the log is durable
    /// up to the group that its changes go into (`position`).
    pub fn apply(&mut self, now: Now, position: Position, command: Command) -> Outcome {
        let (reply, outcome) = self.during(now, position, |core, outcome| core.take(now, command, outcome));
        Outcome { reply, ..outcome }
    }

    /// Does something that changes the state, with what comes before and after each such thing.
    fn during<T>(
        &mut self,
        now: Now,
        position: Position,
        what: impl FnOnce(&mut Core, &mut Outcome) -> T,
    ) -> (T, Outcome) {
        (self.position, self.now) = (position, now);
        self.reach.take();
        let mut outcome = Outcome::default();
        let told = what(self, &mut outcome);
        if self.cluster.accounting.is_stale() {
            self.cluster.recount();
            self.begin_use(&mut outcome);
        }
        self.note_touched(&mut outcome);
        (told, outcome)
    }

    fn take(&mut self, now: Now, command: Command, outcome: &mut Outcome) -> Option<Reply> {
        match command {
            Command::Client { caller, request, found } => {
                let (asked, again) = (audit::asked(&request), caller.clone());
                let reply = self.client(now, caller, *request, *found, outcome);
                self.audit_refusal(now, &again, &asked, &reply, outcome);
                return Some(reply);
            }
            Command::Office { incarnation, epoch } => {
                let change = Change::Office { incarnation, epoch, at: now.wall };
                self.commit(change, outcome);
                self.take_back_unsettled(now, outcome);
                self.begin_leases(outcome);
                self.expect_tied(now);
            }
            Command::Hello { name, hello } => self.on_hello(now, &name, hello, outcome),
            Command::Report { node, session, report } => self.on_report(now, node, session, report, outcome),
            Command::Beat { node, session, beat } => self.on_beat(now, node, session, &beat, outcome),
            Command::NodeRefused { node, session, refused } => {
                self.on_refused(now, node, session, &refused, outcome);
            }
            Command::NodeGone { node, session } => self.on_gone(now, node, session),
            Command::Plan(plan) => self.on_plan(now, &plan, outcome),
            Command::Join(joining) => return Some(self.on_join(now, &joining, outcome)),
            Command::Noted { caller, deed, allowed } => {
                self.audit_seldom(now, &caller, deed, allowed, outcome);
            }
            Command::Tie { caller, jobs, held } => self.on_tie(now, &caller, &jobs, held, outcome),
            Command::Issued(record) => self.on_issued(now, record, outcome),
            Command::Change(change) => self.commit(*change, outcome),
            Command::Fenced { node, dead } => self.on_fenced(now, node, dead, outcome),
            Command::Tick => self.on_tick(now, outcome),
        }
        None
    }

    /// Tells everybody who asks for it later what the command has touched.
    fn note_touched(&mut self, outcome: &mut Outcome) {
        let touched = std::mem::take(&mut self.touched);
        self.untold.places |= touched.places;
        self.untold.jobs.extend(&touched.jobs);
        self.untold.slots.extend(&touched.slots);
        self.untold.nodes.extend(&touched.nodes);
        outcome.jobs.extend(&touched.jobs);
        self.unwritten.merge(touched);
    }

    /// Takes in a change from the log while recovering.
    pub fn replay(cluster: &mut Cluster, change: &Change, touched: &mut Touched) {
        cluster.absorb(change, touched);
    }

    /// A view of the state as it is now.
    pub fn view(&self, position: Position, at: WallTime) -> View {
        let (cluster, nodes) = (self.cluster.clone(), self.sights.clone());
        View { cluster, nodes, position, at, standing: Arc::clone(&self.standing) }
    }

    /// Whether what is seen of nodes has changed since the last call: a view may be due that no change brings.
    pub fn take_looked(&mut self) -> bool {
        std::mem::take(&mut self.looked)
    }

    /// What was touched since the last call, to be turned into rows.
    pub fn take_unwritten(&mut self) -> Touched {
        std::mem::take(&mut self.unwritten)
    }

    /// Memory need not keep this any more: the tables do.
    pub fn forget(&mut self, outdated: &Outdated) {
        self.cluster.forget(outdated);
        if let Outdated::Job(id) = outdated {
            self.flows.retain(|(job, _), _| job != id);
        }
    }

    /// When the core wants its next [`Command::Tick`] for a job's or a drain's deadline, if it does.
    pub fn next_timer(&self) -> Option<WallTime> {
        let drain = self.drains.first().map(|(at, _)| *at);
        self.timers.first().map(|(at, _)| *at).into_iter().chain(drain).chain(self.standing_due()).min()
    }

    /// Makes a change: it is in the state from here on, and in the outcome for the log.
    fn commit(&mut self, change: Change, outcome: &mut Outcome) {
        self.reckon_use(&change, outcome);
        self.absorb(change, outcome);
    }

    fn absorb(&mut self, change: Change, outcome: &mut Outcome) {
        self.cluster.absorb(&change, &mut self.touched);
        if !(bug::is_made(Bug::IdReuse) && matches!(change, Change::NextJob(_))) {
            outcome.changes.push(change);
        }
    }

    fn new_session(&mut self) -> SessionId {
        let session = SessionId(self.next_session);
        self.next_session += 1;
        session
    }
}

/// A refusal as a reply.
fn refuse(code: RefusalCode, message: impl Into<String>, hint: impl Into<String>) -> Reply {
    Reply::Refused(Refusal::new(code, message, hint))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub mod tests_spec;
