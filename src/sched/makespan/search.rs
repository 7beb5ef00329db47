//! Whether jobs fit into rooms: depth first, the longest job first, what is alike tried once.

use std::collections::BTreeSet;

/// How many steps of search are left.
#[derive(Clone, Copy, Debug)]
pub struct Budget(u64);

impl Budget {
    /// So many steps.
    pub fn new(steps: u64) -> Budget {
        Budget(steps)
    }

    fn take(&mut self) -> bool {
        let left = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        left
    }
}

/// What a search found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They fit: the room of each job.
    Plan(Vec<usize>),
    /// They don't.
    Impossible,
    /// The budget was used up before it was known.
    OutOfSteps,
}

/// How many dead ends are remembered.
const DEAD_ENDS_MAX: usize = 200_000;

/// A search is given up above so many jobs: its depth is theirs.
const JOBS_MAX: usize = 2_000;

/// Jobs that are to be put into rooms.
#[derive(Debug)]
pub struct Search {
    /// Jobs by falling time.
    order: Vec<usize>,
    times: Vec<u64>,
    rooms: Vec<u64>,
    /// From each job on, how much time is left.
    rest: Vec<u64>,
    plan: Vec<usize>,
    /// Jobs placed and what room was left then, sorted: nothing came of it.
    dead: BTreeSet<(usize, Vec<u64>)>,
}

/// Where one job of the current branch stands: which rooms are still to be tried, and where it is now.
#[derive(Debug)]
struct Level {
    choices: Vec<usize>,
    placed: Option<usize>,
    key: Vec<u64>,
}

impl Search {
    /// Jobs and rooms.
    pub fn new(times: &[u64], rooms: Vec<u64>) -> Search {
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|job| std::cmp::Reverse(times.get(*job).copied()));
        let sorted: Vec<u64> = order.iter().filter_map(|job| times.get(*job)).copied().collect();
        let mut rest = vec![0; sorted.len() + 1];
        let mut sum = 0;
        for (place, time) in rest.iter_mut().take(sorted.len()).zip(&sorted).rev() {
            sum += time;
            *place = sum;
        }
        Search { order, times: sorted, rooms, rest, plan: vec![0; times.len()], dead: BTreeSet::new() }
    }

    /// Searches until it is known or the budget is used up.
    pub fn run(mut self, budget: &mut Budget) -> Verdict {
        if self.times.is_empty() {
            return Verdict::Plan(self.plan);
        }
        if self.times.len() > JOBS_MAX {
            return Verdict::OutOfSteps;
        }
        let mut levels = vec![self.level(0)];
        while let Some(depth) = levels.len().checked_sub(1) {
            if !budget.take() {
                return Verdict::OutOfSteps;
            }
            let time = self.times.get(depth).copied().unwrap_or(0);
            let Some(level) = levels.last_mut() else { break };
            if let Some(room) = level.placed.take().and_then(|room| self.rooms.get_mut(room)) {
                *room += time;
            }
            let Some(choice) = level.choices.pop() else {
                let key = std::mem::take(&mut level.key);
                if self.dead.len() < DEAD_ENDS_MAX {
                    self.dead.insert((depth, key));
                }
                levels.pop();
                continue;
            };
            level.placed = Some(choice);
            if let Some(room) = self.rooms.get_mut(choice) {
                *room -= time;
            }
            if let Some(place) = self.order.get(depth).and_then(|job| self.plan.get_mut(*job)) {
                *place = choice;
            }
            if depth + 1 == self.times.len() {
                return Verdict::Plan(self.plan);
            }
            let next = self.level(depth + 1);
            levels.push(next);
        }
        Verdict::Impossible
    }

    /// Which rooms are worth a try for the job at that depth: of equal ones the first, the tightest first (they are
    /// taken from the end). None if what is left can't fit.
    fn level(&self, depth: usize) -> Level {
        let mut key = self.rooms.clone();
        key.sort_unstable();
        let hopeless = Level { choices: Vec::new(), placed: None, key: Vec::new() };
        let smallest = self.times.last().copied().unwrap_or(0);
        let useful = key.iter().copied().filter(|room| *room >= smallest).fold(0, u64::saturating_add);
        let left = self.rest.get(depth).copied().unwrap_or(0);
        let probe = (depth, key);
        if useful < left || self.dead.contains(&probe) {
            return hopeless;
        }
        let time = self.times.get(depth).copied().unwrap_or(0);
        let mut choices: Vec<(u64, std::cmp::Reverse<usize>)> = Vec::new();
        for (at, room) in self.rooms.iter().enumerate().filter(|(_, room)| **room >= time) {
            if !choices.iter().any(|(seen, _)| seen == room) {
                choices.push((*room, std::cmp::Reverse(at)));
            }
        }
        // A job that fills a room exactly may as well fill it: whatever else would be there can stand where it would.
        if let Some(exact) = choices.iter().find(|(room, _)| *room == time).copied() {
            choices = vec![exact];
        }
        choices.sort_unstable_by(|one, other| other.cmp(one));
        Level { choices: choices.into_iter().map(|(_, at)| at.0).collect(), placed: None, key: probe.1 }
    }
}
