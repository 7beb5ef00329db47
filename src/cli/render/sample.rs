//! The samples of the wire for tests, and the moment and zone that they are shown in.

use jiff::tz::Offset;

use super::quantity::Clock;
pub(crate) use crate::wire::sample::*;

/// [`NOW`], an hour east of Greenwich.
pub(crate) fn clock() -> Clock {
    Clock { now: NOW, zone: Offset::from_seconds(3_600).unwrap().to_time_zone() }
}
