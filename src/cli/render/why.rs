//! `jqueue why` and `prio`: why a job waits, or why it ended, and what would help.

use serde_json::{Value, json};

use super::labelled;
use super::quantity::{Clock, count, limit, rfc3339, size, size_words};
use super::show::end_words;
use crate::cli::text::escape;
use crate::model::priority::UNITS_PER_POINT;
use crate::model::state::{End, State};
use crate::model::time::{Seconds, TimeLimit};
use crate::wire::info::{JobDetail, JobInfo, PriorityPart};

/// The last lines of its output that `why` shows of an ended job.
pub const LAST_LINES: u32 = 10;

/// Why, in words. `tail` is the end of the output of an ended job.
pub fn why(detail: &JobDetail, tail: &str, clock: &Clock) -> String {
    let job = &detail.info;
    let mut text = format!("{} {}: {}\n", job.id, escape(&job.name), job.state);
    if let Some(end) = &job.end {
        text.push_str(&ended(job, end, tail));
        return text;
    }
    if !matches!(job.state, State::Pending | State::Held) {
        text.push_str("  it does not wait\n");
        return text;
    }
    if detail.conditions.is_empty() {
        let reason = if job.reason.text.is_empty() { &job.reason.code } else { &job.reason.text };
        let reason = if reason.is_empty() { "no reason is known yet" } else { reason };
        text.push_str(&format!("  {}\n", escape(reason)));
    }
    for condition in &detail.conditions {
        let until = condition.until.map_or_else(String::new, |at| format!(", until {}", clock.near(at)));
        text.push_str(&format!("  {}: {}{until}\n", escape(&condition.code), escape(&condition.text)));
    }
    text.push_str(&rank(detail));
    match detail.estimate {
        Some(start) => text.push_str(&format!("  starts about {}\n", clock.near(start))),
        None => text.push_str("  when it starts is not known\n"),
    }
    for one in &detail.advice {
        let start =
            one.start.map_or_else(String::new, |at| format!(" it would start about {}", clock.near(at)));
        text.push_str(&format!("  with {}{start}: jqueue set {} {}\n", one.change, job.id, one.change));
    }
    text
}

/// The same as JSON. What is not known is null.
pub fn why_json(detail: &JobDetail, tail: &str) -> Value {
    let job = &detail.info;
    let conditions: Vec<Value> = detail
        .conditions
        .iter()
        .map(|one| json!({"code": one.code, "nodes": one.nodes, "until": one.until.and_then(rfc3339), "text": one.text}))
        .collect();
    let sooner =
        detail.advice.iter().map(|one| json!({"change": one.change, "start": one.start.and_then(rfc3339)}));
    let advice: Vec<Value> = job
        .end
        .iter()
        .filter_map(|end| advice(job, end))
        .map(|(change, _)| json!({"change": change, "start": null}))
        .chain(sooner)
        .collect();
    json!({
        "id": job.id,
        "state": job.state.word(),
        "conditions": conditions,
        "rank": detail.ahead.map(|ahead| ahead.saturating_add(1)),
        "ahead": detail.ahead,
        "start": {"promise": detail.estimate.and_then(rfc3339), "p50": null, "p90": null},
        "advice": advice,
        "end": job.end.as_ref().map(end_words),
        "last_lines": if job.end.is_some() { json!(tail.lines().collect::<Vec<_>>()) } else { Value::Null },
    })
}

/// `jqueue prio`: the rank in words.
pub fn prio(detail: &JobDetail) -> String {
    let job = &detail.info;
    let mut text = format!("{} {}: {}\n", job.id, escape(&job.name), job.state);
    text.push_str(&labelled(&[("priority", job.priority.to_string())], "  "));
    for part in &detail.priority {
        let words = if part.text.is_empty() { String::new() } else { format!(": {}", escape(&part.text)) };
        text.push_str(&format!("    {:>10} {}{words}\n", part_words(part), part.name));
    }
    if !detail.policy.by_priority() {
        let policy = detail.policy.name();
        text.push_str(&format!("  policy {policy} of its partition, which looks at neither of these\n"));
    }
    text.push_str(&rank(detail));
    text
}

/// `jqueue prio --json`.
pub fn prio_json(detail: &JobDetail) -> Value {
    json!({
        "id": detail.info.id,
        "priority": detail.info.priority,
        "policy": detail.policy.name(),
        "parts": detail.priority.iter().map(part_json).collect::<Vec<_>>(),
        "rank": detail.ahead.map(|ahead| ahead.saturating_add(1)),
        "ahead": detail.ahead,
    })
}

/// `250 of 1000` points, or `-5`.
fn part_words(part: &PriorityPart) -> String {
    let points = part.units as f64 / UNITS_PER_POINT as f64;
    match part.weight {
        Some(weight) => format!("{points:.0} of {weight}"),
        None => format!("{points:+.0}"),
    }
}

fn part_json(part: &PriorityPart) -> Value {
    let points = part.units as f64 / UNITS_PER_POINT as f64;
    json!({
        "name": part.name, "points": points, "weight": part.weight,
        "factor": part.weight.map(|weight| points / f64::from(weight)), "text": part.text,
    })
}

fn rank(detail: &JobDetail) -> String {
    match detail.ahead {
        Some(0) => "  rank 1: it is the next in line\n".to_owned(),
        Some(ahead) => {
            format!("  rank {}: {} ahead of it\n", ahead.saturating_add(1), count(ahead, "unfinished job"))
        }
        None => String::new(),
    }
}

fn ended(job: &JobInfo, end: &End, tail: &str) -> String {
    let mut text = format!("  {}\n", escape(&end_words(end)));
    if end.usage.memory_peak_bytes > 0 {
        let of = match job.memory_bytes {
            0 => String::new(),
            bytes => format!(" of {}", size_words(bytes)),
        };
        text.push_str(&format!("  memory at most {}{of}\n", size_words(end.usage.memory_peak_bytes)));
    }
    if !tail.is_empty() {
        text.push_str("  its last lines:\n");
        for line in tail.lines() {
            text.push_str(&format!("  | {}\n", escape(line)));
        }
    }
    if let Some((_, words)) = advice(job, end) {
        text.push_str(&format!("  {words}\n"));
    }
    text
}

/// The cheapest change that would let it end well, as an option and in words.
fn advice(job: &JobInfo, end: &End) -> Option<(String, String)> {
    match end.state {
        State::Timeout => {
            let longer = job.limit.0.map(|span| Seconds(span.0.saturating_mul(2)))?;
            let option = format!("time={}", limit(TimeLimit(Some(longer))));
            let words = format!(
                "it ran into its time limit of {}: submit it with a longer `--time`",
                limit(job.limit)
            );
            Some((option, words))
        }
        State::OutOfMemory if job.memory_bytes > 0 => {
            let option = format!("mem={}", size(job.memory_bytes.saturating_mul(2)));
            let words =
                format!("it needed more than {}: submit it with more `--mem`", size_words(job.memory_bytes));
            Some((option, words))
        }
        State::NodeFail => Some((
            "requeue".to_owned(),
            format!("the node was at fault: `jqueue requeue {}` runs it again", job.id),
        )),
        _ => None,
    }
}
