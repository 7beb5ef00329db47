//! What commands ask of the controller: one request on a stream of its own, then the replies.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::node::Content;
use crate::model::identity::{Role, Serial};
use crate::model::ids::{Attempt, ContentHash, JobId, Position, Uid};
use crate::model::shared;
use crate::model::spec::{Constraint, Dependencies, JobSpec, RetryOn};
use crate::model::state::State;
use crate::model::task_set::IndexSet;
use crate::model::time::{Seconds, TimeLimit, WallTime};
use crate::wire_body;

/// The most bytes of a request's key.
pub const KEY_BYTES_MAX: usize = 64;
/// The most jobs of one submission.
pub const SUBMIT_JOBS_MAX: usize = 100_000;
/// The most selectors of one request.
pub const SELECTORS_MAX: usize = 10_000;
/// The most rows of one frame of a listing.
pub const LIST_ROWS_MAX: usize = 1_000;

/// A request. Mutating ones carry a key: a repeat answers the same, another request under it is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Jobs, all accepted or none. Answered with [`Reply::Submitted`].
    Submit(Submit),
    /// Which jobs, in short. Answered with [`Reply::Jobs`] frames, the last one marked.
    List(List),
    /// Jobs in full. Answered with [`Reply::Detail`].
    Show(Selection),
    /// Change jobs. Answered with [`Reply::Acted`].
    Act(Act),
    /// Wait for jobs. Answered with one [`Reply::Waited`] when it is so.
    Wait(Wait),
    /// A live view. Answered with [`Reply::Jobs`] (the snapshot) and then [`Reply::Changed`] for ever.
    Watch(Watch),
    /// Output. Answered with [`Reply::Output`].
    Log(Log),
    /// Ended tasks of jobs, row by row. Answered with [`Reply::Ended`] frames.
    Ended(Selection),
    /// Use by user, account or partition. Answered with [`Reply::Usage`].
    Usage(UsageBy),
    /// Who am I? Answered with [`Reply::Whoami`].
    Whoami,
    /// The nodes. Answered with [`Reply::Nodes`].
    Nodes,
    /// Change nodes and partitions. Answered with [`Reply::Done`] or [`Reply::Tokens`].
    NodeAct(NodeAct),
    /// Users, certificates, the daemon. Answered with [`Reply::Done`], [`Reply::Tokens`] or a reply of its own.
    Admin(Admin),
    /// A certificate in place of the one that the connection was made with. Answered with [`Reply::Renewed`].
    Renew {
        /// The signing request (PKCS#10, DER): it proves the key; nothing else in it counts.
        signing_request: Vec<u8>,
    },
    /// Nodes, live. Answered with [`Reply::Nodes`] now and whenever something is different, for ever.
    WatchNodes,
    /// The command that these tied jobs were submitted with is there, as long as this stream is open. Answered with
    /// [`Reply::Done`]; the stream stays open.
    Tied(Vec<JobId>),
    /// Accounts and qualities of service. Changes are answered with [`Reply::Done`].
    Account(AccountAct),
    /// The cluster's configuration.
    Config(ConfigAct),
}

/// Jobs to submit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submit {
    /// Repeats are recognised by it.
    pub key: String,
    /// The jobs, in order; a [`crate::model::spec::Parent::Batch`] names one by its place.
    #[serde(deserialize_with = "shared::list")]
    pub specs: Vec<Arc<JobSpec>>,
    /// What their hashes name.
    pub contents: Vec<Content>,
    /// Only say what would happen.
    pub test_only: bool,
}

/// Whom a verb means: selectors or filters, both narrowing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Jobs named one by one; empty: all that pass the filter.
    pub selectors: Vec<Selector>,
    /// The filter.
    pub filter: Filter,
}

/// A job as users name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Selector {
    /// `123`: a job, an array, or a task's own number.
    Number(JobId),
    /// `123_[1-9,12]` and `123_4`.
    Tasks(JobId, IndexSet),
    /// `name:foo`.
    Name(String),
    /// `last`: the caller's newest.
    Last,
}

/// Which jobs pass. Empty lists pass everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only the caller's.
    pub own: bool,
    /// Of these users.
    pub users: Vec<String>,
    /// Of these names.
    pub names: Vec<String>,
    /// In these partitions.
    pub partitions: Vec<String>,
    /// In these states; picks tasks inside arrays.
    pub states: Vec<State>,
    /// Of these accounts.
    pub accounts: Vec<String>,
    /// Of these QOS.
    pub qos: Vec<String>,
    /// On these nodes.
    pub nodes: Vec<String>,
    /// Ended ones too, back to then; `None`: only unfinished ones.
    pub ended_since: Option<WallTime>,
}

