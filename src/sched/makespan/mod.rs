//! The least makespan: jobs with known times on nodes with a cap on their load.

mod search;
mod solve;

pub use solve::{Answer, Problem, Status, TIME_MAX, plan};

#[cfg(test)]
mod tests;
