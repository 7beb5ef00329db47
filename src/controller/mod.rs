//! The daemon around the core: recovers the state, feeds the core, makes its changes durable, and then tells.

pub mod bulk;
pub mod check;
pub mod clock;
pub mod config;
pub mod dev;
pub mod driver;
pub mod handlers;
pub mod history;
pub mod init;
pub mod job_link;
pub mod join;
pub mod log;
pub mod node_link;
pub mod office;
pub mod planner;
pub mod published;
pub mod recovery;
pub mod run;
pub mod server;
pub mod tables_writer;
