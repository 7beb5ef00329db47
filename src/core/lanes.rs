//! Who has long work under way, and what waits behind it: the requests of one user keep their order, and all users with
//! long work take turns, a step each.

use std::collections::{BTreeMap, VecDeque};

use super::command::Command;
use super::work::{Lane, Work};
use crate::model::time::BootTime;

/// The long work of everybody; `W` waits for what comes of it.
#[derive(Debug)]
pub struct Lanes<W> {
    lanes: BTreeMap<Lane, OneLane<W>>,
    /// Whose turn is next, each lane once.
    turns: VecDeque<Lane>,
    /// Who has a submission under way: no two at once.
    submitter: Option<Lane>,
}

/// What one user has to wait for.
#[derive(Debug)]
pub struct OneLane<W> {
    /// What is being worked on.
    pub work: Option<Waiting<Work, W>>,
    /// What waits behind it, in order.
    pub behind: VecDeque<Waiting<Command, W>>,
}

/// Something with the one who waits for it.
#[derive(Debug)]
pub struct Waiting<T, W> {
    /// What.
    pub what: T,
    /// Who.
    pub waiter: W,
    /// Since when.
    pub since: BootTime,
}

impl<W> Default for Lanes<W> {
    fn default() -> Lanes<W> {
        Lanes { lanes: BTreeMap::new(), turns: VecDeque::new(), submitter: None }
    }
}

impl<W> Lanes<W> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether something of that user's is under way or waits.
    pub fn has(&self, lane: &Lane) -> bool {
        self.lanes.contains_key(lane)
    }

    /// Puts a command behind what is there of that user's.
    pub fn push(&mut self, lane: Lane, command: Waiting<Command, W>) {
        match self.lanes.get_mut(&lane) {
            Some(one) => one.behind.push_back(command),
            None => {
                let one = OneLane { work: None, behind: VecDeque::from([command]) };
                self.turns.push_back(lane.clone());
                self.lanes.insert(lane, one);
            }
        }
    }

    /// The lane whose turn it is, to be given back with [`Lanes::put_back`].
    pub fn take_turn(&mut self) -> Option<(Lane, OneLane<W>)> {
        let lane = self.turns.pop_front()?;
        let one = self.lanes.remove(&lane)?;
        Some((lane, one))
    }

    /// Gives a lane back: if there is more to do its turn comes again behind all others'.
    pub fn put_back(&mut self, lane: Lane, one: OneLane<W>) {
        let submits = one.work.as_ref().is_some_and(|work| work.what.is_submission());
        if submits {
            self.submitter = Some(lane.clone());
        } else if self.submitter.as_ref() == Some(&lane) {
            self.submitter = None;
        }
        if one.work.is_some() || !one.behind.is_empty() {
            self.turns.push_back(lane.clone());
            self.lanes.insert(lane, one);
        }
    }

    /// Whether somebody has a submission under way.
    pub fn is_submitting(&self) -> bool {
        self.submitter.is_some()
    }

    /// Since when the oldest of all waits: what was known then must still be known.
    pub fn oldest(&self) -> Option<BootTime> {
        let first = |one: &OneLane<W>| {
            let work = one.work.as_ref().map(|work| work.since);
            work.or_else(|| one.behind.front().map(|command| command.since))
        };
        self.lanes.values().filter_map(first).min()
    }
}
