//! `jqueue wait`: blocks until jobs have ended or started, and exits as they ended.

use std::time::Duration;

use serde_json::{Value, json};

use super::context::{Context, tell_of_losses};
use super::selection::{Ended, fixed, selection};
use super::show::found;
use super::waiting::{Manner, names, outcomes_of};
use crate::cli::args::filters;
use crate::cli::args::jqueue::WaitFor;
use crate::cli::error::{CliError, ExitCode};
use crate::client::interrupt::Interrupt;
use crate::client::wait::exit_code;
use crate::model::time::Seconds;

/// Waits.
pub(super) fn wait(
    context: &Context,
    given: &filters::Selection,
    what: WaitFor,
    timeout: Option<Seconds>,
) -> Result<ExitCode, CliError> {
    let selection = selection(given, Ended::IfAsked, context.clock.now)?;
    context.with_client(async |client| {
        let mut interrupt = Interrupt::listen()?;
        tell_of_losses(client, context.program);
        let (selectors, ids) = fixed(client, selection).await?;
        if selectors.is_empty() {
            return Ok(found(0));
        }
        let manner = Manner {
            start: what == WaitFor::Start,
            timeout: timeout.map(|span| Duration::from_secs(span.0)),
            quiet: context.json,
            names: names(&ids),
        };
        match outcomes_of(client, selectors, &manner, &mut interrupt).await? {
            Ok(outcomes) => {
                if context.json {
                    let items = outcomes
                        .iter()
                        .map(|one| json!({"id": one.id, "state": one.state.word(), "code": one.code}));
                    context.print_json(Value::Array(items.collect()))?;
                }
                Ok(ExitCode::Waited(exit_code(&outcomes)))
            }
            Err(ended) => Ok(ended),
        }
    })
}
