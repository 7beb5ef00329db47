//! The door of `jqueue`.

use std::process::ExitCode;

use jsched::cli::args::jqueue::JQueue;
use jsched::cli::{commands, door};

fn main() -> ExitCode {
    door::open::<JQueue>("jqueue", commands::jqueue)
}
