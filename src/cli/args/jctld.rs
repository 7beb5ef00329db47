//! `jctld`: the controller, and what its admins do.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::values::{Setting, seconds};
use super::{Definition, General};
use crate::model::identity::Role;
use crate::model::time::Seconds;

/// The controller, and what its admins do
#[derive(Parser, Clone, Debug)]
#[command(
    name = "jctld",
    subcommand_help_heading = "Verbs",
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct JCtld {
    /// Daemon settings: jctld.toml
    #[arg(long, value_name = "FILE", global = true, help_heading = "General")]
    pub settings: Option<PathBuf>,
    #[command(flatten)]
    /// Common to all commands.
    pub general: General,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The role of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum UserRole {
    /// Own jobs
    User,
    /// Everybody's jobs, and nodes
    Operator,
    /// Also users, certificates and configuration
    Admin,
}

impl From<UserRole> for Role {
    fn from(role: UserRole) -> Role {
        match role {
            UserRole::User => Role::User,
            UserRole::Operator => Role::Operator,
            UserRole::Admin => Role::Admin,
        }
    }
}

/// Arguments of `dev`.
#[derive(Args, Clone, Debug)]
pub struct Dev {
    /// Everything stays below this folder
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// How many node daemons
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub nodes: u32,
    /// Cpus of each node; by default what the machine has
    #[arg(long, value_name = "C")]
    pub cpus: Option<u32>,
    /// So many virtual nodes, which run nothing
    #[arg(long, value_name = "N")]
    pub r#virtual: Option<u32>,
    /// Override a setting: node_timeout=3s
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

/// Arguments of `simulate`.
#[derive(Args, Clone, Debug)]
pub struct Simulate {
    /// In the standard workload format, as it is or packed by gzip or xz
    #[arg(value_name = "TRACE.swf")]
    pub trace: PathBuf,
    /// By which policy: easy, wfp3-easy, conservative, ...
    #[arg(long, value_name = "P")]
    pub policy: String,
    /// On so many processors; by default what the trace's header says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub procs: Option<u32>,
    /// Multiply the gaps between arrivals: 0.9 makes 11 % more load
    #[arg(long, value_name = "F", value_parser = load)]
    pub load: Option<f64>,
    /// Write each job's number and the second of its start here
    #[arg(long, value_name = "FILE.tsv")]
    pub starts: Option<PathBuf>,
    /// Draw use, demand and who ran where here
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// The smallest and the largest factor for the gaps between arrivals.
const LOAD_RANGE: std::ops::RangeInclusive<f64> = 0.01..=100.0;

fn load(text: &str) -> Result<f64, String> {
    let factor = text.parse::<f64>().ok().filter(|factor| LOAD_RANGE.contains(factor));
    factor.ok_or_else(|| format!("wanted: a number from {} to {}", LOAD_RANGE.start(), LOAD_RANGE.end()))
}

/// What `jctld` does.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// A whole private cluster on this machine, without root
    Dev(Dev),
    /// Serve
    Run,
    /// Make a new cluster: CA, state folder, settings
    Init {
        /// Under which name or address others reach this machine
        #[arg(long, value_name = "HOST[:PORT]")]
        advertise: String,
    },
    /// How the controller is
    Status,
    /// Check the store: through the running daemon, or a folder
    Verify {
        /// A state folder whose daemon is stopped
        #[arg(value_name = "DIR")]
        dir: Option<PathBuf>,
    },
    /// End in order
    Stop {
        /// For how long: nodes get longer leases first
        #[arg(long = "for", value_name = "TIME", value_parser = seconds)]
        span: Option<Seconds>,
    },
    /// Users
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    User(User),
    /// Certificates
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Ca(Ca),
    /// Accounts: who may submit in whose name, as a tree
    ///
    /// Once one is defined, a job needs an account that its user is in: `-A` names it, else it is the one for which
    /// the user is in `default-for`, else the first by name. Coordinators change what is below their own.
    ///
    /// Keys: `parent=ACCOUNT` `share=N` (what it counts among those beside it, 1 by default; for fair share)
    /// `user-shares=A:3,B:2` (the same of its users) `users=A,B` `coordinators=A,B` `default-for=A,B` (each also `+A,-B`: with A, without
    /// B) `max-running=N` `max-cpus=N` (at once) `max-submitted=N` (unfinished; each task of an array is a job) and
    /// `max-running-per-user=N` `max-cpus-per-user=N` `max-submitted-per-user=N` for each user, `max-time=TIME` of a
    /// job. What binds an account binds all below it together. `KEY=` takes away what was set.
    ///
    /// Beyond `max-submitted` and `max-time` a job is refused, and so is one that asks for more than `max-cpus`; for the
    /// others it waits, and `jqueue why` says for which and who uses it. A limit that is lowered later ends nothing.
    ///
    /// `budget=N cpu-hours` is what an account and all below it may use in all from now on: cpus, or the memory's part of
    /// a node in cpus if that is more, times the time for which they are held, counted when an attempt ends. Once it is
    /// spent nothing more starts; `jqueue usage --by account` shows it. A larger budget goes on counting;
    /// `budget=` ends it, and another one begins with nothing spent.
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Account(Named),
    /// Qualities of service
    ///
    /// Once one is defined, a job may name no other; one called `normal` is that of jobs that name none.
    ///
    /// Keys: `priority=N` (added to the priority of its jobs) and the limits of accounts: `max-running=N`
    /// `max-cpus=N` `max-submitted=N` `max-running-per-user=N` `max-cpus-per-user=N` `max-submitted-per-user=N`
    /// `max-time=TIME`. `KEY=` takes away what was set.
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Qos(Named),
    /// The cluster's configuration as one TOML file
    ///
    /// `[priority]` says how the policies `priority-easy` and `priority-conservative` rank jobs. `weight-age`
    /// `weight-fair-share` `weight-job-size` `weight-partition` `weight-qos` are points for a factor of 1, all 0 at first.
    /// Age is the time since submission, or since `--begin`, over `max-age` (7 days). Fair share is 2^(-E/S), E what an
    /// account and its user have used and S their shares, as in Slurm's classic fair share; what was used counts half
    /// after `half-life` (7 days; UNLIMITED: for ever). Job size is cpus over those of the cluster, or with
    /// `favor-small = true` what is missing to that. Partition and QOS are their priorities over the highest. Without a
    /// weight the partition of higher priority comes first, and a QOS's priority is added as it is. `--nice` is subtracted.
    /// Ages and shares are reckoned every `calc-period` (1 minute).
    ///
    /// Other tables: `[partition.NAME]` with the keys of `jnode partition set`, `[node."n[1-9]"]` with `features` and `weight`,
    /// `[account.NAME]` and `[qos.NAME]` with the keys of `jctld account set` and `jctld qos set`. A list may be written
    /// as one: `users = ["ada", "ben"]`.
    ///
    /// `apply` compares all of it with what is so, prints the difference, and makes all changes at once or none. A table
    /// says all of its entry: keys that it lacks are as in a new one, and partitions, accounts and QOS that the file
    /// lacks go, unless it has no table of that kind at all. Nodes that no table names stay as they are. What can't be
    /// is refused with line and key.
    #[command(subcommand, subcommand_required = true, arg_required_else_help = true)]
    Config(Config),
    /// Who did what
    Audit {
        /// From
        #[arg(short = 'S', long, value_name = "WHEN")]
        start: Option<String>,
        /// Until
        #[arg(short = 'E', long, value_name = "WHEN")]
        end: Option<String>,
        /// By whom
        #[arg(long, value_name = "USER")]
        who: Option<String>,
        /// What
        #[arg(long, value_name = "ACT")]
        what: Option<String>,
        /// To which job
        #[arg(long, value_name = "JOB")]
        job: Option<String>,
        /// To which node
        #[arg(long, value_name = "NODE")]
        node: Option<String>,
        /// Check that nothing was taken out
        #[arg(long)]
        verify: bool,
    },
    /// Write a backup through the running daemon
    ///
    /// It holds everything that was acknowledged before: queue, history, scripts, and the identity of the cluster with
    /// the key of its CA. `jctld restore` makes a controller from it.
    Backup {
        /// A folder on the controller's host, new or empty, named from the root
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Write the state anew now, as the daemon does by itself when the journal has grown enough
    Export,
    /// Make a controller from a backup
    ///
    /// It is another incarnation of the cluster: numbers of new jobs go on a million above, and nodes obey it only
    /// after `jctld accept`.
    Restore {
        /// The backup's folder
        #[arg(long, value_name = "DIR")]
        from: PathBuf,
        /// Under which name or address others reach this machine, if no settings are here yet
        #[arg(long, value_name = "HOST[:PORT]")]
        advertise: Option<String>,
    },
    /// Let nodes obey this incarnation after a restore
    ///
    /// All unfinished jobs are held then, since some may have run after the backup; `jqueue release` lets them go.
    Accept,
    /// Rolling upgrade
    Upgrade {
        /// Raise the format; no way back afterwards
        #[arg(long, required = true)]
        finish: bool,
    },
    /// Read the settings again
    Reload,
    /// What is wrong on this machine
    Doctor,
    /// Schedule a trace in virtual time
    Simulate(Simulate),
    /// Play a trace through a real cluster of virtual nodes
    Replay {
        /// In the standard workload format
        #[arg(value_name = "TRACE")]
        trace: PathBuf,
        /// By which policy
        #[arg(long)]
        policy: String,
        /// So many jobs
        #[arg(long, value_name = "N")]
        jobs: u32,
        /// So many times faster
        #[arg(long, value_name = "F")]
        speed: f64,
        /// Write starts here
        #[arg(long, value_name = "FILE")]
        starts: PathBuf,
    },
    /// Put jobs of known times on nodes so that all are done as early as can be; prints JSON
    Plan {
        /// Jobs and nodes, in TOML or JSON: see examples/plan
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// What is done with users.
#[derive(Subcommand, Clone, Debug)]
pub enum User {
    /// Add one and print a one-use token for `jqueue login`
    Add {
        /// The user's name
        name: String,
        /// The numeric id; by default the one of that name on this machine
        #[arg(long, value_name = "N")]
        uid: Option<u32>,
        /// What the user may do
        #[arg(long, value_name = "ROLE", default_value = "user")]
        role: UserRole,
        /// How long the token is good
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<Seconds>,
        /// Write a ready folder with client.toml instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// All of them
    List,
    /// Take one away
    Remove {
        /// The user's name
        name: String,
        /// Cancel what is left
        #[arg(long, conflicts_with = "keep_running")]
        cancel_jobs: bool,
        /// Let running jobs end
        #[arg(long)]
        keep_running: bool,
    },
}

/// What is done with certificates.
#[derive(Subcommand, Clone, Debug)]
pub enum Ca {
    /// Issue a certificate here, without the daemon
    Issue {
        /// For whom
        name: String,
        /// With which role
        #[arg(long, value_name = "ROLE", default_value = "user")]
        role: UserRole,
        /// The numeric id; by default the one of that name on this machine
        #[arg(long, value_name = "N")]
        uid: Option<u32>,
        /// How long it is good
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        ttl: Option<Seconds>,
        /// Where to write a ready folder with client.toml
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// All certificates
    List,
    /// Take one back
    Revoke {
        /// A serial number, or a name
        #[arg(value_name = "SERIAL|NAME")]
        which: String,
    },
    /// A new CA beside the old one
    Rotate,
}

/// What is done with accounts and qualities of service.
#[derive(Subcommand, Clone, Debug)]
pub enum Named {
    /// Add one: KEY=VALUE as in the manual
    Add {
        /// Its name
        name: String,
        /// What
        #[arg(value_name = "KEY=VALUE")]
        given: Vec<Setting>,
    },
    /// Change one
    Set {
        /// Its name
        name: String,
        /// What
        #[arg(value_name = "KEY=VALUE", required = true)]
        given: Vec<Setting>,
    },
    /// All of them
    List,
    /// Take one away
    Remove {
        /// Its name
        name: String,
    },
}

/// What is done with the configuration.
#[derive(Subcommand, Clone, Debug)]
pub enum Config {
    /// Write it as one TOML file
    Export,
    /// Put a file in force, all or nothing
    Apply {
        /// Which
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print the difference alone
        #[arg(long)]
        dry_run: bool,
    },
}

impl Definition for JCtld {
    const LATER: &'static [&'static str] = &["ca rotate", "upgrade", "reload", "replay"];
}
