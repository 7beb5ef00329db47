//! The one envelope of all JSON: `{"schema":"jsched/1","data":…,"warnings":[…]}`. Only ever added to.

use serde_json::{Value, json};

/// The schema that every answer names.
pub const SCHEMA: &str = "jsched/1";

/// Puts data and warnings into the envelope; one line, without the newline.
pub fn envelope(data: Value, warnings: &[String]) -> String {
    json!({"schema": SCHEMA, "data": data, "warnings": warnings}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_and_warnings_are_always_there() {
        let text = envelope(json!([1]), &["a\n".to_owned()]);
        assert!(!text.contains('\n'));
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back, json!({"schema": "jsched/1", "data": [1], "warnings": ["a\n"]}));
    }
}
