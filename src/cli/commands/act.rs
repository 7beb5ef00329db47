//! The verbs that change jobs: a line for each, old state and new state.

use super::context::Context;
use super::failure::{repeat, with_repeat};
use super::show::found;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::act::{act_json, act_line, act_total};
use crate::cli::text::{escape, print, say};
use crate::client::error::ClientError;
use crate::client::key;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::wire::client::{Act, ActLine, KEY_BYTES_MAX, Reply, Request, Selection, Verb};

/// An act as the command line asked for it.
pub(super) struct Wanted<'a> {
    /// What.
    pub verb: Verb,
    /// To whom.
    pub selection: Selection,
    /// Only say what would happen.
    pub dry_run: bool,
    /// `--key`.
    pub key: Option<&'a str>,
    /// Whether it was typed as a verb, so that its options come behind it.
    pub is_verb: bool,
}

/// Does it and prints what was done.
pub(super) fn act(context: &Context, wanted: Wanted<'_>) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let dry_run = wanted.dry_run;
        let lines = ask(context, client, wanted).await?;
        tell(context, &lines, dry_run)?;
        Ok(found(lines.len()))
    })
}

/// Does it.
///
/// # Errors
/// See [`ClientError`]; with an unknown outcome the command that repeats it.
pub(super) async fn ask(
    context: &Context,
    client: &mut Client,
    wanted: Wanted<'_>,
) -> Result<Vec<ActLine>, CliError> {
    let key = key_or_random(wanted.key)?;
    let again = repeat(context.program, wanted.is_verb, &key);
    let act = Act { key, verb: wanted.verb, selection: wanted.selection, dry_run: wanted.dry_run };
    match client.ask(&Request::Act(act)).await.map_err(|error| with_repeat(error.into(), &again))? {
        Reply::Acted { lines } => Ok(lines),
        other => Err(unexpected(&other).into()),
    }
}

/// Prints the lines, and how many there were if more than one.
///
/// # Errors
/// When standard output is gone.
pub(super) fn tell(context: &Context, lines: &[ActLine], dry_run: bool) -> Result<(), CliError> {
    if context.json {
        return context.print_json(act_json(lines, dry_run));
    }
    let text: String = lines.iter().map(|line| format!("{}\n", escape(&act_line(line)))).collect();
    print(&text)?;
    if let Some(total) = act_total(lines, dry_run) {
        say(&total);
    }
    Ok(())
}

/// The key that the user chose, or a new one.
///
/// # Errors
/// One that is too long (64).
pub(super) fn key_or_random(given: Option<&str>) -> Result<String, CliError> {
    let Some(key) = given else {
        return key::random().map_err(|error| ClientError::System(error.to_string()).into());
    };
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    let words = format!("--key: 1 to {KEY_BYTES_MAX} visible ASCII characters");
    if fits { Ok(key.to_owned()) } else { Err(CliError::usage("malformed_value", words).option("--key")) }
}
