//! Group commit: changes gather in an open group, what depends on them is held until the log is durable up to it,
//! and the one who feeds it is told when to stop. Pure: no clock, no log; it only keeps the order.

pub mod parts;

use std::collections::VecDeque;

use crate::model::bug::{self, Bug};
use crate::model::ids::Position;

/// The most groups that may be appended and not yet durable.
pub const GROUPS_IN_FLIGHT_MAX: usize = 2;
/// The most bytes that may be appended and not yet durable, the open group included.
pub const BYTES_IN_FLIGHT_MAX: usize = 16 << 20;
/// A group takes no further command at this size.
pub const GROUP_BYTES_MAX: usize = 8 << 20;

/// Changes of type `C` and what waits for them, of type `H`.
#[derive(Debug)]
pub struct Committer<C, H> {
    open: Vec<C>,
    open_bytes: usize,
    next: Position,
    in_flight: VecDeque<(Position, usize)>,
    held: VecDeque<(Position, H)>,
    durable: Position,
}

/// A group that is ready to be appended.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed<C> {
    /// Where it begins in the log.
    pub first: Position,
    /// Its changes, in order, as they stand at this position and those that follow. Never empty.
    pub parts: Vec<Vec<C>>,
}

impl<C> Closed<C> {
    /// Its place in the log: that of its last part. Before that is durable nothing of it is.
    pub fn position(&self) -> Position {
        Position(self.first.0 + self.parts.len().saturating_sub(1) as u64)
    }
}

impl<C, H> Committer<C, H> {
    /// Begins behind `end`, which is durable.
    pub fn new(end: Position) -> Committer<C, H> {
        Committer {
            open: Vec::new(),
            open_bytes: 0,
            next: Position(end.0 + 1),
            in_flight: VecDeque::new(),
            held: VecDeque::new(),
            durable: end,
        }
    }

    /// The position that changes staged now will have, or one before it.
    pub fn position(&self) -> Position {
        self.next
    }

    /// Up to where the log is durable.
    pub fn durable(&self) -> Position {
        self.durable
    }

    /// What something rests on that is decided now: the group that is being filled if it is in there itself or if
    /// anything is, else the one before it.
    pub fn behind(&self, has_changes: bool) -> Position {
        if self.open.is_empty() && !has_changes { Position(self.next.0 - 1) } else { self.next }
    }

    /// Adds the changes of one whole command and what may leave only once they are durable. Something that comes
    /// without changes waits for everything before it: it was computed on that.
    pub fn stage(&mut self, changes: impl IntoIterator<Item = C>, bytes: usize, held: H) {
        let before = self.open.len();
        self.open.extend(changes);
        self.open_bytes += bytes;
        let behind = self.behind(false);
        if bug::is_made(Bug::AnswerEarly) && self.open.len() == before {
            return self.held.push_front((Position(0), held));
        }
        self.held.push_back((behind, held));
    }

    /// Whether more commands may be taken: false while too much is not durable.
    pub fn accepts(&self) -> bool {
        self.undurable_bytes() < BYTES_IN_FLIGHT_MAX && self.open_bytes < GROUP_BYTES_MAX
    }

    /// How many bytes are not durable yet, about, the open group included.
    pub fn undurable_bytes(&self) -> usize {
        self.in_flight.iter().map(|(_, bytes)| bytes).sum::<usize>() + self.open_bytes
    }

    /// Whether [`Committer::close`] would give a group.
    pub fn could_close(&self) -> bool {
        !self.open.is_empty() && self.in_flight.len() < GROUPS_IN_FLIGHT_MAX
    }

    /// Closes the open group, if there is something in it and the log may take one more. `split` makes parts of its changes
    /// and their bytes, one at least.
    pub fn close(&mut self, split: impl FnOnce(Vec<C>, usize) -> Vec<Vec<C>>) -> Option<Closed<C>> {
        if !self.could_close() {
            return None;
        }
        let bytes = std::mem::take(&mut self.open_bytes);
        let closed = Closed { first: self.next, parts: split(std::mem::take(&mut self.open), bytes) };
        self.next = Position(closed.position().0 + 1);
        self.in_flight.push_back((closed.position(), bytes));
        Some(closed)
    }

