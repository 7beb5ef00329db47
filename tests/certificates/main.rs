//! Identity for life: tokens, renewal, revocation, removal, expiry of everything, and what the doctors find. With real
//! daemons and the real commands.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod doctors;
mod expiry;
#[path = "../harness/mod.rs"]
mod harness;
mod impostors;
mod site;
mod tokens;
mod units;
mod users;
