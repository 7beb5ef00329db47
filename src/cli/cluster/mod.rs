//! The cluster's configuration as a TOML file: `[partition.NAME]`, `[node.LIST]`, `[account.NAME]`, `[qos.NAME]`, with
//! the keys of the verbs that change one thing, and their values.

pub mod difference;
pub mod read;
pub mod write;

pub use difference::{differences, differences_json};
pub use read::{ClusterFile, read};
pub use write::{entries_json, write};

#[cfg(test)]
mod tests;
