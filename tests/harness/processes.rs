//! Finds and ends the processes that belong to a test's folder, however they were started and whoever their parent is.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A process that belongs to a folder.
#[derive(Debug)]
pub struct Process {
    pid: i32,
    parent: i32,
    command: String,
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (parent {}): {}", self.pid, self.parent, self.command)
    }
}

/// All processes that name the folder in their environment or arguments or stand in it, and their descendants.
/// A job that escaped its session and its supervisor still carries one of these marks.
pub fn of(folder: &Path) -> Vec<Process> {
    let mut all: Vec<(Process, bool)> = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if pid != std::process::id().cast_signed()
            && let Some(found) = read(pid, folder)
        {
            all.push(found);
        }
    }
    let mut marked: BTreeSet<i32> =
        all.iter().filter(|(_, mark)| *mark).map(|(process, _)| process.pid).collect();
    loop {
        let children = all.iter().filter(|(process, _)| marked.contains(&process.parent));
        let more: Vec<i32> =
            children.map(|(process, _)| process.pid).filter(|pid| !marked.contains(pid)).collect();
        if more.is_empty() {
            break;
        }
        marked.extend(more);
    }
    all.into_iter().map(|(process, _)| process).filter(|process| marked.contains(&process.pid)).collect()
}

/// Kills all processes of a folder, again and again, until none is left; returns those that would not go.
pub fn end_all(folder: &Path, patience: Duration) -> Vec<Process> {
    let deadline = Instant::now() + patience;
    loop {
        let left = of(folder);
        if left.is_empty() || Instant::now() > deadline {
            return left;
        }
        for process in left {
            // It may have gone by itself meanwhile.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// The process exists and is not a zombie.
pub fn is_alive(pid: Pid) -> bool {
    stat(pid.as_raw()).is_some()
}

/// A process, and whether it carries a mark of the folder. None if it is gone or a zombie.
fn read(pid: i32, folder: &Path) -> Option<(Process, bool)> {
    let parent = stat(pid)?;
    let mark = folder.as_os_str().as_bytes();
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let stands = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|place| place.starts_with(folder));
    let named =
        [&arguments, &environment].iter().any(|text| text.windows(mark.len()).any(|part| part == mark));
    let command = String::from_utf8_lossy(&arguments).replace('\0', " ").trim().to_owned();
    Some((Process { pid, parent, command }, stands || named))
}

/// The parent of a process that is there and no zombie.
fn stat(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything: what counts comes after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}
