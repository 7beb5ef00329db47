//! Leases, as `worker/supervisor/standstill` keeps them: at the end of its lease a supervisor freezes what runs, kills
//! what can't be frozen, and lets it go on when there is contact again.

use super::supervisor::{Process, reference};
use super::world::World;
use crate::agent::FREEZE_PATIENCE;
use crate::model::ids::{Attempt, TaskRef};
use crate::model::time::{BootTime, Seconds};
use crate::wire::supervisor::{AttemptRef, KillReason};

/// A supervisor looks that late at what is due at a time, and a KILL takes that long, at most.
const LATE_MICROS: u64 = 200_000;

/// What a supervisor knows of contact.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lease {
    contact: Option<BootTime>,
    over: bool,
}

impl Lease {
    pub fn note_contact(&mut self, at: BootTime) {
        self.contact = self.contact.max(Some(at));
    }
}

impl Process {
    /// Whether its attempts may run.
    pub fn has_lease(&self, now: BootTime) -> bool {
        self.lease_end().is_none_or(|end| now < end)
    }

    fn lease_end(&self) -> Option<BootTime> {
        let lease = self.body.as_ref()?.lease()?;
        Some(self.lease.contact.map_or(BootTime(0), |at| at.plus(lease)))
    }

    /// When it has to be looked at, in true time, on a host that booted then.
    pub fn lease_deadline(&self, booted: u64) -> Option<u64> {
        if !self.alive || self.running.is_empty() || self.lease.over {
            return None;
        }
        self.lease_end().map(|end| true_time(end, booted))
    }

    /// From when on an attempt stands still whose supervisor lives and has lost its daemon for ever; `u64::MAX`: never.
    pub fn stands_still_at(&self, task: AttemptRef, booted: u64) -> u64 {
        if self.running.get(&task).is_some_and(|running| running.frozen.is_some()) {
            return 0;
        }
        let late = FREEZE_PATIENCE.micros() + 2 * LATE_MICROS;
        self.lease_end().map_or(u64::MAX, |end| true_time(end, booted).saturating_add(late))
    }
}

fn true_time(at: BootTime, booted: u64) -> u64 {
    at.0.saturating_add(booted).saturating_sub(super::world::BOOT_MICROS)
}

impl World {
    /// What a turn of the supervisor does about its lease.
    pub fn keep_lease(&mut self, node: usize, process: &mut Process) {
        let has = process.has_lease(self.node_now(node).boot);
        match (has, process.lease.over) {
            (true, true) => {
                process.lease.over = false;
                // What has got its KILL is dead, even if it is counted as frozen a moment longer.
                let lives = process.running.iter().filter(|(_, running)| running.killed.is_none());
                let all: Vec<AttemptRef> = lives.map(|(task, _)| *task).collect();
                all.into_iter().for_each(|task| self.thaw(process, task));
            }
            (false, false) if !process.running.is_empty() => {
                process.lease.over = true;
                self.counts.fired("fault", "lease runs out");
                self.note(format!("n{node}: the lease of {} is over", process.job));
                self.begin_freezing(process);
            }
            _ => {}
        }
        let now = self.now;
        let due =
            process.running.iter_mut().filter(|(_, running)| running.freezes.is_some_and(|at| at <= now));
        for (task, running) in due {
            running.freezes = None;
            running.frozen = Some(now);
            self.facts.stands_still(reference(process.job, *task), task.attempt, true);
        }
    }

    /// Mostly it is done at once; sometimes processes have to be caught one by one; some can't be frozen at all.
    fn begin_freezing(&mut self, process: &mut Process) {
        let patience = FREEZE_PATIENCE.micros();
        for running in process.running.values_mut() {
            let late = self.now + self.dice.between(1_000, LATE_MICROS);
            if let Some((at, _)) = &mut running.killed {
                // It may not take its time any more.
                *at = late.min(*at);
                continue;
            }
            match self.dice.below(4) {
                0 => running.freezes = Some(self.now + self.dice.between(LATE_MICROS, patience)),
                1 => {
                    self.counts.fired("fault", "freezing fails");
                    let reason = KillReason::Node { text: "it could not be frozen".to_owned() };
                    running.killed = Some((late + patience, reason));
                }
                _ => running.freezes = Some(late),
            }
        }
    }

    /// It goes on: nothing may have taken its place.
    fn thaw(&mut self, process: &mut Process, task: AttemptRef) {
        let Some(running) = process.running.get_mut(&task) else { return };
        running.freezes = None;
        let Some(since) = running.frozen.take() else { return };
        running.stood += self.now - since;
        self.counts.fired("fault", "thawed");
        self.note(format!("{} {}/{} goes on", process.job, task.ordinal, task.attempt));
        let which = reference(process.job, task);
        self.facts.stands_still(which, task.attempt, false);
        if let Some(next) = self.facts.started_after(which, task.attempt)
            && !self.facts.may_overlap(which.job)
        {
            let name = super::facts::name((which, task.attempt));
            self.fail(format!("attempt {name} goes on, and attempt {next} was started meanwhile"));
        }
    }

    /// `Crew::kill`.
    pub fn kill(
        &mut self,
        process: &mut Process,
        task: AttemptRef,
        reason: &KillReason,
        grace: Option<Seconds>,
    ) {
        let own = process.body.as_ref().map_or(Seconds(0), |body| body.grace);
        let grace = if process.lease.over { Seconds(0) } else { grace.unwrap_or(own) };
        let at = self.now + self.dice.between(1_000, grace.micros().max(LATE_MICROS / 4));
        let Some(running) = process.running.get_mut(&task) else { return };
        let frozen = running.frozen.is_some();
        running.killed.get_or_insert((at, reason.clone()));
        if frozen {
            self.counts.fired("fault", "killed while frozen");
        }
        if grace.0 > 0 {
            self.thaw(process, task);
        }
    }

    /// An attempt that runs, and does not stand still, where another one at its task is started.
    pub fn check_rivals(&mut self, task: TaskRef, attempt: Attempt) {
        if self.facts.may_overlap(task.job) {
            return;
        }
        for (other, node) in self.facts.moving(task).into_iter().filter(|(other, _)| *other != attempt) {
            let host = &self.nodes[node];
            if let Some(stray) = host.strays.get(&(task, other)) {
                // Nobody guards what has lost its supervisor and its spool.
                if stray.is_none_or(|at| at <= self.now) {
                    continue;
                }
            }
            let which = AttemptRef { ordinal: task.ordinal, attempt: other };
            let has = |process: &&Process| process.job == task.job && process.running.contains_key(&which);
            let orphan = host.supervisors.values().find(has).is_some_and(|process| !process.alive);
            // Whose supervisor was killed is ended by the node's daemon, if that lives: both at once are too much.
            let alone = host.daemon.as_ref().is_none_or(|daemon| daemon.since + 3_000_000 > self.now);
            if orphan && alone {
                self.counts.fired("sent", "unguarded");
                continue;
            }
            let (name, other) = (super::facts::name((task, attempt)), super::facts::name((task, other)));
            return self.fail(format!("attempt {name} is started while {other} runs on n{node}"));
        }
    }
}
