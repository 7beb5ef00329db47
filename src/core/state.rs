//! The cluster's state. It changes only by absorbing changes, so that replaying the log gives the same state.
//! All maps share structure: cloning the state is how a view is taken.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::abandoned::AbandonedKey;
use super::accounting::{Accounting, Delta};
use super::audit::AuditHead;
use super::indexes::is_found_alike;
use super::job::{Job, table_state, waiting_code};
pub use super::touched::{Outdated, Touched};
pub use super::view::View;
use crate::model::change::Change;
use crate::model::identity::Serial;
use crate::model::ids::{
    Attempt, ContentHash, Epoch, Incarnation, JobId, NodeId, Ordinal, Position, TaskRef, Uid,
};
use crate::model::record::{
    CertificateRecord, Exception, Hold, JobRecord, KeyRecord, Live, NodeRecord, PartitionRecord, Phase,
    Restored, Slots, SpentToken, TokenRecord, UserRecord,
};
use crate::model::resources::Resources;
use crate::model::state::{End, State};
use crate::model::task_set::TaskSet;
use crate::model::time::{Seconds, WallTime};

/// Everything that the log decides.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// Which life of the state this is.
    pub incarnation: Incarnation,
    /// The controller's term.
    pub epoch: Epoch,
    /// The next job number.
    pub next_job: JobId,
    /// The next node number.
    pub next_node: NodeId,
    /// Unfinished jobs, and ended ones that the tables do not hold yet.
    pub jobs: OrdMap<JobId, Arc<Job>>,
    /// Jobs by owner.
    pub by_user: OrdSet<(Uid, JobId)>,
    /// How many unfinished jobs each owner has.
    pub open_of: OrdMap<Uid, u32>,
    /// How many tasks the unfinished jobs of each owner have.
    pub tasks_of: OrdMap<Uid, u64>,
    /// How many jobs those of each owner in memory wait for, all together.
    pub waits_of: OrdMap<Uid, u64>,
    /// Jobs by owner and name.
    pub by_name: OrdSet<(Uid, Arc<str>, JobId)>,
    /// Who waits for whom: parent, child.
    pub dependents: OrdSet<(JobId, JobId)>,
    /// Which jobs were submitted from inside which: ancestor, descendant.
    pub descendants: OrdSet<(JobId, JobId)>,
    /// Which jobs hold something on a node.
    pub on_node: OrdSet<(NodeId, JobId)>,
    /// Nodes.
    pub nodes: OrdMap<NodeId, Arc<Node>>,
    /// How many nodes have so much memory for each processor, in bytes.
    pub shares: OrdMap<u64, u32>,
    /// Nodes by name.
    pub node_names: OrdMap<Arc<str>, NodeId>,
    /// Partitions by name.
    pub partitions: OrdMap<Arc<str>, Arc<PartitionRecord>>,
    /// Users by name.
    pub users: OrdMap<Arc<str>, UserRecord>,
    /// Accounts and qualities of service, and what is used of them.
    pub accounting: Accounting,
    /// Unused tokens.
    pub tokens: OrdMap<ContentHash, TokenRecord>,
    /// Used tokens that have not expired.
    pub spent: OrdMap<ContentHash, Arc<SpentToken>>,
    /// Certificates.
    pub certificates: OrdMap<Serial, CertificateRecord>,
    /// Answers to keys that the tables do not hold yet.
    pub keys: OrdMap<(Arc<str>, Arc<str>), Arc<KeyRecord>>,
    /// Ends that the tables do not hold yet.
    pub recent: OrdMap<(TaskRef, Attempt), Arc<End>>,
    /// Ends of whole sets without an attempt that the tables do not hold yet.
    pub recent_sets: OrdMap<(JobId, u64), Arc<(TaskSet, End)>>,
    /// Content that the tables do not hold yet.
    pub contents: OrdSet<(Uid, ContentHash)>,
    /// Attempts that were given up and are not known to be dead: node, job, task, attempt.
    pub abandoned: OrdMap<AbandonedKey, Live>,
    /// How long fenced attempts run on without contact, unless their job says otherwise.
    pub lease: Seconds,
    /// The numbers of jobs of a submission that is not accepted yet as a whole: first, and behind the last.
    pub unsettled: Option<(JobId, JobId)>,
    /// How the state came out of a backup, if it did.
    pub restored: Option<Restored>,
    /// How many tasks wait, and how many are on nodes, in all.
    pub totals: Totals,
    /// The end of the audit's chain.
    pub audit: AuditHead,
}

