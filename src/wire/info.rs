//! Jobs, nodes and the cluster as commands show them.

use serde::{Deserialize, Serialize};

use crate::model::identity::Role;
use crate::model::ids::{Attempt, ContentHash, Epoch, Incarnation, JobId, Position, TaskIndex, Uid};
use crate::model::policy::PartitionPolicy;
use crate::model::resources::Resources;
use crate::model::spec::JobSpec;
use crate::model::state::{Cause, End, State};
use crate::model::time::{Seconds, TimeLimit, WallTime};

/// A job, an array, or a task of an array, in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// As users write it: `123`, `123_4`, `123_[0-99%5]`.
    pub id: String,
    /// The job or array.
    pub job: JobId,
    /// The index, of a single task of an array.
    pub task: Option<TaskIndex>,
    /// Its own number.
    pub number: JobId,
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// Its account, or empty.
    pub account: String,
    /// Its QOS, or empty.
    pub qos: String,
    /// Its partition, or those it may run in, with commas.
    pub partition: String,
    /// Its state; of an array the liveliest.
    pub state: State,
    /// Why it waits; code in Slurm's words and one sentence. Empty when it does not.
    pub reason: Reason,
    /// Where it runs or ran.
    pub nodes: Vec<String>,
    /// Cpus of one slot.
    pub cpus: u32,
    /// Memory of one slot; 0: a whole node's.
    pub memory_bytes: u64,
    /// Time limit.
    pub limit: TimeLimit,
    /// Scheduling priority.
    pub priority: i64,
    /// When it was submitted.
    pub submit_time: WallTime,
    /// When it could first have run.
    pub eligible_time: Option<WallTime>,
    /// When its last attempt started; of an array the first.
    pub start_time: Option<WallTime>,
    /// When it ended.
    pub end_time: Option<WallTime>,
    /// How it ended; of an array the worst.
    pub end: Option<End>,
    /// The last attempt.
    pub attempt: Attempt,
    /// How often it was started again.
    pub restarts: u32,
    /// Tasks by state, of an array.
    pub tasks: Vec<(State, u64)>,
    /// Tasks handed to a node ahead of their start, of an array (they count as pending).
    pub handed: u64,
    /// Private to its owner and admins.
    pub private: Option<Private>,
}

/// What only the owner and admins see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Private {
    /// Where it runs.
    pub work_dir: String,
    /// Its output file, resolved for a task, else the pattern.
    pub output: String,
    /// Its error file.
    pub error: String,
    /// Free words.
    pub comment: String,
    /// The script.
    pub script_hash: ContentHash,
}

/// Why something waits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Slurm's word where it has one.
    pub code: String,
    /// One sentence.
    pub text: String,
}

/// A job in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobDetail {
    /// The row.
    pub info: JobInfo,
    /// The request; owner and admins only.
    pub spec: Option<Box<JobSpec>>,
    /// Dependencies in words.
    pub dependencies: Vec<String>,
    /// What happened, in order.
    pub timeline: Vec<TimelineEntry>,
    /// How many unfinished jobs are ahead of it, while it waits.
    pub ahead: Option<u64>,
    /// Why it waits, condition by condition.
    pub conditions: Vec<Condition>,
    /// The policy of its partition.
    pub policy: PartitionPolicy,
    /// About when it starts, if that can be said.
    pub estimate: Option<WallTime>,
    /// What would let it start sooner, the cheapest first.
    pub advice: Vec<Advice>,
    /// Every attempt that was given to a node and is known to have ended or to be there, first to last; of an array
    /// only where one task is meant.
    pub attempts: Vec<AttemptInfo>,
    /// What its priority consists of.
    pub priority: Vec<PriorityPart>,
}

/// A part of a job's priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityPart {
    /// Which: `age`, `fair-share`, `size`, `partition`, `qos`, `nice`, `given`.
    pub name: String,
    /// How much, in units of [`crate::model::priority::UNITS_PER_POINT`].
    pub units: i64,
    /// What it is at most, in points, if it is a factor.
    pub weight: Option<u32>,
    /// Where it comes from, in words; empty: where its name says.
    pub text: String,
}

/// How somebody stands among those who share the cluster; parts in billionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareInfo {
    /// His part of all shares.
    pub shares: u32,
    /// His part of all use.
    pub used: u32,
    /// The same with what those beside him have used.
    pub effective: u32,
    /// The fair share factor.
    pub factor: u32,
    /// Decayed use, in cpu milliseconds.
    pub cpu_ms: u64,
}

/// One try.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptInfo {
    /// Its number.
    pub attempt: Attempt,
    /// Where.
    pub node: String,
    /// When it started; `None`: it never did, or not yet.
    pub start: Option<WallTime>,
    /// How it is, while it is on its node; how it ended.
    pub state: State,
    /// How it ended, once it has.
    pub end: Option<End>,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelineEntry {
    /// When.
    pub at: WallTime,
    /// Which try it belongs to; 0 for none.
    pub attempt: Attempt,
    /// In words.
    pub text: String,
}

/// A condition that keeps a job from starting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// Slurm's word where it has one.
    pub code: String,
    /// How many nodes it rules out.
    pub nodes: u64,
    /// In words.
    pub text: String,
    /// Until then, where that is known.
    pub until: Option<WallTime>,
}

/// A change that would let a job start sooner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advice {
    /// As `jqueue set` takes it.
    pub change: String,
    /// About when it would start then.
    pub start: Option<WallTime>,
}

