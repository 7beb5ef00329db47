//! All that runs under a supervisor: starting, reaping, warning, ending, measuring, and making sure that nothing
//! is left of an attempt before its end is said.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{Attempt, write_last_line};
use super::ladder::{Act, LEFTOVER_GRACE, Ladder};
use super::prepare::{NotStarted, Prepared};
use super::standstill::Lease;
use super::verdict;
use super::{clock, family, signals};
use crate::model::state::{Cause, CauseKind, End};
use crate::model::time::{BootTime, Now, Seconds, TimeLimit};
use crate::wire::supervisor::{AttemptRef, KillReason, StartedAttempt, TaskRun, UsageNow, Which};
use crate::worker::cgroup::Group;
use crate::worker::launch::{Groups, How, Launch, LaunchError, Launcher, Reaped, Stream, Strings, reap};
use crate::worker::tree::{self, Children, Process};

/// How often running attempts are measured.
pub const SAMPLE_EVERY: Seconds = Seconds(1);

/// An attempt that is over.
#[derive(Debug)]
pub struct Finished {
    /// Which.
    pub task: AttemptRef,
    /// How.
    pub end: End,
}

/// The processes of a supervisor.
#[derive(Debug)]
pub struct Crew {
    /// Their job.
    pub prepared: Prepared,
    supervisor: String,
    launcher: Launcher,
    children: Children,
    /// Empty control groups, for the next attempts.
    groups: Vec<Group>,
    groups_made: u64,
    pub(super) attempts: BTreeMap<AttemptRef, Attempt>,
    firsts: BTreeMap<i32, AttemptRef>,
    /// Children that belong to no attempt: removers of folders, and what could not be killed.
    pub(super) strangers: BTreeSet<i32>,
    /// Removers of private folders, and the folder that each empties.
    helpers: BTreeMap<i32, String>,
    stuck: u32,
    /// The lease, and whether it has run out.
    pub(super) lease: Lease,
    sampled: BootTime,
    tick_ms: u64,
    page_bytes: u64,
}

impl Crew {
    /// Of a job that is ready. Fails when there is no memory.
    pub fn new(prepared: Prepared, supervisor: &str) -> Result<Crew, LaunchError> {
        let setting = |name, usual: i64| {
            u64::try_from(nix::unistd::sysconf(name).ok().flatten().unwrap_or(usual)).unwrap_or(1).max(1)
        };
        Ok(Crew {
            prepared,
            supervisor: supervisor.to_owned(),
            launcher: Launcher::new()?,
            children: Children::own(),
            groups: Vec::new(),
            groups_made: 0,
            attempts: BTreeMap::new(),
            firsts: BTreeMap::new(),
            strangers: BTreeSet::new(),
            helpers: BTreeMap::new(),
            stuck: 0,
            lease: Lease::default(),
            sampled: clock::boot(),
            tick_ms: 1_000 / setting(nix::unistd::SysconfVar::CLK_TCK, 100).min(1_000),
            page_bytes: setting(nix::unistd::SysconfVar::PAGE_SIZE, 4_096),
        })
    }

    /// How many slots are taken: by what runs, and by what could not be killed.
    pub fn taken(&self) -> u32 {
        u32::try_from(self.attempts.len()).unwrap_or(u32::MAX).saturating_add(self.stuck)
    }

    /// Whether no process is left, helpers included.
    pub fn is_idle(&self) -> bool {
        self.attempts.is_empty() && self.helpers.is_empty()
    }

    /// What runs.
    pub fn running(&self) -> impl Iterator<Item = &StartedAttempt> {
        self.attempts.values().map(|attempt| &attempt.started)
    }

    /// Whether an attempt runs.
    pub fn runs(&self, task: AttemptRef) -> bool {
        self.attempts.contains_key(&task)
    }

    /// The running attempt that a process belongs to, if it belongs to one.
    pub fn attempt_of(&self, pid: i32) -> Option<AttemptRef> {
        family::attempt_of(&self.attempts, pid, &self.strangers)
    }

    /// Starts a task. Its intent must have been recorded.
    pub fn start(&mut self, run: TaskRun, now: Now) -> Result<StartedAttempt, Finished> {
        let task = run.task;
        match self.try_start(&run, now) {
            Ok(attempt) => {
                let started = attempt.started.clone();
                self.firsts.insert(attempt.child.pid, task);
                self.attempts.insert(task, attempt);
                Ok(started)
            }
            Err(failure) => {
                let cause = Cause::said(CauseKind::Launch, verdict::shortened(&failure.text));
                let mut end = super::desk::end_without_start(failure.state, cause, now.wall, task);
                end.node = Some(self.prepared.job.node);
                if failure.had_files
                    && let Some(files) = self.prepared.files_of(&run)
                {
                    write_last_line(&self.prepared, &run, &files.error, &end);
                }
                Err(Finished { task, end })
            }
        }
    }