/// Sums over all jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Waiting tasks.
    pub pending: u64,
    /// Tasks on nodes.
    pub live: u64,
    /// Cpus of all nodes, as they said last.
    pub cpus: u64,
}

/// A node in memory.
#[derive(Clone, Debug)]
pub struct Node {
    /// What is kept of it.
    pub record: Arc<NodeRecord>,
    /// What jobs hold on it.
    pub allocated: Resources,
    /// Slots that jobs hold on it.
    pub slots: u64,
    /// Whether a job has it for itself.
    pub exclusive: bool,
}

impl Cluster {
    /// Takes a change in. `touched` learns what it was about.
    pub fn absorb(&mut self, change: &Change, touched: &mut Touched) {
        match change {
            Change::Job(record) => self.absorb_job(record, touched),
            Change::JobAgain { record, states, exceptions } => {
                self.absorb_again(record, states, exceptions, touched);
            }
            Change::Waiting { job, set, held } => {
                let state = if *held { State::Held } else { State::Pending };
                self.with_job(*job, touched, |job, touched| {
                    take_off_nodes(job, set, touched);
                    set_states(job, set, state, touched);
                    if let Some((first, _)) = set.runs().first() {
                        job.cursor = job.cursor.min(*first);
                    }
                    if job.mend_worst() {
                        touched.records.insert(job.id());
                    }
                });
            }
            Change::Live { job, set, live } => self.absorb_live(*job, set, *live, touched),
            Change::Exception { task, exception } => {
                let (exception, ordinal) = (*exception, task.ordinal);
                touched.exceptions.insert((task.job, ordinal));
                self.with_job(task.job, touched, |job, _| {
                    if exception == Exception::default() {
                        job.exceptions.remove(&ordinal);
                    } else {
                        job.exceptions.insert(ordinal, exception);
                    }
                });
            }
            Change::Ended { task, end } => {
                self.note_end(*task, end, touched);
                self.end_tasks(task.job, &TaskSet::one(task.ordinal), end, touched);
            }
            Change::EndedUnstarted { job, set, end } => {
                touched.ended.push(change.clone());
                let number = set.runs().first().map_or(0, |run| u64::from(run.0));
                self.recent_sets.insert((*job, number), Arc::new((set.clone(), (**end).clone())));
                self.end_tasks(*job, set, end, touched);
            }
            Change::Slots { job, node, slots } => self.absorb_slots(*job, *node, *slots, touched),
            Change::CancelNote { job, note } => {
                touched.records.insert(*job);
                self.with_job(*job, touched, |job, _| job.cancel = Some(Arc::new(note.clone())));
            }
            Change::Abandoned { task, attempt, node, live } => {
                let key = (*node, task.job, task.ordinal, *attempt);
                self.absorb_abandoned(key, *live, touched);
            }
            Change::LateEnd { task, end } => self.note_end(*task, end, touched),
            Change::JobEnded { job, at } => {
                touched.records.insert(*job);
                touched.job_ends.insert(*job, Position(0));
                self.set_ended(*job, Some(*at), touched);
            }
            _ => self.absorb_cluster(change, touched),
        }
    }

