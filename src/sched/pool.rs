//! Jobs that may use the same nodes, and these nodes in the order in which they are tried.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::ids::NodeId;
use crate::model::time::WallTime;

use super::note::{CapId, Demand, PartitionId, Rank};
use super::queue::{Queue, Row};
use super::room::{Axes, Shape};
use super::standing::{ShareId, Standings};
use super::tree::Tree;
use super::yard::Yard;

/// So many jobs of a pool have reservations at once under conservative backfill. Those behind them start only beside
/// all of these.
pub const PLANNED_MAX: usize = if cfg!(test) { 3 } else { 100 };

/// What tells pools apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PoolKey {
    /// In order, each once.
    partitions: Vec<PartitionId>,
    /// In order.
    only: Option<Arc<[NodeId]>>,
    /// Its jobs do not overtake.
    pub(crate) strict: bool,
    /// All of its jobs have reservations, not only the head.
    pub(crate) planned: bool,
}

/// A pool. A *leaf* is a place in its order of nodes.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) key: PoolKey,
    /// Jobs with a demand that belong to it, waiting or not.
    pub(crate) users: usize,
    /// Its nodes by weight, then number, as indexes into the scheduler's yards.
    pub(crate) order: Vec<usize>,
    /// What each leaf offers for ever, reservations in force deducted.
    pub(crate) tree: Tree,
    /// All waiting jobs that some node could take when empty. None is empty.
    pub(crate) lanes: BTreeMap<LaneKey, Lane>,
    /// Waiting jobs that no node could take, even empty.
    pub(crate) parked: Queue,
    /// The last head. It stays after its pass, so that the next one need not look at all nodes again.
    pub(crate) head: Option<Head>,
    /// Leaves that changed since `head` was worked out.
    pub(crate) stale: BTreeSet<usize>,
    /// In this pass: leaves that may offer more than in the last.
    pub(crate) gained: BTreeSet<usize>,
    /// In this pass: the head has been found.
    pub(crate) headed: bool,
    /// In this pass: reservations that were made.
    pub(crate) reservations: usize,
}

/// What the jobs of a lane have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LaneKey {
    /// The bounds that they share.
    pub(crate) caps: Arc<[CapId]>,
    /// Whose standing counts for them.
    pub(crate) share: ShareId,
    /// They do not age, or no more.
    pub(crate) settled: bool,
}

/// Waiting jobs of a pool that share the same bounds, and that time shifts by the same amount: ranks in here are without that
/// shift, see [`super::standing`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Lane {
    pub(crate) queue: Queue,
    /// Of the queue: those not tried since they came or changed.
    pub(crate) fresh: BTreeSet<Rank>,
    /// Bounds kept some of them from being tried: what the nodes have gained since says nothing about them.
    pub(crate) unseen: bool,
    /// The same in this pass.
    pub(crate) missed: bool,
}

/// The first job of a pool that can't be placed, and where it will fit first.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) rank: Rank,
    pub(crate) shape: Shape,
    pub(crate) except: Arc<[NodeId]>,
    /// When it is due, and at which leaf.
    pub(crate) best: (WallTime, usize),
}

impl PoolKey {
    pub(crate) fn of(demand: &Demand) -> PoolKey {
        let mut partitions = demand.partitions.to_vec();
        partitions.sort_unstable();
        partitions.dedup();
        let sorted = |only: &Arc<[NodeId]>| {
            let mut only = only.to_vec();
            only.sort_unstable();
            only.dedup();
            only.into()
        };
        PoolKey {
            partitions,
            only: demand.only.as_ref().map(sorted),
            strict: demand.strict,
            planned: demand.planned,
        }
    }

    /// Whether the node is in one of the partitions.
    pub(crate) fn covers(&self, yard: &Yard) -> bool {
        let of_yard = yard.supply.as_ref().map_or(&[][..], |supply| &supply.partitions);
        of_yard.iter().any(|partition| self.partitions.contains(partition))
    }

    /// Whether the pool has that node: it is in one of the partitions and, if there is a list, on the list.
    pub(crate) fn has(&self, yard: &Yard) -> bool {
        self.only.as_ref().is_none_or(|only| only.binary_search(&yard.id).is_ok()) && self.covers(yard)
    }

