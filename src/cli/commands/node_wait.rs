//! `jnode wait`: until nodes are drained, or in service.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::context::{Context, tell_of_losses};
use super::node_list::named;
use super::waiting::time_out;
use crate::cli::args::jnode::WaitFor;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::fold_nodes;
use crate::cli::text::say;
use crate::client::interrupt::Interrupt;
use crate::client::session::Client;
use crate::wire::info::NodeInfo;

/// Waits.
pub(super) fn wait(
    context: &Context,
    names: &[String],
    what: WaitFor,
    timeout: Option<Duration>,
) -> Result<ExitCode, CliError> {
    context.with_client(async |client| until(context, client, names, what, timeout).await)
}

/// The same with a client that is there already.
pub(super) async fn until(
    context: &Context,
    client: &mut Client,
    names: &[String],
    what: WaitFor,
    timeout: Option<Duration>,
) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tell_of_losses(client, context.program);
    let end = timeout.map(|timeout| Instant::now() + timeout);
    let over = async {
        match end {
            Some(end) => sleep_until(end).await,
            None => std::future::pending().await,
        }
    };
    let reached = client.watch_nodes(|nodes, _| {
        let so = named(nodes, names)?.iter().all(|node| is_so(node, what));
        Ok::<_, CliError>(so.then_some(ExitCode::Done))
    });
    tokio::select! {
        reached = reached => reached,
        () = over => Err(time_out(&fold_nodes(names))),
        () = interrupt.heard() => {
            say(&format!("no longer waiting for {}: `jnode -w {}`", fold_nodes(names), fold_nodes(names)));
            Ok(ExitCode::Unknown)
        }
    }
}

fn is_so(node: &NodeInfo, what: WaitFor) -> bool {
    match what {
        WaitFor::Drained => matches!(node.state.as_str(), "drained" | "down" | "off"),
        WaitFor::Up => matches!(node.state.as_str(), "idle" | "mixed" | "full"),
    }
}
