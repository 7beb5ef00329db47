//! `jworkerd`: the node daemon.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::Definition;

/// The node daemon: runs jobs on this machine
#[derive(Parser, Clone, Debug)]
#[command(
    name = "jworkerd",
    subcommand_help_heading = "Verbs",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct JWorkerd {
    /// State folder of the daemon
    #[arg(long, value_name = "DIR", global = true, help_heading = "General")]
    pub dir: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = "General")]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What `jworkerd` does.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Join a cluster
    Join {
        /// From `jnode add`; carries addresses, the CA's fingerprint, the name and a secret
        #[arg(value_name = "TOKEN")]
        token: String,
        /// With a token for several names: which of them; by default this host's name
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Serve
    Run {
        /// As a login host
        #[arg(long)]
        login: bool,
        /// Play so many nodes that run nothing
        #[arg(long, value_name = "N")]
        r#virtual: Option<u32>,
    },
    /// What hardware is found here
    Probe,
    /// What the daemon on this machine is doing
    Status,
    /// What is wrong on this machine
    Doctor,
}

impl Definition for JWorkerd {
    const LATER: &'static [&'static str] = &[];
}
