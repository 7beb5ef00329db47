//! Run times as they were: what a user's next job will probably take.

use std::collections::BTreeMap;

/// By how much an estimate that was exceeded grows, one step after the other, in seconds. After the last it becomes
/// the request. From Tsafrir, Etsion, Feitelson (2007), as SEMANTICS names them.
const GROWTH_SECONDS: [i64; 11] =
    [60, 300, 900, 1_800, 3_600, 7_200, 18_000, 36_000, 72_000, 180_000, 360_000];

/// The last two run times of each user.
#[derive(Clone, Debug, Default)]
pub struct LastTwo {
    users: BTreeMap<u64, (i64, Option<i64>)>,
}

impl LastTwo {
    /// A job of the user ended after that many seconds.
    pub fn learn(&mut self, user: u64, ran: i64) {
        let entry = self.users.entry(user);
        entry.and_modify(|(last, before)| (*last, *before) = (ran, Some(*last))).or_insert((ran, None));
    }

    /// What a job of the user will take that asks for `request` seconds: the mean of the last two, at least a second
    /// and at most the request; the request if fewer than two have ended.
    pub fn predict(&self, user: u64, request: i64) -> i64 {
        match self.users.get(&user) {
            Some((last, Some(before))) => request.min(last.midpoint(*before).max(1)),
            _ => request,
        }
    }
}

/// What is expected of a job after `elapsed` seconds if `estimate` was expected at first and it may take `request`:
/// in growing steps.
pub fn grown(estimate: i64, request: i64, elapsed: i64) -> i64 {
    if elapsed < estimate {
        return estimate;
    }
    let steps = GROWTH_SECONDS.iter().map(|step| request.min(estimate.saturating_add(*step)));
    steps.into_iter().find(|grown| elapsed < *grown).unwrap_or(request)
}
