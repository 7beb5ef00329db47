//! jsched: a batch system for clusters.
//!
//! The house, from the roof down; a room imports only from floors below it:
//! `cli` and `client`, `controller`, `worker`, `net`, `pki` and `sim` are the shells, which do IO and as little
//! else as possible; `store` keeps the log and the tables; `core`, `commit`, `session`, `agent` and `sched` are
//! pure; `wire` and `model` are the ground. `ARCHITECTURE.md` follows a job through them.

pub mod agent;
pub mod cli;
pub mod client;
pub mod commit;
pub mod controller;
pub mod core;
pub mod model;
pub mod net;
pub mod pki;
pub mod sched;
pub mod session;
pub mod sim;
pub mod store;
pub mod wire;
pub mod worker;
