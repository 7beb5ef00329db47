//! A request as it was understood, option by option, with the options' own names.

use serde_json::{Map, Value, json};

use super::quantity::{limit, rfc3339, size, span_words};
use crate::model::parse::{array, signal};
use crate::model::spec::{
    DependencyKind, JobSpec, LostPolicy, MemoryRequest, OnDependencyFailure, Output, RetryOn, WorkDir,
};

/// The request of `jqueue show --json`: a field per option that was set, times and sizes as numbers.
pub fn request_json(spec: &JobSpec) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() && value != json!("") && value != json!([]) && value != json!(false) {
            object.insert(name.to_owned(), value);
        }
    };
    put("job_name", json!(spec.name));
    put("arguments", json!(spec.arguments));
    put("chdir", json!(work_dir(spec)));
    put("submit_dir", json!(spec.submit_dir));
    put("submit_host", json!(spec.submit_host));
    put("umask", json!(format!("{:04o}", spec.umask)));
    put("input", json!(spec.files.input));
    put("output", json!(output(&spec.files.output)));
    put("error", json!(spec.files.error.as_ref().map(output)));
    put("open_mode", json!(if spec.files.append { "append" } else { "truncate" }));
    put("nodes", json!(spec.request.nodes.map(|(least, most)| json!([least, most]))));
    put("ntasks", json!(spec.request.tasks));
    put("ntasks_per_node", json!(spec.request.tasks_per_node));
    put("cpus_per_task", json!(spec.request.cpus_per_task));
    let (per_node, per_cpu) = match spec.request.memory {
        MemoryRequest::Default => (Value::Null, None),
        MemoryRequest::PerNode(bytes) => (json!(bytes), None),
        MemoryRequest::PerCpu(bytes) => (Value::Null, Some(bytes)),
        MemoryRequest::WholeNode => (json!("all"), None),
        MemoryRequest::Range(least, most) => (json!(memory_range(least, most)), None),
    };
    put("mem_bytes", per_node);
    put("mem_per_cpu_bytes", json!(per_cpu));
    put("tmp_bytes", json!(Some(spec.request.tmp_bytes).filter(|bytes| *bytes > 0)));
    put("mincpus", json!(Some(spec.request.cpus_min).filter(|cpus| *cpus > 0)));
    put("exclusive", json!(spec.request.exclusive));
    put("partition", json!(spec.place.partitions));
    put("nodelist", json!(spec.place.nodes));
    put("exclude", json!(spec.place.exclude));
    put("constraint", json!(spec.place.constraint.as_ref().map(ToString::to_string)));
    put("time_seconds", json!(spec.times.limit.and_then(|limit| limit.0).map(|span| span.0)));
    put("time_min_seconds", json!(spec.times.minimum.map(|span| span.0)));
    put("begin", json!(spec.times.begin.and_then(rfc3339)));
    put("deadline", json!(spec.times.deadline.and_then(rfc3339)));
    put("start_by", json!(spec.times.start_by.and_then(rfc3339)));
    put("account", json!(spec.account));
    put("qos", json!(spec.qos));
    put("nice", json!(Some(spec.nice).filter(|nice| *nice != 0)));
    put("priority", json!(spec.priority));
    put("array", json!(spec.array.as_ref().map(|array| array::write(&array.indexes))));
    put("array_limit", json!(spec.array.as_ref().and_then(|array| array.limit)));
    put("each_line", json!(spec.array.as_ref().is_some_and(|array| array.lines.is_some())));
    put("on_dep_fail", json!(on_failure(spec)));
    put("hold", json!(spec.hold));
    put("tied", json!(spec.tied));
    put("requeue", json!(lost_words(spec.restart.lost)));
    put("retry", json!(Some(spec.restart.retries).filter(|n| *n > 0)));
    put("retry_on", json!(retry_words(&spec.restart.on)));
    put("signal", json!(signal_words(spec)));
    put("comment", json!(spec.comment));
    put("harmless", json!(spec.harmless));
    Value::Object(object)
}

fn memory_range(least: u64, most: u64) -> String {
    format!("{}..{}", crate::model::parse::memory::write(least), crate::model::parse::memory::write(most))
}

