//! What a verb did, a line per job: old state, new state.

use serde_json::{Value, json};

use super::quantity::count;
use crate::wire::client::ActLine;

/// `123: running → cancelled`, with how many tasks it hit and what there is to say.
pub fn act_line(line: &ActLine) -> String {
    let states =
        if line.old == line.new { line.old.clone() } else { format!("{} → {}", line.old, line.new) };
    let mut text = if states.is_empty() { line.id.clone() } else { format!("{}: {states}", line.id) };
    if line.tasks > 1 {
        text.push_str(&format!(", {}", count(line.tasks, "task")));
    }
    if !line.note.is_empty() {
        text.push_str(&format!(" ({})", line.note));
    }
    text
}

/// How many it hit, when that is more than one; for stderr.
pub fn act_total(lines: &[ActLine], dry_run: bool) -> Option<String> {
    let verb = if dry_run { "would change" } else { "changed" };
    // Of very many jobs the last line tells of all that have none of their own.
    let (lines, more) = match lines.split_last() {
        Some((more, lines)) if more.old.is_empty() => (lines, Some(more)),
        _ => (lines, None),
    };
    // What was set is seen in no state.
    let changed: Vec<&ActLine> = lines.iter().filter(|line| line.tasks > 0).collect();
    let tasks: u64 = changed.iter().copied().chain(more).map(|line| line.tasks).sum();
    if lines.len() < 2 && tasks < 2 {
        return None;
    }
    let jobs = count(changed.len() as u64, "job");
    let same = lines.len() - changed.len();
    let mut text = format!("{verb} {jobs}");
    if let Some(more) = more {
        text.push_str(&format!(" and {}", more.id));
    }
    if tasks > changed.len() as u64 {
        text.push_str(&format!(" ({})", count(tasks, "task")));
    }
    if same > 0 {
        text.push_str(&format!(", {same} left as they were"));
    }
    Some(text)
}

/// The same as JSON.
pub fn act_json(lines: &[ActLine], dry_run: bool) -> Value {
    let items: Vec<Value> = lines
        .iter()
        .map(|line| {
            json!({
                "id": line.id, "old_state": line.old, "new_state": line.new, "note": line.note,
                "tasks": line.tasks, "dry_run": dry_run,
            })
        })
        .collect();
    Value::Array(items)
}
