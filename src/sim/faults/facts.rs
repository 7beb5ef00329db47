//! What really happened, seen from outside: what was acknowledged, what was started, how it ended, and what stands
//! durably in the log. The promises are checked against it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::change::Change;
use crate::model::ids::{Attempt, Instance, JobId, NodeId, Position, TaskRef};
use crate::model::spec::LostPolicy;
use crate::model::state::{End, State};

/// One attempt at one task.
type Key = (TaskRef, Attempt);

/// What is known of a job from its submission.
#[derive(Clone, Debug, Default)]
pub struct JobFacts {
    /// The key that it was submitted under.
    pub key: String,
}

/// What a durable record says of a job.
#[derive(Clone, Debug)]
struct Recorded {
    key: String,
    once: bool,
    overlap: bool,
    cpus: u32,
}

/// Everything that is known.
#[derive(Debug, Default)]
pub struct Facts {
    /// Acknowledged jobs.
    pub jobs: BTreeMap<JobId, JobFacts>,
    /// What each key was answered.
    pub answers: BTreeMap<String, Vec<JobId>>,
    /// How often attempts were started, and on which node they run.
    started: BTreeMap<Key, u32>,
    pub running: BTreeMap<Key, (usize, u32)>,
    /// Those of them that stand still because their lease has run out.
    still: BTreeSet<Key>,
    /// How attempts ended, as their supervisors recorded it.
    recorded: BTreeMap<Key, End>,
    /// Attempts whose end could get lost: their supervisor or their host died.
    excused: BTreeSet<Key>,
    /// Groups that were closed, by their place.
    closed: BTreeMap<Position, Vec<Change>>,
    /// Durable ends and to whom attempts were given, durably.
    pub ends: BTreeMap<Key, End>,
    given: BTreeMap<Key, (NodeId, Instance)>,
    /// Jobs that have ended and that nobody has asked for since.
    over: BTreeSet<JobId>,
    records: BTreeMap<JobId, Recorded>,
    /// How often somebody asked for jobs again, whatever the answer.
    pub requeues: BTreeMap<JobId, u32>,
    /// Attempts whose tasks wait again, durably, without their having ended: they must never start.
    void: BTreeSet<Key>,
    abandoned: BTreeSet<Key>,
    /// How many attempts were given up.
    pub given_up: u64,
    /// What was told last rests on this.
    pub told: Position,
    /// Up to here the log was durable when it was last looked at.
    pub durable: Position,
}

impl Facts {
    pub fn starts(&self) -> usize {
        self.started.len()
    }

    /// A job that ran although its submission was answered with other jobs.
    pub fn started_twice(&self) -> Option<String> {
        let jobs: BTreeSet<JobId> = self.started.keys().map(|(task, _)| task.job).collect();
        jobs.into_iter().find_map(|job| {
            let key = &self.records.get(&job)?.key;
            let answer = self.answers.get(key)?;
            let other = !answer.contains(&job);
            other.then(|| format!("job {job} ran, and its submission {key} was answered with {answer:?}"))
        })
    }

    pub fn starts_of(&self, task: TaskRef) -> u32 {
        self.started.range((task, Attempt(0))..=(task, Attempt(u32::MAX))).map(|(_, count)| *count).sum()
    }

    /// An attempt is started. Gives what does not hold then.
    pub fn launched(
        &mut self,
        task: TaskRef,
        attempt: Attempt,
        node: usize,
        cpus: u32,
    ) -> Result<(), String> {
        let key = (task, attempt);
        let name = name(key);
        let count = self.started.entry(key).or_default();
        *count += 1;
        if *count > 1 {
            return Err(format!("attempt {name} is started {count} times"));
        }
        self.running.insert(key, (node, cpus));
        if let Some(end) = self.ends.get(&key) {
            return Err(format!("attempt {name} is started after its end was recorded: {end:?}"));
        }
        Ok(())
    }

    /// The attempts at a task that run, and on which nodes, those aside that stand still.
    pub fn moving(&self, task: TaskRef) -> Vec<(Attempt, usize)> {
        let range = (task, Attempt(0))..=(task, Attempt(u32::MAX));
        let all = self.running.range(range).filter(|(key, _)| !self.still.contains(key));
        all.map(|((_, attempt), (node, _))| (*attempt, *node)).collect()
    }

    /// An attempt stands still, or goes on.
    pub fn stands_still(&mut self, task: TaskRef, attempt: Attempt, still: bool) {
        if still {
            self.still.insert((task, attempt));
        } else {
            self.still.remove(&(task, attempt));
        }
    }

