//! What every command needs around its work: configuration, a small runtime, a client, and an orderly end.

use std::path::PathBuf;

use serde_json::Value;

use crate::cli::args::General;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::json::envelope;
use crate::cli::moment::{Towards, place};
use crate::cli::render::quantity::Clock;
use crate::cli::text::{print, say};
use crate::client::config::Search;
use crate::client::renew::stay_renewed;
use crate::client::session::{Client, Notice};
use crate::model::time::WallTime;

/// A command that is running.
pub(super) struct Context {
    /// Its name, for what it says on standard error.
    pub program: &'static str,
    /// Whether the answer is JSON.
    pub json: bool,
    /// The moment and the zone of its tables.
    pub clock: Clock,
    config: Option<PathBuf>,
}

impl Context {
    /// With what all commands take.
    pub(super) fn new(program: &'static str, general: &General) -> Context {
        Context { program, json: general.json, clock: Clock::system(), config: general.config.clone() }
    }

    /// As [`with_client`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn with_client<T>(
        &self,
        work: impl AsyncFnOnce(&mut Client) -> Result<T, CliError>,
    ) -> Result<T, CliError> {
        with_client(self.config.clone(), work)
    }

    /// Prints data in the envelope.
    ///
    /// # Errors
    /// When standard output is gone.
    pub(super) fn print_json(&self, data: Value) -> Result<(), CliError> {
        Ok(print(&(envelope(data, &[]) + "\n"))?)
    }
}

/// Finds the configuration, runs `work` with a client on a runtime of this one thread, and closes the connection.
///
/// # Errors
/// What `work` gives, and 78 when there is no usable configuration.
pub(super) fn with_client<T>(
    config: Option<PathBuf>,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let way = Search::from_environment(config).way()?;
    run(async {
        let mut client = Client::new(way.clone());
        let outcome = tokio::select! {
            outcome = work(&mut client) => outcome,
            never = stay_renewed(way) => match never {},
        };
        if let Some(word) = client.renew_if_due(Clock::system().now).await {
            say(&format!("warning: {word}"));
        }
        client.finish().await;
        outcome
    })
}

/// One client more, with a connection of its own.
///
/// # Errors
/// 78 when there is no usable configuration.
pub(super) fn new_client(config: Option<PathBuf>) -> Result<Client, CliError> {
    Ok(Client::new(Search::from_environment(config).way()?))
}

/// Runs on a runtime of this one thread: making more would take longer than most commands.
///
/// # Errors
/// What `work` gives.
pub(super) fn run<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        CliError::new(ExitCode::Refused, "system", format!("no event loop could be made: {error}"))
    })?;
    runtime.block_on(work)
}

/// Lets a client that waits say on standard error when it loses the controller and finds it again.
pub(super) fn tell_of_losses(client: &mut Client, program: &'static str) {
    client.on_notice(move |notice| match notice {
        Notice::Lost(reason) => say(&format!("{program}: {reason}; still trying")),
        Notice::Back => say(&format!("{program}: the controller is back")),
    });
}

/// Places a moment that an option names.
///
/// # Errors
/// What is no moment (64).
pub(super) fn moment(
    text: &str,
    clock: &Clock,
    towards: Towards,
    option: &str,
) -> Result<WallTime, CliError> {
    place(text, clock.now, &clock.zone, towards)
        .map_err(|error| CliError::usage("malformed_value", error.to_string()).option(option))
}
