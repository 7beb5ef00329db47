//! `jsubmit`: sends what was prepared, prints the ids as soon as they are durable, and stays if it was asked to.

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::{tell_of_losses, with_client};
use super::failure::{refused, repeat, with_repeat};
use super::tied;
use super::waiting::{Manner, Waited, interrupted, names, wait, wait_for};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::json::envelope;
use crate::cli::render::quantity::{Clock, rfc3339};
use crate::cli::render::receipt;
use crate::cli::request::{Prepared, Waiting, show};
use crate::cli::text::{escape, print, say};
use crate::client::error::ClientError;
use crate::client::follow::{Follow, Followed};
use crate::client::interrupt::Interrupt;
use crate::client::key;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::model::ids::JobId;
use crate::model::spec::Output;
use crate::wire::client::{
    KEY_BYTES_MAX, Receipt, Reply, Request, SUBMIT_JOBS_MAX, Selection, Selector, Submit,
};
use crate::wire::data::From;
use crate::wire::node::Content;

const PROGRAM: &str = "jsubmit";

/// Runs `jsubmit`.
///
/// # Errors
/// Everything that is reported with an exit code of its own.
pub fn jsubmit(mut prepared: Prepared) -> Result<ExitCode, CliError> {
    if prepared.test_only {
        return test_only(prepared);
    }
    let is_array = prepared.jobs.iter().any(|job| job.spec.array.is_some());
    if prepared.waiting == Waiting::Follow && is_array {
        let error =
            CliError::usage("contradiction", "--follow shows one job; an array has many").option("--follow");
        return Err(error.hint("--wait waits for all its tasks; `jqueue log -f 123_4` follows one"));
    }
    warn(&prepared, &prepared.warnings);
    if prepared.verbose && !prepared.quiet {
        prepared.jobs.iter().flat_map(show::lines).for_each(|line| say(&line));
    }
    let key = match prepared.key.take() {
        Some(key) => key,
        None => key::random().map_err(|error| ClientError::System(error.to_string()))?,
    };
    let again = repeat(PROGRAM, false, &key);
    let request = Request::Submit(request(&mut prepared, key, false)?);
    with_client(config(&prepared), async |client| {
        let answer = client.ask(&request).await.map_err(|error| with_repeat(error.into(), &again))?;
        let Reply::Submitted { jobs, receipt, warnings } = answer else {
            return Err(unexpected(&answer).into());
        };
        // Before the id is out: whoever has read it may send the signal.
        let listen = prepared.waiting != Waiting::No;
        let mut interrupt = listen.then(Interrupt::listen).transpose()?;
        let tied = tied::of(&prepared, &jobs);
        if !tied.is_empty() {
            interrupt = interrupt.map(Interrupt::with_hangup).transpose()?;
        }
        tell(&prepared, &jobs, &warnings)?;
        if let (Some(first), true) = (jobs.first(), for_a_person(&prepared)) {
            let receipt = with_start(client, receipt, *first).await;
            say(&receipt::receipt(&receipt, &Clock::system()));
        }
        let Some(mut interrupt) = interrupt else { return Ok(ExitCode::Done) };
        if tied.is_empty() {
            return remain(client, &prepared, &jobs, &mut interrupt).await;
        }
        tied::remain(client, &prepared, &jobs, &tied, &mut interrupt).await
    })
}

/// Stays until the end, with the output if that was asked for.
pub(super) async fn remain(
    client: &mut Client,
    prepared: &Prepared,
    jobs: &[JobId],
    interrupt: &mut Interrupt,
) -> Result<ExitCode, CliError> {
    match prepared.waiting {
        Waiting::Follow => follow(client, prepared, jobs, interrupt).await,
        Waiting::End | Waiting::No => stay(client, prepared, jobs, interrupt).await,
    }
}

