//! How a partition chooses who starts next.

use serde::{Deserialize, Serialize};

/// In which order the jobs of a partition stand, and what may overtake the first that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionPolicy {
    /// By priority, then as they came; EASY backfill.
    #[default]
    PriorityEasy,
    /// As they came; nothing overtakes.
    Fcfs,
    /// The shortest time limit first; nothing overtakes.
    Sjf,
    /// As they came; EASY backfill.
    Easy,
    /// The shortest time limit first; EASY backfill.
    SjfEasy,
    /// The smallest area, time limit times cpus, first; EASY backfill.
    SafEasy,
}

/// All of them, by the names that users write.
const NAMES: [(&str, PartitionPolicy); 6] = [
    ("priority-easy", PartitionPolicy::PriorityEasy),
    ("fcfs", PartitionPolicy::Fcfs),
    ("sjf", PartitionPolicy::Sjf),
    ("easy", PartitionPolicy::Easy),
    ("sjf-easy", PartitionPolicy::SjfEasy),
    ("saf-easy", PartitionPolicy::SafEasy),
];

impl PartitionPolicy {
    /// The policy of that name; `fifo` is another name of `fcfs`.
    pub fn named(name: &str) -> Option<PartitionPolicy> {
        let name = if name == "fifo" { "fcfs" } else { name };
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, policy)| *policy)
    }

    /// As users write it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, policy)| *policy == self).map_or("", |(name, _)| name)
    }

    /// All names.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }

    /// Whether priority and nice value of a job decide.
    pub fn by_priority(self) -> bool {
        self == PartitionPolicy::PriorityEasy
    }

    /// Whether nothing may overtake the first that does not fit.
    pub fn is_strict(self) -> bool {
        matches!(self, PartitionPolicy::Fcfs | PartitionPolicy::Sjf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_name() {
        for name in PartitionPolicy::names() {
            assert_eq!(PartitionPolicy::named(name).map(PartitionPolicy::name), Some(name));
        }
        assert_eq!(PartitionPolicy::named("fifo"), Some(PartitionPolicy::Fcfs));
        assert_eq!(PartitionPolicy::named("FCFS"), None);
        assert_eq!(PartitionPolicy::default().name(), "priority-easy");
    }
}
