//! Jobs on nodes so that the busiest node is done first: the least makespan under a cap on each node's load.
//!
//! That is P||Cmax with capacities, bin packing in disguise. Bounds first; then the longest job first on the least
//! loaded node (LPT), first fit by bisection (MULTIFIT), and exchanges between nodes; then, within a budget of
//! steps, bisection with a search that proves what is best. Whatever was not proved is not called optimal.

use super::search::{Budget, Search, Verdict};

/// What is to be planned. Times and capacities in the same unit, as large as [`TIME_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problem {
    /// How long each job takes.
    pub times: Vec<u64>,
    /// How much each node takes at most.
    pub capacities: Vec<u64>,
}

/// The longest time: the sum of a million of them fits.
pub const TIME_MAX: u64 = 1_000_000_000_000;

/// What is known in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No plan has a smaller makespan.
    Optimal,
    /// A plan, and how far it is from the bound at most.
    Feasible,
    /// There is no plan: proved.
    Infeasible,
    /// No plan was found, and none was proved impossible within the budget.
    Unknown,
}

/// A plan, if there is one, and what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What is known.
    pub status: Status,
    /// The load of the busiest node; `None` without a plan.
    pub makespan: Option<u64>,
    /// No plan can do better than this.
    pub bound: u64,
    /// The node of each job, by place; empty without a plan.
    pub assignment: Vec<usize>,
}

impl Answer {
    /// How far the makespan may be above the best, as a share of the bound: 0 if it is the best.
    pub fn gap(&self) -> Option<f64> {
        let makespan = self.makespan?;
        Some(if self.bound == 0 { 0.0 } else { (makespan - self.bound) as f64 / self.bound as f64 })
    }
}

/// Exchanges between nodes are tried so often at most, for each node.
const EXCHANGES_PER_NODE: usize = 200;

/// Up to so many jobs the plan is made the first of all equally good ones, in the order of jobs and nodes.
const TIES_JOBS_MAX: usize = 64;

/// Plans within so many steps of search: 1,000,000 take about a second at most.
pub fn plan(problem: &Problem, steps: u64) -> Answer {
    let mut budget = Budget::new(steps);
    let Some(floor) = lower_bound(problem) else {
        return Answer { status: Status::Infeasible, makespan: None, bound: 0, assignment: Vec::new() };
    };
    let mut best: Option<Vec<usize>> = None;
    let mut offer = |found: Option<Vec<usize>>| {
        let Some(found) = found else { return };
        if best.as_ref().is_none_or(|best| makespan(problem, &found) < makespan(problem, best)) {
            best = Some(found);
        }
    };
    offer(longest_first(problem).map(|plan| exchange(problem, floor, plan)));
    for small_first in [true, false] {
        offer(multifit(problem, floor, small_first).map(|plan| exchange(problem, floor, plan)));
    }
    let (bound, best, possible) = prove(problem, floor, best, &mut budget);
    let Some(best) = best else {
        let status = if possible { Status::Unknown } else { Status::Infeasible };
        return Answer { status, makespan: None, bound, assignment: Vec::new() };
    };
    let reached = makespan(problem, &best);
    if reached > bound {
        return Answer { status: Status::Feasible, makespan: Some(reached), bound, assignment: best };
    }
    let assignment = first_of_equals(problem, reached, best, &mut budget);
    Answer { status: Status::Optimal, makespan: Some(reached), bound, assignment }
}

/// The load of the busiest node.
fn makespan(problem: &Problem, plan: &[usize]) -> u64 {
    loads(problem, plan).into_iter().max().unwrap_or(0)
}

fn loads(problem: &Problem, plan: &[usize]) -> Vec<u64> {
    let mut loads = vec![0; problem.capacities.len()];
    for (time, node) in problem.times.iter().zip(plan) {
        if let Some(load) = loads.get_mut(*node) {
            *load += time;
        }
    }
    loads
}

/// Jobs by falling time.
fn falling(times: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by_key(|job| std::cmp::Reverse(times.get(*job).copied()));
    order
}

