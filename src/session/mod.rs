//! The controller's end of a node's session: who speaks, what was sent, what the inventory has said so far. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::bug::{self, Bug};
use crate::model::ids::{Attempt, Instance, JobId, SessionId, TaskRef};
use crate::model::time::WallTime;
use crate::wire::node::Report;

/// The most job bodies that a session is taken to remember.
pub const BODIES_MAX: usize = 100_000;

/// One connection of a node, from its hello on.
#[derive(Clone, Debug)]
pub struct NodeSession {
    /// Its number.
    pub id: SessionId,
    /// Which life of the node speaks.
    pub instance: Instance,
    /// What the inventory has said; taken when it is complete.
    inventory: Option<Inventory>,
    bodies: BTreeSet<JobId>,
    last_report: u64,
}

/// What a node holds, ends aside: those are reports like any other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Held for later.
    pub queued: BTreeSet<(TaskRef, Attempt)>,
    /// Started, and when.
    pub started: BTreeMap<(TaskRef, Attempt), WallTime>,
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unexpected {
    /// It was taken before: only confirm it again.
    Repeated,
    /// Reports are missing in between: the connection is not what it should be.
    Gap,
}

impl NodeSession {
    /// A session that waits for its inventory.
    pub fn new(id: SessionId, instance: Instance) -> NodeSession {
        NodeSession {
            id,
            instance,
            inventory: Some(Inventory::default()),
            bodies: BTreeSet::new(),
            last_report: 0,
        }
    }

    /// Whether the inventory is complete.
    pub fn is_open(&self) -> bool {
        self.inventory.is_none()
    }

    /// Takes a report's number, and its inventory if that is still going on. The complete inventory is returned
    /// once.
    ///
    /// # Errors
    /// [`Unexpected`] for numbers out of order.
    pub fn take(&mut self, report: &Report) -> Result<Option<Inventory>, Unexpected> {
        if report.number <= self.last_report {
            return Err(Unexpected::Repeated);
        }
        if report.number != self.last_report + 1 && !bug::is_made(Bug::TakeGap) {
            return Err(Unexpected::Gap);
        }
        self.last_report = report.number;
        let Some(inventory) = &mut self.inventory else { return Ok(None) };
        inventory.queued.extend(report.queued.iter().map(|one| (one.task, one.attempt)));
        let started = report.started.iter().map(|one| ((one.attempt.task, one.attempt.attempt), one.start));
        inventory.started.extend(started);
        if report.last_of_inventory {
            return Ok(self.inventory.take());
        }
        Ok(None)
    }

    /// Whether this is the session's first launch of that job, so that the body must go with it.
    pub fn first_of(&mut self, job: JobId) -> bool {
        if self.bodies.len() >= BODIES_MAX {
            self.bodies.clear();
        }
        self.bodies.insert(job)
    }

    /// The job's body has changed or will not be needed again: the next launch sends it anew.
    pub fn forget_body(&mut self, job: JobId) {
        self.bodies.remove(&job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(number: u64, last: bool) -> Report {
        Report { number, last_of_inventory: last, ..Report::default() }
    }

    #[test]
    fn reports_come_in_order_and_the_inventory_once() {
        let mut session = NodeSession::new(SessionId(1), Instance::default());
        assert_eq!(session.take(&report(1, false)), Ok(None));
        assert_eq!(session.take(&report(1, false)), Err(Unexpected::Repeated));
        assert_eq!(session.take(&report(3, false)), Err(Unexpected::Gap));
        assert_eq!(session.take(&report(2, true)), Ok(Some(Inventory::default())));
        assert!(session.is_open());
        assert_eq!(session.take(&report(3, true)), Ok(None));
    }

    #[test]
    fn a_body_goes_with_the_first_launch_only() {
        let mut session = NodeSession::new(SessionId(1), Instance::default());
        assert!(session.first_of(JobId(7)));
        assert!(!session.first_of(JobId(7)));
        session.forget_body(JobId(7));
        assert!(session.first_of(JobId(7)));
    }
}
