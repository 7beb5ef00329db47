//! What changes the order among waiting jobs while nobody touches them: they age, and the standing of those who share
//! an account's share rises and falls. Both shift many jobs at once by the same amount, so none is sorted anew.
//!
//! A job gets older at the same rate as all others until it is as old as counts. So those that still age keep their
//! order among themselves for ever, if what they are worth is written as of their beginning (`priority − age(since)`);
//! and so do those that age no more (`priority + weight`), which fall behind the first at that rate. Jobs wait in *lanes*, one
//! for each standing and for those that age and those that don't, and a lane has an *offset*. Ages are those of the moment of
//! the last [`Ageing`], which the caller sends now and then.

use std::collections::BTreeMap;

use super::note::{Demand, Rank};
use crate::model::time::{Seconds, WallTime};

/// Whose standing counts for a job. 0: nobody's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId(pub u32);

/// How much it counts to have waited, as of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ageing {
    /// What the oldest get added to their priority.
    pub weight: i64,
    /// The age from which on one gets no older. 0 is read as 1 second.
    pub span: Seconds,
    /// The moment: a later one takes the place of this one.
    pub at: WallTime,
}

/// All that the caller has said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standings {
    ageing: Option<Ageing>,
    shares: BTreeMap<ShareId, i64>,
}

impl Ageing {
    /// What that moment is worth: `weight` for each `span` since 1970. By whole seconds, rounded down.
    fn worth(&self, at: WallTime) -> i64 {
        let worth = i128::from(self.weight) * i128::from(at.unix_seconds());
        let worth = worth.div_euclid(i128::from(self.span.0.max(1)));
        i64::try_from(worth).unwrap_or(if worth < 0 { i64::MIN / 4 } else { i64::MAX / 4 })
    }

    /// Whether only the moment is another, and none before.
    pub(crate) fn goes_on_from(&self, old: &Ageing) -> bool {
        (self.weight, self.span) == (old.weight, old.span) && self.at >= old.at
    }
}

impl Standings {
    pub(crate) fn ageing(&self) -> Option<Ageing> {
        self.ageing
    }

    pub(crate) fn set_ageing(&mut self, ageing: Option<Ageing>) {
        self.ageing = ageing;
    }

    /// What somebody's standing adds to the priority of his jobs; true if that is something else than before.
    pub(crate) fn set_share(&mut self, share: ShareId, standing: i64) -> bool {
        self.shares.insert(share, standing) != Some(standing)
    }

    /// From when on a job ages no more; `None`: it never aged.
    pub(crate) fn ripe_at(&self, demand: &Demand) -> Option<WallTime> {
        let ageing = self.ageing?;
        Some(WallTime(demand.ages_from?.unix_seconds().saturating_mul(1_000_000)).plus(ageing.span))
    }

    /// Whether a job does not age, or no more.
    pub(crate) fn is_settled(&self, demand: &Demand) -> bool {
        let Some((ageing, ripe)) = self.ageing.zip(self.ripe_at(demand)) else { return true };
        ripe <= ageing.at
    }

    /// A job's priority within its lane.
    pub(crate) fn within_lane(&self, demand: &Demand, settled: bool) -> i64 {
        let priority = demand.rank.priority;
        match (self.ageing, demand.ages_from) {
            (Some(ageing), Some(_)) if settled => priority.saturating_add(ageing.weight),
            (Some(ageing), Some(from)) => priority.saturating_sub(ageing.worth(from)),
            _ => priority,
        }
    }

    /// What is added to the priority of all in a lane.
    pub(crate) fn offset(&self, share: ShareId, settled: bool) -> i64 {
        let standing = self.shares.get(&share).copied().unwrap_or_default();
        let fallen = self.ageing.filter(|_| settled).map_or(0, |ageing| ageing.worth(ageing.at));
        standing.saturating_sub(fallen)
    }

    /// A job's place in the order now.
    pub(crate) fn rank(&self, demand: &Demand) -> Rank {
        let settled = self.is_settled(demand);
        let priority = self.within_lane(demand, settled).saturating_add(self.offset(demand.share, settled));
        Rank { priority, ..demand.rank }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sched::tests::plain_demand;

    fn at(seconds: i64) -> WallTime {
        WallTime(1_800_000_000_000_000 + seconds * 1_000_000)
    }

    fn ranked(weight: i64, span: u64, now: i64, from: i64, priority: i64) -> i64 {
        let ageing = Ageing { weight, span: Seconds(span), at: at(now) };
        let standings = Standings { ageing: Some(ageing), shares: BTreeMap::new() };
        let mut demand = plain_demand(1);
        (demand.ages_from, demand.rank.priority) = (Some(at(from)), priority);
        standings.rank(&demand).priority + ageing.worth(at(now))
    }

    proptest! {
        /// Lanes and offsets come to the same as the formula, to within the one unit by which each age is rounded.
        #[test]
        fn an_age_counts_its_part_of_the_weight(
            weight in 0i64..1 << 37, span in 60u64..100 * 86_400, waited in 0i64..200 * 86_400, priority in -(1i64 << 40)..1 << 40,
        ) {
            let part = (waited as f64 / span as f64).min(1.0) * weight as f64;
            let found = ranked(weight, span, waited, 0, priority) - priority;
            prop_assert!((found as f64 - part).abs() <= 1.0 + part * 1e-15, "{found} for {part}");
        }

        /// Who is worth less at first comes first once he has waited so much longer as the difference takes to be made up.
        #[test]
        fn nobody_is_passed_for_ever(
            weight in 1i64 << 10..1 << 37, span in 60u64..1_000_000, part in 0i64..=1_000, late in 0i64..1_000_000,
        ) {
            let lead = weight / 2 * part / 1_000;
            let behind = (i128::from(lead + 2) * i128::from(span) / i128::from(weight)) as i64 + 1;
            let now = behind + late;
            prop_assert!(ranked(weight, span, now, 0, 0) > ranked(weight, span, now, now, lead));
        }
    }
}
