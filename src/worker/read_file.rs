//! Reads a window of a job's file for the controller, in the user's own thread: what he can't read in his own shell is not
//! read here, and only a regular file is. Whoever waits for more is told by the kernel when there is some.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use tokio::sync::oneshot::Receiver;
use tokio::time::Instant;

use super::data::Output;
use super::readers::{Who, open_regular};
use super::watches::{FALLBACK, Watches};
use crate::model::spec::PATH_BYTES_MAX;
use crate::wire::data::{CHUNK_BYTES_MAX, FileRead, From, ReadFile};

/// The longest wait of one request; whoever wants to wait longer asks again.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// How long the user's file system may take.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How many lines at most are looked for from the end.
pub const LAST_LINES_BYTES_MAX: u64 = 64 << 20;
const SCAN_BYTES: u64 = 64 << 10;

/// Reads what was asked for, waiting as long as asked when there is nothing yet.
pub async fn read(request: ReadFile, output: &Output) -> FileRead {
    let until = Instant::now() + Duration::from_millis(request.wait_ms.into()).min(WAIT_MAX);
    let who = as_who(&request);
    let files = output.shipper.files(&request.attempt);
    let [out, error] = files.unwrap_or_default();
    let known = if request.error { error.or(out) } else { out };
    let (path, start) = known.map_or((request.path, None), |file| (file.path, Some(file.start)));
    if !path.starts_with('/') || path.len() > PATH_BYTES_MAX {
        let text = format!("{path:.100}: only absolute paths of at most {PATH_BYTES_MAX} bytes are read");
        return FileRead::Failed { missing: path.is_empty(), text };
    }
    // The last lines of what the attempt itself wrote.
    let (mut from, floor) = (request.from, start.unwrap_or(0));
    let bytes_max = request.bytes.min(CHUNK_BYTES_MAX);
    loop {
        let waits = bytes_max > 0 && Instant::now() < until;
        let (one, watches) = (path.clone(), waits.then(|| output.watches.clone()));
        // From there on it is a later attempt's.
        let end = output.shipper.end(&request.attempt, &path, floor);
        let own = floor..end.unwrap_or(u64::MAX);
        let looked = output.readers.run(&who, move || look(&one, from, own, bytes_max, watches.as_ref()));
        let (window, changed) = match tokio::time::timeout(PATIENCE, looked).await {
            Ok(Ok(Ok(looked))) => looked,
            Ok(Ok(Err(error))) => return failed(&path, &error),
            Ok(Err(text)) => return FileRead::Failed { missing: false, text },
            Err(_) => {
                return FileRead::Slow { text: format!("{path}: its file system does not answer") };
            }
        };
        let Window { offset, bytes, size } = window;
        // Made shorter than where the reader is: he sees that by the size.
        if !bytes.is_empty() || !waits || size < offset {
            return FileRead::Chunk { offset, bytes, size, start };
        }
        from = From::Offset(offset);
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            () = change(changed) => {}
        }
    }
}

fn as_who(request: &ReadFile) -> Who {
    Who::User { name: request.user.clone(), uid: request.uid }
}

/// Resolves when the file has changed, or is to be looked at in any case.
async fn change(changed: Option<Receiver<()>>) {
    if let Some(changed) = changed
        && changed.await.is_ok()
    {
        return;
    }
    tokio::time::sleep(FALLBACK).await;
}

struct Window {
    offset: u64,
    bytes: Vec<u8>,
    size: u64,
}

fn failed(path: &str, error: &io::Error) -> FileRead {
    let missing = matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory);
    FileRead::Failed { missing, text: format!("{path}: {error}") }
}

fn look(
    path: &str,
    from: From,
    own: Range<u64>,
    bytes_max: u32,
    watches: Option<&Watches>,
) -> io::Result<(Window, Option<Receiver<()>>)> {
    let (file, _) = open_regular(path)?;
    // The watch comes first: what is written from here on is either seen or told.
    let changed = watches.and_then(|watches| watches.watch(&file));
    Ok((window(&file, from, own, bytes_max)?, changed))
}

