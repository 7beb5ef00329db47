//! The promises as code: after each step what is cheap to see, now and then and at the end everything.

use std::ops::Bound;

use super::controller::Running;
use super::world::World;
use crate::controller::history;
use crate::core::invariants;
use crate::model::ids::{Attempt, JobId, Position, TaskRef};
use crate::store::rows::USE;
use crate::store::tables::{Order, Tables, TablesRead};
use crate::store::used::sums;
use crate::wire::client::Reply;

impl World {
    /// After each turn of the controller.
    pub fn check_core(&mut self, up: &Running) {
        if let Err(what) = invariants::check(up.pipeline.core().cluster()) {
            self.fail(what);
        }
    }

    /// The controller answers a client.
    pub fn check_reply(&mut self, key: &str, reply: &Reply) {
        let Reply::Submitted { jobs, .. } = reply else { return };
        if let Some(job) = jobs.iter().find(|job| !self.facts.is_durable(**job, key)) {
            self.fail(format!("job {job} is acknowledged for {key}, and the log does not have it"));
        }
    }

    /// A supervisor starts an attempt.
    pub fn check_start(&mut self, node: usize, task: TaskRef, attempt: Attempt, cpus: u32) {
        if let Err(what) = self.facts.launched(task, attempt, node, cpus) {
            return self.fail(what);
        }
        self.check_rivals(task, attempt);
        let used: u32 =
            self.facts.running.values().filter(|(at, _)| *at == node).map(|(_, cpus)| *cpus).sum();
        if used > self.nodes[node].cpus {
            return self.fail(format!("n{node} has {} cpus, and {used} are in use", self.nodes[node].cpus));
        }
        if let Err(what) = self.facts.may_start(task, attempt) {
            self.fail(what);
        }
    }

    /// Now and then: what was acknowledged is there.
    pub fn check_often(&mut self) {
        let Some(up) = &self.controller.up else { return };
        let cluster = up.pipeline.core().cluster();
        for id in self.facts.jobs.keys() {
            let here = cluster.jobs.contains_key(id);
            let there = || history::job(&*up.reader, *id).is_ok_and(|job| job.is_some());
            if !here && !there() {
                let what = format!("job {id} was acknowledged, and is not there");
                return self.fail(what);
            }
        }
    }

    /// Whether everything has come to rest.
    pub fn rests(&self) -> bool {
        self.unrest().is_empty()
    }

    /// What has not.
    pub fn unrest(&self) -> String {
        let Some(up) = &self.controller.up else { return "the controller is not there".to_owned() };
        for client in &self.clients {
            if !client.is_done() {
                return format!("client {} waits", client.name());
            }
        }
        for (id, job) in &up.pipeline.core().cluster().jobs {
            if job.ended.is_none() {
                let states: Vec<String> = job.live.values().map(|live| format!("{live:?}")).collect();
                return format!(
                    "job {id} has not ended: {:?}, held {:?}, waits {:?}, {}",
                    job.tasks.counts(),
                    job.record.hold,
                    job.record.waits_for.len(),
                    states.join(", ")
                );
            }
        }
        for node in &self.nodes {
            let Some(daemon) = &node.daemon else { return format!("{} has no daemon", node.name) };
            if daemon.conn.is_none() {
                return format!("{} has no session", node.name);
            }
            if daemon.agent.attempts() > 0 {
                return format!("{} knows {} attempts", node.name, daemon.agent.attempts());
            }
            if !node.supervisors.is_empty() {
                return format!("{} has supervisors", node.name);
            }
        }
        let (tables, log) = (up.writer.tables().position(), up.pipeline.durable());
        if tables != log || !up.pipeline.is_idle() {
            return format!("the tables are at group {tables}, the log at {log}");
        }
        String::new()
    }

    /// At the end.
    pub fn check_end(&mut self) {
        self.check_often();
        let mut wrong = Vec::new();
        if let Some(up) = &self.controller.up {
            if !self.facts.running.is_empty() {
                wrong.push(format!("{:?} still run", self.facts.running));
            }
            for id in self.facts.jobs.keys() {
                wrong.extend(lacks(up, *id));
            }
            let kept: u64 = sums(up.writer.tables()).unwrap_or_default().iter().map(|used| used.cpu_ms).sum();
            let used = self.facts.used_ms();
            if kept != used {
                wrong.push(format!("{kept} ms of use are kept, {used} ms were used"));
            }
            wrong.extend(other_use(up));
            if up.writer.tables().position() == Position(0) {
                wrong.push("the tables are empty".to_owned());
            }
            wrong.extend(self.facts.started_twice());
            for (key, end) in &self.facts.ends {
                let view = up.pipeline.core().view(Position(0), crate::model::time::WallTime(0));
                let kept = history::attempts(up.writer.tables(), &view, key.0).unwrap_or_default();
                let same =
                    kept.iter().filter(|kept| kept.attempt == end.attempt && kept.state == end.state).count();
                if same != 1 {
                    wrong.push(format!("the end of {} is kept {same} times", super::facts::name(*key)));
                }
            }
        }
        if let Some(what) = wrong.into_iter().next() {
            self.fail(what);
        }
    }
}

/// Where the tables have another use for fair share than memory.
fn other_use(up: &Running) -> Option<String> {
    let all = (Bound::Unbounded, Bound::Unbounded);
    let rows = up.writer.tables().range(USE, all.0, all.1, Order::Up, usize::MAX).unwrap_or_default();
    let kept: Vec<Vec<u8>> = rows.into_iter().map(|(_, value)| value).collect();
    let decayed = up.pipeline.core().cluster().accounting.uses.decayed.values();
    let here: Vec<Vec<u8>> = decayed.map(|used| used.to_bytes().to_vec()).collect();
    (kept != here).then(|| format!("use for fair share is kept as {kept:?}, and is {here:?}"))
}

/// What an acknowledged job lacks at the end.
fn lacks(up: &Running, id: JobId) -> Option<String> {
    let here = up.pipeline.core().cluster().jobs.get(&id).map(|job| (**job).clone());
    let job = match here {
        Some(job) => job,
        None => match history::job(&*up.reader, id) {
            Ok(Some(job)) => job,
            Ok(None) => return Some(format!("job {id} was acknowledged, and is nowhere")),
            Err(error) => return Some(error.to_string()),
        },
    };
    let open = job.unfinished();
    (open > 0 || job.ended.is_none()).then(|| format!("job {id} is kept as ended with {open} tasks open"))
}
