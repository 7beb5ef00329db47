//! Handles of processes that never mean another process, however often a number is used again.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

/// A handle of one process.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Of the process that has that number now. Whoever must know which one it is looks at its start time after
    /// this call.
    pub fn open(pid: i32) -> Result<PidFd, Errno> {
        // SAFETY: takes numbers only, gives a fresh descriptor.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        Errno::result(fd).map(|fd| PidFd::from_raw(fd as i32))
    }

    /// Sends a signal. `ESRCH` when the process has been reaped.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        // SAFETY: takes numbers and a null pointer.
        let rc = unsafe {
            libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, std::ptr::null::<()>(), 0)
        };
        Errno::result(rc).map(drop)
    }

    /// Of a descriptor that the kernel has just made.
    pub(super) fn from_raw(fd: i32) -> PidFd {
        // SAFETY: callers inside this module pass what a system call has just given them.
        PidFd(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
