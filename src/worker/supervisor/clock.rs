//! The two clocks that a supervisor reads.

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{BootTime, Now, WallTime};

/// Both clocks, now. Limits are counted on the boot clock: it can't be set, and goes on while the host sleeps.
pub fn now() -> Now {
    Now { wall: WallTime(micros(ClockId::CLOCK_REALTIME)), boot: boot() }
}

/// The boot clock, now.
pub fn boot() -> BootTime {
    BootTime(u64::try_from(micros(ClockId::CLOCK_BOOTTIME)).unwrap_or(0))
}

/// Linux has both clocks since long; a clock that can't be read stands at 0.
fn micros(clock: ClockId) -> i64 {
    clock_gettime(clock)
        .map_or(0, |time| time.tv_sec().saturating_mul(1_000_000).saturating_add(time.tv_nsec() / 1_000))
}
