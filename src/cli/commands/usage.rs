//! `jqueue usage` and `jqueue whoami`: who uses how much, and who the caller is.

use super::context::Context;
use crate::cli::args::jqueue::By;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::quantity::Clock;
use crate::cli::render::usage::{usage as usage_table, usage_json};
use crate::cli::render::whoami::{Side, whoami as whoami_text, whoami_json};
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::wait::unexpected;
use crate::wire::client::{Reply, Request, UsageBy};

/// Sums usage.
pub(super) fn usage(context: &Context, by: By) -> Result<ExitCode, CliError> {
    let by = match by {
        By::User => UsageBy::User,
        By::Account => UsageBy::Account,
        By::Partition => UsageBy::Partition,
    };
    context.with_client(async |client| {
        let answer = client.ask(&Request::Usage(by)).await?;
        let Reply::Usage(rows) = answer else { return Err(unexpected(&answer).into()) };
        if context.json {
            context.print_json(usage_json(&rows, by))?;
        } else {
            print(&usage_table(&rows, by).text(true, terminal_width()))?;
        }
        Ok(ExitCode::Done)
    })
}

/// Says who one is.
pub(super) fn whoami(context: &Context) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let answer = client.ask(&Request::Whoami).await?;
        let Reply::Whoami(who) = answer else { return Err(unexpected(&answer).into()) };
        let expires = client.credentials()?.map(|credentials| credentials.bearer().validity.not_after);
        let side = Side { controller: client.address().to_owned(), certificate_expires: expires };
        // The moment of the answer, so that the clocks are compared and not the journey.
        let clock = Clock { now: crate::cli::render::quantity::wall_now(), zone: context.clock.zone.clone() };
        if context.json {
            context.print_json(whoami_json(&who, &side, &clock))?;
        } else {
            print(&whoami_text(&who, &side, &clock))?;
        }
        Ok(ExitCode::Done)
    })
}
