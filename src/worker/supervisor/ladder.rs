//! When an attempt is warned, ended and killed: its deadlines on the boot clock. Pure.

use crate::model::spec::Warning;
use crate::model::time::{BootTime, Seconds, TimeLimit};

/// What is left of an attempt after its first process has ended gets this long between TERM and KILL.
pub const LEFTOVER_GRACE: Seconds = Seconds(2);
/// Processes that live this long after the first KILL are unkillable.
pub const UNKILLABLE_AFTER: Seconds = Seconds(60);

const KILL_PAUSE_MICROS: u64 = 20_000;

/// Something that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The warning signal.
    Warn,
    /// The time limit: TERM.
    Limit,
    /// One pass of KILL.
    Kill,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Running,
    Ending { kill_at: BootTime },
    Killing { next: BootTime, give_up: BootTime },
}

/// The deadlines of one attempt.
#[derive(Clone, Debug)]
pub struct Ladder {
    stage: Stage,
    warn_at: Option<BootTime>,
    limit_at: Option<BootTime>,
    frozen_since: Option<BootTime>,
    /// How long it stood still in all, in microseconds.
    stood_micros: u64,
}

impl Ladder {
    /// Of an attempt that starts now.
    pub fn new(start: BootTime, limit: TimeLimit, warning: Option<Warning>) -> Ladder {
        let limit_at = limit.0.map(|span| start.plus(span));
        let warn_at = limit
            .0
            .zip(warning)
            .map(|(span, warning)| start.plus(Seconds(span.0.saturating_sub(warning.before.0))));
        Ladder { stage: Stage::Running, warn_at, limit_at, frozen_since: None, stood_micros: 0 }
    }

    /// Another limit, counted from the same start. A warning that was given already is given again only if it is
    /// due later now.
    pub fn set_limit(&mut self, start: BootTime, limit: TimeLimit, warning: Option<Warning>, now: BootTime) {
        let moved = Ladder::new(BootTime(start.0.saturating_add(self.stood_micros)), limit, warning);
        let again = |at: &BootTime| self.warn_at.is_some() || *at > now;
        self.warn_at = moved.warn_at.filter(again);
        self.limit_at = moved.limit_at;
    }

    /// What is due now. It counts as done; ask until nothing is.
    pub fn due(&mut self, now: BootTime) -> Option<Act> {
        match self.stage {
            Stage::Running if self.frozen_since.is_some() => None,
            Stage::Running if take_if_due(&mut self.warn_at, now) => Some(Act::Warn),
            Stage::Running if take_if_due(&mut self.limit_at, now) => Some(Act::Limit),
            Stage::Running => None,
            Stage::Ending { kill_at } if now >= kill_at => {
                self.kill_now(now);
                self.due(now)
            }
            Stage::Ending { .. } => None,
            Stage::Killing { next, give_up } if now >= next => {
                let next = BootTime(now.0.saturating_add(KILL_PAUSE_MICROS));
                self.stage = Stage::Killing { next, give_up };
                Some(Act::Kill)
            }
            Stage::Killing { .. } => None,
        }
    }

    /// TERM has been sent; KILL follows after `grace`. An earlier KILL stays.
    pub fn end(&mut self, now: BootTime, grace: Seconds) {
        let kill_at = now.plus(grace);
        self.stage = match self.stage {
            Stage::Running => Stage::Ending { kill_at },
            Stage::Ending { kill_at: before } => Stage::Ending { kill_at: before.min(kill_at) },
            killing @ Stage::Killing { .. } => killing,
        };
    }

    /// KILL is due from now on, again and again.
    pub fn kill_now(&mut self, now: BootTime) {
        if !matches!(self.stage, Stage::Killing { .. }) {
            self.stage = Stage::Killing { next: now, give_up: now.plus(UNKILLABLE_AFTER) };
        }
    }

    /// Whether KILL has had its time and did not help.
    pub fn is_hopeless(&self, now: BootTime) -> bool {
        matches!(self.stage, Stage::Killing { give_up, .. } if now >= give_up)
    }

    /// Whether it is still left alone.
    pub fn is_running(&self) -> bool {
        self.stage == Stage::Running
    }

    /// The time limit stands still from now on.
    pub fn freeze(&mut self, now: BootTime) {
        self.frozen_since.get_or_insert(now);
    }

