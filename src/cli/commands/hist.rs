//! `jqueue hist` and `jqueue eff`: what has ended, and what it used against what it asked for.

use serde_json::Value;

use super::context::{Context, moment};
use super::selection::{Ended, selection};
use super::show::found;
use crate::cli::args::filters;
use crate::cli::args::jqueue::Hist;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::moment::Towards;
use crate::cli::render::eff::{eff as eff_table, eff_json};
use crate::cli::render::hist::{hist as hist_table, task_indexes};
use crate::cli::render::job_json::ended_json;
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::wire::client::{Reply, Request, Selection};
use crate::wire::info::EndedRow;

/// Lists what has ended.
pub(super) fn hist(context: &Context, hist: &Hist) -> Result<ExitCode, CliError> {
    let clock = &context.clock;
    let mut selection = selection(&hist.selection, Ended::Always, clock.now)?;
    selection.filter.own &= !hist.all || hist.selection.filters.me;
    if let Some(text) = &hist.start {
        selection.filter.ended_since = Some(moment(text, clock, Towards::Past, "--start")?);
    }
    let until = hist.end.as_deref().map(|text| moment(text, clock, Towards::Past, "--end")).transpose()?;
    let columns = Columns::of(hist.format.as_deref())?;
    context.with_client(async |client| {
        let mut rows = ended(client, selection).await?;
        rows.retain(|row| until.is_none_or(|until| row.end.end < until));
        match columns {
            Columns::Tasks => {
                let lines = task_indexes(&rows).map_err(|error| {
                    CliError::new(ExitCode::Refused, "protocol", format!("the controller's rows: {error}"))
                })?;
                if context.json {
                    context.print_json(Value::from(lines))?;
                } else {
                    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
                }
            }
            _ if context.json => {
                context.print_json(rows.iter().map(|row| Value::Object(ended_json(row))).collect())?;
            }
            Columns::All => print(&hist_table(&rows, clock).text(!hist.no_header, terminal_width()))?,
            Columns::Some(titles) => {
                let sheet = hist_table(&rows, clock).columns_named(&titles);
                print(&sheet.text(!hist.no_header, terminal_width()))?;
            }
        }
        Ok(found(rows.len()))
    })
}

/// Shows used against asked.
pub(super) fn eff(context: &Context, given: &filters::Selection) -> Result<ExitCode, CliError> {
    let selection = selection(given, Ended::Always, context.clock.now)?;
    context.with_client(async |client| {
        let rows = ended(client, selection).await?;
        if context.json {
            context.print_json(rows.iter().map(|row| Value::Object(eff_json(row))).collect())?;
        } else {
            print(&eff_table(&rows).text(true, terminal_width()))?;
        }
        Ok(found(rows.len()))
    })
}

/// What `-o` asks for.
enum Columns {
    All,
    Tasks,
    Some(Vec<&'static str>),
}

impl Columns {
    fn of(text: Option<&str>) -> Result<Columns, CliError> {
        let Some(text) = text else { return Ok(Columns::All) };
        if text.eq_ignore_ascii_case("tasks") {
            return Ok(Columns::Tasks);
        }
        let known: Vec<&str> = hist_table(&[], &crate::cli::render::quantity::Clock::system())
            .columns
            .iter()
            .map(|c| c.title)
            .collect();
        let find = |word: &str| known.iter().copied().find(|title| title.eq_ignore_ascii_case(word.trim()));
        let titles: Option<Vec<_>> = text.split(',').map(find).collect();
        titles.map(Columns::Some).ok_or_else(|| {
            let error =
                CliError::usage("malformed_value", format!("`{text}` names a column that is not there"));
            error.option("--format").hint(format!("`tasks`, or some of {}", known.join(",")))
        })
    }
}

async fn ended(client: &mut Client, selection: Selection) -> Result<Vec<EndedRow>, CliError> {
    let is_last = |reply: &Reply| !matches!(reply, Reply::Ended { last: false, .. });
    let mut all = Vec::new();
    for reply in client.collect(&Request::Ended(selection), is_last).await? {
        match reply {
            Reply::Ended { mut rows, .. } => all.append(&mut rows),
            other => return Err(unexpected(&other).into()),
        }
    }
    Ok(all)
}
