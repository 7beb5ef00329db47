//! What the scheduler is told: demands, supplies, and who holds what. By value: the last note of a key counts.

use std::cmp::Ordering;
use std::sync::Arc;

use super::standing::{Ageing, ShareId};
use crate::model::ids::{JobId, NodeId};
use crate::model::resources::Resources;
use crate::model::time::{Seconds, WallTime};

/// A partition as the cluster's tables know it. Its name is in the partition's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionId(pub u16);

/// A change. Telling the same thing twice changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// What a job could still use.
    Job {
        /// The job or array.
        job: JobId,
        /// `None`: nothing any more. While an array still holds slots that refill themselves, it keeps a demand,
        /// with `slots: 0` if it could use no more of them: its rank and limit are needed for those slots.
        demand: Option<Demand>,
    },
    /// What a node offers.
    Node {
        /// The node.
        node: NodeId,
        /// `None`: it is gone.
        supply: Option<Supply>,
    },
    /// What a job holds on a node, all its slots there together. Also the answer to each [`super::Place`].
    Held {
        /// The job or array.
        job: JobId,
        /// The node.
        node: NodeId,
        /// `None`: nothing.
        held: Option<Held>,
    },
    /// What jobs may hold together, whatever nodes they use.
    Cap {
        /// Which bound.
        cap: CapId,
        /// How much; without bounds of its own it is as if it were not there.
        bound: Bound,
    },
    /// How much it counts to have waited, and until when that is reckoned. `None`: nothing.
    Ageing(Option<Ageing>),
    /// What somebody's standing adds to the priority of his jobs. 0 until it is told.
    Share {
        /// Whose.
        share: ShareId,
        /// How much.
        standing: i64,
    },
}

/// A bound that jobs share. What it stands for is the caller's business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapId(pub u32);

/// How much jobs may hold together. `None`: any amount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bound {
    /// Slots.
    pub slots: Option<u64>,
    /// Cpus.
    pub cpus: Option<u64>,
}

/// What a job could still use. The caller resolves users' words into this: partitions exist, the job is
/// neither held nor waiting for a dependency, and no limit forbids it to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Its place in the order.
    pub rank: Rank,
    /// Processors of one slot. At least 1; 0 is read as 1.
    pub cpus: u32,
    /// Memory of one slot.
    pub memory: MemoryDemand,
    /// Temporary disk of one slot.
    pub tmp_bytes: u64,
    /// Each slot wants a node for itself alone, and is charged all of it.
    pub exclusive: bool,
    /// How many more slots could be used now: for an array its pending tasks cut by its `%limit`, else 1.
    pub slots: u32,
    /// Time limit of one task. `None`: unlimited.
    pub limit: Option<Seconds>,
    /// Not eligible before.
    pub begin: Option<WallTime>,
    /// A task must have ended by then, so it must start a limit earlier (an unlimited one: before it).
    pub latest_end: Option<WallTime>,
    /// A task must have started by then.
    pub latest_start: Option<WallTime>,
    /// Any of these partitions; none at all means that no node will do.
    pub partitions: Arc<[PartitionId]>,
    /// Only these nodes. `None`: any.
    pub only: Option<Arc<[NodeId]>>,
    /// None of these nodes.
    pub except: Arc<[NodeId]>,
    /// An array whose slots take the next task by themselves when one has ended.
    pub refills: bool,
    /// Without backfill: it does not start as long as another such job that comes before it and shares a partition with
    /// it is the first of its pool for which there is no room.
    pub strict: bool,
    /// Conservative backfill: it has a reservation of its own when it has to wait, even if it is not the first of its
    /// pool, as far as [`super::PLANNED_MAX`] reaches.
    pub planned: bool,
    /// The bounds that it shares with others. When they change, what it holds is told anew, too.
    pub caps: Arc<[CapId]>,
    /// Since when it ages; `None`: it does not.
    pub ages_from: Option<WallTime>,
    /// Whose standing counts for it.
    pub share: ShareId,
    /// What one slot counts against bounds on cpus at most: `cpus`, or a whole node's if it is exclusive.
    pub counted_cpus: u32,
    /// The version of the caller's record; comes back in each [`super::Place`].
    pub version: u64,
}

/// The order among jobs. Compares less: comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rank {
    /// Higher comes first, whatever else there is.
    pub tier: i32,
    /// Then higher. In a [`Demand`] without what age and standing add to it.
    pub priority: i64,
    /// Then lower: what the policy of the partition looks at; 0 if that is nothing but priority and submission.
    pub order: u64,
    /// Then lower: the order of submission.
    pub submit: u64,
    /// Then lower. Set by the scheduler to the job's own number.
    pub job: JobId,
}

impl Ord for Rank {
    fn cmp(&self, other: &Rank) -> Ordering {
        let mine = (other.tier, other.priority, self.order, self.submit, self.job);
        mine.cmp(&(self.tier, self.priority, other.order, other.submit, other.job))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Memory of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryDemand {
    /// That many bytes.
    Fixed(u64),
    /// The slot's processors' share of the node: cpus × node memory / node cpus, rounded down.
    Share,
    /// All that the node has: nobody else may hold any.
    Whole,
}

/// What a node offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supply {
    /// All that jobs may have of it.
    pub total: Resources,
    /// Up, reachable, and not draining. What is held goes on being held either way.
    pub accepts: bool,
    /// The partitions that it belongs to.
    pub partitions: Vec<PartitionId>,
    /// Lower is used first; then the lower number.
    pub weight: u32,
    /// The version of the caller's record; comes back in each [`super::Place`].
    pub version: u64,
}

/// What a job holds on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Slots, at least 1.
    pub slots: u32,
    /// All of them together. A part of the slots is taken to have that part of it.
    pub charge: Resources,
    /// Nobody else may be on the node.
    pub exclusive: bool,
    /// When they come free at the latest. Slots that are missing here never do; no
    /// more than there are slots. May be coarser than the truth,
    /// but never earlier.
    pub releases: Vec<Release>,
    /// Whether freed slots take the next task by themselves.
    pub refill: Refill,
    /// The bounds against which it counts.
    pub caps: Arc<[CapId]>,
}

/// Some slots that come free together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// The latest end of the task that runs there: its start plus its limit. `None`: unlimited.
    pub end: Option<WallTime>,
    /// How many slots.
    pub slots: u32,
}

/// The right of a job's slots on a node to take the next task by themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refill {
    /// None: a freed slot is gone.
    #[default]
    Never,
    /// Tasks may start there until then.
    Until(WallTime),
    /// As long as there are tasks.
    Always,
}
