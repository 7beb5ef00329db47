//! The door of `jsubmit`.

use std::process::ExitCode;

use jsched::cli::{commands, door};

fn main() -> ExitCode {
    door::open_jsubmit(|around| around, commands::jsubmit)
}
