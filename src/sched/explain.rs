//! Says why a job waits, by the rules by which it was decided.

use crate::model::ids::JobId;
use crate::model::time::WallTime;

use super::explanation::{Condition, Explanation, Reason};
use super::note::Rank;
use super::room::FAR;
use super::scheduler::{Job, Listed, Scheduler, last_start};
use super::yard::Yard;

impl Scheduler {
    /// Why a job waits, as of the last plan that was done. Looks at every node of its partitions.
    pub fn explain(&self, job: JobId, now: WallTime) -> Explanation {
        let mut explanation = Explanation {
            reason: Reason::NotWaiting,
            conditions: Vec::new(),
            nodes: 0,
            ahead: 0,
            node: None,
            start: None,
            behind: None,
        };
        let Some(entry) = self.jobs.get(&job).filter(|entry| entry.demand.slots > 0) else {
            return explanation;
        };
        let closed = self.closed_to(entry);
        self.count_nodes(entry, now, closed.is_some(), &mut explanation);
        explanation.ahead = self.ahead(entry);
        explanation.behind = closed.or_else(|| self.behind(entry, now)).map(|rank| rank.job);
        if let Some((at, start)) = self.reservation_of(entry, now) {
            explanation.node = Some(self.yards[at].id);
            explanation.start = Some(start).filter(|start| *start != FAR);
        }
        explanation.reason = self.reason(entry, &explanation, now);
        let demand = &entry.demand;
        let before = self.caps.closed(&demand.caps).filter(|first| *first < self.rank_of(entry));
        if before.is_some() || self.caps.room(demand) == 0 {
            explanation.reason = Reason::Limit;
            explanation.behind = before.map(|rank| rank.job).or(explanation.behind);
        }
        explanation
    }

    fn rank_of(&self, entry: &Job) -> Rank {
        entry.rank(&self.standings)
    }

    /// The first of those whom it may not overtake.
    fn closed_to(&self, entry: &Job) -> Option<Rank> {
        let key = &self.pools[entry.pool].key;
        let heads = self.pools.iter().filter(|pool| pool.headed && key.waits_for(&pool.key));
        heads
            .filter_map(|pool| pool.head.as_ref())
            .map(|head| head.rank)
            .filter(|rank| *rank < self.rank_of(entry))
            .min()
    }

    fn count_nodes(&self, entry: &Job, now: WallTime, closed: bool, explanation: &mut Explanation) {
        let key = &self.pools[entry.pool].key;
        let mut counts = std::collections::BTreeMap::new();
        for yard in self.yards.iter().filter(|yard| key.covers(yard)) {
            explanation.nodes += 1;
            let listed = key.has(yard) && !entry.demand.except.contains(&yard.id);
            let reason = match failing(entry, yard, now) {
                _ if !listed => Reason::ReqNodes,
                Reason::None if closed => Reason::Priority,
                reason => reason,
            };
            *counts.entry(reason).or_insert(0) += 1;
        }
        explanation.conditions =
            counts.into_iter().map(|(reason, nodes)| Condition { reason, nodes }).collect();
    }

    fn ahead(&self, entry: &Job) -> u32 {
        let key = &self.pools[entry.pool].key;
        let meeting = self.pools.iter().filter(|pool| pool.key.meets(key));
        let rank = self.rank_of(entry);
        let jobs: usize = meeting.map(|pool| pool.before(rank, &self.standings)).sum();
        u32::try_from(jobs).unwrap_or(u32::MAX)
    }

    /// The highest of those whose reservations keep it from a node where it would fit.
    fn behind(&self, entry: &Job, now: WallTime) -> Option<Rank> {
        let barred = |at: &&usize| {
            let yard = &self.yards[**at];
            let usable = self.pools[entry.pool].key.has(yard) && !entry.demand.except.contains(&yard.id);
            usable && failing(entry, yard, now) == Reason::Priority
        };
        let ranks = self.reserved.iter().filter(barred).flat_map(|at| &self.yards[*at].reserved);
        ranks.map(|reserved| reserved.rank).filter(|rank| *rank < self.rank_of(entry)).min()
    }

    fn reservation_of(&self, entry: &Job, now: WallTime) -> Option<(usize, WallTime)> {
        self.reserved.iter().find_map(|at| {
            let mut here = self.yards[*at].reserved.iter();
            here.find(|reserved| reserved.rank.job == entry.demand.rank.job)
                .map(|found| (*at, found.start(now)))
        })
    }

    fn reason(&self, entry: &Job, found: &Explanation, now: WallTime) -> Reason {
        let some = |reason| found.conditions.iter().any(|condition| condition.reason == reason);
        if entry.listed == Listed::Late || last_start(&entry.demand).is_some_and(|last| last < now) {
            return Reason::Deadline;
        }
        if entry.listed == Listed::Waiting && entry.demand.begin.is_some_and(|begin| begin > now) {
            return Reason::BeginTime;
        }
        if found.nodes == 0 {
            return Reason::NoNodes;
        }
        if some(Reason::None) {
            return Reason::None;
        }
        if some(Reason::Resources) || some(Reason::Priority) {
            let pool = &self.pools[entry.pool];
            let head =
                pool.headed && pool.head.as_ref().is_some_and(|head| head.rank.job == entry.demand.rank.job);
            let first = head || (found.ahead == 0 && found.behind.is_none());
            return if first { Reason::Resources } else { Reason::Priority };
        }
        let order = [Reason::ReqNodeNotAvail, Reason::PartitionConfig];
        order.into_iter().find(|reason| some(*reason)).unwrap_or(Reason::ReqNodes)
    }
}

/// The first condition that a node fails; `None` if it fails none.
fn failing(entry: &Job, yard: &Yard, now: WallTime) -> Reason {
    if !yard.accepts() {
        Reason::ReqNodeNotAvail
    } else if !yard.whole_axes().holds(&entry.need()) {
        Reason::PartitionConfig
    } else if !yard.free_axes().holds(&entry.need()) {
        Reason::Resources
    } else if yard.count(&entry.shape(), now) == 0 {
        Reason::Priority
    } else {
        Reason::None
    }
}
