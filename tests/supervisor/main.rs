//! Supervisors as real processes, with real jobs.
// In tests a failed unwrap is the failure that is to be seen; clippy knows only of functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::type_complexity)]

mod bench;
mod calls;
mod faults;
mod life;
mod node;
mod users;
