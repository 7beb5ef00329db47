//! Opens a file as a user, for a daemon that reads or writes it afterwards.

use std::ffi::{CString, c_void};
use std::os::fd::{FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nix::errno::Errno;

use super::stack::Stack;
use super::{LaunchError, Step, Switch, child, reap};

/// How a file is opened. No way of opening waits for the other end of a FIFO, none makes a terminal the
/// controlling one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// To read.
    Read,
    /// To read and write.
    ReadWrite,
    /// To write, at the end, after everything was thrown away; made if it is not there.
    Truncate,
    /// To write at the end; made if it is not there.
    Append,
    /// To write at the end of a file that is there.
    AppendExisting,
}

impl How {
    pub(super) fn flags(self) -> libc::c_int {
        let common = libc::O_CLOEXEC | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_LARGEFILE;
        common
            | match self {
                How::Read => libc::O_RDONLY,
                How::ReadWrite => libc::O_RDWR,
                How::Truncate => libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT | libc::O_TRUNC,
                How::Append => libc::O_WRONLY | libc::O_APPEND | libc::O_CREAT,
                How::AppendExisting => libc::O_WRONLY | libc::O_APPEND,
            }
    }
}

/// Opens `path` with the rights of `switch`, or with our own if it is `None`: with the same result as in the
/// user's own shell. A child that shares our memory and our descriptors becomes the user, opens, and is gone.
/// It blocks as long as the file system does, and works in processes with threads.
pub fn open_as(switch: Option<&Switch>, path: &str, how: How) -> Result<OwnedFd, LaunchError> {
    let name = CString::new(path).map_err(|_| LaunchError::Nul("the path"))?;
    let failed = |step, errno| LaunchError::Step { step, path: path.to_owned(), errno };
    let Some(switch) = switch else {
        // SAFETY: the path is a valid text; the descriptor is fresh and nobody else's.
        let fd = unsafe { child::open(name.as_ptr(), how.flags()) };
        // SAFETY: as above; only a descriptor that was opened is taken.
        return match i32::try_from(fd) {
            Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            _ => Err(failed(Step::Open, Errno::last())),
        };
    };
    let plan = OpenPlan {
        path: name.as_ptr(),
        flags: how.flags(),
        switch,
        fd: AtomicI32::new(-1),
        step: AtomicU32::new(0),
        errno: AtomicI32::new(0),
    };
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_FILES;
    let mut stack = Stack::new().map_err(LaunchError::Clone)?;
    // SAFETY: `run` makes bare system calls only and exits; the plan lives until it has.
    let (pid, _) =
        unsafe { stack.clone(run, std::ptr::from_ref(&plan).cast(), flags) }.map_err(LaunchError::Clone)?;
    let _ = reap::reap_clone(pid);
    match (plan.fd.load(Ordering::Acquire), Step::from_number(plan.step.load(Ordering::Acquire))) {
        // SAFETY: the child opened it in the table that it shared with us, and nobody else knows of it.
        (fd, None) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        (_, Some(step)) => Err(failed(step, Errno::from_raw(plan.errno.load(Ordering::Acquire)))),
        (_, None) => Err(failed(Step::Open, Errno::EINTR)),
    }
}

struct OpenPlan<'a> {
    path: *const libc::c_char,
    flags: libc::c_int,
    switch: &'a Switch,
    fd: AtomicI32,
    step: AtomicU32,
    errno: AtomicI32,
}

extern "C" fn run(plan: *mut c_void) -> libc::c_int {
    // SAFETY: `open_as` passes its plan, which stays valid while we share its memory.
    let plan = unsafe { &*plan.cast_const().cast::<OpenPlan<'_>>() };
    let mut failed = child::switch_user(plan.switch);
    if failed.is_none() {
        // SAFETY: the path is a valid text of the plan.
        let fd = unsafe { child::open(plan.path, plan.flags) };
        if fd < 0 { failed = Some(Step::Open) } else { plan.fd.store(fd as i32, Ordering::Release) }
    }
    if let Some(step) = failed {
        plan.errno.store(child::errno(), Ordering::Release);
        plan.step.store(step as u32, Ordering::Release);
    }
    child::leave()
}
