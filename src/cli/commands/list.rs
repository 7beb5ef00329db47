//! `jqueue` without a verb: the list, and when waiting jobs start.

use std::io::IsTerminal;

use serde_json::Value;

use super::context::{Context, moment};
use super::selection::{ALL_HISTORY, Ended, a_day_before, all_rows, select};
use crate::cli::args::jqueue::List;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::moment::Towards;
use crate::cli::render::format::{Format, FormatError, help, parse_sort, sort};
use crate::cli::render::job_field::JobField;
use crate::cli::render::job_json::job_json;
use crate::cli::render::{Sheet, quantity, receipt};
use crate::cli::table::terminal_width;
use crate::cli::text::{print, say};
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::state::State;
use crate::wire::client::{self as wire, Reply, Request, Selection};

/// Lists.
pub(super) fn list(context: &Context, list: &List) -> Result<ExitCode, CliError> {
    if list.format.as_deref() == Some("help") {
        print(&help().text(true, terminal_width()))?;
        return Ok(ExitCode::Done);
    }
    let look = Look::of(list)?;
    let selection = selection(context, list)?;
    if list.watch {
        return super::watch::watch(context, list, &look, selection);
    }
    context.with_client(async |client| {
        if list.start {
            return starts(context, list, client, selection).await;
        }
        let brief = !context.json && !look.shows_private();
        let asked = wire::List { selection, expand: list.array, brief };
        let (mut jobs, footer) = all_rows(client, asked).await?;
        sort(&mut jobs, &look.sort, &context.clock);
        if context.json {
            let items = jobs.iter().map(|job| Value::Object(job_json(job, &context.clock)));
            context.print_json(Value::Array(items.collect()))?;
        } else {
            let width = terminal_width();
            print(&look.format.text(&jobs, &context.clock, !list.no_header, width))?;
        }
        // The footer is for a person who looks at the list, not for a script that reads it.
        let wanted = std::io::stderr().is_terminal() && !context.json && !list.no_header;
        if let Some(line) = receipt::footer(&footer).filter(|_| wanted) {
            say(&line);
        }
        Ok(ExitCode::Done)
    })
}

/// `jqueue top`: everybody's jobs, what runs first, redrawn as they change.
pub(super) fn everything_live(given: &List) -> List {
    let sort = given.sort.clone().or_else(|| Some("-start_time".to_owned()));
    List { all: true, watch: true, sort, ..given.clone() }
}

/// How the list looks.
pub(super) struct Look {
    /// Its columns.
    pub format: Format,
    /// Its order; empty: as the controller has it.
    pub sort: Vec<(&'static JobField, bool)>,
}

impl Look {
    fn of(list: &List) -> Result<Look, CliError> {
        let format = match &list.format {
            Some(text) => Format::parse(text).map_err(|error| bad_format(&error, "--format"))?,
            None => Format::standard(list.long),
        };
        let sort = match &list.sort {
            Some(text) => parse_sort(text).map_err(|error| bad_format(&error, "--sort"))?,
            None => Vec::new(),
        };
        Ok(Look { format, sort })
    }

    /// Whether it needs what only a job's owner may see.
    fn shows_private(&self) -> bool {
        self.format.fields().chain(self.sort.iter().map(|(field, _)| *field)).any(JobField::is_private)
    }
}

/// Which jobs: own ones unless `-a`, `-u` or a selector says otherwise.
fn selection(context: &Context, list: &List) -> Result<Selection, CliError> {
    let named: Vec<_> = list.filters.jobs.iter().flat_map(|jobs| jobs.0.iter().cloned()).collect();
    let is_named = !named.is_empty();
    let mut selection = select(named, &list.filters, &list.names.name, Ended::IfAsked, context.clock.now)?;
    if list.all && !list.filters.me {
        selection.filter.own = false;
    }
    let since = list.since.as_deref().map(|text| moment(text, &context.clock, Towards::Past, "--since"));
    if let Some(since) = since.transpose()? {
        selection.filter.ended_since = Some(since);
    } else if is_named {
        // Who asks for a job by its number wants to see it, ended or not.
        selection.filter.ended_since = Some(ALL_HISTORY);
    } else if selection.filter.ended_since.is_some() {
        selection.filter.ended_since = Some(a_day_before(context.clock.now));
    }
    if list.start {
        selection.filter.states = vec![State::Pending, State::Held];
    }
    Ok(selection)
}

async fn starts(
    context: &Context,
    list: &List,
    client: &mut Client,
    selection: Selection,
) -> Result<ExitCode, CliError> {
    let answer = client.ask(&Request::Show(selection)).await?;
    let Reply::Detail(details) = answer else { return Err(unexpected(&answer).into()) };
    if context.json {
        let items = details.iter().map(|detail| {
            let mut object = job_json(&detail.info, &context.clock);
            let start = detail.estimate.and_then(quantity::rfc3339);
            object.insert("expected_start_time".to_owned(), serde_json::json!(start));
            Value::Object(object)
        });
        context.print_json(Value::Array(items.collect()))?;
        return Ok(ExitCode::Done);
    }
    let mut sheet =
        Sheet::new(&["JOBID", "PARTITION", "NAME", "USER", "ST", "START_TIME", ">NODES", "NODELIST(REASON)"]);
    sheet.rows = details
        .iter()
        .map(|detail| {
            let job = &detail.info;
            vec![
                job.id.clone(),
                job.partition.clone(),
                job.name.clone(),
                job.user.clone(),
                job.state.code().to_owned(),
                detail.estimate.map_or_else(|| "N/A".to_owned(), |start| context.clock.local(start)),
                crate::cli::render::job_json::node_count(job).to_string(),
                crate::cli::render::job_field::place(job),
            ]
        })
        .collect();
    print(&sheet.text(!list.no_header, terminal_width()))?;
    Ok(ExitCode::Done)
}

fn bad_format(error: &FormatError, option: &str) -> CliError {
    CliError::usage("malformed_value", error.to_string())
        .option(option)
        .hint("`jqueue -o help` lists the fields")
}
