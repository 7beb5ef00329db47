//! The scheduler's memory: jobs, nodes and pools, kept true note by note.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::ids::{JobId, NodeId};
use crate::model::time::WallTime;

use super::cap::Caps;
use super::note::{Demand, Held, Note, Rank, Refill, Supply};
use super::pass::Pass;
use super::pool::{LaneKey, Pool, PoolKey};
use super::queue::Row;
use super::rights::base_right;
use super::room::{Axes, Shape, UNLIMITED, earlier};
use super::standing::{Ageing, Standings};
use super::yard::{Terms, Yard};

/// Pools without jobs that are kept, because a job like the last one is likely to come.
const IDLE_POOLS_MAX: usize = 64;

/// The incremental scheduler. Notes in, plans out; see the module for the policy.
#[derive(Clone, Debug, Default)]
pub struct Scheduler {
    pub(super) jobs: BTreeMap<JobId, Box<Job>>,
    /// Never shrinks: a node that has gone keeps its yard, since its number is used again when it returns.
    pub(super) yards: Vec<Yard>,
    /// For each yard the pools that have it, and at which leaf.
    pub(super) members: Vec<Vec<(usize, usize)>>,
    yard_of: BTreeMap<NodeId, usize>,
    pub(super) pools: Vec<Pool>,
    pool_of: BTreeMap<PoolKey, usize>,
    /// The yards on which each job holds something.
    holders: BTreeMap<JobId, BTreeSet<usize>>,
    /// Slots of refilling arrays whose right to refill is less than `Always`, or should be.
    pub(super) limited: BTreeSet<(JobId, usize)>,
    /// Yards where some slots refill themselves.
    pub(super) refilling: BTreeSet<usize>,
    /// Jobs whose begin time has not come.
    pub(super) begins: BTreeSet<(WallTime, JobId)>,
    /// Listed jobs by the last moment at which they may start.
    pub(super) lasts: BTreeSet<(WallTime, JobId)>,
    /// Yards that changed since the last pass that was done.
    pub(super) touched: BTreeSet<usize>,
    /// Yards that may take, when empty, what they could not before.
    pub(super) improved: BTreeSet<usize>,
    /// Some pool may have other nodes than it thinks.
    pub(super) rearrange: bool,
    /// Yards with a reservation in force.
    pub(super) reserved: BTreeSet<usize>,
    /// Yards that had one in the last pass that was done, or since.
    pub(super) lifted: BTreeSet<usize>,
    /// Bounds, and what is used of them.
    pub(super) caps: Caps,
    /// Ages and standings.
    pub(super) standings: Standings,
    /// Jobs that still age, by the moment from which on they don't.
    ripening: BTreeSet<(WallTime, JobId)>,
    /// Ranks have shifted since the last pass.
    pub(super) shifted: bool,
    /// A pass that ran out of budget.
    pub(super) pass: Option<Pass>,
}

/// A job with a demand.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) demand: Demand,
    pub(super) pool: usize,
    pub(super) listed: Listed,
    /// It does not age, or no more, as of the last [`super::Ageing`].
    settled: bool,
    /// Its priority within its lane.
    priority: i64,
}

impl Job {
    pub(super) fn shape(&self) -> Shape {
        Shape::of(&self.demand)
    }

    pub(super) fn need(&self) -> Axes {
        self.shape().need()
    }

    pub(super) fn row(&self) -> Row {
        let (span, cpus) = (self.shape().span, self.demand.counted_cpus);
        Row { rank: self.rank_in_lane(), need: self.need(), span, cpus }
    }

    pub(super) fn lane(&self) -> LaneKey {
        LaneKey { caps: Arc::clone(&self.demand.caps), share: self.demand.share, settled: self.settled }
    }

    pub(super) fn rank_in_lane(&self) -> Rank {
        Rank { priority: self.priority, ..self.demand.rank }
    }

    /// Its place in the order, as all see it.
    pub(super) fn rank(&self, standings: &Standings) -> Rank {
        let offset = standings.offset(self.demand.share, self.settled);
        Rank { priority: self.priority.saturating_add(offset), ..self.demand.rank }
    }
}

