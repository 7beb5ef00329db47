//! What the client's failures are on the command line, and the command that repeats a request safely.

use std::ffi::OsString;

use crate::cli::error::{CliError, ExitCode};
use crate::client::config::ConfigError;
use crate::client::error::ClientError;
use crate::wire::client::Refusal;

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> CliError {
        CliError::new(ExitCode::Configuration, "configuration", error.to_string()).hint(error.hint())
    }
}

impl From<ClientError> for CliError {
    fn from(error: ClientError) -> CliError {
        let word = match error {
            ClientError::Config(error) => return error.into(),
            ClientError::Output(error) => return error.into(),
            ClientError::Refused(refusal) => return refused(&refusal),
            ClientError::Certificate(_) => "certificate",
            ClientError::NotReached(_) => "not_reached",
            ClientError::NotAdmitted { .. } => "not_admitted",
            ClientError::Unknown(_) => "outcome_unknown",
            ClientError::TimeOut(_) => "time_out",
            ClientError::Protocol(_) => "protocol",
            ClientError::System(_) => "system",
        };
        let hint = match error {
            ClientError::Certificate(_) | ClientError::NotAdmitted { .. } => Some(
                "for a new certificate an admin says `jctld user add NAME`, then here `jqueue login TOKEN`",
            ),
            _ => None,
        };
        let told = CliError::new(exit_code(error.exit_code()), word, error.to_string());
        match hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    }
}

/// A refusal of the controller.
pub(in crate::cli) fn refused(refusal: &Refusal) -> CliError {
    let error =
        CliError::new(exit_code(refusal.code.exit_code()), refusal.code.word(), refusal.message.clone());
    if refusal.hint.is_empty() { error } else { error.hint(refusal.hint.clone()) }
}

/// Adds the command that repeats a request with its key, if the outcome is unknown or the controller said "later".
pub(super) fn with_repeat(error: CliError, repeat: &str) -> CliError {
    if error.code != ExitCode::Unknown {
        return error;
    }
    let hint = match &error.hint {
        Some(hint) => format!("{hint}\nrepeating it is safe: {repeat}"),
        None => format!("repeating it is safe: {repeat}"),
    };
    error.hint(hint)
}

/// The command of this process as it was typed, with `--key KEY` and no other key; behind the verb, if there is one.
pub(super) fn repeat(program: &str, is_verb: bool, key: &str) -> String {
    let typed: Vec<OsString> = std::env::args_os().skip(1).collect();
    repeat_of(program, &typed, is_verb, key)
}

fn repeat_of(program: &str, typed: &[OsString], is_verb: bool, key: &str) -> String {
    let words = if is_verb { words_to_verb(typed) } else { 0 };
    let mut said = vec![program.to_owned()];
    let mut typed = typed.iter().map(|word| word.to_string_lossy().into_owned());
    said.extend(typed.by_ref().take(words).map(|word| quoted(&word)));
    said.extend(["--key".to_owned(), quoted(key)]);
    let mut ours = true;
    while let Some(word) = typed.next() {
        ours &= word != "--";
        if ours && word == "--key" {
            typed.next();
        } else if !(ours && word.starts_with("--key=")) {
            said.push(quoted(&word));
        }
    }
    said.join(" ")
}

/// How many words end with the verb: options that all commands take may stand before it.
fn words_to_verb(typed: &[OsString]) -> usize {
    let mut at = 0;
    while let Some(word) = typed.get(at).and_then(|word| word.to_str()) {
        at += match word {
            "--config" => 2,
            word if word.starts_with('-') => 1,
            _ => return at + 1,
        };
    }
    at.min(typed.len())
}

fn exit_code(number: u8) -> ExitCode {
    match number {
        0 => ExitCode::Done,
        64 => ExitCode::Usage,
        65 => ExitCode::BadScript,
        69 => ExitCode::Unreachable,
        75 => ExitCode::Unknown,
        77 => ExitCode::Forbidden,
        78 => ExitCode::Configuration,
        _ => ExitCode::Refused,
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repeated_command_is_what_was_typed_with_its_key() {
        let words = |list: &[&str]| list.iter().map(OsString::from).collect::<Vec<_>>();
        let typed = words(&["--key=old", "-J", "a b", "--key", "older", "job.sh", "--", "--key", "it's"]);
        assert_eq!(
            repeat_of("jsubmit", &typed, false, "k1"),
            r"jsubmit --key k1 -J 'a b' job.sh -- --key 'it'\''s'"
        );
        let typed = words(&["--config", "c.toml", "--json", "hold", "12"]);
        let again = repeat_of("jqueue", &typed, true, "k1");
        assert_eq!(again, "jqueue --config c.toml --json hold --key k1 12");
    }
}
