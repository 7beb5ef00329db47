//! `jqueue why` and `jqueue prio`: why a job waits or ended as it did, and its rank.

use serde_json::Value;

use super::context::Context;
use super::selection::{Ended, is_single, selection};
use super::show::{details, found, one_or_all};
use crate::cli::args::filters;
use crate::cli::args::values::Setting;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::why::{LAST_LINES, prio as prio_text, prio_json, why as why_text, why_json};
use crate::cli::text::print;
use crate::client::session::Client;
use crate::model::parse::selector;
use crate::wire::client::{Log, Reply, Request};
use crate::wire::data::{CHUNK_BYTES_MAX, From};
use crate::wire::info::JobDetail;

/// Says why.
pub(super) fn why(
    context: &Context,
    given: &filters::Selection,
    what_if: &[Setting],
) -> Result<ExitCode, CliError> {
    if !what_if.is_empty() {
        let error = CliError::script("not_supported", "not supported yet: --what-if").option("--what-if");
        return Err(error.hint("`jsubmit --test-only` says when a changed job would start"));
    }
    let selection = selection(given, Ended::Always, context.clock.now)?;
    let single = is_single(&selection);
    context.with_client(async |client| {
        let details = details(client, selection).await?;
        let (mut texts, mut items) = (Vec::new(), Vec::new());
        for detail in &details {
            let tail = if detail.info.end.is_some() { tail(client, detail).await } else { String::new() };
            if context.json {
                items.push(why_json(detail, &tail));
            } else {
                texts.push(why_text(detail, &tail, &context.clock));
            }
        }
        give(context, &texts, items, single)?;
        Ok(found(details.len()))
    })
}

/// Says where it stands in line.
pub(super) fn prio(context: &Context, given: &filters::Selection) -> Result<ExitCode, CliError> {
    let selection = selection(given, Ended::Always, context.clock.now)?;
    let single = is_single(&selection);
    context.with_client(async |client| {
        let details = details(client, selection).await?;
        let texts: Vec<String> = details.iter().map(prio_text).collect();
        give(context, &texts, details.iter().map(prio_json).collect(), single)?;
        Ok(found(details.len()))
    })
}

fn give(context: &Context, texts: &[String], items: Vec<Value>, single: bool) -> Result<(), CliError> {
    if context.json { context.print_json(one_or_all(items, single)) } else { Ok(print(&texts.join("\n"))?) }
}

/// The last lines of its error file. Whatever keeps them from being read is no reason to say nothing at all.
async fn tail(client: &mut Client, detail: &JobDetail) -> String {
    let job = &detail.info;
    let Ok(named) = selector::job(&job.id) else { return String::new() };
    let request = Request::Log(Log {
        selector: super::selection::selector(named),
        attempt: None,
        error: job
            .private
            .as_ref()
            .is_some_and(|private| !private.error.is_empty() && private.error != private.output),
        from: From::LastLines(LAST_LINES),
        bytes: CHUNK_BYTES_MAX,
        wait_ms: 0,
    });
    match client.ask(&request).await {
        Ok(Reply::Output(output)) => String::from_utf8_lossy(&output.bytes).into_owned(),
        _ => String::new(),
    }
}
