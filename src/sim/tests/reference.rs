//! The semantics of `simulate`, word by word and without any thought of speed: what the machine is held equal to.

use crate::sched::policy::{Backfill, Estimate, Order, Policy};
use crate::sim::Job;

#[derive(Clone, Copy)]
struct Held {
    estimate: i64,
    start: Option<i64>,
    ended: bool,
}

struct World<'a> {
    jobs: &'a [Job],
    policy: Policy,
    held: Vec<Held>,
    queue: Vec<usize>,
    free: u32,
    /// User and run time, as they ended.
    history: Vec<(i64, i64)>,
    backfilled: u64,
}

/// Section 1, on a text of whole numbers: the jobs that are simulated, in order.
pub fn read(text: &str, processors: u32) -> Vec<Job> {
    let mut jobs = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(';')) {
        let field: Vec<i64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        let wanted = if field[7] > 0 { field[7] } else { field[4] };
        let (id, submit, run, request, user) = (field[0], field[1], field[3], field[8], field[11]);
        jobs.push((submit, id, wanted, run, request, user));
    }
    jobs.sort_by_key(|(submit, id, ..)| (*submit, *id));
    let kept = jobs.into_iter().filter(|(submit, _, wanted, run, request, _)| {
        *wanted > 0 && *wanted <= i64::from(processors) && *run > 0 && *request > 0 && *submit >= 0
    });
    kept.map(|(submit, id, wanted, run, request, user)| Job {
        id,
        submit,
        run: if run > request { request } else { run },
        request,
        user,
        processors: wanted as u32,
    })
    .collect()
}

/// The start of each job, and how many overtook.
pub fn simulate(jobs: &[Job], processors: u32, policy: Policy) -> (Vec<i64>, u64) {
    let held = vec![Held { estimate: 0, start: None, ended: false }; jobs.len()];
    let (queue, history) = (Vec::new(), Vec::new());
    let mut world = World { jobs, policy, held, queue, free: processors, history, backfilled: 0 };
    let mut now = i64::MIN;
    loop {
        let arrivals = jobs.iter().map(|job| job.submit).filter(|submit| *submit > now);
        let ends = (0..jobs.len()).filter(|at| !world.held[*at].ended).filter_map(|at| world.end(at));
        let Some(next) = arrivals.chain(ends).min() else { break };
        now = next;
        for (at, job) in jobs.iter().enumerate() {
            if world.end(at) == Some(now) {
                world.held[at].ended = true;
                world.free += job.processors;
                world.history.push((job.user, job.run));
            }
        }
        for (at, job) in jobs.iter().enumerate() {
            if job.submit == now {
                world.held[at].estimate = world.estimate(at);
                world.queue.push(at);
            }
        }
        if !world.queue.is_empty() {
            world.pass(now);
        }
    }
    (world.held.iter().map(|held| held.start.unwrap_or(-1)).collect(), world.backfilled)
}

