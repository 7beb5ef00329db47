//! From the command line of `jsubmit` to requests that a controller can take, or to an error that says where.

pub mod environment;
mod lines;
mod login;
mod many;
mod needs;
pub mod program;
mod schedule;
pub mod show;
mod specification;
mod surroundings;
mod understanding;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Read;
use std::rc::Rc;

use self::program::Program;
pub use self::surroundings::{Surroundings, Variables};
pub use self::understanding::Field;
use super::error::CliError;
use super::options::given::{Given, Merged, Source};
use super::options::{environment as defaults, reader};
use crate::model::ids::ContentHash;
use crate::model::spec::JobSpec;

pub use self::many::{JOBS_BYTES_MAX, JOBS_MAX};

/// The most bytes of `--key`.
pub const KEY_BYTES_MAX: usize = 128;

/// What somebody who called `jsubmit` wants.
#[derive(Debug)]
pub enum Asked {
    /// The help, in full.
    Help,
    /// The usage in a few lines.
    Usage,
    /// The version.
    Version,
    /// To submit.
    Submit(Box<Prepared>),
}

/// How long the command stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Until the submission is durable.
    No,
    /// Until the end.
    End,
    /// Until the end, with the output.
    Follow,
}

/// Requests ready to be sent, and how the answer is wanted.
#[derive(Debug)]
pub struct Prepared {
    /// The jobs: one, or those of `--jobs` in the file's order.
    pub jobs: Vec<PreparedJob>,
    /// Every content that the jobs name by hash, once.
    pub contents: Vec<(ContentHash, Vec<u8>)>,
    /// The key that the user chose; otherwise the client makes one.
    pub key: Option<String>,
    /// How long the command stays.
    pub waiting: Waiting,
    /// Whether nothing is to be submitted. Then `refused` may be filled.
    pub test_only: bool,
    /// Whether the ids alone are printed.
    pub parsable: bool,
    /// Whether standard error stays silent but for errors.
    pub quiet: bool,
    /// Whether what was understood is said.
    pub verbose: bool,
    /// Whether the answer is JSON.
    pub json: bool,
    /// The client configuration that was named.
    pub config: Option<String>,
    /// Whether the call was `--jobs`.
    pub many: bool,
    /// What the user should know, each once.
    pub warnings: Vec<String>,
}

/// One request.
#[derive(Debug)]
pub struct PreparedJob {
    /// The request.
    pub spec: JobSpec,
    /// Its label in a `--jobs` file.
    pub label: Option<String>,
    /// Each option as understood.
    pub fields: Vec<Field>,
    /// What can't be honoured yet; empty unless `--test-only`.
    pub refused: Vec<Given>,
}

/// Contents by their hash, and environments that were already made.
#[derive(Default)]
struct Contents {
    by_hash: BTreeMap<ContentHash, Vec<u8>>,
    environments: BTreeMap<(String, bool), ContentHash>,
}

impl Contents {
    fn keep(&mut self, bytes: Vec<u8>) -> ContentHash {
        let hash = ContentHash::of(&bytes);
        self.by_hash.entry(hash).or_insert(bytes);
        hash
    }
}

/// Reads what follows `jsubmit` on the command line, the environment, and the script, and makes the requests.
///
/// # Errors
/// Everything that can be wrong before a controller is asked, each with its place, a hint and its exit code.
pub fn prepare(
    arguments: &[OsString],
    around: &Surroundings,
    stdin: &mut dyn Read,
) -> Result<Asked, CliError> {
    let words = text_words(arguments)?;
    let reading = reader::read(&words, &Source::CommandLine)?;
    if let Some(asked) = help(&words, &reading)? {
        return Ok(asked);
    }
    let rest = words.get(reading.used..).unwrap_or_default();
    let mut given = defaults::read(&|name| around.variable(name))?;
    given.extend(reading.given);
    let call = Merged::from(given.clone())?;
    let mut contents = Contents::default();
    let mut warnings = Vec::new();
    let jobs = match value(&call, "jobs") {
        Some(file) => {
            if let Some(word) = rest.first() {
                let message = format!("--jobs takes no script: `{word}`");
                return Err(CliError::usage("unwanted_word", message).option("--jobs"));
            }
            many::prepare(&file, &given, around, stdin, &mut contents, &mut warnings)?
        }
        None => {
            let program = find_program(&call, rest, reading.dashes, around, stdin)?;
            vec![prepare_one(&given, program, None, None, around, stdin, &mut contents, &mut warnings)?]
        }
    };
    finish(&call, jobs, contents, warnings)
}

/// Whether errors are wanted as JSON, as far as can be told before anything is understood.
pub fn wants_json(arguments: &[OsString]) -> bool {
    arguments.iter().take_while(|word| *word != "--").any(|word| word == "--json")
}

fn text_words(arguments: &[OsString]) -> Result<Vec<String>, CliError> {
    let text = |word: &OsString| {
        word.to_str().map(str::to_owned).ok_or_else(|| {
            let message = format!("`{}` is no text", word.to_string_lossy());
            CliError::usage("not_text", message).hint("arguments that are no UTF-8 can't be sent; use a file")
        })
    };
    arguments.iter().map(text).collect()
}

fn value(call: &Merged, long: &str) -> Option<String> {
    call.get(long).and_then(|given| given.value.clone())
}

