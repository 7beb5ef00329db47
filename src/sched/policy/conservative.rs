//! Conservative backfill: every waiting job is planned, and whatever is planned for now starts.
//!
//! The plan is as if made anew at each pass. Most of it need not be: as long as all that ends does so when it was
//! expected to, the plan of the pass before is still the plan. And only what may start now has to be known, so the
//! plan goes no further down the queue than to the last job that is small enough.

use super::machine::{Machine, Start};
use super::ordered::{Entry, Ordered};

/// A job of this shape was planned for `start`, between the steps `first` and `last` of then: no later one of the same
/// shape can start earlier.
#[derive(Clone, Copy, Debug, Default)]
struct Hint {
    plan: u64,
    estimate: i64,
    start: i64,
    processors: u32,
    first: usize,
    last: usize,
}

/// How many hints are kept: a power of two.
const HINTS: usize = 256;

/// The plan of the first so many of the queue.
#[derive(Clone, Debug)]
pub struct Planner {
    /// From when on it holds how many processors are free; the last step, at which all are, holds for ever.
    times: Vec<i64>,
    free: Vec<u32>,
    /// What is planned and has not started, in the order of the queue.
    planned: Vec<(i64, Entry)>,
    /// None of it is planned for earlier than this.
    earliest: i64,
    valid: bool,
    hints: Vec<Hint>,
    /// Which plan it is: hints of another do not count.
    plan: u64,
}

impl Planner {
    pub(super) fn new() -> Planner {
        Planner {
            times: Vec::new(),
            free: Vec::new(),
            planned: Vec::new(),
            earliest: i64::MAX,
            valid: false,
            hints: vec![Hint::default(); HINTS],
            plan: 0,
        }
    }

    /// Something ended before its time: the plan must be made anew.
    pub(super) fn forget(&mut self) {
        self.valid = false;
    }

    /// Begins anew with nothing but what runs.
    fn begin(&mut self, now: i64, mut free: u32, running: &Ordered) {
        self.plan += 1;
        self.valid = true;
        self.planned.clear();
        self.earliest = i64::MAX;
        self.times.clear();
        self.free.clear();
        self.times.push(now);
        for running in running.iter() {
            if self.times.last().is_some_and(|last| *last < running.key) {
                self.times.push(running.key);
                self.free.push(free);
            }
            free += running.processors;
        }
        self.free.push(free);
    }

    /// Lets go of the past.
    fn advance(&mut self, now: i64) {
        let past = self.times.partition_point(|time| *time <= now).saturating_sub(1);
        self.plan += u64::from(past > 0);
        self.times.drain(..past);
        self.free.drain(..past);
        if let Some(first) = self.times.first_mut() {
            *first = now;
        }
    }

    /// Takes out what is planned for now.
    fn due(&mut self, now: i64) -> Vec<Entry> {
        let mut due = Vec::new();
        if self.earliest > now {
            return due;
        }
        self.earliest = i64::MAX;
        self.planned.retain(|(start, entry)| {
            if *start <= now {
                due.push(*entry);
            } else {
                self.earliest = self.earliest.min(*start);
            }
            *start > now
        });
        due
    }

    /// Plans the job for the earliest time at which it fits, and says when that is; `i64::MAX` if it never does.
    fn place(&mut self, processors: u32, estimate: i64) -> i64 {
        let Some(hint) = self.hints.get_mut(place_of(processors, estimate)) else { return i64::MAX };
        let known = hint.plan == self.plan && hint.processors == processors && hint.estimate == estimate;
        let (mut first, mut last) = if known { (hint.first, hint.last) } else { (0, 0) };
        if known {
            // Steps have been put in since, never taken out.
            first += self.times.iter().skip(first).take_while(|time| **time < hint.start).count();
        }
        let (start, end) = loop {
            first += not_below(self.free.get(first..).unwrap_or_default(), processors);
            let Some(start) = self.times.get(first).copied() else { return i64::MAX };
            let end = start.saturating_add(estimate);
            last = end_of(&self.times, first.max(last), end);
            match last_below(self.free.get(first..=last).unwrap_or_default(), processors) {
                Some(at) => first += at + 1,
                None => break (start, end),
            }
        };
        *hint = Hint { plan: self.plan, estimate, start, processors, first, last };
        if self.times.get(last + 1).is_none_or(|next| *next > end) {
            let free = self.free.get(last).copied().unwrap_or_default();
            self.times.insert(last + 1, end);
            self.free.insert(last + 1, free);
        }
        for free in self.free.get_mut(first..=last).unwrap_or_default() {
            *free = free.saturating_sub(processors);
        }
        start
    }
}

impl Machine {
    pub(super) fn pass_conservative(&mut self, now: i64, starts: &mut Vec<Start>) {
        if self.queue.processors_min() > self.free {
            return;
        }
        let planner = &mut self.planner;
        if planner.valid {
            planner.advance(now);
        } else {
            planner.begin(now, self.free, &self.running);
        }
        let mut due = planner.due(now);
        // What starts leaves the queue, so that what is planned is the beginning of it.
        for entry in due.drain(..) {
            self.start(now, entry, false, starts);
        }
        let planner = &mut self.planner;
        let last = self.queue.last_within(self.free).unwrap_or(0);
        for entry in self.queue.iter().skip(planner.planned.len()) {
            if entry.index > last {
                break;
            }
            let start = planner.place(entry.processors, entry.estimate);
            if start == now {
                due.push(*entry);
            } else {
                planner.earliest = planner.earliest.min(start);
                planner.planned.push((start, *entry));
            }
        }
        for entry in due {
            self.start(now, entry, false, starts);
        }
    }
}

/// Where the hint for that shape is: anywhere, always the same.
fn place_of(processors: u32, estimate: i64) -> usize {
    let mixed =
        (estimate.cast_unsigned() ^ (u64::from(processors) << 40)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as usize % HINTS
}

/// How many numbers are looked at in one go.
const STRIDE: usize = 16;

/// How far the first is that is not below the bound.
fn not_below(numbers: &[u32], bound: u32) -> usize {
    let mut at = 0;
    for stride in numbers.chunks(STRIDE) {
        if stride.iter().fold(false, |any, number| any | (*number >= bound)) {
            return at + stride.iter().take_while(|number| **number < bound).count();
        }
        at += stride.len();
    }
    at
}

/// The last step before `end`, which lies behind that of `from`.
fn end_of(times: &[i64], from: usize, end: i64) -> usize {
    let (mut low, mut reach) = (from, 1);
    while times.get(low + reach).is_some_and(|time| *time < end) {
        low += reach;
        reach *= 2;
    }
    let high = times.len().min(low + reach);
    low + times.get(low + 1..high).unwrap_or_default().partition_point(|time| *time < end)
}

/// Where the last is that is below the bound.
fn last_below(numbers: &[u32], bound: u32) -> Option<usize> {
    let mut end = numbers.len();
    for stride in numbers.rchunks(STRIDE) {
        if stride.iter().fold(false, |any, number| any | (*number < bound)) {
            let behind = stride.iter().rev().take_while(|number| **number >= bound).count();
            return Some(end - behind - 1);
        }
        end -= stride.len();
    }
    None
}
