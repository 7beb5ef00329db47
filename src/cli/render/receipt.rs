//! The receipt of a submission, and the footer of a listing: one line each, for a person.

use serde_json::{Value, json};

use super::fold_nodes;
use super::quantity::{Clock, count, rfc3339, size_words, span_words};
use crate::wire::client::{Footer, Receipt};

/// `main · 1 cpu, 2 GiB (default) · limit 30 min · starts about 14:20 · jsched-123.out`.
pub fn receipt(receipt: &Receipt, clock: &Clock) -> String {
    let memory = match (receipt.memory_bytes, receipt.memory_is_default) {
        (0, _) => "all memory of the node".to_owned(),
        (bytes, false) => size_words(bytes),
        (bytes, true) => format!("{} (default)", size_words(bytes)),
    };
    let mut parts =
        vec![receipt.partition.clone(), format!("{}, {memory}", count(receipt.cpus.into(), "cpu"))];
    if receipt.tasks > 1 {
        parts.push(count(receipt.tasks.into(), "task"));
    }
    parts.push(
        receipt.limit.0.map_or_else(|| "no limit".to_owned(), |span| format!("limit {}", span_words(span))),
    );
    if let Some(start) = receipt.start {
        let soon = start.0 <= clock.now.0.saturating_add(SOON_MICROS);
        parts.push(if soon {
            "starts now".to_owned()
        } else {
            format!("starts about {}", clock.near(start))
        });
    }
    if !receipt.nodes.is_empty() {
        parts.push(format!("on {}", fold_nodes(&receipt.nodes)));
    }
    if !receipt.output.is_empty() {
        parts.push(receipt.output.clone());
    }
    crate::cli::text::escape(&parts.join(" · ")).into_owned()
}

/// A start within this is called now.
const SOON_MICROS: i64 = 2_000_000;

/// The cluster's part of `jsubmit --test-only --json`.
pub fn receipt_json(receipt: &Receipt) -> Value {
    json!({
        "partition": receipt.partition,
        "cpus": receipt.cpus,
        "memory_limit_bytes": if receipt.memory_bytes == 0 { Value::Null } else { json!(receipt.memory_bytes) },
        "memory_is_default": receipt.memory_is_default,
        "time_limit_seconds": receipt.limit.0.map(|span| span.0),
        "output": receipt.output,
        "tasks": receipt.tasks,
        "start": receipt.start.and_then(rfc3339),
        "nodes": receipt.nodes,
    })
}

/// What the listing did not show; nothing when there is nothing to say.
pub fn footer(footer: &Footer) -> Option<String> {
    let mut parts = Vec::new();
    if footer.others > 0 {
        parts.push(format!("{} of others (`jqueue -a`)", count(footer.others, "job")));
    }
    if footer.ended_lately > 0 {
        let mut text = format!("in the last hour {} ended", footer.ended_lately);
        if footer.failed_lately > 0 {
            text.push_str(&format!(", {} failed", footer.failed_lately));
            if let Some(example) = footer.failed_example {
                text.push_str(&format!(" ({example}): `jqueue why {example}`"));
            }
        }
        parts.push(text);
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}
