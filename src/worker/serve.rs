//! `jworkerd run`: from configuration and hardware to a daemon that serves.

use std::path::Path;
use std::sync::Arc;

use super::accounts;
use super::config::{Config, ConfigError};
use super::daemon::{self, DaemonError, Settings};
use super::machine;
use super::own::Own;
use super::spool::{SpoolError, make_folder};
use super::translate::Place;
use crate::model::identity::Role;
use crate::pki::credentials::{Credentials, CredentialsError};

/// The environment variable that sets what is logged, as `info` or `jsched::worker=debug`.
pub const LOG_VARIABLE: &str = "JSCHED_LOG";

/// Why the daemon does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its credentials.
    #[error("{0}")]
    Credentials(#[from] CredentialsError),
    /// The certificate is somebody else's.
    #[error(
        "the certificate is of {role} {name}, not of a node; `jnode add` and `jworkerd join` give the right one"
    )]
    NotNode {
        /// What it is of.
        role: Role,
        /// Whose.
        name: String,
    },
    /// The host says too little about itself.
    #[error("this host can't be a node: {0}")]
    Machine(String),
    /// It had to end.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// Its folders.
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

impl ServeError {
    /// Whether the configuration or a certificate has to be changed before another try makes sense.
    pub fn is_configuration(&self) -> bool {
        matches!(self, ServeError::Config(_) | ServeError::Credentials(_) | ServeError::NotNode { .. })
    }
}

/// Serves with the configuration in `folder` until told to end.
///
/// # Errors
/// [`ServeError`].
pub fn run(folder: &Path) -> Result<(), ServeError> {
    log();
    let config = Config::load(folder)?;
    let credentials = Credentials::load(&config.credentials)?;
    let identity = &credentials.bearer().identity;
    if identity.role != Role::Node {
        return Err(ServeError::NotNode { role: identity.role, name: identity.name.clone() });
    }
    // Users' processes pass through, to private folders that are their own.
    make_folder(&config.tmp, 0o711)?;
    let found = machine::look(&config).map_err(ServeError::Machine)?;
    let place = Place {
        node: identity.name.clone(),
        cluster: credentials.cluster().to_owned(),
        cgroups: found.cgroups,
        tmp_base: config.tmp.to_string_lossy().into_owned(),
        root_allowed: config.allow_root_jobs,
    };
    let settings = Settings {
        spool: config.spool,
        own: Arc::new(Own::new(config.credentials, credentials)),
        addresses: config.controllers,
        hardware: found.hardware,
        boot: found.boot,
        boot_time: found.boot_time,
        only_uid: accounts::only_uid(),
        program: std::env::current_exe().map_err(DaemonError::Kernel)?,
        place,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(DaemonError::Kernel)?;
    let served = runtime.block_on(daemon::run(settings));
    // Threads that wait for a supervisor or a slow file system do not hold up the end.
    runtime.shutdown_background();
    Ok(served?)
}

/// Logs to standard error: JSON unless that is a terminal.
fn log() {
    use std::io::IsTerminal;
    let filter = tracing_subscriber::EnvFilter::try_from_env(LOG_VARIABLE)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // It fails only where a log is set up already.
    let _ = if std::io::stderr().is_terminal() { log.try_init() } else { log.json().try_init() };
}
