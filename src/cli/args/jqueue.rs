//! `jqueue`: lists jobs, explains them, and changes them.

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::filters::{Filters, NameFilter, Selection, nothing_selected};
use super::values::{Jobs, Setting, check_keys, seconds};
use super::{Definition, General};
use crate::cli::error::CliError;
use crate::model::time::Seconds;

/// List jobs, explain them, and change them
#[derive(Parser, Clone, Debug)]
#[command(
    name = "jqueue",
    subcommand_help_heading = "Verbs",
    after_help = "Without a verb, the own jobs that have not ended are listed; -a lists everybody's."
)]
pub struct JQueue {
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
    /// Everybody's jobs
    #[arg(short, long)]
    pub all: bool,
    #[command(flatten)]
    /// Filters.
    pub filters: Filters,
    #[command(flatten)]
    /// By name.
    pub names: NameFilter,
    /// More columns
    #[arg(short, long)]
    pub long: bool,
    /// These columns, by their names in JSON or Slurm's; `help` lists them
    #[arg(short = 'o', long, value_name = "COLUMNS")]
    pub format: Option<String>,
    /// Sort by these columns; `-` before one turns it round
    #[arg(short = 'S', long, value_name = "COLUMNS", allow_hyphen_values = true)]
    pub sort: Option<String>,
    /// A line for each task of an array
    #[arg(short = 'r', long)]
    pub array: bool,
    /// When waiting jobs are expected to start
    #[arg(long)]
    pub start: bool,
    /// Ended jobs since then; 24 hours by default
    #[arg(long, value_name = "WHEN")]
    pub since: Option<String>,
    /// No line of column names
    #[arg(long)]
    pub no_header: bool,
    /// Stay, and show changes as they come
    #[arg(long)]
    pub watch: bool,
    /// With --watch: go on from this position
    #[arg(long, value_name = "POSITION", requires = "watch")]
    pub position: Option<u64>,
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WaitFor {
    /// The end
    End,
    /// The start, or the end
    Start,
}

/// By what usage is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// Users
    User,
    /// Accounts
    Account,
    /// Partitions
    Partition,
}