/// A listing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// Whom.
    pub selection: Selection,
    /// A row per task rather than one per array.
    pub expand: bool,
    /// Without what only a job's owner may see: the listing does not show it.
    pub brief: bool,
}

/// A change to jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Repeats are recognised by it.
    pub key: String,
    /// What.
    pub verb: Verb,
    /// To whom.
    pub selection: Selection,
    /// Only say what would happen.
    pub dry_run: bool,
}

/// What to do to jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verb {
    /// End them.
    Cancel {
        /// Why, for the record.
        reason: String,
    },
    /// Send a signal and nothing more.
    Signal {
        /// Its number.
        signal: u8,
        /// To the batch shell alone.
        batch_only: bool,
    },
    /// Don't start them.
    Hold,
    /// Start them again.
    Release,
    /// Back into the queue: running ones are ended and run again, ended ones run again.
    Requeue,
    /// Stop their processes.
    Suspend,
    /// Go on.
    Resume,
    /// Ahead of the owner's other pending jobs.
    First,
    /// Change them.
    Set(Box<Settings>),
    /// As `Requeue`, with more to say.
    RequeueWith {
        /// Asking for this from now on.
        settings: Option<Box<Settings>>,
        /// Also what ended DependencyFailed because of it.
        dependents: bool,
    },
}

/// What `jqueue set` changes; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Time limit.
    pub time: Option<TimeLimit>,
    /// Memory per node.
    pub memory_bytes: Option<u64>,
    /// Cpus of the whole allocation.
    pub cpus: Option<u32>,
    /// Partitions.
    pub partitions: Option<Vec<String>>,
    /// Account.
    pub account: Option<String>,
    /// QOS.
    pub qos: Option<String>,
    /// Nice.
    pub nice: Option<i32>,
    /// Name.
    pub name: Option<String>,
    /// Comment.
    pub comment: Option<String>,
    /// Not before.
    pub begin: Option<WallTime>,
    /// Must have ended by then.
    pub deadline: Option<WallTime>,
    /// Only on these nodes.
    pub nodelist: Option<Vec<String>>,
    /// On none of these.
    pub exclude: Option<Vec<String>>,
    /// `%limit` of an array; 0 for none.
    pub array_limit: Option<u32>,
    /// Priority, operators only.
    pub priority: Option<u32>,
    /// Retries.
    pub retry: Option<(u32, RetryOn)>,
    /// With `memory_bytes`: what it may grow to after an end for lack of memory.
    pub memory_most_bytes: Option<u64>,
    /// How many nodes.
    pub nodes: Option<(u32, u32)>,
    /// Only nodes with these features; `Some(None)`: any.
    pub constraint: Option<Option<Constraint>>,
    /// What it waits for; without conditions: nothing.
    pub dependencies: Option<Dependencies>,
}

/// Wait for jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Whom.
    pub selection: Selection,
    /// For their start rather than their end.
    pub start: bool,
    /// Push [`Reply::Progress`] too, for a bar.
    pub progress: bool,
}

/// A live view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// Which jobs.
    pub filter: Filter,
    /// Go on after that position: first the ends since then, then a snapshot.
    pub position: Option<Position>,
}

/// Output of one task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// Whose.
    pub selector: Selector,
    /// Which try; `None`: the last one's file, whole. With `wait_ms` one that is not there yet is waited for, and the next
    /// later one stands for one that never started.
    pub attempt: Option<Attempt>,
    /// Standard error's file.
    pub error: bool,
    /// From where in the file; with an attempt, 0 means where that attempt's part begins.
    pub from: super::data::From,
    /// At most so many bytes.
    pub bytes: u32,
    /// If there is nothing yet: wait up to so many milliseconds for more.
    pub wait_ms: u32,
}

/// What usage is summed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UsageBy {
    /// Users.
    User,
    /// Accounts.
    Account,
    /// Partitions.
    Partition,
}

