//! What a child does between clone and execve: bare system calls, no allocation, no lock, no panic.
//!
//! It shares our memory, and glibc's wrappers for user and group changes would try to change all our threads:
//! hence `syscall` for everything.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicU32, AtomicU64, Ordering};

use super::Switch;

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the numbers of the user and group system calls used here are those of 64-bit systems");

/// A step of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Step {
    /// Signals back to their defaults.
    Signals = 1,
    /// A session of its own.
    Session = 2,
    /// The out-of-memory score.
    OomScore = 3,
    /// Joining the control groups.
    Cgroup = 4,
    /// Resource limits.
    Limits = 5,
    /// Supplementary groups.
    Groups = 6,
    /// Primary group.
    Group = 7,
    /// User.
    User = 8,
    /// The look whether the switch took.
    Verify = 9,
    /// The working directory.
    WorkDir = 10,
    /// Standard input.
    Input = 11,
    /// Standard output.
    Output = 12,
    /// Standard error.
    Error = 13,
    /// No new privileges.
    Privileges = 14,
    /// Closing what is not for the job.
    Close = 15,
    /// Executing the program.
    Exec = 16,
    /// Opening a file (`open_as`).
    Open = 17,
}

impl Step {
    const ALL: [Step; 17] = [
        Step::Signals,
        Step::Session,
        Step::OomScore,
        Step::Cgroup,
        Step::Limits,
        Step::Groups,
        Step::Group,
        Step::User,
        Step::Verify,
        Step::WorkDir,
        Step::Input,
        Step::Output,
        Step::Error,
        Step::Privileges,
        Step::Close,
        Step::Exec,
        Step::Open,
    ];

    /// The step of that number; 0 is none.
    pub(super) fn from_number(number: u32) -> Option<Step> {
        Step::ALL.into_iter().find(|step| *step as u32 == number)
    }

    /// What could not be done, as an error says it.
    pub fn words(self) -> &'static str {
        match self {
            Step::Signals => "can't reset signals",
            Step::Session => "can't make a session",
            Step::OomScore => "can't reset the out-of-memory score",
            Step::Cgroup => "can't join the control group",
            Step::Limits => "can't set resource limits",
            Step::Groups => "can't set the supplementary groups",
            Step::Group => "can't switch to the user's group",
            Step::User => "can't switch to the user",
            Step::Verify => "the switch to the user did not take",
            Step::WorkDir => "can't change to the working directory",
            Step::Input => "can't open for standard input",
            Step::Output => "can't open for standard output",
            Step::Error => "can't open for standard error",
            Step::Privileges => "can't give up new privileges",
            Step::Close => "can't close descriptors (the kernel must be 5.9 or newer)",
            Step::Exec => "can't execute",
            Step::Open => "can't open",
        }
    }
}

/// A stream; a null path means: as standard output.
pub struct RawStream {
    pub path: *const libc::c_char,
    pub flags: libc::c_int,
}

/// All that a child needs. It reads it, and writes only `digits`, `starts`, `step` and `errno`.
pub struct Plan<'a> {
    /// Ends in a null.
    pub places: *const *const libc::c_char,
    pub direct_argv: *const *const libc::c_char,
    pub signals: u64,
    pub program: *const libc::c_char,
    pub argv: *const *const libc::c_char,
    pub envp: *const *const libc::c_char,
    pub digits: *mut u8,
    pub switch: *const Switch,
    pub umask: u32,
    pub work_dir: *const libc::c_char,
    pub streams: [RawStream; 3],
    pub cgroups: &'a [i32],
    pub reset_oom_score: bool,
    pub limits: &'a [(i32, u64, u64)],
    /// Where output and error begin in files that are appended to.
    pub starts: [AtomicU64; 2],
    pub step: AtomicU32,
    pub errno: AtomicI32,
}

/// The highest signal number of the kernel.
const SIGNALS_MAX: i32 = 64;
/// The kernel's signal set has this many bytes.
const SIGNAL_SET_BYTES: usize = 8;

