//! What `jqueue --json` says about the jobs of the demo.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::dev::Dev;
use crate::failure::Failure;

/// The states that are ends, as JSON has them.
const ENDS: &[&str] = &[
    "completed",
    "failed",
    "cancelled",
    "timeout",
    "out_of_memory",
    "node_fail",
    "preempted",
    "deadline",
    "dependency_failed",
];

/// All jobs of the demo, by their id.
pub struct Queue {
    jobs: BTreeMap<String, Value>,
}

/// How many tasks a job has, or several jobs have; a single job counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All of them.
    pub tasks: u64,
    /// Those that are running.
    pub running: u64,
    /// Those that have ended.
    pub ended: u64,
    /// Those that have ended Completed.
    pub completed: u64,
}

impl Queue {
    /// Asks the controller for all jobs, ended ones too.
    pub fn ask(dev: &Dev) -> Result<Queue, Failure> {
        let listing = dev.run(dev.root(), &["jqueue", "-t", "all", "--json"])?;
        Ok(Queue::of(&listing.data()?))
    }

    fn of(data: &Value) -> Queue {
        let jobs = data.as_array().map(Vec::as_slice).unwrap_or_default().iter();
        let named = jobs.filter_map(|job| Some((job["id"].as_str()?.to_owned(), job.clone())));
        Queue { jobs: named.collect() }
    }

    /// The state of a job; empty if the controller does not list it.
    pub fn state(&self, id: &str) -> &str {
        self.jobs.get(id).and_then(|job| job["state"].as_str()).unwrap_or_default()
    }

    /// How far a job or an array is.
    pub fn counts(&self, id: &str) -> Counts {
        let Some(job) = self.jobs.get(id) else { return Counts { tasks: 1, ..Counts::default() } };
        let mut counts = Counts::default();
        match job["tasks"].as_object() {
            Some(tasks) => {
                for (state, count) in tasks {
                    counts.add(state, count.as_u64().unwrap_or(0));
                }
            }
            None => counts.add(self.state(id), 1),
        }
        counts
    }
}

impl Counts {
    /// All of one and all of another.
    pub fn and(self, other: Counts) -> Counts {
        Counts {
            tasks: self.tasks + other.tasks,
            running: self.running + other.running,
            ended: self.ended + other.ended,
            completed: self.completed + other.completed,
        }
    }

    /// Every task has ended.
    pub fn is_over(self) -> bool {
        self.tasks > 0 && self.ended == self.tasks
    }

    /// Every task has ended Completed.
    pub fn is_completed(self) -> bool {
        self.tasks > 0 && self.completed == self.tasks
    }

    fn add(&mut self, state: &str, count: u64) {
        self.tasks += count;
        match state {
            "running" => self.running += count,
            state if ENDS.contains(&state) => self.ended += count,
            _ => {}
        }
        if state == "completed" {
            self.completed += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn counts_single_jobs_and_arrays() {
        let queue = Queue::of(&json!([
            {"id": "1", "state": "running", "tasks": {"completed": 5, "failed": 2, "running": 3, "pending": 4}},
            {"id": "15", "state": "timeout"},
            {"id": "16", "state": "completed", "tasks": null},
            {"id": "17", "state": "unreachable"},
        ]));
        assert_eq!(queue.counts("1"), Counts { tasks: 14, running: 3, ended: 7, completed: 5 });
        assert!(queue.counts("15").is_over() && !queue.counts("15").is_completed());
        assert!(queue.counts("16").is_completed());
        assert!(!queue.counts("17").is_over());
        assert!(!queue.counts("99").is_over(), "what is not listed has not ended");
        assert_eq!(queue.state("15"), "timeout");
    }
}
