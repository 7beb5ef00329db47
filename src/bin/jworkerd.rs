//! The node daemon's door.

use std::path::Path;

use jsched::cli::args::jworkerd::{JWorkerd, Verb};
use jsched::cli::door;
use jsched::cli::error::{CliError, ExitCode};
use jsched::cli::json::envelope;
use jsched::cli::render::doctor::report;
use jsched::cli::text::print;
use jsched::client::error::ClientError;
use jsched::client::join;
use jsched::model::identity::Role;
use jsched::pki::file::{Publish, write_public};
use jsched::pki::token::{JoinToken, TokenName};
use jsched::worker::status::{self, StatusError};
use jsched::worker::{config, doctor, probe, serve, supervisor, unit};

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
        Verb::Join { token, name } => join_cluster(&folder, &token, name)?,
        Verb::Probe => look(arguments.json),
        Verb::Run { .. } => return Err(later("run --login` and `jworkerd run --virtual")),
        Verb::Status => show_status(&folder, arguments.json)?,
        Verb::Doctor => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(CliError::from)?;
            return Ok(report(&runtime.block_on(doctor::examine(&folder)), arguments.json)?);
        }
    }
    Ok(ExitCode::Done)
}

fn join_cluster(folder: &Path, token: &str, asked: Option<String>) -> Result<(), CliError> {
    let failed = |error: String| CliError::new(ExitCode::Refused, "not_joined", error);
    let token = JoinToken::decode(token).map_err(|error| failed(error.to_string()))?;
    if token.role() != Role::Node {
        let text = format!("this token is for a {}, not for a node", token.role());
        return Err(
            failed(text).hint("`jnode add NAME` prints tokens of nodes; for people: `jqueue login TOKEN`")
        );
    }
    let name = match (token.name(), asked) {
        (TokenName::One(name), Some(asked)) if asked != *name => {
            return Err(failed(format!("this token is for node {name}, not for `{asked}`")).option("--name"));
        }
        (TokenName::One(name), _) => name.clone(),
        (TokenName::Pool, Some(asked)) => asked,
        (TokenName::Pool, None) => probe::hostname(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(error.to_string()))?;
    let file = folder.join(config::CONFIG_FILE);
    runtime.block_on(join::join_into(&token, &name, &file)).map_err(|error| match error {
        ClientError::Certificate(_) => CliError::from(error).hint(join::TRY_ANOTHER),
        other => other.into(),
    })?;
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let folder = std::path::absolute(folder).map_err(|error| failed(error.to_string()))?;
    let unit_file = folder.join(unit::UNIT_FILE);
    write_public(&unit_file, unit::text(&program, &folder).as_bytes(), Publish::Replace)
        .map_err(|error| failed(error.to_string()))?;
    println!("this host has joined {} as {name}; its settings are in {}", token.cluster(), file.display());
    if folder == config::usual_folder() {
        println!("next: jworkerd run");
    } else {
        println!("next: jworkerd --dir {} run", folder.display());
    }
    println!(
        "or with systemd: cp {} /etc/systemd/system/ && systemctl enable --now {}",
        unit_file.display(),
        unit::UNIT_FILE
    );
    println!("then, where an admin is: jctld user add NAME");
    Ok(())
}

/// What the daemon of that folder is doing.
fn show_status(folder: &Path, as_json: bool) -> Result<(), CliError> {
    let answer = status::ask(folder).map_err(|error| {
        let code = match error {
            StatusError::NotAllowed(_) => ExitCode::Forbidden,
            _ => ExitCode::Unreachable,
        };
        CliError::new(code, "no_status", error.to_string())
    })?;
    let text = if as_json { envelope(answer, &[]) + "\n" } else { status::text(&answer) };
    Ok(print(&text)?)
}

/// What a job could get here, if nothing in the configuration says otherwise.
fn look(as_json: bool) {
    let found = probe::hardware(&std::env::temp_dir());
    if as_json {
        let data = serde_json::json!({
            "hostname": found.hostname, "cores": found.cores, "threads": found.threads, "sockets": found.sockets,
            "memory_bytes": found.memory_bytes, "tmp_bytes": found.tmp_bytes,
        });
        println!("{}", serde_json::json!({ "schema": "jsched/1", "data": data, "warnings": [] }));
        return;
    }
    println!("host     {}", found.hostname);
    println!("cores    {} ({} threads, {} sockets)", found.cores, found.threads, found.sockets);
    println!("memory   {} MiB", found.memory_bytes >> 20);
    println!("tmp disk {} MiB", found.tmp_bytes >> 20);
}

fn later(verb: &str) -> CliError {
    CliError::new(ExitCode::BadScript, "not_supported_yet", format!("`jworkerd {verb}` is not supported yet"))
}
