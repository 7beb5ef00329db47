//! Asks the controller: one connection, a stream a request, repeated under the same key until it is answered.
//!
//! [`session::Client`] is what commands hold. It dials when it is first asked something, and again when the
//! connection breaks; what it had sent by then it sends again, since keys make that safe. [`wait`], [`follow`] and
//! [`watch`] outlive any number of restarts of the controller.

pub mod config;
pub mod connection;
pub mod doctor;
pub mod error;
#[cfg(test)]
pub(crate) mod fake;
pub mod follow;
pub mod inside;
pub mod interrupt;
pub mod join;
pub mod key;
pub mod nodes;
pub mod renew;
pub mod session;
pub mod tie;
pub mod wait;
pub mod watch;
