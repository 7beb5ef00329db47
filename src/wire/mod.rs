//! What goes over sockets: messages, versions and limits. Pure.

pub mod supervisor;
