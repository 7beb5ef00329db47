//! `jctld config`: the cluster's configuration written out, and put in force.

use std::path::Path;

use super::context::Context;
use super::failure::with_repeat;
use crate::cli::args::jctld::Config;
use crate::cli::cluster::{differences, differences_json, entries_json, read, write};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::json::envelope;
use crate::cli::text::{escape, print, say};
use crate::client::wait::unexpected;
use crate::wire::client::{Reply, Request};
use crate::wire::config::ConfigAct;

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Does what is asked with the configuration.
pub(super) fn config(context: &Context, verb: &Config) -> Result<ExitCode, CliError> {
    match verb {
        Config::Export => export(context),
        Config::Apply { file, dry_run } => apply(context, file, *dry_run),
    }
}

fn export(context: &Context) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let answer = client.ask(&Request::Config(ConfigAct::Export)).await?;
        let Reply::Configuration(entries) = answer else { return Err(unexpected(&answer).into()) };
        if context.json {
            context.print_json(entries_json(&entries))?;
        } else {
            print(&write(&entries))?;
        }
        Ok(ExitCode::Done)
    })
}

fn apply(context: &Context, file: &Path, dry_run: bool) -> Result<ExitCode, CliError> {
    let name = file.display().to_string();
    let understood = read(&name, &text_of(file)?)?;
    let wanted = Box::new(understood.wanted.clone());
    let request = Request::Config(ConfigAct::Apply { wanted, dry_run });
    context.with_client(async |client| {
        let answer =
            client.ask(&request).await.map_err(|error| with_repeat(error.into(), "the same command"))?;
        let (changes, warnings) = match answer {
            Reply::Configured { changes, warnings } => (changes, warnings),
            Reply::Misconfigured(misfit) => return Err(understood.error(&misfit)),
            other => return Err(unexpected(&other).into()),
        };
        if context.json {
            print(&(envelope(differences_json(&changes, dry_run), &warnings) + "\n"))?;
            return Ok(ExitCode::Done);
        }
        warnings
            .iter()
            .for_each(|warning| say(&format!("{}: warning: {}", context.program, escape(warning))));
        print(&differences(&changes))?;
        say(match (changes.len(), dry_run) {
            (0, _) => "nothing to change: all of it is so already",
            (_, true) => "nothing was changed: this was a dry run",
            (_, false) => "done",
        });
        Ok(ExitCode::Done)
    })
}

fn text_of(file: &Path) -> Result<String, CliError> {
    let name = file.display().to_string();
    let cannot = |error: std::io::Error| {
        CliError::new(ExitCode::Refused, "file", format!("it can't be read: {error}")).in_file(name.clone())
    };
    let size = std::fs::metadata(file).map_err(cannot)?.len();
    if size > FILE_BYTES_MAX {
        let message = format!("{size} bytes are more than {FILE_BYTES_MAX}");
        return Err(CliError::script("bad_configuration", message).in_file(name));
    }
    std::fs::read_to_string(file).map_err(cannot)
}
