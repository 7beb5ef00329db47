//! `jnode`: lists nodes and manages them, their partitions and their reservations.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::values::{Nodes, Setting, check_keys, seconds};
use super::{Definition, General};
use crate::cli::error::CliError;
use crate::model::time::Seconds;

/// List nodes and manage them
#[derive(Parser, Clone, Debug)]
#[command(name = "jnode", subcommand_help_heading = "Verbs")]
pub struct JNode {
    #[command(flatten)]
    /// The listing.
    pub list: List,
    #[command(flatten)]
    /// Common to all commands.
    pub general: General,
    /// What to do instead of listing.
    #[command(subcommand)]
    pub verb: Option<Verb>,
}

/// What a listing takes.
#[derive(Args, Clone, Debug)]
pub struct List {
    /// In these partitions
    #[arg(short, long, value_name = "PARTITION", value_delimiter = ',')]
    pub partition: Vec<String>,
    /// In these states: idle, mixed, full, draining, drained, down, unreachable, reserved, booting, off
    #[arg(short = 't', long, value_name = "STATE", value_delimiter = ',', value_enum)]
    pub states: Vec<NodeState>,
    /// These nodes
    #[arg(short = 'w', long, value_name = "LIST", alias = "nodes")]
    pub nodelist: Option<Nodes>,
    /// A line for each partition and state
    #[arg(short, long)]
    pub summary: bool,
    /// Stay, and show changes as they come
    #[arg(long)]
    pub watch: bool,
    /// No line of column names
    #[arg(long)]
    pub no_header: bool,
}

/// The states of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NodeState {
    /// Nothing runs there
    Idle,
    /// Partly used
    Mixed,
    /// Fully used
    Full,
    /// Gets no new jobs; some still run
    Draining,
    /// Gets no new jobs; none runs
    Drained,
    /// Out of service
    Down,
    /// Silent
    Unreachable,
    /// Held for a reservation
    Reserved,
    /// Starting
    Booting,
    /// Switched off
    Off,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// No job is left there
    Drained,
    /// It is in service
    Up,
}

/// How often a reservation comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Every {
    /// Every day
    Day,
    /// Every week
    Week,
}

/// What `jnode` does with nodes.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// Everything about nodes
    Show {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
    },
    /// Let running jobs end, start no new ones
    Drain {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// End the jobs that are left then, as by preemption
        #[arg(long, value_name = "WHEN")]
        deadline: Option<String>,
        /// Wait until no job is left
        #[arg(long)]
        wait: bool,
    },
    /// Back into service
    Resume {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
    },
    /// Out of service
    Down {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
        /// The machine is off or was restarted: nothing of it runs any more
        #[arg(long)]
        confirmed_dead: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Wait for nodes
    Wait {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
        /// For what
        #[arg(long = "for", value_name = "WHAT")]
        what: WaitFor,
        /// Not longer than this
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        timeout: Option<Seconds>,
    },
    /// Make tokens with which nodes can join, a line each
    Add {
        /// Names, as n[001-016,20]
        #[arg(value_name = "LIST")]
        nodes: Nodes,
        /// How long the tokens are good
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<Seconds>,
        /// One token for all names, each once
        #[arg(long)]
        pool: bool,
        /// A new machine takes the name of an old one
        #[arg(long)]
        replace: bool,
        /// A login host that may vouch for its users
        #[arg(long)]
        login: bool,
    },
    /// Take out of the cluster
    Remove {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
    },
    /// Change what is known of nodes: features= gres= weight= partitions=
    Set {
        /// Which, as n[001-016,20]
        #[arg(value_name = "NODES")]
        nodes: Nodes,
        /// What
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<Setting>,
    },
    /// Live view
    Top,
    /// Expand a list of names to a line each, or fold names to a list
    Hosts {
        /// A list such as n[001-016,20], or names
        #[arg(value_name = "LIST", required = true)]
        lists: Vec<Nodes>,
        /// Fold instead
        #[arg(long)]
        fold: bool,
    },
    /// Partitions
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Partition(Partition),
    /// Reservations
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Reserve(Reserve),
}

/// What is done with partitions.
#[derive(Subcommand, Clone, Debug)]
pub enum Partition {
    /// Make or change one: nodes= default= state=up|down|closed max-time= default-time= default-mem-per-cpu= max-nodes= accounts= policy= priority= requeue=
    Set {
        /// Its name
        name: String,
        /// What
        #[arg(value_name = "KEY=VALUE")]
        settings: Vec<Setting>,
    },
    /// All of them
    List,
    /// Take one away
    Remove {
        /// Its name
        name: String,
    },
}

/// What is done with reservations.
#[derive(Subcommand, Clone, Debug)]
pub enum Reserve {
    /// Make one
    Create {
        /// Its name
        name: String,
        /// A list, `all`, or how many
        #[arg(long, value_name = "LIST|all|N")]
        nodes: String,
        /// From when
        #[arg(long, value_name = "WHEN")]
        start: String,
        /// For how long
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        duration: Seconds,
        /// Again and again
        #[arg(long, value_name = "WHAT")]
        every: Option<Every>,
        /// For these users
        #[arg(long, value_name = "USER", value_delimiter = ',')]
        users: Vec<String>,
        /// For these accounts
        #[arg(long, value_name = "ACCOUNT", value_delimiter = ',')]
        accounts: Vec<String>,
        /// For maintenance: nobody's jobs
        #[arg(long)]
        maint: bool,
        /// Even where jobs may still run
        #[arg(long)]
        over_jobs: bool,
    },
    /// All of them
    List,
    /// Take one away
    Remove {
        /// Its name
        name: String,
    },
}

const NODE_KEYS: &[&str] = &["features", "gres", "weight", "partitions"];
const PARTITION_KEYS: &[&str] = &[
    "nodes",
    "default",
    "state",
    "max-time",
    "default-time",
    "default-mem-per-cpu",
    "max-nodes",
    "accounts",
    "policy",
    "priority",
    "requeue",
];

impl Definition for JNode {
    const LATER: &'static [&'static str] = &["reserve create", "reserve list", "reserve remove"];

    fn check(&self) -> Result<(), CliError> {
        match &self.verb {
            Some(Verb::Set { settings, .. }) => check_keys(settings, NODE_KEYS),
            Some(Verb::Partition(Partition::Set { settings, .. })) => check_keys(settings, PARTITION_KEYS),
            _ => Ok(()),
        }
    }
}
