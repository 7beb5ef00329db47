//! About when a waiting job starts: those ahead of it are placed one after the other, each where it fits first by
//! the latest ends of what runs there, and then itself. Others may end sooner, so that this is a promise rather
//! than a guess, as far as nobody comes in ahead.

use std::sync::Arc;

use crate::model::ids::NodeId;
use crate::model::time::WallTime;

use super::note::{CapId, Demand, Rank};
use super::pool::PoolKey;
use super::room::{FAR, Shape};
use super::scheduler::{Listed, Scheduler};
use super::yard::{Reserved, Yard};

/// Slots ahead that are looked at; beyond them nothing is promised.
pub const SLOTS_AHEAD_MAX: u32 = 1_000;
/// How much looking one estimate may cost.
const STEPS_MAX: u64 = 4_000_000;

/// When and where a job starts at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Then.
    pub at: WallTime,
    /// There.
    pub node: NodeId,
}

/// Copies of all that decides about a job's start, to be worked on while the scheduler goes on.
#[derive(Clone, Debug)]
pub struct Situation {
    yards: Vec<Yard>,
    line: Vec<Wish>,
}

/// Slots that are wanted.
#[derive(Clone, Debug)]
struct Wish {
    rank: Rank,
    shape: Shape,
    key: PoolKey,
    except: Arc<[NodeId]>,
    slots: u32,
    begin: Option<WallTime>,
}

impl Wish {
    fn of(demand: &Demand, rank: Rank, slots: u32) -> Wish {
        Wish {
            rank,
            shape: Shape::of(demand),
            key: PoolKey::of(demand),
            except: Arc::clone(&demand.except),
            slots,
            begin: demand.begin,
        }
    }

    fn may_use(&self, yard: &Yard) -> bool {
        yard.accepts() && self.key.has(yard) && !self.except.contains(&yard.id)
    }
}

impl Scheduler {
    /// A waiting job's demand as it was told last.
    pub fn demand(&self, job: crate::model::ids::JobId) -> Option<&Demand> {
        self.jobs.get(&job).map(|entry| &entry.demand).filter(|demand| demand.slots > 0)
    }

    /// What decides about the start of a demand, whether it is in the line already or not. `None`: too many are
    /// ahead of it to say anything.
    pub fn situation(&self, demand: &Demand) -> Option<Situation> {
        let key = PoolKey::of(demand);
        let meeting: Vec<usize> =
            (0..self.pools.len()).filter(|at| self.pools[*at].key.meets(&key)).collect();
        let mut line = Vec::new();
        let mut slots = 0_u32;
        let mine = self.standings.rank(demand);
        // Nobody knows when those who have what they wait for now will let it go.
        if self.caps.room(demand) == 0 || self.caps.closed(&demand.caps).is_some_and(|first| first < mine) {
            return None;
        }
        let open = |caps: &Arc<[CapId]>| self.caps.left(caps).slots > 0;
        let lanes = meeting.iter().flat_map(|pool| self.pools[*pool].lanes.iter());
        for (key, lane) in lanes.filter(|(key, _)| open(&key.caps)) {
            let mut next = lane.queue.first(None);
            let before = key.inside(mine, &self.standings);
            while let Some(rank) = next.filter(|rank| *rank < before) {
                next = lane.queue.first(Some(rank));
                let Some(entry) = self.jobs.get(&rank.job).filter(|entry| entry.listed == Listed::Queued)
                else {
                    continue;
                };
                slots = slots.saturating_add(entry.demand.slots);
                if slots > SLOTS_AHEAD_MAX {
                    return None;
                }
                let theirs = entry.rank(&self.standings);
                line.push(Wish::of(&entry.demand, theirs, entry.demand.slots));
            }
        }
        line.sort_by_key(|wish| wish.rank);
        line.push(Wish::of(demand, mine, 1));
        let used = |yard: &&Yard| line.iter().any(|wish| wish.key.has(yard));
        let copy = |yard: &Yard| {
            let mut yard = yard.clone();
            yard.reserved.clear();
            yard
        };
        Some(Situation { yards: self.yards.iter().filter(used).map(copy).collect(), line })
    }
}

impl Situation {
    /// When and where the last in the line starts. `None`: not before something without limit ends, or it costs too
    /// much to find out.
    pub fn start(mut self, now: WallTime) -> Option<Start> {
        let mut steps = STEPS_MAX;
        let mut last = None;
        // Who may not overtake, and when the last of them has started.
        let mut strict: Vec<(PoolKey, WallTime)> = Vec::new();
        for wish in std::mem::take(&mut self.line) {
            let before = strict.iter().filter(|(key, _)| wish.key.waits_for(key)).map(|(_, start)| *start);
            let mut from = before.max().unwrap_or(now).max(now);
            for _ in 0..wish.slots {
                let (due, at) = self.first_room(&wish, from, &mut steps)?;
                let due = if wish.key.strict { due.max(from) } else { due };
                let yard = self.yards.get_mut(at)?;
                yard.reserved.push(Reserved { rank: wish.rank, due, shape: wish.shape });
                last = Some(Start { at: due.max(now).max(wish.begin.unwrap_or(now)), node: yard.id });
                if wish.key.strict {
                    from = due;
                }
            }
            if wish.key.strict {
                strict.retain(|(key, _)| *key != wish.key);
                strict.push((wish.key, from));
            }
        }
        last.filter(|start| start.at != FAR)
    }