impl Job {
    /// How long its slots stay where they are, if they refill themselves.
    pub(super) fn terms(&self, standings: &Standings) -> Option<Terms> {
        terms(&self.demand, self.rank(standings))
    }
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listed {
    /// It wants no slots.
    Nowhere,
    /// Its begin time has not come.
    Waiting,
    /// In its pool's queue.
    Queued,
    /// In its pool's list of those whom no node could take.
    Parked,
    /// It can no longer start in time.
    Late,
}

impl Scheduler {
    /// Knows nobody yet.
    pub fn new() -> Scheduler {
        Scheduler::default()
    }

    /// Takes a change in. Cheap: what follows from it is worked out by the next [`Scheduler::plan`].
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Job { job, demand: Some(demand) } => self.note_demand(job, demand),
            Note::Job { job, demand: None } => self.forget_demand(job),
            Note::Node { node, supply } => self.note_supply(node, supply),
            Note::Held { job, node, held } => self.note_held(job, node, held),
            Note::Cap { cap, bound } => {
                self.caps.set_bound(cap, bound);
                self.pass = None;
            }
            Note::Ageing(ageing) => self.note_ageing(ageing),
            Note::Share { share, standing } => {
                if self.standings.set_share(share, standing) {
                    self.shift();
                }
            }
        }
    }

    fn note_ageing(&mut self, ageing: Option<Ageing>) {
        let old = self.standings.ageing();
        if ageing == old {
            return;
        }
        let goes_on = old.zip(ageing).is_some_and(|(old, new)| new.goes_on_from(&old));
        let moved: Vec<JobId> = if goes_on {
            let ripe = ageing.map_or(WallTime(i64::MIN), |ageing| ageing.at);
            self.ripening.range(..=(ripe, JobId(u64::MAX))).map(|(_, job)| *job).collect()
        } else {
            self.jobs.keys().copied().collect()
        };
        for job in &moved {
            self.unlist(*job);
            self.set_ripening(*job, false);
        }
        self.standings.set_ageing(ageing);
        for job in moved {
            self.settle(job);
            self.list(job);
        }
        self.shift();
    }

    fn shift(&mut self) {
        self.shifted = true;
        self.pass = None;
    }

    /// Works out how a job stands to those that age.
    fn settle(&mut self, job: JobId) {
        if let Some(entry) = self.jobs.get_mut(&job) {
            entry.settled = self.standings.is_settled(&entry.demand);
            entry.priority = self.standings.within_lane(&entry.demand, entry.settled);
        }
        self.set_ripening(job, true);
    }

    fn set_ripening(&mut self, job: JobId, is: bool) {
        let Some(entry) = self.jobs.get(&job).filter(|entry| !entry.settled) else { return };
        let Some(ripe) = self.standings.ripe_at(&entry.demand) else { return };
        if is {
            self.ripening.insert((ripe, job));
        } else {
            self.ripening.remove(&(ripe, job));
        }
    }

    /// Arrays that refill their slots stand elsewhere among those who wait for the same nodes.
    pub(super) fn shift_refilling(&mut self) {
        if !std::mem::take(&mut self.shifted) {
            return;
        }
        for at in self.refilling.clone() {
            let holders: Vec<JobId> = self.yards[at].held.keys().copied().collect();
            if let Some(job) = holders.first() {
                self.refresh(*job, at);
                self.touched.insert(at);
            }
        }
    }

    fn note_demand(&mut self, job: JobId, mut demand: Demand) {
        demand.rank.job = job;
        let old = self.jobs.get_mut(&job);
        let standings = &self.standings;
        let stay_before = old.as_ref().and_then(|old| old.terms(standings));
        if let Some(old) = old {
            if old.demand == demand {
                return;
            }
            let same = Demand { slots: old.demand.slots, version: old.demand.version, ..demand.clone() };
            if same == old.demand && (demand.slots == 0) == (old.demand.slots == 0) {
                // Who could not place one slot more can't now, either.
                old.demand = demand;
                return;
            }
        }
        self.unlist(job);
        let pool = self.pool_for(PoolKey::of(&demand));
        self.pools[pool].users += 1;
        if let Some(old) = self.jobs.get(&job) {
            self.pools[old.pool].users -= 1;
        }
        self.set_ripening(job, false);
        let entry = Job { demand, pool, listed: Listed::Nowhere, settled: true, priority: 0 };
        self.jobs.insert(job, Box::new(entry));
        self.settle(job);
        let stay_now = self.jobs.get(&job).and_then(|entry| entry.terms(&self.standings));
        self.list(job);
        if stay_before != stay_now {
            self.stay_changed(job);
        }
    }

    fn forget_demand(&mut self, job: JobId) {
        self.unlist(job);
        self.set_ripening(job, false);
        let Some(old) = self.jobs.remove(&job) else { return };
        self.pools[old.pool].users -= 1;
        if old.demand.refills {
            self.stay_changed(job);
        }
    }

    fn note_supply(&mut self, node: NodeId, supply: Option<Supply>) {
        let at = self.yard_for(node);
        let yard = &mut self.yards[at];
        if yard.supply == supply {
            return;
        }
        let place = |supply: &Option<Supply>| supply.as_ref().map(|s| (s.partitions.clone(), s.weight));
        let offer = |supply: &Option<Supply>| supply.as_ref().map(|s| (s.total, s.accepts));
        self.rearrange |= place(&yard.supply) != place(&supply);
        let changed = offer(&yard.supply) != offer(&supply);
        yard.supply = supply;
        if changed {
            self.improved.insert(at);
            self.touch(at);
        }
        if self.rearrange {
            self.pass = None;
        }
    }

    fn note_held(&mut self, job: JobId, node: NodeId, held: Option<Held>) {
        let at = self.yard_for(node);
        let held = held.filter(|held| held.slots > 0);
        if self.yards[at].held.get(&job) == held.as_ref() {
            return;
        }
        self.hold(job, at, held);
        self.touch(at);
    }

    /// Sets what a job holds on a yard, and what follows from it there.
    pub(super) fn hold(&mut self, job: JobId, at: usize, held: Option<Held>) {
        let yard = &mut self.yards[at];
        if let Some(old) = yard.held.get(&job) {
            self.caps.leave(old);
            self.caps.set_refilling(old, job, at, false);
        }
        match held {
            Some(held) => {
                self.caps.enter(&held);
                yard.held.insert(job, held);
                self.holders.entry(job).or_default().insert(at);
            }
            None => {
                yard.held.remove(&job);
                if let Some(yards) = self.holders.get_mut(&job) {
                    yards.remove(&at);
                    if yards.is_empty() {
                        self.holders.remove(&job);
                    }
                }
            }
        }
        self.refresh(job, at);
    }

    /// Takes the rest of a job's wants off all lists: it has what it wanted, or changes.
    pub(super) fn unlist(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let rank = entry.rank_in_lane();
        let pool = &mut self.pools[entry.pool];
        match entry.listed {
            Listed::Nowhere => return,
            Listed::Waiting | Listed::Late => {}
            Listed::Parked => pool.parked.remove(rank),
            Listed::Queued => pool.dequeue(&entry.lane(), rank),
        }
        entry.listed = Listed::Nowhere;
        if let Some(begin) = entry.demand.begin {
            self.begins.remove(&(begin, job));
        }
        if let Some(last) = last_start(&entry.demand) {
            self.lasts.remove(&(last, job));
        }
        self.pass = None;
    }

    /// Puts a job into the queue as one to be tried, whatever list it is on.
    pub(super) fn enqueue(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let pool = &mut self.pools[entry.pool];
        if entry.listed == Listed::Parked {
            pool.parked.remove(entry.rank_in_lane());
        }
        entry.listed = Listed::Queued;
        pool.enqueue(entry.lane(), entry.row());
        self.pass = None;
    }

    fn list(&mut self, job: JobId) {
        let Some(entry) = self.jobs.get_mut(&job).filter(|entry| entry.demand.slots > 0) else { return };
        if let Some(last) = last_start(&entry.demand) {
            self.lasts.insert((last, job));
        }
        match entry.demand.begin {
            Some(begin) => {
                entry.listed = Listed::Waiting;
                self.begins.insert((begin, job));
            }
            None => self.enqueue(job),
        }
    }

    /// How long an array stays on its nodes has changed.
    fn stay_changed(&mut self, job: JobId) {
        let yards: Vec<usize> = self.holders.get(&job).into_iter().flatten().copied().collect();
        for at in yards {
            self.refresh(job, at);
            self.touch(at);
        }
    }

    fn refresh(&mut self, job: JobId, at: usize) {
        let (jobs, standings) = (&self.jobs, &self.standings);
        let yard = &mut self.yards[at];
        yard.refresh(|holder| jobs.get(&holder).and_then(|entry| entry.terms(standings)));
        if let Some(held) = yard.held.get(&job) {
            let refills = jobs.get(&job).is_some_and(|entry| entry.demand.refills);
            self.caps.set_refilling(held, job, at, refills);
        }
        if yard.refills {
            self.refilling.insert(at);
        } else {
            self.refilling.remove(&at);
        }
        let base = jobs.get(&job).and_then(|entry| entry.terms(standings)).map(|terms| terms.right);
        let limited = |held: &Held| base.is_some_and(|base| base.min(held.refill) != Refill::Always);
        if yard.held.get(&job).is_some_and(limited) {
            self.limited.insert((job, at));
        } else {
            self.limited.remove(&(job, at));
        }
    }

    fn touch(&mut self, at: usize) {
        self.touched.insert(at);
        self.pass = None;
    }

    fn yard_for(&mut self, node: NodeId) -> usize {
        *self.yard_of.entry(node).or_insert_with(|| {
            self.yards.push(Yard::new(node));
            self.members.push(Vec::new());
            self.yards.len() - 1
        })
    }

    fn pool_for(&mut self, key: PoolKey) -> usize {
        if let Some(at) = self.pool_of.get(&key) {
            return *at;
        }
        let at = self.pools.len();
        let pool = Pool::new(key.clone(), &self.yards);
        for (leaf, yard) in pool.order.iter().enumerate() {
            self.members[*yard].push((at, leaf));
        }
        self.pools.push(pool);
        self.pool_of.insert(key, at);
        at
    }

    /// Drops pools that no job has any more, if they are many.
    pub(super) fn tidy_pools(&mut self) {
        if self.pools.iter().filter(|pool| pool.users == 0).count() > IDLE_POOLS_MAX {
            self.rearrange = true;
        }
    }

    /// Works out anew which pools there are and which nodes they have.
    pub(super) fn rearrange_pools(&mut self) {
        let mut moved = BTreeMap::new();
        let mut pools = Vec::new();
        for (at, pool) in std::mem::take(&mut self.pools).into_iter().enumerate() {
            if pool.users > 0 {
                moved.insert(at, pools.len());
                pools.push(pool);
            }
        }
        for entry in self.jobs.values_mut() {
            entry.pool = moved.get(&entry.pool).copied().unwrap_or_default();
        }
        self.members.iter_mut().for_each(Vec::clear);
        self.pool_of.clear();
        for (at, pool) in pools.iter_mut().enumerate() {
            pool.arrange(&self.yards);
            for (leaf, yard) in pool.order.iter().enumerate() {
                self.members[*yard].push((at, leaf));
            }
            self.pool_of.insert(pool.key.clone(), at);
        }
        self.pools = pools;
        self.touched.extend(0..self.yards.len());
        self.improved.extend(0..self.yards.len());
        self.rearrange = false;
    }

    /// The rank's job, if it is still in the queue of that pool under that rank.
    pub(super) fn queued(&self, rank: Rank) -> Option<&Job> {
        let entry = self.jobs.get(&rank.job).map(|entry| &**entry);
        entry.filter(|entry| entry.listed == Listed::Queued && entry.rank(&self.standings) == rank)
    }
}

/// The last moment at which a task of that demand may start, if there is one.
pub(super) fn last_start(demand: &Demand) -> Option<WallTime> {
    let span = Shape::of(demand).span;
    let by_end = demand.latest_end.map(|end| if span == UNLIMITED { end } else { earlier(end, span) });
    [by_end, demand.latest_start].into_iter().flatten().min()
}

/// How long its slots stay where they are, if they refill themselves.
pub(super) fn terms(demand: &Demand, rank: Rank) -> Option<Terms> {
    demand.refills.then(|| Terms { rank, span: Shape::of(demand).span, right: base_right(demand) })
}