/// `--test-only`: what was understood here, and what the controller says to it. A request that this side can't honour
/// is not sent; a controller that can't be asked is a warning.
fn test_only(mut prepared: Prepared) -> Result<ExitCode, CliError> {
    let mut data = show::data(&prepared);
    let lines: Vec<String> = prepared.jobs.iter().flat_map(show::lines).collect();
    let mut said = prepared.warnings.clone();
    let mut answer = None;
    if prepared.jobs.iter().all(|job| job.refused.is_empty()) {
        let request = Request::Submit(request(&mut prepared, "test-only".to_owned(), true)?);
        let asked =
            with_client(config(&prepared), async |client| client.ask(&request).await.map_err(CliError::from));
        match asked {
            Ok(Reply::Submitted { receipt, warnings, .. }) => {
                said.extend(warnings);
                answer = Some(Ok(receipt));
            }
            Ok(Reply::Refused(refusal)) => answer = Some(Err(refused(&refusal))),
            Ok(other) => return Err(unexpected(&other).into()),
            Err(error)
                if matches!(error.code, ExitCode::Refused | ExitCode::BadScript | ExitCode::Forbidden) =>
            {
                answer = Some(Err(error));
            }
            Err(error) => said.push(format!("the controller was not asked: {error}")),
        }
    }
    if prepared.json {
        complete(&mut data, answer.as_ref());
        print(&(envelope(data, &said) + "\n"))?;
        return Ok(answer.and_then(Result::err).map_or(ExitCode::Done, |error| error.code));
    }
    said.iter().for_each(|warning| say(&format!("{PROGRAM}: warning: {warning}")));
    print(&(lines.join("\n") + "\n"))?;
    match answer {
        Some(Ok(receipt)) => print(&(receipt::receipt(&receipt, &Clock::system()) + "\n"))?,
        Some(Err(error)) => return Err(error),
        None => {}
    }
    Ok(ExitCode::Done)
}

/// Puts the controller's answer into the first job's data, which is what the receipt is about.
fn complete(data: &mut Value, answer: Option<&Result<Receipt, CliError>>) {
    let first = match data {
        Value::Array(jobs) => jobs.first_mut(),
        one => Some(one),
    };
    let Some(Value::Object(job)) = first else { return };
    match answer {
        Some(Ok(receipt)) => {
            job.insert("start".to_owned(), json!(receipt.start.and_then(rfc3339)));
            job.insert("nodes".to_owned(), json!(receipt.nodes));
            job.insert("granted".to_owned(), receipt::receipt_json(receipt));
        }
        Some(Err(error)) => {
            let refusal = error.json();
            let refusal = refusal.get("error").cloned().unwrap_or_default();
            job.insert("refusal".to_owned(), refusal);
        }
        None => {}
    }
}

pub(super) fn config(prepared: &Prepared) -> Option<PathBuf> {
    prepared.config.as_ref().map(PathBuf::from)
}

/// Moves the jobs and their contents into a request.
fn request(prepared: &mut Prepared, key: String, test_only: bool) -> Result<Submit, CliError> {
    if key.len() > KEY_BYTES_MAX {
        let error = CliError::usage(
            "malformed_value",
            format!("--key: {} characters are more than {KEY_BYTES_MAX}", key.len()),
        );
        return Err(error.option("--key"));
    }
    if prepared.jobs.len() > SUBMIT_JOBS_MAX {
        let words = format!("{} jobs are more than the {SUBMIT_JOBS_MAX} of one call", prepared.jobs.len());
        return Err(CliError::script("too_many_jobs", words).hint("call it for each part of the file"));
    }
    let contents = std::mem::take(&mut prepared.contents);
    Ok(Submit {
        key,
        specs: prepared.jobs.iter().map(|job| job.spec.clone().into()).collect(),
        contents: contents.into_iter().map(|(hash, bytes)| Content { hash, bytes }).collect(),
        test_only,
    })
}

/// The ids, as asked for, out and flushed; then what the user should know.
fn tell(prepared: &Prepared, jobs: &[JobId], warnings: &[String]) -> Result<(), CliError> {
    if jobs.len() != prepared.jobs.len() {
        let words = format!("{} jobs were sent and {} numbers came back", prepared.jobs.len(), jobs.len());
        return Err(ClientError::Protocol(words).into());
    }
    let text = ids(prepared, jobs, warnings);
    if prepared.waiting == Waiting::Follow {
        say(text.trim_end());
    } else {
        print(&text)?;
    }
    warn(prepared, warnings);
    Ok(())
}

/// Whether somebody sits there and reads.
fn for_a_person(prepared: &Prepared) -> bool {
    io::stderr().is_terminal() && !prepared.quiet && !prepared.json && !prepared.many
}

