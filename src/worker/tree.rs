//! Trees of processes: who belongs to whom, and ending every one of them.
//!
//! Where there are no control groups, a process belongs to an attempt if it descends from its first process, is
//! in its session, was seen in its tree before, or carries the attempt's mark in its environment. Orphans come to
//! the supervisor, which is their subreaper, so that while it lives nothing gets out of its tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use super::cgroup;
use super::launch::PidFd;
use crate::wire::supervisor::Cgroups;

/// The variable that marks an attempt's processes; its value is `SUPERVISOR.ORDINAL.ATTEMPT`.
pub const MARK_VARIABLE: &str = "JSCHED_MARK";
/// How long `end_all` tries before it gives up.
pub const END_ALL_PATIENCE: Duration = Duration::from_secs(20);

const PASS_PAUSE: Duration = Duration::from_millis(5);
/// The most bytes of an environment that are searched for a mark.
const ENVIRON_BYTES_MAX: u64 = 8 << 20;

/// The bytes of the kernel's name for a program.
const PROGRAM_BYTES: usize = 15;

/// A process as the kernel's table shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    /// Its parent's number.
    pub parent: i32,
    /// Its session.
    pub session: i32,
    /// When it was started, in clock ticks since boot: with the number, its identity.
    pub start_ticks: u64,
    /// The kernel's letter for its state.
    pub state: u8,
    /// How many threads it has.
    pub threads: u64,
    /// Processor time of it and of those it has waited for, in clock ticks.
    pub cpu_ticks: u64,
    /// Its resident memory in pages.
    pub resident_pages: u64,
    /// The kernel's name for the program it runs, cut to 15 bytes: another one after it has executed another.
    pub program: [u8; PROGRAM_BYTES],
}

impl Process {
    /// Whether anything of it can still run: not if it only waits to be reaped.
    pub fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X') || self.threads > 1
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Sends a signal to this very process. Done too if it is gone.
    pub fn signal(&self, signal: i32) -> Result<(), Errno> {
        let done = PidFd::open(self.pid).and_then(|handle| match process(self.pid) {
            Some(now) if now.start_ticks == self.start_ticks => handle.signal(signal),
            _ => Ok(()),
        });
        if done == Err(Errno::ESRCH) { Ok(()) } else { done }
    }
}

/// The processes of this host by number.
pub type Table = BTreeMap<i32, Process>;

/// Reads the kernel's table.
pub fn table() -> Table {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Table::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| process(pid).map(|process| (pid, process))).collect()
}

/// Reads one process; `None` if there is none.
pub fn process(pid: i32) -> Option<Process> {
    parse_stat(&std::fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The kernel's list of the children of a process that has one thread.
#[derive(Debug)]
pub struct Children(Option<File>);

impl Children {
    /// Of the calling thread, which must be the process's only one.
    pub fn own() -> Children {
        Children(File::open("/proc/thread-self/children").ok())
    }

    /// Who they are now; `None` where the kernel does not list them.
    pub fn pids(&self) -> Option<Vec<i32>> {
        let file = self.0.as_ref()?;
        let mut text = Vec::new();
        let mut piece = [0; 4_096];
        loop {
            let length = file.read_at(&mut piece, text.len() as u64).ok()?;
            if length == 0 {
                break;
            }
            text.extend_from_slice(piece.get(..length)?);
        }
        let text = String::from_utf8(text).ok()?;
        Some(text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
    }
}

/// `roots`, as far as they are there, and all that descends from them.
pub fn with_descendants(table: &Table, roots: impl IntoIterator<Item = i32>) -> BTreeSet<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for process in table.values() {
        children.entry(process.parent).or_default().push(process.pid);
    }
    let mut found = BTreeSet::new();
    let mut left: Vec<i32> = roots.into_iter().filter(|pid| table.contains_key(pid)).collect();
    while let Some(pid) = left.pop() {
        if found.insert(pid) {
            left.extend(children.get(&pid).into_iter().flatten());
        }
    }
    found
}

/// The value of the mark in the environment with which a process was started, if it can be read.
pub fn mark_of(pid: i32) -> Option<String> {
    use std::io::Read;
    let mut environment = Vec::new();
    let file = std::fs::File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRON_BYTES_MAX).read_to_end(&mut environment).ok()?;
    let prefix = format!("{MARK_VARIABLE}=");
    let value =
        environment.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(prefix.as_bytes()))?;
    String::from_utf8(value.to_vec()).ok()
}

/// What is left of a supervisor that died.
#[derive(Clone, Debug)]
pub struct Remains<'a> {
    /// Its id: the first part of its attempts' marks, and the name of its control group.
    pub supervisor: &'a str,
    /// First processes, with their start times, of attempts without a recorded end.
    pub firsts: &'a [(i32, u64)],
    /// The control group trees that it used.
    pub cgroups: Option<&'a Cgroups>,
}

/// Processes that could not be ended.
#[derive(Debug, thiserror::Error)]
#[error("{} processes of supervisor {supervisor} could not be killed within {} s ({pids:?}); \
         reboot the node before it is used again", pids.len(), END_ALL_PATIENCE.as_secs())]
pub struct StillThere {
    /// Whose.
    pub supervisor: String,
    /// Which.
    pub pids: Vec<i32>,
}