    fn absorb_cluster(&mut self, change: &Change, touched: &mut Touched) {
        match change {
            Change::Office { incarnation, epoch, .. } => {
                self.incarnation = *incarnation;
                self.epoch = *epoch;
            }
            Change::NextJob(number) => self.next_job = *number,
            Change::NextNode(number) => self.next_node = *number,
            Change::Node(record) => return self.absorb_node(record, touched),
            Change::NodeRemoved(id) => self.absorb_node_removed(*id, touched),
            Change::Partition(record) => self.absorb_partition(record, touched),
            Change::PartitionRemoved(name) => {
                self.partitions.remove(name.as_str());
                touched.places = true;
            }
            Change::User(record) => {
                self.users.insert(record.name.as_str().into(), record.clone());
            }
            Change::UserRemoved(name) => {
                self.users.remove(name.as_str());
            }
            Change::BudgetSpent { account, cpu_ms } => {
                touched.places |= self.accounting.absorb_spent(account, *cpu_ms);
            }
            Change::Use { account, user, used } => self.accounting.absorb_use(account, user, *used),
            Change::Account(_)
            | Change::AccountRemoved(_)
            | Change::Qos(_)
            | Change::QosRemoved(_)
            | Change::Priority(_) => {
                self.accounting.absorb(change);
                touched.places = true;
            }
            Change::Token(_)
            | Change::TokenUsed(_)
            | Change::TokenSpent(_)
            | Change::Certificate(_)
            | Change::CertificateDropped(_) => self.absorb_credentials(change),
            Change::Key(record) => {
                let key = (record.owner.as_str().into(), record.key.as_str().into());
                self.keys.insert(key, Arc::new((**record).clone()));
            }
            Change::Restored(restored) => self.restored = Some(*restored),
            Change::Lease(lease) => self.lease = *lease,
            Change::Unsettled(range) => self.unsettled = *range,
            Change::Content { owner, hash, .. } => {
                self.contents.insert((*owner, *hash));
            }
            Change::Audit(record) => self.audit = AuditHead::after(record),
            _ => {}
        }
        touched.others.push(change.clone());
    }

    fn absorb_job(&mut self, record: &Arc<JobRecord>, touched: &mut Touched) {
        let id = record.id;
        touched.jobs.insert(id);
        touched.records.insert(id);
        let old = self.jobs.get(&id).cloned();
        let known = old.as_ref().is_some_and(|old| is_found_alike(&old.record, record));
        if let Some(old) = old.as_ref().filter(|_| !known) {
            self.forget_indexes(old);
        }
        let job = match old {
            Some(mut old) => {
                let (was, is) = (&old.record.spec, &record.spec);
                if was.account != is.account || was.qos != is.qos {
                    let whole = Delta::whole(&old);
                    self.accounting.add(&old.record, whole.negative());
                    self.accounting.add(record, whole);
                    let rate = self.whole_rate(&old);
                    let (before, after) =
                        (self.accounting.member(&old.record), self.accounting.member(record));
                    self.change_rate(&before, rate, 0);
                    self.change_rate(&after, 0, rate);
                }
                Arc::make_mut(&mut old).record = Arc::clone(record);
                old
            }
            None => {
                let job = Job::new(self.with_shared_parts(record));
                if is_held(record) {
                    touched.chunks.extend((0..job.tasks.chunk_count()).map(|chunk| (id, chunk)));
                }
                self.totals.pending += u64::from(job.tasks.count());
                self.accounting.add(record, Delta::tasks(i64::from(job.tasks.count())));
                *self.open_of.entry(record.uid).or_default() += 1;
                *self.tasks_of.entry(record.uid).or_default() += u64::from(job.tasks.count());
                Arc::new(job)
            }
        };
        if !known {
            self.learn_indexes(&job);
        }
        self.jobs.insert(id, job);
    }

    fn absorb_again(
        &mut self,
        record: &Arc<JobRecord>,
        states: &[(State, TaskSet)],
        exceptions: &[(Ordinal, Exception)],
        touched: &mut Touched,
    ) {
        let id = record.id;
        touched.again.insert(id);
        let here = self.jobs.contains_key(&id);
        self.absorb_job(record, touched);
        if let Some(job) = self.jobs.get(&id).filter(|_| here) {
            // All that had gone to history with it comes back.
            touched.chunks.extend((0..job.tasks.chunk_count()).map(|chunk| (id, chunk)));
            touched.exceptions.extend(job.exceptions.keys().map(|ordinal| (id, *ordinal)));
            return self.set_ended(id, None, touched);
        }
        self.with_job(record.id, touched, |job, touched| {
            for (state, set) in states {
                set_states(job, set, *state, touched);
            }
            for (ordinal, exception) in exceptions {
                touched.exceptions.insert((record.id, *ordinal));
                job.exceptions.insert(*ordinal, *exception);
            }
            job.mend_worst();
        });
    }

