//! The machine: jobs come, end, and are started by passes.

use super::conservative::Planner;
use super::history::{LastTwo, grown};
use super::ordered::{Entry, Ordered};
use super::smart::Mind;
use super::{Backfill, Estimate, Order, Policy};

/// A job that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the order of arrival: larger than all before it.
    pub index: u64,
    /// How many processors it takes.
    pub processors: u32,
    /// How long it may run, in seconds, at least 1.
    pub request: i64,
    /// How long it will run; only the policies that are told the future look at it.
    pub actual: i64,
    /// Whose it is.
    pub user: u64,
}

/// A job's place in the machine, from its arrival to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// A job that starts now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub slot: Slot,
    /// Whether it overtook one that had to wait.
    pub backfilled: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    index: u64,
    submit: i64,
    request: i64,
    estimate: i64,
    user: u64,
    /// By what it stands: in the queue while it waits, among the running by its expected end.
    key: i64,
    start: i64,
    processors: u32,
}

/// Waiting and running jobs on a number of equal processors under one policy.
#[derive(Clone, Debug)]
pub struct Machine {
    pub(super) policy: Policy,
    pub(super) free: u32,
    processors: u32,
    held: Vec<Held>,
    holes: Vec<u32>,
    /// In the order of the queue. Where that changes with time, in the order of arrival.
    pub(super) queue: Ordered,
    /// By estimate, if that is the order of backfill.
    pub(super) shortest: Option<Ordered>,
    /// In the order of arrival, those that have not aged yet, if any age.
    young: Option<Ordered>,
    /// By expected end.
    pub(super) running: Ordered,
    history: Option<LastTwo>,
    pub(super) mind: Option<Mind>,
    pub(super) planner: Planner,
}

impl Machine {
    /// An empty machine of so many processors.
    pub fn new(policy: Policy, processors: u32) -> Machine {
        let shortest = policy.backfill == Backfill::EasyShortest;
        let predicts = matches!(policy.estimate, Estimate::PredictGrowing | Estimate::PredictOrRequest);
        Machine {
            policy,
            free: processors,
            processors,
            held: Vec::new(),
            holes: Vec::new(),
            queue: Ordered::default(),
            shortest: shortest.then(Ordered::default),
            young: policy.aged_after.map(|_| Ordered::default()),
            running: Ordered::default(),
            history: predicts.then(LastTwo::default),
            mind: (policy.order == Order::Smart).then(|| Mind::new(processors)),
            planner: Planner::new(),
        }
    }

    /// How many jobs wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// A job comes. `None`: it can never start, as it takes no processor, or more than there are, or no time.
    pub fn arrive(&mut self, now: i64, job: Arrival) -> Option<Slot> {
        if job.processors == 0 || job.processors > self.processors || job.request < 1 {
            return None;
        }
        let estimate = match (self.policy.estimate, &self.history) {
            (Estimate::Actual, _) => job.actual.clamp(1, job.request),
            (_, Some(history)) => history.predict(job.user, job.request),
            _ => job.request,
        };
        let key = match self.policy.order {
            Order::Fcfs | Order::Wfp3 | Order::Smart => 0,
            Order::Sjf => estimate,
            Order::Saf => estimate.saturating_mul(i64::from(job.processors)),
        };
        let held = Held {
            index: job.index,
            submit: now,
            request: job.request,
            estimate,
            user: job.user,
            key,
            start: 0,
            processors: job.processors,
        };
        let slot = self.keep(held)?;
        let entry = Entry { key, index: job.index, estimate, processors: job.processors, slot };
        self.queue.insert(entry);
        if let Some(shortest) = &mut self.shortest {
            shortest.insert(Entry { key: estimate, ..entry });
        }
        if let Some(mind) = &mut self.mind {
            mind.arrive(now, slot, job);
        }
        if let Some(young) = &mut self.young {
            young.insert(Entry { key: now, ..entry });
        }
        Some(Slot(slot))
    }

    /// A running job ends.
    pub fn complete(&mut self, now: i64, slot: Slot) {
        let Some(held) = self.held.get(slot.0 as usize).copied() else { return };
        if self.running.remove(held.key, held.index).is_none() {
            return;
        }
        if held.key != now {
            self.planner.forget();
        }
        self.free += held.processors;
        self.holes.push(slot.0);
        if let Some(history) = &mut self.history {
            history.learn(held.user, now - held.start);
        }
        if let Some(mind) = &mut self.mind {
            mind.complete(now, slot.0, now - held.start);
        }
    }

    /// Starts what may start now.
    pub fn pass(&mut self, now: i64, starts: &mut Vec<Start>) {
        if let Some(mind) = &mut self.mind {
            mind.consider(now);
        }
        if self.queue.is_empty() {
            return;
        }
        self.age(now);
        match self.policy.backfill {
            Backfill::Conservative => self.pass_conservative(now, starts),
            _ => self.pass_easy(now, starts),
        }
    }

    /// Whoever has waited long enough moves before the others, as they came.
    fn age(&mut self, now: i64) {
        let (Some(young), Some(after)) = (&mut self.young, self.policy.aged_after) else { return };
        while let Some(oldest) = young.first().filter(|oldest| now - oldest.key >= after) {
            young.pop_first();
            let Some(held) = self.held.get_mut(oldest.slot as usize) else { continue };
            if let Some(entry) = self.queue.remove(held.key, oldest.index) {
                held.key = i64::MIN;
                self.queue.insert(Entry { key: held.key, ..entry });
            }
        }
    }

    /// Puts what has run longer than expected where it is expected now.
    pub(super) fn correct(&mut self, now: i64) {
        while let Some(first) = self.running.first().filter(|first| first.key <= now) {
            let Some(held) = self.held.get_mut(first.slot as usize) else { return };
            let expected = match self.policy.estimate {
                Estimate::PredictGrowing => grown(held.estimate, held.request, now - held.start),
                _ => held.request,
            };
            let end = held.start.saturating_add(expected);
            // What has used up its request should have ended: it is expected at any moment.
            if end <= first.key {
                return;
            }
            held.key = end;
            self.running.pop_first();
            self.running.insert(Entry { key: end, ..first });
        }
    }

    pub(super) fn start(&mut self, now: i64, entry: Entry, backfilled: bool, starts: &mut Vec<Start>) {
        let Some(held) = self.held.get_mut(entry.slot as usize) else { return };
        if let Some(shortest) = &mut self.shortest {
            shortest.remove(held.estimate, entry.index);
        }
        if let Some(young) = &mut self.young {
            young.remove(held.submit, entry.index);
        }
        self.queue.remove(held.key, entry.index);
        held.start = now;
        held.key = now.saturating_add(held.estimate);
        self.free -= entry.processors;
        self.running.insert(Entry { key: held.key, ..entry });
        starts.push(Start { slot: Slot(entry.slot), backfilled });
    }

    pub(super) fn submitted(&self, slot: u32) -> i64 {
        self.held.get(slot as usize).map_or(0, |held| held.submit)
    }

    fn keep(&mut self, held: Held) -> Option<u32> {
        let slot = match self.holes.pop() {
            Some(slot) => slot,
            None => u32::try_from(self.held.len()).ok()?,
        };
        match self.held.get_mut(slot as usize) {
            Some(place) => *place = held,
            None => self.held.push(held),
        }
        Some(slot)
    }
}
