//! The order of things around the core: commands in, groups for the log, and what came of each command out once the
//! log is durable up to there. Pure: whoever drives it owns clock, log, tables and connections.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::Core;
use super::command::{Command, Effect, Outcome};
use super::lanes::{Lanes, Waiting};
use super::state::{Outdated, Touched, View};
use super::work::{Lane, may_be_long};
use crate::commit::{Closed, Committer, parts};
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{JobId, Position};
use crate::model::record::JobRecord;
use crate::model::time::{BootTime, Now, Seconds, WallTime};
use crate::sched::Note;
use crate::wire::client::Request;
use crate::wire::node::ToNode;

/// Memory keeps ended jobs so long after the tables have them: a request that looked into the tables before must
/// still find them here.
pub const JOBS_LINGER: Seconds = Seconds(5);
/// The same for keys and content.
pub const KEYS_LINGER: Seconds = Seconds(60);

/// The core hears at least so often that time passes, as long as there are commands at all, in microseconds.
pub const TICK_MICROS: u64 = 500_000;

/// What waits for the log: `W` is whoever wants to know.
#[derive(Debug)]
pub struct Held<W> {
    /// Who.
    pub waiter: W,
    /// What came of the command; its changes are in their group.
    pub outcome: Outcome,
}

/// A closed group that is not durable yet.
#[derive(Debug)]
pub struct Flying {
    /// Its place in the log.
    pub position: Position,
    /// The state behind it.
    pub view: Arc<View>,
    /// What it touched, for the tables.
    pub touched: Touched,
    /// The jobs that are different, for whoever waits for them.
    pub jobs: BTreeSet<JobId>,
}

/// The core and what surrounds it.
#[derive(Debug)]
pub struct Pipeline<W> {
    core: Core,
    committer: Committer<Change, Held<W>>,
    flying: VecDeque<Flying>,
    jobs: BTreeSet<JobId>,
    looked: bool,
    lingering: VecDeque<(BootTime, Outdated, Option<WallTime>)>,
    /// When the core heard last that time passes.
    ticked: Option<BootTime>,
    /// What is taken on in steps.
    lanes: Lanes<W>,
}

/// Work goes on only while less than this waits for the disk, in bytes: whoever comes meanwhile is not to wait for more.
pub const WORK_BYTES_IN_FLIGHT_MAX: usize = 1 << 20;

impl<W: Default> Pipeline<W> {
    /// Begins with a recovered core, behind the log's end.
    pub fn new(core: Core, end: Position) -> Pipeline<W> {
        Pipeline {
            core,
            committer: Committer::new(end),
            flying: VecDeque::new(),
            jobs: BTreeSet::new(),
            looked: false,
            lingering: VecDeque::new(),
            ticked: None,
            lanes: Lanes::default(),
        }
    }

    /// The core, to be looked at.
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Whether more commands may be taken: false while too much is not durable.
    pub fn accepts(&self) -> bool {
        self.committer.accepts()
    }

