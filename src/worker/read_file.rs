//! Reads a window of a job's file for the controller. The file is opened as the user, by the rules of his own
//! shell, and only a regular one is read; the daemon's rights never open a user's path.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use tokio::task::spawn_blocking;
use tokio::time::Instant;

use super::accounts;
use super::launch::{How, LaunchError, Switch, open_as};
use crate::model::ids::Uid;
use crate::model::spec::PATH_BYTES_MAX;
use crate::wire::data::{CHUNK_BYTES_MAX, FileRead, From, ReadFile};

/// How often a file is looked at while somebody waits for more of it.
const POLL: Duration = Duration::from_millis(50);
/// The longest wait of one request; whoever wants to wait longer asks again.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How many lines at most are looked for from the end.
pub const LAST_LINES_BYTES_MAX: u64 = 64 << 20;
/// The most threads that may be busy with one user's files at once.
pub const THREADS_PER_USER_MAX: usize = 8;
const SCAN_BYTES: u64 = 64 << 10;

/// Reads what was asked for, waiting as long as asked when there is nothing yet.
pub async fn read(request: ReadFile) -> FileRead {
    let until = Instant::now() + Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
    let bytes_max = request.bytes.min(CHUNK_BYTES_MAX);
    loop {
        let (user, uid, path, from) = (request.user.clone(), request.uid, request.path.clone(), request.from);
        let opened = apart(uid, move || {
            let file = open(&user, uid, &path)?;
            window(&file, from, bytes_max).map(|window| (file, window)).map_err(|error| failed(&path, &error))
        });
        let answer = match opened.await {
            Ok((file, window)) => wait_for_more(uid, file, window, bytes_max, until).await,
            Err(refused) => refused,
        };
        // A job that has just been started has no file yet.
        let missing = matches!(answer, FileRead::Failed { missing: true, .. });
        if !missing || Instant::now() >= until {
            return answer;
        }
        tokio::time::sleep(POLL).await;
    }
}

struct Window {
    offset: u64,
    bytes: Vec<u8>,
    size: u64,
}

async fn wait_for_more(uid: Uid, file: File, mut window: Window, bytes_max: u32, until: Instant) -> FileRead {
    let file = Arc::new(file);
    while window.bytes.is_empty() && bytes_max > 0 && Instant::now() < until {
        tokio::time::sleep(POLL).await;
        let (file, offset, size) = (Arc::clone(&file), window.offset, window.size);
        let looked = apart(uid, move || {
            let look = || -> io::Result<Option<Window>> {
                // Truncated and written anew, or grown: whoever asked sees both by the size.
                if file.metadata()?.len() == size {
                    return Ok(None);
                }
                self::window(&file, From::Offset(offset), bytes_max).map(Some)
            };
            look().map_err(|error| FileRead::Failed { missing: false, text: error.to_string() })
        });
        match looked.await {
            Ok(Some(now)) if now.size < window.offset => return chunk(now),
            Ok(Some(now)) => window = now,
            Ok(None) => {}
            Err(failed) => return failed,
        }
    }
    chunk(window)
}

/// Touches a user's file on a thread apart. If his file system hangs, the thread hangs with it: he gets only so many
/// of them, and all others are served as before.
async fn apart<T: Send + 'static>(
    uid: Uid,
    work: impl FnOnce() -> Result<T, FileRead> + Send + 'static,
) -> Result<T, FileRead> {
    let failed = |text| FileRead::Failed { missing: false, text };
    let Some(thread) = Thread::of(uid) else {
        let text = format!(
            "{THREADS_PER_USER_MAX} reads of this user's files do not come back; a file system may hang"
        );
        return Err(failed(text));
    };
    let done = spawn_blocking(move || {
        let _thread = thread;
        work()
    });
    done.await.unwrap_or_else(|error| Err(failed(error.to_string())))
}

/// A thread that works for a user, counted as long as it does.
struct Thread(Uid);

static THREADS: Mutex<BTreeMap<Uid, usize>> = Mutex::new(BTreeMap::new());

impl Thread {
    fn of(uid: Uid) -> Option<Thread> {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        let count = threads.entry(uid).or_default();
        let free = *count < THREADS_PER_USER_MAX;
        *count += usize::from(free);
        // Made only if it is free: its end would take the lock that is held here.
        free.then(|| Thread(uid))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        let mut threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = threads.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                threads.remove(&self.0);
            }
        }
    }
}

fn chunk(window: Window) -> FileRead {
    FileRead::Chunk { offset: window.offset, bytes: window.bytes, size: window.size }
}

/// Opens the file as the user. Blocks.
fn open(user: &str, uid: Uid, path: &str) -> Result<File, FileRead> {
    let refused = |text: String| FileRead::Failed { missing: false, text };
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        return Err(refused(format!(
            "{path:.100}: only absolute paths of at most {PATH_BYTES_MAX} bytes are read"
        )));
    }
    // Root's own files are his to read where his jobs may run; whether they may is asked when they start.
    let account = accounts::look_up(user, uid, true).map_err(|error| refused(error.to_string()))?;
    let switch = Switch { uid: account.uid.0, gid: account.gid, groups: account.groups };
    let opened = open_as(account.switch.then_some(&switch), path, How::Read).map_err(|error| {
        let missing = matches!(&error, LaunchError::Step { errno: Errno::ENOENT | Errno::ENOTDIR, .. });
        FileRead::Failed { missing, text: error.to_string() }
    })?;
    let file = File::from(opened);
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(refused(format!("{path}: it is no regular file"))),
        Err(error) => Err(failed(path, &error)),
    }
}

