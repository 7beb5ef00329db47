//! The node daemon's rooms: how processes are started, supervised, measured and ended.

pub mod accounts;
pub mod callers;
pub mod cgroup;
pub mod config;
pub mod daemon;
pub mod data;
pub mod descriptors;
pub mod doctor;
pub mod jobs_link;
pub mod keeper;
pub mod launch;
pub mod link;
pub mod machine;
pub mod own;
pub mod pool;
pub mod probe;
pub mod read_file;
pub mod serve;
pub mod spool;
pub mod status;
pub mod supervisor;
pub mod supervisors;
pub mod translate;
pub mod tree;
pub mod unit;