impl World<'_> {
    fn end(&self, at: usize) -> Option<i64> {
        self.held[at].start.map(|start| start + self.jobs[at].run)
    }

    fn estimate(&self, at: usize) -> i64 {
        let job = &self.jobs[at];
        match self.policy.estimate {
            Estimate::Request => job.request,
            Estimate::Actual => job.run,
            Estimate::PredictGrowing | Estimate::PredictOrRequest => {
                let mut own = self.history.iter().rev().filter(|(user, _)| *user == job.user);
                match (own.next(), own.next()) {
                    (Some((_, a)), Some((_, b))) => job.request.min(((a + b) / 2).max(1)),
                    _ => job.request,
                }
            }
        }
    }

    /// What is expected of a running job now.
    fn current(&self, at: usize, now: i64) -> i64 {
        let (job, held) = (&self.jobs[at], &self.held[at]);
        let elapsed = now - held.start.unwrap();
        let mut current = held.estimate;
        let steps: &[i64] = match self.policy.estimate {
            Estimate::PredictGrowing => {
                &[60, 300, 900, 1800, 3600, 7200, 18000, 36000, 72000, 180000, 360000]
            }
            _ => &[],
        };
        let mut steps = steps.iter();
        while current <= elapsed && current < job.request {
            current = steps.next().map_or(job.request, |step| job.request.min(held.estimate + step));
        }
        current
    }

    fn running(&self) -> Vec<usize> {
        (0..self.jobs.len()).filter(|at| self.held[*at].start.is_some() && !self.held[*at].ended).collect()
    }

    fn start(&mut self, at: usize, now: i64) {
        assert!(self.jobs[at].processors <= self.free, "more than there is");
        self.held[at].start = Some(now);
        self.free -= self.jobs[at].processors;
        self.queue.retain(|other| *other != at);
    }

    fn sort(&mut self, now: i64) {
        let (jobs, held, policy) = (self.jobs, &self.held, self.policy);
        let key = |at: usize| -> (bool, f64, usize) {
            let (job, estimate) = (&jobs[at], held[at].estimate);
            if policy.aged_after.is_some_and(|after| now - job.submit >= after) {
                return (false, 0.0, at);
            }
            let key = match policy.order {
                Order::Fcfs => 0.0,
                Order::Sjf => estimate as f64,
                Order::Saf => (estimate * i64::from(job.processors)) as f64,
                Order::Smart => unreachable!("smart has no plain definition"),
                Order::Wfp3 => {
                    let w = (now - job.submit) as f64 / estimate as f64;
                    -(w * w * w * f64::from(job.processors))
                }
            };
            (true, key, at)
        };
        self.queue.sort_by(|one, two| key(*one).partial_cmp(&key(*two)).unwrap());
    }

    fn pass(&mut self, now: i64) {
        if self.policy.backfill == Backfill::Conservative {
            return self.conservative(now);
        }
        self.sort(now);
        while let Some(head) = self.queue.first().copied() {
            if self.jobs[head].processors > self.free {
                break;
            }
            self.start(head, now);
        }
        let Some(head) = self.queue.first().copied() else { return };
        if self.policy.backfill == Backfill::None {
            return;
        }
        let needed = self.jobs[head].processors;
        let running = self.running();
        let expected = |at: &usize| self.held[*at].start.unwrap() + self.current(*at, now);
        let by = |end: i64| -> u32 {
            let ending = running.iter().filter(|at| expected(at) <= end);
            self.free + ending.map(|at| self.jobs[*at].processors).sum::<u32>()
        };
        let shadow = running.iter().map(expected).filter(|end| by(*end) >= needed).min().unwrap();
        let mut extra = by(shadow) - needed;
        let mut order: Vec<usize> = self.queue[1..].to_vec();
        if self.policy.backfill == Backfill::EasyShortest {
            order.sort_by_key(|at| self.held[*at].estimate);
        }
        for at in order {
            let (wanted, estimate) = (self.jobs[at].processors, self.held[at].estimate);
            let fits_before = now + estimate <= shadow;
            if wanted <= self.free && (fits_before || wanted <= extra) {
                if !fits_before {
                    extra -= wanted;
                }
                self.start(at, now);
                self.backfilled += 1;
            }
        }
    }

    fn conservative(&mut self, now: i64) {
        // What is taken, as (from, to, processors).
        let mut taken: Vec<(i64, i64, u32)> = Vec::new();
        for at in self.running() {
            let end = self.held[at].start.unwrap() + self.held[at].estimate;
            taken.push((now, end, self.jobs[at].processors));
        }
        let total = self.free + taken.iter().map(|(_, _, count)| count).sum::<u32>();
        for at in self.queue.clone() {
            let (wanted, estimate) = (self.jobs[at].processors, self.held[at].estimate);
            let fits = |from: i64| {
                let in_use = |second: i64| -> u32 {
                    let then = taken.iter().filter(|(start, end, _)| *start <= second && second < *end);
                    then.map(|(_, _, count)| count).sum()
                };
                let begins = taken.iter().map(|(start, _, _)| *start).filter(|start| *start > from);
                let mut moments = begins.filter(|start| *start < from + estimate).chain([from]);
                moments.all(|second| in_use(second) + wanted <= total)
            };
            let mut candidates: Vec<i64> = taken.iter().map(|(_, end, _)| *end).chain([now]).collect();
            candidates.sort_unstable();
            let start = candidates.into_iter().find(|from| fits(*from)).unwrap();
            taken.push((start, start + estimate, wanted));
            if start == now {
                self.start(at, now);
            }
        }
    }
}