/// A change to nodes and partitions. Operators and admins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeAct {
    /// No new jobs.
    Drain {
        /// Which.
        nodes: Vec<String>,
        /// Why.
        reason: String,
        /// When what is left there is ended as by preemption.
        deadline: Option<WallTime>,
    },
    /// New jobs again.
    Resume {
        /// Which.
        nodes: Vec<String>,
    },
    /// Taken out by hand.
    Down {
        /// Which.
        nodes: Vec<String>,
        /// Why.
        reason: String,
        /// The admin vouches that nothing of it runs any more.
        confirmed_dead: bool,
    },
    /// New names and their one-use tokens (admin).
    Add {
        /// Which.
        nodes: Vec<String>,
        /// How long the tokens are good.
        ttl: Seconds,
        /// BLAKE3 of each token's secret, one per node; the secret itself never leaves the command.
        secrets: Vec<ContentHash>,
        /// Names that exist may join again.
        replace: bool,
    },
    /// Forget names (admin).
    Remove {
        /// Which.
        nodes: Vec<String>,
    },
    /// Make or change a partition.
    PartitionSet(PartitionSettings),
    /// Forget a partition.
    PartitionRemove {
        /// Its name.
        name: String,
    },
    /// New names and one token for all of them, each once (admin).
    AddPool {
        /// Which.
        nodes: Vec<String>,
        /// How long the token is good.
        ttl: Seconds,
        /// BLAKE3 of the token's secret.
        secret: ContentHash,
        /// Names that exist may join again.
        replace: bool,
    },
    /// Change what is known of nodes; `None` leaves it.
    Set {
        /// Which.
        nodes: Vec<String>,
        /// Features, for `--constraint`.
        features: Option<Vec<String>>,
        /// Lower is used first.
        weight: Option<u32>,
        /// The partitions that they belong to, and no others.
        partitions: Option<Vec<String>>,
    },
}

/// What `jnode partition set` changes; `None` leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionSettings {
    /// Its name.
    pub name: String,
    /// Its nodes; `ALL` alone means every node.
    pub nodes: Option<Vec<String>>,
    /// Used when a job names none.
    pub default: Option<bool>,
    /// `up`, `down` (nothing starts) or `closed` (nothing is accepted).
    pub state: Option<PartitionState>,
    /// The longest time limit.
    pub max_time: Option<TimeLimit>,
    /// The time limit of jobs that say none.
    pub default_time: Option<TimeLimit>,
    /// Memory of jobs that say none; `Some(0)`: the node's share again.
    pub default_memory_per_cpu_bytes: Option<u64>,
    /// Its jobs go first, higher first.
    pub priority: Option<i32>,
    /// The most nodes of one job; 0: any number.
    pub nodes_max: Option<u32>,
    /// Only jobs of these accounts; empty: of all.
    pub accounts: Option<Vec<String>>,
    /// In which order its jobs start.
    pub policy: Option<PartitionPolicy>,
}

pub use super::account::AccountAct;
pub use super::config::ConfigAct;
pub use super::reply::{ActLine, Footer, Output, Receipt, Refusal, RefusalCode, Reply, WaitOutcome};
pub use crate::model::policy::PartitionPolicy;
pub use crate::model::record::PartitionState;

/// For admins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admin {
    /// How the daemon is. Answered with [`Reply::Status`].
    Status,
    /// Check everything on disk. Answered with [`Reply::Done`].
    Verify,
    /// Stop in order.
    Stop,
    /// A user and the one-use token for the first certificate.
    UserAdd {
        /// The name.
        name: String,
        /// The numeric id.
        uid: Uid,
        /// user, operator or admin.
        role: Role,
        /// How long the token is good.
        ttl: Seconds,
        /// BLAKE3 of the token's secret; the secret itself never leaves the command.
        secret: ContentHash,
    },
    /// The users. Answered with [`Reply::Lines`].
    UserList,
    /// Forget a user.
    UserRemove {
        /// The name.
        name: String,
        /// End the user's jobs; `Some(false)`: let them run; `None`: refuse while there are any.
        cancel_jobs: Option<bool>,
    },
    /// The certificates. Answered with [`Reply::Lines`].
    CertificateList,
    /// Cut one off.
    CertificateRevoke {
        /// Which.
        serial: Serial,
    },
    /// Who did what. Answered with [`Reply::Audit`] frames, the last one marked.
    Audit(AuditQuery),
    /// Check the audit's chain. Answered with [`Reply::Done`], or a refusal that says where it is broken.
    AuditVerify,
    /// Let nodes obey a state that was restored. Answered with [`Reply::Done`].
    Accept,
    /// Make an export now. Answered with [`Reply::Done`].
    Export,
    /// Write a backup. Answered with [`Reply::Done`].
    Backup {
        /// Into which new folder on the controller's host.
        folder: String,
    },
}

/// Which audit records. Empty words and `None` pass everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditQuery {
    /// From then on.
    pub since: Option<WallTime>,
    /// Before then.
    pub until: Option<WallTime>,
    /// By whom: a name, or role and name.
    pub who: String,
    /// What: words that stand in it, in any case.
    pub what: String,
    /// About that job.
    pub job: Option<JobId>,
    /// About that node.
    pub node: String,
}

wire_body! {
    Request = "request", 1;
}
