//! Traces through the scheduler in virtual time: `jctld simulate`.
//!
//! The decisions are those of [`crate::sched::policy`]; here are the reading of traces, the clock that jumps from
//! event to event, the figures, and the picture.

pub mod engine;
pub mod figures;
pub mod number;
pub mod plot;
pub mod trace;

pub use engine::{Outcome, simulate};
pub use figures::Figures;
pub use trace::{Job, Trace, TraceError};

#[cfg(test)]
mod tests;
