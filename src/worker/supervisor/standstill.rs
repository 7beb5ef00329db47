//! Attempts that stand still: because somebody wants it, or because their lease has run out. A job whose node has no
//! contact for so long may be started elsewhere; until somebody says what is to become of it, it does nothing.

use super::crew::Crew;
use super::family;
use crate::model::time::{BootTime, Seconds};
use crate::wire::supervisor::{AttemptRef, KillReason, Which};
use crate::worker::cgroup::Group;
use crate::worker::tree::Process;

/// How long freezing may take; what still runs then is killed. The controller waits as much longer before it starts
/// the next attempt.
pub const FREEZE_PATIENCE: Seconds = crate::agent::FREEZE_PATIENCE;
/// Between two looks at whether everything stands still.
const LOOK_PAUSE_MICROS: u64 = 200_000;

/// A job's lease.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lease {
    /// When there was contact last; never yet.
    contact: Option<BootTime>,
    /// Since when it has run out, and whether everything is known to stand still.
    over: Option<(BootTime, bool)>,
}

impl Crew {
    /// There was contact at that time.
    pub fn note_contact(&mut self, at: BootTime, now: BootTime) {
        self.lease.contact = self.lease.contact.max(Some(at));
        self.keep_lease(now);
    }

    /// Whether attempts may run.
    pub fn has_lease(&self, now: BootTime) -> bool {
        self.lease_end().is_none_or(|end| now < end)
    }

    /// Stops attempts. Their time limits stand still.
    pub fn suspend(&mut self, which: &Which, now: BootTime) {
        let meant = self.meant(which);
        for task in &meant {
            if let Some(attempt) = self.attempts.get_mut(task) {
                attempt.suspended = attempt.ladder.is_running();
            }
        }
        self.freeze(&meant, now);
    }

    /// Lets them go on, unless something else keeps them still.
    pub fn resume(&mut self, which: &Which, now: BootTime) {
        let meant = self.meant(which);
        for task in &meant {
            if let Some(attempt) = self.attempts.get_mut(task) {
                attempt.suspended = false;
            }
        }
        if self.lease.over.is_none() {
            self.resume_tasks(&meant, now);
        }
    }

    /// Freezes what runs when the lease has run out, kills what can't be frozen, and lets everything go on when there
    /// is contact again.
    pub(super) fn keep_lease(&mut self, now: BootTime) {
        match (self.has_lease(now), self.lease.over) {
            (true, None) => {}
            (true, Some(_)) => {
                self.lease.over = None;
                let still = self.attempts.values().filter(|attempt| !attempt.suspended);
                let tasks: Vec<AttemptRef> = still.map(|attempt| attempt.run.task).collect();
                self.resume_tasks(&tasks, now);
            }
            (false, None) => {
                self.lease.over = Some((now, self.attempts.is_empty()));
                let ends = self.attempts.values().filter(|attempt| !attempt.ladder.is_running());
                let ending: Vec<AttemptRef> = ends.map(|attempt| attempt.run.task).collect();
                for task in ending {
                    // It was on its way out, and may not take its time for that any more.
                    if let Some(attempt) = self.attempts.get_mut(&task) {
                        attempt.ladder.kill_now(now);
                    }
                    self.kill_pass(task);
                }
                let all = self.meant(&Which::All);
                self.freeze(&all, now);
            }
            (false, Some((_, true))) => {}
            (false, Some((since, false))) => {
                let moving = self.moving();
                if moving.is_empty() {
                    self.lease.over = Some((since, true));
                } else if now >= since.plus(FREEZE_PATIENCE) {
                    let text = format!(
                        "there was no contact for the time of its lease, and it could not be frozen within {} s",
                        FREEZE_PATIENCE.0
                    );
                    let reason = KillReason::Node { text };
                    self.kill(&Which::These(moving), &reason, Some(Seconds(0)), now);
                    self.lease.over = Some((since, true));
                } else {
                    self.freeze(&moving, now);
                }
            }
        }
    }

    /// When the lease has to be looked at.
    pub(super) fn lease_deadline(&self) -> Option<BootTime> {
        if self.attempts.is_empty() {
            return None;
        }
        match self.lease.over {
            None => self.lease_end(),
            Some((since, false)) => {
                let end = since.plus(FREEZE_PATIENCE);
                let passed = super::clock::boot().0.saturating_add(LOOK_PAUSE_MICROS);
                Some(end.min(BootTime(passed)))
            }
            Some((_, true)) => None,
        }
    }

    /// When the lease runs out: never without one, long ago without any contact.
    fn lease_end(&self) -> Option<BootTime> {
        let lease = self.prepared.job.lease?;
        Some(self.lease.contact.map_or(BootTime(0), |at| at.plus(lease)))
    }

    /// The attempts that do not stand still although they should.
    fn moving(&mut self) -> Vec<AttemptRef> {
        let frozen = |group: &Option<Group>| group.as_ref().is_some_and(Group::is_frozen);
        let doubtful =
            self.attempts.values().filter(|attempt| attempt.ladder.is_running() && !frozen(&attempt.group));
        let tasks: Vec<AttemptRef> = doubtful.map(|attempt| attempt.run.task).collect();
        let members = family::members(&mut self.attempts, &tasks, &self.strangers);
        let moves = |process: &Process| process.is_alive() && !process.is_stopped();
        let any = |task: &AttemptRef| members.get(task).is_some_and(|all| all.iter().any(moves));
        tasks.into_iter().filter(any).collect()
    }

    fn freeze(&mut self, tasks: &[AttemptRef], now: BootTime) {
        let members = family::members(&mut self.attempts, tasks, &self.strangers);
        for task in tasks {
            let Some(attempt) = self.attempts.get_mut(task).filter(|attempt| attempt.ladder.is_running())
            else {
                continue;
            };
            attempt.ladder.freeze(now);
            let frozen = attempt.group.as_ref().is_some_and(|group| group.freeze(true).is_ok());
            if !frozen {
                family::stop_all(attempt, members.get(task).map_or(&[], Vec::as_slice));
            }
        }
    }

    pub(super) fn resume_tasks(&mut self, tasks: &[AttemptRef], now: BootTime) {
        let frozen: Vec<AttemptRef> = tasks
            .iter()
            .copied()
            .filter(|task| self.attempts.get(task).is_some_and(|attempt| attempt.ladder.is_frozen()))
            .collect();
        if frozen.is_empty() {
            return;
        }
        let members = family::members(&mut self.attempts, &frozen, &self.strangers);
        for task in frozen {
            let Some(attempt) = self.attempts.get_mut(&task) else { continue };
            attempt.ladder.thaw(now);
            let thawed = attempt.group.as_ref().is_some_and(|group| group.freeze(false).is_ok());
            if !thawed {
                members.get(&task).into_iter().flatten().for_each(|process| {
                    let _ = process.signal(libc::SIGCONT);
                });
            }
        }
    }
}