    /// Whether nothing is under way, open, in flight or held.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.committer.is_idle()
    }

    /// Whether [`Pipeline::go_on`] has something to do, and may do it now.
    pub fn may_go_on(&self) -> bool {
        !self.lanes.is_empty() && self.committer.undurable_bytes() < WORK_BYTES_IN_FLIGHT_MAX
    }

    /// Whether a group could be closed: there is something in it, and the log may take one more.
    pub fn could_close(&self) -> bool {
        self.committer.could_close()
    }

    /// Up to where the log is durable.
    pub fn durable(&self) -> Position {
        self.committer.durable()
    }

    /// Gives the core a command. What comes of it is held until it may be told. A request that may be about many jobs is
    /// taken on in steps ([`Pipeline::go_on`]), and what the same user asks for behind it waits for that.
    pub fn apply(&mut self, now: Now, command: Command, waiter: W) {
        if let Command::Client { caller, request, .. } = &command {
            let lane = Lane::of(caller);
            let submits = matches!(**request, Request::Submit(_));
            if self.lanes.has(&lane) || may_be_long(request) || submits && self.core.submissions_wait() {
                self.lanes.push(lane, Waiting { what: command, waiter, since: now.boot });
                return;
            }
        }
        self.apply_now(now, command, waiter);
    }

    /// The core is told first that time has passed, when that is due: a driver that always has something to do would never
    /// say so.
    fn apply_now(&mut self, now: Now, command: Command, waiter: W) {
        if matches!(command, Command::Tick) {
            self.ticked = Some(now.boot);
        } else {
            self.tick_if_due(now);
        }
        let outcome = self.core.apply(now, self.committer.position(), command);
        self.stage(outcome, waiter);
    }

    fn tick_if_due(&mut self, now: Now) {
        let long_ago = self.ticked.is_none_or(|at| at.0.saturating_add(TICK_MICROS) <= now.boot.0);
        if long_ago || self.core.next_timer().is_some_and(|at| at <= now.wall) {
            self.apply_now(now, Command::Tick, W::default());
        }
    }

    fn stage(&mut self, mut outcome: Outcome, waiter: W) {
        self.jobs.append(&mut outcome.jobs);
        let changes = std::mem::take(&mut outcome.changes);
        let bytes = changes.iter().map(rough_bytes).sum();
        let behind = self.committer.behind(!changes.is_empty());
        outcome.effects.iter_mut().for_each(|effect| stamp(effect, behind));
        self.committer.stage(changes, bytes, Held { waiter, outcome });
    }

    /// Takes on what is done in steps, by one step of whoever's turn it is.
    pub fn go_on(&mut self, now: Now) {
        self.tick_if_due(now);
        let Some((lane, mut one)) = self.lanes.take_turn() else { return };
        let position = self.committer.position();
        match (one.work.take(), one.behind.pop_front()) {
            (Some(mut work), next) => {
                let outcome = self.core.step(now, position, &mut work.what);
                if outcome.reply.is_some() {
                    self.stage(outcome, work.waiter);
                } else {
                    self.stage(outcome, W::default());
                    one.work = Some(work);
                }
                next.into_iter().for_each(|next| one.behind.push_front(next));
            }
            (None, Some(next)) if self.waits(&next.what) => one.behind.push_front(next),
            (None, Some(Waiting { what: Command::Client { caller, request, found }, waiter, since }))
                if may_be_long(&request) =>
            {
                match self.core.begin(now, position, caller, *request, *found) {
                    Ok(what) => one.work = Some(Waiting { what, waiter, since }),
                    Err(outcome) => self.stage(*outcome, waiter),
                }
            }
            (None, Some(next)) => self.apply_now(now, next.what, next.waiter),
            (None, None) => {}
        }
        self.lanes.put_back(lane, one);
    }

    /// Whether a command waits for somebody else's submission.
    fn waits(&self, command: &Command) -> bool {
        let Command::Client { request, .. } = command else { return false };
        let submits = matches!(**request, Request::Submit(_));
        submits && (may_be_long(request) && self.lanes.is_submitting() || self.core.submissions_wait())
    }

    /// What the scheduler has not heard yet.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.core.take_notes()
    }

    /// The same about at most so many jobs.
    pub fn take_some_notes(&mut self, most: usize) -> Vec<Note> {
        self.core.take_some_notes(most)
    }

    /// Whether there is something that the scheduler has not heard yet.
    pub fn has_notes(&self) -> bool {
        self.core.has_notes()
    }

    /// Closes the open group, if there is something in it and the log may take one more: it is to be appended.
    pub fn close(&mut self, at: WallTime) -> Option<Closed<Change>> {
        let group = self.committer.close(|changes, bytes| parts::split(changes, bytes, rough_bytes))?;
        let position = group.position();
        let view = Arc::new(self.core.view(position, at));
        let mut touched = self.core.take_unwritten();
        touched.stamp(position);
        let jobs = std::mem::take(&mut self.jobs);
        self.flying.push_back(Flying { position, view, touched, jobs });
        Some(group)
    }

    /// A view that no change brings: nothing durable has changed, but what is seen of nodes may have.
    pub fn glance(&mut self, at: WallTime) -> Option<(Arc<View>, BTreeSet<JobId>)> {
        self.looked |= self.core.take_looked();
        let something = self.looked || !self.jobs.is_empty();
        if !something || !self.flying.is_empty() {
            return None;
        }
        self.looked = false;
        let view = Arc::new(self.core.view(self.committer.durable(), at));
        Some((view, std::mem::take(&mut self.jobs)))
    }

    /// The log is durable up to `position`. Gives the groups of which that is news, in order: to be published, and
    /// then to be written into the tables.
    pub fn on_durable(&mut self, position: Position) -> Vec<Flying> {
        self.committer.on_durable(position);
        let ahead = bug::is_made(Bug::TablesAhead);
        let count = self.flying.iter().take_while(|flying| ahead || flying.position <= position).count();
        self.flying.drain(..count).collect()
    }

    /// What may leave now, in the order in which it was decided.
    pub fn release(&mut self) -> Option<Held<W>> {
        self.committer.release()
    }

    /// The tables hold these: memory lets go of them, at once or after a while.
    pub fn on_tables(&mut self, now: BootTime, outdated: Vec<Outdated>) {
        for one in outdated {
            match one {
                Outdated::Job(id) => {
                    let ended = self.end_of(id);
                    self.lingering.push_back((now.plus(JOBS_LINGER), one, ended));
                }
                Outdated::Key(..) | Outdated::Content(..) => {
                    self.lingering.push_back((now.plus(KEYS_LINGER), one, None));
                }
                Outdated::End(..) | Outdated::EndSet(..) => self.core.forget(&one),
            }
        }
    }

    fn end_of(&self, id: JobId) -> Option<WallTime> {
        self.core.cluster().jobs.get(&id).and_then(|job| job.ended)
    }

    /// Lets go of what has lingered long enough. Jobs wait behind keys in the queue, which only keeps them longer.
    pub fn forget(&mut self, now: BootTime) {
        // Who waits for its turn was looked up when it came, and must find in memory what was there then.
        let now = self.lanes.oldest().map_or(now, |oldest| oldest.min(now));
        while self.lingering.front().is_some_and(|(until, ..)| *until <= now) {
            let Some((_, one, ended)) = self.lingering.pop_front() else { return };
            // A job that was wanted again and has ended anew is in the tables with its first end, perhaps, and waits for
            // its second to be there (seed 1892 of the simulator).
            let same = !matches!(one, Outdated::Job(id) if self.end_of(id) != ended);
            if same {
                self.core.forget(&one);
            }
        }
    }
}

