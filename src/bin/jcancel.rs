//! The door of `jcancel`.

use std::process::ExitCode;

use jsched::cli::args::jcancel::JCancel;
use jsched::cli::{commands, door};

fn main() -> ExitCode {
    door::open::<JCancel>("jcancel", commands::jcancel)
}
