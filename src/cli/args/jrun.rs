//! `jrun`: not supported yet. Its help tells what it will be.

use std::ffi::OsString;

use clap::{Arg, ArgAction, Command};

use super::jsubmit::arguments_of;
use crate::cli::error::CliError;
use crate::cli::options::Group;

/// The definition, for help, manual and completions.
pub fn definition() -> Command {
    let flag = |name: &'static str, help: &'static str| {
        Arg::new(name).long(name).help(help).action(ArgAction::SetTrue)
    };
    Command::new("jrun")
        .about("Run a command on nodes and stay with it (not supported yet)")
        .after_help(
            "Not supported yet: `jsubmit --follow -- COMMAND` submits a command and shows its output.",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .arg(Arg::new("COMMAND").help("Command and its arguments").num_args(0..))
        .args(arguments_of(&[Group::Resources, Group::Where, Group::When, Group::Rank]))
        .arg(flag("pty", "With a terminal"))
        .arg(flag("label", "Begin each line with its task").short('l'))
        .arg(flag("kill-on-bad-exit", "End all tasks when one fails").short('K'))
}

/// The help or the version if it was asked for; otherwise the refusal.
///
/// # Errors
/// Always, unless help or version was asked for (65).
pub fn run(arguments: &[OsString]) -> Result<String, CliError> {
    let asked =
        |words: [&str; 2]| arguments.iter().take(1).any(|word| words.iter().any(|known| word == known));
    if asked(["-h", "--help"]) {
        return Ok(definition().render_help().to_string());
    }
    if asked(["-V", "--version"]) {
        return Ok(definition().render_version());
    }
    let error = CliError::script("not_supported", "not supported yet: jrun");
    Err(error.hint("jsubmit --follow -- COMMAND… submits a command and shows its output"))
}
