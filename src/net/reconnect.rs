//! When to dial again: pure, the randomness is handed in.

use std::time::Duration;

/// The longest first pause.
pub const PAUSE_FIRST: Duration = Duration::from_millis(100);
/// No pause is longer. A controller that is back is found again within this time.
pub const PAUSE_MAX: Duration = Duration::from_secs(4);

/// How long to wait before the next try, after `failures` tries in a row have failed, 1 and up.
///
/// The bound doubles from [`PAUSE_FIRST`] to [`PAUSE_MAX`]; the pause lies evenly between half of it and all of
/// it by `random`, so that ten thousand nodes that lost the controller together do not come back together.
pub fn pause(failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let bound = PAUSE_FIRST.saturating_mul(1 << doublings).min(PAUSE_MAX);
    let half = bound / 2;
    let half_nanos = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX);
    half + Duration::from_nanos(random % half_nanos.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pauses_lie_in_their_bounds(failures: u32, random: u64) {
            let pause = pause(failures, random);
            prop_assert!(pause >= PAUSE_FIRST / 2 && pause <= PAUSE_MAX);
        }
    }

    #[test]
    fn pauses_grow_and_stop_growing() {
        assert_eq!((pause(0, 0), pause(1, 0), pause(2, 0)), (PAUSE_FIRST / 2, PAUSE_FIRST / 2, PAUSE_FIRST));
        assert_eq!(pause(u32::MAX, 0), PAUSE_MAX / 2);
        let half_nanos = u64::try_from((PAUSE_MAX / 2).as_nanos()).unwrap();
        assert_eq!(pause(u32::MAX, half_nanos), PAUSE_MAX);
    }
}
