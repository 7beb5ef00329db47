//! What controller and node daemon say to each other on the node's control connection.
//!
//! The node dials, opens one stream and sends [`Hello`]. The controller answers [`Welcome`] (or closes with a
//! reason). The node then sends its whole inventory as [`Report`]s, the last one marked, and only then does the
//! controller draw conclusions and send [`Order`]s. Every report has a number within the session; what is in it is
//! repeated in the next session's inventory until the controller has said [`ToNode::Confirmed`] for it.

use serde::{Deserialize, Serialize};

use crate::model::ids::{
    Attempt, ContentHash, Epoch, Incarnation, Instance, JobId, Ordinal, Position, SessionId, TaskRef, Uid,
};
use crate::model::resources::Resources;
use crate::model::spec::{Files, LostPolicy, Warning, WorkDir};
use crate::model::state::End;
use crate::model::task_set::IndexSet;
use crate::model::time::{Seconds, TimeLimit, WallTime};
use crate::wire_body;

/// The most items of one list in one report or order.
pub const ITEMS_MAX: usize = 4_096;

pub use crate::model::record::Hardware;

/// The node's first message on its control connection. Its name and role are in its certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which life of the node this is.
    pub instance: Instance,
    /// What it has.
    pub hardware: Hardware,
    /// The daemon's version.
    pub version: String,
    /// The only user whose jobs fit here, for a daemon without root. `None`: everybody's.
    pub only_uid: Option<Uid>,
    /// When the host booted.
    pub boot_time: WallTime,
    /// The incarnation that it obeys, once it has obeyed one.
    pub incarnation: Option<Incarnation>,
    /// The highest epoch that it has obeyed.
    pub epoch: Epoch,
    /// The highest log position that an order carried, in that incarnation.
    pub position: Position,
    /// The node's wall clock.
    pub clock: WallTime,
}

/// The controller's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Which life of the cluster's state this is.
    pub incarnation: Incarnation,
    /// The controller's epoch; the node stores a higher one before it obeys.
    pub epoch: Epoch,
    /// Where the log stands.
    pub position: Position,
    /// This connection.
    pub session: SessionId,
    /// The cluster's name.
    pub cluster: String,
    /// How often the node sends a beat.
    pub beat: Seconds,
    /// How long a fenced job may run on after its last answered beat.
    pub lease: Seconds,
    /// The state was restored and an admin has accepted it: a node that obeyed the one before obeys this one.
    pub comes_over: bool,
}

/// From node to controller, after [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromNode {
    /// What has happened, or, before the session's first `last_of_inventory`, what is held.
    Report(Report),
    /// "I am alive", with what the tables show. Answered with [`ToNode::Beat`].
    Beat(Beat),
    /// An order was refused; nothing was done.
    Refused(OrderRefused),
}

/// A beat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Counted within the session.
    pub number: u64,
    /// Load average of one minute, in hundredths.
    pub load_hundredths: u32,
    /// The node's wall clock.
    pub clock: WallTime,
}

/// Things that happened to attempts, numbered within the session.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// 1, 2, 3, … within the session.
    pub number: u64,
    /// With this report the inventory is complete.
    pub last_of_inventory: bool,
    /// Held for later, not started.
    pub queued: Vec<AttemptRef>,
    /// Started. Need not be said of an attempt whose end is said in the same session.
    pub started: Vec<Started>,
    /// Ended.
    pub ended: Vec<Ended>,
    /// Will never start: the answer to a withdrawal.
    pub never: Vec<AttemptRef>,
}

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptRef {
    /// Of which task.
    pub task: TaskRef,
    /// Which try.
    pub attempt: Attempt,
}

/// An attempt's first process was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Which.
    pub attempt: AttemptRef,
    /// When.
    pub start: WallTime,
}

/// An attempt is over and nothing of it runs any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Of which task.
    pub task: TaskRef,
    /// How; the attempt's number is in it, its node is not.
    pub end: End,
}

/// Why a node did not obey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRefused {
    /// The job that the order was about.
    pub job: JobId,
    /// In words, for the log and the node's reason.
    pub reason: String,
}

/// From controller to node, after [`Welcome`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToNode {
    /// Everything up to that report is durable; the node may forget the ends and the tombstones in it.
    Confirmed {
        /// The report's number.
        report: u64,
    },
    /// The answer to a beat; its lease counts from when the beat was sent.
    Beat {
        /// The beat's number.
        number: u64,
    },
    /// Do something.
    Order(Order),
}

