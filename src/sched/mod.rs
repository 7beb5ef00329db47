//! Decides what starts where: changes in, a plan out. Pure and incremental.
//!
//! Policy: jobs in order of priority, then of submission; first fit over cores, memory and temporary disk on
//! nodes by weight, then number, several jobs a node; EASY backfill on time limits. Jobs that may use the same
//! nodes (same partitions, same `only` list) form a *pool*. The first job of a pool that can't be placed, its
//! *head*, gets a reservation: the node and the time at which it will fit by the latest ends of what runs
//! there. Whatever ranks below may start only if it has ended by then, or fits beside it. If the head
//! waits for something without limit, only what does have one may start on its node. Demands that are *strict* do
//! without backfill: none of them starts while the head of theirs that shares a partition with it waits. Those that are
//! *planned* have reservations behind the head, too (conservative backfill). Bounds that jobs share ([`Bound`]) are
//! kept at any moment; one for which a job waits does not hold up those who don't share it.
//!
//! [`Scheduler`] remembers what it has tried: after a change it looks only at what the change can have helped.
//! [`plan_from_scratch`] is the same policy without any memory, and a property test holds the two equal.

mod cap;
mod estimate;
mod explain;
pub mod explanation;
pub mod makespan;
pub mod note;
mod pass;
pub mod plan;
pub mod policy;
mod pool;
mod queue;
mod rights;
mod room;
pub mod scheduler;
mod standing;
mod tree;
pub mod view;
mod yard;

pub use estimate::{Situation, Start};
pub use explanation::{Condition, Explanation, Reason};
pub use note::{Bound, CapId, Demand, Held, MemoryDemand, Note, PartitionId, Rank, Refill, Release, Supply};
pub use plan::{Place, Plan, Reservation, Right};
pub use pool::PLANNED_MAX;
pub use scheduler::Scheduler;
pub use standing::{Ageing, ShareId};
pub use view::{View, plan_from_scratch};

#[cfg(test)]
mod tests;
