//! What we talk about: jobs, arrays, attempts, nodes, resources, identities and times, as types. Pure.

pub mod account;
pub mod bug;
pub mod change;
pub mod configured;
pub mod identity;
pub mod ids;
pub mod policy;
pub mod priority;
pub mod record;

pub mod parse;
pub mod pattern;
pub mod resources;
pub mod shared;
pub mod spec;
pub mod state;
pub mod task_set;
pub mod text;
pub mod time;
pub mod token;
