//! One running attempt.

use std::collections::BTreeMap;

use super::ladder::Ladder;
use super::prepare::{Prepared, TaskFiles};
use super::verdict::{self, LastLine, Outcome};
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::{BootTime, Now, WallTime};
use crate::wire::supervisor::{KillReason, StartedAttempt, TaskRun, UsageNow};
use crate::worker::cgroup::Group;
use crate::worker::launch::{Child, Reaped, Status};
use crate::worker::tree::Process;

/// A task that was started.
#[derive(Debug)]
pub struct Attempt {
    /// The order.
    pub run: TaskRun,
    /// What the daemon is told about it.
    pub started: StartedAttempt,
    /// Its first process.
    pub child: Child,
    /// When it was started, by the boot clock.
    pub start: BootTime,
    /// Its deadlines.
    pub ladder: Ladder,
    /// Its control group.
    pub group: Option<Group>,
    /// Its files and folders.
    pub files: TaskFiles,
    /// How its first process ended, once it has.
    pub status: Option<Status>,
    /// Whether somebody wants it to stand still.
    pub suspended: bool,
    /// Why the system ends it, if it does.
    pub reason: Option<KillReason>,
    /// The processes of its tree when it was last looked at, with their start times.
    pub known: BTreeMap<i32, u64>,
    /// The processes that were asked to go, as they were then.
    asked: BTreeMap<i32, Process>,
    reaped_cpu_us: u64,
    seen_cpu_ms: u64,
    memory_bytes: u64,
    memory_peak_bytes: u64,
}

impl Attempt {
    /// One that was started just now.
    pub fn new(
        run: TaskRun,
        child: Child,
        files: TaskFiles,
        group: Option<Group>,
        ladder: Ladder,
        now: Now,
        start_ticks: u64,
    ) -> Attempt {
        let started = StartedAttempt {
            task: run.task,
            pid: u32::try_from(child.pid).unwrap_or(0),
            start_ticks,
            start: now.wall,
            output: files.output.clone(),
            error: files.error.clone(),
            truncated: files.truncated,
            output_start: child.starts[0],
            error_start: child.starts[1],
        };
        Attempt {
            run,
            started,
            child,
            start: now.boot,
            ladder,
            group,
            files,
            status: None,
            suspended: false,
            reason: None,
            known: BTreeMap::new(),
            asked: BTreeMap::new(),
            reaped_cpu_us: 0,
            seen_cpu_ms: 0,
            memory_bytes: 0,
            memory_peak_bytes: 0,
        }
    }

    /// Asks all its processes to go, also those that were asked before.
    pub fn ask_all(&mut self, members: &[Process]) {
        self.asked.clear();
        self.ask(members);
    }

    /// Asks those of its processes to go that were not asked yet: one that was just being forked when the others
    /// were asked is in no table, and its parent does not pass the signal on. One that runs another program by now is
    /// asked again: between fork and exec the signal only set a mark in its parent's handler, which the exec took away.
    pub fn ask(&mut self, members: &[Process]) {
        for process in members {
            let before = self.asked.insert(process.pid, *process);
            let same =
                |old: Process| (old.start_ticks, old.program) == (process.start_ticks, process.program);
            if !before.is_some_and(same) {
                let _ = process.signal(libc::SIGTERM);
                let _ = process.signal(libc::SIGCONT);
            }
        }
    }

    /// Counts a process of its tree that is gone.
    pub fn note_reaped(&mut self, reaped: &Reaped) {
        self.reaped_cpu_us = self.reaped_cpu_us.saturating_add(reaped.cpu_us);
        self.memory_peak_bytes = self.memory_peak_bytes.max(reaped.rss_peak_bytes);
    }

    /// Counts what its living processes use.
    pub fn note_sample(&mut self, members: &[Process], tick_ms: u64, page_bytes: u64) {
        let ticks: u64 = members.iter().map(|process| process.cpu_ticks).sum();
        let pages: u64 = members.iter().map(|process| process.resident_pages).sum();
        self.seen_cpu_ms = self.seen_cpu_ms.max(ticks.saturating_mul(tick_ms) + self.reaped_cpu_us / 1_000);
        self.memory_bytes = pages.saturating_mul(page_bytes);
        self.note_group();
        self.memory_peak_bytes = self.memory_peak_bytes.max(self.memory_bytes);
    }

    /// What it uses, as last seen.
    pub fn usage_now(&self) -> UsageNow {
        UsageNow {
            task: self.run.task,
            cpu_ms: self.cpu_ms(),
            memory_bytes: self.memory_bytes,
            memory_peak_bytes: self.memory_peak_bytes,
        }
    }

    /// Its end, now that nothing of it is left. `remains` says what could not be killed, if there is anything.
    pub fn end(&mut self, prepared: &Prepared, now: WallTime, remains: Option<String>) -> End {
        self.note_group();
        let (exit_code, signal) = match self.status {
            Some(Status::Exit(code)) => (code, 0),
            Some(Status::Signal(signal)) => (0, signal),
            None => (0, 0),
        };
        let memory_kills = self.group.as_ref().map_or(0, Group::memory_kills);
        let outcome = Outcome { exit_code, signal, memory_kills };
        let (state, cause) = match remains {
            Some(text) => (State::NodeFail, Cause::said(CauseKind::Node, verdict::shortened(&text))),
            None => verdict::verdict(outcome, self.reason.as_ref()),
        };
        End {
            state,
            exit_code,
            signal,
            cause,
            node: Some(prepared.job.node),
            start: Some(self.started.start),
            end: now,
            usage: Usage { cpu_ms: self.cpu_ms(), memory_peak_bytes: self.memory_peak_bytes },
            attempt: self.run.task.attempt,
        }
    }

    fn cpu_ms(&self) -> u64 {
        self.seen_cpu_ms.max(self.reaped_cpu_us / 1_000)
    }

    fn note_group(&mut self) {
        let Some(usage) = self.group.as_mut().map(Group::usage) else { return };
        self.seen_cpu_ms = self.seen_cpu_ms.max(usage.cpu_ms.unwrap_or(0));
        self.memory_bytes = usage.memory_bytes.unwrap_or(self.memory_bytes);
        self.memory_peak_bytes = usage.memory_peak_bytes.unwrap_or(0).max(self.memory_peak_bytes);
    }
}

/// Writes an attempt's last line, as the user, into a regular file that is there; fails in silence, because the
/// end must not depend on the user's file.
pub fn write_last_line(prepared: &Prepared, run: &TaskRun, error_file: &str, end: &End) {
    use std::io::Write;

    use crate::worker::launch::{How, open_as};
    if error_file.is_empty() {
        return;
    }
    let id = super::environment::written_id(prepared.job.job, run);
    let at = local_time(end.end);
    let facts = LastLine {
        id: &id,
        node: &prepared.job.node_name,
        at: &at,
        limit: prepared.job.time_limit,
        memory_bytes: prepared.job.granted.memory_bytes,
    };
    let Some(line) = verdict::last_line(end.state, &end.cause, end.signal, &facts) else { return };
    let Ok(file) = open_as(prepared.switch.as_ref(), error_file, How::AppendExisting) else { return };
    let is_regular =
        nix::sys::stat::fstat(&file).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG);
    if is_regular {
        let _ = std::fs::File::from(file).write_all(line.as_bytes());
    }
}

/// `2026-11-22T15:41:56` in the node's time zone.
fn local_time(at: WallTime) -> String {
    let moment = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    moment.to_zoned(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
