//! What the cluster keeps about jobs, nodes, partitions, users and certificates, by value.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::identity::{Role, Serial};
use super::ids::{Attempt, ContentHash, Incarnation, Instance, JobId, NodeId, Ordinal, Uid};
use super::policy::PartitionPolicy;
use super::resources::Resources;
use super::spec::{Dependency, DependencyKind, JobSpec};
use super::state::State;
use super::task_set::TaskSet;
use super::time::{Seconds, TimeLimit, WallTime};

/// A job or array: everything but the states of its tasks. Replaced as a whole when somebody changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Its number.
    pub id: JobId,
    /// Whose it is, from the certificate.
    pub uid: Uid,
    /// That user's name, from the certificate.
    pub user: Arc<str>,
    /// As asked for, with later changes; one in memory for jobs that ask for the same.
    pub spec: Arc<JobSpec>,
    /// When it was submitted.
    pub submit_time: WallTime,
    /// Partitions that it may run in, resolved.
    pub partitions: Arc<[String]>,
    /// Time limit of one task, resolved.
    pub limit: TimeLimit,
    /// Memory of one slot, resolved.
    pub memory: Memory,
    /// Cpus of one slot.
    pub cpus: u32,
    /// Who holds it.
    pub hold: Hold,
    /// What it still waits for; the parents are numbers by now.
    pub waits_for: Vec<Wait>,
    /// Set when its dependencies can no longer hold and it stays all the same, with the reason in words.
    pub never: String,
    /// Its place in the line among those of equal priority: lower first. Its own number, unless `jqueue first` has
    /// moved it among the places of its owner's jobs.
    pub place: u64,
    /// Rises with every change of this record.
    pub version: u64,
    /// The key it was submitted under, and the hash of that request.
    pub key: Arc<str>,
    /// The job it was submitted from, the job that one was submitted from, and so on, the nearest first; at most
    /// [`ANCESTORS_MAX`]. Empty for what a person submitted.
    pub ancestors: Vec<JobId>,
    /// From when it ages, if its begin time is not later: its submission, unless `jqueue first` has moved it among its
    /// owner's jobs.
    pub since: WallTime,
}

/// So many generations back a job is known to descend from another. A chain of jobs each of which submits the next goes
/// on for ever; only the reach of its early ones ends there.
pub const ANCESTORS_MAX: usize = 16;

/// The weight of a node of which nobody has said one.
pub const NODE_WEIGHT: u32 = 1;

impl JobRecord {
    /// What keeps all of it from starting. Tasks that wait for their counterparts are held one by one instead.
    pub fn blocked_by(&self) -> impl Iterator<Item = &Wait> {
        self.waits_for.iter().filter(|wait| wait.condition.kind != DependencyKind::AfterCorrelated)
    }

    /// What it or single tasks of it still wait for.
    pub fn open_waits(&self) -> impl Iterator<Item = &Wait> {
        self.waits_for.iter().filter(|wait| !wait.is_settled())
    }

    /// Whether tasks of it wait for their counterparts in other arrays.
    pub fn waits_by_task(&self) -> bool {
        self.correlated().next().is_some()
    }

    /// Those conditions, as far as they are not settled.
    pub fn correlated(&self) -> impl Iterator<Item = &Wait> {
        self.open_waits().filter(|wait| wait.condition.kind == DependencyKind::AfterCorrelated)
    }
}

impl Wait {
    /// `aftercorr`: all tasks of the parent have ended, so that nothing is left to wait for. It is kept for
    /// `requeue --dependents`.
    pub fn is_settled(&self) -> bool {
        self.condition.kind == DependencyKind::AfterCorrelated && self.holds_at.is_some()
    }
}

/// Memory of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// So much.
    Fixed(u64),
    /// Cpus × the node's memory / the node's cpus.
    Share,
    /// All that the node has.
    Whole,
}

/// Who holds a job.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// Nobody.
    #[default]
    No,
    /// Its owner.
    User,
    /// An operator; its owner can't release it.
    Admin,
}

/// A dependency that does not hold yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What was asked for.
    pub condition: Dependency,
    /// On whom, as a number.
    pub parent: JobId,
    /// On which of its tasks; `None`: all.
    pub tasks: Option<TaskSet>,
    /// For `after` with a delay: when it holds, once the parent has started. For `aftercorr`: when the last task of
    /// the parent had ended.
    pub holds_at: Option<WallTime>,
}

/// How far a task that was given to a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Held by the node for a slot that frees; shows as pending.
    Handed,
    /// A slot is free for it.
    Starting,
    /// Its first process was seen.
    Running,
    /// Stopped for a while.
    Suspended,
    /// It is being ended.
    Completing,
}

/// A task that was given to a node and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// To which.
    pub node: NodeId,
    /// To which life of it.
    pub instance: Instance,
    /// Which try.
    pub attempt: Attempt,
    /// How far.
    pub phase: Phase,
    /// When it was given to the node.
    pub given: WallTime,
    /// When it started, if it has.
    pub start: Option<WallTime>,
    /// Somebody wants it back or ended.
    pub wanted: Wanted,
}

/// What shall become of a live task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wanted {
    /// Run.
    #[default]
    Run,
    /// End as cancelled.
    Cancel,
    /// End, or never start, and go back into the queue.
    Requeue,
    /// Never start if it has not, else run on: it is only wanted back.
    Back,
    /// End as preempted; whether it runs again is its own policy's business.
    Preempt,
}

/// What a job holds on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slots {
    /// How many tasks at once.
    pub count: u32,
    /// What one of them takes.
    pub charge: Resources,
    /// Whether the node is the job's alone.
    pub exclusive: bool,
    /// Whether a freed slot takes the next task of its array by itself.
    pub refills: bool,
    /// No task may start in them after that; `None`: no bound.
    pub not_after: Option<WallTime>,
}

