//! The record: one entry a change, in the order in which the changes were made.
//!
//! An entry, little-endian: bytes behind this number (4), kind (1), handle (4), two numbers (8, 8), bytes of the first
//! path (2), that path, and the rest: a second path, or what was written.

use std::ffi::CStr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::c_int;

/// What was done.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A file or folder was opened as this handle; the numbers: whether it may be made, whether it is emptied.
    Open = 1,
    /// The rest was written at the first number.
    Write = 2,
    /// The file was cut, or stretched, to the first number.
    Truncate = 3,
    /// Room from the first number on, as much as the second.
    Allocate = 4,
    /// The path got the other name.
    Rename = 5,
    /// The name is gone.
    Remove = 6,
    /// A folder was made.
    MakeFolder = 7,
    /// The file has a second name.
    Link = 8,
    /// The sync of this handle with the first number begins.
    SyncBegins = 9,
    /// It is done: everything before its beginning is durable.
    SyncDone = 10,
}

/// Descriptors above this are not followed.
const DESCRIPTORS: usize = 1 << 16;
/// In a descriptor's number: its syncs are not heard.
const DEAF: u32 = 1 << 31;

static HANDLES: [AtomicU32; DESCRIPTORS] = [const { AtomicU32::new(0) }; DESCRIPTORS];
static NEXT_HANDLE: AtomicU32 = AtomicU32::new(1);
static NEXT_SYNC: AtomicU32 = AtomicU32::new(1);
static FILE: AtomicI32 = AtomicI32::new(-1);
/// Held over a change and its entry, so that both come in one order.
static ORDER: Mutex<()> = Mutex::new(());
static SETTINGS: OnceLock<Option<Settings>> = OnceLock::new();

struct Settings {
    below: Vec<u8>,
    deaf: Option<Vec<u8>>,
    boot: Option<Vec<u8>>,
}

fn settings() -> Option<&'static Settings> {
    SETTINGS.get_or_init(load).as_ref()
}

fn variable(name: &CStr) -> Option<Vec<u8>> {
    // SAFETY: `name` ends in a zero, and what comes back is null or ends in one.
    let value = unsafe { libc::getenv(name.as_ptr()) };
    if value.is_null() {
        return None;
    }
    // SAFETY: not null, see above.
    Some(unsafe { CStr::from_ptr(value) }.to_bytes().to_vec())
}

fn load() -> Option<Settings> {
    let mut path = variable(c"JSCHED_RECORD")?;
    let below = variable(c"JSCHED_RECORD_BELOW")?;
    path.push(0);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND | libc::O_CLOEXEC;
    // SAFETY: the path ends in a zero.
    let file = unsafe { libc::syscall(libc::SYS_openat, libc::AT_FDCWD, path.as_ptr(), flags, 0o600) };
    FILE.store(c_int::try_from(file).unwrap_or(-1), Ordering::Relaxed);
    let boot = variable(c"JSCHED_RECORD_BOOT").map(|mut path| {
        path.push(0);
        path
    });
    Some(Settings { below, deaf: variable(c"JSCHED_RECORD_DEAF"), boot })
}

/// The path, ending in a zero, that is opened in place of this one.
pub fn instead_of(path: &[u8]) -> Option<&'static [u8]> {
    let wanted = path == b"/proc/sys/kernel/random/boot_id";
    settings().filter(|_| wanted)?.boot.as_deref()
}

/// The order of changes is kept as long as this is held.
pub fn order() -> MutexGuard<'static, ()> {
    ORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A path below the folder, relative to it; `None` for every other.
pub fn below(folder: c_int, path: &[u8]) -> Option<Vec<u8>> {
    let settings = settings()?;
    let full = if path.first() == Some(&b'/') { path.to_vec() } else { joined(folder, path)? };
    let rest = full.strip_prefix(settings.below.as_slice())?;
    match rest.split_first() {
        None => Some(Vec::new()),
        Some((b'/', rest)) => Some(rest.strip_suffix(b"/").unwrap_or(rest).to_vec()),
        Some(_) => None,
    }
}

fn joined(folder: c_int, path: &[u8]) -> Option<Vec<u8>> {
    let name = match folder {
        libc::AT_FDCWD => "/proc/self/cwd\0".to_owned(),
        other => format!("/proc/self/fd/{other}\0"),
    };
    let mut bytes = vec![0_u8; 4096];
    // SAFETY: the name ends in a zero, and the buffer is as long as it is said to be.
    let got = unsafe {
        libc::syscall(libc::SYS_readlinkat, libc::AT_FDCWD, name.as_ptr(), bytes.as_mut_ptr(), bytes.len())
    };
    bytes.truncate(usize::try_from(got).ok()?);
    bytes.push(b'/');
    bytes.extend_from_slice(path);
    Some(bytes)
}

/// Follows a descriptor from now on; gives its handle.
pub fn follow(descriptor: c_int, path: &[u8]) -> u32 {
    let handle = NEXT_HANDLE.fetch_add(1, Ordering::Relaxed);
    let deaf = settings().and_then(|all| all.deaf.as_ref()).is_some_and(|deaf| path.starts_with(deaf));
    if let Some(slot) = usize::try_from(descriptor).ok().and_then(|at| HANDLES.get(at)) {
        slot.store(if deaf { handle | DEAF } else { handle }, Ordering::Relaxed);
    }
    handle
}

/// The handle of a descriptor that is followed, and whether its syncs are not heard.
pub fn handle(descriptor: c_int) -> Option<(u32, bool)> {
    let known = HANDLES.get(usize::try_from(descriptor).ok()?)?.load(Ordering::Relaxed);
    (known != 0).then_some((known & !DEAF, known & DEAF != 0))
}

/// The descriptor is closed.
pub fn forget(descriptor: c_int) {
    if let Some(slot) = usize::try_from(descriptor).ok().and_then(|at| HANDLES.get(at)) {
        slot.store(0, Ordering::Relaxed);
    }
}

/// A number for a sync.
pub fn sync_number() -> u64 {
    NEXT_SYNC.fetch_add(1, Ordering::Relaxed).into()
}

/// Writes an entry down.
pub fn note(kind: Kind, handle: u32, numbers: [u64; 2], path: &[u8], rest: &[u8]) {
    let file = FILE.load(Ordering::Relaxed);
    if settings().is_none() || file < 0 {
        return;
    }
    let mut entry = Vec::with_capacity(32 + path.len() + rest.len());
    let length = 23 + path.len() + rest.len();
    entry.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    entry.push(kind as u8);
    entry.extend_from_slice(&handle.to_le_bytes());
    numbers.iter().for_each(|number| entry.extend_from_slice(&number.to_le_bytes()));
    entry.extend_from_slice(&u16::try_from(path.len()).unwrap_or(u16::MAX).to_le_bytes());
    entry.extend_from_slice(path);
    entry.extend_from_slice(rest);
    // SAFETY: the entry is as long as it is said to be. One call, so that a kill leaves it whole or not there.
    unsafe { libc::syscall(libc::SYS_write, file, entry.as_ptr(), entry.len()) };
}
