//! `jnode`: which verb does what.

use std::time::Duration;

use serde_json::json;

use super::context::{Context, moment};
use super::node_act::{down, drain, plain};
use super::node_wait::wait;
use super::{node_add, node_list, node_set, partition};
use crate::cli::args::jnode::{JNode, List, Verb};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::moment::Towards;
use crate::cli::text::print;
use crate::model::parse::hostlist;
use crate::wire::client::NodeAct;

const PROGRAM: &str = "jnode";

/// Runs `jnode`.
///
/// # Errors
/// Everything that is reported with an exit code of its own.
pub fn jnode(given: JNode) -> Result<ExitCode, CliError> {
    let context = Context::new(PROGRAM, &given.general);
    match given.verb {
        None => node_list::list(&context, &given.list),
        Some(Verb::Show { nodes }) => node_list::show(&context, &nodes.0),
        Some(Verb::Drain { nodes, reason, deadline, wait }) => {
            let at = |text: &str| moment(text, &context.clock, Towards::Future, "--deadline");
            let deadline = deadline.as_deref().map(at).transpose()?;
            drain(&context, nodes.0, reason, deadline, wait)
        }
        Some(Verb::Resume { nodes }) => plain(&context, NodeAct::Resume { nodes: nodes.0 }),
        Some(Verb::Down { nodes, confirmed_dead, reason }) => {
            down(&context, nodes.0, reason.unwrap_or_default(), confirmed_dead)
        }
        Some(Verb::Wait { nodes, what, timeout }) => {
            wait(&context, &nodes.0, what, timeout.map(|span| Duration::from_secs(span.0)))
        }
        Some(Verb::Add { login: true, .. }) => Err(not_supported("--login")),
        Some(Verb::Add { nodes, ttl, pool, replace, .. }) => {
            node_add::add(&context, node_add::Wanted { nodes: nodes.0, ttl, pool, replace })
        }
        Some(Verb::Remove { nodes }) => plain(&context, NodeAct::Remove { nodes: nodes.0 }),
        Some(Verb::Hosts { lists, fold }) => {
            let names: Vec<String> = lists.into_iter().flat_map(|list| list.0).collect();
            hosts(&context, &names, fold)
        }
        Some(Verb::Partition(verb)) => partition::partition(&context, verb),
        Some(Verb::Set { nodes, settings }) => node_set::set(&context, nodes.0, &settings),
        Some(Verb::Top) => node_list::list(&context, &List { watch: true, ..given.list }),
        Some(Verb::Reserve(_)) => Err(not_supported("reserve")),
    }
}

/// Expands to a name a line, or folds to one list. Asks nobody.
fn hosts(context: &Context, names: &[String], fold: bool) -> Result<ExitCode, CliError> {
    let folded = fold.then(|| hostlist::fold(names));
    match (context.json, folded) {
        (true, Some(folded)) => context.print_json(json!(folded))?,
        (true, None) => context.print_json(json!(names))?,
        (false, Some(folded)) => print(&format!("{folded}\n"))?,
        (false, None) => print(&names.iter().map(|name| format!("{name}\n")).collect::<String>())?,
    }
    Ok(ExitCode::Done)
}

pub(super) fn not_supported(what: &'static str) -> CliError {
    CliError::script("not_supported", format!("not supported yet: {what}")).option(what)
}