    fn absorb_live(&mut self, job: JobId, set: &TaskSet, live: Live, touched: &mut Touched) {
        self.find_again(job, set, &live, touched);
        self.with_job(job, touched, |job, touched| {
            for ordinal in set.iter().filter(|ordinal| ordinal.0 < job.tasks.count()) {
                touched.live.insert((job.id(), ordinal));
                let old = job.live.insert(ordinal, live);
                job.handed -= u32::from(old.is_some_and(|old| old.phase == Phase::Handed));
                job.handed += u32::from(live.phase == Phase::Handed);
            }
            if let Some(start) = live.start {
                job.first_start = Some(job.first_start.map_or(start, |first| first.min(start)));
            }
            set_states(job, set, table_state(live.phase), touched);
        });
    }

    fn end_tasks(&mut self, job: JobId, set: &TaskSet, end: &End, touched: &mut Touched) {
        self.with_job(job, touched, |job, touched| {
            take_off_nodes(job, set, touched);
            set_states(job, set, end.state, touched);
            if let Some(start) = end.start {
                job.first_start = Some(job.first_start.map_or(start, |first| first.min(start)));
            }
            let worse = job
                .worst
                .as_ref()
                .is_none_or(|worst| !job.is_array() || waiting_code(end) >= waiting_code(worst));
            if worse {
                touched.records.insert(job.id());
                job.worst = Some(Arc::new(end.clone()));
            }
        });
    }

    fn absorb_slots(&mut self, job: JobId, node: NodeId, slots: Option<Slots>, touched: &mut Touched) {
        touched.slots.insert((job, node));
        touched.nodes.insert(node);
        // A job that has gone to history holds nothing, whatever the log says on the way there.
        let slots = slots.filter(|_| self.jobs.contains_key(&job));
        let mut old = None;
        self.with_job(job, touched, |job, _| {
            old = match slots {
                Some(slots) => job.slots.insert(node, slots),
                None => job.slots.remove(&node),
            };
        });
        if let Some(job) = self.jobs.get(&job) {
            self.accounting.add(&job.record, Delta::between(old.as_ref(), slots.as_ref()));
            let rate = |slots: Option<&Slots>| slots.map_or(0, |slots| self.rate_of(node, slots));
            let (before, after) = (rate(old.as_ref()), rate(slots.as_ref()));
            let member = self.accounting.member(&job.record);
            self.change_rate(&member, before, after);
        }
        match slots {
            Some(_) => self.on_node.insert((node, job)),
            None => self.on_node.remove(&(node, job)),
        };
        if let Some(node) = self.nodes.get_mut(&node) {
            let node = Arc::make_mut(node);
            if let Some(old) = old {
                node.allocated = node.allocated.minus(&old.charge.times(old.count));
                node.slots = node.slots.saturating_sub(u64::from(old.count));
                node.exclusive &= !old.exclusive;
            }
            if let Some(new) = slots {
                node.allocated = node.allocated.plus(&new.charge.times(new.count));
                node.slots += u64::from(new.count);
                node.exclusive |= new.exclusive;
            }
        }
    }

    /// A job has ended, or is wanted again.
    pub(super) fn set_ended(&mut self, id: JobId, ended: Option<WallTime>, touched: &mut Touched) {
        let Some(job) = self.jobs.get(&id) else { return };
        let (was, uid) = (job.ended.is_some(), job.record.uid);
        let count = u64::from(job.tasks.count());
        let open = self.open_of.remove(&uid).unwrap_or_default();
        let tasks = self.tasks_of.remove(&uid).unwrap_or_default();
        let (open, tasks) = match (was, ended.is_some()) {
            (false, true) => (open.saturating_sub(1), tasks.saturating_sub(count)),
            (true, false) => (open + 1, tasks + count),
            _ => (open, tasks),
        };
        if open > 0 {
            self.open_of.insert(uid, open);
            self.tasks_of.insert(uid, tasks);
        }
        self.with_job(id, touched, |job, _| job.ended = ended);
    }