/// The receipt with the start, as far as the controller can say. The job is accepted either way.
async fn with_start(client: &mut Client, mut receipt: Receipt, job: JobId) -> Receipt {
    let selection = Selection { selectors: vec![Selector::Number(job)], ..Selection::default() };
    if let Ok(Reply::Detail(details)) = client.ask(&Request::Show(selection)).await
        && let Some(detail) = details.into_iter().next()
    {
        receipt.start = detail.info.start_time.or(detail.estimate);
        if detail.info.state.is_live() {
            receipt.start = receipt.start.or(Some(Clock::system().now));
            receipt.nodes = detail.info.nodes;
        }
    }
    receipt
}

fn ids(prepared: &Prepared, jobs: &[JobId], warnings: &[String]) -> String {
    if prepared.json {
        let one = |(id, label): (&JobId, &Option<String>)| match label {
            Some(label) => json!({"id": id.to_string(), "label": label}),
            None => json!({"id": id.to_string()}),
        };
        let mut each = jobs.iter().zip(prepared.jobs.iter().map(|job| &job.label)).map(one);
        let data = if prepared.many { Value::Array(each.collect()) } else { each.next().unwrap_or_default() };
        let all: Vec<String> = prepared.warnings.iter().chain(warnings).cloned().collect();
        return envelope(data, &all) + "\n";
    }
    let before = if prepared.parsable || prepared.many { "" } else { "Submitted batch job " };
    jobs.iter().map(|id| format!("{before}{id}\n")).collect()
}

/// What the user should know; with `--json` it stands in the envelope.
fn warn(prepared: &Prepared, warnings: &[String]) {
    if !prepared.json && !prepared.quiet {
        warnings.iter().for_each(|warning| say(&format!("{PROGRAM}: warning: {}", escape(warning))));
    }
}

async fn stay(
    client: &mut Client,
    prepared: &Prepared,
    jobs: &[JobId],
    interrupt: &mut Interrupt,
) -> Result<ExitCode, CliError> {
    let ids: Vec<String> = jobs.iter().map(JobId::to_string).collect();
    let manner = Manner { quiet: prepared.quiet, names: names(&ids), ..Manner::default() };
    tell_of_losses(client, PROGRAM);
    let selectors = jobs.iter().map(|id| Selector::Number(*id)).collect();
    wait(client, selectors, &manner, interrupt).await
}

async fn follow(
    client: &mut Client,
    prepared: &Prepared,
    jobs: &[JobId],
    interrupt: &mut Interrupt,
) -> Result<ExitCode, CliError> {
    let Some(id) = jobs.first() else { return Ok(ExitCode::Done) };
    let selector = Selector::Number(*id);
    let kept = prepared.jobs.iter().any(|job| !matches!(job.spec.files.output, Output::Nothing));
    if !kept {
        say("--output=none: there is no output to follow");
        return stay(client, prepared, jobs, interrupt).await;
    }
    let manner = Manner { start: true, quiet: true, names: id.to_string(), ..Manner::default() };
    tell_of_losses(client, PROGRAM);
    // The start comes by push; asking for output before it would only be asking again and again.
    let selection = Selection { selectors: vec![selector.clone()], ..Selection::default() };
    if let Waited::Interrupted = wait_for(client, selection, &manner, None, interrupt).await? {
        return Ok(interrupted(&manner.names));
    }
    let follow =
        Follow { selector: selector.clone(), attempt: None, error: false, from: From::Offset(0), live: true };
    let followed = tokio::select! {
        followed = client.follow(&follow, write_out) => followed?,
        () = interrupt.heard() => return Ok(interrupted(&manner.names)),
    };
    tell_gaps(&followed);
    let manner = Manner { quiet: prepared.quiet, names: id.to_string(), ..Manner::default() };
    wait(client, vec![selector], &manner, interrupt).await
}

/// Bytes of a job's output, as they are.
pub(super) fn write_out(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Names the bytes that could not be had, and why.
pub(super) fn tell_gaps(followed: &Followed) {
    for gap in &followed.gaps {
        let note = if gap.note.is_empty() { String::new() } else { format!(": {}", escape(&gap.note)) };
        say(&format!("{}: bytes {} to {} of the output are missing{note}", followed.id, gap.first, gap.end));
    }
    if followed.gaps.is_empty() && !followed.note.is_empty() {
        say(&format!("{}: {}", followed.id, escape(&followed.note)));
    }
}
