//! Lets a thread of ours act as a user towards the file system, and towards nothing else.

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};

use super::{LaunchError, Step, Switch};
use nix::errno::Errno;

/// From now on everything that the calling thread opens, watches or removes is judged by the kernel as if the user
/// did it: groups, file system uid and gid are those of `switch`, and with a uid other than 0 the rights that stand
/// above file permissions are gone. The other ids stay: the user can neither signal nor trace the thread. To be called
/// once, at the beginning of a thread that does nothing else.
///
/// # Errors
/// If it did not take; then the thread must end.
pub fn act_in_thread(switch: &Switch) -> Result<(), LaunchError> {
    let failed = |step, errno| LaunchError::Step { step, path: String::new(), errno };
    // glibc's call would change the groups of all threads.
    // SAFETY: reads the list, whose length is given; a bare system call that concerns the calling thread alone.
    let rc = unsafe { libc::syscall(libc::SYS_setgroups, switch.groups.len(), switch.groups.as_ptr()) };
    if rc < 0 {
        return Err(failed(Step::Groups, Errno::last()));
    }
    let (uid, gid) = (Uid::from_raw(switch.uid), Gid::from_raw(switch.gid));
    setfsgid(gid);
    setfsuid(uid);
    // These calls say only what was before; -1 changes nothing.
    let none = u32::MAX;
    if setfsgid(Gid::from_raw(none)) != gid || setfsuid(Uid::from_raw(none)) != uid {
        return Err(failed(Step::Verify, Errno::EPERM));
    }
    Ok(())
}
