//! Supervisors as real processes, with real jobs.

mod bench;
mod faults;
mod life;
mod node;
mod users;
