//! What can go wrong in a task, in words for whoever ran it.

use std::io;
use std::path::{Path, PathBuf};

/// Why a task could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A program could not be started.
    #[error("cannot start `{command}`: {source}")]
    Start {
        /// The command line.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program ended with another code than it should have.
    #[error("`{command}` ended with {code}{said}")]
    Ended {
        /// The command line.
        command: String,
        /// Its exit code, 128+n after signal n.
        code: i32,
        /// A line break and what it said on standard error; nothing if that went to the terminal.
        said: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something is not as it must be; the text says what, where and what to do.
    #[error("{0}")]
    Wrong(String),
    /// Ctrl-C or SIGTERM came.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Turns the error of a file operation into a failure that names the file.
    pub fn file(path: &Path) -> impl FnOnce(io::Error) -> Failure + use<> {
        let path = path.to_path_buf();
        move |source| Failure::File { path, source }
    }
}