/// Becomes the program of the plan, or says why not and exits.
pub extern "C" fn run(plan: *mut c_void) -> libc::c_int {
    // SAFETY: the launcher passes its `Plan`, which stays valid while we share its memory.
    let plan = unsafe { &*plan.cast_const().cast::<Plan<'_>>() };
    let step = become_program(plan);
    plan.errno.store(errno(), Ordering::Release);
    plan.step.store(step as u32, Ordering::Release);
    leave()
}

/// Ends this child alone.
pub fn leave() -> ! {
    loop {
        // SAFETY: ends the calling process, which is a thread group of its own.
        unsafe { libc::syscall(libc::SYS_exit_group, 127) };
    }
}

/// The error of the last system call; in memory shared with the sleeping parent, who does not need it.
pub fn errno() -> i32 {
    // SAFETY: the location is always valid in the calling thread.
    unsafe { *libc::__errno_location() }
}

/// Returns only when a step failed.
fn become_program(plan: &Plan<'_>) -> Step {
    if !reset_signals(plan.signals) {
        return Step::Signals;
    }
    // SAFETY: these calls take numbers, and pointers into the plan, which is valid; each is a bare system call
    // and concerns this child alone: it shares memory with the parent, but neither descriptors nor credentials
    // nor file system attributes nor signal handlers.
    unsafe {
        if libc::syscall(libc::SYS_setsid) < 0 {
            return Step::Session;
        }
        if plan.reset_oom_score && !write_to(c"/proc/self/oom_score_adj".as_ptr()) {
            return Step::OomScore;
        }
        for fd in plan.cgroups {
            if libc::syscall(libc::SYS_write, *fd, c"0".as_ptr(), 1) != 1 {
                return Step::Cgroup;
            }
        }
        for (resource, soft, hard) in plan.limits {
            let limit = [*soft, *hard];
            if libc::syscall(libc::SYS_prlimit64, 0, *resource, &raw const limit, 0) < 0 {
                return Step::Limits;
            }
        }
        if let Some(failed) = plan.switch.as_ref().and_then(switch_user) {
            return failed;
        }
        libc::syscall(libc::SYS_umask, plan.umask);
        if libc::syscall(libc::SYS_chdir, plan.work_dir) < 0 {
            return Step::WorkDir;
        }
        if let Some(failed) = open_streams(plan) {
            return failed;
        }
        if libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 {
            return Step::Privileges;
        }
        if libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) < 0 {
            return Step::Close;
        }
        if !plan.digits.is_null() {
            write_digits(plan.digits, libc::syscall(libc::SYS_getpid));
        }
        let none = 0u64;
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, 0, SIGNAL_SET_BYTES);
        let mut place = plan.places;
        while !(*place).is_null() {
            libc::syscall(libc::SYS_execve, *place, plan.direct_argv, plan.envp);
            place = place.add(1);
        }
        libc::syscall(libc::SYS_execve, plan.program, plan.argv, plan.envp);
    }
    Step::Exec
}

/// The signals that do not have their default action in this process, a bit each, the lowest for signal 1.
pub fn not_default() -> u64 {
    let mut found = 0;
    for signal in 1..=SIGNALS_MAX {
        let mut action = [0u64; 4];
        // SAFETY: writes `action`, which is as large as the kernel's structure; changes nothing.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                0,
                (&raw mut action).cast::<c_void>(),
                SIGNAL_SET_BYTES,
            )
        };
        if rc < 0 || action[0] != 0 {
            found |= 1 << (signal - 1);
        }
    }
    found
}

/// Sets these signals to their default. Ignored ones would stay ignored in the job, and a handler of ours must not
/// run in this child.
fn reset_signals(signals: u64) -> bool {
    // The kernel's own layout: handler, flags, restorer, mask; all zero means the default. It is made by hand
    // because glibc's call refuses two of the numbers.
    let default = [0u64; 4];
    for signal in 1..=SIGNALS_MAX {
        if signals & (1 << (signal - 1)) == 0 {
            continue;
        }
        // SAFETY: reads `default`, which is as large as the kernel's structure; changes this child's table only.
        let rc =
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &raw const default, 0, SIGNAL_SET_BYTES) };
        if rc < 0 {
            return false;
        }
    }
    true
}

