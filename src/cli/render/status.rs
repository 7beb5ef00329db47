//! `jctld status`: how the controller is.

use serde_json::{Value, json};

use super::labelled;
use super::quantity::{Clock, rfc3339, size_words, span_words};
use crate::model::time::Seconds;
use crate::wire::info::ClusterStatus;

/// In words, with what an admin should know at the end.
pub fn status(status: &ClusterStatus, clock: &Clock) -> String {
    let up = Seconds(clock.now.micros_since(status.started) / 1_000_000);
    let behind = status.position.0.saturating_sub(status.tables_position.0);
    let mut lines = vec![
        ("cluster", format!("{} (jsched {})", status.cluster, status.version)),
        ("up", format!("{} (since {})", span_words(up), clock.local(status.started))),
        ("incarnation", status.incarnation.to_string()),
        ("epoch", status.epoch.to_string()),
        ("log", format!("position {}, {} on disk", status.position, size_words(status.log_bytes))),
        ("tables", format!("position {}, {behind} behind", status.tables_position)),
        ("recovery", status.recovery.clone()),
        (
            "jobs",
            format!("{} unfinished, {} tasks pending, {} live", status.jobs, status.pending, status.live),
        ),
        ("nodes", format!("{} of {} reachable", status.nodes.1, status.nodes.0)),
        ("connections", status.connections.to_string()),
        ("memory", size_words(status.memory_bytes)),
    ];
    for (kind, count) in &status.refused {
        lines.push(("refused", format!("{count} × {kind}")));
    }
    for warning in &status.warnings {
        lines.push(("warning", warning.clone()));
    }
    labelled(&lines, "")
}

/// As JSON.
pub fn status_json(status: &ClusterStatus) -> Value {
    json!({
        "cluster": status.cluster,
        "version": status.version,
        "incarnation": status.incarnation.to_string(),
        "epoch": status.epoch.0,
        "position": status.position.0,
        "tables_position": status.tables_position.0,
        "recovery": status.recovery,
        "started": rfc3339(status.started),
        "jobs": status.jobs,
        "tasks_pending": status.pending,
        "tasks_live": status.live,
        "nodes": status.nodes.0,
        "nodes_reachable": status.nodes.1,
        "connections": status.connections,
        "log_bytes": status.log_bytes,
        "memory_bytes": status.memory_bytes,
        "warnings": status.warnings,
        "refused": status.refused.iter().cloned().collect::<std::collections::BTreeMap<String, u64>>(),
    })
}
