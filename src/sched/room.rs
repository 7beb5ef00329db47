//! What a slot needs and what a node has left, both as points on the same axes, so that "fits" is one comparison.

use crate::model::resources::Resources;
use crate::model::time::{Seconds, WallTime};

use super::note::{Demand, MemoryDemand};

/// Later than every other time: what has no limit ends then.
pub(crate) const FAR: WallTime = WallTime(i64::MAX);
/// The span of a task without limit, in microseconds.
pub(crate) const UNLIMITED: u64 = u64::MAX;

const AXES: usize = 6;
const CPUS: usize = 0;
const MEMORY: usize = 1;
const TMP: usize = 2;
/// Processors that still find their share of memory.
const SHARE: usize = 3;
/// Processors, while nobody holds memory.
const WHOLE: usize = 4;
/// Processors, while nobody is there at all.
const EMPTY: usize = 5;

/// A need or a room. A need fits into a room if it is no larger on any axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Axes([u64; AXES]);

impl Axes {
    /// A room into which nothing fits, since every need has a processor.
    pub(crate) const NOTHING: Axes = Axes([0; AXES]);
    /// A need that fits nowhere.
    pub(crate) const ALL: Axes = Axes([u64::MAX; AXES]);

    pub(crate) fn holds(&self, need: &Axes) -> bool {
        self.0.iter().zip(&need.0).all(|(room, need)| need <= room)
    }

    /// Whether the two agree on some axis.
    pub(crate) fn touches(&self, other: &Axes) -> bool {
        self.0.iter().zip(&other.0).any(|(one, other)| one == other)
    }

    /// A room that holds whatever one of the two holds.
    pub(crate) fn or(&self, other: &Axes) -> Axes {
        Axes(std::array::from_fn(|axis| self.0[axis].max(other.0[axis])))
    }

    /// What fits into both of two rooms fits into this one; or a need that is no larger than either of two.
    pub(crate) fn and(&self, other: &Axes) -> Axes {
        Axes(std::array::from_fn(|axis| self.0[axis].min(other.0[axis])))
    }
}

/// What one slot asks for, without the question where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) cpus: u32,
    pub(crate) memory: MemoryDemand,
    pub(crate) tmp_bytes: u64,
    pub(crate) exclusive: bool,
    /// The longest that one task may take, in microseconds, or `UNLIMITED`.
    pub(crate) span: u64,
}

impl Shape {
    pub(crate) fn of(demand: &Demand) -> Shape {
        Shape {
            cpus: demand.cpus.max(1),
            memory: demand.memory,
            tmp_bytes: demand.tmp_bytes,
            exclusive: demand.exclusive,
            span: demand.limit.map_or(UNLIMITED, Seconds::micros),
        }
    }

    pub(crate) fn need(&self) -> Axes {
        let cpus = u64::from(self.cpus);
        let mut axes = [0; AXES];
        axes[CPUS] = cpus;
        axes[TMP] = self.tmp_bytes;
        match self.memory {
            MemoryDemand::Fixed(bytes) => axes[MEMORY] = bytes,
            MemoryDemand::Share => axes[SHARE] = cpus,
            MemoryDemand::Whole => axes[WHOLE] = cpus,
        }
        if self.exclusive {
            axes[EMPTY] = cpus;
        }
        Axes(axes)
    }

    /// What one slot is charged on a node that has `total`.
    pub(crate) fn charge(&self, total: &Resources) -> Resources {
        if self.exclusive {
            return *total;
        }
        let memory_bytes = match self.memory {
            MemoryDemand::Fixed(bytes) => bytes,
            MemoryDemand::Share => share(self.cpus, total),
            MemoryDemand::Whole => total.memory_bytes,
        };
        Resources { cpus: self.cpus, memory_bytes, tmp_bytes: self.tmp_bytes }
    }

    /// When a task that starts at `start` has ended at the latest.
    pub(crate) fn end(&self, start: WallTime) -> WallTime {
        if self.span == UNLIMITED { FAR } else { later(start, self.span) }
    }
}

/// `span` microseconds after `start`; saturates.
pub(crate) fn later(start: WallTime, span: u64) -> WallTime {
    WallTime(start.0.saturating_add(i64::try_from(span).unwrap_or(i64::MAX)))
}

