//! The node daemon's door.

use jsched::cli::args::jworkerd::{JWorkerd, Verb};
use jsched::cli::door;
use jsched::cli::error::{CliError, ExitCode};
use jsched::worker::{config, serve, supervisor};

fn main() -> std::process::ExitCode {
    // Supervisors are started often and have to be small: they do not even read their arguments the long way.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|verb| verb == "supervise") {
        return std::process::ExitCode::from(supervisor::main(arguments));
    }
    door::open::<JWorkerd>("jworkerd", run)
}

fn run(arguments: JWorkerd) -> Result<ExitCode, CliError> {
    let folder = arguments.dir.clone().unwrap_or_else(config::usual_folder);
    match arguments.verb {
        Verb::Run { login: false, r#virtual: None } => serve::run(&folder).map_err(|error| {
            let code = if error.is_configuration() { ExitCode::Configuration } else { ExitCode::Refused };
            CliError::new(code, "not_serving", error.to_string())
        })?,
        Verb::Run { .. } => return Err(later("run --login and run --virtual")),
        Verb::Join { .. } => return Err(later("join")),
        Verb::Probe => return Err(later("probe")),
        Verb::Status => return Err(later("status")),
        Verb::Doctor => return Err(later("doctor")),
    }
    Ok(ExitCode::Done)
}

fn later(verb: &str) -> CliError {
    CliError::new(ExitCode::BadScript, "not_supported_yet", format!("`jworkerd {verb}` is not supported yet"))
}