/// Becomes the user for good, and looks whether it is so.
pub fn switch_user(switch: &Switch) -> Option<Step> {
    let (uid, gid) = (switch.uid, switch.gid);
    let (mut uids, mut gids) = ([u32::MAX; 3], [u32::MAX; 3]);
    // SAFETY: the pointers are to locals and to the list of groups, whose length is given.
    unsafe {
        if libc::syscall(libc::SYS_setgroups, switch.groups.len(), switch.groups.as_ptr()) < 0 {
            return Some(Step::Groups);
        }
        if libc::syscall(libc::SYS_setresgid, gid, gid, gid) < 0 {
            return Some(Step::Group);
        }
        if libc::syscall(libc::SYS_setresuid, uid, uid, uid) < 0 {
            return Some(Step::User);
        }
        let [a, b, c] = &mut uids;
        if libc::syscall(libc::SYS_getresuid, &raw mut *a, &raw mut *b, &raw mut *c) < 0 || uids != [uid; 3] {
            return Some(Step::Verify);
        }
        let [a, b, c] = &mut gids;
        if libc::syscall(libc::SYS_getresgid, &raw mut *a, &raw mut *b, &raw mut *c) < 0 || gids != [gid; 3] {
            return Some(Step::Verify);
        }
        // What was given up must not come back.
        if uid != 0 && libc::syscall(libc::SYS_setuid, 0) == 0 {
            return Some(Step::Verify);
        }
    }
    None
}

/// Opens the three streams in order onto 0, 1 and 2. The parent has those three open, so what is opened here
/// lies above them.
unsafe fn open_streams(plan: &Plan<'_>) -> Option<Step> {
    let [output, error] = &plan.starts;
    let targets = [(0, Step::Input, None), (1, Step::Output, Some(output)), (2, Step::Error, Some(error))];
    for (stream, (target, step, start)) in plan.streams.iter().zip(targets) {
        // SAFETY: the path is null or a text of the plan; the descriptors are this child's own.
        unsafe {
            let source = if stream.path.is_null() { 1 } else { open(stream.path, stream.flags) };
            if source < 0 || libc::syscall(libc::SYS_dup3, source, target, 0) < 0 {
                return Some(step);
            }
            // Opening did not wait for the other end of a FIFO; reading and writing will.
            if libc::syscall(libc::SYS_fcntl, target, libc::F_SETFL, stream.flags & libc::O_APPEND) < 0 {
                return Some(step);
            }
            if let Some(start) =
                start.filter(|_| stream.flags & (libc::O_APPEND | libc::O_TRUNC) == libc::O_APPEND)
            {
                // What is no file has no end, and begins at 0.
                let end = libc::syscall(libc::SYS_lseek, target, 0, libc::SEEK_END);
                start.store(u64::try_from(end).unwrap_or(0), Ordering::Release);
            }
        }
    }
    None
}

/// Opens as whoever this child is now. The mode of a new file is what the umask leaves of 0666.
///
/// # Safety
/// `path` must be a text that ends in NUL.
pub unsafe fn open(path: *const libc::c_char, flags: libc::c_int) -> libc::c_long {
    // SAFETY: promised by the caller.
    unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path, flags, 0o666) }
}

unsafe fn write_to(path: *const libc::c_char) -> bool {
    // SAFETY: the path is a constant; the descriptor is closed before the job begins.
    unsafe {
        let fd = open(path, libc::O_WRONLY | libc::O_CLOEXEC);
        fd >= 0 && libc::syscall(libc::SYS_write, fd, c"0".as_ptr(), 1) == 1
    }
}

/// Writes a positive number in decimal; the place has room for 11 digits and holds zeros.
unsafe fn write_digits(place: *mut u8, number: libc::c_long) {
    let mut divisor: libc::c_long = 1;
    while number.wrapping_div(divisor) >= 10 {
        divisor = divisor.wrapping_mul(10);
    }
    let mut at = place;
    while divisor > 0 {
        let digit = number.wrapping_div(divisor).wrapping_rem(10);
        // SAFETY: a pid has at most 10 digits.
        unsafe {
            at.write(b'0'.wrapping_add(digit as u8));
            at = at.add(1);
        }
        divisor = divisor.wrapping_div(10);
    }
}
