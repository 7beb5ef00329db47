//! The only place of the controller that reads clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::model::time::{BootTime, Now, WallTime};

/// Both clocks, now.
pub fn now() -> Now {
    Now { wall: wall(), boot: boot() }
}

/// The wall clock.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// The boot clock. Where the kernel has none, 0: nothing would ever time out, which is the safe side.
pub fn boot() -> BootTime {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME);
    BootTime(time.map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000
    }))
}
