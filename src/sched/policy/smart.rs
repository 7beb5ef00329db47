//! The order of `smart`: who has waited longest for what will probably take the shortest, with an eye on the tail.
//!
//! What is predicted only orders. Reservations and backfill rest on what was asked for, so that no wrong prediction
//! delays the first in the queue. Jobs are ranked by wait over expected run time, wide ones a little ahead, as WFP3
//! does (Tang et al.). Expected is the mean of the last two jobs of the same user and request, or of his last two of
//! any kind, or the request; it is looked at again whenever one of them ends, and mixed with the request.
//!
//! Beside it, EASY schedules the same jobs in thought, as a yardstick for the tail. The nearer a wait comes to what one
//! in a hundred waits longer than there, the more it counts. And who has waited a given part longer than the longest
//! wait there, and would have started there, goes before all others, in the order of the starts there. So nobody waits
//! much longer than somebody would have anyway, whatever is predicted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use super::EASY;
use super::machine::{Arrival, Machine, Slot, Start};
use super::waits::Waits;

/// Shorter expectations count as this, in seconds: to start a job of a second before one of ten helps nobody.
const EXPECTED_SECONDS_MIN: f64 = 60.0;

/// The shortest run time that is remembered, in seconds: what ends at once says little about what will not.
const REMEMBERED_SECONDS_MIN: f64 = 10.0;

/// How much the request counts beside the expectation, as exponents.
const REQUEST_EXPONENT: f64 = 0.25;

/// How much the wait counts, as an exponent.
const WAIT_EXPONENT: f64 = 1.2;

/// Every wait counts as this much longer, in seconds, so that short jobs need not wait before they count at all.
const WAIT_SECONDS_MORE: f64 = 60.0;

/// A wait counts up to `1 + 1.5^4` times as much, as it nears and passes what 99 of 100 wait at most under EASY.
const LONG_FACTOR_MAX: f64 = 1.5;

/// What 99 of 100 wait at most is taken to be at least this, in seconds: before much has been seen, it means little.
const LONG_SECONDS_MIN: f64 = 3_600.0;

/// A job is late when it has waited this many times the longest wait under EASY.
const LATE_FACTOR: f64 = 1.4;

/// So many kinds of job are remembered for each user: those that ended last.
pub(super) const KINDS_MAX: usize = 32;

/// So many users are remembered: those whose jobs ended last.
pub(super) const USERS_MAX: usize = 100_000;

/// Run times of the last and of the one before.
#[derive(Clone, Copy, Debug, Default)]
struct Pair(Option<i64>, Option<i64>);

impl Pair {
    fn learn(&mut self, ran: i64) {
        *self = Pair(Some(ran), self.0);
    }

    /// Between the arithmetic and the geometric mean, since the short ones weigh more in what a wait is worth.
    fn mean(self) -> Option<i64> {
        let root = |ran: i64| (ran as f64).max(REMEMBERED_SECONDS_MIN).sqrt();
        let mean = f64::midpoint(root(self.0?), root(self.1?));
        Some((mean * mean) as i64)
    }
}

/// What is known of a user's jobs.
#[derive(Clone, Debug, Default)]
struct User {
    /// When the last of them ended, in the count of all ends: an expectation of before is old.
    ended: u64,
    all: Pair,
    /// By request; the one that ended last stands last.
    kinds: Vec<(i64, Pair)>,
}

/// A waiting job as it is ranked.
#[derive(Clone, Copy, Debug, Default)]
struct Ranked {
    index: u64,
    user: u64,
    processors: u32,
    request: i64,
    /// What a second of waiting is worth, as of `ended`.
    worth: f64,
    ended: u64,
    /// Where it is in thought, as long as it is there.
    thought: Option<Slot>,
    /// When EASY would have started it.
    easy_start: Option<i64>,
}

