//! Why a job waits, in Slurm's words, with the nodes counted.

use crate::model::ids::{JobId, NodeId};
use crate::model::time::WallTime;

/// Why a job waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The one reason that counts most.
    pub reason: Reason,
    /// Every node of its partitions counted once, under the first condition that it fails. Adds up to `nodes`.
    pub conditions: Vec<Condition>,
    /// Nodes of its partitions.
    pub nodes: u32,
    /// Waiting jobs that come before it for the same nodes.
    pub ahead: u32,
    /// Where it will start at the latest, if it has a reservation.
    pub node: Option<NodeId>,
    /// When it will start at the latest, if it has a reservation and what it waits for has time limits.
    pub start: Option<WallTime>,
    /// The job whose reservation keeps it from starting, if there is one.
    pub behind: Option<JobId>,
}

/// Some nodes, and why not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Why.
    pub reason: Reason,
    /// How many nodes.
    pub nodes: u32,
}

/// A reason to wait. The words are Slurm's where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It can start; the next plan will say so.
    None,
    /// The scheduler was told of no such demand.
    NotWaiting,
    /// Its begin time has not come.
    BeginTime,
    /// It can no longer start in time.
    Deadline,
    /// No node is in its partitions.
    NoNodes,
    /// Its node list excludes the node (`--nodelist`, `--exclude`).
    ReqNodes,
    /// The node is down, unreachable or draining.
    ReqNodeNotAvail,
    /// The node as a whole has less than the job asks for.
    PartitionConfig,
    /// Too little is free now.
    Resources,
    /// Something is free, but reserved for a job of higher rank.
    Priority,
    /// A bound that it shares with others leaves it nothing, or is wanted by one before it.
    Limit,
}

impl Reason {
    /// As `jqueue` shows it.
    pub fn word(self) -> &'static str {
        match self {
            Reason::None => "None",
            Reason::NotWaiting => "NotWaiting",
            Reason::BeginTime => "BeginTime",
            Reason::Deadline => "Deadline",
            Reason::NoNodes => "NoNodes",
            Reason::ReqNodes => "ReqNodes",
            Reason::ReqNodeNotAvail => "ReqNodeNotAvail",
            Reason::PartitionConfig => "PartitionConfig",
            Reason::Resources => "Resources",
            Reason::Priority | Reason::Limit => "Priority",
        }
    }
}
