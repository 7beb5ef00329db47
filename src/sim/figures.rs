//! What a schedule is worth: waits, slowdown, utilisation.

use super::trace::Job;

/// Run times below this count as this much in the bounded slowdown, in seconds, so that a job of a second that
/// waited for a minute does not outweigh all others.
const SLOWDOWN_BOUND_SECONDS: i64 = 10;

/// Over all jobs of a simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Figures {
    /// How many.
    pub jobs: usize,
    /// Mean of start minus submission, in seconds.
    pub wait_mean: f64,
    /// Mean of `max(1, (wait + run) / max(run, 10 s))`.
    pub slowdown_mean: f64,
    /// 95 of 100 waited at most so many seconds.
    pub wait_p95: i64,
    /// 99 of 100 waited at most so many seconds.
    pub wait_p99: i64,
    /// The longest wait in seconds.
    pub wait_max: i64,
    /// Processor seconds used of those that there were from the first submission to the last end.
    pub utilisation: f64,
    /// From the first submission to the last end, in seconds.
    pub makespan: i64,
}

impl Figures {
    /// Of these jobs, which started then; `None` if there is no job.
    pub fn of(jobs: &[Job], processors: u32, starts: &[i64]) -> Option<Figures> {
        let first = jobs.iter().map(|job| job.submit).min()?;
        let last = jobs.iter().zip(starts).map(|(job, start)| start + job.run).max()?;
        let mut waits: Vec<i64> = jobs.iter().zip(starts).map(|(job, start)| start - job.submit).collect();
        let count = jobs.len() as f64;
        let wait_mean = waits.iter().map(|wait| *wait as f64).sum::<f64>() / count;
        let slowdowns = jobs.iter().zip(&waits).map(|(job, wait)| slowdown(*wait, job.run));
        let slowdown_mean = slowdowns.sum::<f64>() / count;
        let area: i128 = jobs.iter().map(|job| i128::from(job.run) * i128::from(job.processors)).sum();
        let makespan = last - first;
        waits.sort_unstable();
        let rank =
            |hundredths: usize| waits.get((hundredths * waits.len()).div_ceil(100).max(1) - 1).copied();
        Some(Figures {
            jobs: jobs.len(),
            wait_mean,
            slowdown_mean,
            wait_p95: rank(95)?,
            wait_p99: rank(99)?,
            wait_max: rank(100)?,
            utilisation: area as f64 / (f64::from(processors) * makespan as f64),
            makespan,
        })
    }
}

/// How many times longer than its run a job took from submission to end, at least 1.
pub fn slowdown(wait: i64, run: i64) -> f64 {
    ((wait + run) as f64 / run.max(SLOWDOWN_BOUND_SECONDS) as f64).max(1.0)
}
