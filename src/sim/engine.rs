//! Runs jobs through the machine: from event to event, completions before arrivals, then one pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::trace::Job;
use crate::sched::policy::Policy;
use crate::sched::policy::machine::{Arrival, Machine, Slot};

/// What came of a simulation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The second at which each job started, by its place among the jobs.
    pub starts: Vec<i64>,
    /// How many overtook one that had to wait.
    pub backfilled: u64,
}

/// Schedules the jobs, which stand in the order of their submission and each fit, on that many processors.
pub fn simulate(jobs: &[Job], processors: u32, policy: Policy) -> Outcome {
    let mut machine = Machine::new(policy, processors);
    let mut ends: BinaryHeap<Reverse<(i64, usize, Slot)>> = BinaryHeap::new();
    let mut outcome = Outcome { starts: vec![0; jobs.len()], backfilled: 0 };
    let mut started = Vec::new();
    // Which job sits in which slot.
    let mut seats: Vec<usize> = Vec::new();
    let mut arrivals = jobs.iter().enumerate().peekable();
    loop {
        let arrival = arrivals.peek().map(|(_, job)| job.submit);
        let end = ends.peek().map(|Reverse((end, _, _))| *end);
        let Some(now) = arrival.into_iter().chain(end).min() else { break };
        while ends.peek().is_some_and(|Reverse((end, _, _))| *end == now) {
            if let Some(Reverse((_, _, slot))) = ends.pop() {
                machine.complete(now, slot);
            }
        }
        while let Some((index, job)) = arrivals.next_if(|(_, job)| job.submit == now) {
            if let Some(slot) = machine.arrive(now, arrival_of(index, job)) {
                let seat = slot.0 as usize;
                seats.resize(seats.len().max(seat + 1), 0);
                seats[seat] = index;
            }
        }
        machine.pass(now, &mut started);
        for start in started.drain(..) {
            let index = seats[start.slot.0 as usize];
            outcome.starts[index] = now;
            outcome.backfilled += u64::from(start.backfilled);
            ends.push(Reverse((now.saturating_add(jobs[index].run), index, start.slot)));
        }
    }
    outcome
}

fn arrival_of(index: usize, job: &Job) -> Arrival {
    Arrival {
        index: index as u64,
        processors: job.processors,
        request: job.request,
        actual: job.run,
        user: job.user.cast_unsigned(),
    }
}
