//! `jworkerd.toml`: what an admin sets on a node. The node's name is not in it; it stands in the certificate.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::model::parse::memory;
use crate::pki::credentials::CredentialFiles;

/// The name of the file in the daemon's folder.
pub const CONFIG_FILE: &str = "jworkerd.toml";
/// Where root's daemon keeps everything.
pub const ROOT_FOLDER: &str = "/var/lib/jsched/node";
/// The same below the home directory, for a daemon without root.
pub const USER_FOLDER: &str = ".local/state/jsched/node";

const SPOOL_FOLDER: &str = "spool";
const TMP_FOLDER: &str = "tmp";

/// What one cpu of a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuUnit {
    /// A physical core.
    #[default]
    Core,
    /// A hardware thread.
    Thread,
}

/// The file, as it is written. Every key but `controllers` has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigFile {
    /// Addresses of controllers, `HOST` or `HOST:PORT`.
    controllers: Vec<String>,
    /// The node's certificate; `cert.pem`.
    #[serde(default)]
    certificate: Option<PathBuf>,
    /// Its key; `key.pem`.
    #[serde(default)]
    key: Option<PathBuf>,
    /// The certificates of the authorities to believe; `ca.pem`.
    #[serde(default)]
    ca: Option<PathBuf>,
    /// Where jobs' private folders are made; `tmp`.
    #[serde(default)]
    tmp: Option<PathBuf>,
    /// What one cpu is.
    #[serde(default)]
    cpu: CpuUnit,
    /// So many cpus for jobs, instead of what is found.
    #[serde(default)]
    cpus: Option<u32>,
    /// So much memory for jobs, instead of what is found: `16G`.
    #[serde(default)]
    memory: Option<String>,
    /// Whether uid 0 may run jobs.
    #[serde(default)]
    allow_root_jobs: bool,
    /// Whether control groups are used where there are some to use.
    #[serde(default = "yes")]
    control_groups: bool,
}

fn yes() -> bool {
    true
}

/// The file, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Addresses of controllers.
    pub controllers: Vec<String>,
    /// Where the credentials are.
    pub credentials: CredentialFiles,
    /// The spool.
    pub spool: PathBuf,
    /// Where jobs' private folders are made.
    pub tmp: PathBuf,
    /// What one cpu is.
    pub cpu: CpuUnit,
    /// Instead of the cpus found.
    pub cpus: Option<u32>,
    /// Instead of the memory found.
    pub memory_bytes: Option<u64>,
    /// Whether uid 0 may run jobs.
    pub allow_root_jobs: bool,
    /// Whether control groups are used where there are some to use.
    pub control_groups: bool,
}

/// What can be wrong with the file.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It can't be read.
    #[error("{path}: {error}; `jworkerd join TOKEN` writes it (`jnode add` gives the token)")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// It is not what it should be.
    #[error("{path}: {reason}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and what.
        reason: String,
    },
}

/// The daemon's folder when none is named.
pub fn usual_folder() -> PathBuf {
    match std::env::home_dir() {
        Some(home) if !nix::unistd::geteuid().is_root() => home.join(USER_FOLDER),
        _ => PathBuf::from(ROOT_FOLDER),
    }
}

impl Config {
    /// Reads the file in the daemon's folder; relative paths in it are relative to that folder.
    ///
    /// # Errors
    /// What is wrong, with line and key.
    pub fn load(folder: &Path) -> Result<Config, ConfigError> {
        let path = folder.join(CONFIG_FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| ConfigError::Unreadable { path: path.clone(), error })?;
        Config::parse(&text, folder).map_err(|reason| ConfigError::Wrong { path, reason })
    }

    fn parse(text: &str, folder: &Path) -> Result<Config, String> {
        let file: ConfigFile = toml::from_str(text).map_err(|error| error.to_string())?;
        if file.controllers.is_empty() {
            return Err(
                "`controllers` is empty; give the address of the controller, HOST or HOST:PORT".to_owned()
            );
        }
        if file.cpus == Some(0) {
            return Err("`cpus` is 0; leave it out to use what is found".to_owned());
        }
        let memory = file.memory.as_deref().map(memory::bytes).transpose();
        let memory_bytes = memory.map_err(|error| format!("`memory`: {error}"))?;
        let usual = CredentialFiles::in_folder(folder);
        let place = |set: Option<PathBuf>, usual: PathBuf| set.map_or(usual, |path| folder.join(path));
        Ok(Config {
            controllers: file.controllers,
            credentials: CredentialFiles {
                certificate: place(file.certificate, usual.certificate),
                key: place(file.key, usual.key),
                authorities: place(file.ca, usual.authorities),
            },
            spool: folder.join(SPOOL_FOLDER),
            tmp: place(file.tmp, folder.join(TMP_FOLDER)),
            cpu: file.cpu,
            cpus: file.cpus,
            memory_bytes,
            allow_root_jobs: file.allow_root_jobs,
            control_groups: file.control_groups,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read() {
        let text = "controllers = ['host:1']\nkey = '/etc/key'\nca = 'authorities.pem'\ncpu = 'thread'\n\
                    cpus = 4\nmemory = '2G'\nallow_root_jobs = true\ncontrol_groups = false";
        let config = Config::parse(text, Path::new("/d")).unwrap();
        assert_eq!((config.cpus, config.memory_bytes, config.cpu), (Some(4), Some(2 << 30), CpuUnit::Thread));
        assert_eq!(config.credentials.key, Path::new("/etc/key"));
        assert_eq!(config.credentials.certificate, Path::new("/d/cert.pem"));
        assert_eq!(config.credentials.authorities, Path::new("/d/authorities.pem"));
        assert!(config.allow_root_jobs && !config.control_groups);
        let plain = Config::parse(&crate::client::join::configuration(&["h".to_owned()]), Path::new("/d"));
        assert_eq!(plain.map(|config| config.controllers), Ok(vec!["h".to_owned()]), "what `join` writes");
    }

    #[test]
    fn mistakes_are_named() {
        for (text, word) in [
            ("controllers = []", "controllers"),
            ("controllers = ['a']\ncpu = 'socket'", "cpu"),
            ("controllers = ['a']\ncpus = 0", "cpus"),
            ("controllers = ['a']\nmemory = 'much'", "memory"),
            ("controllers = ['a']\nmemry = '1G'", "memry"),
        ] {
            let error = Config::parse(text, Path::new("/d")).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
