//! How a partition chooses who starts next.

use serde::{Deserialize, Serialize};

use super::time::Seconds;

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
    /// By priority, then as they came; conservative backfill.
    PriorityConservative,
    /// As they came; conservative backfill.
    Conservative,
}

/// All of them, by the names that users write.
const NAMES: [(&str, PartitionPolicy); 8] = [
    ("priority-easy", PartitionPolicy::PriorityEasy),
    ("priority-conservative", PartitionPolicy::PriorityConservative),
    ("fcfs", PartitionPolicy::Fcfs),
    ("sjf", PartitionPolicy::Sjf),
    ("easy", PartitionPolicy::Easy),
    ("sjf-easy", PartitionPolicy::SjfEasy),
    ("saf-easy", PartitionPolicy::SafEasy),
    ("conservative", PartitionPolicy::Conservative),
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

    /// What it looks at before it looks at who came first, for a slot of that time limit and so many cpus: lower first.
    pub fn order(self, limit: Option<Seconds>, cpus: u32) -> u64 {
        let seconds = limit.map_or(u64::MAX, |limit| limit.0);
        match self {
            PartitionPolicy::Sjf | PartitionPolicy::SjfEasy => seconds,
            PartitionPolicy::SafEasy => seconds.saturating_mul(u64::from(cpus)),
            PartitionPolicy::PriorityEasy
            | PartitionPolicy::PriorityConservative
            | PartitionPolicy::Fcfs
            | PartitionPolicy::Easy
            | PartitionPolicy::Conservative => 0,
        }
    }

    /// Whether priority and nice value of a job decide.
    pub fn by_priority(self) -> bool {
        matches!(self, PartitionPolicy::PriorityEasy | PartitionPolicy::PriorityConservative)
    }

    /// Whether all that wait have reservations, as far as the scheduler makes them.
    pub fn is_conservative(self) -> bool {
        matches!(self, PartitionPolicy::PriorityConservative | PartitionPolicy::Conservative)
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

    #[test]
    fn what_is_not_limited_comes_last() {
        let order = |policy: PartitionPolicy| {
            [(Some(Seconds(9)), 2), (Some(Seconds(10)), 1), (None, 1)]
                .map(|(limit, cpus)| policy.order(limit, cpus))
        };
        assert_eq!(order(PartitionPolicy::Sjf), [9, 10, u64::MAX]);
        assert_eq!(order(PartitionPolicy::SafEasy), [18, 10, u64::MAX]);
        assert_eq!(order(PartitionPolicy::Conservative), [0; 3]);
    }
}