/// A window of the attempt's own part of a file.
fn window(file: &File, from: From, own: Range<u64>, bytes_max: u32) -> io::Result<Window> {
    let size = file.metadata()?.len().min(own.end);
    let offset = match from {
        From::Offset(offset) => offset,
        From::LastLines(lines) => last_lines(file, size, lines)?.max(own.start.min(size)),
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
    use crate::model::ids::{Attempt, JobId, Ordinal, TaskRef, Uid};
    use crate::wire::node::AttemptRef;
    use crate::worker::readers::Readers;
    use crate::worker::ship::Shipper;

    fn request(path: &std::path::Path, from: From, wait_ms: u32) -> ReadFile {
        let uid = Uid(nix::unistd::geteuid().as_raw());
        let path = path.to_str().unwrap().to_owned();
        let task = TaskRef { job: JobId(1), ordinal: Ordinal(0) };
        let attempt = AttemptRef { task, attempt: Attempt(1) };
        let (user, bytes, error) = ("root".to_owned(), u32::MAX, false);
        ReadFile { user, uid, path, attempt, error, from, bytes, wait_ms }
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

    fn output() -> Output {
        let (readers, watches) = (Readers::default(), Watches::new());
        Output { shipper: Shipper::new(readers.clone(), watches.clone()), readers, watches }
    }

    #[tokio::test]
    async fn a_window_never_passes_its_bounds_and_waits_for_more() {
        let (folder, output) = (tempfile::tempdir().unwrap(), output());
        let path = folder.path().join("out");
        std::fs::write(&path, vec![b'x'; CHUNK_BYTES_MAX as usize + 1]).unwrap();
        let FileRead::Chunk { bytes, size, .. } = read(request(&path, From::Offset(0), 0), &output).await
        else {
            panic!()
        };
        assert_eq!((bytes.len(), size), (CHUNK_BYTES_MAX as usize, u64::from(CHUNK_BYTES_MAX) + 1));
        let asked = request(&path, From::Offset(size), 60_000);
        let waiting = tokio::spawn(async move { read(asked, &output).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"more").unwrap();
        let FileRead::Chunk { bytes, offset, .. } = waiting.await.unwrap() else { panic!() };
        assert_eq!((offset, &bytes[..]), (size, &b"more"[..]));
    }

    #[tokio::test]
    async fn what_a_later_attempt_wrote_is_not_the_earlier_ones() {
        let (folder, output) = (tempfile::tempdir().unwrap(), output());
        let path = folder.path().join("out");
        std::fs::write(&path, "one\ntwo\n").unwrap();
        let asked = |attempt, from| {
            let request = request(&path, from, 0);
            let attempt = AttemptRef { attempt: Attempt(attempt), ..request.attempt };
            ReadFile { attempt, ..request }
        };
        output.shipper.know(asked(1, From::Offset(0)).attempt, path.to_str().unwrap(), 0);
        output.shipper.know(asked(2, From::Offset(0)).attempt, path.to_str().unwrap(), 4);
        for (attempt, from, text) in [
            (1, From::Offset(0), "one\n"),
            (1, From::Offset(4), ""),
            (1, From::LastLines(1), "one\n"),
            (2, From::Offset(4), "two\n"),
            (2, From::LastLines(5), "two\n"),
        ] {
            let FileRead::Chunk { bytes, size, .. } = read(asked(attempt, from), &output).await else {
                panic!()
            };
            assert_eq!(String::from_utf8(bytes).unwrap(), text, "{attempt} {from:?}");
            assert_eq!(size, if attempt == 1 { 4 } else { 8 });
        }
        // Nobody waits for a file system that hangs; he is told that it may pass.
        let (release, held) = std::sync::mpsc::channel::<()>();
        let (who, readers) = (as_who(&asked(1, From::Offset(0))), output.readers.clone());
        let hung = tokio::spawn(async move { readers.run(&who, move || held.recv().is_ok()).await });
        tokio::task::yield_now().await;
        let answer = read(asked(1, From::Offset(0)), &output).await;
        assert!(matches!(&answer, FileRead::Slow { .. }), "{answer:?}");
        release.send(()).unwrap();
        assert_eq!(hung.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn what_is_no_file_of_the_users_is_refused() {
        let (folder, output) = (tempfile::tempdir().unwrap(), output());
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let own = std::fs::File::open("/etc/passwd").unwrap();
        let through = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&own));
        let places = [
            (folder.path().join("none"), true),
            (folder.path().to_owned(), false),
            (fifo, false),
            ("/dev/zero".into(), false),
            (through.into(), false),
            ("/proc/self/environ".into(), false),
        ];
        for (path, gone) in places {
            let answer = read(request(&path, From::Offset(0), 0), &output).await;
            assert!(matches!(&answer, FileRead::Failed { missing, .. } if *missing == gone), "{answer:?}");
        }
        let relative = read(request(std::path::Path::new("etc/passwd"), From::Offset(0), 0), &output).await;
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
            assert!(
                matches!(read(as_nobody, &output).await, FileRead::Failed { .. }),
                "root's rights opened it"
            );
            // The other user's thread changed nothing for this one.
            assert!(matches!(
                read(request(&secret, From::Offset(0), 0), &output).await,
                FileRead::Chunk { .. }
            ));
        }
    }
}
