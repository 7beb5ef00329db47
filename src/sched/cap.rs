//! Bounds that several jobs share, whatever nodes they use: how many slots and cpus they hold together.
//!
//! Whoever has no room within a bound does not start, and has no reservation of nodes. The first of those, in the order
//! of rank, that would have one *closes* the bounds it waits for: who ranks behind it and shares one of them waits,
//! too, and refills nothing, so that a bound cannot be kept full by small jobs for ever. Of its other bounds, and of all
//! bounds of a job with a reservation, one slot is kept for it. A job that asks for more than a bound ever gives
//! is passed over.

use std::collections::{BTreeMap, BTreeSet};

use super::note::{Bound, CapId, Demand, Held, Rank};
use crate::model::ids::JobId;

/// All bounds, and what is used of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Caps {
    all: BTreeMap<CapId, Cap>,
    /// Where more is held than the bound allows.
    over: BTreeSet<CapId>,
    /// Which are closed, or have something kept, in this pass.
    stirred: BTreeSet<CapId>,
}

#[derive(Clone, Debug, Default)]
struct Cap {
    bound: Bound,
    used: Load,
    /// Kept for those who wait.
    kept: Load,
    /// By whom.
    closed: Option<Rank>,
    /// Who refills slots that count here, on which yard.
    refilling: BTreeSet<(JobId, usize)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    slots: u64,
    cpus: u64,
}

/// What is left within all bounds of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) slots: u64,
    pub(crate) cpus: u64,
}

impl Cap {
    fn left(&self) -> Left {
        let left = |bound: Option<u64>, used: u64, kept: u64| {
            bound.map_or(u64::MAX, |bound| bound.saturating_sub(used).saturating_sub(kept))
        };
        Left {
            slots: left(self.bound.slots, self.used.slots, self.kept.slots),
            cpus: left(self.bound.cpus, self.used.cpus, self.kept.cpus),
        }
    }

    fn is_over(&self) -> bool {
        self.bound.slots.is_some_and(|most| self.used.slots > most)
            || self.bound.cpus.is_some_and(|most| self.used.cpus > most)
    }
}

impl Caps {
    pub(crate) fn set_bound(&mut self, cap: CapId, bound: Bound) {
        self.all.entry(cap).or_default().bound = bound;
        self.look_over(cap);
    }

    /// A holding counts from now on.
    pub(crate) fn enter(&mut self, held: &Held) {
        let (slots, cpus) = (u64::from(held.slots), u64::from(held.charge.cpus));
        for cap in held.caps.iter() {
            let used = &mut self.all.entry(*cap).or_default().used;
            *used = Load { slots: used.slots + slots, cpus: used.cpus + cpus };
            self.look_over(*cap);
        }
    }

    /// A holding counts no longer.
    pub(crate) fn leave(&mut self, held: &Held) {
        for cap in held.caps.iter() {
            let used = &mut self.all.entry(*cap).or_default().used;
            used.slots = used.slots.saturating_sub(u64::from(held.slots));
            used.cpus = used.cpus.saturating_sub(u64::from(held.charge.cpus));
            self.look_over(*cap);
        }
    }

    fn look_over(&mut self, cap: CapId) {
        if self.all.get(&cap).is_some_and(Cap::is_over) {
            self.over.insert(cap);
        } else {
            self.over.remove(&cap);
        }
    }

    /// Notes whether a job's slots on a yard refill themselves.
    pub(crate) fn set_refilling(&mut self, held: &Held, job: JobId, at: usize, refills: bool) {
        for cap in held.caps.iter() {
            let refilling = &mut self.all.entry(*cap).or_default().refilling;
            if refills {
                refilling.insert((job, at));
            } else {
                refilling.remove(&(job, at));
            }
        }
    }

