//! What `jctld doctor` and `jworkerd doctor` have found.

use serde_json::{Value, json};

use crate::cli::error::ExitCode;
use crate::cli::json::envelope;
use crate::cli::text::{escape, print};
use crate::client::doctor::{Finding, Verdict};

/// In words: a line each, and below what is wrong what to do.
pub fn findings(found: &[Finding]) -> String {
    let width = found.iter().map(|one| one.about.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for one in found {
        let about = escape(&one.about);
        text.push_str(&format!("{:<5} {about:<width$}  {}\n", word(one.verdict), escape(&one.text)));
        if !one.next.is_empty() {
            text.push_str(&format!("{:6}{:width$}  next: {}\n", "", "", escape(&one.next)));
        }
    }
    text
}

/// As JSON.
pub fn findings_json(found: &[Finding]) -> Value {
    let one = |one: &Finding| {
        let next = if one.next.is_empty() { Value::Null } else { json!(one.next) };
        json!({"about": one.about, "verdict": word(one.verdict), "text": one.text, "next": next})
    };
    Value::Array(found.iter().map(one).collect())
}

/// Prints them; the exit code is 1 if something is wrong.
///
/// # Errors
/// When standard output is gone.
pub fn report(found: &[Finding], as_json: bool) -> std::io::Result<ExitCode> {
    match as_json {
        true => print(&(envelope(findings_json(found), &[]) + "\n"))?,
        false => print(&findings(found))?,
    }
    let wrong = found.iter().any(|one| one.verdict == Verdict::Wrong);
    Ok(if wrong { ExitCode::Refused } else { ExitCode::Done })
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Good => "ok",
        Verdict::Note => "note",
        Verdict::Wrong => "wrong",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_comes_with_what_to_do() {
        let found = [Finding::good("clock", "right"), Finding::wrong("a\u{1b}[2J", "no\nway", "mend it")];
        let text = findings(&found);
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(!text.contains('\u{1b}') && text.contains("next: mend it"), "{text}");
        assert_eq!(findings_json(&found)[1]["verdict"], "wrong");
    }
}
