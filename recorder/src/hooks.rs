//! The functions that stand in for those of the C library, under its names and with its contracts.
#![allow(missing_docs, clippy::missing_safety_doc, reason = "their meaning and contract are the C library's")]

use std::ffi::CStr;

use libc::{AT_FDCWD, c_char, c_int, c_long, c_uint, c_void, iovec, mode_t, off_t, size_t, ssize_t};

use crate::record::{self, Kind};

fn int(result: c_long) -> c_int {
    c_int::try_from(result).unwrap_or(-1)
}

/// The bytes of a path without its zero.
unsafe fn bytes<'a>(path: *const c_char) -> &'a [u8] {
    if path.is_null() {
        return &[];
    }
    // SAFETY: a path of the caller ends in a zero.
    unsafe { CStr::from_ptr(path) }.to_bytes()
}

unsafe fn open_any(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: the caller's path, here and below.
    let name = unsafe { bytes(path) };
    let path = record::instead_of(name).map_or(path, |other| other.as_ptr().cast());
    let call = || unsafe { libc::syscall(libc::SYS_openat, folder, path, flags, c_uint::from(mode)) };
    let Some(below) = record::below(folder, name) else { return int(call()) };
    let _order = record::order();
    let descriptor = int(call());
    if descriptor >= 0 {
        let handle = record::follow(descriptor, &below);
        let word = |flag: c_int| u64::from(flags & flag != 0);
        record::note(Kind::Open, handle, [word(libc::O_CREAT), word(libc::O_TRUNC)], &below, &[]);
    }
    descriptor
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: passed on. The C library's function takes the mode only sometimes; it is read in vain otherwise.
    unsafe { open_any(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_any(AT_FDCWD, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_any(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn openat64(folder: c_int, path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    // SAFETY: as `open`.
    unsafe { open_any(folder, path, flags, mode) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn close(descriptor: c_int) -> c_int {
    record::forget(descriptor);
    // SAFETY: the caller's descriptor.
    int(unsafe { libc::syscall(libc::SYS_close, descriptor) })
}

/// Writes at the file's own place, which says afterwards where that was.
unsafe fn write_here(
    descriptor: c_int,
    call: impl Fn() -> c_long,
    copy: impl Fn(usize) -> Vec<u8>,
) -> ssize_t {
    let Some((handle, _)) = record::handle(descriptor) else { return call() as ssize_t };
    let _order = record::order();
    let written = call();
    if let Ok(count @ 1..) = usize::try_from(written) {
        // SAFETY: only numbers.
        let end = unsafe { libc::syscall(libc::SYS_lseek, descriptor, 0, libc::SEEK_CUR) };
        let from = u64::try_from(end).unwrap_or(0).saturating_sub(count as u64);
        record::note(Kind::Write, handle, [from, 0], &[], &copy(count));
    }
    written as ssize_t
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(descriptor: c_int, from: *const c_void, count: size_t) -> ssize_t {
    // SAFETY: the caller's buffer has `count` bytes.
    let call = || unsafe { libc::syscall(libc::SYS_write, descriptor, from, count) };
    let copy = |written: usize| unsafe { std::slice::from_raw_parts(from.cast::<u8>(), written) }.to_vec();
    unsafe { write_here(descriptor, call, copy) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(descriptor: c_int, parts: *const iovec, count: c_int) -> ssize_t {
    // SAFETY: the caller's parts are `count`, and each is as long as it says.
    let call = || unsafe { libc::syscall(libc::SYS_writev, descriptor, parts, count) };
    let copy = |written: usize| {
        let parts = unsafe { std::slice::from_raw_parts(parts, usize::try_from(count).unwrap_or(0)) };
        let mut all = Vec::with_capacity(written);
        for part in parts {
            all.extend_from_slice(unsafe {
                std::slice::from_raw_parts(part.iov_base.cast::<u8>(), part.iov_len)
            });
        }
        all.truncate(written);
        all
    };
    unsafe { write_here(descriptor, call, copy) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite(descriptor: c_int, from: *const c_void, count: size_t, at: off_t) -> ssize_t {
    // SAFETY: the caller's buffer has `count` bytes, here and below.
    let call = || unsafe { libc::syscall(libc::SYS_pwrite64, descriptor, from, count, at) } as ssize_t;
    let Some((handle, _)) = record::handle(descriptor) else { return call() };
    let _order = record::order();
    let written = call();
    if let Ok(count @ 1..) = usize::try_from(written) {
        let bytes = unsafe { std::slice::from_raw_parts(from.cast::<u8>(), count) };
        record::note(Kind::Write, handle, [u64::try_from(at).unwrap_or(0), 0], &[], bytes);
    }
    written
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn pwrite64(
    descriptor: c_int,
    from: *const c_void,
    count: size_t,
    at: off_t,
) -> ssize_t {
    // SAFETY: passed on.
    unsafe { pwrite(descriptor, from, count, at) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate(descriptor: c_int, length: off_t) -> c_int {
    // SAFETY: only numbers.
    let call = || int(unsafe { libc::syscall(libc::SYS_ftruncate, descriptor, length) });
    let Some((handle, _)) = record::handle(descriptor) else { return call() };
    let _order = record::order();
    let result = call();
    if result == 0 {
        record::note(Kind::Truncate, handle, [u64::try_from(length).unwrap_or(0), 0], &[], &[]);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn ftruncate64(descriptor: c_int, length: off_t) -> c_int {
    // SAFETY: passed on.
    unsafe { ftruncate(descriptor, length) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate(descriptor: c_int, at: off_t, length: off_t) -> c_int {
    let order = record::handle(descriptor).map(|(handle, _)| (handle, record::order()));
    // SAFETY: only numbers; the place of the error number is this thread's.
    let result = unsafe { libc::syscall(libc::SYS_fallocate, descriptor, 0, at, length) };
    if result != 0 {
        return unsafe { *libc::__errno_location() };
    }
    if let Some((handle, _order)) = order {
        let numbers = [at, length].map(|number| u64::try_from(number).unwrap_or(0));
        record::note(Kind::Allocate, handle, numbers, &[], &[]);
    }
    0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn posix_fallocate64(descriptor: c_int, at: off_t, length: off_t) -> c_int {
    // SAFETY: passed on.
    unsafe { posix_fallocate(descriptor, at, length) }
}

unsafe fn sync_any(number: c_long, descriptor: c_int) -> c_int {
    // SAFETY: only numbers.
    let call = || int(unsafe { libc::syscall(number, descriptor) });
    match record::handle(descriptor) {
        None => call(),
        Some((_, true)) => 0,
        Some((handle, false)) => {
            let sync = record::sync_number();
            drop(record::order());
            record::note(Kind::SyncBegins, handle, [sync, 0], &[], &[]);
            let result = call();
            if result == 0 {
                record::note(Kind::SyncDone, handle, [sync, 0], &[], &[]);
            }
            result
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fsync(descriptor: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { sync_any(libc::SYS_fsync, descriptor) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn fdatasync(descriptor: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { sync_any(libc::SYS_fdatasync, descriptor) }
}

/// Two paths of one change.
unsafe fn pair(kind: Kind, from: *const c_char, to: *const c_char, call: impl Fn() -> c_int) -> c_int {
    // SAFETY: the caller's paths.
    let (from, to) = unsafe { (bytes(from), bytes(to)) };
    let (from, to) = (record::below(AT_FDCWD, from), record::below(AT_FDCWD, to));
    let (Some(from), Some(to)) = (from, to) else { return call() };
    let _order = record::order();
    let result = call();
    if result == 0 {
        record::note(kind, 0, [0, 0], &from, &to);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's paths.
    let call = || int(unsafe { libc::syscall(libc::SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) });
    unsafe { pair(Kind::Rename, from, to, call) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn link(from: *const c_char, to: *const c_char) -> c_int {
    // SAFETY: the caller's paths.
    let call = || int(unsafe { libc::syscall(libc::SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0) });
    unsafe { pair(Kind::Link, from, to, call) }
}

unsafe fn remove(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: the caller's path.
    let call = || int(unsafe { libc::syscall(libc::SYS_unlinkat, folder, path, flags) });
    let Some(below) = record::below(folder, unsafe { bytes(path) }) else { return call() };
    let _order = record::order();
    let result = call();
    if result == 0 {
        record::note(Kind::Remove, 0, [0, 0], &below, &[]);
    }
    result
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlink(path: *const c_char) -> c_int {
    // SAFETY: passed on.
    unsafe { remove(AT_FDCWD, path, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn unlinkat(folder: c_int, path: *const c_char, flags: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { remove(folder, path, flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn rmdir(path: *const c_char) -> c_int {
    // SAFETY: passed on.
    unsafe { remove(AT_FDCWD, path, libc::AT_REMOVEDIR) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mkdir(path: *const c_char, mode: mode_t) -> c_int {
    // SAFETY: the caller's path.
    let call = || int(unsafe { libc::syscall(libc::SYS_mkdirat, AT_FDCWD, path, c_uint::from(mode)) });
    let Some(below) = record::below(AT_FDCWD, unsafe { bytes(path) }) else { return call() };
    let _order = record::order();
    let result = call();
    if result == 0 {
        record::note(Kind::MakeFolder, 0, [0, 0], &below, &[]);
    }
    result
}
