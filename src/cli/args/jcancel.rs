//! `jcancel`: ends jobs, or sends them a signal.

use clap::Parser;

use super::filters::Selection;
use super::values::signal_number;
use super::{Definition, General};
use crate::cli::error::CliError;

/// Cancel jobs, or send them a signal
#[derive(Parser, Clone, Debug)]
#[command(name = "jcancel", after_help = "A line for each job says its old and its new state.")]
pub struct JCancel {
    #[command(flatten)]
    /// Which.
    pub selection: Selection,
    /// Send this signal instead of ending the jobs
    #[arg(short, long, value_name = "SIGNAL", value_parser = signal_number)]
    pub signal: Option<u8>,
    /// Signal the batch shell alone
    #[arg(short, long, requires = "signal")]
    pub batch: bool,
    /// Wait until the jobs are dead
    #[arg(long)]
    pub wait: bool,
    /// Why; kept with the end of the job
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Ask before each job
    #[arg(short, long)]
    pub interactive: bool,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Repeats under the same key do it once
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    #[command(flatten)]
    /// Common to all commands.
    pub general: General,
}

impl Definition for JCancel {
    const LATER: &'static [&'static str] = &[];

    fn check(&self) -> Result<(), CliError> {
        self.selection.check()
    }
}
