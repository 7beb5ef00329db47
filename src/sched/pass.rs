//! One pass over what may have become possible, in the order of rank.
//!
//! Who was tried and could not be placed is not tried again before a node that he may use has *gained*: was
//! touched by a note, or carried a reservation, which may now be elsewhere. At the start of a pass all
//! reservations are lifted; each is made again when the pass comes to its head. So during a pass rooms only
//! shrink, and who passes the filter late merely fails.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::ids::{JobId, NodeId};
use crate::model::time::WallTime;

use super::note::{Demand, Held, Rank, Refill, Release};
use super::plan::{Place, Plan, Reservation};
use super::pool::{Head, LaneKey};
use super::room::{Axes, FAR, Shape, UNLIMITED};
use super::scheduler::{Listed, Scheduler, last_start};
use super::yard::Reserved;

/// Up to so many gained nodes are asked one by one who fits there; beyond, the pool as a whole is asked.
/// Small in tests, so that these hold both ways equal.
const GAINED_SINGLY_MAX: usize = if cfg!(test) { 2 } else { 16 };

/// Up to so many fresh jobs are tried one by one; beyond, those who can fit nowhere are passed over.
const FRESH_SINGLY_MAX: usize = if cfg!(test) { 2 } else { 64 };

/// What a pass has still to do: for each pool at most one job, the next to be tried.
#[derive(Clone, Debug, Default)]
pub(super) struct Pass {
    agenda: BTreeSet<(Rank, usize)>,
    /// Pools whose heads let nobody overtake who is strict, too.
    closed: Vec<usize>,
}

