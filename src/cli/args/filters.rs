//! Which jobs a listing shows or a verb acts on.

use clap::Args;

use super::values::{Jobs, Nodes, state_set};
use crate::cli::error::CliError;
use crate::model::parse::selector::JobSelector;
use crate::model::parse::states::StateSet;

/// The filters that every listing and every verb on jobs takes; all that are given must hold.
#[derive(Args, Clone, Debug, Default)]
pub struct Filters {
    /// Of these users
    #[arg(
        short,
        long,
        value_name = "USER",
        value_delimiter = ',',
        alias = "users",
        help_heading = "Filters"
    )]
    pub user: Vec<String>,
    /// Own jobs alone
    #[arg(long, help_heading = "Filters")]
    pub me: bool,
    /// These jobs
    #[arg(short, long = "jobs", value_name = "JOBS", alias = "job", help_heading = "Filters")]
    pub jobs: Option<Jobs>,
    /// In these partitions
    #[arg(
        short,
        long,
        value_name = "PARTITION",
        value_delimiter = ',',
        alias = "partitions",
        help_heading = "Filters"
    )]
    pub partition: Vec<String>,
    /// In these states: a code or a name, `bad`, `ended`, `all`; picks tasks inside arrays, too
    #[arg(short = 't', long, value_name = "STATES", alias = "state", value_parser = state_set, help_heading = "Filters")]
    pub states: Option<StateSet>,
    /// Of these accounts
    #[arg(
        short = 'A',
        long,
        value_name = "ACCOUNT",
        value_delimiter = ',',
        alias = "accounts",
        help_heading = "Filters"
    )]
    pub account: Vec<String>,
    /// Of these qualities of service
    #[arg(short, long, value_name = "QOS", value_delimiter = ',', help_heading = "Filters")]
    pub qos: Vec<String>,
    /// On these nodes
    #[arg(short = 'w', long, value_name = "LIST", help_heading = "Filters")]
    pub nodelist: Option<Nodes>,
}

/// Filters by name, where `-n` is free for it.
#[derive(Args, Clone, Debug, Default)]
pub struct NameFilter {
    /// Of these names
    #[arg(
        short,
        long,
        value_name = "NAME",
        value_delimiter = ',',
        alias = "names",
        help_heading = "Filters"
    )]
    pub name: Vec<String>,
}

impl Filters {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty()
            && !self.me
            && self.jobs.is_none()
            && self.partition.is_empty()
            && self.states.is_none()
            && self.account.is_empty()
            && self.qos.is_empty()
            && self.nodelist.is_none()
    }
}

/// Jobs by selector, by filter, or both.
#[derive(Args, Clone, Debug, Default)]
pub struct Selection {
    /// 123, 123_4, 123_[1-9,12], name:NAME, last
    #[arg(value_name = "JOB")]
    pub selectors: Vec<Jobs>,
    #[command(flatten)]
    /// Filters.
    pub filters: Filters,
    #[command(flatten)]
    /// By name.
    pub names: NameFilter,
}

impl Selection {
    /// The selectors, those of `-j` included.
    pub fn jobs(&self) -> Vec<JobSelector> {
        let all = self.selectors.iter().chain(&self.filters.jobs);
        all.flat_map(|jobs| jobs.0.iter().cloned()).collect()
    }

    /// Whether anything at all was said.
    ///
    /// # Errors
    /// Nothing was (64): a verb never acts on everything by itself.
    pub fn check(&self) -> Result<(), CliError> {
        match self.selectors.is_empty() && self.filters.is_empty() && self.names.name.is_empty() {
            true => Err(nothing_selected()),
            false => Ok(()),
        }
    }
}

/// No job was named and no filter given.
pub(super) fn nothing_selected() -> CliError {
    let error = CliError::usage("no_selector", "no job is named");
    error.hint("name jobs (123, 123_[1-9], name:NAME, last), or pick them: --me, -u USER, -t STATES, …")
}
