//! Waiting as `--wait`, `--follow` and `jqueue wait` do it: a bar for arrays, INT and TERM, the exit code.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use crate::cli::error::{CliError, ExitCode};
use crate::cli::text::{colour_wanted, say};
use crate::client::error::ClientError;
use crate::client::interrupt::Interrupt;
use crate::client::session::Client;
use crate::client::wait::{Progress, exit_code};
use crate::wire::client::{SELECTORS_MAX, Selection, Selector, Wait, WaitOutcome};

/// How a command waits.
#[derive(Clone, Debug, Default)]
pub(super) struct Manner {
    /// For the start rather than the end.
    pub start: bool,
    /// At most so long.
    pub timeout: Option<Duration>,
    /// Neither bar nor words.
    pub quiet: bool,
    /// What to call what is waited for when the waiting ends early.
    pub names: String,
}

/// Why waiting came to an end.
pub(super) enum Waited {
    /// Everything waited for is so.
    Outcomes(Vec<WaitOutcome>),
    /// INT or TERM.
    Interrupted,
    /// The time that was given is over.
    TimeOut,
}

/// Waits for jobs and gives the exit code; says on standard error what went wrong.
pub(super) async fn wait(
    client: &mut Client,
    selectors: Vec<Selector>,
    manner: &Manner,
    interrupt: &mut Interrupt,
) -> Result<ExitCode, CliError> {
    match outcomes_of(client, selectors, manner, interrupt).await? {
        Ok(outcomes) => Ok(ExitCode::Waited(exit_code(&outcomes))),
        Err(ended) => Ok(ended),
    }
}

/// Waits for any number of jobs; the inner error is the exit code of a waiting that a signal ended.
pub(super) async fn outcomes_of(
    client: &mut Client,
    selectors: Vec<Selector>,
    manner: &Manner,
    interrupt: &mut Interrupt,
) -> Result<Result<Vec<WaitOutcome>, ExitCode>, CliError> {
    let until = manner.timeout.map(|timeout| Instant::now() + timeout);
    let mut all = Vec::new();
    for part in selectors.chunks(SELECTORS_MAX) {
        let selection = Selection { selectors: part.to_vec(), ..Selection::default() };
        match wait_for(client, selection, manner, until, interrupt).await? {
            Waited::Outcomes(outcomes) => all.extend(outcomes),
            Waited::Interrupted => return Ok(Err(interrupted(&manner.names))),
            Waited::TimeOut => return Err(time_out(&manner.names)),
        }
    }
    if !manner.quiet {
        tell(&all);
    }
    Ok(Ok(all))
}

/// Waits for one selection.
pub(super) async fn wait_for(
    client: &mut Client,
    selection: Selection,
    manner: &Manner,
    until: Option<Instant>,
    interrupt: &mut Interrupt,
) -> Result<Waited, CliError> {
    let bar = Bar::new(!manner.quiet && !manner.start);
    let wait = Wait { selection, start: manner.start, progress: bar.wanted };
    let waiting = client.wait(&wait, |progress| bar.show(progress));
    let outcome = tokio::select! {
        outcome = waiting => outcome.map(Waited::Outcomes),
        () = interrupt.heard() => Ok(Waited::Interrupted),
        () = sleep(until) => Ok(Waited::TimeOut),
    };
    bar.clear();
    outcome.map_err(CliError::from)
}

/// INT or TERM ended the waiting: says how to go on. The outcome of the jobs is unknown to this command.
pub(super) fn interrupted(names: &str) -> ExitCode {
    say(&format!("{names} goes on: `jqueue wait {names}`, `jcancel {names}`"));
    ExitCode::Unknown
}

/// `--timeout` ran out.
pub(super) fn time_out(names: &str) -> CliError {
    CliError::from(ClientError::TimeOut(format!("{names} goes on"))).hint(format!("`jqueue wait {names}`"))
}

/// The ids of a few jobs, or the first and how many more.
pub(super) fn names(ids: &[String]) -> String {
    const NAMES_MAX: usize = 8;
    match ids {
        [] => "nothing".to_owned(),
        few if few.len() <= NAMES_MAX => few.join(" "),
        [first, more @ ..] => format!("{first} (and {} more)", more.len()),
    }
}

/// Every outcome that was none to hope for, with the next step.
fn tell(outcomes: &[WaitOutcome]) {
    const LINES_MAX: usize = 10;
    let bad: Vec<&WaitOutcome> = outcomes.iter().filter(|outcome| outcome.code != 0).collect();
    for outcome in bad.iter().take(LINES_MAX) {
        let state = outcome.state.word().replace('_', " ");
        say(&format!("{}: {state} ({}): `jqueue why {}`", outcome.id, outcome.code, outcome.id));
    }
    if bad.len() > LINES_MAX {
        say(&format!("and {} more", bad.len() - LINES_MAX));
    }
}

async fn sleep(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// The progress bar of an array, on a terminal; drawn only once there is something to draw.
struct Bar {
    wanted: bool,
    bar: ProgressBar,
}

impl Bar {
    fn new(wanted: bool) -> Bar {
        let wanted = wanted && std::io::stderr().is_terminal() && colour_wanted();
        Bar { wanted, bar: ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()) }
    }

    fn show(&self, progress: Progress) {
        if !self.wanted || progress.total < 2 {
            return;
        }
        if self.bar.is_hidden() {
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}") {
                self.bar.set_style(style);
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_length(progress.total);
        let bad = if progress.bad > 0 { format!(", {} failed", progress.bad) } else { String::new() };
        self.bar.set_message(format!("{} running{bad}", progress.running));
        self.bar.set_position(progress.ended);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
