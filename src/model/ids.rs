//! Identifiers. A bare integer never crosses a function boundary: each kind of number is its own type.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number of a job, and of an array as a whole. Counted from 1, never used again.
    JobId(u64)
);
number!(
    /// The position of a task inside its array, from 0. A job that is no array has the one ordinal 0.
    Ordinal(u32)
);
number!(
    /// The index of an array's task as its user writes it: the 4 of `123_4`.
    TaskIndex(u32)
);
number!(
    /// One try at running a task, counted from 1. 0 stands for "never tried".
    Attempt(u32)
);
number!(
    /// A node as the cluster's tables know it. Its name is in the node's record.
    NodeId(u32)
);
number!(
    /// Rises durably each time a controller takes office.
    Epoch(u64)
);
number!(
    /// A place in the log: the number of the last group that is meant. 0 is before the first.
    Position(u64)
);
number!(
    /// A session of one worker connection, unique within an epoch.
    SessionId(u64)
);
number!(
    /// A user's numeric id on the cluster's machines.
    Uid(u32)
);

impl JobId {
    /// The number that Slurm's `SLURM_JOB_ID` carries for a task: an array of n tasks owns n+1
    /// consecutive numbers, its own and then one per task in the order of their indexes.
    pub fn task_number(self, array: bool, ordinal: Ordinal) -> JobId {
        if array { JobId(self.0 + 1 + u64::from(ordinal.0)) } else { self }
    }
}

impl Attempt {
    /// The attempt after this one.
    pub fn next(self) -> Attempt {
        Attempt(self.0.saturating_add(1))
    }
}

/// One task of one job: what is started, ended and reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskRef {
    /// The job or array.
    pub job: JobId,
    /// Which of its tasks.
    pub ordinal: Ordinal,
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

random_id!(
    /// Random, new at `init`, at each restore, and at each repair that gives something up.
    Incarnation
);
random_id!(
    /// Random, made with a worker's spool: another spool is another instance of the node.
    SpoolId
);
random_id!(
    /// The kernel's boot id of a host.
    BootId
);

/// What a node is while nothing was lost: the same spool on the same boot of the same host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Instance {
    /// The worker's spool.
    pub spool: SpoolId,
    /// The host's boot.
    pub boot: BootId,
}

/// BLAKE3 hash of a script, an environment, or other content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// Hashes `bytes`.
    pub fn of(bytes: &[u8]) -> ContentHash {
        ContentHash(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
