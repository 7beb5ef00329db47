//! The arguments of every command, in one place.

use super::error::CliError;

/// `-h` beside other options: in Slurm's listings it means "no header", so that a guess would please nobody.
pub(super) fn help_beside_options() -> CliError {
    let error = CliError::usage("help_beside_options", "-h stands alone: it prints the help").option("-h");
    error.hint("did you mean `--no-header`? for the help: --help")
}