/// No plan is done earlier; `None`: no plan exists, by what all jobs or the longest take.
fn lower_bound(problem: &Problem) -> Option<u64> {
    let total: u64 = problem.times.iter().sum();
    let room = problem.capacities.iter().fold(0, |sum: u64, capacity| sum.saturating_add(*capacity));
    let longest = problem.times.iter().copied().max().unwrap_or(0);
    let largest = problem.capacities.iter().copied().max();
    if total > room || (!problem.times.is_empty() && largest.is_none_or(|largest| longest > largest)) {
        return None;
    }
    // Of one job more than there are nodes, two share a node.
    let order = falling(&problem.times);
    let time = |place: usize| order.get(place).and_then(|job| problem.times.get(*job)).copied();
    let nodes = problem.capacities.len();
    let two = nodes.checked_sub(1).and_then(time).zip(time(nodes)).map_or(0, |(one, other)| one + other);
    // The level to which the time of all jobs fills the nodes, as water would.
    let level = least(longest.max(two), total.max(longest).max(two), |level| {
        let filled = problem.capacities.iter().map(|capacity| level.min(*capacity));
        filled.fold(0, u64::saturating_add) >= total
    });
    Some(level)
}

/// The least number from `low` to `high` that passes, if all above one that passes do; `high` is taken to pass.
fn least(mut low: u64, mut high: u64, passes: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low) / 2;
        if passes(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The longest job first, each on the node that is least loaded of those that can take it.
fn longest_first(problem: &Problem) -> Option<Vec<usize>> {
    let mut loads = vec![0_u64; problem.capacities.len()];
    let mut plan = vec![0; problem.times.len()];
    for job in falling(&problem.times) {
        let time = problem.times.get(job)?;
        let rooms = loads.iter().zip(&problem.capacities).enumerate();
        let fitting = rooms.filter(|(_, (load, capacity))| *load + time <= **capacity);
        let (node, _) = fitting.min_by_key(|(node, (load, _))| (**load, *node))?;
        *loads.get_mut(node)? += time;
        *plan.get_mut(job)? = node;
    }
    Some(plan)
}

/// The longest job first, each on the first node that can take it, and the least makespan at which that works out.
fn multifit(problem: &Problem, floor: u64, small_first: bool) -> Option<Vec<usize>> {
    let order = falling(&problem.times);
    let mut nodes: Vec<usize> = (0..problem.capacities.len()).collect();
    nodes.sort_by_key(|node| problem.capacities.get(*node).copied());
    if !small_first {
        nodes.reverse();
    }
    let fit = |limit: u64| first_fit(problem, &order, &nodes, limit);
    let high = problem.capacities.iter().copied().max()?.max(floor);
    let high = high.min(problem.times.iter().sum::<u64>().max(floor));
    fit(least(floor, high, |limit| fit(limit).is_some()))
}

fn first_fit(problem: &Problem, order: &[usize], nodes: &[usize], limit: u64) -> Option<Vec<usize>> {
    let mut rooms =
        nodes.iter().map(|node| problem.capacities.get(*node).map(|capacity| limit.min(*capacity)));
    let mut rooms = rooms.by_ref().collect::<Option<Vec<u64>>>()?;
    let mut plan = vec![0; problem.times.len()];
    for job in order {
        let time = *problem.times.get(*job)?;
        let place = rooms.iter().position(|room| *room >= time)?;
        *rooms.get_mut(place)? -= time;
        *plan.get_mut(*job)? = *nodes.get(place)?;
    }
    Some(plan)
}

/// Moves a job of the busiest node elsewhere, or exchanges two, as long as that helps.
fn exchange(problem: &Problem, floor: u64, mut plan: Vec<usize>) -> Vec<usize> {
    let nodes = problem.capacities.len();
    let mut loads = loads(problem, &plan);
    let mut held: Vec<Vec<(u64, usize)>> = vec![Vec::new(); nodes];
    for (job, node) in plan.iter().enumerate() {
        if let (Some(held), Some(time)) = (held.get_mut(*node), problem.times.get(job)) {
            held.push((*time, job));
        }
    }
    held.iter_mut().for_each(|jobs| jobs.sort_unstable());
    for _ in 0..nodes.saturating_mul(EXCHANGES_PER_NODE) {
        let Some((top, high)) = loads.iter().copied().enumerate().max_by_key(|(_, load)| *load) else {
            break;
        };
        if high <= floor {
            break;
        }
        let Some((other, given, taken)) = best_exchange(problem, &loads, &held, top) else { break };
        for (from, to, piece) in [(top, other, given), (other, top, taken)] {
            let Some((time, job)) = piece else { continue };
            if let Some(jobs) = held.get_mut(from) {
                jobs.retain(|(_, other)| *other != job);
            }
            if let Some(jobs) = held.get_mut(to) {
                jobs.insert(jobs.partition_point(|held| *held < (time, job)), (time, job));
            }
            if let Some(load) = loads.get_mut(from) {
                *load -= time;
            }
            if let Some(load) = loads.get_mut(to) {
                *load += time;
            }
            if let Some(node) = plan.get_mut(job) {
                *node = to;
            }
        }
    }
    plan
}

type Piece = Option<(u64, usize)>;

/// With which node the busiest should exchange what: so that the higher of the two is as low as can be.
fn best_exchange(
    problem: &Problem,
    loads: &[u64],
    held: &[Vec<(u64, usize)>],
    top: usize,
) -> Option<(usize, Piece, Piece)> {
    let (high, own) = (*loads.get(top)?, held.get(top)?);
    let mut best: Option<(u64, usize, Piece, Piece)> = None;
    let mut order: Vec<usize> = (0..loads.len()).filter(|node| *node != top).collect();
    order.sort_by_key(|node| loads.get(*node).copied());
    for node in order {
        let (low, room) = (*loads.get(node)?, *problem.capacities.get(node)?);
        let theirs = held.get(node)?;
        for given in own {
            // What the top loses by this exchange should be about half of what it is ahead.
            let wanted = given.0.saturating_sub((high.saturating_sub(low)) / 2);
            let near = theirs.partition_point(|(time, _)| *time < wanted);
            let takes =
                [near.checked_sub(1), Some(near)].into_iter().flatten().filter_map(|at| theirs.get(at));
            for taken in takes.copied().map(Some).chain([None]) {
                let back = taken.map_or(0, |(time, _)| time);
                let there = low + given.0 - back.min(low + given.0);
                if back >= given.0 || there > room {
                    continue;
                }
                let peak = there.max(high - given.0 + back);
                if peak < high && best.is_none_or(|(least, ..)| peak < least) {
                    best = Some((peak, node, Some(*given), taken));
                }
            }
        }
        // Half of the way to the least loaded is as good as it gets.
        if best.is_some() {
            break;
        }
    }
    best.map(|(_, node, given, taken)| (node, given, taken))
}

/// Searches between the bound and the best plan so far. Gives the bound that was proved, the best plan, and whether
/// there may be one at all.
fn prove(
    problem: &Problem,
    floor: u64,
    best: Option<Vec<usize>>,
    budget: &mut Budget,
) -> (u64, Option<Vec<usize>>, bool) {
    let most = problem.capacities.iter().copied().max().unwrap_or(0);
    let (mut low, mut best) = (floor, best);
    if best.is_none() {
        match decide(problem, most, budget) {
            Verdict::Plan(plan) => best = Some(plan),
            Verdict::Impossible => return (floor, None, false),
            Verdict::OutOfSteps => return (floor, None, true),
        }
    }
    let Some(mut plan) = best else { return (low, None, true) };
    // The bound itself is most often the answer, so it is tried first; then halves.
    let mut limit = low;
    while low < makespan(problem, &plan) {
        match decide(problem, limit, budget) {
            Verdict::Plan(better) => plan = better,
            Verdict::Impossible => low = limit + 1,
            Verdict::OutOfSteps => break,
        }
        limit = low + (makespan(problem, &plan).saturating_sub(low)) / 2;
    }
    (low, Some(plan), true)
}

fn decide(problem: &Problem, limit: u64, budget: &mut Budget) -> Verdict {
    let rooms = problem.capacities.iter().map(|capacity| limit.min(*capacity)).collect();
    Search::new(&problem.times, rooms).run(budget)
}

/// The first plan, by the nodes of the first jobs, of all that have this makespan, as far as the budget goes.
fn first_of_equals(problem: &Problem, limit: u64, best: Vec<usize>, budget: &mut Budget) -> Vec<usize> {
    if problem.times.len() > TIES_JOBS_MAX {
        return best;
    }
    let mut plan = best;
    let mut rooms: Vec<u64> = problem.capacities.iter().map(|capacity| limit.min(*capacity)).collect();
    for job in 0..problem.times.len() {
        let (Some(time), Some(now)) = (problem.times.get(job).copied(), plan.get(job).copied()) else {
            break;
        };
        let rest = problem.times.get(job + 1..).unwrap_or_default();
        for node in 0..now {
            let mut left = rooms.clone();
            let Some(room) = left.get_mut(node).filter(|room| **room >= time) else { continue };
            *room -= time;
            match Search::new(rest, left).run(budget) {
                Verdict::Plan(found) => {
                    plan.truncate(job);
                    plan.push(node);
                    plan.extend(found);
                    break;
                }
                Verdict::Impossible => {}
                Verdict::OutOfSteps => return plan,
            }
        }
        if let Some(room) = plan.get(job).and_then(|node| rooms.get_mut(*node)) {
            *room = room.saturating_sub(time);
        }
    }
    plan
}
