//! Starts processes as somebody else, and opens files as him: the only place that may use `unsafe`.
//!
//! A process is made with `clone(CLONE_VM | CLONE_VFORK | CLONE_PIDFD)` on a stack of its own: nothing is copied,
//! and the parent sleeps until the child has called execve or given up. Everything that the child needs is
//! prepared before; the child makes bare system calls only (`child.rs`) and says through the shared memory which
//! step failed. All that touches a user's path happens after the switch to that user.
//!
//! The kernel makes the shared memory undumpable when the child's user changes, so the user can't trace the
//! child while it shares our memory; nothing here touches that attribute.
#![allow(unsafe_code)]

mod child;
mod fs_user;
mod open;
mod pidfd;
mod reap;
mod stack;
mod strings;

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use nix::errno::Errno;

pub use child::Step;
pub use fs_user::act_in_thread;
pub use open::{How, open_as};
pub use pidfd::PidFd;
pub use reap::{Reaped, Status, reap};
pub use strings::Strings;

use stack::Stack;

/// As whom a process runs. It comes from the node's account database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switch {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups.
    pub groups: Vec<u32>,
}

/// One of the three standard streams of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `/dev/null`.
    Null,
    /// A file, opened by the user himself.
    File(String, How),
    /// The same open file as standard output (for standard error).
    SameAsOutput,
}

/// A command that is tried before the program, which would only look for it and become it.
#[derive(Debug)]
pub struct Direct {
    /// Where it may lie, in this order; what is relative counts from the working directory.
    pub places: Vec<CString>,
    /// Its arguments, the name it is called by first.
    pub arguments: Strings,
}

/// The control groups that a process is put into.
#[derive(Clone, Debug, Default)]
pub struct Groups<'a> {
    /// The folder of a group of version 2 to be born in: joining it later waits for all processors.
    pub into: Option<BorrowedFd<'a>>,
    /// Files of groups to join by writing to them; if the process could be born in its group, it does not.
    pub joins: Vec<BorrowedFd<'a>>,
}

/// A process to start.
#[derive(Debug)]
pub struct Launch<'a> {
    /// Executed instead of the program, if one of its places can be.
    pub direct: Option<&'a Direct>,
    /// What is executed: a program, or a script with a `#!` line. Absolute.
    pub program: &'a str,
    /// Its arguments, the name it is called by first.
    pub arguments: &'a [&'a Strings],
    /// Its environment, `NAME=VALUE` each.
    pub environment: &'a [&'a Strings],
    /// Set to the process's own number, if given.
    pub pid_variable: Option<&'a str>,
    /// The user to become; `None`: stay.
    pub switch: Option<&'a Switch>,
    /// Whether the process may run as uid 0.
    pub root_allowed: bool,
    /// The file mode creation mask.
    pub umask: u32,
    /// Where it starts. Absolute.
    pub work_dir: &'a str,
    /// Standard input.
    pub input: &'a Stream,
    /// Standard output.
    pub output: &'a Stream,
    /// Standard error.
    pub error: &'a Stream,
    /// The control groups to be in.
    pub groups: &'a Groups<'a>,
    /// Gives back the protection from the out-of-memory killer that this process has.
    pub reset_oom_score: bool,
    /// Resource limits to set: resource, soft, hard.
    pub limits: &'a [(i32, u64, u64)],
}

/// A started process.
#[derive(Debug)]
pub struct Child {
    /// Its number. It leads a session of its own. Stays taken until it is reaped.
    pub pid: i32,
    /// A handle that never means another process.
    pub pidfd: PidFd,
    /// How long its files for standard output and error were before it wrote anything.
    pub starts: [u64; 2],
}

/// Why a process was not started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// A step of the child failed.
    #[error("{}{}: {}", Place(path), step.words(), errno.desc())]
    Step {
        /// Which.
        step: Step,
        /// The path that it was about, or empty.
        path: String,
        /// What the kernel said.
        errno: Errno,
    },
    /// The child was not even made.
    #[error("no process could be made ({}); the node is short of processes, memory or descriptors", .0.desc())]
    Clone(Errno),
    /// A text holds a NUL.
    #[error("{0} contains a NUL byte")]
    Nul(&'static str),
    /// uid 0 is not allowed.
    #[error("jobs do not run as uid 0 here; an admin can allow it in the node's configuration")]
    Root,
}

struct Place<'a>(&'a str);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}

/// Starts processes, one at a time.
#[derive(Debug)]
pub struct Launcher {
    stack: Stack,
    /// Signals that do not have their default action here, a bit each.
    signals: u64,
}

impl Launcher {
    /// With a stack for its children. Fails when there is no memory. The actions of signals must not change later.
    pub fn new() -> Result<Launcher, LaunchError> {
        Ok(Launcher { stack: Stack::new().map_err(LaunchError::Clone)?, signals: child::not_default() })
    }

