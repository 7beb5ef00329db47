//! What applying a configuration changes, in words and for programs.

use serde_json::{Value as Json, json};

use super::write::json_value;
use crate::cli::text::escape;
use crate::model::configured::Value;
use crate::wire::config::{Becomes, ConfigChange, KeyChange};

/// A line for each thing: `account physics: max-cpus 4 -> 8, users a,b -> a,b,c`.
pub fn differences(changes: &[ConfigChange]) -> String {
    let line = |change: &ConfigChange| {
        let keys: Vec<String> = change.keys.iter().map(|key| words(key, change.becomes)).collect();
        let what = match change.becomes {
            Becomes::Removed => "removed".to_owned(),
            Becomes::Added => ["added".to_owned()].into_iter().chain(keys).collect::<Vec<_>>().join(" "),
            Becomes::Changed => keys.join(", "),
        };
        escape(&format!("{}: {what}", change.section.entry(&change.name, " "))).into_owned() + "\n"
    };
    changes.iter().map(line).collect()
}

/// The same for programs.
pub fn differences_json(changes: &[ConfigChange], dry_run: bool) -> Json {
    let value = |value: &Option<Value>| value.as_ref().map_or(Json::Null, json_value);
    let key = |key: &KeyChange| json!({"key": key.key, "from": value(&key.from), "to": value(&key.to)});
    let change = |change: &ConfigChange| {
        json!({
            "section": change.section.word(),
            "name": change.name,
            "becomes": becomes(change.becomes),
            "keys": change.keys.iter().map(key).collect::<Vec<_>>(),
        })
    };
    json!({"dry_run": dry_run, "changes": changes.iter().map(change).collect::<Vec<_>>()})
}

fn becomes(becomes: Becomes) -> &'static str {
    match becomes {
        Becomes::Added => "added",
        Becomes::Changed => "changed",
        Becomes::Removed => "removed",
    }
}

fn words(change: &KeyChange, becomes: Becomes) -> String {
    let word = |value: &Option<Value>| value.as_ref().map_or_else(String::new, |value| value.to_string());
    let (from, to) = (word(&change.from), word(&change.to));
    match becomes {
        Becomes::Added => format!("{}={to}", change.key),
        _ if from.is_empty() => format!("{} {to}", change.key),
        _ if to.is_empty() => format!("{} no longer {from}", change.key),
        _ => format!("{} {from} -> {to}", change.key),
    }
}
