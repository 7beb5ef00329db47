//! Keeps the log and the tables: what is durable, and what is built from it.
//!
//! The journal is the truth: a controller tells nothing that it does not hold. The tables are what has been read
//! from it, local and rebuildable at any time. Both stand on [`disk::Disk`], the few file operations whose
//! failures matter, except for sled, which does its own file work and is trusted accordingly (see [`tables::sled`]).
//!
//! A state folder holds: `cluster` (whose state it is), `journal/`, `content/`, `output/`, `exports/`, `tables/` and
//! `lock`.

pub mod cluster_file;
pub mod collect;
pub mod content;
pub mod disk;
pub mod export;
pub mod fed;
pub mod frame;
pub mod journal;
pub mod keys;
pub mod log;
#[cfg(test)]
pub mod log_suite;
pub mod mirror;
pub mod output;
pub mod prune;
pub mod results;
pub mod rows;
pub mod tables;
pub mod used;
pub mod verify;