    /// Starts a process. When this returns it has executed its program, or has not been started at all.
    pub fn spawn(&mut self, launch: &Launch<'_>) -> Result<Child, LaunchError> {
        let uid = launch.switch.map_or_else(|| nix::unistd::geteuid().as_raw(), |switch| switch.uid);
        if uid == 0 && !launch.root_allowed {
            return Err(LaunchError::Root);
        }
        let program = text(launch.program, "the program's path")?;
        let work_dir = text(launch.work_dir, "the working directory")?;
        let input = stream(launch.input, "the input file's path")?;
        let output = stream(launch.output, "the output file's path")?;
        let error = stream(launch.error, "the error file's path")?;
        let mut pid_entry =
            launch.pid_variable.map(|name| format!("{name}={}", "\0".repeat(12)).into_bytes());
        let argv = pointers(launch.arguments, std::ptr::null());
        let direct = launch.direct.filter(|direct| !direct.arguments.is_empty());
        let direct_argv =
            pointers(&direct.map_or(vec![], |direct| vec![&direct.arguments]), std::ptr::null());
        let mut places: Vec<_> =
            direct.map_or(vec![], |direct| direct.places.iter().map(|place| place.as_ptr()).collect());
        places.push(std::ptr::null());
        let pid_pointer = pid_entry.as_ref().map_or(std::ptr::null(), |entry| entry.as_ptr().cast());
        let envp = pointers(launch.environment, pid_pointer);
        let digits = match (&mut pid_entry, launch.pid_variable) {
            // SAFETY: the entry is the name, `=`, and 12 bytes more, so the place after `=` lies within it.
            (Some(entry), Some(name)) => unsafe { entry.as_mut_ptr().add(name.len() + 1) },
            _ => std::ptr::null_mut(),
        };
        let cgroups: Vec<i32> = launch.groups.joins.iter().map(AsRawFd::as_raw_fd).collect();
        let mut plan = child::Plan {
            places: places.as_ptr(),
            direct_argv: direct_argv.as_ptr(),
            program: program.as_ptr(),
            argv: argv.as_ptr(),
            signals: self.signals,
            envp: envp.as_ptr(),
            digits,
            switch: launch.switch.map_or(std::ptr::null(), std::ptr::from_ref),
            umask: launch.umask,
            work_dir: work_dir.as_ptr(),
            streams: [input.raw(), output.raw(), error.raw()],
            cgroups: &[],
            reset_oom_score: launch.reset_oom_score,
            limits: launch.limits,
            starts: [AtomicU64::new(0), AtomicU64::new(0)],
            step: AtomicU32::new(0),
            errno: AtomicI32::new(0),
        };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD | libc::SIGCHLD;
        // SAFETY: `run` makes bare system calls only and never returns into our code; `plan` and all that it
        // points to outlive the call, because CLONE_VFORK keeps us here until the child has left our memory.
        let born = launch.groups.into.and_then(|group| unsafe {
            self.stack.clone_into(child::run, std::ptr::from_ref(&plan).cast(), flags, group.as_raw_fd()).ok()
        });
        let (pid, pidfd) = match born {
            Some(born) => born,
            None => {
                plan.cgroups = &cgroups;
                // SAFETY: as above.
                unsafe { self.stack.clone(child::run, std::ptr::from_ref(&plan).cast(), flags) }
                    .map_err(LaunchError::Clone)?
            }
        };
        let Some(step) = Step::from_number(plan.step.load(Ordering::Acquire)) else {
            let starts = plan.starts.each_ref().map(|start| start.load(Ordering::Acquire));
            return Ok(Child { pid, pidfd: PidFd::from_raw(pidfd), starts });
        };
        drop(PidFd::from_raw(pidfd));
        let _ = reap(Some(pid));
        let path = match step {
            Step::WorkDir => launch.work_dir,
            Step::Input => launch.input.path(),
            Step::Output => launch.output.path(),
            Step::Error => launch.error.path(),
            Step::Exec => launch.program,
            _ => "",
        };
        let errno = Errno::from_raw(plan.errno.load(Ordering::Acquire));
        Err(LaunchError::Step { step, path: path.to_owned(), errno })
    }
}

impl Stream {
    fn path(&self) -> &str {
        match self {
            Stream::Null => "/dev/null",
            Stream::File(path, _) => path,
            Stream::SameAsOutput => "",
        }
    }
}

/// A stream with its path as the kernel wants it; no path: as standard output.
struct Prepared(Option<CString>, How);

impl Prepared {
    fn raw(&self) -> child::RawStream {
        child::RawStream {
            path: self.0.as_ref().map_or(std::ptr::null(), |path| path.as_ptr()),
            flags: self.1.flags(),
        }
    }
}

fn stream(stream: &Stream, what: &'static str) -> Result<Prepared, LaunchError> {
    match stream {
        Stream::Null => Ok(Prepared(Some(c"/dev/null".to_owned()), How::ReadWrite)),
        Stream::File(path, how) => Ok(Prepared(Some(text(path, what)?), *how)),
        Stream::SameAsOutput => Ok(Prepared(None, How::Append)),
    }
}

fn text(text: &str, what: &'static str) -> Result<CString, LaunchError> {
    CString::new(text).map_err(|_| LaunchError::Nul(what))
}

/// The pointers of all texts, `more` if it is not null, and the null that ends such a list.
fn pointers(lists: &[&Strings], more: *const libc::c_char) -> Vec<*const libc::c_char> {
    let mut pointers = Vec::with_capacity(lists.iter().map(|list| list.len()).sum::<usize>() + 2);
    for list in lists {
        pointers.extend(list.pointers());
    }
    if !more.is_null() {
        pointers.push(more);
    }
    pointers.push(std::ptr::null());
    pointers
}

#[cfg(test)]
mod tests;
