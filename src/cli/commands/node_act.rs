//! The verbs of `jnode` that change nodes: drain, resume, down, remove.

use super::context::Context;
use super::failure::with_repeat;
use super::node_wait::until;
use super::selection::rows;
use crate::cli::args::jnode::WaitFor;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::Sheet;
use crate::cli::render::job_json::elapsed;
use crate::cli::render::quantity::{limit, span};
use crate::cli::table::terminal_width;
use crate::cli::text::{escape, print, say};
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::state::State;
use crate::model::time::WallTime;
use crate::wire::client::{Filter, NodeAct, Reply, Request, Selection};
use crate::wire::info::JobInfo;

/// A change that is told and no more.
pub(super) fn plain(context: &Context, act: NodeAct) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        done(context, client, Request::NodeAct(act)).await?;
        Ok(ExitCode::Done)
    })
}

/// Takes nodes out of service.
pub(super) fn down(
    context: &Context,
    nodes: Vec<String>,
    reason: String,
    confirmed_dead: bool,
) -> Result<ExitCode, CliError> {
    plain(context, NodeAct::Down { nodes, reason, confirmed_dead })
}

/// Drains nodes, prints the jobs that are still there and when the last of them ends at the latest; then waits, if
/// that is wanted.
pub(super) fn drain(
    context: &Context,
    nodes: Vec<String>,
    reason: String,
    deadline: Option<WallTime>,
    wait: bool,
) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let act = NodeAct::Drain { nodes: nodes.clone(), reason, deadline };
        done(context, client, Request::NodeAct(act)).await?;
        if !context.json {
            let states = State::ALL.into_iter().filter(|state| state.is_live()).collect();
            let filter = Filter { nodes: nodes.clone(), states, ..Filter::default() };
            let (jobs, _) = rows(client, Selection { selectors: vec![], filter }, true).await?;
            still_there(context, &jobs)?;
            if let Some(at) = deadline.filter(|_| !jobs.is_empty()) {
                say(&format!("what is left at {} is ended then", context.clock.local(at)));
            }
        }
        if wait { until(context, client, &nodes, WaitFor::Drained, None).await } else { Ok(ExitCode::Done) }
    })
}

/// Sends a request that is answered with words, and prints them. Such requests carry no key: they say what is to be
/// so, and saying it again changes nothing more.
///
/// # Errors
/// See [`crate::client::error::ClientError`].
pub(super) async fn done(context: &Context, client: &mut Client, request: Request) -> Result<(), CliError> {
    let answer = client.ask(&request).await.map_err(|error| with_repeat(error.into(), "the same command"))?;
    let Reply::Done { lines, warnings } = answer else { return Err(unexpected(&answer).into()) };
    if context.json {
        let text = crate::cli::json::envelope(serde_json::json!({"lines": lines}), &warnings);
        print(&(text + "\n"))?;
        return Ok(());
    }
    warnings.iter().for_each(|warning| say(&format!("{}: warning: {}", context.program, escape(warning))));
    print(&lines.iter().map(|line| format!("{}\n", escape(line))).collect::<String>())?;
    Ok(())
}

fn still_there(context: &Context, jobs: &[JobInfo]) -> Result<(), CliError> {
    if jobs.is_empty() {
        say("no job is left there");
        return Ok(());
    }
    let mut sheet = Sheet::new(&["JOBID", "NAME", "USER", "ST", ">TIME", ">LIMIT", "NODELIST"]);
    sheet.rows = jobs
        .iter()
        .map(|job| {
            vec![
                job.id.clone(),
                job.name.clone(),
                job.user.clone(),
                job.state.code().to_owned(),
                span(elapsed(job, context.clock.now).unwrap_or_default()),
                limit(job.limit),
                crate::cli::render::fold_nodes(&job.nodes),
            ]
        })
        .collect();
    print(&sheet.text(true, terminal_width()))?;
    match latest_end(jobs) {
        Some(end) => say(&format!("the last of them ends at the latest at {}", context.clock.local(end))),
        None => say("some of them have no time limit: when the last ends is not known"),
    }
    Ok(())
}

/// When the last one ends at the latest; `None` if one of them may run for ever.
fn latest_end(jobs: &[JobInfo]) -> Option<WallTime> {
    let ends: Option<Vec<WallTime>> =
        jobs.iter().map(|job| Some(job.start_time.unwrap_or(job.submit_time).plus(job.limit.0?))).collect();
    ends?.into_iter().max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::sample;
    use crate::model::ids::JobId;
    use crate::model::time::TimeLimit;

    #[test]
    fn the_latest_end_is_known_only_with_limits() {
        let running = |id| sample::job(JobId(id), State::Running);
        let later = JobInfo { start_time: Some(sample::ago(10)), ..running(2) };
        let expected = WallTime(sample::ago(10).0 + 3_600_000_000);
        assert_eq!(latest_end(&[running(1), later]), Some(expected));
        assert_eq!(latest_end(&[running(1), JobInfo { limit: TimeLimit(None), ..running(3) }]), None);
    }
}
