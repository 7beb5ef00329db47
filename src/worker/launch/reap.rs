//! Reaps processes together with what they used.

use nix::errno::Errno;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It exited with that code.
    Exit(u8),
    /// That signal ended it.
    Signal(u8),
}

/// A process that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaped {
    /// Its number, free again.
    pub pid: i32,
    /// How it ended.
    pub status: Status,
    /// Processor time of it and of those it has waited for, in microseconds.
    pub cpu_us: u64,
    /// The most memory that it, or one that it has waited for, held at once.
    pub rss_peak_bytes: u64,
}

/// Reaps `pid`, waiting for it, or any child that has ended, without waiting. `None`: no child has ended. The
/// error is `ECHILD` when there is no child.
pub fn reap(pid: Option<i32>) -> Result<Option<Reaped>, Errno> {
    let mut status: libc::c_int = 0;
    // SAFETY: all-zero bytes are a valid `rusage`, which is made of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    let (who, flags) = pid.map_or((-1, libc::WNOHANG), |pid| (pid, 0));
    let got = loop {
        // SAFETY: both pointers are to locals of the right type.
        let rc = unsafe { libc::wait4(who, &raw mut status, flags, &raw mut usage) };
        match Errno::result(rc) {
            Err(Errno::EINTR) => {}
            other => break other?,
        }
    };
    if got == 0 {
        return Ok(None);
    }
    let status = if libc::WIFEXITED(status) {
        Status::Exit(u8::try_from(libc::WEXITSTATUS(status)).unwrap_or(u8::MAX))
    } else {
        Status::Signal(u8::try_from(libc::WTERMSIG(status)).unwrap_or(u8::MAX))
    };
    let micros = |time: libc::timeval| {
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
    };
    Ok(Some(Reaped {
        pid: got,
        status,
        cpu_us: micros(usage.ru_utime).saturating_add(micros(usage.ru_stime)),
        rss_peak_bytes: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1_024),
    }))
}

/// Waits for a child that sends no signal at its end and is invisible to ordinary waiting.
pub(super) fn reap_clone(pid: i32) -> Result<(), Errno> {
    loop {
        // SAFETY: no status is asked for.
        let rc = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
        match Errno::result(rc) {
            Err(Errno::EINTR) => {}
            other => return other.map(drop),
        }
    }
}