    /// The log is durable up to `position`, where a group ends.
    pub fn on_durable(&mut self, position: Position) {
        self.durable = self.durable.max(position);
        while self.in_flight.front().is_some_and(|(at, _)| *at <= self.durable) {
            self.in_flight.pop_front();
        }
    }

    /// What may leave now, in the order in which it was staged.
    pub fn release(&mut self) -> Option<H> {
        let early = bug::is_made(Bug::TellEarly);
        if self.held.front().is_some_and(|(behind, _)| early || *behind <= self.durable) {
            return self.held.pop_front().map(|(_, held)| held);
        }
        None
    }

    /// Whether nothing is open, in flight or held.
    pub fn is_idle(&self) -> bool {
        self.open.is_empty() && self.in_flight.is_empty() && self.held.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Stage(u8),
        Close,
        Durable,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![(0u8..4).prop_map(Step::Stage), Just(Step::Close), Just(Step::Durable)];
        prop::collection::vec(step, 0..60)
    }

    proptest! {
        /// Nothing leaves before everything that was staged up to it is durable, nothing is lost, the order stays.
        #[test]
        fn persist_then_tell(steps in steps()) {
            let mut committer: Committer<u32, u32> = Committer::new(Position(7));
            let (mut staged, mut held, mut told) = (0u32, 0u32, Vec::new());
            let mut needs: Vec<u32> = Vec::new();
            let mut flying: VecDeque<Closed<u32>> = VecDeque::new();
            let mut durable_changes = 0u32;
            let finish = [Step::Close, Step::Durable, Step::Durable, Step::Close, Step::Durable, Step::Durable];
            for step in steps.into_iter().chain(finish) {
                match step {
                    Step::Stage(count) => {
                        let changes: Vec<u32> = (staged..staged + u32::from(count)).collect();
                        staged += u32::from(count);
                        needs.push(staged);
                        committer.stage(changes, usize::from(count), held);
                        held += 1;
                    }
                    Step::Close => flying.extend(committer.close(|all, bytes| {
                        // Now and then in several parts.
                        let most = if bytes % 2 == 0 { all.len() } else { 1 };
                        all.chunks(most.max(1)).map(<[u32]>::to_vec).collect()
                    })),
                    Step::Durable => {
                        if let Some(group) = flying.pop_front() {
                            let changes = group.parts.concat();
                            prop_assert_eq!(changes.first().copied(), Some(durable_changes));
                            durable_changes += changes.len() as u32;
                            committer.on_durable(group.position());
                        }
                    }
                }
                prop_assert!(flying.len() <= GROUPS_IN_FLIGHT_MAX);
                while let Some(one) = committer.release() {
                    prop_assert_eq!(one as usize, told.len());
                    prop_assert!(needs[one as usize] <= durable_changes);
                    told.push(one);
                }
            }
            prop_assert_eq!(told.len() as u32, held);
            prop_assert!(committer.is_idle());
        }
    }

    #[test]
    fn back_pressure_at_its_edges() {
        let mut committer: Committer<u8, ()> = Committer::new(Position(0));
        committer.stage([1], GROUP_BYTES_MAX - 1, ());
        assert!(committer.accepts());
        committer.stage([1], 1, ());
        assert!(!committer.accepts());
        assert!(committer.close(|all, _| vec![all]).is_some());
        assert!(committer.accepts());
        committer.stage([1], BYTES_IN_FLIGHT_MAX - GROUP_BYTES_MAX, ());
        assert!(!committer.accepts());
        assert!(committer.close(|all, _| vec![all]).is_some());
        committer.stage([1], 0, ());
        assert!(committer.close(|all, _| vec![all]).is_none(), "two groups are in flight");
        committer.on_durable(Position(1));
        assert!(committer.close(|all, _| vec![all]).is_some());
    }
}
