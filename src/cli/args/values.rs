//! Values of arguments that are more than text: each knows how to read itself, and says what it wanted.

use std::str::FromStr;

use crate::model::parse::selector::{self, JobSelector, SelectorError};
use crate::model::parse::span::{self, SpanError};
use crate::model::parse::states::{self, StateSet, StatesError};
use crate::model::parse::{hostlist, signal};
use crate::model::time::Seconds;

/// Job selectors between commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jobs(pub Vec<JobSelector>);

impl FromStr for Jobs {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Jobs, SelectorError> {
        selector::jobs(text).map(Jobs)
    }
}

/// Names of nodes, expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes(pub Vec<String>);

impl FromStr for Nodes {
    type Err = hostlist::HostlistError;

    fn from_str(text: &str) -> Result<Nodes, hostlist::HostlistError> {
        hostlist::expand(text).map(Nodes)
    }
}

/// Reads the states of `-t`.
pub(super) fn state_set(text: &str) -> Result<StateSet, StatesError> {
    states::set(text)
}

/// Reads a span of time; a bare number counts minutes.
pub(super) fn seconds(text: &str) -> Result<Seconds, SpanError> {
    span::span(text)
}

/// Reads a signal.
pub(super) fn signal_number(text: &str) -> Result<u8, signal::SignalError> {
    signal::number(text)
}

/// `KEY=VALUE`, or `KEY=` to take away what was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// In lower case, with dashes.
    pub key: String,
    /// As written.
    pub value: String,
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Setting { key: key.to_ascii_lowercase().replace('_', "-"), value: value.to_owned() })
            }
            _ => Err("write KEY=VALUE".to_owned()),
        }
    }
}

/// Checks that every key is one of `known`.
///
/// # Errors
/// The first that is not.
pub(super) fn check_keys(settings: &[Setting], known: &[&str]) -> Result<(), crate::cli::error::CliError> {
    match settings.iter().find(|setting| !known.contains(&setting.key.as_str())) {
        Some(setting) => {
            let message = format!("`{}` can't be set", setting.key);
            Err(crate::cli::error::CliError::usage("unknown_key", message)
                .hint(format!("one of: {}", known.join(", "))))
        }
        None => Ok(()),
    }
}