    /// The time limit goes on. Whether it stood still.
    pub fn thaw(&mut self, now: BootTime) -> bool {
        let Some(since) = self.frozen_since.take() else { return false };
        let span = now.0.saturating_sub(since.0);
        for at in [&mut self.warn_at, &mut self.limit_at].into_iter().flatten() {
            at.0 = at.0.saturating_add(span);
        }
        self.stood_micros = self.stood_micros.saturating_add(span);
        true
    }

    /// Whether it is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen_since.is_some()
    }

    /// When to look again.
    pub fn deadline(&self) -> Option<BootTime> {
        match self.stage {
            Stage::Running if self.is_frozen() => None,
            Stage::Running => [self.warn_at, self.limit_at].into_iter().flatten().min(),
            Stage::Ending { kill_at } => Some(kill_at),
            Stage::Killing { next, give_up } => Some(next.min(give_up)),
        }
    }
}

fn take_if_due(at: &mut Option<BootTime>, now: BootTime) -> bool {
    at.take_if(|at| now >= *at).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime(0).plus(Seconds(seconds))
    }

    fn warning(before: u64) -> Option<Warning> {
        Some(Warning { signal: 10, before: Seconds(before), batch_only: false })
    }

    #[test]
    fn warned_ended_killed_given_up() {
        let mut ladder = Ladder::new(at(100), TimeLimit(Some(Seconds(60))), warning(10));
        assert_eq!((ladder.due(at(149)), ladder.deadline()), (None, Some(at(150))));
        assert_eq!((ladder.due(at(150)), ladder.due(at(150))), (Some(Act::Warn), None));
        assert_eq!((ladder.due(at(160)), ladder.due(at(160))), (Some(Act::Limit), None));
        ladder.end(at(160), Seconds(30));
        ladder.end(at(161), Seconds(60));
        assert_eq!((ladder.due(at(189)), ladder.due(at(190))), (None, Some(Act::Kill)));
        assert_eq!((ladder.due(at(190)), ladder.due(at(191))), (None, Some(Act::Kill)));
        assert!(!ladder.is_hopeless(at(249)) && ladder.is_hopeless(at(250)));
    }

    #[test]
    fn time_stands_still_while_frozen() {
        let mut ladder = Ladder::new(at(0), TimeLimit(Some(Seconds(60))), warning(90));
        assert_eq!(ladder.due(at(0)), Some(Act::Warn), "a warning before the start comes at the start");
        ladder.freeze(at(50));
        ladder.freeze(at(60));
        assert_eq!((ladder.due(at(1_000)), ladder.deadline()), (None, None));
        assert!(ladder.thaw(at(1_000)) && !ladder.thaw(at(1_001)));
        assert_eq!((ladder.due(at(1_009)), ladder.due(at(1_010))), (None, Some(Act::Limit)));
    }

    #[test]
    fn another_limit_counts_from_the_same_start() {
        let limit = |seconds| TimeLimit(Some(Seconds(seconds)));
        let mut ladder = Ladder::new(at(0), limit(60), warning(10));
        assert_eq!(ladder.due(at(50)), Some(Act::Warn));
        ladder.freeze(at(50));
        ladder.thaw(at(70));
        ladder.set_limit(at(0), limit(61), warning(11), at(71));
        assert_eq!((ladder.due(at(80)), ladder.due(at(81))), (None, Some(Act::Limit)), "warned once");
        let mut ladder = Ladder::new(at(0), limit(60), warning(10));
        assert_eq!(ladder.due(at(50)), Some(Act::Warn));
        ladder.set_limit(at(0), limit(100), warning(10), at(51));
        assert_eq!((ladder.due(at(89)), ladder.due(at(90))), (None, Some(Act::Warn)));
        ladder.set_limit(at(0), limit(5), warning(1), at(95));
        assert_eq!(ladder.due(at(95)), Some(Act::Limit), "what has passed already is due at once");
    }

    #[test]
    fn without_a_limit_nothing_is_due() {
        let mut ladder = Ladder::new(at(0), TimeLimit(None), warning(1));
        assert_eq!((ladder.due(BootTime(u64::MAX)), ladder.deadline()), (None, None));
    }
}