/// Jobs, and whether to act at all.
#[derive(Args, Clone, Debug)]
pub struct Act {
    #[command(flatten)]
    /// Which.
    pub selection: Selection,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Repeats under the same key do it once
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// Arguments of `log`.
#[derive(Args, Clone, Debug)]
pub struct Log {
    /// 123, 123_4, 123_[1-9,12], name:NAME, last
    #[arg(value_name = "JOB")]
    pub selectors: Vec<Jobs>,
    #[command(flatten)]
    /// Filters; names by `name:NAME`.
    pub filters: Filters,
    /// Go on as it grows
    #[arg(short, long)]
    pub follow: bool,
    /// Standard error instead of standard output
    #[arg(long)]
    pub err: bool,
    /// The last so many lines
    #[arg(short = 'n', long, value_name = "N")]
    pub lines: Option<u64>,
    /// Of that attempt; by default the last
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
}

/// Arguments of `hist`.
#[derive(Args, Clone, Debug)]
pub struct Hist {
    #[command(flatten)]
    /// Which.
    pub selection: Selection,
    /// Ended after this
    #[arg(short = 'S', long, value_name = "WHEN")]
    pub start: Option<String>,
    /// Ended before this
    #[arg(short = 'E', long, value_name = "WHEN")]
    pub end: Option<String>,
    /// These columns; `tasks` prints task indexes alone, as 3,17,90-95
    #[arg(short = 'o', long, value_name = "COLUMNS")]
    pub format: Option<String>,
    /// Everybody's jobs
    #[arg(short, long)]
    pub all: bool,
    /// No line of column names
    #[arg(long)]
    pub no_header: bool,
}

/// What `jqueue` does with jobs.
#[derive(Subcommand, Clone, Debug)]
pub enum Verb {
    /// The whole record and its timeline, attempt by attempt
    Show(Selection),
    /// Why it waits, or why it ended as it did, and what to change
    Why {
        #[command(flatten)]
        /// Which.
        selection: Selection,
        /// What if it asked for this instead: mem=4G,time=1h
        #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
        what_if: Vec<Setting>,
    },
    /// Its output, live or afterwards
    Log(Log),
    /// Wait for jobs; exits as they ended
    Wait {
        #[command(flatten)]
        /// Which.
        selection: Selection,
        /// For their end or their start
        #[arg(long = "for", value_name = "WHAT", default_value = "end")]
        what: WaitFor,
        /// Not longer than this
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        timeout: Option<Seconds>,
    },
    /// Ended jobs
    Hist(Hist),
    /// What it used against what it asked for
    Eff(Selection),
    /// Who runs, waits and used how much
    ///
    /// SHARE, if fair share counts (`weight-fair-share`), is what one has of all shares and of what was used lately.
    Usage {
        /// Summed by
        #[arg(long, value_name = "WHAT", default_value = "user")]
        by: By,
    },
    /// Its rank in words and in numbers
    ///
    /// The points of each part of its priority, where they come from, and how many are ahead of it. `age` and `fair-share`
    /// are as of the last time that they were reckoned.
    Prio(Selection),
    /// Keep from starting
    Hold(Act),
    /// Let start again what was held
    Release(Act),
    /// Run again
    Requeue {
        #[command(flatten)]
        /// Which.
        act: Act,
        /// Asking for this instead: mem=8G
        #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
        with: Vec<Setting>,
        /// Also what ended DependencyFailed because of it
        #[arg(long)]
        dependents: bool,
    },
    /// Stop for a while
    Suspend(Act),
    /// Go on after a suspend
    Resume(Act),
    /// Ahead of the owner's other pending jobs
    First(Act),
    /// Change what a job asks for
    Set {
        /// Jobs, then KEY=VALUE: time mem cpus nodes partition account qos nice name comment begin deadline dependency nodelist exclude constraint array-limit
        #[arg(value_name = "JOB|KEY=VALUE", required = true)]
        words: Vec<String>,
        #[command(flatten)]
        /// Filters.
        filters: Filters,
        #[command(flatten)]
        /// By name.
        names: NameFilter,
        /// Say what would be done, and do nothing
        #[arg(long)]
        dry_run: bool,
        /// Repeats under the same key do it once
        #[arg(long, value_name = "KEY")]
        key: Option<String>,
    },
    /// Bring its output and error files here
    Fetch {
        /// Which
        #[arg(value_name = "JOB")]
        job: Jobs,
        /// Which of them, by their names; all by default
        #[arg(value_name = "GLOB")]
        glob: Option<String>,
        /// Into this folder; here by default
        #[arg(value_name = "DIR")]
        dir: Option<std::path::PathBuf>,
    },
    /// Live view of everybody's jobs
    Top,
    /// Who the controller takes you for, and what you may use
    Whoami,
    /// Make a key here and get a certificate for it
    Login {
        /// From `jctld user add`
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

/// What `jqueue set` can change.
const SET_KEYS: &[&str] = &[
    "time",
    "mem",
    "cpus",
    "nodes",
    "partition",
    "account",
    "qos",
    "nice",
    "name",
    "comment",
    "begin",
    "deadline",
    "dependency",
    "nodelist",
    "exclude",
    "constraint",
    "array-limit",
];

impl Verb {
    /// The words of `set`, told apart: a word with `=` is a setting, every other names jobs.
    ///
    /// # Errors
    /// Words that are neither, keys that can't be set, nothing to set, no job (64).
    pub fn set_words(words: &[String]) -> Result<(Vec<Jobs>, Vec<Setting>), CliError> {
        let (mut jobs, mut settings) = (Vec::new(), Vec::new());
        for word in words {
            // `name:a=b` names jobs.
            let names_jobs = word.starts_with("name:") || !word.contains('=');
            let malformed = |why: String| CliError::usage("malformed_value", why);
            if names_jobs {
                jobs.push(word.parse::<Jobs>().map_err(|why| malformed(why.to_string()))?);
            } else {
                settings.push(word.parse::<Setting>().map_err(malformed)?);
            }
        }
        check_keys(&settings, SET_KEYS)?;
        if settings.is_empty() {
            let error = CliError::usage("missing_argument", "nothing to set");
            return Err(error.hint("jqueue set 123 time=2h mem=8G"));
        }
        Ok((jobs, settings))
    }
}

impl Definition for JQueue {
    const LATER: &'static [&'static str] = &[];

    fn definition() -> clap::Command {
        super::finish(<JQueue as clap::CommandFactory>::command(), Self::LATER).mut_args(|arg| {
            let Some(long) = arg.get_long().filter(|long| !["help", "version"].contains(long)) else {
                return arg;
            };
            let variable = format!("JQUEUE_{}", long.replace('-', "_").to_ascii_uppercase());
            let arg = arg.env(variable).hide_env(true);
            match arg.get_action() {
                // `JQUEUE_LONG=no` is no.
                clap::ArgAction::SetTrue => arg.value_parser(clap::builder::FalseyValueParser::new()),
                _ => arg,
            }
        })
    }

    fn check(&self) -> Result<(), CliError> {
        match &self.verb {
            Some(Verb::Show(selection) | Verb::Eff(selection) | Verb::Prio(selection)) => selection.check(),
            Some(Verb::Why { selection, what_if }) => {
                check_keys(what_if, SET_KEYS)?;
                selection.check()
            }
            Some(Verb::Wait { selection, .. }) => selection.check(),
            Some(Verb::Log(log)) if log.selectors.is_empty() && log.filters.is_empty() => {
                Err(nothing_selected())
            }
            Some(
                Verb::Hold(act)
                | Verb::Release(act)
                | Verb::Suspend(act)
                | Verb::Resume(act)
                | Verb::First(act),
            ) => act.selection.check(),
            Some(Verb::Requeue { act, with, .. }) => {
                check_keys(with, SET_KEYS)?;
                act.selection.check()
            }
            Some(Verb::Set { words, filters, names, .. }) => {
                let (jobs, _) = Verb::set_words(words)?;
                let nothing = jobs.is_empty() && filters.is_empty() && names.name.is_empty();
                if nothing { Err(nothing_selected()) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }
}
