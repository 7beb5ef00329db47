//! What is configured, as the file that `config apply` reads.

use serde_json::{Map, Value as Json, json};

use crate::model::configured::Value;
use crate::wire::config::{ConfigEntry, Section};

const HEAD: &str = "\
# The cluster's configuration: `jctld config apply FILE --dry-run` says what a changed one would change.
# A section that the file lacks altogether stays as it is; in one that it has, what is not there goes.
# Nodes join by themselves: those that no entry names stay as they are.
";

/// The file.
pub fn write(entries: &[ConfigEntry]) -> String {
    let mut text = HEAD.to_owned();
    for entry in entries {
        let name = if entry.name.is_empty() { String::new() } else { name_word(&entry.name) };
        text.push_str(&format!("\n[{}]\n", entry.section.entry(&name, ".")));
        for (key, value) in &entry.keys {
            text.push_str(&format!("{key} = {}\n", toml_value(value)));
        }
    }
    text
}

/// The same for programs: names to keys, by section.
pub fn entries_json(entries: &[ConfigEntry]) -> Json {
    let mut sections = Map::new();
    for section in Section::ALL {
        let of = entries.iter().filter(|entry| entry.section == section);
        let names = of.map(|entry| {
            let keys = entry.keys.iter().map(|(key, value)| (key.clone(), json_value(value)));
            (entry.name.clone(), Json::Object(keys.collect()))
        });
        let mut names: Map<String, Json> = names.collect();
        // Priorities have no names.
        let one = names.remove("").filter(|_| section == Section::Priority);
        sections.insert(section.word().to_owned(), one.unwrap_or(Json::Object(names)));
    }
    Json::Object(sections)
}

/// A value for programs.
pub(super) fn json_value(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::Number(number) => json!(number),
        Value::Flag(flag) => json!(flag),
        Value::List(names) => json!(names),
    }
}

fn name_word(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !name.is_empty() && name.bytes().all(bare) {
        return name.to_owned();
    }
    toml::Value::String(name.to_owned()).to_string()
}

fn toml_value(value: &Value) -> String {
    let text = |text: &String| toml::Value::String(text.clone());
    match value {
        Value::Text(word) => text(word),
        Value::Number(number) => toml::Value::Integer(*number),
        Value::Flag(flag) => toml::Value::Boolean(*flag),
        Value::List(names) => toml::Value::Array(names.iter().map(text).collect()),
    }
    .to_string()
}
