//! `jctld.toml`: how the daemon is set up. The cluster itself stands in the store.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::model::identity::Role;
use crate::model::parse::span::span;
use crate::model::time::Seconds;
use crate::net::PORT;
use crate::pki::certificate::{AUTHORITY_VALIDITY, CONTROLLER_VALIDITY, NODE_VALIDITY, USER_VALIDITY};

/// The most bytes of a settings file.
pub const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// The shortest life of a certificate that can be set.
pub const CERTIFICATE_LIFE_MIN: Seconds = Seconds(5);
/// Where root's daemon keeps its state: settings and keys are in `/etc/jsched`.
pub const ROOT_STATE: &str = "/var/lib/jsched/controller";

/// What the file says. Every key has a default but `advertise`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the daemon listens. `[::]:6815` by default.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Under which names or addresses others reach it, `HOST:PORT`, the best first.
    pub advertise: Vec<String>,
    /// The state: journal, tables, content. `state` beside the settings by default.
    #[serde(default = "default_state")]
    pub state: PathBuf,
    /// The CA's folder. `ca` beside the settings by default.
    #[serde(default = "default_ca")]
    pub ca: PathBuf,
    /// Certificate and key of the daemon. `controller` beside the settings by default.
    #[serde(default = "default_credentials")]
    pub credentials: PathBuf,
    /// How long a node may be silent before it counts as unreachable. `5m` by default.
    #[serde(default = "default_node_timeout")]
    pub node_timeout: Span,
    /// How long a fenced job may run on after its node's last answered beat. `30m` by default.
    #[serde(default = "default_lease")]
    pub lease: Span,
    /// From TERM to KILL. `30s` by default.
    #[serde(default = "default_kill_grace")]
    pub kill_grace: Span,
    /// The most unfinished jobs of one user; an array counts as one. `1000000` by default.
    #[serde(default = "default_jobs_per_user_max")]
    pub jobs_per_user_max: u32,
    /// Whether uid 0 may run jobs. `false` by default.
    #[serde(default)]
    pub allow_root: bool,
    /// An export is made when the journal has grown by so many bytes since the last one, or by as many as the live part
    /// of the last one has, if that is more. 256 MiB by default.
    #[serde(default = "default_export_bytes")]
    pub export_bytes: u64,
    /// How long certificates of users, operators and admins are good; commands renew them in the last third. `30d` by
    /// default.
    #[serde(default = "default_user_certificates")]
    pub user_certificates: Span,
    /// How long certificates of nodes are good; their daemons renew them in the last third. `90d` by default.
    #[serde(default = "default_node_certificates")]
    pub node_certificates: Span,
    /// How long the daemon's own certificates are good; it renews them in the last third. `365d` by default.
    #[serde(default = "default_controller_certificates")]
    pub controller_certificates: Span,
    /// A program that makes sure that a node is dead: it is run with the node's name when the node has been silent for
    /// `node_timeout`, and says by exit code 0 that nothing runs there any more. Absolute; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<PathBuf>,
    /// Whether jobs may submit jobs. `true` by default.
    #[serde(default = "default_submit_from_jobs")]
    pub submit_from_jobs: bool,
    /// A second place for what is acknowledged, on another disk or another host's: an absolute path, whose last folder is
    /// made. None by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<PathBuf>,
    /// Whether the daemon ends when the mirror fails, rather than go on without it. `false` by default.
    #[serde(default)]
    pub mirror_required: bool,
}

/// A time span, written as on the command line: `90s`, `5m`, `1-00:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Seconds);

impl Serialize for Span {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{}s", self.0.0))
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Span, D::Error> {
        let text = String::deserialize(deserializer)?;
        span(&text).map(Span).map_err(serde::de::Error::custom)
    }
}

/// Why settings can't be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file can't be read or written.
    #[error("{path}: {source}; name the settings with --settings, or make a cluster with `jctld init`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It says something that can't be.
    #[error("{path}: {message}")]
    Content {
        /// Which.
        path: PathBuf,
        /// Line, key and reason.
        message: String,
    },
}

