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

pub use self::needs::node_range;
pub(in crate::cli) use self::needs::{COUNT_MAX, hosts, names};
use self::program::Program;
pub use self::surroundings::{Surroundings, Variables};
pub use self::understanding::Field;
pub(in crate::cli) use self::understanding::{bounded, count};
use super::error::{CliError, ExitCode};
use super::options::given::{Given, Merged, Source};
use super::options::{environment as defaults, reader};
use crate::model::ids::ContentHash;
use crate::model::parse::dependency::Labels;
use crate::model::spec::JobSpec;

pub use self::many::{JOBS_BYTES_MAX, JOBS_MAX};

/// The most bytes of `--key`.
pub const KEY_BYTES_MAX: usize = 64;

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
    /// Each option as understood. With `--jobs` only for `--test-only` and `--verbose`.
    pub fields: Vec<Field>,
    /// What can't be honoured yet; empty unless `--test-only`.
    pub refused: Vec<Given>,
    talk: Talk,
}

/// What a script may say, too, about how the command behaves.
#[derive(Clone, Copy, Debug, Default)]
struct Talk {
    wait: bool,
    follow: bool,
    test_only: bool,
    quiet: bool,
    verbose: bool,
    parsable: bool,
}

/// What the requests of one call are made with, and what gathers meanwhile.
struct Workshop<'a> {
    around: &'a Surroundings,
    stdin: &'a mut dyn Read,
    /// Whether each option leaves a field. A hundred thousand jobs do without, unless they are to be shown.
    fields: bool,
    by_hash: BTreeMap<ContentHash, Vec<u8>>,
    environments: BTreeMap<(String, bool), ContentHash>,
    warnings: Vec<String>,
}

impl Workshop<'_> {
    /// Keeps content for sending, once.
    fn keep(&mut self, bytes: Vec<u8>) -> ContentHash {
        let hash = ContentHash::of(&bytes);
        self.by_hash.entry(hash).or_insert(bytes);
        hash
    }

    /// Warns, once.
    fn warn(&mut self, more: Vec<String>) {
        for warning in more {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
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
    let fields = !call.has("jobs") || call.has("test-only") || call.has("verbose");
    let (by_hash, environments, warnings) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut workshop = Workshop { around, stdin, fields, by_hash, environments, warnings };
    let jobs = match value(&call, "jobs") {
        Some(file) => {
            if let Some(word) = rest.first() {
                let message = format!("--jobs takes no script: `{word}`");
                return Err(CliError::usage("unwanted_word", message).option("--jobs"));
            }
            many::prepare(&file, &given, &mut workshop)?
        }
        None => {
            let program = find_program(&call, rest, reading.dashes, around, workshop.stdin)?;
            vec![workshop.prepare_one(&given, program, None)?]
        }
    };
    finish(&call, jobs, workshop)
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

impl Workshop<'_> {
    /// Makes the request of one job; `labels` finds what `@label` means.
    fn prepare_one(
        &mut self,
        given: &[Given],
        mut program: Program,
        labels: Labels<'_>,
    ) -> Result<PreparedJob, CliError> {
        let mut all = std::mem::take(&mut program.script.given);
        all.extend_from_slice(given);
        let merged = Merged::from(all)?;
        self.warn(std::mem::take(&mut program.script.warnings));
        let job = specification::specify(&merged, program, labels, self)?;
        if job.talk.test_only || job.refused.is_empty() { Ok(job) } else { Err(not_supported(&job.refused)) }
    }
}

/// The first thing that can't be honoured, with its place; the others stand in the hint, with theirs.
fn not_supported(refused: &[Given]) -> CliError {
    let Some((first, more)) = refused.split_first() else {
        return CliError::script("not_supported", "not supported yet");
    };
    let named = |given: &Given| match &given.source {
        Source::CommandLine | Source::Default => given.written(),
        source => format!("{} ({source})", given.written()),
    };
    let mut error = first.error("not_supported", format!("not supported yet: {}", first.written()));
    error.code = ExitCode::BadScript;
    match more.is_empty() {
        true => error.hint("`jsubmit --test-only` shows what was understood"),
        false => error.hint(format!("nor: {}", more.iter().map(named).collect::<Vec<_>>().join(", "))),
    }
}

fn finish(call: &Merged, jobs: Vec<PreparedJob>, workshop: Workshop<'_>) -> Result<Asked, CliError> {
    let key = match call.get("key") {
        Some(given) => Some(check_key(given)?),
        None => None,
    };
    let said = |which: fn(&Talk) -> bool| jobs.iter().any(|job| which(&job.talk));
    let waiting = match (said(|talk| talk.follow), said(|talk| talk.wait)) {
        (true, _) => Waiting::Follow,
        (false, true) => Waiting::End,
        // A job that ends with its command needs one that stays.
        (false, false) if jobs.iter().any(|job| job.spec.tied) => Waiting::End,
        (false, false) => Waiting::No,
    };
    if waiting == Waiting::Follow && jobs.len() > 1 {
        let error = CliError::usage("contradiction", "--follow shows one job; --jobs submits several");
        return Err(error.option("--follow"));
    }
    Ok(Asked::Submit(Box::new(Prepared {
        key,
        waiting,
        test_only: said(|talk| talk.test_only),
        parsable: said(|talk| talk.parsable),
        quiet: said(|talk| talk.quiet),
        verbose: said(|talk| talk.verbose),
        json: call.has("json"),
        config: value(call, "config"),
        many: call.has("jobs"),
        contents: workshop.by_hash.into_iter().collect(),
        jobs,
        warnings: workshop.warnings,
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