impl Scheduler {
    /// Decides what starts at `now`. Looks at about `steps_max` jobs and nodes, then answers with what it has
    /// and `done: false`; the next call goes on, or begins again if something was noted in between.
    pub fn plan(&mut self, now: WallTime, steps_max: u64) -> Plan {
        let mut plan = Plan::default();
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => self.begin_pass(now),
        };
        while let Some((rank, pool)) = pass.agenda.pop_first() {
            let key = &self.pools[pool].key;
            if pass.closed.iter().any(|head| key.waits_for(&self.pools[*head].key)) {
                continue;
            }
            let Some(entry) = self.jobs.get(&rank.job) else { continue };
            let (lane, inside) = (entry.lane(), entry.rank_in_lane());
            if self.caps.closed(&lane.caps).is_some() {
                self.pools[pool].miss(&lane);
                continue;
            }
            self.attempt(rank, pool, now, &mut plan);
            if self.pools[pool].headed && self.pools[pool].key.strict {
                pass.closed.push(pool);
                continue;
            }
            if let Some(next) = self.next_in(pool, &lane, Some(inside), now, &mut plan.steps) {
                pass.agenda.insert((next, pool));
            }
            if plan.steps >= steps_max && !pass.agenda.is_empty() {
                self.pass = Some(pass);
                return plan;
            }
        }
        self.touched.clear();
        self.lifted.clear();
        for pool in &mut self.pools {
            pool.gained.clear();
            for lane in pool.lanes.values_mut() {
                lane.fresh.clear();
                lane.unseen = lane.missed;
            }
        }
        self.settle_rights(now, &mut plan);
        plan.reservations = self.reservations(now);
        plan.wake = self.wake(now);
        plan.done = true;
        plan
    }

    fn begin_pass(&mut self, now: WallTime) -> Pass {
        self.lift_reservations();
        self.caps.open_all();
        self.shift_refilling();
        self.tidy_pools();
        if self.rearrange {
            self.rearrange_pools();
        }
        for at in std::mem::take(&mut self.improved) {
            self.unpark(at);
        }
        for at in &self.touched {
            let room = self.yards[*at].free_axes();
            for (pool, leaf) in &self.members[*at] {
                self.pools[*pool].set_leaf(*leaf, room);
            }
        }
        for at in self.touched.union(&self.lifted) {
            for (pool, leaf) in &self.members[*at] {
                self.pools[*pool].gained.insert(*leaf);
            }
        }
        self.come_due(now);
        let mut pass = Pass::default();
        for at in 0..self.pools.len() {
            self.pools[at].headed = false;
            self.pools[at].reservations = 0;
            let lanes: Vec<LaneKey> = self.pools[at].lanes.keys().cloned().collect();
            for key in lanes {
                if let Some(lane) = self.pools[at].lanes.get_mut(&key) {
                    lane.missed = false;
                }
                if let Some(first) = self.next_in(at, &key, None, now, &mut 0) {
                    pass.agenda.insert((first, at));
                }
            }
        }
        pass
    }

    /// Takes all reservations out of force. A head's own makes no difference to where that head will fit.
    fn lift_reservations(&mut self) {
        for at in std::mem::take(&mut self.reserved) {
            let reserved = std::mem::take(&mut self.yards[at].reserved);
            let room = self.yards[at].free_axes();
            for (pool, leaf) in &self.members[at] {
                let pool = &mut self.pools[*pool];
                let own = |rank: Rank| pool.head.as_ref().is_some_and(|head| head.rank == rank);
                if reserved.iter().all(|reserved| own(reserved.rank)) {
                    pool.tree.set(*leaf, room);
                } else {
                    pool.set_leaf(*leaf, room);
                }
            }
            self.lifted.insert(at);
        }
    }

    /// Tries to place a job, and makes it the head of its pool if it is the first that can't be placed.
    fn attempt(&mut self, rank: Rank, pool: usize, now: WallTime, plan: &mut Plan) {
        plan.steps += 1;
        let Some(entry) = self.queued(rank) else { return };
        if last_start(&entry.demand).is_some_and(|last| last < now) {
            self.unqueue(rank.job, Listed::Late);
            return;
        }
        if let Some(begin) = entry.demand.begin.filter(|begin| *begin > now) {
            // The wall clock was set back.
            self.unqueue(rank.job, Listed::Waiting);
            self.begins.insert((begin, rank.job));
            return;
        }
        let (shape, need, except) = (entry.shape(), entry.need(), Arc::clone(&entry.demand.except));
        let mut slots = entry.demand.slots;
        let (key, inside) = (entry.lane(), entry.rank_in_lane());
        if let Some(lane) = self.pools[pool].lanes.get_mut(&key) {
            lane.fresh.remove(&inside);
        }
        let mut room = self.room_within(rank);
        while slots > 0 && room > 0 {
            let Some(leaf) = self.first_fit(pool, &shape, &need, &except, now, &mut plan.steps) else {
                break;
            };
            let at = self.pools[pool].order[leaf];
            let count = self.yards[at].count(&shape, now).min(slots).min(room);
            if count == 0 {
                break;
            }
            slots -= count;
            self.place(rank, at, count, now, plan);
            room = self.room_within(rank);
        }
        if slots == 0 {
            return self.finish_listing(rank);
        }
        if room == 0 {
            self.pools[pool].miss(&key);
        }
        if self.pools[pool].reserves() {
            if room == 0 {
                self.close_bounds(rank, pool);
            } else {
                self.reserve(rank, pool, now, &mut plan.steps);
            }
        }
    }

    fn room_within(&self, rank: Rank) -> u32 {
        self.jobs.get(&rank.job).map_or(0, |entry| self.caps.room(&entry.demand))
    }

    /// It would have a reservation if its bounds left it room: nobody behind it gets ahead within them.
    fn close_bounds(&mut self, rank: Rank, pool: usize) {
        let Some(entry) = self.queued(rank) else { return };
        if self.caps.is_beyond(&entry.demand) {
            return;
        }
        let (need, except) = (entry.need(), &entry.demand.except);
        let takes = |at: &usize| {
            let yard = &self.yards[*at];
            !except.contains(&yard.id) && yard.whole_axes().holds(&need)
        };
        if !self.pools[pool].order.iter().any(takes) {
            return self.unqueue(rank.job, Listed::Parked);
        }
        if let Some(entry) = self.jobs.get(&rank.job) {
            self.caps.close(&entry.demand, rank);
        }
    }

    /// The first node in the pool's order where at least one slot may start now.
    fn first_fit(
        &self,
        pool: usize,
        shape: &Shape,
        need: &Axes,
        except: &[NodeId],
        now: WallTime,
        steps: &mut u64,
    ) -> Option<usize> {
        let pool_at = pool;
        let pool = &self.pools[pool];
        let allowed = |leaf: usize| !except.contains(&self.yards[pool.order[leaf]].id);
        let plain = pool.tree.first(need, steps, allowed);
        let short = |leaf: &usize| allowed(*leaf) && self.yards[pool.order[*leaf]].count(shape, now) > 0;
        let leaves = self.reserved.iter().filter_map(|at| self.leaf_of(*at, pool_at));
        [plain, leaves.filter(short).min()].into_iter().flatten().min()
    }

    /// Counts slots as held, and says so in the plan.
    fn place(&mut self, rank: Rank, at: usize, slots: u32, now: WallTime, plan: &mut Plan) {
        let Some(entry) = self.jobs.get_mut(&rank.job) else { return };
        entry.demand.slots -= slots;
        let yard = &self.yards[at];
        let shape = entry.shape();
        let by_reservation = yard.not_after(&shape, slots, now);
        let place = Place {
            job: rank.job,
            node: yard.id,
            slots,
            charge: shape.charge(&yard.total()),
            exclusive: shape.exclusive,
            not_after: [by_reservation, last_start(&entry.demand)].into_iter().flatten().min(),
            demand_version: entry.demand.version,
            supply_version: yard.supply.as_ref().map_or(0, |supply| supply.version),
        };
        let held = with_place(yard.held.get(&rank.job), &place, &entry.demand, now);
        self.hold(rank.job, at, Some(held));
        self.show(at, now, None);
        plan.places.push(place);
    }

    /// Gives a job a reservation, the first of its pool as its head; or parks it, if no node could take it even when
    /// empty.
    fn reserve(&mut self, rank: Rank, pool: usize, now: WallTime, steps: &mut u64) {
        let Some(entry) = self.queued(rank) else { return };
        let (shape, except) = (entry.shape(), Arc::clone(&entry.demand.except));
        let Some(best) = self.best_reservation(rank, pool, &shape, &except, now, steps) else {
            self.unqueue(rank.job, Listed::Parked);
            return;
        };
        if let Some(entry) = self.jobs.get(&rank.job) {
            self.caps.keep(&entry.demand);
        }
        let at = self.pools[pool].order[best.1];
        let is_head = !self.pools[pool].headed;
        self.pools[pool].reservations += 1;
        if is_head {
            self.pools[pool].headed = true;
            self.pools[pool].head = Some(Head { rank, shape, except, best });
            self.pools[pool].stale.clear();
        }
        self.yards[at].reserved.push(Reserved { rank, due: best.0, shape });
        self.reserved.insert(at);
        self.show(at, now, is_head.then_some(pool));
    }

    /// The earliest due time, and at which leaf; of equals the first leaf. Starts from the last head if that
    /// asked for the same: then only what has changed is looked at.
    fn best_reservation(
        &self,
        rank: Rank,
        pool: usize,
        shape: &Shape,
        except: &[NodeId],
        now: WallTime,
        steps: &mut u64,
    ) -> Option<(WallTime, usize)> {
        let pool = &self.pools[pool];
        // What the head found does not hold for those behind it.
        let reusable = pool.head.as_ref().filter(|_| !pool.headed).filter(|head| {
            let same = head.shape == *shape && *head.except == *except;
            same && (head.rank == rank || self.refilling.is_empty()) && !pool.stale.contains(&head.best.1)
        });
        let mut best = reusable.map(|head| head.best);
        let mut look = |leaf: usize| {
            *steps += 1;
            let yard = &self.yards[pool.order[leaf]];
            if except.contains(&yard.id) {
                return;
            }
            let bound = best.map_or(FAR, |(due, _)| due);
            if let Some(due) = yard.earliest(shape, rank, now, bound) {
                best = Some(best.map_or((due, leaf), |best| best.min((due, leaf))));
            }
        };
        match reusable {
            Some(_) => pool.stale.iter().copied().for_each(&mut look),
            None => (0..pool.order.len()).for_each(&mut look),
        }
        best
    }

    /// Carries what a yard now offers into all pools that have it. Their heads, except that of `but`, must
    /// look at it again.
    fn show(&mut self, at: usize, now: WallTime, but: Option<usize>) {
        let room = self.yards[at].lasting_axes(now);
        for (pool, leaf) in &self.members[at] {
            if but == Some(*pool) {
                self.pools[*pool].tree.set(*leaf, room);
            } else {
                self.pools[*pool].set_leaf(*leaf, room);
            }
        }
    }

    /// The next job of a lane to try, behind one within it: fresh ones, those who may fit where something was gained, and whoever
    /// comes first as long as there is no head; as far as bounds leave room.
    fn next_in(
        &mut self,
        at: usize,
        key: &LaneKey,
        after: Option<Rank>,
        now: WallTime,
        steps: &mut u64,
    ) -> Option<Rank> {
        let reserves = self.pools[at].reserves();
        let left = if reserves { self.caps.most(&key.caps) } else { self.caps.left(&key.caps) };
        let most = self.pools[at].lanes.get(key)?.queue.cpus_most();
        if left.slots == 0 || left.cpus < u64::from(most) {
            self.pools[at].miss(key);
        }
        let pool = &self.pools[at];
        let lane = pool.lanes.get(key).filter(|_| left.slots > 0)?;
        let outside = |rank: Rank| key.outside(rank, &self.standings);
        if reserves {
            return lane.queue.next(after, &Axes::ALL, u64::MAX, left.cpus).map(outside);
        }
        let few = pool.gained.len() <= GAINED_SINGLY_MAX && lane.fresh.len() <= FRESH_SINGLY_MAX;
        let singly = few && !lane.unseen;
        let mut next = match after {
            _ if !singly => None,
            Some(after) => lane.fresh.range(after..).find(|rank| **rank > after).copied(),
            None => lane.fresh.first().copied(),
        };
        let mut ask = |room: &Axes, span: u64| {
            *steps += 1;
            let found = lane.queue.next(after, room, span, left.cpus);
            next = [next, found].into_iter().flatten().min();
        };
        if singly {
            let yards = pool.gained.iter().map(|leaf| &self.yards[pool.order[*leaf]]);
            yards.flat_map(|yard| yard.stairs(now)).for_each(|stair| ask(&stair.axes, stair.span));
            return next.map(outside);
        }
        // Whoever fits on any node passes this, fresh or not.
        ask(&pool.tree.root(), UNLIMITED);
        let reserved = self.reserved.iter().filter(|yard| self.leaf_of(**yard, at).is_some());
        reserved
            .flat_map(|yard| self.yards[*yard].stairs(now))
            .for_each(|stair| ask(&stair.axes, stair.span));
        next.map(outside)
    }

    fn leaf_of(&self, yard: usize, pool: usize) -> Option<usize> {
        self.members[yard].iter().find(|(of, _)| *of == pool).map(|(_, leaf)| *leaf)
    }

    /// Moves jobs whose begin time has come into the queue, and those that are too late out of it.
    fn come_due(&mut self, now: WallTime) {
        while let Some((begin, job)) = self.begins.first().copied().filter(|(begin, _)| *begin <= now) {
            self.begins.remove(&(begin, job));
            self.enqueue(job);
        }
        while let Some((last, job)) = self.lasts.first().copied().filter(|(last, _)| *last < now) {
            self.lasts.remove(&(last, job));
            self.unqueue(job, Listed::Late);
        }
    }

    /// Jobs that an empty node could not take before may fit this one now.
    fn unpark(&mut self, at: usize) {
        let room = self.yards[at].whole_axes();
        for (pool, _) in self.members[at].clone() {
            let mut after = None;
            while let Some(rank) = self.pools[pool].parked.next(after, &room, UNLIMITED, u64::MAX) {
                self.enqueue(rank.job);
                after = Some(rank);
            }
        }
    }

    /// Nothing more is wanted, for now.
    fn finish_listing(&mut self, rank: Rank) {
        let pass = self.pass.take();
        self.unlist(rank.job);
        self.pass = pass;
    }

    /// Takes a job out of the queue, to stand elsewhere.
    fn unqueue(&mut self, job: JobId, to: Listed) {
        let Some(entry) = self.jobs.get_mut(&job) else { return };
        let pool = &mut self.pools[entry.pool];
        let rank = entry.rank_in_lane();
        pool.dequeue(&entry.lane(), rank);
        pool.parked.remove(rank);
        if to == Listed::Parked {
            pool.parked.insert(entry.row());
        }
        entry.listed = to;
    }

    fn reservations(&self, now: WallTime) -> Vec<Reservation> {
        let mut all: Vec<(Rank, Reservation)> = Vec::new();
        for at in &self.reserved {
            let yard = &self.yards[*at];
            all.extend(yard.reserved.iter().map(|reserved| {
                let start = Some(reserved.start(now)).filter(|start| *start != FAR);
                (reserved.rank, Reservation { job: reserved.rank.job, node: yard.id, start })
            }));
        }
        all.sort_unstable_by_key(|(rank, _)| *rank);
        all.into_iter().map(|(_, reservation)| reservation).collect()
    }

    fn wake(&self, now: WallTime) -> Option<WallTime> {
        let begin = self.begins.first().map(|(begin, _)| *begin);
        let late = self.lasts.first().map(|(last, _)| WallTime(last.0.saturating_add(1)));
        [begin, late].into_iter().flatten().min().map(|at| at.max(now))
    }
}

/// What a job holds on a node once a place has come to it.
pub(super) fn with_place(old: Option<&Held>, place: &Place, demand: &Demand, now: WallTime) -> Held {
    let mut held = old.cloned().unwrap_or_default();
    held.slots = held.slots.saturating_add(place.slots);
    held.charge = held.charge.plus(&place.charge.times(place.slots));
    held.exclusive |= place.exclusive;
    let end = Some(Shape::of(demand).end(now)).filter(|end| *end != FAR);
    held.releases.push(Release { end, slots: place.slots });
    held.refill = match place.not_after {
        _ if !demand.refills => Refill::Never,
        Some(last) => Refill::Until(last),
        None => Refill::Always,
    };
    held.caps = Arc::clone(&demand.caps);
    held
}
