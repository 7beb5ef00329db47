//! The door of `jnode`.

use std::process::ExitCode;

use jsched::cli::args::jnode::JNode;
use jsched::cli::{commands, door};

fn main() -> ExitCode {
    door::open::<JNode>("jnode", commands::jnode)
}
