//! What goes out of the agent, and what supervisors say to it.

use std::sync::Arc;

use super::records::{Record, Try};
use crate::model::ids::{ContentHash, JobId};
use crate::model::state::End;
use crate::model::time::{BootTime, TimeLimit, WallTime};
use crate::wire::node::{Content, JobBody, KillReason, OrderRefused, Report, TaskRun};

/// A supervisor on this node, numbered within the spool; numbers of one spool are never used twice at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SupervisorId(pub u64);

impl std::fmt::Display for SupervisorId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Something for the shell to do. A list of them is carried out in its order, each before the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write a content into the spool. Its hash was checked.
    Keep(Content),
    /// Append to the log; records that [`Record::must_sync`] are synced as well. If it fails, nothing that follows
    /// may be done: the daemon ends.
    Append(Vec<Record>),
    /// Remove a content from the spool.
    Drop(ContentHash),
    /// Start a supervisor for a job.
    Start {
        /// Its number.
        supervisor: SupervisorId,
        /// For which job.
        job: JobId,
        /// What it has to know of it.
        body: Arc<JobBody>,
    },
    /// Say something to a supervisor; if it cannot be said, drop it: the loss of the supervisor will be noticed.
    Tell {
        /// To whom.
        supervisor: SupervisorId,
        /// Of which job.
        job: JobId,
        /// What.
        what: Tell,
    },
    /// End whatever a dead supervisor's attempts have left running, then call `on_leftovers_ended`.
    EndLeftovers {
        /// Whose.
        supervisor: SupervisorId,
        /// Of which job.
        job: JobId,
    },
    /// Nothing of that supervisor is needed any more: its folder can go.
    Remove {
        /// Which.
        supervisor: SupervisorId,
        /// Of which job.
        job: JobId,
    },
    /// Send a report.
    Report(Report),
    /// Send a refusal.
    Refuse(OrderRefused),
    /// Send a beat of that number, with the node's load and clock.
    Beat(u64),
}

/// What is said to a supervisor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tell {
    /// Run these, at most `slots` of all at once.
    Run {
        /// Which.
        attempts: Vec<TaskRun>,
        /// Of which of their tasks how many earlier attempts never started; others: none.
        unstarted: Vec<(Try, u32)>,
        /// From now on.
        slots: u32,
        /// Not to be started later; what is left then will never start.
        not_after: Option<WallTime>,
    },
    /// Run so many at once from now on.
    Slots(u32),
    /// Give back what has not started: answered by a [`Notice`] or by [`Said::Kept`].
    Withdraw(Vec<TaskRun>),
    /// End these: TERM, then KILL.
    Kill {
        /// Which.
        attempts: Vec<TaskRun>,
        /// Why.
        reason: KillReason,
    },
    /// Send a signal.
    Signal {
        /// To which.
        attempts: Vec<TaskRun>,
        /// Its number.
        signal: u8,
        /// To the batch shell alone.
        batch_only: bool,
    },
    /// Stop, or go on.
    Suspend {
        /// Which.
        attempts: Vec<TaskRun>,
        /// True: stop.
        stop: bool,
    },
    /// The notices up to that number are safe; they may be forgotten.
    Acknowledge(u64),
    /// Exit; there is nothing left to do.
    Finish,
    /// How long tasks may run, running ones too.
    Limit(TimeLimit),
    /// When there was contact last: leases count from there.
    Contact(BootTime),
}

/// What a supervisor says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// The first on every connection: all that it holds.
    Ready {
        /// Not started.
        held: Vec<Try>,
        /// Running.
        started: Vec<(Try, WallTime)>,
        /// Not acknowledged.
        notices: Vec<Notice>,
    },
    /// These have started.
    Started(Vec<(Try, WallTime)>),
    /// Something to be acknowledged.
    Notices(Vec<Notice>),
    /// These were wanted back, but had started.
    Kept(Vec<Try>),
}

/// What a supervisor repeats until it is acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Counted by the supervisor, from 1.
    pub number: u64,
    /// Of which attempt.
    pub which: Try,
    /// Its end; `None`: it was not started and never will be.
    pub end: Option<Box<End>>,
}

/// What the records of a dead supervisor say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// It was about to start them.
    pub intents: Vec<Try>,
    /// It has started them.
    pub started: Vec<(Try, WallTime)>,
    /// They have ended.
    pub ended: Vec<(Try, End)>,
}
