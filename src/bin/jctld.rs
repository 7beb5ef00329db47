//! The door of `jctld`.

use std::path::PathBuf;
use std::process::ExitCode as Ended;

use jsched::cli::args::jctld::{Ca, JCtld, UserRole, Verb};
use jsched::cli::door::open;
use jsched::cli::error::{CliError, ExitCode};
use jsched::controller::config::{Config, default_path, with_port};
use jsched::controller::dev::Dev;
use jsched::controller::{check, dev, init, log, run};
use jsched::model::time::Seconds;

/// The controller's memory is many small pieces that come and go on many threads, by the hundred thousand in one
/// call: the system's allocator would keep most of what such a call once took.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Ended {
    log::start("jctld");
    open::<JCtld>("jctld", act)
}

fn act(arguments: JCtld) -> Result<ExitCode, CliError> {
    let settings = arguments.settings.clone().unwrap_or_else(default_path);
    match &arguments.verb {
        Verb::Dev(words) => {
            if words.r#virtual.is_some() {
                return Err(
                    CliError::script("not_supported", "not supported yet: dev --virtual").option("--virtual")
                );
            }
            let asked = Dev {
                dir: words.dir.clone(),
                nodes: words.nodes,
                cpus: words.cpus,
                overrides: words.overrides.clone(),
            };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(failed)?;
            runtime.block_on(dev::dev(&asked)).map_err(failed)?;
        }
        Verb::Run => run::run(&settings).map_err(failed)?,
        Verb::Init { advertise } => new_cluster(&settings, advertise)?,
        Verb::Verify { dir: Some(dir) } => {
            let lines = check::verify_folder(dir)
                .map_err(|message| CliError::new(ExitCode::Refused, "damage", message))?;
            lines.iter().for_each(|line| println!("{line}"));
        }
        Verb::Ca(Ca::Issue { name, role, uid, ttl, out }) => issue(&settings, name, *role, *uid, *ttl, out)?,
        Verb::Simulate(asked) => return jsched::cli::commands::simulate(&arguments.general, asked),
        verb => {
            let asked = jsched::cli::commands::admin(&arguments.general, verb)?;
            let later = || CliError::script("not_supported", "not supported yet: this verb of jctld");
            return asked.ok_or_else(later);
        }
    }
    Ok(ExitCode::Done)
}

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::new(ExitCode::Configuration, "failed", error.to_string())
}

fn new_cluster(settings: &std::path::Path, advertise: &str) -> Result<(), CliError> {
    let (name, uid) = init::whoami();
    let client: PathBuf = settings.with_file_name("client");
    let config = Config::new(vec![with_port(advertise)]);
    let cluster = advertise.split([':', '.']).next().unwrap_or("cluster").to_owned();
    let cluster = if cluster.is_empty() { "cluster".to_owned() } else { cluster };
    init::init(settings, &config, &cluster, &init::Admin { name, uid }, &client).map_err(failed)?;
    println!("the cluster is made; its settings are in {}", settings.display());
    println!("next: jctld --settings {} run", settings.display());
    println!("then: JSCHED_CONFIG={} jnode add n1", client.join("client.toml").display());
    Ok(())
}

fn issue(
    settings: &std::path::Path,
    name: &str,
    role: UserRole,
    uid: Option<u32>,
    ttl: Option<Seconds>,
    out: &std::path::Path,
) -> Result<(), CliError> {
    let config = Config::load(settings).map_err(failed)?;
    let subject = init::person(name, role.into(), uid).map_err(failed)?;
    let record = init::issue_offline(&config, &subject, out, ttl).map_err(failed)?;
    println!("certificate {} for {} {} is in {}", record.serial, record.role, record.name, out.display());
    println!("next: export JSCHED_CONFIG={}", out.join("client.toml").display());
    Ok(())
}
