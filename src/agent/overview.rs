//! What the agent holds, for people.

use super::brain::Agent;
use super::jobs::State;
use crate::model::ids::JobId;

/// A job of which attempts are known, in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOverview {
    /// Which.
    pub job: JobId,
    /// Its name; empty if the spool does not say.
    pub name: String,
    /// Whose.
    pub user: String,
    /// How many tasks run at once.
    pub slots: u32,
    /// Not started yet.
    pub waiting: u64,
    /// Running.
    pub running: u64,
    /// Ended, and not yet safe with the controller.
    pub ended: u64,
    /// Taken back, and not yet known to the controller.
    pub withdrawn: u64,
    /// How many supervisors look after it.
    pub supervisors: u64,
}

impl Agent {
    /// Every job of which attempts are known.
    pub fn overview(&self) -> Vec<JobOverview> {
        let jobs = self.jobs.iter().filter(|(_, job)| !job.entries.is_empty());
        jobs.map(|(id, job)| {
            let body = job.body.as_deref();
            let mut found = JobOverview {
                job: *id,
                name: body.map_or(String::new(), |body| body.name.clone()),
                user: body.map_or(String::new(), |body| body.user.clone()),
                slots: job.slots,
                waiting: 0,
                running: 0,
                ended: 0,
                withdrawn: 0,
                supervisors: job.others.len() as u64 + u64::from(job.current.is_some()),
            };
            for entry in job.entries.values() {
                *match entry.state {
                    State::Held | State::Given(_) => &mut found.waiting,
                    State::Started(..) => &mut found.running,
                    State::Ended(..) => &mut found.ended,
                    State::Never => &mut found.withdrawn,
                } += 1;
            }
            found
        })
        .collect()
    }

    /// How many contents are kept for jobs.
    pub fn contents_kept(&self) -> usize {
        self.contents.count()
    }
}
