//! Where and by whom a job is submitted: everything that a request takes from the process around it, gathered once,
//! so that the rest can be tested without it.

use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;
use nix::sys::stat::{Mode, umask};

use super::login;
use crate::cli::error::{CliError, ExitCode};
use crate::model::time::WallTime;

/// Variables with their values, as bytes: neither has to be text.
pub type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// The process around a request.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// The environment.
    pub variables: Variables,
    /// The working directory, absolute, as the user sees it.
    pub directory: String,
    /// This host's name.
    pub host: String,
    /// The umask.
    pub umask: u32,
    /// The time at the start.
    pub now: WallTime,
    /// The zone in which times of day are meant; `None`: the system's, found when it is needed.
    pub zone: Option<TimeZone>,
    /// Whether nobody but a person could send a script on standard input.
    pub stdin_is_terminal: bool,
    /// The name of the cluster, where the configuration knows it: `--clusters` must name it.
    pub cluster: Option<String>,
    /// How the environment of a login shell is found.
    pub login: fn(&Surroundings) -> Result<Variables, CliError>,
}

impl Surroundings {
    /// Of this process. Call it before threads are started: reading the umask sets it for a moment.
    ///
    /// # Errors
    /// A working directory that is gone or whose path is no text (1).
    pub fn of_this_process() -> Result<Surroundings, CliError> {
        let mask = umask(Mode::empty());
        umask(mask);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Surroundings {
            variables: std::env::vars_os().map(|(name, value)| (name.into_vec(), value.into_vec())).collect(),
            directory: working_directory()?,
            host: nix::unistd::gethostname()
                .map_or(String::new(), |name| name.to_string_lossy().into_owned()),
            umask: mask.bits(),
            now: WallTime(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
            zone: None,
            stdin_is_terminal: std::io::IsTerminal::is_terminal(&std::io::stdin()),
            cluster: None,
            login: login::environment,
        })
    }

    /// The value of a variable.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.variables.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    /// The zone in which times of day are meant.
    pub fn zone(&self) -> TimeZone {
        self.zone.clone().unwrap_or_else(crate::cli::zone::local)
    }

    /// A path as the user means it: relative to the working directory.
    pub fn path(&self, path: &str) -> PathBuf {
        Path::new(&self.directory).join(path)
    }
}

/// `PWD` where it is true, since it names links as the user does; otherwise what the kernel says.
fn working_directory() -> Result<String, CliError> {
    let gone = |why: &dyn std::fmt::Display| {
        let error = CliError::new(ExitCode::Refused, "no_directory", format!("no working directory: {why}"));
        error.hint("go to a directory that exists")
    };
    let here = std::env::current_dir().map_err(|why| gone(&why))?;
    let same = |path: &Path| match (std::fs::metadata(path), std::fs::metadata(&here)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    };
    let named = std::env::var_os("PWD").map(PathBuf::from).filter(|path| path.is_absolute() && same(path));
    named.unwrap_or(here).into_os_string().into_string().map_err(|_| gone(&"its path is no text"))
}
