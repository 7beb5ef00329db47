//! The arguments of every command, in one place: help, manual pages and completions are made from here.

pub mod filters;
pub mod jcancel;
pub mod jctld;
pub mod jnode;
pub mod jqueue;
pub mod jrun;
pub mod jsubmit;
pub mod jworkerd;
pub mod values;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ErrorKind};
use clap::{Args, Command, CommandFactory, FromArgMatches};

use super::error::CliError;

/// What all commands take.
#[derive(Args, Clone, Debug, Default)]
pub struct General {
    /// Client configuration
    #[arg(long, value_name = "FILE", global = true, help_heading = "General")]
    pub config: Option<PathBuf>,
    /// Answer in JSON
    #[arg(long, global = true, help_heading = "General")]
    pub json: bool,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Parsed<T> {
    /// Text for standard output: the help or the version. The exit code is 0.
    Show(String),
    /// To run with these arguments.
    Run(T),
}

/// A command whose definition is here.
pub trait Definition: CommandFactory + FromArgMatches {
    /// The verbs that are defined but not supported yet, as `reserve` or `ca rotate`.
    const LATER: &'static [&'static str];

    /// The definition with what is common to all commands.
    fn definition() -> Command {
        finish(Self::command(), Self::LATER)
    }

    /// What the derived definition can't check.
    ///
    /// # Errors
    /// Arguments that don't go together (64).
    fn check(&self) -> Result<(), CliError> {
        Ok(())
    }
}

/// Whether answers and errors are wanted as JSON, as far as can be told before anything is understood.
pub fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

/// Reads a command line; `arguments` is without the program's own name.
///
/// # Errors
/// Usage (64); verbs that are not supported yet (65).
pub fn parse<T: Definition>(arguments: &[OsString]) -> Result<Parsed<T>, CliError> {
    let command = T::definition();
    let name = OsString::from(command.get_name());
    let words = std::iter::once(&name).chain(arguments);
    let help_alone = help_alone(arguments);
    if help_alone == HelpWish::Beside {
        return Err(help_beside_options());
    }
    let matches = match command.try_get_matches_from(words) {
        Ok(matches) => matches,
        Err(error) => return explain(&error, help_alone, arguments),
    };
    let path = verb_path(&matches);
    if T::LATER.contains(&path.as_str()) {
        return Err(CliError::script("not_supported", format!("not supported yet: {path}")).option(path));
    }
    misplaced_filters(&matches)?;
    let parsed = T::from_arg_matches(&matches).map_err(|error| usage(&error))?;
    parsed.check()?;
    Ok(Parsed::Run(parsed))
}

/// `-h` beside other options: in Slurm's listings it means "no header", so that a guess would please nobody.
pub(super) fn help_beside_options() -> CliError {
    let error = CliError::usage("help_beside_options", "-h stands alone: it prints the help").option("-h");
    error.hint("did you mean `--no-header`? for the help: --help")
}

/// Whether help was asked for by `-h`, and alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HelpWish {
    /// `--help`, or `-h` and no other option.
    Clear,
    /// `-h` as a word of its own, with other options.
    Beside,
    /// Not as a word of its own.
    None,
}

fn help_alone(arguments: &[OsString]) -> HelpWish {
    let words = arguments.iter().take_while(|word| *word != "--");
    let options: Vec<&OsString> =
        words.filter(|word| word.len() > 1 && word.as_encoded_bytes().starts_with(b"-")).collect();
    let short = options.iter().any(|word| *word == "-h");
    if options.iter().any(|word| *word == "--help") || (short && options.len() == 1) {
        HelpWish::Clear
    } else if short {
        HelpWish::Beside
    } else {
        HelpWish::None
    }
}

fn explain<T>(error: &clap::Error, wish: HelpWish, arguments: &[OsString]) -> Result<Parsed<T>, CliError> {
    // `jnode help drain` prints help, too.
    let by_verb = arguments.iter().any(|word| word == "help");
    match error.kind() {
        // Help that was not asked for in a clear way came from a row of letters such as `-lh`.
        ErrorKind::DisplayHelp if wish == HelpWish::None && !by_verb => Err(help_beside_options()),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Parsed::Show(error.render().to_string())),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let message = "a verb is missing";
            Err(CliError::usage("missing_verb", message)
                .hint(error.render().to_string().trim_end().to_owned()))
        }
        _ => Err(usage(error)),
    }
}

/// What clap found wrong, in our words' order: the first line is the message, its tips are the hint.
fn usage(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let told = lines.iter().take_while(|line| !line.is_empty());
    let message = told.copied().collect::<Vec<_>>().join(" ");
    let message = message.strip_prefix("error: ").unwrap_or(&message).to_owned();
    let tip = lines.iter().find_map(|line| line.strip_prefix("tip: "));
    let word = match error.kind() {
        ErrorKind::UnknownArgument => "unknown_option",
        ErrorKind::InvalidSubcommand => "unknown_verb",
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => "malformed_value",
        ErrorKind::MissingRequiredArgument => "missing_argument",
        ErrorKind::ArgumentConflict => "contradiction",
        _ => "usage",
    };
    let mut found = CliError::usage(word, message).hint(tip.unwrap_or("--help lists what is known"));
    if let Some(clap::error::ContextValue::String(argument)) = error.get(ContextKind::InvalidArg) {
        found = found.option(argument.clone());
    }
    found
}

/// `ca rotate` of `jctld ca rotate`; empty without a verb.
fn verb_path(matches: &clap::ArgMatches) -> String {
    let (mut path, mut at) = (Vec::new(), matches);
    while let Some((name, inner)) = at.subcommand() {
        path.push(name);
        at = inner;
    }
    path.join(" ")
}

/// Options of a listing before a verb would silently not count: `jqueue -t bad requeue 7` must not requeue all of 7.
fn misplaced_filters(matches: &clap::ArgMatches) -> Result<(), CliError> {
    let Some((verb, _)) = matches.subcommand() else { return Ok(()) };
    let typed = |id: &&clap::Id| {
        matches.value_source(id.as_str()) == Some(clap::parser::ValueSource::CommandLine)
            && !["config", "json", "settings", "dir"].contains(&id.as_str())
            && matches.try_contains_id(id.as_str()).unwrap_or(false)
    };
    match matches.ids().find(|id| typed(id) && !is_group(id.as_str())) {
        Some(id) => {
            let option = format!("--{}", id.as_str().replace('_', "-"));
            let error =
                CliError::usage("misplaced_option", format!("{option} stands before the verb {verb}"));
            Err(error.option(option).hint("put options after the verb"))
        }
        None => Ok(()),
    }
}

/// Derived argument groups are named like the types they come from.
fn is_group(id: &str) -> bool {
    id.starts_with(|c: char| c.is_ascii_uppercase())
}

/// What is common to all definitions: version, headings, and a word on verbs that are still to come.
fn finish(command: Command, later: &[&str]) -> Command {
    mark_later(command.version(env!("CARGO_PKG_VERSION")).disable_help_subcommand(false), "", later)
}

fn mark_later(command: Command, path: &str, later: &[&str]) -> Command {
    let mut command = command;
    if later.contains(&path) {
        let about = command.get_about().map_or(String::new(), ToString::to_string);
        command = command.about(format!("{about} (not supported yet)"));
    }
    let path = path.to_owned();
    command.mut_subcommands(move |verb| {
        let name = verb.get_name().to_owned();
        let path = if path.is_empty() { name } else { format!("{path} {name}") };
        mark_later(verb, &path, later)
    })
}

#[cfg(test)]
mod tests;
