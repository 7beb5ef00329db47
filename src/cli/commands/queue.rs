//! `jqueue`: which verb does what.

use super::act::{Wanted, act};
use super::context::Context;
use super::selection::{Ended, select, selection};
use super::{fetch, hist, list, log, login, set, show, usage, wait, why};
use crate::cli::args::jqueue::{self, JQueue};
use crate::cli::error::{CliError, ExitCode};
use crate::wire::client::Verb;

const PROGRAM: &str = "jqueue";

/// Runs `jqueue`.
///
/// # Errors
/// Everything that is reported with an exit code of its own.
pub fn jqueue(given: JQueue) -> Result<ExitCode, CliError> {
    let context = Context::new(PROGRAM, &given.general);
    let simple = |wanted: &jqueue::Act, verb: Verb| change(&context, wanted, verb);
    match &given.verb {
        None => list::list(&context, &given.list),
        Some(jqueue::Verb::Show(selection)) => show::show(&context, selection),
        Some(jqueue::Verb::Why { selection, what_if }) => why::why(&context, selection, what_if),
        Some(jqueue::Verb::Prio(selection)) => why::prio(&context, selection),
        Some(jqueue::Verb::Log(wanted)) => log::log(&context, wanted),
        Some(jqueue::Verb::Wait { selection, what, timeout }) => {
            wait::wait(&context, selection, *what, *timeout)
        }
        Some(jqueue::Verb::Hist(wanted)) => hist::hist(&context, wanted),
        Some(jqueue::Verb::Eff(selection)) => hist::eff(&context, selection),
        Some(jqueue::Verb::Usage { by }) => usage::usage(&context, *by),
        Some(jqueue::Verb::Whoami) => usage::whoami(&context),
        Some(jqueue::Verb::Hold(wanted)) => simple(wanted, Verb::Hold),
        Some(jqueue::Verb::Release(wanted)) => simple(wanted, Verb::Release),
        Some(jqueue::Verb::Suspend(wanted)) => simple(wanted, Verb::Suspend),
        Some(jqueue::Verb::Resume(wanted)) => simple(wanted, Verb::Resume),
        Some(jqueue::Verb::First(wanted)) => simple(wanted, Verb::First),
        Some(jqueue::Verb::Requeue { act, with, dependents }) => {
            if with.is_empty() && !dependents {
                return simple(act, Verb::Requeue);
            }
            let settings = match with.as_slice() {
                [] => None,
                with => Some(Box::new(set::settings(with, &context.clock)?)),
            };
            simple(act, Verb::RequeueWith { settings, dependents: *dependents })
        }
        Some(jqueue::Verb::Set { words, filters, names, dry_run, key }) => {
            let (jobs, settings) = jqueue::Verb::set_words(words)?;
            let verb = Verb::Set(Box::new(set::settings(&settings, &context.clock)?));
            let jobs = jobs.into_iter().chain(filters.jobs.clone()).flat_map(|jobs| jobs.0).collect();
            let selection = select(jobs, filters, &names.name, Ended::IfAsked, context.clock.now)?;
            act(&context, Wanted { verb, selection, dry_run: *dry_run, key: key.as_deref(), is_verb: true })
        }
        Some(jqueue::Verb::Login { token }) => login::login(&context, &given.general, token),
        Some(jqueue::Verb::Fetch { job, glob, dir }) => {
            fetch::fetch(&context, job, glob.as_deref(), dir.as_deref())
        }
        Some(jqueue::Verb::Top) => list::list(&context, &list::everything_live(&given.list)),
    }
}

fn change(context: &Context, wanted: &jqueue::Act, verb: Verb) -> Result<ExitCode, CliError> {
    let selection = selection(&wanted.selection, Ended::IfAsked, context.clock.now)?;
    let (dry_run, key) = (wanted.dry_run, wanted.key.as_deref());
    act(context, Wanted { verb, selection, dry_run, key, is_verb: true })
}
