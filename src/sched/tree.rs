//! Rooms in a fixed order, searchable for the first one that holds a need.

use super::room::Axes;

/// A complete binary tree over leaves; each knot holds whatever any leaf below it holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// From 1: knot k has the children 2k and 2k+1. The leaves are the second half.
    knots: Vec<Axes>,
}

impl Tree {
    pub(crate) fn of(leaves: &[Axes]) -> Tree {
        let width = leaves.len().next_power_of_two().max(1);
        let mut knots = vec![Axes::NOTHING; width];
        knots.extend_from_slice(leaves);
        knots.resize(2 * width, Axes::NOTHING);
        for knot in (1..width).rev() {
            knots[knot] = knots[2 * knot].or(&knots[2 * knot + 1]);
        }
        Tree { knots }
    }

    /// Replaces a leaf.
    pub(crate) fn set(&mut self, leaf: usize, room: Axes) {
        let mut knot = self.knots.len() / 2 + leaf;
        if self.knots.get(knot).is_none_or(|old| *old == room) {
            return;
        }
        self.knots[knot] = room;
        while knot > 1 {
            knot /= 2;
            let joined = self.knots[2 * knot].or(&self.knots[2 * knot + 1]);
            if self.knots[knot] == joined {
                return;
            }
            self.knots[knot] = joined;
        }
    }

    /// What any leaf holds, this holds.
    pub(crate) fn root(&self) -> Axes {
        self.knots.get(1).copied().unwrap_or(Axes::NOTHING)
    }

    /// The first leaf that holds `need` and that `allowed` allows. Counts into `steps` what it looked at.
    pub(crate) fn first(
        &self,
        need: &Axes,
        steps: &mut u64,
        allowed: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let width = self.knots.len() / 2;
        let mut open = vec![1];
        while let Some(knot) = open.pop() {
            *steps += 1;
            if !self.knots.get(knot).is_some_and(|room| room.holds(need)) {
                continue;
            }
            if knot < width {
                open.extend([2 * knot + 1, 2 * knot]);
            } else if allowed(knot - width) {
                return Some(knot - width);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sched::note::MemoryDemand;
    use crate::sched::room::Shape;

    fn axes(cpus: u32, memory: u64) -> Axes {
        let memory = MemoryDemand::Fixed(memory);
        Shape { cpus, memory, tmp_bytes: 0, exclusive: false, span: 0 }.need()
    }

    proptest! {
        #[test]
        fn finds_the_first_leaf(
            start in prop::collection::vec((0u32..9, 0u64..9), 0..40),
            changes in prop::collection::vec((0usize..40, 0u32..9, 0u64..9, 1u32..9, 0u64..9, 0usize..4), 0..60),
        ) {
            let mut leaves: Vec<Axes> = start.iter().map(|(cpus, memory)| axes(*cpus, *memory)).collect();
            let mut tree = Tree::of(&leaves);
            for (leaf, cpus, memory, wanted, bytes, barred) in changes {
                if leaf < leaves.len() {
                    leaves[leaf] = axes(cpus, memory);
                    tree.set(leaf, leaves[leaf]);
                }
                let need = axes(wanted, bytes);
                let allowed = |leaf: usize| leaf % 4 != barred;
                let plain = (0..leaves.len()).find(|leaf| leaves[*leaf].holds(&need) && allowed(*leaf));
                prop_assert_eq!(tree.first(&need, &mut 0, allowed), plain);
            }
        }
    }
}
