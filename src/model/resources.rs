//! What a task needs and what a node has.

use serde::{Deserialize, Serialize};

/// A bundle of countable resources. As a request: of one task. As a supply: of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Resources {
    /// Processors, in the cluster's unit (physical cores unless the node counts threads).
    pub cpus: u32,
    /// Main memory.
    pub memory_bytes: u64,
    /// Temporary disk.
    pub tmp_bytes: u64,
}

impl Resources {
    /// How many times `shape` fits into what is left here. A shape that asks for nothing fits `u32::MAX` times.
    pub fn fits(&self, shape: &Resources) -> u32 {
        let cpus = self.cpus.checked_div(shape.cpus).unwrap_or(u32::MAX);
        let memory = times(self.memory_bytes, shape.memory_bytes);
        let tmp = times(self.tmp_bytes, shape.tmp_bytes);
        cpus.min(memory).min(tmp)
    }

    /// This bundle `count` times over; saturates.
    pub fn times(&self, count: u32) -> Resources {
        Resources {
            cpus: self.cpus.saturating_mul(count),
            memory_bytes: self.memory_bytes.saturating_mul(u64::from(count)),
            tmp_bytes: self.tmp_bytes.saturating_mul(u64::from(count)),
        }
    }

    /// Adds; saturates.
    pub fn plus(&self, other: &Resources) -> Resources {
        Resources {
            cpus: self.cpus.saturating_add(other.cpus),
            memory_bytes: self.memory_bytes.saturating_add(other.memory_bytes),
            tmp_bytes: self.tmp_bytes.saturating_add(other.tmp_bytes),
        }
    }

    /// Subtracts; stops at zero, so that a node that shrank under its jobs has nothing left rather than a wrap.
    pub fn minus(&self, other: &Resources) -> Resources {
        Resources {
            cpus: self.cpus.saturating_sub(other.cpus),
            memory_bytes: self.memory_bytes.saturating_sub(other.memory_bytes),
            tmp_bytes: self.tmp_bytes.saturating_sub(other.tmp_bytes),
        }
    }
}

fn times(have: u64, need: u64) -> u32 {
    have.checked_div(need).map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX))
}