fn failed(path: &str, error: &io::Error) -> FileRead {
    FileRead::Failed { missing: false, text: format!("{path}: {error}") }
}

fn window(file: &File, from: From, bytes_max: u32) -> io::Result<Window> {
    let size = file.metadata()?.len();
    let offset = match from {
        From::Offset(offset) => offset,
        From::LastLines(lines) => last_lines(file, size, lines)?,
    };
    let wanted = size.saturating_sub(offset).min(bytes_max.into());
    let mut bytes = vec![0; usize::try_from(wanted).unwrap_or_default()];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + read as u64) {
            Ok(0) => break,
            Ok(count) => read += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(read);
    Ok(Window { offset, bytes, size })
}

/// Where the last `lines` lines begin. What does not end in a newline is a line, too.
fn last_lines(file: &File, size: u64, lines: u32) -> io::Result<u64> {
    if lines == 0 {
        return Ok(size);
    }
    let lowest = size.saturating_sub(LAST_LINES_BYTES_MAX);
    let (mut end, mut missing) = (size, lines);
    let mut bytes = Vec::new();
    while end > lowest {
        let start = end.saturating_sub(SCAN_BYTES).max(lowest);
        bytes.resize(usize::try_from(end - start).unwrap_or_default(), 0);
        file.read_exact_at(&mut bytes, start)?;
        for (at, _) in bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n') {
            let position = start + at as u64;
            if position + 1 == size {
                continue;
            }
            missing -= 1;
            if missing == 0 {
                return Ok(position + 1);
            }
        }
        end = start;
    }
    Ok(lowest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn request(path: &std::path::Path, from: From, wait_ms: u32) -> ReadFile {
        let uid = Uid(nix::unistd::geteuid().as_raw());
        let path = path.to_str().unwrap().to_owned();
        ReadFile { user: "root".to_owned(), uid, path, from, bytes: u32::MAX, wait_ms }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_last_lines_are_the_last_lines(text in "[ab\n]{0,60}", lines in 0u32..8) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let at = last_lines(&file, text.len() as u64, lines).unwrap() as usize;
            let mut all: Vec<&str> = text.split_inclusive('\n').collect();
            let kept = all.split_off(all.len().saturating_sub(lines as usize));
            prop_assert_eq!(&text[at..], kept.concat());
        }
    }

    #[tokio::test]
    async fn a_window_never_passes_its_bounds_and_waits_for_more() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, vec![b'x'; CHUNK_BYTES_MAX as usize + 1]).unwrap();
        let FileRead::Chunk { bytes, size, .. } = read(request(&path, From::Offset(0), 0)).await else {
            panic!()
        };
        assert_eq!((bytes.len(), size), (CHUNK_BYTES_MAX as usize, u64::from(CHUNK_BYTES_MAX) + 1));
        let waiting = tokio::spawn(read(request(&path, From::Offset(size), 60_000)));
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"more").unwrap();
        let FileRead::Chunk { bytes, offset, .. } = waiting.await.unwrap() else { panic!() };
        assert_eq!((offset, &bytes[..]), (size, &b"more"[..]));
    }

    #[tokio::test]
    async fn a_user_whose_files_hang_holds_up_only_himself() {
        let (slow, other) = (Uid(4_000_000_001), Uid(4_000_000_002));
        let (release, hung) = std::sync::mpsc::channel::<()>();
        let hung = Arc::new(Mutex::new(hung));
        let reads: Vec<_> = (0..THREADS_PER_USER_MAX)
            .map(|_| {
                let hung = Arc::clone(&hung);
                tokio::spawn(apart(slow, move || Ok(hung.lock().is_ok_and(|hung| hung.recv().is_err()))))
            })
            .collect();
        while THREADS.lock().unwrap().get(&slow) != Some(&THREADS_PER_USER_MAX) {
            tokio::task::yield_now().await;
        }
        assert!(matches!(apart(slow, || Ok(())).await, Err(FileRead::Failed { .. })));
        assert_eq!(apart(other, || Ok(5)).await, Ok(5));
        drop(release);
        for read in reads {
            assert_eq!(read.await.unwrap(), Ok(true));
        }
        assert_eq!(apart(slow, || Ok(6)).await, Ok(6));
    }

    #[tokio::test]
    async fn what_is_no_file_of_the_users_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (path, gone) in [(folder.path().join("none"), true), (folder.path().to_owned(), false)] {
            let answer = read(request(&path, From::Offset(0), 0)).await;
            assert!(matches!(&answer, FileRead::Failed { missing, .. } if *missing == gone), "{answer:?}");
        }
        let relative = read(request(std::path::Path::new("etc/passwd"), From::Offset(0), 0)).await;
        assert!(matches!(relative, FileRead::Failed { missing: false, .. }));
        if nix::unistd::geteuid().is_root() {
            let secret = folder.path().join("secret");
            std::fs::write(&secret, "s").unwrap();
            std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            let as_nobody = ReadFile {
                user: "nobody".to_owned(),
                uid: Uid(65534),
                ..request(&secret, From::Offset(0), 0)
            };
            assert!(matches!(read(as_nobody).await, FileRead::Failed { .. }), "root's rights opened it");
        }
    }
}