    /// A later attempt at the task that was started.
    pub fn started_after(&self, task: TaskRef, attempt: Attempt) -> Option<Attempt> {
        let range = (task, Attempt(attempt.0 + 1))..=(task, Attempt(u32::MAX));
        self.started.range(range).next().map(|((_, attempt), _)| *attempt)
    }

    /// Whether the job has said that its attempts may overlap.
    pub fn may_overlap(&self, job: JobId) -> bool {
        self.records.get(&job).is_some_and(|job| job.overlap)
    }

    /// Whether the attempt was durable before it was sent, and whether the job's policy lets it start again.
    pub fn may_start(&self, task: TaskRef, attempt: Attempt) -> Result<(), String> {
        let name = name((task, attempt));
        if !self.given.contains_key(&(task, attempt)) {
            return Err(format!("attempt {name} starts, and the log does not know it"));
        }
        if self.void.contains(&(task, attempt)) {
            return Err(format!("attempt {name} starts after it was taken back"));
        }
        let Some(job) = self.records.get(&task.job) else {
            return Err(format!("attempt {name} starts, and the log does not know its job"));
        };
        let (starts, asked) =
            (self.starts_of(task), self.requeues.get(&task.job).copied().unwrap_or_default());
        if job.once && starts > 1 + asked {
            return Err(format!("attempt {name} is start {starts} of a job that must not start again"));
        }
        Ok(())
    }

    /// A job that is acknowledged now stands in the log, durably, for that key.
    pub fn is_durable(&self, id: JobId, key: &str) -> bool {
        self.records.get(&id).is_some_and(|job| job.key == key)
    }

    /// What all attempts had of the cluster, as it is summed.
    pub fn used_ms(&self) -> u64 {
        let used = |(key, end): (&Key, &End)| {
            let cpus = self.records.get(&key.0.job).map_or(0, |job| u64::from(job.cpus));
            end.start.map_or(0, |start| end.end.micros_since(start) / 1_000 * cpus)
        };
        self.ends.iter().map(used).sum()
    }

    /// Its processes are gone.
    pub fn stopped(&mut self, task: TaskRef, attempt: Attempt) {
        self.still.remove(&(task, attempt));
        self.running.remove(&(task, attempt));
    }

    /// Its supervisor recorded its end.
    pub fn recorded(&mut self, task: TaskRef, end: &End) {
        self.recorded.insert((task, end.attempt), end.clone());
    }

    /// Its end may be lost.
    pub fn excuse(&mut self, task: TaskRef, attempt: Attempt) {
        self.excused.insert((task, attempt));
    }

    /// All that was started on a node and of which no end is durable.
    pub fn excuse_node(&mut self, node: NodeId) {
        let mine = self.given.iter().filter(|(_, (at, _))| *at == node).map(|(key, _)| *key);
        let open: Vec<Key> = mine.filter(|key| !self.ends.contains_key(key)).collect();
        self.excused.extend(open);
        let closed = self.closed.values().flatten();
        let mut more = Vec::new();
        for change in closed {
            if let Change::Live { job, set, live } = change
                && live.node == node
            {
                more.extend(set.iter().map(|ordinal| (TaskRef { job: *job, ordinal }, live.attempt)));
            }
        }
        self.excused.extend(more);
    }

    /// A group was closed.
    pub fn closed(&mut self, position: Position, changes: &[Change]) {
        self.closed.insert(position, changes.to_vec());
    }

    /// A controller found its log to end there: what lies beyond never happened.
    pub fn reopened(&mut self, end: Position) -> Result<(), String> {
        if end < self.told {
            return Err(format!(
                "the log ends at group {end}, and what rests on group {} was told",
                self.told
            ));
        }
        let result = self.durable(end);
        self.closed.clear();
        result
    }

