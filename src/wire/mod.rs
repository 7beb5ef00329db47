//! Messages, their versions and limits. Pure: bytes in, values out.

pub mod account;
pub mod bytes;
pub mod client;
pub mod codec;
pub mod config;
pub mod data;
pub mod info;
pub mod inside;
pub mod join;
pub mod node;
pub mod records;
pub mod reply;
#[cfg(test)]
pub(crate) mod sample;
pub mod supervisor;