/// Kills every process that a dead supervisor left behind, and says so only when none is left. Blocks. Not for
/// use while the supervisor lives.
pub fn end_all(remains: &Remains<'_>) -> Result<(), StillThere> {
    let until = Instant::now() + END_ALL_PATIENCE;
    let mut members: BTreeMap<i32, u64> = BTreeMap::new();
    loop {
        if let Some(trees) = remains.cgroups {
            cgroup::kill_below(trees, remains.supervisor);
        }
        let table = table();
        let left = members_left(&table, remains, &mut members);
        left.iter().for_each(|process| {
            let _ = process.signal(libc::SIGKILL);
        });
        let grouped =
            remains.cgroups.map_or(Vec::new(), |trees| cgroup::pids_below(trees, remains.supervisor));
        if left.is_empty() && grouped.is_empty() {
            if let Some(trees) = remains.cgroups {
                cgroup::remove_below(trees, remains.supervisor);
            }
            return Ok(());
        }
        if Instant::now() >= until {
            let pids = left.iter().map(|process| process.pid).chain(grouped).collect();
            return Err(StillThere { supervisor: remains.supervisor.to_owned(), pids });
        }
        std::thread::sleep(PASS_PAUSE);
    }
}

/// The living members. `members` remembers them between passes, so that a child whose parent was killed meanwhile
/// stays known.
fn members_left(table: &Table, remains: &Remains<'_>, members: &mut BTreeMap<i32, u64>) -> Vec<Process> {
    let mark = format!("{}.", remains.supervisor);
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let is_known = |process: &Process, known: &BTreeMap<i32, u64>| {
        let same = |&(pid, ticks): &(i32, u64)| process.pid == pid && process.start_ticks == ticks;
        known.get(&process.pid) == Some(&process.start_ticks)
            || remains.firsts.iter().any(same)
            // A number can't be used again while a session of that number lives: its members are the attempt's,
            // unless a newer leader of that number is there.
            || remains.firsts.iter().any(|first| {
                process.session == first.0 && table.get(&first.0).is_none_or(|leader| leader.start_ticks == first.1)
            })
    };
    let roots: Vec<i32> = table
        .values()
        .filter(|process| process.pid > 1 && process.pid != own && process.is_alive())
        .filter(|process| {
            is_known(process, members) || mark_of(process.pid).is_some_and(|value| value.starts_with(&mark))
        })
        .map(|process| process.pid)
        .collect();
    let all = with_descendants(table, roots);
    let alive: Vec<Process> =
        all.iter().filter_map(|pid| table.get(pid)).filter(|process| process.is_alive()).copied().collect();
    members.extend(alive.iter().map(|process| (process.pid, process.start_ticks)));
    alive
}

/// Reads a line of `/proc/PID/stat`. The name in it may hold anything, also brackets: what follows the last one
/// is the kernel's.
fn parse_stat(line: &[u8]) -> Option<Process> {
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(line.split(|byte| *byte == b' ').next()?).ok()?.parse().ok()?;
    let rest = std::str::from_utf8(line.get(close + 2..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let open = line.iter().position(|byte| *byte == b'(')?;
    let mut program = [0; PROGRAM_BYTES];
    for (to, from) in program.iter_mut().zip(line.get(open + 1..close)?) {
        *to = *from;
    }
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Process {
        pid,
        state: *fields.first()?.as_bytes().first()?,
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        cpu_ticks: number(11)? + number(12)? + number(13)? + number(14)?,
        threads: number(17)?,
        start_ticks: number(19)?,
        resident_pages: number(21)?,
        program,
    })
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn names_in_stat_can_hold_anything() {
        let line = b"42 (a) R 1 (x) S 7 42 41 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 5 0 999 4096 17 18446744073709551615";
        let process = parse_stat(line).unwrap();
        assert_eq!((process.pid, process.parent, process.session, process.state), (42, 7, 41, b'S'));
        assert_eq!((process.cpu_ticks, process.threads), (100, 5));
        assert_eq!((process.start_ticks, process.resident_pages), (999, 17));
        assert_eq!(&process.program, b"a) R 1 (x\0\0\0\0\0\0");
        assert_eq!(parse_stat(b"42 (a"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn what_a_dead_supervisor_left_is_ended() {
        let id = format!("tree-test-{}", std::process::id());
        let mut first = Command::new("/bin/sh")
            .args(["-c", "setsid sleep 1000 & (setsid sh -c 'sleep 1000 & wait' &) ; wait"])
            .env(MARK_VARIABLE, format!("{id}.0.1"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let marked = |table: &Table| {
            let of = |pid: i32| mark_of(pid).is_some_and(|mark| mark.starts_with(&id));
            table.values().filter(|process| process.is_alive() && of(process.pid)).count()
        };
        while marked(&table()) < 4 {
            std::thread::yield_now();
        }
        end_all(&Remains { supervisor: &id, firsts: &[], cgroups: None }).unwrap();
        assert_eq!(marked(&table()), 0);
        first.wait().unwrap();
    }

    #[test]
    fn another_process_of_the_same_number_is_not_touched() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut process = process(i32::try_from(child.id()).unwrap()).unwrap();
        process.start_ticks -= 1;
        process.signal(libc::SIGKILL).unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        process.start_ticks += 1;
        process.signal(libc::SIGKILL).unwrap();
        assert!(!child.wait().unwrap().success());
        process.signal(libc::SIGKILL).unwrap();
    }
}