/// A job as EASY schedules it in thought.
#[derive(Clone, Copy, Debug, Default)]
struct Thought {
    index: u64,
    /// Its slot in the machine. Others have it later, but not under this index.
    slot: u32,
    submit: i64,
    start: Option<i64>,
    /// How long it runs, or is expected to.
    length: i64,
    end: i64,
    taken: bool,
}

/// What `smart` knows and thinks.
#[derive(Clone, Debug)]
pub struct Mind {
    users: BTreeMap<u64, User>,
    /// Users by their last end.
    by_end: BTreeMap<u64, u64>,
    ends: u64,
    /// By slot of the machine.
    ranked: Vec<Ranked>,
    easy: Box<Machine>,
    /// By slot of the machine in thought.
    thoughts: Vec<Thought>,
    easy_ends: BinaryHeap<Reverse<(i64, u64, Slot)>>,
    easy_starts: Vec<Start>,
    /// What waits came of EASY, and the longest.
    waits: Waits,
    wait_max: i64,
    /// What 99 of 100 waited at most, as of the pass.
    long: f64,
}

impl Mind {
    /// Knows nothing yet.
    pub(super) fn new(processors: u32) -> Mind {
        Mind {
            users: BTreeMap::new(),
            by_end: BTreeMap::new(),
            ends: 0,
            ranked: Vec::new(),
            easy: Box::new(Machine::new(EASY, processors)),
            thoughts: Vec::new(),
            easy_ends: BinaryHeap::new(),
            easy_starts: Vec::new(),
            waits: Waits::new(),
            wait_max: 0,
            long: LONG_SECONDS_MIN,
        }
    }

    /// A job came, and sits in that slot.
    pub(super) fn arrive(&mut self, now: i64, slot: u32, job: Arrival) {
        self.think(now);
        let mut ranked = Ranked {
            index: job.index,
            user: job.user,
            processors: job.processors,
            request: job.request,
            ..Ranked::default()
        };
        ranked.ended = self.users.get(&job.user).map_or(0, |user| user.ended);
        let expected = self.expected(&ranked);
        ranked.worth = worth(&ranked, expected);
        ranked.thought = self.easy.arrive(now, job);
        if let Some(thought) = ranked.thought {
            let kept =
                Thought { index: job.index, slot, submit: now, length: expected, ..Thought::default() };
            put(&mut self.thoughts, thought.0, kept);
        }
        put(&mut self.ranked, slot, ranked);
    }

    /// The job in that slot ended after so many seconds.
    pub(super) fn complete(&mut self, now: i64, slot: u32, ran: i64) {
        self.think(now);
        let Some(ranked) = self.ranked.get_mut(slot as usize) else { return };
        let (known, thought) = (*ranked, ranked.thought.take());
        self.learn(&known, ran);
        let Some(slot) = thought else { return };
        let Some(thought) = self.thoughts.get_mut(slot.0 as usize) else { return };
        if thought.index != known.index || thought.taken {
            return;
        }
        thought.length = ran;
        if let Some(start) = thought.start {
            thought.end = start.saturating_add(ran).max(now);
            self.easy_ends.push(Reverse((thought.end, u64::from(slot.0), slot)));
        }
    }

    fn learn(&mut self, job: &Ranked, ran: i64) {
        self.ends += 1;
        let user = self.users.entry(job.user).or_default();
        self.by_end.remove(&user.ended);
        user.ended = self.ends;
        self.by_end.insert(self.ends, job.user);
        user.all.learn(ran);
        let found = user.kinds.iter().position(|(request, _)| *request == job.request);
        let mut pair = found.map(|at| user.kinds.remove(at).1).unwrap_or_default();
        pair.learn(ran);
        if user.kinds.len() >= KINDS_MAX {
            user.kinds.remove(0);
        }
        user.kinds.push((job.request, pair));
        if self.users.len() > USERS_MAX
            && let Some((_, oldest)) = self.by_end.pop_first()
        {
            self.users.remove(&oldest);
        }
    }

