//! `jcancel`: ends jobs or sends them a signal, a line for each.

use std::io::BufRead;

use super::act::{Wanted, ask, tell};
use super::context::{Context, tell_of_losses};
use super::selection::{Ended, rows, selection, selector};
use super::show::found;
use super::waiting::{Manner, names, outcomes_of};
use crate::cli::args::jcancel::JCancel;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::text::{escape, say};
use crate::client::interrupt::Interrupt;
use crate::client::session::Client;
use crate::model::parse;
use crate::wire::client::{ActLine, Filter, Selection, Selector, Verb};

const PROGRAM: &str = "jcancel";

/// Runs `jcancel`.
///
/// # Errors
/// Everything that is reported with an exit code of its own.
pub fn jcancel(given: JCancel) -> Result<ExitCode, CliError> {
    let context = Context::new(PROGRAM, &given.general);
    let mut selection = selection(&given.selection, Ended::IfAsked, context.clock.now)?;
    let verb = match given.signal {
        Some(signal) => Verb::Signal { signal, batch_only: given.batch },
        None => Verb::Cancel { reason: given.reason.clone().unwrap_or_default() },
    };
    context.with_client(async |client| {
        if given.interactive {
            selection = confirmed(client, selection).await?;
            if selection.selectors.is_empty() {
                return Ok(ExitCode::Done);
            }
        }
        let (dry_run, key) = (given.dry_run, given.key.as_deref());
        let lines = ask(&context, client, Wanted { verb, selection, dry_run, key, is_verb: false }).await?;
        tell(&context, &lines, dry_run)?;
        if given.wait && !dry_run && !lines.is_empty() {
            return until_dead(&context, client, &lines).await;
        }
        Ok(found(lines.len()))
    })
}

/// Asks about each job that is meant; what is left are those with a yes.
async fn confirmed(client: &mut Client, selection: Selection) -> Result<Selection, CliError> {
    let by_task = !selection.filter.states.is_empty();
    let (jobs, _) = rows(client, selection, by_task).await?;
    let mut selectors = Vec::new();
    let mut answers = std::io::stdin().lock().lines();
    for job in jobs.iter().filter(|job| !job.state.is_end()) {
        say(&format!("cancel {} {} ({})? [y/N]", job.id, escape(&job.name), job.state));
        let answer = answers.next().and_then(Result::ok).unwrap_or_default();
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            selectors.push(named(&job.id).unwrap_or(Selector::Number(job.job)));
        }
    }
    Ok(Selection { selectors, filter: Filter::default() })
}

/// Waits until what was cancelled is dead. How it ended is no verdict on the cancel, so the exit code is 0.
async fn until_dead(context: &Context, client: &mut Client, lines: &[ActLine]) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tell_of_losses(client, context.program);
    let selectors: Vec<Selector> = lines.iter().filter_map(|line| named(&line.id)).collect();
    let ids: Vec<String> = lines.iter().map(|line| line.id.clone()).collect();
    let manner = Manner { quiet: true, names: names(&ids), ..Manner::default() };
    match outcomes_of(client, selectors, &manner, &mut interrupt).await? {
        Ok(_) => Ok(ExitCode::Done),
        Err(ended) => Ok(ended),
    }
}

/// What an id of the controller names; `%limit` within it says nothing about that.
fn named(id: &str) -> Option<Selector> {
    let plain = match id.split_once('%') {
        Some((before, after)) => {
            format!("{before}{}", after.trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        None => id.to_owned(),
    };
    parse::selector::job(&plain).ok().map(selector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::commands::selection::written;

    #[test]
    fn ids_of_the_controller_name_what_they_say() {
        for (id, means) in [("7", "7"), ("7_4", "7_4"), ("7_[0-9%5]", "7_[0-9]"), ("7_[1,3]", "7_[1,3]")] {
            assert_eq!(named(id).as_ref().map(written).as_deref(), Some(means));
        }
        assert_eq!(named("x%"), None);
    }
}
