//! All that a plan rests on, as one plain value; and the plan that follows from it without any memory.

use std::collections::BTreeMap;

use crate::model::ids::{JobId, NodeId};
use crate::model::time::WallTime;

use super::cap::Caps;
use super::note::{Bound, CapId, Demand, Held, Note, Rank, Refill, Supply};
use super::pass::with_place;
use super::plan::{Place, Plan, Reservation, Right};
use super::pool::{PLANNED_MAX, PoolKey};
use super::rights::{DRY_NODES_MAX, base_right, effective, right_before};
use super::room::{FAR, Shape};
use super::scheduler::{last_start, terms};
use super::standing::Standings;
use super::yard::{Reserved, Yard};

/// Demands, supplies, and who holds what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// All demands.
    pub jobs: BTreeMap<JobId, Demand>,
    /// All nodes.
    pub nodes: BTreeMap<NodeId, Supply>,
    /// What is held.
    pub held: BTreeMap<(JobId, NodeId), Held>,
    /// Bounds.
    pub bounds: BTreeMap<CapId, Bound>,
    /// Ages and standings.
    standings: Standings,
}

impl View {
    /// Takes a change in.
    pub fn note(&mut self, note: Note) {
        match note {
            Note::Job { job, mut demand } => {
                if let Some(demand) = &mut demand {
                    demand.rank.job = job;
                }
                set(&mut self.jobs, job, demand);
            }
            Note::Node { node, supply } => set(&mut self.nodes, node, supply),
            Note::Held { job, node, held } => {
                set(&mut self.held, (job, node), held.filter(|held| held.slots > 0));
            }
            Note::Cap { cap, bound } => {
                self.bounds.insert(cap, bound);
            }
            Note::Ageing(ageing) => self.standings.set_ageing(ageing),
            Note::Share { share, standing } => drop(self.standings.set_share(share, standing)),
        }
    }

    /// Counts what a plan says as done, as the scheduler itself does.
    pub fn assume(&mut self, plan: &Plan, now: WallTime) {
        for place in &plan.places {
            let Some(demand) = self.jobs.get_mut(&place.job) else { continue };
            demand.slots = demand.slots.saturating_sub(place.slots);
            let key = (place.job, place.node);
            let held = with_place(self.held.get(&key), place, demand, now);
            self.held.insert(key, held);
        }
        for right in &plan.rights {
            if let Some(held) = self.held.get_mut(&(right.job, right.node)) {
                held.refill = right.refill;
            }
        }
    }
}

