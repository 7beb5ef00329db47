//! How long jobs have waited, kept so that a quantile is always at hand.

/// Bins: each holds waits that differ by about a fortieth; together they reach beyond a thousand years.
const BINS: usize = 1_024;

/// Bins for each factor of e.
const BINS_PER_E: f64 = 40.0;

/// The part of the waits that lies at or below the quantile.
const QUANTILE: f64 = 0.99;

/// Waits that have come, by size.
#[derive(Clone, Debug)]
pub struct Waits {
    bins: Vec<u64>,
    count: u64,
    /// Where the quantile was found last, and how many waits lie in the bins before it.
    at: usize,
    before: u64,
}

impl Waits {
    /// None yet.
    pub fn new() -> Waits {
        Waits { bins: vec![0; BINS], count: 0, at: 0, before: 0 }
    }

    /// A job has waited for so many seconds.
    pub fn add(&mut self, seconds: i64) {
        let bin = bin_of(seconds);
        if let Some(waits) = self.bins.get_mut(bin) {
            *waits += 1;
        }
        self.count += 1;
        self.before += u64::from(bin < self.at);
    }

    /// What 99 of 100 waits did not exceed, in seconds and about; 0 if there are none.
    pub fn quantile(&mut self) -> f64 {
        let target = (QUANTILE * self.count as f64) as u64;
        while let Some(here) = self.bins.get(self.at).filter(|here| self.before + **here <= target) {
            if self.at + 1 == BINS {
                break;
            }
            self.before += here;
            self.at += 1;
        }
        while self.before > target {
            let Some(below) = self.at.checked_sub(1) else { break };
            self.at = below;
            self.before -= self.bins.get(below).copied().unwrap_or(0);
        }
        if self.count == 0 || self.at == 0 { 0.0 } else { (self.at as f64 / BINS_PER_E).exp() }
    }
}

fn bin_of(seconds: i64) -> usize {
    if seconds <= 0 { 0 } else { (((seconds as f64).ln() * BINS_PER_E) as usize + 1).min(BINS - 1) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_quantile_is_near_that_of_the_sorted_list(waits in proptest::collection::vec(0_i64..100_000, 1..400)) {
            let mut kept = Waits::new();
            let mut sorted = Vec::new();
            for wait in waits {
                kept.add(wait);
                sorted.push(wait);
                sorted.sort_unstable();
                let exact = sorted[((QUANTILE * sorted.len() as f64) as usize).min(sorted.len() - 1)] as f64;
                let found = kept.quantile();
                prop_assert!(found >= exact && found <= exact * 1.03 + 1.1, "{found} for {exact}");
            }
        }
    }

    #[test]
    fn of_nothing_it_is_nothing() {
        assert!(Waits::new().quantile().abs() < f64::EPSILON);
        let mut long = Waits::new();
        long.add(i64::MAX);
        assert!(long.quantile() > 1e10);
    }
}
