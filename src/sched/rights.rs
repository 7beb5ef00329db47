//! Who may refill his slots: everybody, until somebody of higher rank waits for them.
//!
//! Refilling on the node saves a round trip a task, and must not change who gets what. A right ends in three
//! cases, and where a bound is exceeded or somebody before them waits for it. Where nobody may overtake the one who waits. On the node of a reservation of higher rank that needs the slots: early enough for the last task to
//! have ended by then. And where one slot less would already let the head of a pool in, at once; there a few
//! nodes are enough, since it takes only the first slot that comes free.

use std::collections::BTreeMap;

use crate::model::ids::JobId;
use crate::model::time::WallTime;

use super::note::{Demand, Refill};
use super::plan::{Plan, Right};
use super::pool::{Head, Pool};
use super::room::{UNLIMITED, earlier};
use super::scheduler::{Scheduler, last_start};
use super::yard::{Reserved, Terms};

/// On so many nodes at most are slots kept from refilling for the sake of one head, its reservation aside.
pub(super) const DRY_NODES_MAX: usize = 32;

impl Scheduler {
    /// Changes the rights that are not as they should be after this pass.
    pub(super) fn settle_rights(&mut self, now: WallTime, plan: &mut Plan) {
        if self.refilling.is_empty() && self.limited.is_empty() {
            return;
        }
        let mut wanted: BTreeMap<(JobId, usize), Refill> = BTreeMap::new();
        for at in &self.reserved {
            for reserved in &self.yards[*at].reserved {
                self.keep_reserved(*at, reserved, now, &mut wanted);
            }
        }
        for pool in self.pools.iter().filter(|pool| pool.headed) {
            if let Some(head) = &pool.head {
                self.let_in(pool, head, &mut wanted, &mut plan.steps);
                self.hold_back(pool, head, &mut wanted, &mut plan.steps);
            }
        }
        for (job, at) in self.caps.suspects() {
            let (Some(entry), Some(held)) = (self.jobs.get(&job), self.yards[at].held.get(&job)) else {
                continue;
            };
            plan.steps += 1;
            if self.caps.is_dry(&held.caps, entry.rank(&self.standings)) {
                wanted.insert((job, at), Refill::Never);
            }
        }
        for key in &self.limited {
            wanted.entry(*key).or_insert(Refill::Always);
        }
        let mut rights = Vec::new();
        for ((job, at), refill) in wanted {
            let (Some(entry), Some(held)) = (self.jobs.get(&job), self.yards[at].held.get(&job)) else {
                continue;
            };
            if self.yards[at].supply.is_none() {
                continue;
            }
            let refill = effective(refill.min(base_right(&entry.demand)), now);
            if refill != effective(held.refill, now) {
                rights.push((Right { job, node: self.yards[at].id, refill }, at));
            }
        }
        rights.sort_unstable();
        for (right, at) in rights {
            if let Some(held) = self.yards[at].held.get(&right.job) {
                let held = super::note::Held { refill: right.refill, ..held.clone() };
                self.hold(right.job, at, Some(held));
            }
            plan.rights.push(right);
        }
    }

    fn terms_of(&self, job: JobId) -> Option<Terms> {
        self.jobs.get(&job).and_then(|entry| entry.terms(&self.standings))
    }

    fn keep_reserved(
        &self,
        at: usize,
        reserved: &Reserved,
        now: WallTime,
        wanted: &mut BTreeMap<(JobId, usize), Refill>,
    ) {
        let yard = &self.yards[at];
        if !yard.refills || yard.stands_beside_refills(reserved, now) {
            return;
        }
        for job in yard.held.keys() {
            let Some(terms) = self.terms_of(*job) else { continue };
            if terms.rank <= reserved.rank {
                continue;
            }
            let right = right_before(reserved.start(now), terms.span);
            let entry = wanted.entry((*job, at)).or_insert(Refill::Always);
            *entry = right.min(*entry);
        }
    }

    /// Whoever may not overtake the head starts no further tasks, on any node.
    fn hold_back(
        &self,
        pool: &Pool,
        head: &Head,
        wanted: &mut BTreeMap<(JobId, usize), Refill>,
        steps: &mut u64,
    ) {
        if !pool.key.strict {
            return;
        }
        for at in &self.refilling {
            *steps += 1;
            for job in self.yards[*at].held.keys() {
                let Some(entry) = self.jobs.get(job).filter(|entry| entry.demand.refills) else {
                    continue;
                };
                if entry.rank(&self.standings) > head.rank && self.pools[entry.pool].key.waits_for(&pool.key)
                {
                    wanted.insert((*job, *at), Refill::Never);
                }
            }
        }
    }

    fn let_in(
        &self,
        pool: &Pool,
        head: &Head,
        wanted: &mut BTreeMap<(JobId, usize), Refill>,
        steps: &mut u64,
    ) {
        let need = head.shape.need();
        let mut nodes = 0;
        for at in &pool.order {
            let yard = &self.yards[*at];
            if !yard.refills || !yard.reserved.is_empty() || head.except.contains(&yard.id) {
                continue;
            }
            *steps += 1;
            let mut some = false;
            for job in yard.held.keys() {
                let terms = self.terms_of(*job);
                let below = terms.is_some_and(|terms| terms.rank > head.rank);
                if below && yard.axes_without_one_of(*job).holds(&need) {
                    wanted.insert((*job, *at), Refill::Never);
                    some = true;
                }
            }
            nodes += usize::from(some);
            if nodes == DRY_NODES_MAX {
                return;
            }
        }
    }
}

/// The right that leaves a slot free at `start`.
pub(super) fn right_before(start: WallTime, span: u64) -> Refill {
    if span == UNLIMITED { Refill::Never } else { Refill::Until(earlier(start, span)) }
}

/// The right that an array has as long as nobody minds.
pub(super) fn base_right(demand: &Demand) -> Refill {
    last_start(demand).map_or(Refill::Always, Refill::Until)
}

/// A right that ran out is none.
pub(super) fn effective(right: Refill, now: WallTime) -> Refill {
    match right {
        Refill::Until(last) if last < now => Refill::Never,
        other => other,
    }
}