    /// Reaps all that has ended.
    pub fn reap(&mut self) {
        while let Ok(Some(reaped)) = reap(None) {
            self.strangers.remove(&reaped.pid);
            if let Some(task) = self.firsts.remove(&reaped.pid) {
                if let Some(attempt) = self.attempts.get_mut(&task) {
                    attempt.status = Some(reaped.status);
                    attempt.note_reaped(&reaped);
                }
            } else if let Some(folder) = self.helpers.remove(&reaped.pid) {
                let _ = std::fs::remove_dir(folder);
            } else {
                self.note_orphan(&reaped);
            }
        }
    }

    /// Does all that is due, and gives the attempts that are over.
    pub fn turn(&mut self, now: Now) -> Vec<Finished> {
        self.keep_lease(now.boot);
        self.climb(now);
        self.sample(now.boot);
        self.collect(now)
    }

    /// Ends attempts that run, for a reason. The first reason stays.
    pub fn kill(&mut self, which: &Which, reason: &KillReason, grace: Option<Seconds>, now: BootTime) {
        // What has lost its lease may not take its time, not even for going: another attempt may be about to start.
        let over = !self.has_lease(now);
        let grace = if over { Seconds(0) } else { grace.unwrap_or(self.prepared.job.kill_grace) };
        let meant = self.meant(which);
        if grace.0 == 0 {
            // What stands still must not go on even for a moment, and a kernel that keeps it still kills it all the same
            // once it is let go.
            meant.iter().for_each(|task| self.kill_pass(*task));
        }
        self.resume_tasks(&meant, now);
        let members = family::members(&mut self.attempts, &meant, &self.strangers);
        for task in meant {
            let Some(attempt) = self.attempts.get_mut(&task) else { continue };
            attempt.reason.get_or_insert_with(|| reason.clone());
            if grace.0 == 0 {
                attempt.ladder.kill_now(now);
                continue;
            }
            attempt.ladder.end(now, grace);
            attempt.ask_all(members.get(&task).map_or(&[], Vec::as_slice));
        }
    }

    /// Sends a signal and leaves it at that. The first process, a shell as a rule, gets it if it is meant alone or
    /// if it catches that signal: the default action of most would end it in the middle of its script.
    pub fn signal(&mut self, which: &Which, signal: u8, batch_only: bool) {
        let meant = self.meant(which);
        if batch_only {
            for attempt in meant.iter().filter_map(|task| self.attempts.get(task)) {
                if attempt.status.is_none() {
                    let _ = attempt.child.pidfd.signal(i32::from(signal));
                }
            }
            return;
        }
        let members = family::members(&mut self.attempts, &meant, &self.strangers);
        for (task, processes) in members {
            let first = self.attempts.get(&task).map(|attempt| attempt.child.pid);
            for process in processes {
                if first != Some(process.pid) || signals::takes(process.pid, signal) {
                    let _ = process.signal(i32::from(signal));
                }
            }
        }
    }

    /// How long tasks may run from now on: those that run, from their own starts, and those to come.
    pub fn set_limit(&mut self, limit: TimeLimit, now: BootTime) {
        if self.prepared.job.time_limit == limit {
            return;
        }
        self.prepared.job.time_limit = limit;
        let warning = self.prepared.job.warning;
        for attempt in self.attempts.values_mut() {
            attempt.ladder.set_limit(attempt.start, limit, warning, now);
        }
    }

    /// What the running attempts use.
    pub fn usages(&self) -> Vec<UsageNow> {
        self.attempts.values().map(Attempt::usage_now).collect()
    }

    /// When to look again without being told anything.
    pub fn deadline(&self) -> Option<BootTime> {
        let ladders = self.attempts.values().filter_map(|attempt| attempt.ladder.deadline()).min();
        let sample = (!self.attempts.is_empty()).then(|| self.sampled.plus(SAMPLE_EVERY));
        [ladders, sample, self.lease_deadline()].into_iter().flatten().min()
    }

