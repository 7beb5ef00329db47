//! What `--test-only` shows: the request as understood, one field per option.

use serde_json::{Map, Value, json};

use super::{Prepared, PreparedJob};
use crate::cli::options::given::{Given, Source};

/// The `data` of `--test-only --json`; the controller's answer fills in `start` and `nodes`. One job is an object,
/// those of `--jobs` are a list.
pub fn data(prepared: &Prepared) -> Value {
    match prepared.jobs.as_slice() {
        [job] if !prepared.many => one(job),
        jobs => json!(jobs.iter().map(one).collect::<Vec<_>>()),
    }
}

/// The same as lines for people: an option, its value, and who said so.
pub fn lines(job: &PreparedJob) -> Vec<String> {
    let line = |name: &str, value: String, source: &Source| format!("{name:<18} {value:<28} {source}");
    let mut lines = Vec::new();
    for field in &job.fields {
        let value = match &field.value {
            Value::Null => continue,
            Value::Bool(false) if field.source == Source::Default => continue,
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        lines.push(line(&field.name, value, &field.source).trim_end().to_owned());
    }
    lines.extend(
        job.refused.iter().map(|given| format!("not supported yet: {} ({})", given.written(), given.source)),
    );
    lines
}

fn one(job: &PreparedJob) -> Value {
    let (mut request, mut sources) = (Map::new(), Map::new());
    for field in &job.fields {
        request.insert(field.name.clone(), field.value.clone());
        if field.source != Source::Default {
            sources.insert(field.name.clone(), json!(field.source.to_string()));
        }
    }
    let refused: Vec<Value> = job.refused.iter().map(refusal).collect();
    json!({
        "label": job.label, "request": request, "sources": sources, "refused": refused,
        "start": null, "nodes": null,
    })
}

fn refusal(given: &Given) -> Value {
    let (file, line) = match &given.source {
        Source::Script { file, line } | Source::Jobs { file, line } => (Some(file.to_string()), Some(*line)),
        Source::Environment(name) => (Some(name.clone()), None),
        Source::CommandLine | Source::Default => (None, None),
    };
    json!({"option": given.written(), "file": file, "line": line, "message": format!("not supported yet: {}", given.written())})
}
