//! How priorities are worked out: Slurm's multifactor plugin, in its terms.

use serde::{Deserialize, Serialize};

use super::time::{Seconds, WallTime};

/// What the scheduler reckons with for one point of priority, so that ages and standings tell more than whole points apart.
pub const UNITS_PER_POINT: i64 = 1_024;
/// The largest weight of a factor, in points.
pub const WEIGHT_MAX: u32 = 100_000_000;
/// The shortest age that counts in full, and the shortest half-life.
pub const SPAN_MIN: Seconds = Seconds(60);
/// The longest of them, and the longest time between two looks at ages and standings.
pub const SPAN_MAX: Seconds = Seconds(100 * 366 * 86_400);

/// The factors' weights, and what two of them are measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriorityRecord {
    /// After that time use counts half; `None`: it counts for ever.
    pub half_life: Option<Seconds>,
    /// How often ages and standings are reckoned anew.
    pub period: Seconds,
    /// The age that counts in full.
    pub age_max: Seconds,
    /// Points for the oldest.
    pub age: u32,
    /// Points for those who have used least of their shares.
    pub fair_share: u32,
    /// Points for a job as large as the cluster.
    pub size: u32,
    /// Points in the partition of the highest priority. 0: partitions come one after the other.
    pub partition: u32,
    /// Points with the quality of service of the highest priority. 0: its priority is added as it is.
    pub qos: u32,
    /// Small jobs get the points for size.
    pub favour_small: bool,
}

impl Default for PriorityRecord {
    fn default() -> PriorityRecord {
        PriorityRecord {
            half_life: Some(Seconds(7 * 86_400)),
            period: Seconds(60),
            age_max: Seconds(7 * 86_400),
            age: 0,
            fair_share: 0,
            size: 0,
            partition: 0,
            qos: 0,
            favour_small: false,
        }
    }
}

impl PriorityRecord {
    /// Whether priorities change while nobody touches the jobs.
    pub fn moves(&self) -> bool {
        self.age > 0 || self.fair_share > 0
    }
}

/// What somebody has used of the cluster, as it counted at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecayedUse {
    /// Cpus times seconds, the bits of a double.
    bits: u64,
    /// When.
    pub at: WallTime,
}

impl DecayedUse {
    /// So many cpu seconds at that moment.
    pub fn new(cpu_seconds: f64, at: WallTime) -> DecayedUse {
        DecayedUse { bits: cpu_seconds.to_bits(), at }
    }

    /// As it is stored.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.bits) << 64 | u128::from(self.at.0 as u64)).to_be_bytes()
    }

    /// From what was stored.
    pub fn from_bytes(bytes: [u8; 16]) -> DecayedUse {
        let both = u128::from_be_bytes(bytes);
        DecayedUse { bits: (both >> 64) as u64, at: WallTime(both as u64 as i64) }
    }

    /// Cpus times seconds.
    pub fn cpu_seconds(self) -> f64 {
        f64::from_bits(self.bits)
    }

    /// The same at a later moment, when thousandths of a cpu were used all the time between: what was used `t` ago counts
    /// `2^(−t / half-life)`, so a steady rate of `r` comes to `r · h / ln 2 · (1 − 2^(−t/h))`. A clock that went back
    /// changes nothing.
    #[must_use]
    pub fn later(self, at: WallTime, milli_cpus: u64, half_life: Option<Seconds>) -> DecayedUse {
        let seconds = at.micros_since(self.at) as f64 / 1e6;
        if seconds <= 0.0 {
            return self;
        }
        let rate = milli_cpus as f64 / 1e3;
        let used = match half_life {
            None => self.cpu_seconds() + rate * seconds,
            Some(half_life) => {
                let per_second = std::f64::consts::LN_2 / half_life.0.max(1) as f64;
                // 1 − e^(−x), without losing the digits of small ones.
                let gone = -(-per_second * seconds).exp_m1();
                self.cpu_seconds() * (-per_second * seconds).exp() + rate / per_second * gone
            }
        };
        DecayedUse::new(used, at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However often it is reckoned in between, it comes to the sum over all that was held.
        #[test]
        fn decayed_use_is_the_closed_form(
            half_life in prop_oneof![1 => Just(None), 5 => (60u64..10_000_000).prop_map(Some)],
            holdings in prop::collection::vec((0i64..3_000_000, 1i64..3_000_000, 1u64..1_000_000), 1..20),
        ) {
            let end = 6_000_000;
            let mut moments: Vec<i64> =
                holdings.iter().flat_map(|(from, span, _)| [*from, from + span]).chain([end]).collect();
            moments.sort_unstable();
            let at = |seconds: i64| WallTime(1_800_000_000_000_000 + seconds * 1_000_000);
            let mut used = DecayedUse::new(0.0, at(0));
            for moment in moments {
                // What is held from the last moment up to this one.
                let last = (used.at.0 - at(0).0) / 1_000_000;
                let held = holdings.iter().filter(|(from, span, _)| *from <= last && last < from + span);
                let rate = held.map(|(_, _, milli)| milli).sum();
                used = used.later(at(moment), rate, half_life.map(Seconds));
            }
            let closed: f64 = holdings.iter().map(|(from, span, milli)| {
                let rate = *milli as f64 / 1e3;
                match half_life {
                    None => rate * *span as f64,
                    Some(h) => {
                        let h = h as f64;
                        let left = (-((end - from - span) as f64) / h).exp2();
                        rate * h / std::f64::consts::LN_2 * left * -(-(*span as f64) / h * std::f64::consts::LN_2).exp_m1()
                    }
                }
            }).sum();
            let found = used.cpu_seconds();
            prop_assert!((found - closed).abs() <= 1e-9 * closed.abs().max(1e-290), "{found} for {closed}");
        }
    }

    #[test]
    fn use_is_stored_bit_by_bit_and_stays_when_the_clock_goes_back() {
        let used = DecayedUse::new(0.1 + 0.2, WallTime(-7));
        assert_eq!(DecayedUse::from_bytes(used.to_bytes()), used);
        assert_eq!(used.later(WallTime(-8), 5, None), used);
        assert_eq!(
            used.later(WallTime(999_993), 2_000, None),
            DecayedUse::new(0.1 + 0.2 + 2.0, WallTime(999_993))
        );
    }
}