    /// Removes what is left of folders and groups; at the very end.
    pub fn clean_up(&mut self) {
        self.prepared.remove_folders();
        if let Some(trees) = &self.prepared.job.cgroups {
            crate::worker::cgroup::remove_below(trees, &self.supervisor);
        }
    }

    fn try_start(&mut self, run: &TaskRun, now: Now) -> Result<Attempt, NotStarted> {
        let group = self.take_group()?;
        let joins = group.as_ref().map_or_else(Groups::default, Group::joins);
        let started = self.prepared.start(&mut self.launcher, run, &joins, now.wall);
        drop(joins);
        let (child, files) = match started {
            Ok(started) => started,
            Err(failure) => {
                self.give_group_back(group);
                return Err(failure);
            }
        };
        let job = &self.prepared.job;
        let ladder = Ladder::new(now.boot, job.time_limit, job.warning);
        let ticks = tree::process(child.pid).map_or(0, |process| process.start_ticks);
        Ok(Attempt::new(run.clone(), child, files, group, ladder, now, ticks))
    }

    fn take_group(&mut self) -> Result<Option<Group>, NotStarted> {
        let job = &self.prepared.job;
        let (Some(trees), None) = (&job.cgroups, self.groups.last()) else { return Ok(self.groups.pop()) };
        let name = self.groups_made.to_string();
        let made = Group::create(trees, &self.supervisor, &name, job.granted.memory_bytes);
        self.groups_made += 1;
        let broken = |error| self.prepared.broken(&format!("no control group could be made: {error}"));
        made.map(Some).map_err(broken)
    }

    fn give_group_back(&mut self, group: Option<Group>) {
        self.groups.extend(group.and_then(Group::renewed));
    }

    /// An orphan counts for the attempt that it was last seen in, or for the only one there is.
    fn note_orphan(&mut self, reaped: &Reaped) {
        let alone = self.attempts.len() == 1;
        let owner =
            self.attempts.values_mut().find(|attempt| alone || attempt.known.contains_key(&reaped.pid));
        if let Some(attempt) = owner {
            attempt.note_reaped(reaped);
        }
    }

    /// What the ladders ask for.
    fn climb(&mut self, now: Now) {
        let mut due = Vec::new();
        for (task, attempt) in &mut self.attempts {
            while let Some(act) = attempt.ladder.due(now.boot) {
                due.push((*task, act));
            }
        }
        for (task, act) in due {
            let which = Which::These(vec![task]);
            match act {
                Act::Warn => {
                    if let Some(warning) = self.prepared.job.warning {
                        self.signal(&which, warning.signal, warning.batch_only);
                    }
                }
                Act::Limit => self.kill(&which, &KillReason::TimeLimit, None, now.boot),
                Act::Kill => self.kill_pass(task),
            }
        }
    }

    pub(super) fn kill_pass(&mut self, task: AttemptRef) {
        let members = family::members(&mut self.attempts, &[task], &self.strangers);
        let Some(attempt) = self.attempts.get(&task) else { return };
        if let Some(group) = &attempt.group {
            group.kill();
        }
        if attempt.status.is_none() {
            let _ = attempt.child.pidfd.signal(libc::SIGKILL);
        }
        members.values().flatten().for_each(|process| {
            let _ = process.signal(libc::SIGKILL);
        });
    }

    /// The attempts whose first process is gone and of whose tree nothing is left.
    fn collect(&mut self, now: Now) -> Vec<Finished> {
        let mut gone: Vec<AttemptRef> = Vec::new();
        let ended: Vec<AttemptRef> =
            self.attempts.values().filter(|attempt| attempt.status.is_some()).map(|a| a.run.task).collect();
        if !ended.is_empty() {
            let is_known = |pid| self.firsts.contains_key(&pid) || self.strangers.contains(&pid);
            let left = if family::has_orphans(&self.children, is_known) {
                family::left(&mut self.attempts, &ended, &self.strangers)
            } else {
                BTreeMap::new()
            };
            for task in ended {
                match left.get(&task) {
                    Some(processes) => self.leave(task, processes, now.boot),
                    None => gone.push(task),
                }
            }
        }
        let mut finished: Vec<Finished> =
            gone.into_iter().filter_map(|task| self.finish(task, now, None)).collect();
        let hopeless: Vec<AttemptRef> = self
            .attempts
            .values()
            .filter(|attempt| attempt.ladder.is_hopeless(now.boot))
            .map(|attempt| attempt.run.task)
            .collect();
        for task in hopeless {
            let members = family::members(&mut self.attempts, &[task], &self.strangers);
            let pids: Vec<i32> = members.values().flatten().map(|process| process.pid).collect();
            let text = format!(
                "its processes {pids:?} can't be killed; the node must be rebooted before it is used"
            );
            self.stuck += 1;
            self.strangers.extend(pids);
            finished.extend(self.finish(task, now, Some(text)));
        }
        finished
    }