/// An order and what binds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Refused if it is not the node's.
    pub incarnation: Incarnation,
    /// Refused if it is lower than one seen.
    pub epoch: Epoch,
    /// Refused as "rewound" if a higher position was seen in this incarnation at hello; then remembered.
    pub position: Position,
    /// Refused if it is not this connection's.
    pub session: SessionId,
    /// Refused if it is not this node's.
    pub instance: Instance,
    /// About which job.
    pub job: JobId,
    /// What.
    pub act: Act,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Act {
    /// Hold these attempts and run them, `slots` at once. An attempt that is already known is refused silently.
    Launch(Launch),
    /// Take these attempts back. Each is answered: `never`, or `started` (again) if it has started.
    Withdraw {
        /// Which.
        attempts: Vec<TaskRun>,
    },
    /// End these attempts: TERM, then KILL after the grace time. Those not started become `never`.
    Kill {
        /// Which.
        attempts: Vec<TaskRun>,
        /// Why, for the end record.
        reason: KillReason,
    },
    /// Send a signal and nothing more.
    Signal {
        /// Which.
        attempts: Vec<TaskRun>,
        /// The signal's number.
        signal: u8,
        /// To the batch shell alone rather than to all processes.
        batch_only: bool,
    },
    /// Stop (SIGSTOP or freezer) or go on.
    Suspend {
        /// Which.
        attempts: Vec<TaskRun>,
        /// True: stop. False: go on.
        stop: bool,
    },
    /// How long a task of the job may run from now on: running ones, counted from their own starts, and later ones.
    Limit {
        /// So long.
        limit: TimeLimit,
    },
}

/// A run of tasks at the same attempt, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskRun {
    /// The first.
    pub first: Ordinal,
    /// The last.
    pub last: Ordinal,
    /// Their attempt.
    pub attempt: Attempt,
}

/// Attempts to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// What they have in common; sent with a session's first launch of the job.
    pub body: Option<Box<JobBody>>,
    /// Content that this session has not been sent yet.
    pub contents: Vec<Content>,
    /// Which.
    pub attempts: Vec<TaskRun>,
    /// Of which of these tasks how many earlier attempts never started; tasks that are not here: none. A task's
    /// restarts are its earlier attempts without these.
    pub unstarted: Vec<(Ordinal, u32)>,
    /// How many of this job's tasks run at once on this node, from now on.
    pub slots: u32,
    /// None of them may start later than this; what is left then becomes `never`.
    pub not_after: Option<WallTime>,
}

/// A piece of content and its hash.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Its BLAKE3 hash; whoever receives it checks.
    pub hash: ContentHash,
    /// The bytes.
    #[serde(with = "super::bytes")]
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Content {
    /// Scripts and environments hold secrets: only the hash and the size are ever shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Content({}, {} bytes)", self.hash, self.bytes.len())
    }
}

/// Why attempts are ended; becomes the cause of their ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillReason {
    /// A cancel.
    Cancel {
        /// Whose.
        by: String,
        /// The reason given, or empty.
        text: String,
    },
    /// It has to give way.
    Preempt {
        /// To what.
        text: String,
    },
    /// Its deadline.
    Deadline,
    /// It was given up while there was no contact: it is killed at once, since the next attempt may run by now.
    GivenUp,
}

/// What all tasks of a job have in common, as the node needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobBody {
    /// The job's name.
    pub name: String,
    /// The user's name; the node looks it up and refuses unless the uid is equal.
    pub user: String,
    /// The user's uid, from the certificate that submitted the job.
    pub uid: Uid,
    /// Its partition.
    pub partition: String,
    /// Its account, or empty.
    pub account: String,
    /// Its QOS, or empty.
    pub qos: String,
    /// The script.
    pub script: ContentHash,
    /// The environment: `NAME=VALUE` with a NUL after each.
    pub environment: ContentHash,
    /// Arguments of the script.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub work_dir: WorkDir,
    /// Where it was submitted.
    pub submit_dir: String,
    /// On which host.
    pub submit_host: String,
    /// The submitter's umask.
    pub umask: u32,
    /// File patterns.
    pub files: Files,
    /// What one slot may use.
    pub resources: Resources,
    /// `-n`, if given.
    pub tasks: Option<u32>,
    /// `--ntasks-per-node`, if given.
    pub tasks_per_node: Option<u32>,
    /// `-c`, if given.
    pub cpus_per_task: Option<u32>,
    /// `--mem`, if given.
    pub memory_per_node_bytes: Option<u64>,
    /// `--mem-per-cpu`, if given.
    pub memory_per_cpu_bytes: Option<u64>,
    /// The time limit of one task.
    pub limit: TimeLimit,
    /// From TERM to KILL.
    pub grace: Seconds,
    /// A signal before the limit.
    pub warning: Option<Warning>,
    /// What happens when contact is lost; a lease is always said.
    pub lost: LostPolicy,
    /// The indexes, if it is an array.
    pub indexes: Option<IndexSet>,
    /// For `--each-line`: the lines, newline after each; the task with index k gets line k, counted from 1.
    pub lines: Option<ContentHash>,
    /// When it was submitted.
    pub submit_time: WallTime,
}

impl JobBody {
    /// How long its attempts may run on without contact; `None`: without end.
    pub fn lease(&self) -> Option<Seconds> {
        match self.lost {
            LostPolicy::Fenced(lease) => lease,
            LostPolicy::Proof | LostPolicy::Overlap | LostPolicy::Never => None,
        }
    }
}

wire_body! {
    Hello = "node hello", 1;
    Welcome = "node welcome", 1;
    FromNode = "message from a node", 1;
    ToNode = "message to a node", 1;
    JobBody = "job body", 1;
}
