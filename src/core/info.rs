//! Jobs as commands show them, read from a view.

use std::collections::BTreeMap;

use super::act::chosen_id;
use super::authorise::may_see;
use super::breaker::TASK_LAUNCHES_MAX;
use super::job::Job;
use super::notes::free_on;
use super::priority::points;
use super::select::Chosen;
use super::state::{Cluster, View};
use crate::model::identity::{Identity, Role};
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal};
use crate::model::record::{Exception, Hold, Memory, NodeAdmin, PartitionState, Phase};
use crate::model::spec::{Output, WorkDir};
use crate::model::state::{End, State};
use crate::model::time::WallTime;
use crate::wire::info::{JobInfo, NodeInfo, PartitionInfo, Private, Reason};

impl View {
    /// The rows for what was chosen: one per array, or one per task. Without a caller they leave out what only some
    /// may see.
    pub fn rows(
        &self,
        caller: Option<&Identity>,
        one: &Chosen,
        expand: bool,
        explain: &dyn Fn(JobId) -> Option<Reason>,
    ) -> Vec<JobInfo> {
        let array = one.job.is_array();
        if !array {
            return vec![self.task_row(caller, &one.job, Ordinal(0), explain)];
        }
        let set = one.set();
        // Who names a task means the task; who names an array of one task means the array.
        if expand || (one.named && one.tasks.is_some() && set.count() == 1) {
            return set.iter().map(|ordinal| self.task_row(caller, &one.job, ordinal, explain)).collect();
        }
        vec![self.array_row(caller, one, explain)]
    }

    /// One task, or a job that is no array.
    pub fn task_row(
        &self,
        caller: Option<&Identity>,
        job: &Job,
        ordinal: Ordinal,
        explain: &dyn Fn(JobId) -> Option<Reason>,
    ) -> JobInfo {
        let live = job.live.get(&ordinal);
        let state = self.shown(job, ordinal);
        let mut info = self.common(caller, job);
        info.id = job.task_id(ordinal);
        info.task = job.index(ordinal);
        info.number = job.id().task_number(job.is_array(), ordinal);
        info.state = state;
        let exception = job.exceptions.get(&ordinal).copied().unwrap_or_default();
        info.attempt = live.map_or(exception.attempts, |live| live.attempt);
        info.nodes = live.map(|live| self.node_name(live.node)).into_iter().collect();
        info.start_time = live.and_then(|live| live.start);
        info.end_time = None;
        info.end = None;
        if state.is_end()
            && let Some(end) = self.recent_end(job, ordinal)
        {
            put_end(self, &mut info, end);
        }
        info.restarts = info.attempt.0.saturating_sub(1).saturating_sub(exception.unstarted);
        info.reason = match (live, state) {
            (Some(live), _) if live.phase == Phase::Handed => {
                reason("Handed", format!("handed to {} for the next free slot", self.node_name(live.node)))
            }
            // What waits for its counterpart is held back in the table.
            (None, State::Pending | State::Held) => {
                self.waiting_reason(job, job.tasks.get(ordinal).unwrap_or(state), explain)
            }
            _ => Reason::default(),
        };
        info
    }

    fn array_row(
        &self,
        caller: Option<&Identity>,
        one: &Chosen,
        explain: &dyn Fn(JobId) -> Option<Reason>,
    ) -> JobInfo {
        let job = &one.job;
        let mut info = self.common(caller, job);
        info.id = chosen_id(one);
        if one.tasks.is_none() && job.unfinished() > 0 {
            let open = job.tasks.select(None, |state| !state.is_end());
            if let Some(array) = &job.record.spec.array {
                let limit = array.limit.map_or(String::new(), |limit| format!("%{limit}"));
                // Scattered rests are not listed one by one: the counts say how many they are.
                let list =
                    array.indexes.write_short(&open, 60).unwrap_or_else(|| array.indexes.write_bounds());
                info.id = format!("{}_[{list}{limit}]", job.id());
            }
        }
        let set = one.tasks.as_ref();
        let handed = u64::from(job.handed);
        let count = |state: State| match set {
            None => u64::from(job.tasks.counted(state)),
            Some(set) => job.tasks.select(Some(set), |here| here == state).count(),
        };
        let back = if job.waits_back() { count(State::Held) } else { 0 };
        for state in State::ALL {
            let mut tasks = count(state);
            if state == State::Held {
                tasks -= back;
            }
            match state {
                State::Pending if back > 0 => tasks += back + if set.is_none() { handed } else { 0 },
                State::Pending if set.is_none() => tasks += handed,
                State::Starting if set.is_none() => tasks = tasks.saturating_sub(handed),
                _ => {}
            }
            if tasks > 0 {
                info.tasks.push((state, tasks));
            }
        }
        info.handed = handed;
        info.state = self.liveliest(job, &info.tasks);
        info.nodes = job.slots.keys().map(|node| self.node_name(*node)).collect();
        info.start_time = job.first_start;
        info.end_time = job.ended;
        info.end = job.worst.as_ref().map(|end| (**end).clone());
        if matches!(info.state, State::Pending | State::Held) {
            info.reason = self.waiting_reason(job, info.state, explain);
        }
        info
    }