/// An order says on which position of the log it rests: one that the log may never reach would have the node take
/// the next controller for one that has lost something.
fn stamp(effect: &mut Effect, behind: Position) {
    if let Effect::Send { message, .. } = effect
        && let ToNode::Order(order) = &mut **message
        && !bug::is_made(Bug::PositionAhead)
    {
        order.position = behind;
    }
}

/// About how many bytes a change takes in the log: exact sizes would mean encoding everything twice.
fn rough_bytes(change: &Change) -> usize {
    match change {
        Change::Content { bytes, .. } => 64 + bytes.as_ref().map_or(0, Vec::len),
        Change::Job(record) => record_bytes(record),
        Change::JobAgain { record, states, exceptions } => {
            let states = states.iter().map(|(_, set)| set.runs().len() * 8).sum::<usize>();
            record_bytes(record) + states + exceptions.len() * 16
        }
        Change::Key(record) => 128 + record.reply.len(),
        Change::Waiting { set, .. } | Change::EndedUnstarted { set, .. } | Change::Live { set, .. } => {
            64 + set.runs().len() * 8
        }
        _ => 96,
    }
}

/// The same of a job's record, of which users decide about the most.
fn record_bytes(record: &JobRecord) -> usize {
    256 + record.spec.rough_bytes() + record.waits_for.len() * 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Cluster, Settings};
    use crate::model::ids::{Attempt, Epoch, Incarnation, Instance, NodeId, Ordinal, SessionId, TaskRef};
    use crate::model::record::Exception;
    use crate::wire::node::{Act, Order};

    fn settings() -> Settings {
        Settings {
            cluster: "test".to_owned(),
            node_timeout: Seconds(15),
            lease: Seconds(15),
            kill_grace: Seconds(5),
            jobs_per_user_max: 10,
            allow_root: false,
            submit_from_jobs: true,
            addresses: vec![],
            fingerprint: [0; 32],
        }
    }

    fn now(micros: u64) -> Now {
        Now { wall: WallTime(0), boot: BootTime(micros) }
    }

    /// Beats of many nodes come more often than the driver's patience lasts: it never has the leisure for a tick of
    /// its own, and yet the node that says nothing must be seen to be silent.
    #[test]
    fn a_silent_node_is_seen_while_others_never_stop_talking() {
        let mut cluster = Cluster::default();
        let record = crate::core::drain::new_node(NodeId(1), "n1");
        cluster.absorb(&Change::Node(Box::new(record)), &mut Touched::default());
        let mut core = Core::new(cluster, settings(), Position(0));
        core.expect_nodes(now(0));
        let mut pipeline: Pipeline<()> = Pipeline::new(core, Position(0));
        for tenth in 0..200 {
            let command = Command::NodeGone { node: NodeId(2), session: SessionId(9) };
            pipeline.apply(now(tenth * 100_000), command, ());
        }
        assert!(pipeline.core().view(Position(0), WallTime(0)).nodes[&NodeId(1)].unreachable);
    }

    /// How long memory keeps what the tables have by now is no matter of the wall clock, which may be set.
    #[test]
    fn what_lingers_does_so_by_the_boot_clock() {
        let core = Core::new(Cluster::default(), settings(), Position(0));
        let mut pipeline: Pipeline<()> = Pipeline::new(core, Position(0));
        let key: std::sync::Arc<str> = "k".into();
        pipeline.on_tables(BootTime(7), vec![Outdated::Key(key.clone(), key)]);
        pipeline.forget(BootTime(6 + KEYS_LINGER.micros()));
        assert_eq!(pipeline.lingering.len(), 1);
        pipeline.forget(BootTime(7 + KEYS_LINGER.micros()));
        assert!(pipeline.lingering.is_empty());
    }

    /// An order that comes without a change rests on what is durable (seed 96 of the simulator: the node had seen a
    /// position that the log never reached, and took the next session for that of a controller that had lost
    /// something).
    #[test]
    fn an_order_names_what_it_rests_on() {
        let mut committer: Committer<u8, ()> = Committer::new(Position(7));
        assert_eq!((committer.behind(false), committer.behind(true)), (Position(7), Position(8)));
        committer.stage([1], 1, ());
        assert_eq!((committer.behind(false), committer.behind(true)), (Position(8), Position(8)));
        let order = Order {
            incarnation: Incarnation([7; 16]),
            epoch: Epoch(1),
            position: Position(8),
            session: SessionId(1),
            instance: Instance::default(),
            job: JobId(1),
            act: Act::Withdraw { attempts: vec![] },
        };
        let message = Box::new(ToNode::Order(order));
        let mut effect = Effect::Send { node: NodeId(1), session: SessionId(1), message };
        stamp(&mut effect, Position(7));
        let Effect::Send { message, .. } = effect else { panic!("it was one to send") };
        assert!(matches!(*message, ToNode::Order(Order { position: Position(7), .. })));
    }

    /// Parts of a group are cut by what changes are thought to take: a frame has room for eight times as much.
    #[test]
    fn a_record_is_not_much_larger_than_it_is_thought_to_be() {
        use crate::model::spec::{ARGUMENTS_BYTES_MAX, COMMENT_BYTES_MAX, Output, PATH_BYTES_MAX, WorkDir};
        let path = || format!("/{}", "p".repeat(PATH_BYTES_MAX - 1));
        let mut plain = crate::core::tests_spec::job_record(JobId(u64::MAX));
        let mut long = plain.clone();
        let mut spec = (*long.spec).clone();
        (spec.work_dir, spec.submit_dir, spec.files.input) = (WorkDir::Path(path()), path(), path());
        (spec.files.output, spec.files.error) = (Output::Pattern(path()), Some(Output::Pattern(path())));
        long.spec = spec.clone().into();
        spec.comment = "c".repeat(COMMENT_BYTES_MAX);
        spec.arguments = vec![String::new(); ARGUMENTS_BYTES_MAX / 2];
        spec.place.exclude = vec!["node".to_owned(); 10_000];
        plain.spec = spec.into();
        for record in [long, plain] {
            let change = Change::Job(Arc::new(record));
            let thought = rough_bytes(&change);
            let group = crate::model::change::Group { changes: vec![change] };
            let bytes = crate::wire::codec::encode(&group).unwrap().len();
            assert!(bytes <= 2 * thought && thought <= 2 * bytes + 1_024, "{bytes} {thought}");
        }
    }

    /// Slots of a job that is not there take no room on a node (seed 303 of the simulator).
    #[test]
    fn nobody_holds_nothing() {
        let mut cluster = Cluster::default();
        let record = crate::core::drain::new_node(NodeId(1), "n1");
        cluster.absorb(&Change::Node(Box::new(record)), &mut Touched::default());
        let charge = crate::model::resources::Resources { cpus: 1, memory_bytes: 1, tmp_bytes: 0 };
        let slots = Some(crate::model::record::Slots {
            count: 1,
            charge,
            exclusive: false,
            refills: false,
            not_after: None,
        });
        let change = Change::Slots { job: JobId(1), node: NodeId(1), slots };
        cluster.absorb(&change, &mut Touched::default());
        assert_eq!(cluster.nodes[&NodeId(1)].slots, 0);
        assert_eq!(crate::core::invariants::check(&cluster), Ok(()));
    }

    /// A job that is wanted again while memory still has it, though the tables have let go of it, is written as a whole
    /// (seed 514 of the simulator: an attempt number was used again after a restart).
    #[test]
    fn what_is_wanted_again_is_written_anew() {
        let mut cluster = Cluster::default();
        let (id, ordinal) = (JobId(1), Ordinal(0));
        let exception = Exception { attempts: Attempt(1), unstarted: 1, ..Exception::default() };
        let record = std::sync::Arc::new(crate::core::tests_spec::job_record(id));
        for change in [
            Change::Job(record.clone()),
            Change::Exception { task: TaskRef { job: id, ordinal }, exception },
            Change::JobEnded { job: id, at: WallTime(1) },
        ] {
            cluster.absorb(&change, &mut Touched::default());
        }
        let mut touched = Touched::default();
        let again = Change::JobAgain { record, states: vec![], exceptions: vec![(ordinal, exception)] };
        cluster.absorb(&again, &mut touched);
        assert!(touched.exceptions.contains(&(id, ordinal)) && touched.chunks.contains(&(id, 0)));
    }

    /// A job that was wanted again and has ended anew stays in memory until that end is in the tables (seed 1892 of the
    /// simulator: it was in neither).
    #[test]
    fn an_end_stays_in_memory_until_it_is_in_the_tables() {
        let mut cluster = Cluster::default();
        let id = JobId(1);
        let record = Arc::new(crate::core::tests_spec::job_record(id));
        let ended = |second: i64| Change::JobEnded { job: id, at: WallTime(second) };
        for change in [Change::Job(record.clone()), ended(1)] {
            cluster.absorb(&change, &mut Touched::default());
        }
        let mut pipeline: Pipeline<()> =
            Pipeline::new(Core::new(cluster, settings(), Position(0)), Position(0));
        pipeline.on_tables(BootTime(0), vec![Outdated::Job(id)]);
        // Wanted again and ended, while the first end lingers.
        for change in [Change::JobAgain { record, states: vec![], exceptions: vec![] }, ended(2)] {
            pipeline.core.cluster.absorb(&change, &mut Touched::default());
        }
        pipeline.forget(BootTime(JOBS_LINGER.micros()));
        assert!(pipeline.core.cluster.jobs.contains_key(&id), "it is in the tables with its first end only");
        pipeline.on_tables(BootTime(JOBS_LINGER.micros()), vec![Outdated::Job(id)]);
        pipeline.forget(BootTime(2 * JOBS_LINGER.micros()));
        assert!(!pipeline.core.cluster.jobs.contains_key(&id));
    }
}
