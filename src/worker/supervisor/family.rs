//! Which processes belong to which of a supervisor's attempts.
//!
//! As subreaper the supervisor gets every orphan as its child. So nothing is left of an attempt whose first
//! process is gone if all children are first processes of others: that is the cheap question, asked at each end.
//! Only if it says otherwise is the whole table read.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::Attempt;
use crate::wire::supervisor::AttemptRef;
use crate::worker::cgroup::Group;
use crate::worker::tree::{self, Children, Process, Table};

/// How often new processes are looked for while stopping all.
const STOP_PASSES_MAX: u32 = 20;

/// How far up a process's ancestors are followed.
const ANCESTORS_MAX: u32 = 1_024;

/// Whether there are children that `is_expected` does not know; yes where the kernel does not say.
pub fn has_orphans(children: &Children, is_expected: impl Fn(i32) -> bool) -> bool {
    children.pids().is_none_or(|children| children.into_iter().any(|pid| !is_expected(pid)))
}

/// The attempt in whose tree a process is: the first of its ancestors that is a child of this process decides, since
/// orphans come here, too.
pub fn attempt_of(
    attempts: &BTreeMap<AttemptRef, Attempt>,
    pid: i32,
    strangers: &BTreeSet<i32>,
) -> Option<AttemptRef> {
    let own = i32::try_from(std::process::id()).ok()?;
    let mut process = tree::process(pid)?;
    for _ in 0..ANCESTORS_MAX {
        if process.parent == own {
            return if strangers.contains(&process.pid) { None } else { owner(attempts, &process) };
        }
        process = tree::process(process.parent)?;
    }
    None
}

/// The living processes of these attempts. `strangers`: children that belong to none.
pub fn members(
    attempts: &mut BTreeMap<AttemptRef, Attempt>,
    tasks: &[AttemptRef],
    strangers: &BTreeSet<i32>,
) -> BTreeMap<AttemptRef, Vec<Process>> {
    let mut found = BTreeMap::new();
    let mut rest = Vec::new();
    for task in tasks {
        match attempts.get(task).map(|attempt| &attempt.group) {
            Some(Some(group)) => {
                found.insert(*task, living(group));
            }
            Some(None) => rest.push(*task),
            None => {}
        }
    }
    if !rest.is_empty() {
        let mut all = by_descent(attempts, &tree::table(), strangers);
        found.extend(rest.into_iter().filter_map(|task| all.remove(&task).map(|members| (task, members))));
    }
    found
}

/// Of the attempts whose first process is gone, those of which something is left: there are children that nobody
/// knows.
pub fn left(
    attempts: &mut BTreeMap<AttemptRef, Attempt>,
    ended: &[AttemptRef],
    strangers: &BTreeSet<i32>,
) -> BTreeMap<AttemptRef, Vec<Process>> {
    let asked: Vec<AttemptRef> = ended
        .iter()
        .copied()
        .filter(|task| match attempts.get(task).map(|attempt| &attempt.group) {
            Some(Some(group)) => !group.pids().is_empty(),
            _ => true,
        })
        .collect();
    if asked.is_empty() {
        return BTreeMap::new();
    }
    let mut left = members(attempts, &asked, strangers);
    left.retain(|_, members| !members.is_empty());
    left
}

/// Stops an attempt's processes, until none appears any more that runs.
pub fn stop_all(attempt: &Attempt, members: &[Process]) {
    let mut running: Vec<Process> = members.to_vec();
    for _ in 0..STOP_PASSES_MAX {
        running.iter().for_each(|process| {
            let _ = process.signal(libc::SIGSTOP);
        });
        let table = tree::table();
        let roots = members.iter().map(|process| process.pid).chain([attempt.child.pid]);
        running = tree::with_descendants(&table, roots)
            .iter()
            .filter_map(|pid| table.get(pid))
            .filter(|process| process.is_alive() && !process.is_stopped())
            .copied()
            .collect();
        if running.is_empty() {
            return;
        }
    }
}

/// How much memory these processes hold, if it is more than `limit`. Resident memory is counted first; as it
/// counts shared pages for each process, the kernel is asked for the fair shares before anything is concluded.
pub fn memory_over(processes: &[Process], limit: u64, page_bytes: u64) -> Option<u64> {
    let resident: u64 =
        processes.iter().map(|process| process.resident_pages.saturating_mul(page_bytes)).sum();
    if resident <= limit {
        return None;
    }
    let shares = processes.iter().map(|process| {
        proportional_bytes(process.pid).unwrap_or(process.resident_pages.saturating_mul(page_bytes))
    });
    Some(shares.sum()).filter(|bytes| *bytes > limit)
}

fn proportional_bytes(pid: i32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1_024)
}

fn living(group: &Group) -> Vec<Process> {
    group.pids().into_iter().filter_map(tree::process).filter(Process::is_alive).collect()
}

/// All living processes below this one, by attempt; and remembers them there. An orphan belongs to the attempt in
/// which it was seen before, whose session it is in, or whose mark it carries; or to the only one there is.
fn by_descent(
    attempts: &mut BTreeMap<AttemptRef, Attempt>,
    table: &Table,
    strangers: &BTreeSet<i32>,
) -> BTreeMap<AttemptRef, Vec<Process>> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut roots: BTreeMap<AttemptRef, BTreeSet<i32>> = BTreeMap::new();
    for child in table.values().filter(|process| process.parent == own && !strangers.contains(&process.pid)) {
        if let Some(task) = owner(attempts, child) {
            roots.entry(task).or_default().insert(child.pid);
        }
    }
    let mut members = BTreeMap::new();
    for (task, roots) in roots {
        let all = tree::with_descendants(table, roots);
        let alive: Vec<Process> = all
            .iter()
            .filter_map(|pid| table.get(pid))
            .filter(|process| process.is_alive())
            .copied()
            .collect();
        if let Some(attempt) = attempts.get_mut(&task) {
            attempt.known = alive.iter().map(|process| (process.pid, process.start_ticks)).collect();
        }
        members.insert(task, alive);
    }
    members
}

fn owner(attempts: &BTreeMap<AttemptRef, Attempt>, child: &Process) -> Option<AttemptRef> {
    let task = |attempt: &Attempt| attempt.run.task;
    let is_first = |attempt: &&Attempt| attempt.child.pid == child.pid && attempt.status.is_none();
    let was_seen = |attempt: &&Attempt| attempt.known.get(&child.pid) == Some(&child.start_ticks);
    let in_session = |attempt: &&Attempt| attempt.child.pid == child.session;
    if let Some(attempt) = attempts
        .values()
        .find(is_first)
        .or_else(|| attempts.values().find(was_seen))
        .or_else(|| attempts.values().find(in_session))
    {
        return Some(task(attempt));
    }
    let mark = tree::mark_of(child.pid);
    let is_marked = |attempt: &&Attempt| {
        let wanted = format!(".{}.{}", attempt.run.task.ordinal, attempt.run.task.attempt);
        mark.as_ref().is_some_and(|mark| mark.ends_with(&wanted))
    };
    attempts
        .values()
        .find(is_marked)
        .or_else(|| attempts.values().next().filter(|_| attempts.len() == 1))
        .map(task)
}