    /// The log is durable up to there.
    pub fn durable(&mut self, position: Position) -> Result<(), String> {
        self.durable = self.durable.max(position);
        while let Some(entry) = self.closed.first_entry() {
            if *entry.key() > position {
                break;
            }
            for change in entry.remove() {
                self.take(&change)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::Job(record) if self.over.contains(&record.id) => {
                return Err(format!("job {} has ended, and its record changes", record.id));
            }
            Change::Job(record) => {
                let restart = &record.spec.restart;
                let known = self.records.entry(record.id).or_insert_with(|| Recorded {
                    key: record.key.to_string(),
                    once: restart.lost == LostPolicy::Never && restart.retries == 0,
                    overlap: restart.lost == LostPolicy::Overlap,
                    cpus: record.cpus,
                });
                if *known.key != *record.key {
                    let (first, second) = (&known.key, &record.key);
                    return Err(format!("job {} was given out twice: for {first} and {second}", record.id));
                }
            }
            Change::JobEnded { job, .. } => drop(self.over.insert(*job)),
            Change::JobAgain { record, .. } => drop(self.over.remove(&record.id)),
            Change::Live { job, .. } if self.over.contains(job) => {
                return Err(format!("job {job} has ended, and lives"));
            }
            Change::Live { job, set, live } => {
                for ordinal in set.iter() {
                    let key = (TaskRef { job: *job, ordinal }, live.attempt);
                    if self.ends.contains_key(&key) {
                        return Err(format!("attempt {} lives after its end", name(key)));
                    }
                    self.void.remove(&key);
                    self.abandoned.remove(&key);
                    let whose = *self.given.entry(key).or_insert((live.node, live.instance));
                    if whose != (live.node, live.instance) {
                        return Err(format!("attempt {} was given to two", name(key)));
                    }
                }
            }
            Change::Abandoned { task, attempt, live, .. } => {
                let key = (*task, *attempt);
                self.given_up += u64::from(live.is_some());
                if live.is_some() {
                    self.abandoned.insert(key);
                } else if self.abandoned.remove(&key) && !self.ends.contains_key(&key) {
                    self.void.insert(key);
                }
            }
            Change::Waiting { job, set, .. } => set.iter().for_each(|ordinal| {
                let task = TaskRef { job: *job, ordinal };
                let range = (task, Attempt(0))..=(task, Attempt(u32::MAX));
                let last = self.given.range(range).next_back().map(|(key, _)| *key);
                let open = |key: &Key| !self.ends.contains_key(key) && !self.abandoned.contains(key);
                self.void.extend(last.filter(open));
            }),
            Change::Ended { task, end } | Change::LateEnd { task, end } => {
                return self.take_end((*task, end.attempt), end);
            }
            _ => {}
        }
        Ok(())
    }

    fn take_end(&mut self, key: Key, end: &End) -> Result<(), String> {
        let name = name(key);
        if let Some(before) = self.ends.insert(key, end.clone()) {
            return Err(format!("attempt {name} has two ends: {before:?} and {end:?}"));
        }
        if let Some((node, _)) = self.running.get(&key) {
            return Err(format!("attempt {name} has the end {:?} and runs on n{node}", end.state));
        }
        let excused = self.excused.contains(&key);
        match (self.recorded.get(&key), end.state) {
            (Some(truth), State::Cancelled) if truth.exit_code == end.exit_code => Ok(()),
            (Some(truth), _)
                if (truth.state, truth.exit_code, truth.usage) == (end.state, end.exit_code, end.usage) =>
            {
                Ok(())
            }
            (_, State::NodeFail | State::Cancelled) if excused || !self.started.contains_key(&key) => Ok(()),
            (Some(truth), _) => Err(format!("attempt {name} ended {truth:?}, and {end:?} is what was kept")),
            (None, _) => Err(format!("attempt {name} never ended, and {end:?} is what was kept")),
        }
    }
}

/// An attempt's name.
pub fn name((task, attempt): Key) -> String {
    format!("{}_{}/{attempt}", task.job, task.ordinal)
}

/// A change in short.
pub fn words(change: &Change) -> String {
    match change {
        Change::Job(record) => format!("job {} v{}", record.id, record.version),
        Change::Waiting { job, set, held } => format!("{job} waits {:?} held {held}", set.runs()),
        Change::Live { job, set, live } => {
            format!("{job} {:?} {:?}/{} on {}", set.runs(), live.phase, live.attempt, live.node)
        }
        Change::Ended { task, end } => format!("{} {}", name((*task, end.attempt)), end.state),
        Change::EndedUnstarted { job, set, end } => format!("{job} {:?} {}", set.runs(), end.state),
        Change::Slots { job, node, slots } => {
            format!("{job} {} slots on {node}", slots.map_or(0, |slots| slots.count))
        }
        Change::JobEnded { job, .. } => format!("{job} ended"),
        Change::JobAgain { record, .. } => format!("{} again", record.id),
        Change::Key(record) => format!("key {}", record.key),
        Change::LateEnd { task, end } => format!("{} late {}", name((*task, end.attempt)), end.state),
        Change::Abandoned { task, attempt, live, .. } => {
            format!("{} {}", name((*task, *attempt)), if live.is_some() { "given up" } else { "found" })
        }
        Change::Unsettled(range) => format!("unsettled {range:?}"),
        Change::NextJob(id) => format!("next {id}"),
        Change::Exception { task, exception } => format!("{}_{} {exception:?}", task.job, task.ordinal),
        _ => "…".to_owned(),
    }
}
