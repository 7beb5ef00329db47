//! `jqueue log`: a job's output, live or afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::context::{Context, tell_of_losses};
use super::selection::{Ended, rows, select, selector};
use super::submit::{tell_gaps, write_out};
use crate::cli::args::jqueue::Log;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::text::say;
use crate::client::follow::{Follow, Followed};
use crate::client::interrupt::Interrupt;
use crate::client::session::Client;
use crate::model::ids::Attempt;
use crate::model::parse;
use crate::wire::client::Selector;
use crate::wire::data::From;

/// The most tasks whose output one call prints.
pub const LOG_TASKS_MAX: usize = 10_000;
/// The most bytes of one task's output that are kept, to find equal ones or for JSON. Of a longer one the end counts.
pub const LOG_KEPT_BYTES_MAX: usize = 1 << 20;

/// Prints output.
pub(super) fn log(context: &Context, log: &Log) -> Result<ExitCode, CliError> {
    let named =
        log.selectors.iter().chain(&log.filters.jobs).flat_map(|jobs| jobs.0.iter().cloned()).collect();
    let selection = select(named, &log.filters, &[], Ended::Always, context.clock.now)?;
    if log.follow && context.json {
        return Err(CliError::usage("contradiction", "--follow prints bytes, no JSON").option("--json"));
    }
    context.with_client(async |client| {
        let (tasks, _) = rows(client, selection, true).await?;
        let ids: Vec<String> = tasks.into_iter().map(|task| task.id).collect();
        if ids.len() > LOG_TASKS_MAX {
            let words = format!("{} tasks are more than the {LOG_TASKS_MAX} of one call", ids.len());
            return Err(CliError::usage("too_many_tasks", words).hint("pick some: `123_[1-100]`, `-t bad`"));
        }
        match ids.as_slice() {
            [] => Err(CliError::new(ExitCode::Refused, "no_such_job", "no job matches")),
            [only] if !context.json => one(context, client, log, only).await,
            several if log.follow => {
                let words = format!("--follow shows one job; {} match", several.len());
                Err(CliError::usage("contradiction", words).option("--follow").hint("name one task: 123_4"))
            }
            several => each(context, client, log, several).await,
        }
    })
}

async fn one(context: &Context, client: &mut Client, log: &Log, id: &str) -> Result<ExitCode, CliError> {
    let wanted = follow(log, id)?;
    let mut interrupt = Interrupt::listen()?;
    tell_of_losses(client, context.program);
    tokio::select! {
        followed = client.follow(&wanted, write_out) => tell_gaps(&followed?),
        () = interrupt.heard() => {}
    }
    Ok(ExitCode::Done)
}

/// Several: equal outputs once, with the ids that have them.
async fn each(
    context: &Context,
    client: &mut Client,
    log: &Log,
    ids: &[String],
) -> Result<ExitCode, CliError> {
    let mut by_output: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut outputs: Vec<(Vec<String>, Vec<u8>, Followed)> = Vec::new();
    for id in ids {
        let (bytes, followed) = kept(client, &follow(log, id)?).await?;
        match by_output.get(&bytes).and_then(|at| outputs.get_mut(*at)) {
            Some((same, ..)) => same.push(id.clone()),
            None => {
                by_output.insert(bytes.clone(), outputs.len());
                outputs.push((vec![id.clone()], bytes, followed));
            }
        }
    }
    if context.json {
        let items = outputs.iter().map(|(ids, bytes, followed)| {
            let missing: u64 = followed.gaps.iter().map(|gap| gap.end.saturating_sub(gap.first)).sum();
            json!({"ids": ids, "output": String::from_utf8_lossy(bytes), "bytes_missing": missing})
        });
        context.print_json(Value::Array(items.collect()))?;
        return Ok(ExitCode::Done);
    }
    for (ids, bytes, followed) in &outputs {
        write_out(format!("==> {} <==\n", ids.join(" ")).as_bytes())?;
        write_out(bytes)?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            write_out(b"\n")?;
        }
        tell_gaps(followed);
    }
    Ok(ExitCode::Done)
}

async fn kept(client: &mut Client, wanted: &Follow) -> Result<(Vec<u8>, Followed), CliError> {
    let (mut bytes, mut cut) = (Vec::new(), 0_u64);
    let followed = client
        .follow(wanted, |more| {
            bytes.extend_from_slice(more);
            let surplus = bytes.len().saturating_sub(LOG_KEPT_BYTES_MAX);
            bytes.drain(..surplus);
            cut = cut.saturating_add(surplus as u64);
            Ok(())
        })
        .await?;
    if cut > 0 {
        say(&format!(
            "{}: the first {cut} bytes are left out; `jqueue log {}` has them",
            followed.id, followed.id
        ));
    }
    Ok((bytes, followed))
}

fn follow(log: &Log, id: &str) -> Result<Follow, CliError> {
    let named: Selector = parse::selector::job(id).map(selector).map_err(|error| {
        CliError::new(ExitCode::Refused, "protocol", format!("the controller's id: {error}"))
    })?;
    let from = match log.lines {
        Some(lines) => From::LastLines(u32::try_from(lines).unwrap_or(u32::MAX)),
        None => From::Offset(0),
    };
    Ok(Follow { selector: named, attempt: log.attempt.map(Attempt), error: log.err, from, live: log.follow })
}