/// What is out of the ordinary about a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// The number of the last attempt that was used up.
    pub attempts: Attempt,
    /// How many of them never started.
    pub unstarted: u32,
    /// How many retries were spent.
    pub retries: u32,
    /// How many launches in a row have failed since its last start.
    pub launches: u32,
}

/// Who asked for the end of live tasks, kept until they have ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelNote {
    /// Who.
    pub by: String,
    /// Why, or empty.
    pub text: String,
}

/// What the cluster keeps about a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// What it has, once it has said so.
    pub hardware: Option<Hardware>,
    /// Its current life.
    pub instance: Option<Instance>,
    /// Its daemon's version.
    pub version: String,
    /// The only user it serves.
    pub only_uid: Option<Uid>,
    /// When it booted.
    pub boot_time: Option<WallTime>,
    /// Whether it takes new jobs, as far as people say.
    pub admin: NodeAdmin,
    /// Why, who and since when.
    pub reason: Option<NodeReason>,
    /// Rises with every change of this record.
    pub version_number: u64,
    /// What admins say it has, for `--constraint`.
    pub features: Vec<String>,
    /// Nodes of lower weight are used first.
    pub weight: u32,
    /// While it drains: when the jobs that are left are ended.
    pub drain_until: Option<WallTime>,
}

/// What people want of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAdmin {
    /// Work.
    #[default]
    Up,
    /// No new jobs.
    Drain,
    /// Out.
    Down,
}

/// Why a node is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReason {
    /// In words.
    pub text: String,
    /// Who said so.
    pub by: String,
    /// When.
    pub at: WallTime,
}

/// What a partition lets in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionState {
    /// Everything.
    #[default]
    Up,
    /// Jobs are accepted and wait.
    Down,
    /// Nothing is accepted; what is there goes on.
    Closed,
}

/// What a node has, as its daemon found it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hardware {
    /// What jobs may use.
    pub resources: Resources,
    /// Processor packages.
    pub sockets: u32,
    /// Hardware threads of all cores together.
    pub threads: u32,
    /// How limits are kept: `cgroup v2`, `cgroup v1`, or `rlimits and metering`.
    pub limits: String,
    /// Kernel and machine, for show.
    pub system: String,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRecord {
    /// Its name.
    pub name: String,
    /// Its nodes by name, in the state in order and each once; `None`: all.
    pub nodes: Option<Vec<String>>,
    /// Used when a job names none.
    pub default: bool,
    /// What it lets in.
    pub state: PartitionState,
    /// The longest time limit.
    pub max_time: TimeLimit,
    /// The time limit of jobs that say none.
    pub default_time: Option<TimeLimit>,
    /// Memory of jobs that say none.
    pub default_memory_per_cpu_bytes: Option<u64>,
    /// Its jobs go first, higher first.
    pub priority: i32,
    /// The most nodes of one job; `None`: any number.
    pub nodes_max: Option<u32>,
    /// Only jobs of these accounts; empty: of all.
    pub accounts: Vec<String>,
    /// In which order its jobs start.
    pub policy: PartitionPolicy,
}

impl PartitionRecord {
    /// Whether it has a node of that name. Of a record of the state, whose list is in order.
    pub fn has(&self, node: &str) -> bool {
        let find = |nodes: &Vec<String>| nodes.binary_search_by(|name| name.as_str().cmp(node)).is_ok();
        self.nodes.as_ref().is_none_or(find)
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRecord {
    /// The name.
    pub name: String,
    /// The numeric id.
    pub uid: Uid,
    /// What certificates for it may say.
    pub role: Role,
}

/// A one-use token that has not been used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// BLAKE3 of its secret.
    pub hash: ContentHash,
    /// The role of the certificate it gives.
    pub role: Role,
    /// The name it gives it for.
    pub name: String,
    /// The uid, for people.
    pub uid: Option<Uid>,
    /// Good until then.
    pub expires: WallTime,
}

/// A token that was used, kept until it would have expired: whoever shows it again is told so, and the key that it
/// was used with gets a certificate again when the answer was lost on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpentToken {
    /// The token.
    pub token: TokenRecord,
    /// BLAKE3 of the public key that got the certificate.
    pub key: ContentHash,
    /// When.
    pub at: WallTime,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its serial.
    pub serial: Serial,
    /// The role in it.
    pub role: Role,
    /// The name in it.
    pub name: String,
    /// Since.
    pub issued: WallTime,
    /// Until.
    pub expires: WallTime,
    /// When it was revoked, if it was.
    pub revoked: Option<WallTime>,
}

/// The answer to a key, kept so that a repeat gets it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Whose key: role and name.
    pub owner: String,
    /// The key.
    pub key: String,
    /// BLAKE3 of the request.
    pub request: ContentHash,
    /// The encoded reply.
    pub reply: Vec<u8>,
    /// When.
    pub at: WallTime,
}

/// How a state came out of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The incarnation that was backed up.
    pub replaces: Incarnation,
    /// The first job number that the backup does not know.
    pub first_unknown: JobId,
    /// The first job number given out since.
    pub next: JobId,
    /// Whether nodes may obey.
    pub accepted: bool,
}

/// Pieces of a job's tasks, by state.
pub type StateCounts = [u32; State::ALL.len()];

/// How long a key is kept after its use.
pub const KEY_KEPT: Seconds = Seconds(7 * 86_400);
/// How long the audit is kept.
pub const AUDIT_KEPT: Seconds = Seconds(365 * 86_400);
/// How long ended jobs are kept.
pub const HISTORY_KEPT: Seconds = Seconds(90 * 86_400);

/// Names one task of one job in tables.
pub type TaskKey = (JobId, Ordinal);