    fn liveliest(&self, job: &Job, tasks: &[(State, u64)]) -> State {
        let order = [
            State::Running,
            State::Completing,
            State::Starting,
            State::Suspended,
            State::Pending,
            State::Held,
        ];
        let has = |state: State| tasks.iter().any(|(here, count)| *here == state && *count > 0);
        let lively = order.into_iter().find(|state| has(*state));
        let lost = lively.is_some_and(State::is_live)
            && !job.slots.is_empty()
            && job.slots.keys().all(|node| self.is_unreachable(*node));
        match lively {
            Some(_) if lost => State::Unreachable,
            Some(state) => state,
            None => job.worst.as_ref().map_or(State::Completed, |end| end.state),
        }
    }

    /// The state of a task as people are shown it: what runs on a silent node is unreachable.
    pub fn shown(&self, job: &Job, ordinal: Ordinal) -> State {
        let state = job.shown_state(ordinal).unwrap_or(State::Pending);
        match job.live.get(&ordinal) {
            Some(live) if self.is_unreachable(live.node) => State::Unreachable,
            _ => state,
        }
    }

    fn is_unreachable(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|sight| sight.unreachable)
    }

    /// A task's last end, if memory still has it.
    pub fn recent_end<'a>(&'a self, job: &'a Job, ordinal: Ordinal) -> Option<&'a End> {
        if !job.is_array() {
            return job.worst.as_deref();
        }
        let task = crate::model::ids::TaskRef { job: job.id(), ordinal };
        let range = (task, Attempt(0))..=(task, Attempt(u32::MAX));
        let own = self.cluster.recent.range(range).next_back().map(|(_, end)| &**end);
        own.or_else(|| {
            let sets = self.cluster.recent_sets.range((job.id(), 0)..=(job.id(), u64::MAX));
            let mut sets = sets.filter(|(_, pair)| pair.0.contains(ordinal));
            sets.next_back().map(|(_, pair)| &pair.1)
        })
    }

    /// A node's name, also of one that was removed.
    pub fn node_name(&self, node: NodeId) -> String {
        self.cluster.nodes.get(&node).map_or_else(|| format!("node{node}"), |node| node.record.name.clone())
    }

    fn common(&self, caller: Option<&Identity>, job: &Job) -> JobInfo {
        let record = &job.record;
        let spec = &record.spec;
        let charge = job.slots.values().next().map(|slots| slots.charge);
        let memory_bytes = match (record.memory, charge) {
            (_, Some(charge)) => charge.memory_bytes,
            (Memory::Fixed(bytes), None) => bytes,
            (Memory::Share, None) => self.share_of(job),
            (Memory::Whole, None) => 0,
        };
        JobInfo {
            id: job.id().to_string(),
            job: job.id(),
            task: None,
            number: job.id(),
            name: spec.name.clone(),
            user: record.user.to_string(),
            account: spec.account.clone(),
            qos: spec.qos.clone(),
            partition: record.partitions.join(","),
            state: State::Pending,
            reason: Reason::default(),
            nodes: Vec::new(),
            cpus: charge.map_or(record.cpus, |charge| charge.cpus),
            memory_bytes,
            limit: record.limit,
            priority: points(&self.cluster, &self.standing, job),
            submit_time: record.submit_time,
            eligible_time: eligible(job),
            start_time: None,
            end_time: job.ended,
            end: None,
            attempt: Attempt(0),
            restarts: 0,
            tasks: Vec::new(),
            handed: 0,
            private: caller.filter(|caller| may_see(caller, record)).map(|_| private(job)),
        }
    }

    /// The share of memory that a job without slots had where it ran last, or would have on the smallest node.
    fn share_of(&self, job: &Job) -> u64 {
        let total = |node: &std::sync::Arc<super::state::Node>| {
            node.record.hardware.as_ref().map(|hardware| hardware.resources)
        };
        let last = job.worst.as_ref().and_then(|end| end.node).and_then(|node| self.cluster.nodes.get(&node));
        let share = |total| super::resolve::memory_on(&total, Memory::Share, job.record.cpus);
        let there = last.and_then(total).map(share);
        there.unwrap_or_else(|| self.cluster.least_share().saturating_mul(job.record.cpus.into()))
    }

    fn waiting_reason(&self, job: &Job, state: State, explain: &dyn Fn(JobId) -> Option<Reason>) -> Reason {
        let record = &job.record;
        if (state == State::Held && !record.waits_by_task()) || record.hold != Hold::No {
            let stuck = |exception: &Exception| exception.launches >= TASK_LAUNCHES_MAX;
            return match record.hold {
                Hold::Admin => reason("JobHeldAdmin", "held by an operator"),
                Hold::No if job.exceptions.values().any(stuck) => {
                    let id = job.id();
                    let text = format!(
                        "{TASK_LAUNCHES_MAX} launches in a row failed, see `jqueue show {id}`; `jqueue release {id}` tries again"
                    );
                    reason("JobHoldMaxRequeue", text)
                }
                _ => reason("JobHeldUser", "held; `jqueue release` lets it go"),
            };
        }
        let blocked = record.blocked_by().next();
        let by_task = record.correlated().next().filter(|_| job.pending() == 0 || state == State::Held);
        if let Some(wait) = blocked.or(by_task) {
            let more = record.open_waits().count() - 1;
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            return reason("Dependency", format!("waits for job {}{more}", wait.parent));
        }
        if let Some(begin) = record.spec.times.begin.filter(|begin| *begin > self.at) {
            let seconds = begin.micros_since(self.at) / 1_000_000;
            return reason("BeginTime", format!("begins in {seconds} s at the earliest"));
        }
        let array = record.spec.array.as_ref();
        let held: u32 = job.slots.values().map(|slots| slots.count).sum();
        if let Some(limit) = array.and_then(|array| array.limit).filter(|limit| held >= *limit) {
            return reason(
                "JobArrayTaskLimit",
                format!("{limit} of its tasks run at once, as %{limit} says"),
            );
        }
        if let Some((code, text)) = self.limits(job).into_iter().next() {
            return reason(code, text);
        }
        if !self.cluster.knows_nodes() {
            return reason("NoNodes", "no node has joined yet");
        }
        if let Some(name) = self.partition_down(job) {
            let text = format!("partition {name} is down; `jnode partition set {name} state=up` opens it");
            return reason("PartitionDown", text);
        }
        explain(job.id()).unwrap_or_else(|| reason("Priority", "waits for its turn"))
    }

    /// The first of a job's partitions, if all of them are down.
    fn partition_down<'a>(&self, job: &'a Job) -> Option<&'a str> {
        let down = |name: &String| {
            let partition = self.cluster.partitions.get(name.as_str());
            partition.is_some_and(|partition| partition.state == PartitionState::Down)
        };
        let names = &job.record.partitions;
        names.iter().all(down).then(|| names.first().map(String::as_str)).flatten()
    }
}

