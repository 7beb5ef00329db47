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

    /// The same for a child that is born in the control group of version 2 whose folder is open as `group`. Fails
    /// where the kernel, or a filter in front of it, does not have that.
    ///
    /// # Safety
    /// As of [`Stack::clone`].
    pub unsafe fn clone_into(
        &mut self,
        entry: Entry,
        plan: *const c_void,
        flags: libc::c_int,
        group: i32,
    ) -> Result<(i32, i32), Errno> {
        let mut pidfd: libc::c_int = -1;
        // In the older call the low byte of the flags is the signal.
        let signal = flags & 0xff;
        let arguments = CloneArguments {
            flags: u64::from((flags ^ signal).cast_unsigned()) | CLONE_INTO_CGROUP,
            pidfd: (&raw mut pidfd) as u64,
            exit_signal: u64::from(signal.cast_unsigned()),
            // SAFETY: the place lies inside our mapping.
            stack: unsafe { self.base.byte_add(GUARD_BYTES) } as u64,
            stack_size: STACK_BYTES as u64,
            cgroup: u64::try_from(group).map_err(|_| Errno::EBADF)?,
            ..CloneArguments::default()
        };
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: promised by the caller; the arguments describe our stack.
        let result = unsafe { clone3(&arguments, entry, plan) };
        let restored = old.thread_set_mask();
        debug_assert!(restored.is_ok());
        match i32::try_from(result) {
            Ok(pid) if pid > 0 => Ok((pid, pidfd)),
            Ok(errno) => Err(Errno::from_raw(-errno)),
            Err(_) => Err(Errno::EINVAL),
        }
    }
}

/// What the kernel's clone3 takes, in its order.
#[derive(Debug, Default)]
#[repr(C)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Be born in the control group that is open as `cgroup`; since Linux 5.7.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// The kernel makes a child; both come back here, the child with the new stack, from which it goes to `entry`.
///
/// # Safety
/// As of [`Stack::clone_into`]; `arguments` must describe a stack, and share memory as vfork does.
unsafe fn clone3(arguments: &CloneArguments, entry: Entry, plan: *const c_void) -> isize {
    let result: isize;
    // SAFETY: the parent loses what a system call loses; the child never comes out of the block.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r9",
            "call r8",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 as isize => result,
            in("rdi") std::ptr::from_ref(arguments),
            in("rsi") size_of::<CloneArguments>(),
            in("r8") entry as usize,
            in("r9") plan,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        std::arch::asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x0, x10",
            "blr x9",
            "brk #1",
            "2:",
            inlateout("x0") std::ptr::from_ref(arguments) => result,
            in("x1") size_of::<CloneArguments>(),
            in("x8") libc::SYS_clone3,
            in("x9") entry as usize,
            in("x10") plan,
        );
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        let _ = (arguments, entry, plan);
        result = -(libc::ENOSYS as isize);
    }
    result
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `new` and nothing runs on it: every child has left it before `clone`
        // returned.
        unsafe { libc::munmap(self.base, GUARD_BYTES + STACK_BYTES) };
    }
}
