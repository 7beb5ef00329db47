//! The language between the node daemon and its supervisors: versioned on its own, because a supervisor lives
//! as long as its job and so outlives upgrades of the daemon.
//!
//! The daemon dials; its first message is `Hello` with the highest version it speaks, the supervisor answers
//! `Welcome` with the version that both use and everything it holds. Ends and refusals are *reports* with
//! consecutive numbers: they stand in every `Welcome` until `Acknowledge` has passed them. Started attempts and
//! queued tasks stand in every `Welcome`, too, so that nothing depends on one connection's life.

mod frame;

pub use frame::{FRAME_BYTES_MAX, FrameDecoder, FrameError, encode};

use serde::{Deserialize, Serialize};

use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskIndex, Uid};
use crate::model::resources::Resources;
use crate::model::spec::{Files, Request, Warning, WorkDir};
use crate::model::state::{Cause, CauseKind, End, State};
use crate::model::time::{BootTime, Seconds, TimeLimit, WallTime};

/// The version that this build speaks.
pub const VERSION: u16 = 2;
/// From this version on a daemon takes the calls of jobs.
pub const VERSION_CALLS: u16 = 2;
/// The oldest version that this build still understands.
pub const VERSION_OLDEST: u16 = 1;
/// The most tasks that one supervisor holds ahead of the running ones. A run beyond it is answered `Never`.
pub const QUEUED_TASKS_MAX: usize = 4_096;
/// The most unacknowledged reports that a supervisor holds; with so many it starts nothing more.
pub const REPORTS_MAX: usize = 4_096;
/// The most bytes of a report's text.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// The most slots of one supervisor.
pub const SLOTS_MAX: u32 = 4_096;
/// The most supplementary groups of a user, as the kernel has it.
pub const GROUPS_MAX: usize = 65_536;

/// One try at one task of the supervisor's job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptRef {
    /// Which task.
    pub ordinal: Ordinal,
    /// Which try.
    pub attempt: Attempt,
}

/// From the node daemon to a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ToSupervisor {
    /// First on each connection: the highest version that the daemon speaks.
    Hello {
        /// That version.
        version: u16,
    },
    /// What to run. Once in a supervisor's life; repeating the same job changes nothing.
    Job(Box<Job>),
    /// Tasks to run as slots get free, in this order. Known attempts are passed over.
    Run {
        /// The tasks.
        tasks: Vec<TaskRun>,
    },
    /// How many tasks may run at once from now on. Running ones are not touched.
    SetSlots {
        /// So many, at most `SLOTS_MAX`.
        slots: u32,
    },
    /// Takes tasks back. Each is answered, by a report `Never` or in `Kept`.
    Withdraw {
        /// The attempts wanted back.
        tasks: Vec<AttemptRef>,
    },
    /// Ends attempts: TERM, and KILL after the grace time. Queued ones end without having run.
    Kill {
        /// Which.
        which: Which,
        /// Why; the first reason stays.
        reason: KillReason,
        /// The time between TERM and KILL; `None`: the job's.
        grace: Option<Seconds>,
    },
    /// Sends a signal, and leaves it at that.
    Signal {
        /// To which attempts.
        which: Which,
        /// The signal's number.
        signal: u8,
        /// To the first process alone rather than to all of them.
        batch_only: bool,
    },
    /// Stops all processes; their time limit stands still meanwhile.
    Suspend {
        /// Of which attempts.
        which: Which,
    },
    /// Lets them go on.
    Resume {
        /// Which attempts.
        which: Which,
    },
    /// Reports up to this number are durable elsewhere and may be forgotten.
    Acknowledge {
        /// The last such number.
        up_to: u64,
    },
    /// Exit as soon as nothing runs, waits, or is unacknowledged.
    Finish,
    /// How long a task may run: those that run, from their own starts, and those to come.
    SetLimit {
        /// So long.
        limit: TimeLimit,
    },
    /// The node was in contact with the controller at that time, on the boot clock: the job's lease counts from there.
    Contact {
        /// When the beat was sent that was answered last.
        at: BootTime,
    },
}

/// Which attempts a message means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Which {
    /// Everything queued and running.
    All,
    /// These. Unknown ones are passed over: their `Welcome` entry or report says what became of them.
    These(Vec<AttemptRef>),
}

