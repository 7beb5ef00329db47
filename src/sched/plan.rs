//! What the scheduler answers: what to start, whose slots to let run dry, and when to ask again.

use crate::model::ids::{JobId, NodeId};
use crate::model::resources::Resources;
use crate::model::time::WallTime;

use super::note::Refill;

/// One answer of [`super::Scheduler::plan`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What starts, in the order in which it was decided. The scheduler counts these as held at once. The
    /// caller answers each of them, applied or dropped, with `Note::Held` and `Note::Job` for its job and node
    /// as they now are: notes go by value, so that settles it.
    pub places: Vec<Place>,
    /// Rights to refill that change: taken back, limited, or given again. Counted as done at once, too;
    /// answered with `Note::Held`.
    pub rights: Vec<Right>,
    /// All reservations as they now stand, by rank of their jobs. Only of a plan that is done.
    pub reservations: Vec<Reservation>,
    /// Call again by then, even if nothing is noted: a begin time or a latest start comes up.
    pub wake: Option<WallTime>,
    /// False: the budget was used up; apply this and call again.
    pub done: bool,
    /// Jobs looked at and nodes tried.
    pub steps: u64,
}

/// Slots for a job on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The job or array.
    pub job: JobId,
    /// The node.
    pub node: NodeId,
    /// How many slots, at least 1; besides those that it holds there already.
    pub slots: u32,
    /// What *one* slot is charged, shares of memory resolved.
    pub charge: Resources,
    /// Whether the slot has the node to itself (then it is charged all of it).
    pub exclusive: bool,
    /// No task may start there later. `None`: whenever. With `Demand::refills` this is also the right to
    /// refill: `Refill::Until` this, or `Refill::Always`.
    pub not_after: Option<WallTime>,
    /// `Demand::version` as it was.
    pub demand_version: u64,
    /// `Supply::version` as it was.
    pub supply_version: u64,
}

/// From now on the job's slots on that node refill so, and no otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// The array.
    pub job: JobId,
    /// The node.
    pub node: NodeId,
    /// `Never`: a job of higher rank waits for what a slot frees. `Until`: one has a reservation here.
    pub refill: Refill,
}

/// Where and when the first waiting job of a pool will start at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The job.
    pub job: JobId,
    /// The node.
    pub node: NodeId,
    /// The latest start. `None`: it waits for something that has no time limit.
    pub start: Option<WallTime>,
}
