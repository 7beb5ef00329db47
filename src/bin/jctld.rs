//! The door of `jctld`.

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::path::Path;
use std::process::ExitCode as Ended;

use jsched::cli::args::jctld::{Ca, JCtld, UserRole, Verb};
use jsched::cli::door::open;
use jsched::cli::error::{CliError, ExitCode};
use jsched::cli::render::doctor::report;
use jsched::client::config::Search;
use jsched::controller::config::{Config, ROOT_STATE, default_path, with_port};
use jsched::controller::dev::Dev;
use jsched::controller::{check, dev, doctor, init, log, restore, run, unit};
use jsched::model::time::Seconds;
use jsched::net::PORT;
use jsched::pki::file::{Publish, write_public};

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
        Verb::Restore { from, advertise } => {
            let lines = restore::restore(&settings, from, advertise.clone()).map_err(failed)?;
            lines.iter().for_each(|line| println!("{line}"));
        }
        Verb::Ca(Ca::Issue { name, role, uid, ttl, out }) => issue(&settings, name, *role, *uid, *ttl, out)?,
        Verb::Plan { file } => return jsched::cli::commands::plan(file),
        Verb::Doctor => {
            let search = Search::from_environment(arguments.general.config.clone());
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let found = runtime.map_err(failed)?.block_on(doctor::examine(&settings, search));
            return Ok(report(&found, arguments.general.json)?);
        }
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

fn new_cluster(settings: &Path, advertise: &str) -> Result<(), CliError> {
    let (name, uid) = init::whoami();
    let settings = std::path::absolute(settings).map_err(failed)?;
    let is_default = settings == default_path();
    let client = init::admin_config(&settings);
    let address = with_port(advertise);
    let mut config = Config::new(vec![address.clone()]);
    config.listen.set_port(port_of(&address));
    if UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_err() {
        // This kernel has no IPv6.
        config.listen.set_ip(Ipv4Addr::UNSPECIFIED.into());
    }
    if is_default && nix::unistd::geteuid().is_root() {
        config.state = ROOT_STATE.into();
    }
    let admin = init::Admin { name, uid };
    let cluster = init::cluster_name(advertise);
    init::init(&settings, &config, &cluster, &admin, &client).map_err(failed)?;
    let unit_file = settings.with_file_name(unit::UNIT_FILE);
    let program = std::env::current_exe().map_err(failed)?;
    write_public(&unit_file, unit::text(&program, &settings).as_bytes(), Publish::Replace).map_err(failed)?;
    println!(
        "cluster {cluster} is made: {} holds its settings, the folder ca beside it its CA",
        settings.display()
    );
    if is_default {
        println!("next: jctld run");
    } else {
        println!("next: jctld --settings {} run", settings.display());
    }
    println!(
        "or with systemd: cp {} /etc/systemd/system/ && systemctl enable --now {}",
        unit_file.display(),
        unit::UNIT_FILE
    );
    if client.ends_with(".config/jsched/config.toml") {
        println!("then: jnode add n[1-2]");
    } else {
        println!("then: JSCHED_CONFIG={} jnode add n[1-2]", client.display());
    }
    Ok(())
}

/// The port of `HOST:PORT`.
fn port_of(address: &str) -> u16 {
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or(PORT)
}

fn issue(
    settings: &std::path::Path,
    name: &str,
    role: UserRole,
    uid: Option<u32>,
    ttl: Option<Seconds>,
    out: &Path,
) -> Result<(), CliError> {
    let config = Config::load(settings).map_err(failed)?;
    let subject = init::person(name, role.into(), uid).map_err(failed)?;
    let record = init::issue_offline(&config, &subject, out, ttl).map_err(failed)?;
    println!("certificate {} for {} {} is in {}", record.serial, record.role, record.name, out.display());
    println!("next: export JSCHED_CONFIG={}", out.join("client.toml").display());
    Ok(())
}