/// A reason with a sentence.
pub fn reason(code: &str, text: impl Into<String>) -> Reason {
    Reason { code: code.to_owned(), text: text.into() }
}

fn eligible(job: &Job) -> Option<WallTime> {
    let record = &job.record;
    let waits = record.hold != Hold::No || record.open_waits().next().is_some();
    (!waits).then(|| record.spec.times.begin.unwrap_or(record.submit_time).max(record.submit_time))
}

fn private(job: &Job) -> Private {
    let spec = &job.record.spec;
    let pattern = |output: &Output| match output {
        Output::Nothing => "none".to_owned(),
        Output::Pattern(pattern) => pattern.clone(),
    };
    let output = pattern(&spec.files.output);
    Private {
        work_dir: match &spec.work_dir {
            WorkDir::Path(path) => path.clone(),
            WorkDir::Private => "job".to_owned(),
        },
        error: spec.files.error.as_ref().map_or_else(|| output.clone(), pattern),
        output,
        comment: spec.comment.clone(),
        script_hash: spec.script,
    }
}

/// Fills in how a row's task ended.
pub fn put_end(view: &View, info: &mut JobInfo, end: &End) {
    info.state = end.state;
    info.attempt = info.attempt.max(end.attempt);
    info.start_time = end.start;
    info.end_time = Some(end.end);
    info.nodes = end.node.map(|node| view.node_name(node)).into_iter().collect();
    info.end = Some(end.clone());
}

