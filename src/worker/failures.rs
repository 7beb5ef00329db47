//! Pauses before it is said that a user's job can't be run here. The controller tries again at once, here or elsewhere, and
//! a node on which every start fails fast would otherwise be given all there is, thousands of times.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::model::ids::Uid;

/// The pause after a second failure in a row; it doubles with each further one.
pub const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(60);
/// A failure so long ago says nothing any more.
const STALE: Duration = Duration::from_secs(600);

/// Failures in a row, user by user. Clones are the same ones.
#[derive(Clone, Debug, Default)]
pub struct Failures {
    users: Arc<Mutex<BTreeMap<Uid, (u32, Instant)>>>,
}

impl Failures {
    /// A job of that user could not be run; how long to keep that.
    pub fn failed(&self, uid: Uid, now: Instant) -> Duration {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        users.retain(|_, (_, last)| now.saturating_duration_since(*last) < STALE);
        let (count, last) = users.entry(uid).or_insert((0, now));
        (*count, *last) = (count.saturating_add(1), now);
        match count.checked_sub(2) {
            // Whoever makes one mistake hears of it at once.
            None => Duration::ZERO,
            Some(more) => PAUSE.saturating_mul(1 << more.min(16)).min(PAUSE_MAX),
        }
    }

    /// One could be run.
    pub fn worked(&self, uid: Uid) {
        self.users.lock().unwrap_or_else(PoisonError::into_inner).remove(&uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_for_each_user_until_something_works() {
        let (failures, now) = (Failures::default(), Instant::now());
        let pauses: Vec<u64> = (0..40).map(|_| failures.failed(Uid(1), now).as_secs()).collect();
        assert_eq!(pauses[..8], [0, 1, 2, 4, 8, 16, 32, 60]);
        assert!(pauses[8..].iter().all(|pause| *pause == PAUSE_MAX.as_secs()));
        assert_eq!(failures.failed(Uid(2), now), Duration::ZERO);
        failures.worked(Uid(1));
        assert_eq!(failures.failed(Uid(1), now), Duration::ZERO);
        assert_eq!(failures.failed(Uid(1), now + STALE), Duration::ZERO);
    }
}
