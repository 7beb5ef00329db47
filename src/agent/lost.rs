//! What becomes of the attempts of a supervisor that died, and of those of an earlier boot.

use std::collections::BTreeSet;

use super::brain::Agent;
use super::effects::{Effect, Remains, SupervisorId};
use super::jobs::State;
use super::records::{Record, Try};
use super::supervisors::Phase;
use crate::model::bug::{self, Bug};
use crate::model::ids::JobId;
use crate::model::state::{Cause, CauseKind, End, State as EndState, Usage};
use crate::model::time::{Now, WallTime};

impl Agent {
    /// A supervisor is dead, and this is what its records say.
    pub fn on_supervisor_lost(&mut self, now: Now, id: SupervisorId, remains: Remains) {
        let Some(supervisor) = self.supervisors.get_mut(&id) else { return };
        if matches!(supervisor.phase, Phase::Lost(_)) {
            return;
        }
        let (job, before) = (supervisor.job, supervisor.phase.clone());
        self.settle(job, &before);
        let leftovers = self.absorb(id, job, &remains);
        if let Some(supervisor) = self.supervisors.get_mut(&id) {
            supervisor.phase = Phase::Lost(remains);
        }
        if leftovers {
            if let Some(known) = self.jobs.get_mut(&job) {
                known.leftovers += 1;
            }
            self.effects.push(Effect::EndLeftovers { supervisor: id, job });
        } else {
            self.conclude(now, id);
        }
    }

    /// Nothing of a dead supervisor's attempts runs any more.
    pub fn on_leftovers_ended(&mut self, now: Now, id: SupervisorId) {
        let lost = self.supervisors.get(&id).filter(|supervisor| matches!(supervisor.phase, Phase::Lost(_)));
        if let Some(job) = lost.map(|supervisor| supervisor.job) {
            if let Some(known) = self.jobs.get_mut(&job) {
                known.leftovers = known.leftovers.saturating_sub(1);
            }
            self.conclude(now, id);
        }
    }

    /// Takes over what a dead supervisor's records say; its ends now stand in the agent's log. True if something
    /// of it may still run.
    fn absorb(&mut self, id: SupervisorId, job: JobId, remains: &Remains) -> bool {
        remains.started.iter().for_each(|(which, start)| self.on_started(id, job, *which, *start));
        for (which, end) in &remains.ended {
            self.on_ended(id, job, 0, *which, end.clone());
        }
        let Some(known) = self.jobs.get_mut(&job) else { return false };
        for which in &remains.intents {
            if known.entries.get(which).is_some_and(|entry| entry.state == State::Held) {
                known.set(*which, State::Given(id));
            }
        }
        let mut ends = Vec::new();
        for (which, entry) in &mut known.entries {
            if let State::Ended(from @ Some(_), end) = &mut entry.state
                && from.is_some_and(|(from, _)| from == id)
            {
                *from = None;
                ends.push((*which, End::clone(end)));
            }
        }
        let intents: BTreeSet<&Try> = remains.intents.iter().collect();
        let runs = known.entries.iter().any(|(which, entry)| match entry.state {
            State::Started(supervisor, _) => supervisor == id,
            State::Given(supervisor) => supervisor == id && intents.contains(which),
            _ => false,
        });
        let runs = runs && !known.earlier_boot;
        if !ends.is_empty() {
            self.records.push(Record::Ended { job, ends });
        }
        runs
    }

    /// Says what became of a dead supervisor's attempts, and gives what it had not touched to the next one.
    fn conclude(&mut self, now: Now, id: SupervisorId) {
        let Some(supervisor) = self.supervisors.remove(&id) else { return };
        let Phase::Lost(remains) = supervisor.phase else { return };
        let job = supervisor.job;
        self.effects.push(Effect::Remove { supervisor: id, job });
        let was_current = self.jobs.get(&job).is_some_and(|known| known.current == Some(id));
        self.leave(id, job);
        let Some(known) = self.jobs.get_mut(&job) else { return };
        if known.entries.is_empty() && known.idle.is_none() {
            return self.rest(now, job);
        }
        let intents: BTreeSet<&Try> = remains.intents.iter().collect();
        let mine: Vec<(Try, State)> =
            known.entries.iter().map(|(which, entry)| (*which, entry.state.clone())).collect();
        let mut ends = Vec::new();
        for (which, state) in mine {
            let (cause, start) = match state {
                State::Started(by, start) if by == id => {
                    (Cause::said(CauseKind::Supervisor, "supervisor lost"), Some(start))
                }
                State::Given(by)
                    if by == id && intents.contains(&which) && !bug::is_made(Bug::IntentAgain) =>
                {
                    (Cause::said(CauseKind::Launch, "launch lost"), None)
                }
                State::Given(by) if by == id => {
                    known.set(which, State::Held);
                    continue;
                }
                _ => continue,
            };
            if !known.earlier_boot {
                ends.push((which, end_of(which, now, start, &cause)));
            }
        }
        if was_current && before_any_start(&remains) {
            known.losses = known.losses.saturating_add(1);
        }
        self.record_ends(job, ends);
        self.bury_withdrawn(job);
        self.hand_out(now, job);
    }

    /// What was ordered in an earlier boot and has neither end nor tombstone is gone; the controller knows by the boot.
    pub(super) fn leave_earlier_boot(&mut self, now: Now, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.earlier_boot = false;
        let ended = |state: &State| matches!(state, State::Ended(..) | State::Never);
        let gone: Vec<Try> =
            job.entries.iter().filter(|(_, entry)| !ended(&entry.state)).map(|(which, _)| *which).collect();
        if job.entries.is_empty() {
            return self.rest(now, id);
        }
        gone.into_iter().for_each(|which| self.forget(now, id, which));
    }

    pub(super) fn end_held(&mut self, now: Now, id: JobId, cause: &Cause) {
        let Some(job) = self.jobs.get(&id) else { return };
        let ends = job.held.iter().map(|which| (*which, end_of(*which, now, None, cause))).collect();
        self.record_ends(id, ends);
    }

    fn record_ends(&mut self, job: JobId, ends: Vec<(Try, End)>) {
        if ends.is_empty() {
            return;
        }
        for (which, end) in &ends {
            self.set(job, *which, State::Ended(None, Box::new(end.clone())));
            self.mark(job, *which);
        }
        self.records.push(Record::Ended { job, ends });
    }
}

fn before_any_start(remains: &Remains) -> bool {
    remains.intents.is_empty() && remains.started.is_empty() && remains.ended.is_empty()
}

fn end_of(which: Try, now: Now, start: Option<WallTime>, cause: &Cause) -> End {
    End {
        state: EndState::NodeFail,
        exit_code: 0,
        signal: 0,
        cause: cause.clone(),
        node: None,
        start,
        end: now.wall,
        usage: Usage::default(),
        attempt: which.attempt,
    }
}