impl Config {
    /// Settings for a cluster that is reached at `advertise`.
    pub fn new(advertise: Vec<String>) -> Config {
        Config {
            listen: default_listen(),
            advertise,
            state: default_state(),
            ca: default_ca(),
            credentials: default_credentials(),
            node_timeout: default_node_timeout(),
            lease: default_lease(),
            kill_grace: default_kill_grace(),
            jobs_per_user_max: default_jobs_per_user_max(),
            allow_root: false,
            export_bytes: default_export_bytes(),
            user_certificates: default_user_certificates(),
            node_certificates: default_node_certificates(),
            controller_certificates: default_controller_certificates(),
            fence: None,
            submit_from_jobs: default_submit_from_jobs(),
            mirror: None,
            mirror_required: false,
        }
    }

    /// Reads a file. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// The file, the key and the reason.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let mut config = Config::load_plain(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        for inner in [&mut config.state, &mut config.ca, &mut config.credentials] {
            *inner = folder.join(&*inner);
        }
        Ok(config)
    }

    /// The same settings with all folders where they usually are: beside the file.
    pub fn with_usual_folders(self) -> Config {
        Config { state: default_state(), ca: default_ca(), credentials: default_credentials(), ..self }
    }

    /// Reads a file as it stands.
    ///
    /// # Errors
    /// The file, the key and the reason.
    pub fn load_plain(path: &Path) -> Result<Config, ConfigError> {
        let file_error = |source| ConfigError::File { path: path.to_owned(), source };
        let length = fs::metadata(path).map_err(file_error)?.len();
        if length > CONFIG_BYTES_MAX {
            let message = format!("{length} bytes are more than {CONFIG_BYTES_MAX}");
            return Err(ConfigError::Content { path: path.to_owned(), message });
        }
        let text = fs::read_to_string(path).map_err(file_error)?;
        let content = |error: toml::de::Error| ConfigError::Content {
            path: path.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        };
        let config: Config = toml::from_str(&text).map_err(content)?;
        config.check_lives().map_err(|message| ConfigError::Content { path: path.to_owned(), message })?;
        Ok(config)
    }

    /// How long a certificate for that role is good.
    pub fn certificate_life(&self, role: Role) -> Seconds {
        match role {
            Role::Node => self.node_certificates.0,
            Role::Controller => self.controller_certificates.0,
            Role::User | Role::Operator | Role::Admin | Role::Login | Role::Job => self.user_certificates.0,
        }
    }

    /// Whether times lie within their bounds: the lives of certificates, and the lease.
    ///
    /// # Errors
    /// Which one does not, in words.
    pub fn check_lives(&self) -> Result<(), String> {
        for (key, life) in [
            ("user_certificates", self.user_certificates),
            ("node_certificates", self.node_certificates),
            ("controller_certificates", self.controller_certificates),
        ] {
            if !(CERTIFICATE_LIFE_MIN..=AUTHORITY_VALIDITY).contains(&life.0) {
                let days = AUTHORITY_VALIDITY.0 / 86_400;
                return Err(format!("`{key}` lies between {} s and {days} days", CERTIFICATE_LIFE_MIN.0));
            }
        }
        if let Some(fence) = self.fence.as_ref().filter(|fence| !fence.is_absolute()) {
            return Err(format!("`fence` is no absolute path: {}", fence.display()));
        }
        if let Some(mirror) = self.mirror.as_ref().filter(|mirror| !mirror.is_absolute()) {
            return Err(format!("`mirror` is no absolute path: {}", mirror.display()));
        }
        if self.mirror_required && self.mirror.is_none() {
            return Err("`mirror_required` without a `mirror`".to_owned());
        }
        if self.lease.0 < self.node_timeout.0 {
            let (lease, timeout) = (self.lease.0.0, self.node_timeout.0.0);
            return Err(format!(
                "`lease` ({lease} s) must not be shorter than `node_timeout` ({timeout} s): jobs would be frozen before \
                 their node counts as silent"
            ));
        }
        Ok(())
    }

    /// Writes a new file, and nothing over an old one.
    ///
    /// # Errors
    /// What the operating system said.
    pub fn write_new(&self, path: &Path) -> Result<(), ConfigError> {
        use std::io::Write;
        let file_error = |source| ConfigError::File { path: path.to_owned(), source };
        let content = |error: toml::ser::Error| ConfigError::Content {
            path: path.to_owned(),
            message: error.to_string(),
        };
        let text = toml::to_string_pretty(self).map_err(content)?;
        let mut file = fs::File::create_new(path).map_err(file_error)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(file_error)
    }
}

