//! `--jobs FILE`: a job for each line of JSON. Keys are long option names; beside them `command` or `script`, `args`,
//! and `label`, which later lines may depend on as `@label`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use serde_json::{Map, Value};

use super::program::{self, Program, read_capped, unreadable};
use super::surroundings::Surroundings;
use super::{PreparedJob, Workshop, shared};
use crate::cli::error::CliError;
use crate::cli::options::Takes;
use crate::cli::options::given::{Given, Source};
use crate::cli::options::reader;
use crate::model::identity::name_is_valid;

/// The most jobs of one call.
pub const JOBS_MAX: usize = 100_000;
/// The most bytes of one call's file.
pub const JOBS_BYTES_MAX: usize = 8 << 20;

/// Reads the file and prepares every line of it; `call` is what command line and environment say for all.
///
/// # Errors
/// A file that can't be read (1); a line that makes no sense (65, with the line): then none is taken.
pub(super) fn prepare(
    path: &str,
    call: &[Given],
    workshop: &mut Workshop<'_>,
) -> Result<Vec<PreparedJob>, CliError> {
    let around = workshop.around;
    let text = read(path, around, workshop.stdin)?;
    let file = shared(if path == "-" { "standard input" } else { path });
    let mut jobs: Vec<PreparedJob> = Vec::new();
    let mut labels: BTreeMap<String, u32> = BTreeMap::new();
    let mut programs: BTreeMap<String, Program> = BTreeMap::new();
    let lines = (1_u32..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    if let Some((number, _)) = lines.clone().nth(JOBS_MAX) {
        let source = Source::Jobs { file, line: number };
        return Err(source.error("too_many_jobs", format!("more than {JOBS_MAX} jobs in one call")));
    }
    for (number, line) in lines {
        let source = Source::Jobs { file: file.clone(), line: number };
        let said = understand_line(line, &source)?;
        // A script's own directives have their own place; everything else is wrong here.
        let locate = |error: CliError| if error.place.line.is_some() { error } else { source.locate(error) };
        let program = said.program(around, &mut programs).map_err(locate)?;
        let mut given = call.to_vec();
        given.extend(said.given);
        let find = |label: &str| labels.get(label).copied();
        let mut job = workshop.prepare_one(&given, program, Some(&find)).map_err(locate)?;
        job.label = said.label.clone();
        if let Some(label) = said.label
            && labels.insert(label.clone(), u32::try_from(jobs.len()).unwrap_or(u32::MAX)).is_some()
        {
            return Err(source.error("label_twice", format!("the label `{label}` stands on two lines")));
        }
        jobs.push(job);
    }
    if jobs.is_empty() {
        return Err(CliError::script("no_jobs", "the file has no jobs").in_file(&*file));
    }
    Ok(jobs)
}

/// What a line says.
#[derive(Default)]
struct Line {
    given: Vec<Given>,
    label: Option<String>,
    script: Option<String>,
    line: Option<String>,
    words: Option<Vec<String>>,
    arguments: Vec<String>,
}

impl Line {
    /// Lines that name the same script share what was read.
    fn program(
        &self,
        around: &Surroundings,
        known: &mut BTreeMap<String, Program>,
    ) -> Result<Program, CliError> {
        match (&self.script, &self.line, &self.words) {
            (Some(path), None, None) => {
                let program = match known.get(path) {
                    Some(program) => Program { arguments: self.arguments.clone(), ..program.clone() },
                    None => program::from_file(path, &self.arguments, around)?,
                };
                known.entry(path.clone()).or_insert_with(|| program.clone());
                Ok(program)
            }
            (None, Some(line), None) if self.arguments.is_empty() => {
                let program = program::from_line(line)?;
                Ok(Program { name: "command".to_owned(), ..program })
            }
            (None, None, Some(words)) if self.arguments.is_empty() => program::from_command(words),
            (None, None, None) => {
                let error = CliError::script("no_script", "the line says neither `command` nor `script`");
                Err(error.hint("{\"command\": \"./step 1\", \"label\": \"one\", \"time\": 10}"))
            }
            _ => Err(CliError::script(
                "contradiction",
                "`command` and `script` exclude each other; `args` goes with `script`",
            )),
        }
    }
}

fn read(path: &str, around: &Surroundings, stdin: &mut dyn Read) -> Result<String, CliError> {
    let bytes = match path {
        "-" => read_capped(stdin, JOBS_BYTES_MAX),
        path => File::open(around.path(path)).and_then(|mut file| read_capped(&mut file, JOBS_BYTES_MAX)),
    };
    let bytes = bytes.map_err(|why| unreadable(path, &why, around).option("--jobs"))?;
    if bytes.len() > JOBS_BYTES_MAX {
        let message = format!("{path} has more than {} MiB", JOBS_BYTES_MAX >> 20);
        return Err(CliError::script("jobs_too_large", message).option("--jobs").hint("submit it in parts"));
    }
    String::from_utf8(bytes).map_err(|_| CliError::script("not_text", "the file is no text").in_file(path))
}

fn understand_line(line: &str, source: &Source) -> Result<Line, CliError> {
    let object: Map<String, Value> = serde_json::from_str(line)
        .map_err(|why| source.error("malformed_line", format!("the line is no JSON object: {why}")))?;
    let mut said = Line::default();
    for (key, value) in object {
        if value.is_null() {
            continue;
        }
        match key.as_str() {
            "label" => {
                let label = text(&key, &value, source)?;
                if !name_is_valid(&label) {
                    let message =
                        format!("`{label}` can't be a label: 1 to 63 letters, digits, `-`, `_` and `.`");
                    return Err(source.error("malformed_value", message));
                }
                said.label = Some(label);
            }
            "script" => said.script = Some(text(&key, &value, source)?),
            "command" if value.is_array() => said.words = Some(texts(&key, &value, source)?),
            "command" => said.line = Some(text(&key, &value, source)?),
            "args" | "arguments" => said.arguments = texts(&key, &value, source)?,
            _ => said.given.extend(option(&key, &value, source)?),
        }
    }
    if said.words.as_ref().is_some_and(Vec::is_empty) {
        return Err(source.error("malformed_value", "`command` is an empty list"));
    }
    Ok(said)
}

fn option(key: &str, value: &Value, source: &Source) -> Result<Option<Given>, CliError> {
    let option = reader::find(key, source)?;
    if !option.in_script {
        let message = format!("`{key}` belongs on the command line, not on a line of --jobs");
        return Err(source.error("misplaced_option", message));
    }
    let value = match (option.takes, value) {
        (Takes::Nothing | Takes::Maybe(_), Value::Bool(false)) => return Ok(None),
        (Takes::Nothing | Takes::Maybe(_), Value::Bool(true)) => None,
        (Takes::Nothing, _) => {
            return Err(source.error("malformed_value", format!("`{key}` is true or false")));
        }
        (Takes::Value(_), Value::Bool(_)) => {
            return Err(source.error("malformed_value", format!("`{key}` needs a value")));
        }
        (_, Value::Array(_)) => Some(texts(key, value, source)?.join(",")),
        _ => Some(text(key, value, source)?),
    };
    Ok(Some(Given { option, value, source: source.clone() }))
}

fn text(key: &str, value: &Value, source: &Source) -> Result<String, CliError> {
    match value {
        Value::String(text) if !text.contains('\0') => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(source.error("malformed_value", format!("`{key}` is text or a number"))),
    }
}

fn texts(key: &str, value: &Value, source: &Source) -> Result<Vec<String>, CliError> {
    match value {
        Value::Array(values) => values.iter().map(|value| text(key, value, source)).collect(),
        _ => Err(source.error("malformed_value", format!("`{key}` is a list of texts"))),
    }
}
