//! What a job runs: a script from a file or from standard input, a line for the shell, or a command.

use std::fs::File;
use std::io::{self, Read};

use super::surroundings::Surroundings;
use crate::cli::error::{CliError, ExitCode};
use crate::cli::script::{self, Script};
use crate::model::spec::{ARGUMENTS_BYTES_MAX, SCRIPT_BYTES_MAX};

/// A script with its name and its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    /// The script, or the one made of a line or a command.
    pub script: Script,
    /// What the job is called unless it says so itself.
    pub name: String,
    /// The words that follow it.
    pub arguments: Vec<String>,
    /// The script's file as it was named; `None` where there is none.
    pub file: Option<String>,
}

/// What runs any command: it becomes the script's arguments, so that nothing has to be quoted.
const COMMAND_SCRIPT: &str = "#!/bin/sh\nexec \"$@\"\n";

/// The script in a file.
///
/// # Errors
/// No such file (1), one that can't be read (1), and what [`script::read`] refuses (65).
pub fn from_file(path: &str, arguments: &[String], around: &Surroundings) -> Result<Program, CliError> {
    let full = around.path(path);
    let read = || -> io::Result<Vec<u8>> {
        if full.is_dir() {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        read_capped(&mut File::open(&full)?, SCRIPT_BYTES_MAX)
    };
    let bytes = read().map_err(|why| unreadable(path, &why, around))?;
    let name = full.file_name().map_or(String::new(), |name| name.to_string_lossy().into_owned());
    with_arguments(Program {
        script: script::read(bytes, path)?,
        name,
        arguments: arguments.to_vec(),
        file: Some(path.to_owned()),
    })
}

/// The script on standard input.
///
/// # Errors
/// As for a file.
pub fn from_stdin(stdin: &mut dyn Read) -> Result<Program, CliError> {
    let bytes = read_capped(stdin, SCRIPT_BYTES_MAX)
        .map_err(|why| CliError::new(ExitCode::Refused, "unreadable", format!("standard input: {why}")))?;
    let script = script::read(bytes, "standard input")?;
    Ok(Program { script, name: "jsubmit".to_owned(), arguments: Vec::new(), file: None })
}

/// A line for the shell.
///
/// # Errors
/// A line that is too long, or holds what no script may (65).
pub fn from_line(line: &str) -> Result<Program, CliError> {
    let mut script = script::read(format!("#!/bin/sh\n{line}\n").into_bytes(), "--wrap")?;
    // The line is a command, whatever it looks like.
    script.given.clear();
    script.warnings.clear();
    Ok(Program { script, name: "wrap".to_owned(), arguments: Vec::new(), file: None })
}

/// A command with its arguments.
///
/// # Errors
/// Too many bytes of arguments (65).
pub fn from_command(words: &[String]) -> Result<Program, CliError> {
    let name = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    with_arguments(Program {
        script: script::read(COMMAND_SCRIPT.as_bytes().to_vec(), "--")?,
        name: name.to_owned(),
        arguments: words.to_vec(),
        file: None,
    })
}

/// Reads at most one byte more than `bytes_max`, so that the caller sees that there is more.
pub fn read_capped(source: &mut dyn Read, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// An error for a file that could not be read.
pub fn unreadable(path: &str, why: &io::Error, around: &Surroundings) -> CliError {
    let (word, message) = match why.kind() {
        io::ErrorKind::NotFound => ("no_such_file", format!("no such file: {path}")),
        io::ErrorKind::IsADirectory => ("unreadable", format!("{path} is a folder")),
        _ => ("unreadable", format!("{path} could not be read: {why}")),
    };
    let error = CliError::new(ExitCode::Refused, word, message);
    let lies_on_path = |folders: &[u8]| {
        std::env::split_paths(std::ffi::OsStr::new(&*String::from_utf8_lossy(folders)))
            .any(|folder| folder.join(path).is_file())
    };
    let is_program = !path.contains('/') && around.variable("PATH").is_some_and(lies_on_path);
    if is_program { error.hint(format!("to run a program: jsubmit -- {path} …")) } else { error }
}

fn with_arguments(program: Program) -> Result<Program, CliError> {
    let bytes: usize = program.arguments.iter().map(|word| word.len() + 1).sum();
    if bytes > ARGUMENTS_BYTES_MAX {
        let message = format!("the arguments have {bytes} bytes, more than {ARGUMENTS_BYTES_MAX}");
        return Err(
            CliError::script("arguments_too_long", message).hint("put them into the script, or into a file")
        );
    }
    Ok(program)
}
