//! Finds and reads the client's configuration: where the controller is, and whose certificate speaks for the caller.
//!
//! Inside a job commands go through its socket, and need none of it. Else the first file that is there is taken: `--config FILE`, `JSCHED_CONFIG`, `~/.config/jsched/config.toml`,
//! `/etc/jsched/config.toml`. A file that was named and is not there is an error, never a reason to look further.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::inside::Inside;
use super::session::Way;
use crate::wire::inside::SOCKET_VARIABLE;

/// The variable that names the configuration's file.
pub const CONFIG_VARIABLE: &str = "JSCHED_CONFIG";
/// The site's configuration, tried last.
pub const CONFIG_OF_SITE: &str = "/etc/jsched/config.toml";
/// The most bytes of a configuration's file.
pub const CONFIG_BYTES_MAX: usize = 64 << 10;
/// The most controllers in one configuration.
pub const CONTROLLERS_MAX: usize = 16;

/// What a command needs to know before it can ask anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file that said so.
    pub file: PathBuf,
    /// `HOST:PORT` of each controller, tried in turn.
    pub controllers: Vec<String>,
    /// The caller's certificate (PEM).
    pub certificate: PathBuf,
    /// The caller's private key (PEM).
    pub key: PathBuf,
    /// The cluster's CA (PEM).
    pub ca: PathBuf,
}

/// Why there is no configuration. All of them are exit code 78.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Nothing anywhere.
    #[error("no configuration found; looked for {}", .0.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", "))]
    Missing(Vec<PathBuf>),
    /// A file that can't be read.
    #[error("{} can't be read: {reason}", .path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that can't be understood.
    #[error("{}: {reason}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// Why, with the line where there is one.
        reason: String,
    },
}

impl ConfigError {
    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            ConfigError::Missing(_) => {
                "set JSCHED_CONFIG to the file that `jctld dev` named, or run `jqueue login TOKEN`"
            }
            ConfigError::Unreadable { .. } => "name another one with --config FILE or JSCHED_CONFIG",
            ConfigError::Malformed { .. } => {
                "it holds `controllers = [\"HOST:PORT\"]` and the paths `certificate`, `key` and `ca`"
            }
        }
    }
}

/// Where the search begins.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// `--config FILE`.
    pub option: Option<PathBuf>,
    /// The value of [`CONFIG_VARIABLE`]; an empty one counts as none.
    pub variable: Option<PathBuf>,
    /// The caller's home directory.
    pub home: Option<PathBuf>,
    /// The value of [`SOCKET_VARIABLE`]: inside a job it wins over everything but the option.
    pub socket: Option<PathBuf>,
}

impl Search {
    /// With what the process's environment says.
    pub fn from_environment(option: Option<PathBuf>) -> Search {
        let path = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        Search { option, variable: path(CONFIG_VARIABLE), home: path("HOME"), socket: path(SOCKET_VARIABLE) }
    }

    /// Finds the way to the controller: inside a job its socket, unless a configuration is given by option.
    ///
    /// # Errors
    /// As [`Search::load`].
    pub fn way(&self) -> Result<Way, ConfigError> {
        match (&self.option, &self.socket) {
            (None, Some(socket)) => Ok(Way::Inside(Inside { socket: socket.clone() })),
            _ => self.load().map(Way::Network),
        }
    }

