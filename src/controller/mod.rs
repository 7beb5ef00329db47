//! The daemon around the core: recovers the state, feeds the core, makes its changes durable, and then tells.

pub mod check;
pub mod clock;
pub mod config;
pub mod dev;
pub mod doctor;
pub mod driver;
pub mod handlers;
pub mod history;
pub mod init;
pub mod job_link;
pub mod join;
pub mod kept;
pub mod log;
pub mod node_link;
pub mod office;
pub mod planner;
pub mod published;
pub mod recovery;
pub mod renew;
pub mod run;
pub mod server;
pub mod shipments;
pub mod tables_writer;
pub mod unit;
pub mod windows;
