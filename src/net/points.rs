//! Places where a test has a daemon or a supervisor die: by SIGKILL, at one exact step.
//!
//! They are there in builds with debug assertions, which is what `cargo test` builds and what no release is; in all
//! others [`reach`] is an empty constant function, and neither the variable nor the code exists. `JSCHED_FAULT_POINTS`
//! names a folder; a place is armed by a file of its name in `armed`, and who reaches it moves that file to `fired` and
//! is gone: once, whichever process comes first.

#[cfg(debug_assertions)]
pub use armed::{pass_on, reach};

/// Nothing dies here.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reach(_: &str) {}

/// Nothing is passed on.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn pass_on(_: &mut std::process::Command) {}

#[cfg(debug_assertions)]
mod armed {
    use std::path::PathBuf;
    use std::process::Command;
    use std::sync::OnceLock;

    use nix::sys::signal::{Signal, kill};

    /// Names the folder of the places.
    const FOLDER: &str = "JSCHED_FAULT_POINTS";

    fn folder() -> Option<&'static PathBuf> {
        static KNOWN: OnceLock<Option<PathBuf>> = OnceLock::new();
        KNOWN.get_or_init(|| std::env::var_os(FOLDER).map(PathBuf::from)).as_ref()
    }

    /// The process dies here if this place is armed.
    pub fn reach(place: &str) {
        let Some(folder) = folder() else { return };
        if std::fs::rename(folder.join("armed").join(place), folder.join("fired").join(place)).is_ok() {
            let _ = kill(nix::unistd::getpid(), Signal::SIGKILL);
        }
    }

    /// A process that is started with an empty environment can die at its places, too.
    pub fn pass_on(command: &mut Command) {
        if let Some(folder) = folder() {
            command.env(FOLDER, folder);
        }
    }
}
