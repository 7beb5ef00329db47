//! The node daemon's rooms: how processes are started, supervised, measured and ended.

pub mod cgroup;
pub mod launch;
pub mod supervisor;
pub mod tree;