/// The request in words for `jqueue show`: what was set, a line each.
pub fn request_lines(spec: &JobSpec) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let mut put = |name: &'static str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            lines.push((name, value));
        }
    };
    put("arguments", Some(spec.arguments.join(" ")));
    put("input", Some(spec.files.input.clone()));
    put("-N", spec.request.nodes.map(|(least, most)| format!("{least}-{most}")));
    put("-n", spec.request.tasks.map(|n| n.to_string()));
    put("--ntasks-per-node", spec.request.tasks_per_node.map(|n| n.to_string()));
    put("-c", spec.request.cpus_per_task.map(|n| n.to_string()));
    match spec.request.memory {
        MemoryRequest::Default => {}
        MemoryRequest::PerNode(bytes) => put("--mem", Some(size(bytes))),
        MemoryRequest::PerCpu(bytes) => put("--mem-per-cpu", Some(size(bytes))),
        MemoryRequest::WholeNode => put("--mem", Some("0 (the whole node's)".to_owned())),
        MemoryRequest::Range(least, most) => put("--mem", Some(memory_range(least, most))),
    }
    put("--tmp", Some(spec.request.tmp_bytes).filter(|n| *n > 0).map(size));
    put("--mincpus", Some(spec.request.cpus_min).filter(|n| *n > 0).map(|n| n.to_string()));
    put("--exclusive", spec.request.exclusive.then(|| "yes".to_owned()));
    put("-p", Some(spec.place.partitions.join(",")));
    put("-w", Some(super::fold_nodes(&spec.place.nodes)));
    put("-x", Some(super::fold_nodes(&spec.place.exclude)));
    put("-C", spec.place.constraint.as_ref().map(ToString::to_string));
    put("-t", spec.times.limit.map(limit));
    put("--time-min", spec.times.minimum.map(span_words));
    put("--nice", Some(spec.nice).filter(|n| *n != 0).map(|n| n.to_string()));
    put("--array", spec.array.as_ref().map(array_words));
    put("--on-dep-fail", on_failure(spec).map(str::to_owned));
    put("--hold", spec.hold.then(|| "yes".to_owned()));
    put("--tied", spec.tied.then(|| "yes".to_owned()));
    put("--requeue", Some(lost_words(spec.restart.lost)));
    put("--retry", Some(spec.restart.retries).filter(|n| *n > 0).map(|n| n.to_string()));
    put("--retry-on", Some(retry_words(&spec.restart.on).join(",")));
    put("--signal", signal_words(spec));
    put("without effect here", Some(spec.harmless.join(" ")));
    lines
}

fn array_words(array: &crate::model::spec::ArraySpec) -> String {
    let limit = array.limit.map_or_else(String::new, |limit| format!("%{limit}"));
    format!("{}{limit}", array::write(&array.indexes))
}

fn work_dir(spec: &JobSpec) -> &str {
    match &spec.work_dir {
        WorkDir::Path(path) => path,
        WorkDir::Private => "job",
    }
}

fn output(output: &Output) -> &str {
    match output {
        Output::Nothing => "none",
        Output::Pattern(pattern) => pattern,
    }
}

fn on_failure(spec: &JobSpec) -> Option<&'static str> {
    let conditions = &spec.dependencies.conditions;
    if conditions.iter().all(|one| one.kind == DependencyKind::Singleton) {
        return None;
    }
    Some(match spec.dependencies.on_failure {
        OnDependencyFailure::Cancel => "cancel",
        OnDependencyFailure::Hold => "hold",
        OnDependencyFailure::Run => "run",
    })
}

fn lost_words(policy: LostPolicy) -> String {
    match policy {
        LostPolicy::Fenced(None) => "fenced".to_owned(),
        LostPolicy::Fenced(Some(lease)) => format!("fenced:{}s", lease.0),
        LostPolicy::Proof => "proof".to_owned(),
        LostPolicy::Overlap => "overlap".to_owned(),
        LostPolicy::Never => "never".to_owned(),
    }
}

fn retry_words(on: &RetryOn) -> Vec<String> {
    let flags = [
        (on.node, "node"),
        (on.preempt, "preempt"),
        (on.timeout, "timeout"),
        (on.oom, "oom"),
        (on.fail, "fail"),
    ];
    let words = flags.iter().filter(|(set, _)| *set).map(|(_, word)| (*word).to_owned());
    words.chain(on.exit.map(|code| format!("exit:{code}"))).collect()
}

fn signal_words(spec: &JobSpec) -> Option<String> {
    spec.signal.map(|warning| {
        let batch = if warning.batch_only { "B:" } else { "" };
        format!("{batch}{}@{}", signal::name(warning.signal), warning.before.0)
    })
}
