//! `jqueue show` in words: the record, the request, the timeline.

use super::job_field::{node_list, task_words};
use super::job_json::{array_of, elapsed, exit_code, memory_peak, signal};
use super::labelled;
use super::quantity::{Clock, count, limit, size_words, span, span_words};
use super::request::request_lines;
use crate::cli::text::escape;
use crate::model::state::{End, State};
use crate::model::time::Seconds;
use crate::wire::info::{JobDetail, JobInfo, cause_line};

/// One job, whole.
pub fn show(detail: &JobDetail, clock: &Clock) -> String {
    let job = &detail.info;
    let mut text = format!("{} {}\n", job.id, escape(&job.name));
    text.push_str(&labelled(&record(detail, clock), "  "));
    if let Some(spec) = &detail.spec {
        let lines = request_lines(spec);
        if !lines.is_empty() {
            text.push_str("request\n");
            text.push_str(&labelled(&lines, "  "));
        }
    }
    if !detail.timeline.is_empty() {
        text.push_str("timeline\n");
        for entry in &detail.timeline {
            let attempt = match entry.attempt.0 {
                0 => String::new(),
                number => format!("attempt {number}: "),
            };
            text.push_str(&format!("  {}  {attempt}{}\n", clock.local(entry.at), escape(&entry.text)));
        }
    }
    text
}

/// How it ended, in one sentence: `exit code 3`, `signal 9`, and the cause where that says more.
pub fn end_words(end: &End) -> String {
    let mut text = match (exit_code(end), signal(end)) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "never ran".to_owned(),
    };
    text.push_str("; cause: ");
    text.push_str(&cause_line(&end.cause));
    text
}

fn record(detail: &JobDetail, clock: &Clock) -> Vec<(&'static str, String)> {
    let job = &detail.info;
    let mut lines = vec![("state", state_words(job))];
    if let Some(end) = &job.end {
        lines.push(("end", end_words(end)));
    }
    if !job.tasks.is_empty() {
        lines.push(("tasks", task_words(job)));
        if job.handed > 0 {
            lines.push(("", format!("{} handed to nodes ahead of their start", job.handed)));
        }
    }
    if array_of(job).is_none() || job.task.is_some() {
        lines.push(("number", job.number.to_string()));
    }
    lines.push(("user", job.user.clone()));
    for (label, value) in [("account", &job.account), ("qos", &job.qos), ("partition", &job.partition)] {
        if !value.is_empty() {
            lines.push((label, value.clone()));
        }
    }
    if !job.nodes.is_empty() {
        lines.push(("nodes", node_list(job)));
    }
    lines.push(("resources", resources(job)));
    lines.push(("time limit", limit(job.limit)));
    if let Some(ran) = elapsed(job, clock.now) {
        lines.push(("elapsed", span(ran)));
    }
    if let Some(end) = job.end.as_ref().filter(|end| end.start.is_some()) {
        lines.push(("used", used(end)));
    }
    lines.push(("priority", job.priority.to_string()));
    // The tasks of an array have attempts of their own.
    if job.tasks.is_empty() && job.attempt.0 > 0 {
        lines.push(("attempt", format!("{} ({} started again)", job.attempt, times(job.restarts))));
    }
    if !detail.dependencies.is_empty() {
        lines.push(("depends on", detail.dependencies.join(", ")));
    }
    if let Some(ahead) = detail.ahead {
        lines.push(("ahead of it", count(ahead, "unfinished job")));
    }
    if let Some(start) = detail.estimate {
        lines.push(("starts about", clock.local(start)));
    }
    lines.push(("submitted", clock.local(job.submit_time)));
    for (label, time) in
        [("eligible", job.eligible_time), ("started", job.start_time), ("ended", job.end_time)]
    {
        if let Some(time) = time {
            lines.push((label, clock.local(time)));
        }
    }
    if let Some(private) = &job.private {
        lines.push(("directory", private.work_dir.clone()));
        lines.push(("output", private.output.clone()));
        if private.error != private.output && !private.error.is_empty() {
            lines.push(("error", private.error.clone()));
        }
        if !private.comment.is_empty() {
            lines.push(("comment", private.comment.clone()));
        }
        lines.push(("script", private.script_hash.to_string()));
    }
    lines
}

fn state_words(job: &JobInfo) -> String {
    match (job.state, job.reason.code.is_empty()) {
        (State::Pending | State::Held, false) if job.reason.text.is_empty() => {
            format!("{} ({})", job.state, job.reason.code)
        }
        (State::Pending | State::Held, false) => {
            format!("{} ({}: {})", job.state, job.reason.code, job.reason.text)
        }
        _ => job.state.to_string(),
    }
}

fn resources(job: &JobInfo) -> String {
    let memory = if job.memory_bytes == 0 {
        "the whole node's memory".to_owned()
    } else {
        size_words(job.memory_bytes)
    };
    let each = if job.tasks.is_empty() { "" } else { " for each task" };
    format!("{}, {memory}{each}", count(job.cpus.into(), "cpu"))
}

fn used(end: &End) -> String {
    let cpu = span_words(Seconds(end.usage.cpu_ms / 1_000));
    match memory_peak(end) {
        Some(bytes) => format!("{cpu} of cpu time, {} of memory at most", size_words(bytes)),
        None => format!("{cpu} of cpu time, memory not measured"),
    }
}

fn times(number: u32) -> String {
    match number {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        _ => format!("{number} times"),
    }
}