/// An ended task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedRow {
    /// As users write it.
    pub id: String,
    /// The job.
    pub job: JobId,
    /// The index, if it is an array.
    pub task: Option<TaskIndex>,
    /// Its name.
    pub name: String,
    /// Its user.
    pub user: String,
    /// Where.
    pub node: String,
    /// Cpus that it held.
    pub cpus: u32,
    /// Memory that it was given; 0: a whole node's.
    pub memory_bytes: u64,
    /// Its limit.
    pub limit: TimeLimit,
    /// How.
    pub end: End,
}

/// Use by one user, account or partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Whose.
    pub name: String,
    /// Running tasks.
    pub running: u64,
    /// Pending tasks.
    pub pending: u64,
    /// Cpus held.
    pub cpus: u64,
    /// Memory held.
    pub memory_bytes: u64,
    /// Cpu time allocated to what has ended, in milliseconds.
    pub cpu_ms: u64,
    /// Of an account with a budget: what is spent of it, in cpu milliseconds, and what it is in cpu-hours.
    pub budget: Option<(u64, u64)>,
    /// How it stands, by account; the name is empty while no accounts are defined, and of an account's own row.
    pub shares: Vec<(String, ShareInfo)>,
}

/// The caller, as the controller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whoami {
    /// Name in the certificate.
    pub name: String,
    /// Uid in the certificate.
    pub uid: Option<Uid>,
    /// Role in the certificate.
    pub role: Role,
    /// The cluster.
    pub cluster: String,
    /// The controller's version.
    pub version: String,
    /// The controller's clock.
    pub clock: WallTime,
    /// Unfinished jobs.
    pub jobs: u64,
    /// The most that are allowed.
    pub jobs_max: u64,
    /// The accounts that the caller may use, the default first; empty while none are defined.
    pub accounts: Vec<String>,
    /// The accounts below which the caller may change things.
    pub coordinates: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its name.
    pub name: String,
    /// `idle`, `mixed`, `full`, `draining`, `drained`, `down`, `unreachable`, `off`.
    pub state: String,
    /// Why and who, if there is something to say.
    pub reason: String,
    /// Since when, if somebody made it so.
    pub reason_since: Option<WallTime>,
    /// What it has.
    pub total: Resources,
    /// What jobs hold.
    pub allocated: Resources,
    /// Tasks there.
    pub jobs: u64,
    /// Load average of one minute, in hundredths.
    pub load_hundredths: u32,
    /// When it booted.
    pub boot_time: Option<WallTime>,
    /// Its daemon's version.
    pub version: String,
    /// When its certificate ends.
    pub certificate_expires: Option<WallTime>,
    /// Its partitions.
    pub partitions: Vec<String>,
    /// How limits are kept there.
    pub limits: String,
    /// The only user it serves, if its daemon has no root.
    pub only_uid: Option<Uid>,
    /// What admins say it has, for `--constraint`.
    pub features: Vec<String>,
    /// Nodes of lower weight are used first.
    pub weight: u32,
    /// While it drains: when what is left there is ended.
    pub drain_until: Option<WallTime>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionInfo {
    /// Its name.
    pub name: String,
    /// `up`, `down`, `closed`.
    pub state: String,
    /// Used when a job names none.
    pub default: bool,
    /// The longest limit.
    pub max_time: TimeLimit,
    /// The limit of jobs that say none.
    pub default_time: Option<TimeLimit>,
    /// Its nodes.
    pub nodes: Vec<String>,
    /// Its priority.
    pub priority: i32,
    /// Memory of jobs that say none, for each cpu.
    pub default_memory_per_cpu_bytes: Option<u64>,
    /// The most nodes of one job.
    pub nodes_max: Option<u32>,
    /// Only jobs of these accounts; empty: of all.
    pub accounts: Vec<String>,
    /// In which order its jobs start.
    pub policy: PartitionPolicy,
}

/// The controller, for `jctld status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterStatus {
    /// The cluster.
    pub cluster: String,
    /// The daemon's version.
    pub version: String,
    /// Its life.
    pub incarnation: Incarnation,
    /// Its term.
    pub epoch: Epoch,
    /// The log's durable end.
    pub position: Position,
    /// How far the tables are.
    pub tables_position: Position,
    /// How the tables were come by at start, in words.
    pub recovery: String,
    /// Since when it runs.
    pub started: WallTime,
    /// Unfinished jobs.
    pub jobs: u64,
    /// Pending tasks.
    pub pending: u64,
    /// Tasks that hold resources.
    pub live: u64,
    /// Nodes, and of them reachable ones.
    pub nodes: (u64, u64),
    /// Open connections.
    pub connections: u64,
    /// Bytes of the log on disk.
    pub log_bytes: u64,
    /// Resident memory of the daemon.
    pub memory_bytes: u64,
    /// Things an admin should know; empty is good.
    pub warnings: Vec<String>,
    /// What was turned away or cut short since the start, by kind, and how often.
    pub refused: Vec<(String, u64)>,
}

/// A span of time that some listing covers by default: 24 hours.
pub const ENDED_SINCE_DEFAULT: Seconds = Seconds(86_400);

/// A cause in one short line, for tables.
pub fn cause_line(cause: &Cause) -> String {
    let mut line = cause.kind.word().replace('_', " ");
    if !cause.by.is_empty() {
        line.push_str(" by ");
        line.push_str(&cause.by);
    }
    if !cause.text.is_empty() {
        line.push_str(": ");
        line.push_str(&cause.text);
    }
    line
}