    /// The first process is gone, others are not: they are asked to go, and soon made to.
    fn leave(&mut self, task: AttemptRef, processes: &[Process], now: BootTime) {
        let Some(attempt) = self.attempts.get_mut(&task) else { return };
        if attempt.ladder.is_running() {
            attempt.ladder.end(now, LEFTOVER_GRACE);
        }
        attempt.ask(processes);
    }

    fn finish(&mut self, task: AttemptRef, now: Now, remains: Option<String>) -> Option<Finished> {
        let mut attempt = self.attempts.remove(&task)?;
        self.firsts.remove(&attempt.child.pid);
        let is_gone = remains.is_none();
        let end = attempt.end(&self.prepared, now.wall, remains);
        write_last_line(&self.prepared, &attempt.run, &attempt.files.error, &end);
        let group = attempt.group.take();
        if is_gone {
            self.give_group_back(group);
        } else {
            group.into_iter().for_each(Group::remove);
        }
        if let Some(folder) = self.prepared.folders.give_back(attempt.files.tmp) {
            self.remove_folder(folder);
        }
        if let Some(folder) = attempt.files.private {
            // It stays: the node daemon removes it when its time is over, which counts from here.
            use nix::sys::stat::{UtimensatFlags, utimensat};
            use nix::sys::time::TimeSpec;
            let (at, flags) = (nix::fcntl::AT_FDCWD, UtimensatFlags::NoFollowSymlink);
            let _ = utimensat(at, folder.as_str(), &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW, flags);
        }
        Some(Finished { task, end })
    }

    /// Empties a user's folder as that user, in a process of its own; the folder itself goes when that has ended.
    fn remove_folder(&mut self, folder: String) {
        let mut arguments = Strings::new();
        ["rm", "-rf", "--one-file-system", "--", &folder]
            .iter()
            .for_each(|word| arguments.push(word.as_bytes()));
        let launched = self.launcher.spawn(&Launch {
            direct: None,
            program: "/bin/rm",
            arguments: &[&arguments],
            environment: &[],
            pid_variable: None,
            switch: self.prepared.switch.as_ref(),
            root_allowed: self.prepared.job.root_allowed,
            umask: 0o077,
            work_dir: "/",
            input: &Stream::Null,
            output: &Stream::Null,
            error: &Stream::File("/dev/null".to_owned(), How::AppendExisting),
            groups: &Groups::default(),
            reset_oom_score: false,
            limits: &[],
        });
        if let Ok(child) = launched {
            self.strangers.insert(child.pid);
            self.helpers.insert(child.pid, folder);
        }
    }

    fn sample(&mut self, now: BootTime) {
        if now < self.sampled.plus(SAMPLE_EVERY) {
            return;
        }
        self.sampled = now;
        let old: Vec<AttemptRef> = self
            .attempts
            .values()
            .filter(|attempt| now >= attempt.start.plus(SAMPLE_EVERY))
            .map(|attempt| attempt.run.task)
            .collect();
        if old.is_empty() {
            return;
        }
        let members = family::members(&mut self.attempts, &old, &self.strangers);
        let limit = self.prepared.job.granted.memory_bytes;
        let mut over = Vec::new();
        for (task, processes) in &members {
            let Some(attempt) = self.attempts.get_mut(task) else { continue };
            attempt.note_sample(processes, self.tick_ms, self.page_bytes);
            let metered = limit > 0 && !attempt.group.as_ref().is_some_and(Group::limits_memory);
            let used = if metered { family::memory_over(processes, limit, self.page_bytes) } else { None };
            over.extend(used.map(|bytes| (*task, bytes)));
        }
        for (task, bytes) in over {
            let text =
                format!("its processes held {} MiB, metered; the limit is {} MiB", bytes >> 20, limit >> 20);
            self.kill(&Which::These(vec![task]), &KillReason::Memory { text }, Some(Seconds(0)), now);
        }
    }

    pub(super) fn meant(&self, which: &Which) -> Vec<AttemptRef> {
        match which {
            Which::All => self.attempts.keys().copied().collect(),
            Which::These(tasks) => tasks.iter().copied().filter(|task| self.runs(*task)).collect(),
        }
    }
}