/// The reference for [`super::Scheduler::plan`]: tries every job on every node, in order. `steps` is left 0.
pub fn plan_from_scratch(view: &View, now: WallTime) -> Plan {
    let mut view = view.clone();
    let standings = view.standings.clone();
    view.jobs.values_mut().for_each(|demand| demand.rank = standings.rank(demand));
    let mut yards = yards(&view);
    let mut caps = caps(&view);
    let mut heads: BTreeMap<PoolKey, (Rank, usize)> = BTreeMap::new();
    let mut made: Vec<(PoolKey, Rank, usize)> = Vec::new();
    let mut plan = Plan { done: true, ..Plan::default() };
    let mut order: Vec<Rank> = view.jobs.values().map(|demand| demand.rank).collect();
    order.sort_unstable();
    for rank in order {
        let Some(demand) = view.jobs.get(&rank.job).cloned() else { continue };
        if demand.slots == 0 || !eligible(&demand, now) {
            continue;
        }
        let key = PoolKey::of(&demand);
        if heads.keys().any(|head| key.waits_for(head)) {
            continue;
        }
        if caps.closed(&demand.caps).is_some() || caps.is_beyond(&demand) {
            continue;
        }
        let left = place_slots(&mut view, &mut yards, &mut caps, &demand, now, &mut plan);
        let count = made.iter().filter(|(of, ..)| *of == key).count();
        if left == 0 || (count > 0 && !(key.planned && count < PLANNED_MAX)) {
            continue;
        }
        let Some((due, at)) = reserve(&yards, &demand, now) else { continue };
        if caps.room(&demand) == 0 {
            caps.close(&demand, rank);
        } else {
            caps.keep(&demand);
            yards[at].reserved.push(Reserved { rank, due, shape: Shape::of(&demand) });
            made.push((key.clone(), rank, at));
            heads.entry(key).or_insert((rank, at));
        }
    }
    plan.rights = rights(&view, &yards, &caps, &heads, now);
    let mut in_order: Vec<(Rank, usize)> = made.into_iter().map(|(_, rank, at)| (rank, at)).collect();
    in_order.sort_unstable();
    plan.reservations =
        in_order.into_iter().filter_map(|(rank, at)| reservation(&yards[at], rank, now)).collect();
    plan.wake = wake(&view, now);
    plan
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn caps(view: &View) -> Caps {
    let mut caps = Caps::default();
    view.bounds.iter().for_each(|(cap, bound)| caps.set_bound(*cap, *bound));
    view.held.values().for_each(|held| caps.enter(held));
    caps
}

/// Nodes in the order in which they are tried.
fn yards(view: &View) -> Vec<Yard> {
    let mut order: Vec<(u32, NodeId)> = view.nodes.iter().map(|(id, supply)| (supply.weight, *id)).collect();
    order.sort_unstable();
    order
        .into_iter()
        .map(|(_, id)| {
            let mut yard = Yard::new(id);
            yard.supply = view.nodes.get(&id).cloned();
            let here = view.held.iter().filter(|((_, node), _)| *node == id);
            yard.held = here.map(|((job, _), held)| (*job, held.clone())).collect();
            refresh(&mut yard, view);
            yard
        })
        .collect()
}

fn refresh(yard: &mut Yard, view: &View) {
    yard.refresh(|job| view.jobs.get(&job).and_then(|demand| terms(demand, demand.rank)));
}

fn eligible(demand: &Demand, now: WallTime) -> bool {
    demand.begin.is_none_or(|begin| begin <= now) && last_start(demand).is_none_or(|last| last >= now)
}

fn allows(demand: &Demand, yard: &Yard) -> bool {
    PoolKey::of(demand).has(yard) && !demand.except.contains(&yard.id)
}

/// First fit. How many slots are left over.
fn place_slots(
    view: &mut View,
    yards: &mut [Yard],
    caps: &mut Caps,
    demand: &Demand,
    now: WallTime,
    plan: &mut Plan,
) -> u32 {
    let shape = Shape::of(demand);
    let mut left = demand.slots;
    for yard in yards.iter_mut().filter(|yard| allows(demand, yard)) {
        let slots = yard.count(&shape, now).min(left).min(caps.room(demand));
        if slots == 0 {
            continue;
        }
        left -= slots;
        let place = Place {
            job: demand.rank.job,
            node: yard.id,
            slots,
            charge: shape.charge(&yard.total()),
            exclusive: demand.exclusive,
            not_after: [yard.not_after(&shape, slots, now), last_start(demand)].into_iter().flatten().min(),
            demand_version: demand.version,
            supply_version: yard.supply.as_ref().map_or(0, |supply| supply.version),
        };
        if let Some(old) = view.held.get(&(place.job, place.node)) {
            caps.leave(old);
        }
        let one = Plan { places: vec![place], ..Plan::default() };
        view.assume(&one, now);
        if let Some(held) = view.held.get(&(place.job, place.node)) {
            caps.enter(held);
            yard.held.insert(place.job, held.clone());
        }
        refresh(yard, view);
        plan.places.push(place);
    }
    left
}

fn reserve(yards: &[Yard], demand: &Demand, now: WallTime) -> Option<(WallTime, usize)> {
    let shape = Shape::of(demand);
    let usable = yards.iter().enumerate().filter(|(_, yard)| allows(demand, yard));
    usable.filter_map(|(at, yard)| Some((yard.earliest(&shape, demand.rank, now, FAR)?, at))).min()
}

fn rights(
    view: &View,
    yards: &[Yard],
    caps: &Caps,
    heads: &BTreeMap<PoolKey, (Rank, usize)>,
    now: WallTime,
) -> Vec<Right> {
    let mut rights: Vec<Right> = Vec::new();
    for ((job, node), held) in &view.held {
        let (Some(demand), Some(yard)) = (view.jobs.get(job), yards.iter().find(|yard| yard.id == *node))
        else {
            continue;
        };
        if !demand.refills {
            continue;
        }
        let mut right = base_right(demand);
        for reserved in yard.reserved.iter().filter(|reserved| reserved.rank < demand.rank) {
            if !yard.stands_beside_refills(reserved, now) {
                right = right.min(right_before(reserved.start(now), Shape::of(demand).span));
            }
        }
        let wanted_by = |(key, (rank, _)): (&PoolKey, &(Rank, usize))| {
            dry_for(view, yards, key, *rank).contains(&(*job, *node))
        };
        let key = PoolKey::of(demand);
        let overtakes = heads.iter().any(|(head, (rank, _))| *rank < demand.rank && key.waits_for(head));
        if overtakes || heads.iter().any(wanted_by) || caps.is_dry(&held.caps, demand.rank) {
            right = Refill::Never;
        }
        let refill = effective(right, now);
        if refill != effective(held.refill, now) {
            rights.push(Right { job: *job, node: *node, refill });
        }
    }
    rights.sort_unstable();
    rights
}

/// The slots that may not refill because one of them less would let that head in.
fn dry_for(view: &View, yards: &[Yard], key: &PoolKey, head: Rank) -> Vec<(JobId, NodeId)> {
    let Some(demand) = view.jobs.get(&head.job) else { return Vec::new() };
    let need = Shape::of(demand).need();
    let in_pool = yards.iter().filter(|yard| key.has(yard) && !demand.except.contains(&yard.id));
    let lets_in = |yard: &Yard, job: &JobId| {
        let below = view.jobs.get(job).is_some_and(|other| other.refills && other.rank > head);
        below && yard.axes_without_one_of(*job).holds(&need)
    };
    let free = in_pool.filter(|yard| yard.reserved.is_empty());
    let mut dry = Vec::new();
    let mut nodes = 0;
    for yard in free {
        let here: Vec<JobId> = yard.held.keys().filter(|job| lets_in(yard, job)).copied().collect();
        nodes += usize::from(!here.is_empty());
        dry.extend(here.into_iter().map(|job| (job, yard.id)));
        if nodes == DRY_NODES_MAX {
            break;
        }
    }
    dry
}

fn reservation(yard: &Yard, rank: Rank, now: WallTime) -> Option<Reservation> {
    let reserved = yard.reserved.iter().find(|reserved| reserved.rank == rank)?;
    let start = Some(reserved.start(now)).filter(|start| *start != FAR);
    Some(Reservation { job: rank.job, node: yard.id, start })
}

fn wake(view: &View, now: WallTime) -> Option<WallTime> {
    let waiting = view.jobs.values().filter(|demand| demand.slots > 0);
    let times = waiting.flat_map(|demand| {
        let begin = demand.begin.filter(|begin| *begin > now);
        let late =
            last_start(demand).filter(|last| *last >= now).map(|last| WallTime(last.0.saturating_add(1)));
        [begin, late]
    });
    times.flatten().min()
}