impl View {
    /// All nodes, as `jnode` shows them.
    pub fn node_rows(&self) -> Vec<NodeInfo> {
        let ends = certificate_ends(&self.cluster);
        let row = |node: &std::sync::Arc<super::state::Node>| {
            self.node_row(node, ends.get(node.record.name.as_str()).copied())
        };
        self.cluster.nodes.values().map(row).collect()
    }

    fn node_row(&self, node: &super::state::Node, certificate_expires: Option<WallTime>) -> NodeInfo {
        let record = &node.record;
        let total = record.hardware.as_ref().map(|hardware| hardware.resources).unwrap_or_default();
        let sight = self.nodes.get(&record.id);
        let unreachable = sight.is_none_or(|sight| sight.unreachable);
        let connected = sight.is_some_and(|sight| sight.ready);
        let free = free_on(node);
        let state = match record.admin {
            NodeAdmin::Down => "down",
            _ if record.hardware.is_none() => "off",
            _ if unreachable => "unreachable",
            _ if !connected => "unreachable",
            NodeAdmin::Drain if node.slots == 0 => "drained",
            NodeAdmin::Drain => "draining",
            NodeAdmin::Up if node.slots == 0 => "idle",
            NodeAdmin::Up if free.cpus == 0 || node.exclusive => "full",
            NodeAdmin::Up => "mixed",
        };
        let why = match (&record.reason, state) {
            (Some(reason), _) => format!("{} ({})", reason.text, reason.by),
            (None, "off") => "has not joined yet".to_owned(),
            (None, "unreachable") => "nothing is heard of it".to_owned(),
            _ => String::new(),
        };
        let why = match sight.map_or(0, |sight| sight.foreign) {
            0 => why,
            foreign => {
                format!("{why} {foreign} foreign attempts run on from before the restore").trim().to_owned()
            }
        };
        let why = match self.cluster.abandoned_on(record.id).count() {
            0 => why,
            given_up => format!("{why} {given_up} attempts given up, not known to be dead").trim().to_owned(),
        };
        let in_partition =
            |partition: &&std::sync::Arc<crate::model::record::PartitionRecord>| partition.has(&record.name);
        NodeInfo {
            name: record.name.clone(),
            state: state.to_owned(),
            reason: why,
            reason_since: record.reason.as_ref().map(|reason| reason.at),
            total,
            allocated: node.allocated,
            jobs: node.slots,
            load_hundredths: sight.map_or(0, |sight| sight.load_hundredths),
            boot_time: record.boot_time,
            version: record.version.clone(),
            certificate_expires,
            partitions: self
                .cluster
                .partitions
                .values()
                .filter(in_partition)
                .map(|partition| partition.name.clone())
                .collect(),
            limits: record.hardware.as_ref().map_or_else(String::new, |hardware| hardware.limits.clone()),
            only_uid: record.only_uid,
            features: record.features.clone(),
            weight: record.weight,
            drain_until: record.drain_until,
        }
    }

    /// All partitions, as `jnode partition list` shows them.
    pub fn partition_rows(&self) -> Vec<PartitionInfo> {
        let names = || self.cluster.nodes.values().map(|node| node.record.name.clone());
        let row = |partition: &std::sync::Arc<crate::model::record::PartitionRecord>| PartitionInfo {
            name: partition.name.clone(),
            state: format!("{:?}", partition.state).to_lowercase(),
            default: partition.default,
            max_time: partition.max_time,
            default_time: partition.default_time,
            nodes: partition.nodes.clone().unwrap_or_else(|| names().collect()),
            priority: partition.priority,
            default_memory_per_cpu_bytes: partition.default_memory_per_cpu_bytes,
            nodes_max: partition.nodes_max,
            accounts: partition.accounts.clone(),
            policy: partition.policy,
        };
        self.cluster.partitions.values().map(row).collect()
    }
}

/// When the newest certificate of each node ends, in one pass over all certificates.
fn certificate_ends(cluster: &Cluster) -> BTreeMap<&str, WallTime> {
    let mut ends = BTreeMap::new();
    let of_nodes = cluster.certificates.values().filter(|c| c.role == Role::Node && c.revoked.is_none());
    for certificate in of_nodes {
        let end = ends.entry(certificate.name.as_str()).or_insert(certificate.expires);
        *end = certificate.expires.max(*end);
    }
    ends
}
