//! `jqueue show`: the whole record and its timeline.

use serde_json::Value;

use super::context::Context;
use super::selection::{Ended, is_single, selection};
use crate::cli::args::filters;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render;
use crate::cli::render::job_json::detail_json;
use crate::cli::text::{print, say};
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::wire::client::{Reply, Request, Selection};
use crate::wire::info::JobDetail;

/// Shows jobs in full.
pub(super) fn show(context: &Context, given: &filters::Selection) -> Result<ExitCode, CliError> {
    let selection = selection(given, Ended::Always, context.clock.now)?;
    let single = is_single(&selection);
    context.with_client(async |client| {
        let details = details(client, selection).await?;
        if context.json {
            let items: Vec<Value> =
                details.iter().map(|detail| Value::Object(detail_json(detail, &context.clock))).collect();
            context.print_json(one_or_all(items, single))?;
        } else {
            let texts: Vec<String> =
                details.iter().map(|detail| render::show::show(detail, &context.clock)).collect();
            print(&texts.join("\n"))?;
        }
        Ok(found(details.len()))
    })
}

/// Jobs in full, from the controller.
///
/// # Errors
/// See [`crate::client::error::ClientError`].
pub(super) async fn details(client: &mut Client, selection: Selection) -> Result<Vec<JobDetail>, CliError> {
    match client.ask(&Request::Show(selection)).await? {
        Reply::Detail(details) => Ok(details),
        other => Err(unexpected(&other).into()),
    }
}

/// One object for what names one thing, else a list.
pub(super) fn one_or_all(mut items: Vec<Value>, single: bool) -> Value {
    match items.pop() {
        Some(only) if single && items.is_empty() => only,
        Some(last) => {
            items.push(last);
            Value::Array(items)
        }
        None => Value::Array(items),
    }
}

/// That a filter hits nothing is no failure, but worth a word.
pub(super) fn found(count: usize) -> ExitCode {
    if count == 0 {
        say("no job matches");
    }
    ExitCode::Done
}
