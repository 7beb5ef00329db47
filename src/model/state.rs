//! What a job or task can be, and why it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::{Attempt, NodeId};
use super::time::WallTime;

/// The state of a task. Everything from `Completed` on is an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum State {
    /// Waits, with reasons.
    Pending = 0,
    /// Waits until its owner or an admin releases it.
    Held = 1,
    /// An order is on its way to a node.
    Starting = 2,
    /// Its first process was seen.
    Running = 3,
    /// Stopped for a while; keeps its memory.
    Suspended = 4,
    /// Its node is silent. This is no end.
    Unreachable = 5,
    /// Its processes are being ended or its end is being recorded.
    Completing = 6,
    /// Exit code 0.
    Completed = 7,
    /// Another exit code, or a signal of its own.
    Failed = 8,
    /// By its owner or an operator.
    Cancelled = 9,
    /// Its time limit.
    Timeout = 10,
    /// Its memory limit.
    OutOfMemory = 11,
    /// Its node, its supervisor or its launch was lost.
    NodeFail = 12,
    /// Had to give way.
    Preempted = 13,
    /// Could not run before its deadline.
    Deadline = 14,
    /// What it depends on ended otherwise than asked.
    DependencyFailed = 15,
}

impl State {
    /// All states in the order of their numbers.
    pub const ALL: [State; 16] = [
        State::Pending,
        State::Held,
        State::Starting,
        State::Running,
        State::Suspended,
        State::Unreachable,
        State::Completing,
        State::Completed,
        State::Failed,
        State::Cancelled,
        State::Timeout,
        State::OutOfMemory,
        State::NodeFail,
        State::Preempted,
        State::Deadline,
        State::DependencyFailed,
    ];

    /// Whether nothing more comes, short of a requeue.
    pub fn is_end(self) -> bool {
        self >= State::Completed
    }

    /// Whether an attempt holds resources: from the order until the end.
    pub fn is_live(self) -> bool {
        self >= State::Starting && self < State::Completed
    }

    /// Whether it is an end that its user would want to look at: every end but completed and cancelled.
    pub fn is_bad(self) -> bool {
        self.is_end() && self != State::Completed && self != State::Cancelled
    }

    /// The state of that number, if there is one.
    pub fn from_number(number: u8) -> Option<State> {
        State::ALL.get(usize::from(number)).copied()
    }

    /// Slurm's two-letter code, with `UR` unreachable and `DF` dependency failed. Held shows as `PD`.
    pub fn code(self) -> &'static str {
        match self {
            State::Pending | State::Held => "PD",
            State::Starting => "CF",
            State::Running => "R",
            State::Suspended => "S",
            State::Unreachable => "UR",
            State::Completing => "CG",
            State::Completed => "CD",
            State::Failed => "F",
            State::Cancelled => "CA",
            State::Timeout => "TO",
            State::OutOfMemory => "OOM",
            State::NodeFail => "NF",
            State::Preempted => "PR",
            State::Deadline => "DL",
            State::DependencyFailed => "DF",
        }
    }

    /// Lower snake case, as JSON shows it.
    pub fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Held => "held",
            State::Starting => "starting",
            State::Running => "running",
            State::Suspended => "suspended",
            State::Unreachable => "unreachable",
            State::Completing => "completing",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Cancelled => "cancelled",
            State::Timeout => "timeout",
            State::OutOfMemory => "out_of_memory",
            State::NodeFail => "node_fail",
            State::Preempted => "preempted",
            State::Deadline => "deadline",
            State::DependencyFailed => "dependency_failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What ended an attempt, or kept it from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum CauseKind {
    /// It exited by itself.
    Exit = 0,
    /// A signal that was not ours.
    Signal = 1,
    /// Its time limit.
    TimeLimit = 2,
    /// Its memory limit.
    Memory = 3,
    /// A cancel.
    Cancel = 4,
    /// It had to give way.
    Preempt = 5,
    /// Its node was lost.
    Node = 6,
    /// It could not be started.
    Launch = 7,
    /// A dependency.
    Dependency = 8,
    /// A deadline.
    Deadline = 9,
    /// Its supervisor was lost.
    Supervisor = 10,
}

impl CauseKind {
    /// All kinds in the order of their numbers.
    pub const ALL: [CauseKind; 11] = [
        CauseKind::Exit,
        CauseKind::Signal,
        CauseKind::TimeLimit,
        CauseKind::Memory,
        CauseKind::Cancel,
        CauseKind::Preempt,
        CauseKind::Node,
        CauseKind::Launch,
        CauseKind::Dependency,
        CauseKind::Deadline,
        CauseKind::Supervisor,
    ];

    /// Lower snake case, as JSON shows it.
    pub fn word(self) -> &'static str {
        match self {
            CauseKind::Exit => "exit",
            CauseKind::Signal => "signal",
            CauseKind::TimeLimit => "time_limit",
            CauseKind::Memory => "memory",
            CauseKind::Cancel => "cancel",
            CauseKind::Preempt => "preempt",
            CauseKind::Node => "node",
            CauseKind::Launch => "launch",
            CauseKind::Dependency => "dependency",
            CauseKind::Deadline => "deadline",
            CauseKind::Supervisor => "supervisor",
        }
    }
}

/// Who or what ended an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The kind.
    pub kind: CauseKind,
    /// The user who asked for it; empty if nobody did.
    pub by: String,
    /// One sentence more, where there is something to say; else empty.
    pub text: String,
}

impl Cause {
    /// A cause that nobody asked for and that needs no words.
    pub fn plain(kind: CauseKind) -> Cause {
        Cause { kind, by: String::new(), text: String::new() }
    }

    /// A cause with a sentence.
    pub fn said(kind: CauseKind, text: impl Into<String>) -> Cause {
        Cause { kind, by: String::new(), text: text.into() }
    }
}

/// What an attempt used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of all its processes, user and system, in milliseconds.
    pub cpu_ms: u64,
    /// The most memory it held at once. 0 where it could not be measured.
    pub memory_peak_bytes: u64,
}

/// How an attempt ended. Recorded exactly once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// An end state.
    pub state: State,
    /// The exit code of its first process, 0 when a signal ended it or when it never ran.
    pub exit_code: u8,
    /// The signal that ended its first process, 0 if none.
    pub signal: u8,
    /// Who or what.
    pub cause: Cause,
    /// Where it ran, if it was given to a node at all.
    pub node: Option<NodeId>,
    /// When its first process was started, if it was.
    pub start: Option<WallTime>,
    /// When the end was seen.
    pub end: WallTime,
    /// What it used.
    pub usage: Usage,
    /// Which try it was; 0 if none was made.
    pub attempt: Attempt,
}