    /// Finds and reads the configuration.
    ///
    /// # Errors
    /// See [`ConfigError`].
    pub fn load(&self) -> Result<Config, ConfigError> {
        if let Some(named) = self.option.as_ref().or(self.variable.as_ref()) {
            return read(named);
        }
        let home = self.home.as_ref().map(|home| home.join(".config/jsched/config.toml"));
        let places: Vec<PathBuf> = home.into_iter().chain([PathBuf::from(CONFIG_OF_SITE)]).collect();
        match places.iter().find(|place| place.exists()) {
            Some(place) => read(place),
            None => Err(ConfigError::Missing(places)),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    controllers: Vec<String>,
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

/// Reads one file. Its paths are relative to the folder that it lies in.
///
/// # Errors
/// [`ConfigError::Unreadable`] and [`ConfigError::Malformed`].
pub fn read(path: &Path) -> Result<Config, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable { path: path.to_owned(), reason };
    let malformed = |reason: String| ConfigError::Malformed { path: path.to_owned(), reason };
    let size = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if size > CONFIG_BYTES_MAX as u64 {
        return Err(malformed(format!(
            "{size} bytes are more than the {CONFIG_BYTES_MAX} of any configuration"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let file: File =
        toml::from_str(&text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
    if file.controllers.is_empty() {
        return Err(malformed("`controllers` is empty".to_owned()));
    }
    if file.controllers.len() > CONTROLLERS_MAX {
        return Err(malformed(format!("`controllers` has more than {CONTROLLERS_MAX} entries")));
    }
    if let Some(bad) = file.controllers.iter().find(|address| !is_address(address)) {
        return Err(malformed(format!("`{bad}` in `controllers` is not of the form HOST or HOST:PORT")));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(Config {
        file: path.to_owned(),
        controllers: file.controllers,
        certificate: folder.join(file.certificate),
        key: folder.join(file.key),
        ca: folder.join(file.ca),
    })
}

/// `HOST`, `HOST:PORT`, an address of either family with or without a port.
fn is_address(text: &str) -> bool {
    let well_formed = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match text.split_once(':') {
        // More colons: an address of the longer family, judged when it is dialled.
        Some((_, rest)) if rest.contains(':') => well_formed,
        Some((host, port)) => {
            well_formed && !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
        }
        None => well_formed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "controllers = [\"c1:6815\", \"[::1]:6815\"]\ncertificate = \"me.pem\"\nkey = \"/k/me.key\"\nca = \"ca.pem\"\n";

    #[test]
    fn the_first_one_named_wins_and_paths_are_relative_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join(".config/jsched");
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("config.toml"), GOOD).unwrap();
        let named = folder.path().join("named.toml");
        let mut search =
            Search { option: None, variable: None, home: Some(folder.path().to_owned()), socket: None };
        let config = search.load().unwrap();
        assert_eq!(config.certificate, home.join("me.pem"));
        assert_eq!(config.key, Path::new("/k/me.key"));
        search.variable = Some(named.clone());
        assert!(matches!(search.load(), Err(ConfigError::Unreadable { path, .. }) if path == named));
        std::fs::write(&named, GOOD).unwrap();
        assert_eq!(search.load().unwrap().file, named);
        search.option = Some(folder.path().join("other.toml"));
        assert!(search.load().is_err());
        // Inside a job its socket wins over all but the option.
        search.socket = Some(folder.path().join("socket"));
        assert!(search.way().is_err());
        search.option = None;
        let inside = Inside { socket: folder.path().join("socket") };
        assert_eq!(search.way().unwrap(), Way::Inside(inside));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("client.toml");
        let with = |count: usize| {
            let list: Vec<String> = (0..count).map(|n| format!("\"c{n}:1\"")).collect();
            GOOD.replace("\"c1:6815\", \"[::1]:6815\"", &list.join(","))
        };
        for (text, words) in [
            (GOOD.replace("c1:6815", "c 1"), "`c 1`"),
            (GOOD.replace("c1:6815", ":6815"), "`:6815`"),
            (GOOD.replace("c1:6815", "c1:0"), "`c1:0`"),
            (GOOD.replace("controllers", "controler"), "controler"),
            (with(0), "empty"),
            (with(CONTROLLERS_MAX + 1), "more than"),
            (format!("{GOOD}# {}", "x".repeat(CONFIG_BYTES_MAX)), "bytes"),
        ] {
            std::fs::write(&path, text).unwrap();
            let said = read(&path).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("client.toml"), "{said}");
        }
        std::fs::write(&path, with(CONTROLLERS_MAX)).unwrap();
        assert!(read(&path).is_ok());
    }
}