/// Why an attempt is ended by the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum KillReason {
    /// Its owner or an operator wants it.
    Cancel {
        /// Who.
        by: String,
        /// The reason given, or empty.
        text: String,
    },
    /// It has to give way.
    Preempt {
        /// To whom or to what.
        text: String,
    },
    /// It used up its time.
    TimeLimit,
    /// It used up its memory.
    Memory {
        /// How much it had, and who measured.
        text: String,
    },
    /// Its deadline.
    Deadline,
    /// The node can't keep it: contact was lost for too long, or the node is taken down.
    Node {
        /// What happened.
        text: String,
    },
}

impl KillReason {
    /// The end state that it makes.
    pub fn state(&self) -> State {
        match self {
            KillReason::Cancel { .. } => State::Cancelled,
            KillReason::Preempt { .. } => State::Preempted,
            KillReason::TimeLimit => State::Timeout,
            KillReason::Memory { .. } => State::OutOfMemory,
            KillReason::Deadline => State::Deadline,
            KillReason::Node { .. } => State::NodeFail,
        }
    }

    /// The cause that goes into the end record.
    pub fn cause(&self) -> Cause {
        match self {
            KillReason::Cancel { by, text } => {
                Cause { kind: CauseKind::Cancel, by: by.clone(), text: text.clone() }
            }
            KillReason::Preempt { text } => Cause::said(CauseKind::Preempt, text),
            KillReason::TimeLimit => Cause::plain(CauseKind::TimeLimit),
            KillReason::Memory { text } => Cause::said(CauseKind::Memory, text),
            KillReason::Deadline => Cause::plain(CauseKind::Deadline),
            KillReason::Node { text } => Cause::said(CauseKind::Node, text),
        }
    }
}

/// Everything that the tasks of one job have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub job: JobId,
    /// Its array, if it is one.
    pub array: Option<ArrayFacts>,
    /// Its name.
    pub name: String,
    /// As whom it runs.
    pub user: User,
    /// Whether uid 0 may run jobs here (the admin's configuration says so).
    pub root_allowed: bool,
    /// The script, with its `#!` line.
    #[serde(with = "crate::wire::bytes")]
    pub script: Vec<u8>,
    /// `NAME=VALUE` with a NUL after each.
    #[serde(with = "crate::wire::bytes")]
    pub environment: Vec<u8>,
    /// What follows the script on its command line.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub work_dir: WorkDir,
    /// Where it was submitted.
    pub submit_dir: String,
    /// On which host.
    pub submit_host: String,
    /// The submitter's umask.
    pub umask: u32,
    /// Input, output, error.
    pub files: Files,
    /// The node as the cluster's tables know it.
    pub node: NodeId,
    /// Its name.
    pub node_name: String,
    /// The cluster's name.
    pub cluster: String,
    /// The partition it runs in.
    pub partition: String,
    /// Its account, or empty.
    pub account: String,
    /// Its quality of service, or empty.
    pub qos: String,
    /// What was asked for: decides which of Slurm's variables are set.
    pub request: Request,
    /// What one task was given. Its memory is its limit; 0: none.
    pub granted: Resources,
    /// How long one task may run.
    pub time_limit: TimeLimit,
    /// From TERM to KILL.
    pub kill_grace: Seconds,
    /// A signal before the time limit.
    pub warning: Option<Warning>,
    /// The control group trees to use, if there are any.
    pub cgroups: Option<Cgroups>,
    /// The folder, owned by root or by the one user, in which private folders are made: absolute.
    pub tmp_base: String,
    /// How many tasks run at once.
    pub slots: u32,
    /// How long attempts may run on after the last contact; then they are frozen. `None`: as long as they like.
    pub lease: Option<Seconds>,
}

/// The user as the node's account database has him: looked up there, never taken from a message of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// His name.
    pub name: String,
    /// His number.
    pub uid: Uid,
    /// His primary group.
    pub gid: u32,
    /// All his groups.
    pub groups: Vec<u32>,
    /// His home directory.
    pub home: String,
    /// His shell.
    pub shell: String,
    /// Whether the processes have to be switched to him; otherwise the daemon runs as him already.
    pub switch: bool,
}

/// What an array task may know of its array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArrayFacts {
    /// How many tasks.
    pub count: u32,
    /// The lowest index.
    pub min: u32,
    /// The highest index.
    pub max: u32,
    /// The step of its first range.
    pub step: u32,
}

