//! The core with the real scheduler and plain model nodes, driven by random events.

mod limits;
mod model;
mod properties;
mod scenario;
mod shares;
mod steps;