    /// How long the job will probably take, in seconds.
    fn expected(&self, job: &Ranked) -> i64 {
        let Some(user) = self.users.get(&job.user) else { return job.request };
        let kind = user.kinds.iter().find(|(request, _)| *request == job.request);
        let mean = kind.and_then(|(_, pair)| pair.mean()).or_else(|| user.all.mean());
        mean.map_or(job.request, |mean| mean.clamp(1, job.request))
    }

    /// Catches up with EASY up to now, the pass of now excluded.
    fn think(&mut self, now: i64) {
        while let Some(end) = self.easy_ends.peek().map(|Reverse((end, _, _))| *end).filter(|end| *end <= now)
        {
            while self.easy_ends.peek().is_some_and(|Reverse((other, _, _))| *other == end) {
                let Some(Reverse((_, _, slot))) = self.easy_ends.pop() else { break };
                let Some(thought) = self.thoughts.get_mut(slot.0 as usize) else { continue };
                // An end that was moved is in the heap twice.
                if thought.end == end && thought.start.is_some() && !thought.taken {
                    thought.taken = true;
                    self.easy.complete(end, slot);
                }
            }
            if end < now {
                self.think_pass(end);
            }
        }
    }

    fn think_pass(&mut self, now: i64) {
        self.easy.pass(now, &mut self.easy_starts);
        for start in self.easy_starts.drain(..) {
            let Some(thought) = self.thoughts.get_mut(start.slot.0 as usize) else { continue };
            thought.start = Some(now);
            thought.end = now.saturating_add(thought.length);
            self.waits.add(now - thought.submit);
            self.wait_max = self.wait_max.max(now - thought.submit);
            let real = self.ranked.get_mut(thought.slot as usize);
            if let Some(ranked) = real.filter(|ranked| ranked.index == thought.index) {
                ranked.easy_start = Some(now);
            }
            self.easy_ends.push(Reverse((thought.end, u64::from(start.slot.0), start.slot)));
        }
    }

    /// Before a pass: EASY makes its own.
    pub(super) fn consider(&mut self, now: i64) {
        self.think(now);
        self.think_pass(now);
        self.long = self.waits.quantile().max(LONG_SECONDS_MIN);
    }

    /// By what a job stands that has waited so long, smallest first: the late ones, then by worth of the wait.
    pub(super) fn rank(&mut self, slot: u32, wait: i64) -> (bool, f64) {
        let Some(ranked) = self.ranked.get(slot as usize).copied() else { return (true, 0.0) };
        if wait as f64 >= LATE_FACTOR * self.wait_max as f64
            && let Some(start) = ranked.easy_start
        {
            return (false, start as f64);
        }
        let ended = self.users.get(&ranked.user).map_or(0, |user| user.ended);
        let mut worth_now = ranked.worth;
        if ended != ranked.ended {
            worth_now = worth(&ranked, self.expected(&ranked));
            if let Some(kept) = self.ranked.get_mut(slot as usize) {
                (kept.worth, kept.ended) = (worth_now, ended);
            }
        }
        let long = (wait as f64 / self.long).min(LONG_FACTOR_MAX);
        let counted = (wait as f64 + WAIT_SECONDS_MORE).powf(WAIT_EXPONENT);
        (true, -(counted * worth_now * (1.0 + long * long * long * long)))
    }
}

fn worth(job: &Ranked, expected: i64) -> f64 {
    let expected = (expected as f64).max(EXPECTED_SECONDS_MIN);
    f64::from(job.processors).cbrt() / (expected * (job.request as f64).powf(REQUEST_EXPONENT))
}

fn put<T: Clone + Default>(places: &mut Vec<T>, slot: u32, value: T) {
    let at = slot as usize;
    if at >= places.len() {
        places.resize(at + 1, T::default());
    }
    if let Some(place) = places.get_mut(at) {
        *place = value;
    }
}