/// `span` microseconds before `end`; saturates.
pub(crate) fn earlier(end: WallTime, span: u64) -> WallTime {
    WallTime(end.0.saturating_sub(i64::try_from(span).unwrap_or(i64::MAX)))
}

/// Who is on a node, at some time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// What they hold together. May be more than the node has: it can shrink under its jobs.
    pub(crate) used: Resources,
    /// Slots held.
    pub(crate) tenants: u32,
    /// Of these, such as want to be alone.
    pub(crate) loners: u32,
}

impl Room {
    pub(crate) fn enter(&mut self, charge: &Resources, slots: u32, exclusive: bool) {
        self.used = self.used.plus(charge);
        self.tenants = self.tenants.saturating_add(slots);
        self.loners = self.loners.saturating_add(if exclusive { slots } else { 0 });
    }

    pub(crate) fn leave(&mut self, charge: &Resources, slots: u32, exclusive: bool) {
        self.used = self.used.minus(charge);
        self.tenants = self.tenants.saturating_sub(slots);
        self.loners = self.loners.saturating_sub(if exclusive { slots } else { 0 });
    }

    /// What is left of `total`.
    pub(crate) fn axes(&self, total: &Resources) -> Axes {
        if self.loners > 0 {
            return Axes::NOTHING;
        }
        let free = total.minus(&self.used);
        let cpus = u64::from(free.cpus);
        let mut axes = [0; AXES];
        axes[CPUS] = cpus;
        axes[MEMORY] = free.memory_bytes;
        axes[TMP] = free.tmp_bytes;
        axes[SHARE] = cpus.min(sharers(free.memory_bytes, total));
        axes[WHOLE] = if free.memory_bytes == total.memory_bytes { cpus } else { 0 };
        axes[EMPTY] = if self.tenants == 0 { cpus } else { 0 };
        Axes(axes)
    }

    /// How many slots of `shape` fit into what is left of `total`.
    pub(crate) fn count(&self, shape: &Shape, total: &Resources) -> u32 {
        if !self.axes(total).holds(&shape.need()) {
            return 0;
        }
        let most = if shape.exclusive { 1 } else { u32::MAX };
        total.minus(&self.used).fits(&shape.charge(total)).min(most)
    }
}

fn share(cpus: u32, total: &Resources) -> u64 {
    let bytes = u128::from(cpus) * u128::from(total.memory_bytes) / u128::from(total.cpus.max(1));
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// The most processors whose share of memory is no more than `free_bytes`.
fn sharers(free_bytes: u64, total: &Resources) -> u64 {
    if total.memory_bytes == 0 {
        return u64::MAX;
    }
    // share(c) <= free  <=>  c × memory < (free + 1) × cpus, since shares are rounded down.
    let bound = (u128::from(free_bytes) + 1) * u128::from(total.cpus.max(1));
    u64::try_from((bound - 1) / u128::from(total.memory_bytes)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn axes_say_the_same_as_the_charges(
            total in (1u32..6, 0u64..20, 0u64..4), used in (0u32..7, 0u64..22, 0u64..4),
            cpus in 1u32..6, memory in 0u64..24, tmp_bytes in 0u64..4,
        ) {
            let bundle = |(cpus, memory_bytes, tmp_bytes)| Resources { cpus, memory_bytes, tmp_bytes };
            let (total, used) = (bundle(total), bundle(used));
            let room = Room { used, tenants: 1, loners: 0 };
            let memory = match memory {
                22 => MemoryDemand::Whole,
                23 => MemoryDemand::Share,
                bytes => MemoryDemand::Fixed(bytes),
            };
            let shape = Shape { cpus, memory, tmp_bytes, exclusive: false, span: UNLIMITED };
            let free = total.minus(&used);
            let by_charge = free.fits(&shape.charge(&total)) > 0;
            let untouched = free.memory_bytes == total.memory_bytes;
            let wanted = by_charge && (memory != MemoryDemand::Whole || untouched);
            prop_assert_eq!(room.axes(&total).holds(&shape.need()), wanted);
        }
    }
}