    /// Runs `act` on a job, if it is here, and keeps the totals.
    pub(super) fn with_job(
        &mut self,
        id: JobId,
        touched: &mut Touched,
        act: impl FnOnce(&mut Job, &mut Touched),
    ) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let job = Arc::make_mut(job);
        touched.jobs.insert(id);
        let (pending, live) = waiting_and_live(job);
        act(job, touched);
        let (pending_now, live_now) = waiting_and_live(job);
        self.totals.pending = self.totals.pending + pending_now - pending;
        self.totals.live = self.totals.live + live_now - live;
        let tasks = (pending_now + live_now) as i64 - (pending + live) as i64;
        if tasks != 0 {
            let record = Arc::clone(&job.record);
            self.accounting.add(&record, Delta::tasks(tasks));
        }
    }

    /// Counts anew what accounts and qualities of service use.
    pub fn recount(&mut self) {
        self.accounting.recount(self.jobs.values());
        self.recount_rates();
    }

    /// The tables hold everything up to `position`: what memory keeps only because they did not, goes.
    pub fn forget(&mut self, outdated: &Outdated) {
        match outdated {
            Outdated::Job(id) => {
                let Some(job) = self.jobs.get(id).filter(|job| job.ended.is_some()).cloned() else { return };
                self.forget_indexes(&job);
                self.jobs.remove(id);
            }
            Outdated::End(task, attempt) => {
                self.recent.remove(&(*task, *attempt));
            }
            Outdated::EndSet(job, number) => {
                self.recent_sets.remove(&(*job, *number));
            }
            Outdated::Key(owner, key) => {
                self.keys.remove(&(owner.clone(), key.clone()));
            }
            Outdated::Content(owner, hash) => {
                self.contents.remove(&(*owner, *hash));
            }
        }
    }

    /// A node by name.
    pub fn node_named(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(self.node_names.get(name)?)
    }

    /// The job that owns a number, and the task if the number is a task's own.
    pub fn job_of_number(&self, number: JobId) -> Option<(&Arc<Job>, Option<Ordinal>)> {
        let (id, job) = self.jobs.get_prev(&number)?;
        if *id == number {
            return Some((job, None));
        }
        let ordinal = u32::try_from(number.0 - id.0 - 1).ok()?;
        (job.is_array() && ordinal < job.tasks.count()).then_some((job, Some(Ordinal(ordinal))))
    }
}

fn waiting_and_live(job: &Job) -> (u64, u64) {
    let waiting = job.tasks.counted(State::Pending) + job.tasks.counted(State::Held);
    (u64::from(waiting), job.live.len() as u64)
}

fn set_states(job: &mut Job, set: &TaskSet, state: State, touched: &mut Touched) {
    let id = job.id();
    touched.chunks.extend(job.tasks.set(set, state).into_iter().map(|chunk| (id, chunk)));
}

fn take_off_nodes(job: &mut Job, set: &TaskSet, touched: &mut Touched) {
    if job.live.is_empty() {
        return;
    }
    for &(first, last) in set.runs() {
        let gone: Vec<Ordinal> =
            job.live.range(Ordinal(first)..=Ordinal(last)).map(|(ordinal, _)| *ordinal).collect();
        for ordinal in gone {
            touched.live.insert((job.id(), ordinal));
            let old = job.live.remove(&ordinal);
            job.handed -= u32::from(old.is_some_and(|old| old.phase == Phase::Handed));
        }
    }
}

/// Whether a record says that somebody holds the job.
pub fn is_held(record: &JobRecord) -> bool {
    record.hold != Hold::No
}
