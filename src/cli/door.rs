//! What every door does the same way: read the arguments, print help on standard output, report errors with their
//! exit code.

use std::ffi::OsString;

use super::args::{self, Definition, Parsed, jrun, wants_json};
use super::error::{CliError, ExitCode};
use super::request::{Asked, Prepared, Surroundings, prepare};
use super::text::print;

/// Runs a command of that name whose arguments are `T`.
pub fn open<T: Definition>(
    program: &str,
    run: impl FnOnce(T) -> Result<ExitCode, CliError>,
) -> std::process::ExitCode {
    let arguments = arguments();
    let ended = args::parse::<T>(&arguments).and_then(|parsed| match parsed {
        Parsed::Show(text) => show(&text),
        Parsed::Run(arguments) => run(arguments),
    });
    end(program, &arguments, ended)
}

/// Runs `jsubmit`. `surroundings` may complete what is known of the process, such as the cluster's name.
pub fn open_jsubmit(
    surroundings: impl FnOnce(Surroundings) -> Surroundings,
    run: impl FnOnce(Prepared) -> Result<ExitCode, CliError>,
) -> std::process::ExitCode {
    let arguments = arguments();
    let asked = Surroundings::of_this_process()
        .and_then(|around| prepare(&arguments, &surroundings(around), &mut std::io::stdin().lock()));
    let ended = asked.and_then(|asked| match asked {
        Asked::Help => show(&args::jsubmit::help()),
        Asked::Usage => show(&args::jsubmit::usage()),
        Asked::Version => show(concat!("jsubmit ", env!("CARGO_PKG_VERSION"), "\n")),
        Asked::Submit(prepared) => run(*prepared),
    });
    end("jsubmit", &arguments, ended)
}

/// Runs `jrun`, as far as it goes.
pub fn open_jrun() -> std::process::ExitCode {
    let arguments = arguments();
    let ended = jrun::run(&arguments).and_then(|text| show(&text));
    end("jrun", &arguments, ended)
}

fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

fn show(text: &str) -> Result<ExitCode, CliError> {
    print(text)?;
    Ok(ExitCode::Done)
}

fn end(program: &str, arguments: &[OsString], ended: Result<ExitCode, CliError>) -> std::process::ExitCode {
    match ended {
        Ok(code) => code.into(),
        Err(error) => error.report(program, wants_json(arguments)).into(),
    }
}
