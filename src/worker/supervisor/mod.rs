//! A job's supervisor on a node: one small single-threaded process, without a runtime, that runs all of the
//! job's tasks there and outlives the node daemon.
//!
//! `service` is its loop; `link` the socket, `desk` the queue and the reports, `crew` the processes, `records`
//! what it leaves behind if it dies. `client` is for the daemon.

pub mod attempt;
pub mod client;
pub mod clock;
mod command;
pub mod crew;
pub mod desk;
pub mod environment;
mod family;
pub mod folders;
pub mod gate;
pub mod ladder;
pub mod link;
pub mod prepare;
pub mod records;
pub mod seen;
pub mod service;
mod signals;
pub mod standstill;
#[cfg(test)]
mod test_job;
pub mod verdict;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;

/// How much a supervisor that runs as root is protected from the out-of-memory killer. Its jobs are not.
const OOM_SCORE: &str = "-900";

/// Why a supervisor can't work at all.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The command line is wrong.
    #[error(
        "{0}; usage: jworkerd supervise --folder FOLDER --id ID [--link stdin] (the node daemon starts it)"
    )]
    Usage(String),
    /// Its folder can't be used.
    #[error("{path}: {error}; the node daemon's spool must be a writable folder on a local disk")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The kernel refuses something basic.
    #[error("the kernel refuses what a supervisor needs ({}); Linux 5.9 or newer is needed", .0.desc())]
    Kernel(Errno),
}

/// Runs a supervisor: `arguments` are what follows `supervise` on the command line. Gives the exit code. To be
/// called before the process has any thread but its first.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let run = || {
        let words = parse(arguments)?;
        // A session of its own: what ends the daemon's session or terminal does not concern it. It fails if the
        // process leads a group already, and then the session is its own as far as that goes.
        let _ = nix::unistd::setsid();
        service::Service::new(words.folder, words.id, words.ahead)?.run()
    };
    match run() {
        Ok(()) => 0,
        Err(error @ SupervisorError::Usage(_)) => {
            eprintln!("jworkerd: {error}");
            64
        }
        Err(error) => {
            eprintln!("jworkerd: {error}");
            78
        }
    }
}

/// What stands on the command line.
struct Words {
    folder: PathBuf,
    id: String,
    /// Started ahead of any job: the daemon already holds the other end of standard input, and speaks through it.
    ahead: bool,
}

fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Words, SupervisorError> {
    let usage = |text: &str| SupervisorError::Usage(text.to_owned());
    let (mut folder, mut id, mut ahead) = (None, None, false);
    let mut arguments = arguments.into_iter();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| usage("a value is missing"))?;
        match name.to_str() {
            Some("--folder") => folder = Some(PathBuf::from(value)),
            Some("--id") => id = value.into_string().ok(),
            Some("--link") if value == "stdin" => ahead = true,
            _ => return Err(usage("an option is unknown")),
        }
    }
    let id = id.filter(|id| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'));
    let folder = folder.filter(|folder| folder.is_absolute());
    Ok(Words {
        folder: folder.ok_or_else(|| usage("an absolute folder is needed"))?,
        id: id.ok_or_else(|| usage("an id is needed"))?,
        ahead,
    })
}

/// Asks the kernel to spare this process when memory is short. Whether it agreed: then its children have to give
/// that up.
fn protect() -> bool {
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).is_ok()
}
