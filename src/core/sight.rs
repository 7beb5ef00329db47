//! What the controller sees of a node and the log does not decide: whether it is there, and how loaded.

use crate::model::ids::{BootId, Instance, SessionId};
use crate::model::time::{BootTime, WallTime};

/// A node as it is seen now. Not durable: after a restart every node is waited for anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSight {
    /// Its open session.
    pub session: Option<SessionId>,
    /// Which life of it speaks there.
    pub instance: Option<Instance>,
    /// Whether the session's inventory is complete, so that it can be given work.
    pub ready: bool,
    /// When it was heard last, by our boot clock.
    pub heard: BootTime,
    /// When it was heard last, for people.
    pub heard_at: Option<WallTime>,
    /// Silent for longer than the node timeout.
    pub unreachable: bool,
    /// When the next of its attempts may be given up, while it is unreachable.
    pub give_up_at: Option<BootTime>,
    /// Load average of one minute, in hundredths.
    pub load_hundredths: u32,
    /// How far its wall clock is ahead of ours, in microseconds, as of its last beat.
    pub clock_ahead_micros: i64,
    /// It took something for late that was not: its clock was set since. Until its next beat it gets nothing.
    pub clock_unsure: bool,
    /// How many attempts it holds that a restored state does not know.
    pub foreign: u32,
}

impl NodeSight {
    /// Whether it can be given work.
    pub fn takes_work(&self) -> bool {
        self.ready && !self.unreachable && !self.clock_unsure
    }

    /// A moment of our clock as its clock shows it.
    pub fn by_its_clock(&self, at: WallTime) -> WallTime {
        WallTime(at.0.saturating_add(self.clock_ahead_micros))
    }

    /// Its clock as it was said just now.
    pub fn set_clock(&mut self, now: WallTime, its: WallTime) {
        self.clock_ahead_micros = its.0.saturating_sub(now.0);
        self.clock_unsure = false;
    }

    /// The boot that speaks.
    pub fn boot(&self) -> Option<BootId> {
        self.instance.map(|instance| instance.boot)
    }
}
