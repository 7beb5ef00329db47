//! `jsubmit --tied`: the jobs end with the command.

use super::context::new_client;
use super::submit::{self, config};
use super::waiting::{Manner, names, wait};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::request::Prepared;
use crate::cli::text::say;
use crate::client::error::ClientError;
use crate::client::interrupt::Interrupt;
use crate::client::key;
use crate::client::session::Client;
use crate::model::ids::JobId;
use crate::wire::client::{Act, Request, SELECTORS_MAX, Selection, Selector, Verb};

/// Those of the jobs that are tied.
pub(super) fn of(prepared: &Prepared, jobs: &[JobId]) -> Vec<JobId> {
    let both = jobs.iter().zip(&prepared.jobs);
    both.filter(|(_, job)| job.spec.tied).map(|(id, _)| *id).collect()
}

/// Waits as it was asked to, holding the tie; INT, TERM or HUP cancel the jobs and wait for their end.
pub(super) async fn remain(
    client: &mut Client,
    prepared: &Prepared,
    jobs: &[JobId],
    tied: &[JobId],
    interrupt: &mut Interrupt,
) -> Result<ExitCode, CliError> {
    // A connection of its own: what holds the tie must not depend on how fast somebody reads the output.
    let mut holder = new_client(config(prepared))?;
    let mut stop = Interrupt::listen()?.with_hangup()?;
    let ended = tokio::select! {
        // First who was interrupted: it ends the waiting, too.
        biased;
        () = stop.heard() => None,
        ended = submit::remain(client, prepared, jobs, interrupt) => Some(ended),
        error = holder.hold_tie(tied) => match error {
            Ok(never) => match never {},
            Err(error) => Some(Err(error.into())),
        },
    };
    match ended {
        Some(ended) => ended,
        None => cancel(client, jobs, tied).await,
    }
}

async fn cancel(client: &mut Client, jobs: &[JobId], tied: &[JobId]) -> Result<ExitCode, CliError> {
    let ids: Vec<String> = tied.iter().map(JobId::to_string).collect();
    say(&format!("{} is cancelled: it was tied to this command", names(&ids)));
    for part in tied.chunks(SELECTORS_MAX) {
        let selectors = part.iter().map(|id| Selector::Number(*id)).collect();
        let act = Act {
            key: key::random().map_err(|error| ClientError::System(error.to_string()))?,
            verb: Verb::Cancel { reason: "jsubmit --tied was interrupted".to_owned() },
            selection: Selection { selectors, ..Selection::default() },
            dry_run: false,
        };
        client.ask(&Request::Act(act)).await?;
    }
    // A second signal ends the waiting for the end: what was cancelled is cancelled.
    let manner = Manner { quiet: true, names: names(&ids), ..Manner::default() };
    let selectors = jobs.iter().map(|id| Selector::Number(*id)).collect();
    wait(client, selectors, &manner, &mut Interrupt::listen()?).await
}
