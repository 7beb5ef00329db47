//! The node daemon's door. So far only its supervisors go through it.

use std::process::ExitCode;

use jsched::worker::supervisor;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("supervise") => ExitCode::from(supervisor::main(arguments)),
        _ => {
            eprintln!("jworkerd: no such subcommand; there is `supervise`");
            ExitCode::from(64)
        }
    }
}
