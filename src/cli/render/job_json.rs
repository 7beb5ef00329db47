//! A job as JSON, by the field names of the contract. Additive only.

use serde_json::{Map, Value, json};

use super::quantity::{Clock, cpu_seconds, rfc3339};
use super::request::request_json;
use crate::model::ids::JobId;
use crate::model::state::{CauseKind, End};
use crate::model::time::{Seconds, WallTime};
use crate::wire::info::{AttemptInfo, EndedRow, JobDetail, JobInfo};

/// A row of a listing. What only the owner may see is null for others.
pub fn job_json(job: &JobInfo, clock: &Clock) -> Map<String, Value> {
    let private = job.private.as_ref();
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("id", json!(job.id));
    put("array_id", json!(array_of(job).map(|id| id.0)));
    put("task", json!(job.task.map(|task| task.0)));
    put("number", json!(job.number.0));
    put("name", json!(job.name));
    put("user", json!(job.user));
    put("account", json!(job.account));
    put("qos", json!(job.qos));
    put("partition", json!(job.partition));
    put("state", json!(job.state.word()));
    put("reason", reason_json(job));
    put("nodes", json!(job.nodes));
    put("node_count", json!(node_count(job)));
    put("cpus", json!(job.cpus));
    put("memory_limit_bytes", limit_json(job.memory_bytes));
    put("gres", json!([]));
    put("time_limit_seconds", json!(job.limit.0.map(|span| span.0)));
    put("elapsed_seconds", json!(elapsed(job, clock.now).map(|span| span.0)));
    put("exit_code", json!(job.end.as_ref().and_then(exit_code)));
    put("signal", json!(job.end.as_ref().and_then(signal)));
    put("cause", cause_json(job.end.as_ref(), job.nodes.first()));
    put("attempt", json!(job.attempt.0));
    put("restarts", json!(job.restarts));
    put("priority", json!(job.priority));
    put("submit_time", json!(rfc3339(job.submit_time)));
    put("eligible_time", time_json(job.eligible_time));
    put("start_time", time_json(job.start_time));
    put("end_time", time_json(job.end_time));
    put("work_dir", json!(private.map(|p| &p.work_dir)));
    put("output", json!(private.map(|p| &p.output)));
    put("error", json!(private.map(|p| &p.error)));
    put("comment", json!(private.map(|p| &p.comment)));
    put("script_hash", json!(private.map(|p| p.script_hash.to_string())));
    put("cpu_seconds", json!(job.end.as_ref().map(|end| cpu_seconds(end.usage.cpu_ms))));
    put("memory_peak_bytes", json!(job.end.as_ref().and_then(memory_peak)));
    if !job.tasks.is_empty() {
        put("tasks", tasks_json(job));
    }
    object
}

/// A job in full: the row, and what only `show` knows.
pub fn detail_json(detail: &JobDetail, clock: &Clock) -> Map<String, Value> {
    let mut object = job_json(&detail.info, clock);
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    put("dependencies", json!(detail.dependencies));
    put("request", detail.spec.as_ref().map_or(Value::Null, |spec| request_json(spec)));
    let timeline: Vec<Value> = detail
        .timeline
        .iter()
        .map(|entry| json!({"time": rfc3339(entry.at), "attempt": entry.attempt.0, "text": entry.text}))
        .collect();
    put("timeline", json!(timeline));
    put("attempts", detail.attempts.iter().map(attempt_json).collect());
    object
}

fn attempt_json(attempt: &AttemptInfo) -> Value {
    let end = attempt.end.as_ref();
    json!({
        "attempt": attempt.attempt.0,
        "node": attempt.node,
        "state": attempt.state.word(),
        "start_time": time_json(attempt.start),
        "end_time": time_json(end.map(|end| end.end)),
        "exit_code": end.and_then(exit_code),
        "signal": end.and_then(signal),
        "cause": cause_json(end, Some(&attempt.node)),
    })
}

