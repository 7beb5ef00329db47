//! The stack on which a child runs until it calls execve, and the clone call itself.

use std::ffi::c_void;

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow};

const STACK_BYTES: usize = 64 << 10;
const GUARD_BYTES: usize = 64 << 10;

/// A mapping with an unreachable page range below the stack, so that an overrun ends the child and hurts nobody.
#[derive(Debug)]
pub struct Stack {
    base: *mut c_void,
}

// SAFETY: the mapping belongs to this value alone, and is used through `&mut self` only.
unsafe impl Send for Stack {}

/// What a child runs.
pub type Entry = extern "C" fn(*mut c_void) -> libc::c_int;

impl Stack {
    /// Maps one.
    pub fn new() -> Result<Stack, Errno> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK;
        // SAFETY: a fresh anonymous mapping at an address that the kernel chooses touches nothing of ours.
        let base = unsafe {
            libc::mmap(std::ptr::null_mut(), GUARD_BYTES + STACK_BYTES, libc::PROT_NONE, flags, -1, 0)
        };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let stack = Stack { base };
        // SAFETY: the range lies inside the mapping made above.
        let rc = unsafe {
            libc::mprotect(base.byte_add(GUARD_BYTES), STACK_BYTES, libc::PROT_READ | libc::PROT_WRITE)
        };
        Errno::result(rc).map(|_| stack)
    }

    /// Makes a child that runs `entry(plan)` on this stack, with all signals blocked, so that no handler of ours
    /// runs in it. Gives its pid, and its pidfd if `flags` asks for one, else -1.
    ///
    /// # Safety
    /// `flags` must hold CLONE_VM and CLONE_VFORK; `entry` must make bare system calls only and end in execve or
    /// exit; `plan` must be what it expects and stay valid during the call.
    pub unsafe fn clone(
        &mut self,
        entry: Entry,
        plan: *const c_void,
        flags: libc::c_int,
    ) -> Result<(i32, i32), Errno> {
        let mut pidfd: libc::c_int = -1;
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: the top of the stack lies at the end of our mapping and is aligned to a page; the rest is
        // promised by the caller. With CLONE_PIDFD the kernel stores the descriptor through the fifth argument.
        let pid = unsafe {
            let top = self.base.byte_add(GUARD_BYTES + STACK_BYTES);
            libc::clone(entry, top, flags, plan.cast_mut(), &raw mut pidfd)
        };
        let errno = Errno::last();
        let restored = old.thread_set_mask();
        if pid < 0 {
            return Err(errno);
        }
        debug_assert!(restored.is_ok());
        Ok((pid, pidfd))
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nothing runs on it: every child has left it before `clone`
        // returned.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}