    /// Whether its jobs have to wait while one of the other pool waits that comes before them.
    pub(crate) fn waits_for(&self, other: &PoolKey) -> bool {
        self.strict
            && other.strict
            && self.partitions.iter().any(|partition| other.partitions.contains(partition))
    }

    /// Whether two pools can have nodes in common.
    pub(crate) fn meets(&self, other: &PoolKey) -> bool {
        let listed = match (&self.only, &other.only) {
            (Some(one), Some(two)) => one.iter().any(|node| two.binary_search(node).is_ok()),
            _ => true,
        };
        listed && self.partitions.iter().any(|partition| other.partitions.contains(partition))
    }
}

impl LaneKey {
    /// A rank within the lane as all others see it.
    pub(crate) fn outside(&self, rank: Rank, standings: &Standings) -> Rank {
        let offset = standings.offset(self.share, self.settled);
        Rank { priority: rank.priority.saturating_add(offset), ..rank }
    }

    /// A rank as all see it, as one within the lane.
    pub(crate) fn inside(&self, rank: Rank, standings: &Standings) -> Rank {
        let offset = standings.offset(self.share, self.settled);
        Rank { priority: rank.priority.saturating_sub(offset), ..rank }
    }
}

impl Pool {
    pub(crate) fn new(key: PoolKey, yards: &[Yard]) -> Pool {
        let mut pool = Pool {
            key,
            users: 0,
            order: Vec::new(),
            tree: Tree::default(),
            lanes: BTreeMap::new(),
            parked: Queue::default(),
            head: None,
            stale: BTreeSet::new(),
            gained: BTreeSet::new(),
            headed: false,
            reservations: 0,
        };
        pool.arrange(yards);
        pool
    }

    /// Takes up its nodes anew.
    pub(crate) fn arrange(&mut self, yards: &[Yard]) {
        let mine = yards.iter().enumerate().filter(|(_, yard)| self.key.has(yard));
        let mut order: Vec<(u32, NodeId, usize)> = mine
            .map(|(at, yard)| (yard.supply.as_ref().map_or(0, |supply| supply.weight), yard.id, at))
            .collect();
        order.sort_unstable();
        self.order = order.into_iter().map(|(_, _, at)| at).collect();
        let leaves: Vec<Axes> = self.order.iter().map(|at| yards[*at].free_axes()).collect();
        self.tree = Tree::of(&leaves);
        self.head = None;
        self.stale.clear();
        self.gained.clear();
    }

    /// Puts a row into the queue of its lane, as one to be tried.
    pub(crate) fn enqueue(&mut self, key: LaneKey, row: Row) {
        let lane = self.lanes.entry(key).or_default();
        lane.queue.insert(row);
        lane.fresh.insert(row.rank);
    }

    /// Takes a row out of the queue.
    pub(crate) fn dequeue(&mut self, key: &LaneKey, rank: Rank) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        lane.queue.remove(rank);
        lane.fresh.remove(&rank);
        if lane.queue.is_empty() {
            self.lanes.remove(key);
        }
    }

    /// Bounds keep some jobs from being tried.
    pub(crate) fn miss(&mut self, key: &LaneKey) {
        if let Some(lane) = self.lanes.get_mut(key) {
            (lane.missed, lane.unseen) = (true, true);
        }
    }

    /// How many waiting jobs come before that rank.
    pub(crate) fn before(&self, rank: Rank, standings: &Standings) -> usize {
        let lanes = self.lanes.iter();
        lanes.map(|(key, lane)| lane.queue.before(key.inside(rank, standings))).sum()
    }

    /// Whether the next that has to wait gets a reservation.
    pub(crate) fn reserves(&self) -> bool {
        !self.headed || (self.key.planned && self.reservations < PLANNED_MAX)
    }

    /// Notes that a leaf offers something else than before.
    pub(crate) fn set_leaf(&mut self, leaf: usize, room: Axes) {
        self.tree.set(leaf, room);
        if self.head.is_some() {
            self.stale.insert(leaf);
        }
    }
}
