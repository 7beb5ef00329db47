//! How a command fails: what was wrong, where, and what to do next, in that order; with one exit code each.

use std::fmt;
use std::io;

use serde_json::json;

use super::json::SCHEMA;
use super::text::{escape, print, say};

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitCode {
    /// Done.
    Done,
    /// Refused, or not found.
    Refused,
    /// The command line makes no sense.
    Usage,
    /// A bad script or directive, or one that asks for what is not supported yet.
    BadScript,
    /// The controller was not reached; nothing was accepted.
    Unreachable,
    /// The outcome is unknown, or the time is out; repeating with the same key is safe.
    Unknown,
    /// Not allowed.
    Forbidden,
    /// Configuration or certificate.
    Configuration,
    /// What the jobs that were waited for ended with.
    Waited(u8),
}

impl ExitCode {
    /// The number for the shell.
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Done => 0,
            ExitCode::Refused => 1,
            ExitCode::Usage => 64,
            ExitCode::BadScript => 65,
            ExitCode::Unreachable => 69,
            ExitCode::Unknown => 75,
            ExitCode::Forbidden => 77,
            ExitCode::Configuration => 78,
            ExitCode::Waited(code) => code,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> std::process::ExitCode {
        std::process::ExitCode::from(code.number())
    }
}

/// Where something was wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, or the environment variable.
    pub file: Option<String>,
    /// The line in the file, counted from 1.
    pub line: Option<u32>,
    /// The option, with its dashes.
    pub option: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, "{file} line {line}"),
            (Some(file), None) => f.write_str(file),
            (None, Some(line)) => write!(f, "line {line}"),
            (None, None) => Ok(()),
        }
    }
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// How the command ends.
    pub code: ExitCode,
    /// The word for programs, in lower snake case: `unknown_option`.
    pub word: &'static str,
    /// What was wrong, in one sentence.
    pub message: String,
    /// Where; boxed, so that every result stays small.
    pub place: Box<Place>,
    /// What to do next.
    pub hint: Option<String>,
}

impl CliError {
    /// An error without place and hint.
    pub fn new(code: ExitCode, word: &'static str, message: impl Into<String>) -> CliError {
        CliError { code, word, message: message.into(), place: Box::default(), hint: None }
    }

    /// A command line that makes no sense (64).
    pub fn usage(word: &'static str, message: impl Into<String>) -> CliError {
        CliError::new(ExitCode::Usage, word, message)
    }

    /// A bad script or directive (65).
    pub fn script(word: &'static str, message: impl Into<String>) -> CliError {
        CliError::new(ExitCode::BadScript, word, message)
    }

    /// The same, with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> CliError {
        self.hint = Some(hint.into());
        self
    }

    /// The same, in that file.
    pub fn in_file(mut self, file: impl Into<String>) -> CliError {
        self.place.file = Some(file.into());
        self
    }

    /// The same, on that line.
    pub fn on_line(mut self, line: u32) -> CliError {
        self.place.line = Some(line);
        self
    }

    /// The same, at that option.
    pub fn option(mut self, option: impl Into<String>) -> CliError {
        self.place.option = Some(option.into());
        self
    }

    /// Whether it is only that the reader of our output went away.
    pub fn is_broken_pipe(&self) -> bool {
        self.word == BROKEN_PIPE
    }

    /// What stands on standard error: message, place, hint.
    pub fn text(&self, program: &str) -> String {
        let place = self.place.to_string();
        let place = if place.is_empty() { place } else { format!(" ({place})") };
        let hint = self.hint.as_deref().map_or(String::new(), |hint| format!("\n  {hint}"));
        let lines = format!("{program}: {}{place}{hint}", self.message);
        lines.split('\n').map(escape).collect::<Vec<_>>().join("\n")
    }

    /// What stands on standard output with `--json`.
    pub fn json(&self) -> serde_json::Value {
        let place = &self.place;
        json!({"schema": SCHEMA, "error": {
            "code": self.word, "message": self.message, "hint": self.hint,
            "file": place.file, "line": place.line, "option": place.option,
        }})
    }

    /// Tells it, as text or as JSON, and gives the exit code. The last thing that a command does.
    pub fn report(&self, program: &str, as_json: bool) -> ExitCode {
        if self.is_broken_pipe() {
            return ExitCode::Done;
        }
        if !as_json || print(&format!("{}\n", self.json())).is_err() {
            say(&self.text(program));
        }
        self.code
    }
}

const BROKEN_PIPE: &str = "broken_pipe";

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// From writing our own output; other failures deserve a sentence of their own.
impl From<io::Error> for CliError {
    fn from(error: io::Error) -> CliError {
        match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(ExitCode::Done, BROKEN_PIPE, "the reader has gone"),
            _ => CliError::new(
                ExitCode::Refused,
                "output_failed",
                format!("output could not be written: {error}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_place_hint_in_this_order() {
        let error = CliError::script("unknown_option", "unknown option `--gers`")
            .in_file("job\n.sh")
            .on_line(7)
            .option("--gers")
            .hint("did you mean `--gres`?");
        assert_eq!(error.code.number(), 65);
        assert_eq!(
            CliError {
                place: Box::new(Place { file: Some("job.sh".into()), ..*error.place.clone() }),
                ..error.clone()
            }
            .text("jsubmit"),
            "jsubmit: unknown option `--gers` (job.sh line 7)\n  did you mean `--gres`?"
        );
        let json = error.json();
        assert_eq!(json["schema"], "jsched/1");
        assert_eq!(json["error"]["code"], "unknown_option");
        assert_eq!(json["error"]["line"], 7);
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let gone = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(gone.report("jqueue", false), ExitCode::Done);
        assert_eq!(CliError::from(io::Error::other("full")).code, ExitCode::Refused);
    }
}