    fn first_room(&self, wish: &Wish, now: WallTime, steps: &mut u64) -> Option<(WallTime, usize)> {
        let mut best: Option<(WallTime, usize)> = None;
        for (at, yard) in self.yards.iter().enumerate().filter(|(_, yard)| wish.may_use(yard)) {
            let reserved = yard.reserved.len() as u64;
            *steps = steps.checked_sub(1 + yard.held.len() as u64 + reserved * reserved)?;
            if yard.count(&wish.shape, now) > 0 {
                return Some((now, at));
            }
            let bound = best.map_or(FAR, |(due, _)| due);
            if let Some(due) = yard.earliest(&wish.shape, wish.rank, now, bound) {
                best = Some(best.map_or((due, at), |best| best.min((due, at))));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ids::JobId;
    use crate::model::resources::Resources;
    use crate::model::time::Seconds;
    use crate::sched::{Held, MemoryDemand, Note, PartitionId, Refill, Release, Supply};

    fn at(seconds: i64) -> WallTime {
        WallTime(seconds * 1_000_000)
    }

    fn demand(job: u64, cpus: u32, limit: u64) -> Demand {
        Demand {
            rank: Rank { tier: 0, priority: 0, order: 0, submit: job, job: JobId(job) },
            cpus,
            memory: MemoryDemand::Fixed(0),
            tmp_bytes: 0,
            exclusive: false,
            slots: 1,
            limit: Some(Seconds(limit)),
            begin: None,
            latest_end: None,
            latest_start: None,
            partitions: Arc::from([PartitionId(0)]),
            only: None,
            except: Arc::new([]),
            refills: false,
            strict: false,
            planned: false,
            caps: Arc::from([]),
            ages_from: None,
            share: crate::sched::ShareId(0),
            counted_cpus: cpus,
            version: 1,
        }
    }

    /// One node of 4 cpus, all of them busy until 100 s.
    fn busy() -> Scheduler {
        let mut scheduler = Scheduler::new();
        let total = Resources { cpus: 4, memory_bytes: 1 << 30, tmp_bytes: 0 };
        let supply = Supply { total, accepts: true, partitions: vec![PartitionId(0)], weight: 1, version: 1 };
        scheduler.note(Note::Node { node: NodeId(1), supply: Some(supply) });
        let charge = Resources { cpus: 4, ..Resources::default() };
        let releases = vec![Release { end: Some(at(100)), slots: 1 }];
        let held =
            Held { slots: 1, charge, exclusive: false, releases, refill: Refill::Never, caps: Arc::from([]) };
        scheduler.note(Note::Held { job: JobId(1), node: NodeId(1), held: Some(held) });
        for (job, cpus, limit) in [(2, 4, 50), (3, 3, 10), (4, 2, 10), (5, 1, 1_000)] {
            scheduler.note(Note::Job { job: JobId(job), demand: Some(demand(job, cpus, limit)) });
        }
        scheduler.plan(at(0), 1_000);
        scheduler
    }

    fn start(scheduler: &Scheduler, demand: &Demand) -> Option<WallTime> {
        scheduler.situation(demand)?.start(at(0)).map(|start| start.at)
    }

    #[test]
    fn each_starts_when_those_ahead_of_it_leave_room() {
        let scheduler = busy();
        let of = |job| start(&scheduler, scheduler.demand(JobId(job)).unwrap());
        // 2 follows on what runs, 3 on 2; 4 does not fit beside 3, 5 does.
        assert_eq!([of(2), of(3), of(4), of(5)], [100, 150, 160, 150].map(|s| Some(at(s))));
        // One that is not in the line yet, with and without a begin time of its own.
        assert_eq!(start(&scheduler, &demand(9, 1, 10)), Some(at(160)));
        let later = Demand { begin: Some(at(500)), ..demand(9, 1, 10) };
        assert_eq!(start(&scheduler, &later), Some(at(500)));
        assert_eq!(start(&scheduler, &demand(9, 5, 10)), None);
    }

    #[test]
    fn nothing_is_promised_behind_too_many() {
        let mut scheduler = busy();
        let many = Demand { slots: SLOTS_AHEAD_MAX - 4, refills: true, ..demand(6, 1, 1) };
        scheduler.note(Note::Job { job: JobId(6), demand: Some(many.clone()) });
        assert!(scheduler.situation(&demand(7, 1, 1)).is_some());
        scheduler.note(Note::Job { job: JobId(6), demand: None });
        let many = Demand { slots: SLOTS_AHEAD_MAX - 3, ..many };
        scheduler.note(Note::Job { job: JobId(6), demand: Some(many) });
        assert!(scheduler.situation(&demand(7, 1, 1)).is_none());
    }
}
