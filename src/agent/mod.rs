//! The node's brain: orders, what supervisors say, and time in; effects out.
//!
//! Pure: no clock, no socket, no file. The shell in `worker` calls the `on_…` methods as things happen and
//! [`Agent::flush`] once at the end of each turn of its loop; what comes back is done in that order. What the agent
//! must not forget is in the [`Record`]s that it has appended, and the contents that it has kept; [`Agent::new`]
//! lives from these again, and from what the supervisors, alive or dead, then say.
//!
//! An attempt is known from its order until the controller has confirmed its end or its tombstone. While it is
//! known it is never started again; afterwards no order for it can pass: an order carries its session, and within a
//! session the controller never repeats an attempt that it has confirmed.

mod brain;
mod contents;
mod effects;
mod jobs;
mod lost;
mod orders;
mod overview;
mod records;
mod reports;
mod supervisors;

/// How long freezing an attempt may take whose lease has run out; what still runs then is killed. Whoever waits for
/// leases to run out waits as much longer.
pub const FREEZE_PATIENCE: crate::model::time::Seconds = crate::model::time::Seconds(5);

#[cfg(test)]
mod tests;

pub use brain::{Agent, FINISH_LINGER_MICROS, Facts};
pub use contents::{IDLE_JOBS_MAX, MISSING_CONTENT};
pub use effects::{Effect, Notice, Remains, Said, SupervisorId, Tell};
pub use orders::ORDER_TASKS_MAX;
pub use overview::JobOverview;
pub use records::{Record, Try, runs_of, tries_of};
pub use reports::REPORT_BYTES_MAX;
pub use supervisors::{GIVEN_MAX, SUPERVISOR_TRIES_MAX};
