//! Nodes as `jnode` shows them: the list, one in full, JSON.

use serde_json::{Map, Value, json};

use super::quantity::{Clock, rfc3339, size, size_words, span_words};
use super::{Sheet, labelled};
use crate::model::time::{Seconds, WallTime};
use crate::wire::info::NodeInfo;

/// The list.
pub fn nodes(nodes: &[NodeInfo], clock: &Clock) -> Sheet {
    let heads = [
        "NODE",
        "STATE",
        ">CPUS(A/T)",
        ">MEM(A/T)",
        "GRES(A/T)",
        ">JOBS",
        ">LOAD",
        "UP",
        "VERSION",
        "CERT",
        "WHY",
    ];
    let mut sheet = Sheet::new(&heads);
    let dash = || "-".to_owned();
    sheet.rows = nodes
        .iter()
        .map(|node| {
            vec![
                node.name.clone(),
                node.state.clone(),
                format!("{}/{}", node.allocated.cpus, node.total.cpus),
                format!("{}/{}", size(node.allocated.memory_bytes), size(node.total.memory_bytes)),
                dash(),
                node.jobs.to_string(),
                load(node),
                node.boot_time.map_or_else(dash, |boot| up(boot, clock)),
                if node.version.is_empty() { dash() } else { node.version.clone() },
                node.certificate_expires.map_or_else(dash, |end| left(end, clock)),
                why(node, clock),
            ]
        })
        .collect();
    sheet
}

/// One node in words.
pub fn node_show(node: &NodeInfo, clock: &Clock) -> String {
    let mut lines = vec![("state", node.state.clone())];
    if !node.reason.is_empty() {
        lines.push(("why", why(node, clock)));
    }
    lines.push(("cpus", format!("{} of {} allocated", node.allocated.cpus, node.total.cpus)));
    let memory = (size_words(node.allocated.memory_bytes), size_words(node.total.memory_bytes));
    lines.push(("memory", format!("{} of {} allocated", memory.0, memory.1)));
    lines.push(("temporary disk", size_words(node.total.tmp_bytes)));
    lines.push(("jobs", node.jobs.to_string()));
    lines.push(("load", load(node)));
    lines.push(("partitions", node.partitions.join(",")));
    if !node.features.is_empty() {
        lines.push(("features", node.features.join(",")));
    }
    lines.push(("weight", node.weight.to_string()));
    if let Some(at) = node.drain_until {
        lines.push(("drained until", format!("{}; what is left is ended then", clock.local(at))));
    }
    lines.push(("limits kept by", node.limits.clone()));
    if let Some(uid) = node.only_uid {
        lines.push(("serves only", format!("uid {uid} (its daemon has no root)")));
    }
    lines.push(("booted", clock.local_or_dash(node.boot_time)));
    lines.push(("version", node.version.clone()));
    lines.push(("certificate ends", clock.local_or_dash(node.certificate_expires)));
    format!("{}\n{}", crate::cli::text::escape(&node.name), labelled(&lines, "  "))
}

/// A node as JSON, by the field names of the contract.
pub fn node_json(node: &NodeInfo) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    let time = |time: Option<WallTime>| json!(time.and_then(rfc3339));
    put("name", json!(node.name));
    put("state", json!(node.state));
    put("reason", if node.reason.is_empty() { Value::Null } else { json!(node.reason) });
    put("reason_since", time(node.reason_since));
    put("cpus", json!(node.total.cpus));
    put("cpus_allocated", json!(node.allocated.cpus));
    put("memory_bytes", json!(node.total.memory_bytes));
    put("memory_allocated_bytes", json!(node.allocated.memory_bytes));
    put("gres", json!([]));
    put("gres_allocated", json!([]));
    put("jobs", json!(node.jobs));
    put("load", json!(f64::from(node.load_hundredths) / 100.0));
    put("boot_time", time(node.boot_time));
    put("version", json!(node.version));
    put("certificate_expires", time(node.certificate_expires));
    put("partitions", json!(node.partitions));
    put("features", json!(node.features));
    put("weight", json!(node.weight));
    put("drain_until", time(node.drain_until));
    put("tmp_bytes", json!(node.total.tmp_bytes));
    put("limits", json!(node.limits));
    put("only_uid", json!(node.only_uid.map(|uid| uid.0)));
    object
}

/// The reason, who gave it, and since when.
fn why(node: &NodeInfo, clock: &Clock) -> String {
    match node.reason_since {
        Some(since) => format!("{} since {}", node.reason, clock.local(since)),
        None => node.reason.clone(),
    }
}

fn load(node: &NodeInfo) -> String {
    format!("{}.{:02}", node.load_hundredths / 100, node.load_hundredths % 100)
}

fn up(boot: WallTime, clock: &Clock) -> String {
    span_words(Seconds(clock.now.micros_since(boot) / 1_000_000))
}

fn left(end: WallTime, clock: &Clock) -> String {
    if end <= clock.now {
        "expired".to_owned()
    } else {
        span_words(Seconds(end.micros_since(clock.now) / 1_000_000))
    }
}
