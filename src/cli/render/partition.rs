//! Partitions as `jnode -s` and `jnode partition list` show them.

use serde_json::{Map, Value, json};

use super::quantity::limit;
use super::{Sheet, fold_nodes};
use crate::wire::info::{NodeInfo, PartitionInfo};

/// Slurm's summary: nodes of each partition as allocated, idle, other and total.
pub fn summary(partitions: &[PartitionInfo], nodes: &[NodeInfo]) -> Sheet {
    let mut sheet = Sheet::new(&["PARTITION", "AVAIL", ">TIMELIMIT", ">NODES(A/I/O/T)", "NODELIST"]);
    sheet.rows = partitions
        .iter()
        .map(|partition| {
            let (allocated, idle, other) = counts(partition, nodes);
            vec![
                starred(partition),
                partition.state.clone(),
                time_limit(partition),
                format!("{allocated}/{idle}/{other}/{}", allocated + idle + other),
                fold_nodes(&partition.nodes),
            ]
        })
        .collect();
    sheet
}

/// `jnode partition list`.
pub fn partitions(partitions: &[PartitionInfo]) -> Sheet {
    let mut sheet = Sheet::new(&[
        "PARTITION",
        "STATE",
        ">MAX-TIME",
        ">DEFAULT-TIME",
        ">PRIORITY",
        "POLICY",
        ">NODES",
        "NODELIST",
    ]);
    sheet.rows = partitions
        .iter()
        .map(|partition| {
            vec![
                starred(partition),
                partition.state.clone(),
                time_limit(partition),
                partition.default_time.map_or_else(|| "-".to_owned(), limit),
                partition.priority.to_string(),
                partition.policy.name().to_owned(),
                partition.nodes.len().to_string(),
                fold_nodes(&partition.nodes),
            ]
        })
        .collect();
    sheet
}

/// A partition as JSON, with the counts of its nodes.
pub fn partition_json(partition: &PartitionInfo, nodes: &[NodeInfo]) -> Map<String, Value> {
    let (allocated, idle, other) = counts(partition, nodes);
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("name", json!(partition.name));
    put("state", json!(partition.state));
    put("default", json!(partition.default));
    put("max_time_seconds", json!(partition.max_time.0.map(|span| span.0)));
    put("default_time_seconds", json!(partition.default_time.and_then(|limit| limit.0).map(|span| span.0)));
    put("priority", json!(partition.priority));
    put("default_mem_per_cpu_bytes", json!(partition.default_memory_per_cpu_bytes));
    put("max_nodes", json!(partition.nodes_max));
    put("accounts", json!(partition.accounts));
    put("policy", json!(partition.policy.name()));
    put("nodes", json!(partition.nodes));
    put("nodes_allocated", json!(allocated));
    put("nodes_idle", json!(idle));
    put("nodes_other", json!(other));
    object
}

fn counts(partition: &PartitionInfo, nodes: &[NodeInfo]) -> (u64, u64, u64) {
    let members: std::collections::BTreeSet<&String> = partition.nodes.iter().collect();
    nodes.iter().filter(|node| members.contains(&node.name)).fold(
        (0, 0, 0),
        |(allocated, idle, other), node| match node.state.as_str() {
            "mixed" | "full" => (allocated + 1, idle, other),
            "idle" => (allocated, idle + 1, other),
            _ => (allocated, idle, other + 1),
        },
    )
}

fn starred(partition: &PartitionInfo) -> String {
    format!("{}{}", partition.name, if partition.default { "*" } else { "" })
}

fn time_limit(partition: &PartitionInfo) -> String {
    partition.max_time.0.map_or_else(|| "infinite".to_owned(), |_| limit(partition.max_time))
}
