//! Points in time and spans, as the core is given them. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01 UTC, by the wall clock of the host that says it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub i64);

/// Microseconds since the host's boot, suspended time included (CLOCK_BOOTTIME). Never stored durably.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootTime(pub u64);

/// Both clocks, read together: begin times need the one, leases the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// The wall clock.
    pub wall: WallTime,
    /// The boot clock.
    pub boot: BootTime,
}

/// A span in whole seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Seconds(pub u64);

impl Seconds {
    /// The same in microseconds; saturates.
    pub fn micros(self) -> u64 {
        self.0.saturating_mul(1_000_000)
    }
}

impl WallTime {
    /// This many seconds later; saturates.
    pub fn plus(self, span: Seconds) -> WallTime {
        WallTime(self.0.saturating_add(i64::try_from(span.micros()).unwrap_or(i64::MAX)))
    }

    /// Microseconds from `earlier` to here; 0 when the clock went back.
    pub fn micros_since(self, earlier: WallTime) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }

    /// Whole seconds since 1970, rounded down.
    pub fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }
}

impl BootTime {
    /// This many seconds later; saturates.
    pub fn plus(self, span: Seconds) -> BootTime {
        BootTime(self.0.saturating_add(span.micros()))
    }
}

/// A time limit: a span, or none at all (`0` or `UNLIMITED` on the command line).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TimeLimit(pub Option<Seconds>);

impl fmt::Display for TimeLimit {
    /// Slurm's form: `[D-]HH:MM:SS`, or `UNLIMITED`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(span) => write_clock(f, span),
            None => f.write_str("UNLIMITED"),
        }
    }
}

fn write_clock(f: &mut fmt::Formatter<'_>, span: Seconds) -> fmt::Result {
    let (days, rest) = (span.0 / 86_400, span.0 % 86_400);
    if days > 0 {
        write!(f, "{days}-")?;
    }
    write!(f, "{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}