/// Control group trees in which a supervisor may make its own groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cgroups {
    /// The one tree of version 2.
    V2 {
        /// Absolute path of the delegated folder.
        path: String,
        /// Whether memory can be limited there.
        memory: bool,
    },
    /// A folder for each controller of version 1; `freezer` is among them.
    V1 {
        /// Controller and absolute path.
        trees: Vec<(String, String)>,
    },
}

impl Cgroups {
    /// Whether memory is limited by the kernel there.
    pub fn limits_memory(&self) -> bool {
        match self {
            Cgroups::V2 { memory, .. } => *memory,
            Cgroups::V1 { trees } => trees.iter().any(|(controller, _)| controller == "memory"),
        }
    }
}

/// One task to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskRun {
    /// Which.
    pub task: AttemptRef,
    /// Its index, if the job is an array.
    pub index: Option<TaskIndex>,
    /// Its own job number.
    pub number: JobId,
    /// How often it was started before. The first start truncates its output, later ones append.
    pub restarts: u32,
    /// Its line (`--each-line`).
    pub line: Option<String>,
    /// Not started after this; it is reported `Never` then.
    pub not_after: Option<WallTime>,
}

/// From a supervisor to the node daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FromSupervisor {
    /// The answer to `Hello`.
    Welcome {
        /// The version that both speak from here on.
        version: u16,
        /// The supervisor's process.
        pid: u32,
        /// What it holds.
        inventory: Inventory,
    },
    /// Attempts that were started.
    Started {
        /// They.
        attempts: Vec<StartedAttempt>,
    },
    /// Ends and refusals, in the order of their numbers.
    Reports {
        /// They.
        reports: Vec<Report>,
    },
    /// Attempts that were wanted back but had started; or whose end was reported already.
    Kept {
        /// They.
        tasks: Vec<AttemptRef>,
    },
    /// What running attempts use.
    Usage {
        /// Of each that was measured.
        usages: Vec<UsageNow>,
    },
    /// A message was not obeyed. The connection is closed after it if nothing sensible can follow.
    Refused {
        /// What was wrong and what to do.
        text: String,
    },
    /// A process of a running attempt wants to ask the controller. With the first byte of the message goes its
    /// connection, a descriptor. Said from [`VERSION_CALLS`] on.
    Call {
        /// Which attempt.
        task: AttemptRef,
    },
}

/// All that a supervisor holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Its job, once it was told.
    pub job: Option<JobId>,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// Waiting for a slot, in order.
    pub queued: Vec<AttemptRef>,
    /// Running.
    pub running: Vec<StartedAttempt>,
    /// Unacknowledged reports, in order.
    pub reports: Vec<Report>,
    /// Attempts that were started and whose ends are among those reports, for the sake of their files.
    pub ended: Vec<StartedAttempt>,
}

/// An attempt whose first process was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartedAttempt {
    /// Which.
    pub task: AttemptRef,
    /// Its first process, which leads its session.
    pub pid: u32,
    /// When the kernel started that process, in clock ticks since boot; 0 if it was gone too soon to be seen.
    pub start_ticks: u64,
    /// When it was started.
    pub start: WallTime,
    /// Its output file, absolute; empty for nowhere.
    pub output: String,
    /// Its error file, absolute; empty for nowhere; the same as `output` when they go together.
    pub error: String,
    /// Whether it truncated its files rather than appended.
    pub truncated: bool,
    /// How long the output file was before it wrote anything.
    pub output_start: u64,
    /// The same of the error file.
    pub error_start: u64,
}

/// Something to be acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its number, from 1, without gaps.
    pub number: u64,
    /// About which attempt.
    pub task: AttemptRef,
    /// What happened.
    pub news: News,
}

/// What a report says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// It has ended; none of its processes is left unless the end says so.
    Ended(Box<End>),
    /// It was not started and never will be.
    Never,
}

/// What a running attempt uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageNow {
    /// Which.
    pub task: AttemptRef,
    /// Processor time so far, in milliseconds.
    pub cpu_ms: u64,
    /// Memory now.
    pub memory_bytes: u64,
    /// The most memory so far.
    pub memory_peak_bytes: u64,
}