    /// What is left for jobs with these bounds.
    pub(crate) fn left(&self, caps: &[CapId]) -> Left {
        let all = caps.iter().filter_map(|cap| self.all.get(cap)).map(Cap::left);
        all.fold(Left { slots: u64::MAX, cpus: u64::MAX }, |least, left| Left {
            slots: least.slots.min(left.slots),
            cpus: least.cpus.min(left.cpus),
        })
    }

    /// What jobs with these bounds can have when nobody else has anything.
    pub(crate) fn most(&self, caps: &[CapId]) -> Left {
        let all = caps.iter().filter_map(|cap| self.all.get(cap)).map(|cap| cap.bound);
        all.fold(Left { slots: u64::MAX, cpus: u64::MAX }, |least, bound| Left {
            slots: least.slots.min(bound.slots.unwrap_or(u64::MAX)),
            cpus: least.cpus.min(bound.cpus.unwrap_or(u64::MAX)),
        })
    }

    /// How many slots of a demand there is room for.
    pub(crate) fn room(&self, demand: &Demand) -> u32 {
        if demand.caps.is_empty() {
            return u32::MAX;
        }
        let left = self.left(&demand.caps);
        let by_cpus = left.cpus / u64::from(demand.counted_cpus.max(1));
        u32::try_from(left.slots.min(by_cpus)).unwrap_or(u32::MAX)
    }

    /// Whether a demand asks for more than its bounds ever give.
    pub(crate) fn is_beyond(&self, demand: &Demand) -> bool {
        let most = self.most(&demand.caps);
        most.slots == 0 || most.cpus < u64::from(demand.counted_cpus)
    }

    /// The first of those who have closed one of these bounds.
    pub(crate) fn closed(&self, caps: &[CapId]) -> Option<Rank> {
        if self.stirred.is_empty() {
            return None;
        }
        caps.iter().filter_map(|cap| self.all.get(cap)?.closed).min()
    }

    /// Keeps one slot for a demand.
    pub(crate) fn keep(&mut self, demand: &Demand) {
        for cap in demand.caps.iter() {
            self.keep_of(*cap, demand);
        }
    }

    fn keep_of(&mut self, cap: CapId, demand: &Demand) {
        let kept = &mut self.all.entry(cap).or_default().kept;
        *kept = Load { slots: kept.slots + 1, cpus: kept.cpus + u64::from(demand.counted_cpus) };
        self.stirred.insert(cap);
    }

    /// A demand for which there is no room closes the bounds that leave it none; of the others one slot is kept.
    pub(crate) fn close(&mut self, demand: &Demand, rank: Rank) {
        for cap in demand.caps.iter() {
            let entry = self.all.entry(*cap).or_default();
            let left = entry.left();
            if left.slots > 0 && left.cpus >= u64::from(demand.counted_cpus) {
                self.keep_of(*cap, demand);
            } else {
                entry.closed.get_or_insert(rank);
                self.stirred.insert(*cap);
            }
        }
    }

    /// Nothing is closed, nothing kept.
    pub(crate) fn open_all(&mut self) {
        for cap in std::mem::take(&mut self.stirred) {
            if let Some(entry) = self.all.get_mut(&cap) {
                (entry.kept, entry.closed) = (Load::default(), None);
            }
        }
    }

    /// Whether slots of that rank that count there may not take a further task.
    pub(crate) fn is_dry(&self, caps: &[CapId], rank: Rank) -> bool {
        let over = caps.iter().any(|cap| self.over.contains(cap));
        over || self.closed(caps).is_some_and(|first| first < rank)
    }

    /// Slots that refill and count where a bound is closed or exceeded.
    pub(crate) fn suspects(&self) -> impl Iterator<Item = (JobId, usize)> + '_ {
        let caps =
            self.over.union(&self.stirred).filter_map(|cap| self.all.get(cap).map(|entry| (cap, entry)));
        let tight = caps.filter(|(cap, entry)| entry.closed.is_some() || self.over.contains(*cap));
        tight.flat_map(|(_, entry)| entry.refilling.iter().copied())
    }
}