/// An ended task of `hist` and `eff`, by the same names.
pub fn ended_json(row: &EndedRow) -> Map<String, Value> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
    let nodes: Vec<&String> = Some(&row.node).filter(|node| !node.is_empty()).into_iter().collect();
    put("id", json!(row.id));
    put("array_id", json!(row.task.map(|_| row.job.0)));
    put("task", json!(row.task.map(|task| task.0)));
    put("name", json!(row.name));
    put("user", json!(row.user));
    put("state", json!(row.end.state.word()));
    put("nodes", json!(nodes));
    put("node_count", json!(nodes.len()));
    put("cpus", json!(row.cpus));
    put("memory_limit_bytes", limit_json(row.memory_bytes));
    put("time_limit_seconds", json!(row.limit.0.map(|span| span.0)));
    put("elapsed_seconds", json!(ended_elapsed(&row.end).0));
    put("exit_code", json!(exit_code(&row.end)));
    put("signal", json!(signal(&row.end)));
    put("cause", cause_json(Some(&row.end), nodes.first().copied()));
    put("attempt", json!(row.end.attempt.0));
    put("start_time", time_json(row.end.start));
    put("end_time", time_json(Some(row.end.end)));
    put("cpu_seconds", json!(cpu_seconds(row.end.usage.cpu_ms)));
    put("memory_peak_bytes", json!(memory_peak(&row.end)));
    object
}

/// The array that a row is of, or belongs to.
pub fn array_of(job: &JobInfo) -> Option<JobId> {
    (job.task.is_some() || !job.tasks.is_empty()).then_some(job.job)
}

/// How many nodes it has or asks for; everything runs on one so far.
pub fn node_count(job: &JobInfo) -> usize {
    job.nodes.len().max(1)
}

/// How long it has run. `None` before its start, and for one that never ran.
pub fn elapsed(job: &JobInfo, now: WallTime) -> Option<Seconds> {
    let until = job.end_time.unwrap_or(now);
    job.start_time.map(|start| Seconds(until.micros_since(start) / 1_000_000))
}

/// How long an ended attempt ran.
pub fn ended_elapsed(end: &End) -> Seconds {
    Seconds(end.start.map_or(0, |start| end.end.micros_since(start) / 1_000_000))
}

/// The exit code, where there was an exit: not for what never ran and not for what a signal ended.
pub fn exit_code(end: &End) -> Option<u8> {
    (end.start.is_some() && end.signal == 0).then_some(end.exit_code)
}

/// The signal that ended it, if one did.
pub fn signal(end: &End) -> Option<u8> {
    Some(end.signal).filter(|signal| *signal > 0)
}

/// The most memory it held, where that could be measured.
pub fn memory_peak(end: &End) -> Option<u64> {
    Some(end.usage.memory_peak_bytes).filter(|bytes| *bytes > 0)
}

fn reason_json(job: &JobInfo) -> Value {
    if job.reason.code.is_empty() && job.reason.text.is_empty() {
        return Value::Null;
    }
    json!({"code": job.reason.code, "text": job.reason.text})
}

fn cause_json(end: Option<&End>, node: Option<&String>) -> Value {
    let Some(end) = end else { return Value::Null };
    let word = |text: &String| if text.is_empty() { Value::Null } else { json!(text) };
    json!({
        "kind": end.cause.kind.word(),
        "by": word(&end.cause.by),
        "node": end.node.and(node),
        "text": cause_text(end),
    })
}

/// What ended it, always in words: those that came with it, or those that its kind has.
fn cause_text(end: &End) -> String {
    let cause = &end.cause;
    if !cause.text.is_empty() {
        return cause.text.clone();
    }
    match cause.kind {
        CauseKind::Exit => format!("exit code {}", end.exit_code),
        CauseKind::Signal => format!("signal {}", end.signal),
        CauseKind::TimeLimit => "its time limit was over".to_owned(),
        CauseKind::Memory => "it needed more memory than it was given".to_owned(),
        CauseKind::Cancel if cause.by.is_empty() => "cancelled".to_owned(),
        CauseKind::Cancel => format!("cancelled by {}", cause.by),
        CauseKind::Preempt => "it had to give way".to_owned(),
        CauseKind::Node => "its node was lost".to_owned(),
        CauseKind::Launch => "it could not be started".to_owned(),
        CauseKind::Dependency => "what it depends on ended otherwise than asked".to_owned(),
        CauseKind::Deadline => "its deadline has passed".to_owned(),
        CauseKind::Supervisor => "its supervisor was lost".to_owned(),
    }
}

fn tasks_json(job: &JobInfo) -> Value {
    let counts = job.tasks.iter().map(|(state, count)| (state.word().to_owned(), json!(count)));
    Value::Object(counts.collect())
}

/// A limit of 0 bytes stands for the whole node, which is no number of bytes here.
fn limit_json(bytes: u64) -> Value {
    if bytes == 0 { Value::Null } else { json!(bytes) }
}

fn time_json(time: Option<WallTime>) -> Value {
    json!(time.and_then(rfc3339))
}