/// `-h` alone means help; beside other options it may have been meant for something else.
fn help(words: &[String], reading: &reader::Reading) -> Result<Option<Asked>, CliError> {
    let said = |long: &str| reading.given.iter().any(|given| given.option.long == long);
    if said("version") {
        return Ok(Some(Asked::Version));
    }
    if said("usage") {
        return Ok(Some(Asked::Usage));
    }
    if !said("help") {
        return Ok(None);
    }
    let spelled_out = words.iter().take(reading.used).any(|word| word.starts_with("--he"));
    if spelled_out || reading.given.len() == 1 {
        return Ok(Some(Asked::Help));
    }
    Err(super::args::help_beside_options())
}

fn find_program(
    call: &Merged,
    rest: &[String],
    dashes: bool,
    around: &Surroundings,
    stdin: &mut dyn Read,
) -> Result<Program, CliError> {
    match (value(call, "wrap"), rest.split_first()) {
        (Some(_), Some(_)) => {
            Err(CliError::usage("unwanted_word", "--wrap takes a line; no script or command beside it")
                .option("--wrap"))
        }
        (Some(line), None) => program::from_line(&line),
        (None, Some(_)) if dashes => program::from_command(rest),
        (None, Some((script, arguments))) => program::from_file(script, arguments, around),
        (None, None) if dashes || around.stdin_is_terminal => {
            let error = CliError::usage("no_script", "there is nothing to run");
            Err(error.hint(
                "jsubmit SCRIPT, jsubmit -- COMMAND…, jsubmit --wrap 'LINE', or a script on standard input",
            ))
        }
        (None, None) => program::from_stdin(stdin),
    }
}

/// Understands one job. `more` is what a line of `--jobs` says; `labels` finds what `@label` means.
#[allow(clippy::too_many_arguments)]
fn prepare_one(
    given: &[Given],
    mut program: Program,
    label: Option<String>,
    labels: crate::model::parse::dependency::Labels<'_>,
    around: &Surroundings,
    stdin: &mut dyn Read,
    contents: &mut Contents,
    warnings: &mut Vec<String>,
) -> Result<PreparedJob, CliError> {
    let mut all = std::mem::take(&mut program.script.given);
    all.extend_from_slice(given);
    let merged = Merged::from(all)?;
    warn(warnings, std::mem::take(&mut program.script.warnings));
    let mut job = specification::specify(&merged, program, labels, around, stdin, contents, warnings)?;
    job.label = label;
    if merged.has("test-only") || job.refused.is_empty() { Ok(job) } else { Err(not_supported(&job.refused)) }
}

fn warn(warnings: &mut Vec<String>, more: Vec<String>) {
    for warning in more {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}

/// All that can't be honoured, each with its place; the first one's place is the error's.
fn not_supported(refused: &[Given]) -> CliError {
    let named = |given: &Given| match &given.source {
        Source::CommandLine | Source::Default => given.written(),
        source => format!("{} ({source})", given.written()),
    };
    let Some((first, more)) = refused.split_first() else {
        return CliError::script("not_supported", "not supported yet");
    };
    let more: Vec<String> = more.iter().map(named).collect();
    let beside = if more.is_empty() { String::new() } else { format!(", {}", more.join(", ")) };
    let message = match more.is_empty() {
        true => format!("not supported yet: {}", first.written()),
        false => format!("not supported yet: {}{beside}", named(first)),
    };
    let mut error = first.error("not_supported", message);
    error.code = super::error::ExitCode::BadScript;
    error.hint("`jsubmit --test-only` shows what was understood")
}

fn finish(
    call: &Merged,
    jobs: Vec<PreparedJob>,
    contents: Contents,
    warnings: Vec<String>,
) -> Result<Asked, CliError> {
    let key = match call.get("key") {
        Some(given) => Some(check_key(given)?),
        None => None,
    };
    // These may stand in a script, too, so that the jobs' own fields know best.
    let said = |name: &str| {
        let by_job =
            |job: &PreparedJob| job.fields.iter().any(|field| field.name == name && field.value == true);
        jobs.iter().any(by_job)
    };
    let waiting = match (said("follow"), said("wait")) {
        (true, _) => Waiting::Follow,
        (false, true) => Waiting::End,
        (false, false) => Waiting::No,
    };
    if waiting == Waiting::Follow && jobs.len() > 1 {
        return Err(CliError::usage("contradiction", "--follow shows one job; --jobs submits several")
            .option("--follow"));
    }
    Ok(Asked::Submit(Box::new(Prepared {
        key,
        waiting,
        test_only: said("test_only"),
        parsable: said("parsable"),
        quiet: said("quiet"),
        verbose: said("verbose"),
        json: call.has("json"),
        config: value(call, "config"),
        many: call.has("jobs"),
        contents: contents.by_hash.into_iter().collect(),
        jobs,
        warnings,
    })))
}

fn check_key(given: &Given) -> Result<String, CliError> {
    let key = given.value.clone().unwrap_or_default();
    let fits = (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic());
    let message = format!("--key: 1 to {KEY_BYTES_MAX} visible ASCII characters");
    if fits { Ok(key) } else { Err(given.error("malformed_value", message)) }
}

/// A file's name as sources share it.
fn shared(name: &str) -> Rc<str> {
    name.into()
}

#[cfg(test)]
mod tests;
