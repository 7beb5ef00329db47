//! `jnode` without a verb, and `jnode show`.

use std::collections::BTreeMap;
use std::io::IsTerminal;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::context::{Context, tell_of_losses};
use super::show::found;
use crate::cli::args::jnode::{List, NodeState};
use crate::cli::error::{CliError, ExitCode};
use crate::cli::render::node::{node_json, node_show, nodes as nodes_table};
use crate::cli::render::partition::{partition_json, summary};
use crate::cli::render::quantity::{Clock, wall_now};
use crate::cli::table::terminal_width;
use crate::cli::text::print;
use crate::client::interrupt::Interrupt;
use crate::client::session::Client;
use crate::client::wait::unexpected;
use crate::wire::client::{Reply, Request};
use crate::wire::info::{NodeInfo, PartitionInfo};

/// Lists nodes or, with `-s`, partitions.
pub(super) fn list(context: &Context, list: &List) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        if list.watch {
            return watch(context, list, client).await;
        }
        let (nodes, partitions) = ask(client).await?;
        let nodes = filtered(nodes, list)?;
        if context.json {
            let items: Vec<Value> = match list.summary {
                true => partitions.iter().map(|one| Value::Object(partition_json(one, &nodes))).collect(),
                false => nodes.iter().map(|node| Value::Object(node_json(node))).collect(),
            };
            context.print_json(Value::Array(items))?;
        } else {
            print(&text(list, &nodes, &partitions, &context.clock))?;
        }
        Ok(ExitCode::Done)
    })
}

/// Shows nodes in full.
pub(super) fn show(context: &Context, names: &[String]) -> Result<ExitCode, CliError> {
    context.with_client(async |client| {
        let nodes = named(ask(client).await?.0, names)?;
        if context.json {
            let mut items: Vec<Value> = nodes.iter().map(|node| Value::Object(node_json(node))).collect();
            let data = if items.len() == 1 { items.remove(0) } else { Value::Array(items) };
            context.print_json(data)?;
        } else {
            let texts: Vec<String> = nodes.iter().map(|node| node_show(node, &context.clock)).collect();
            print(&texts.join("\n"))?;
        }
        Ok(found(nodes.len()))
    })
}

/// All nodes and partitions, from the controller.
///
/// # Errors
/// See [`crate::client::error::ClientError`].
pub(super) async fn ask(client: &mut Client) -> Result<(Vec<NodeInfo>, Vec<PartitionInfo>), CliError> {
    match client.ask(&Request::Nodes).await? {
        Reply::Nodes { nodes, partitions } => Ok((nodes, partitions)),
        other => Err(unexpected(&other).into()),
    }
}

/// Those of the nodes that have these names, in the order of the names.
///
/// # Errors
/// One that is not there (1).
pub(super) fn named(nodes: Vec<NodeInfo>, names: &[String]) -> Result<Vec<NodeInfo>, CliError> {
    let mut by_name: BTreeMap<String, NodeInfo> =
        nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
    let mut found = Vec::new();
    for name in names {
        match by_name.remove(name) {
            Some(node) => found.push(node),
            None if found.iter().any(|node: &NodeInfo| node.name == *name) => {}
            None => {
                let error =
                    CliError::new(ExitCode::Refused, "no_such_node", format!("there is no node {name}"));
                return Err(error.hint("`jnode` lists the nodes"));
            }
        }
    }
    Ok(found)
}

fn filtered(nodes: Vec<NodeInfo>, list: &List) -> Result<Vec<NodeInfo>, CliError> {
    let mut nodes = match &list.nodelist {
        Some(names) => named(nodes, &names.0)?,
        None => nodes,
    };
    let states: Vec<String> = list.states.iter().map(word).collect();
    nodes.retain(|node| {
        (states.is_empty() || states.contains(&node.state))
            && (list.partition.is_empty() || node.partitions.iter().any(|one| list.partition.contains(one)))
    });
    Ok(nodes)
}

fn word(state: &NodeState) -> String {
    state.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn text(list: &List, nodes: &[NodeInfo], partitions: &[PartitionInfo], clock: &Clock) -> String {
    let sheet = match list.summary {
        true => {
            let wanted =
                |one: &&PartitionInfo| list.partition.is_empty() || list.partition.contains(&one.name);
            let partitions: Vec<PartitionInfo> = partitions.iter().filter(wanted).cloned().collect();
            summary(&partitions, nodes)
        }
        false => nodes_table(nodes, clock),
    };
    sheet.text(!list.no_header, terminal_width())
}

/// A table that redraws itself, or a line of JSON for the snapshot and for each node that is different.
async fn watch(context: &Context, list: &List, client: &mut Client) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen()?;
    tell_of_losses(client, context.program);
    let mut before: Option<Vec<NodeInfo>> = None;
    let live = client.watch_nodes(|nodes, partitions| {
        let nodes = filtered(nodes, list)?;
        if context.json {
            print(&json_lines(&nodes, before.as_deref()))?;
        } else {
            let clock = Clock { now: wall_now(), zone: context.clock.zone.clone() };
            let table = text(list, &nodes, &partitions, &clock);
            if std::io::stdout().is_terminal() {
                print(&format!("\u{1b}[H{}\u{1b}[J", table.replace('\n', "\u{1b}[K\n")))?;
            } else if before.as_ref() != Some(&nodes) {
                print(&(table + "\n"))?;
            }
        }
        before = Some(nodes);
        Ok::<Option<ExitCode>, CliError>(None)
    });
    tokio::select! {
        ended = live => ended,
        () = interrupt.heard() => Ok(ExitCode::Done),
    }
}

fn json_lines(nodes: &[NodeInfo], before: Option<&[NodeInfo]>) -> String {
    let object = |node: &NodeInfo| Value::Object(node_json(node));
    match before {
        None => format!("{}\n", json!({"snapshot": nodes.iter().map(object).collect::<Vec<_>>()})),
        Some(before) => {
            let changed = nodes.iter().filter(|node| !before.contains(node));
            changed.map(|node| format!("{}\n", json!({"node": object(node)}))).collect()
        }
    }
}