/// Where the settings are if nobody says: the system's for root, else the user's own.
pub fn default_path() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/etc/jsched/jctld.toml");
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    home.join(".config/jsched/jctld.toml")
}

/// `HOST` or `HOST:PORT` with the port filled in.
pub fn with_port(address: &str) -> String {
    let bare_v6 = address.matches(':').count() > 1 && !address.starts_with('[');
    if bare_v6 {
        return format!("[{address}]:{PORT}");
    }
    let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if has_port { address.to_owned() } else { format!("{address}:{PORT}") }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, PORT))
}

fn default_state() -> PathBuf {
    PathBuf::from("state")
}

fn default_ca() -> PathBuf {
    PathBuf::from("ca")
}

fn default_credentials() -> PathBuf {
    PathBuf::from("controller")
}

fn default_node_timeout() -> Span {
    Span(Seconds(300))
}

fn default_lease() -> Span {
    Span(Seconds(1_800))
}

fn default_kill_grace() -> Span {
    Span(Seconds(30))
}

fn default_export_bytes() -> u64 {
    256 << 20
}

fn default_user_certificates() -> Span {
    Span(USER_VALIDITY)
}

fn default_node_certificates() -> Span {
    Span(NODE_VALIDITY)
}

fn default_controller_certificates() -> Span {
    Span(CONTROLLER_VALIDITY)
}

fn default_jobs_per_user_max() -> u32 {
    1_000_000
}

fn default_submit_from_jobs() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::settings::CONTROLLER;

    #[test]
    fn settings_come_back_and_unknown_keys_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("jctld.toml");
        Config::new(vec!["host:6815".to_owned()]).write_new(&path).unwrap();
        let read = Config::load(&path).unwrap();
        assert_eq!(read.state, folder.path().join("state"));
        assert_eq!(read.node_timeout, Span(Seconds(300)));
        assert!(Config::new(vec![]).write_new(&path).is_err(), "nothing is overwritten");
        fs::write(&path, "advertise = []\nnode_timout = \"3s\"\n").unwrap();
        let error = Config::load(&path).unwrap_err().to_string();
        assert!(error.contains("node_timout") && error.contains("line 2"), "{error}");
        for (life, fits) in [("5s", true), ("4s", false), ("3650d", true), ("3651d", false), ("0", false)] {
            fs::write(&path, format!("advertise = []\nnode_certificates = \"{life}\"\n")).unwrap();
            assert_eq!(Config::load(&path).is_ok(), fits, "{life}");
        }
    }

    /// The manual page says of every key what its default is.
    #[test]
    fn the_manual_page_is_right() {
        let plain: Config = toml::from_str("advertise = []").unwrap();
        let all =
            Config { fence: Some("/bin/fence".into()), mirror: Some("/mnt/mirror".into()), ..plain.clone() };
        let table: toml::Table = toml::from_str(&toml::to_string(&all).unwrap()).unwrap();
        let known: Vec<&str> = table.keys().map(String::as_str).collect();
        let mut said: Vec<&str> = CONTROLLER.iter().map(|setting| setting.key).collect();
        said.sort_unstable();
        assert_eq!(said, known);
        for setting in CONTROLLER {
            let Some(default) = setting.default else { continue };
            let text = format!("advertise = []\n{} = {default}\n", setting.key);
            assert_eq!(toml::from_str::<Config>(&text).unwrap(), plain, "{}", setting.key);
        }
    }

    #[test]
    fn ports_are_filled_in() {
        for (given, whole) in [
            ("host", "host:6815"),
            ("host:7000", "host:7000"),
            ("10.0.0.1", "10.0.0.1:6815"),
            ("::1", "[::1]:6815"),
            ("[::1]:7000", "[::1]:7000"),
        ] {
            assert_eq!(with_port(given), whole);
        }
    }
}
