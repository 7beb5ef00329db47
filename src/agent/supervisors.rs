//! One supervisor per job: what it is given, and what it says.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::brain::Agent;
use super::effects::{Effect, Notice, Remains, Said, SupervisorId, Tell};
use super::jobs::State;
use super::records::{Record, Try, runs_of};
use crate::model::bug::{self, Bug};
use crate::model::ids::JobId;
use crate::model::state::{Cause, CauseKind, End};
use crate::model::time::{BootTime, Now, TimeLimit, WallTime};

/// So many supervisors of a job may be lost in a row without having started anything; then what is held ends.
pub const SUPERVISOR_TRIES_MAX: u32 = 3;
/// The most attempts that one supervisor is given and has not started; the agent holds the others.
pub const GIVEN_MAX: usize = 2_048;

/// How far a supervisor is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// Found in the spool; neither reached nor found dead yet.
    Unknown,
    /// Asked for.
    Starting,
    /// Speaks.
    Ready,
    /// Was told to go, or will be as soon as it speaks.
    Finishing,
    /// Dead; what it left is being ended.
    Lost(Remains),
}

/// A supervisor.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) job: JobId,
    pub(super) phase: Phase,
    /// The numbers of the notices of ends that the controller has not confirmed.
    pub(super) unsafe_notices: BTreeSet<u64>,
    /// Found in the spool when nothing was known of its job: it can be told to go, and gets nothing to run.
    pub(super) stray: bool,
    /// The last contact that it was told of, over this connection.
    contact: Option<BootTime>,
    seen: u64,
    acknowledged: u64,
}

impl Supervisor {
    pub(super) fn new(job: JobId, phase: Phase) -> Supervisor {
        Supervisor {
            job,
            phase,
            unsafe_notices: BTreeSet::new(),
            stray: false,
            contact: None,
            seen: 0,
            acknowledged: 0,
        }
    }
}

impl Agent {
    /// A supervisor speaks.
    pub fn on_supervisor(&mut self, now: Now, id: SupervisorId, said: Said) {
        let Some(supervisor) = self.supervisors.get(&id) else { return };
        if matches!(supervisor.phase, Phase::Lost(_)) {
            return;
        }
        let job = supervisor.job;
        match said {
            Said::Ready { held, started, notices } => self.on_ready(now, id, job, held, started, notices),
            Said::Started(list) => {
                list.into_iter().for_each(|(which, start)| self.on_started(id, job, which, start));
            }
            Said::Notices(list) => self.on_notices(id, job, list),
            Said::Kept(list) => list.into_iter().for_each(|which| self.mark(job, which)),
        }
        if self.jobs.get(&job).is_some_and(|known| !known.held.is_empty()) {
            self.hand_out(now, job);
        }
    }

    /// A supervisor could not be started at all, or did not take its job; the text says why and what to do.
    pub fn on_supervisor_failed(&mut self, now: Now, id: SupervisorId, text: &str) {
        let Some(supervisor) = self.supervisors.remove(&id) else { return };
        self.effects.push(Effect::Remove { supervisor: id, job: supervisor.job });
        self.leave(id, supervisor.job);
        // One that was there ahead of any job is given tasks before it has said whether it takes the job.
        if let Some(job) = self.jobs.get_mut(&supervisor.job) {
            let given = job.entries.iter().filter(|(_, entry)| entry.state == State::Given(id));
            let given: Vec<Try> = given.map(|(which, _)| *which).collect();
            given.into_iter().for_each(|which| job.set(which, State::Held));
        }
        self.bury_withdrawn(supervisor.job);
        self.end_held(now, supervisor.job, &Cause::said(CauseKind::Launch, text));
    }

    /// Gives what is held to the job's supervisor, and starts one if there is none.
    pub(super) fn hand_out(&mut self, now: Now, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        if job.unsettled > 0 || job.leftovers > 0 {
            // What may still run would run beside it (seed 1205 of the simulator).
            return;
        }
        if job.earlier_boot {
            return self.leave_earlier_boot(now, id);
        }
        if job.held.is_empty() || job.given >= GIVEN_MAX {
            return;
        }
        if job.losses >= SUPERVISOR_TRIES_MAX {
            let text =
                format!("{SUPERVISOR_TRIES_MAX} supervisors in a row were lost before they started anything");
            if let Some(job) = self.jobs.get_mut(&id) {
                // What is ordered later is tried anew (seed 20326 of the simulator: it was ended at once, thousands of times).
                job.losses = 0;
            }
            return self.end_held(now, id, &Cause::said(CauseKind::Supervisor, text));
        }
        if !self.has_lease(now, id) {
            // It would be frozen where it begins; contact hands it out.
            return;
        }
        if job.stale && !self.retire(id) {
            return;
        }
        let Some(job) = self.jobs.get(&id) else { return };
        let current =
            job.current.and_then(|current| self.supervisors.get(&current).map(|s| (current, &s.phase)));
        match current {
            Some((current, Phase::Ready)) => self.give(id, current),
            Some(_) => {}
            None => self.start_supervisor(now, id),
        }
    }

    /// Lets the supervisor go that knows the job as it was, once it has nothing more to run: what is held waits for
    /// that, since two at once would run more than the job's slots. False as long as it has.
    fn retire(&mut self, id: JobId) -> bool {
        let Some(job) = self.jobs.get_mut(&id) else { return true };
        if let Some(current) = job.current {
            let busy = job.entries.values().any(|entry| match entry.state {
                State::Given(with) | State::Started(with, _) => with == current,
                _ => false,
            });
            let idle = |known: &Supervisor| matches!(known.phase, Phase::Ready | Phase::Finishing);
            if busy || !self.supervisors.get(&current).is_none_or(idle) {
                return false;
            }
            self.finish_supervisors(id);
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            job.stale = false;
        }
        true
    }

    /// Says how long tasks may run.
    pub(super) fn tell_limit(&mut self, id: JobId, limit: TimeLimit) {
        let Some(job) = self.jobs.get(&id) else { return };
        for supervisor in job.others.iter().chain(&job.current) {
            let speaks = |known: &Supervisor| matches!(known.phase, Phase::Ready | Phase::Finishing);
            if self.supervisors.get(supervisor).is_some_and(speaks) {
                let what = Tell::Limit(limit);
                self.effects.push(Effect::Tell { supervisor: *supervisor, job: id, what });
            }
        }
    }

    /// Whether attempts of the job may run: contact was not too long ago, or they need none.
    fn has_lease(&self, now: Now, id: JobId) -> bool {
        let Some(lease) = self.jobs.get(&id).and_then(|job| job.body.as_ref()?.lease()) else { return true };
        self.contact().is_some_and(|at| now.boot < at.plus(lease))
    }

    /// There was contact: leases begin anew, and what waited for it is handed out.
    pub(super) fn tell_contact(&mut self, now: Now) {
        let speaks = |known: &&Supervisor| matches!(known.phase, Phase::Ready | Phase::Finishing);
        let all: Vec<(SupervisorId, JobId)> = self
            .supervisors
            .iter()
            .filter(|(_, known)| speaks(known))
            .map(|(id, known)| (*id, known.job))
            .collect();
        all.into_iter().for_each(|(supervisor, job)| self.tell_contact_to(supervisor, job));
        let held = |(_, job): &(&JobId, &super::jobs::Job)| !job.held.is_empty();
        let waiting: Vec<JobId> = self.jobs.iter().filter(held).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|job| self.hand_out(now, job));
    }

    fn tell_contact_to(&mut self, supervisor: SupervisorId, job: JobId) {
        let leased = self.jobs.get(&job).and_then(|job| job.body.as_ref()?.lease()).is_some();
        let Some(at) = self.contact().filter(|_| leased) else { return };
        let Some(known) = self.supervisors.get_mut(&supervisor) else { return };
        if known.contact.replace(at) != Some(at) {
            self.effects.push(Effect::Tell { supervisor, job, what: Tell::Contact(at) });
        }
    }

    /// Says how many tasks run at once.
    pub(super) fn tell_slots(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(supervisor) = job.current else { return };
        if self.supervisors.get(&supervisor).is_some_and(|current| current.phase == Phase::Ready) {
            self.effects.push(Effect::Tell { supervisor, job: id, what: Tell::Slots(job.slots) });
        }
    }

    /// Lets a job's supervisors go.
    pub(super) fn finish_supervisors(&mut self, id: JobId) {
        // It goes when it holds nothing, and it holds its ends until it hears that they are safe.
        self.acknowledge_ends();
        let Some(job) = self.jobs.get_mut(&id) else { return };
        for supervisor in std::mem::take(&mut job.others).into_iter().chain(job.current.take()) {
            let Some(known) = self.supervisors.get_mut(&supervisor) else { continue };
            if known.phase == Phase::Ready {
                self.effects.push(Effect::Tell { supervisor, job: id, what: Tell::Finish });
            }
            if matches!(known.phase, Phase::Ready | Phase::Starting) {
                known.phase = Phase::Finishing;
            }
        }
    }

    /// Tells supervisors which ends the controller holds.
    pub(super) fn acknowledge_ends(&mut self) {
        for id in std::mem::take(&mut self.acknowledge) {
            let Some(supervisor) = self.supervisors.get_mut(&id) else { continue };
            let safe =
                supervisor.unsafe_notices.first().map_or(supervisor.seen, |first| first.saturating_sub(1));
            if safe > supervisor.acknowledged && !matches!(supervisor.phase, Phase::Lost(_)) {
                supervisor.acknowledged = safe;
                let (job, what) = (supervisor.job, Tell::Acknowledge(safe));
                self.effects.push(Effect::Tell { supervisor: id, job, what });
            }
        }
    }

    fn on_ready(
        &mut self,
        now: Now,
        id: SupervisorId,
        job: JobId,
        held: Vec<Try>,
        started: Vec<(Try, WallTime)>,
        notices: Vec<Notice>,
    ) {
        let Some(supervisor) = self.supervisors.get_mut(&id) else { return };
        let before = supervisor.phase.clone();
        supervisor.acknowledged = 0;
        supervisor.contact = None;
        let goes = before == Phase::Finishing || supervisor.stray;
        if goes {
            supervisor.phase = Phase::Finishing;
            self.rest_unless_needed(now, job);
        } else {
            supervisor.phase = Phase::Ready;
            self.adopt(now, id, job);
        }
        self.settle(job, &before);
        let mut withdraw = Vec::new();
        let holds: BTreeSet<Try> = held.into_iter().collect();
        let entry_of = |agent: &Agent, which: &Try| {
            let entry = agent.jobs.get(&job)?.entries.get(which)?;
            Some((entry.state.clone(), entry.withdrawing))
        };
        for which in &holds {
            match entry_of(self, which) {
                Some((State::Held | State::Given(_), withdrawing)) => {
                    self.set(job, *which, State::Given(id));
                    if withdrawing {
                        withdraw.push(*which);
                    }
                }
                Some((State::Started(..), _)) => {}
                Some((State::Ended(..) | State::Never, _)) | None => withdraw.push(*which),
            }
        }
        started.into_iter().for_each(|(which, start)| self.on_started(id, job, which, start));
        self.on_notices(id, job, notices);
        // What was given over a connection that broke may never have arrived.
        let lost: Vec<Try> = self.jobs.get(&job).map_or_else(Vec::new, |known| {
            let given = known.entries.iter().filter(|(_, entry)| entry.state == State::Given(id));
            given.map(|(which, _)| *which).filter(|which| !holds.contains(which)).collect()
        });
        lost.into_iter().for_each(|which| self.set(job, which, State::Held));
        self.bury_withdrawn(job);
        self.tell_slots(job);
        self.tell_contact_to(id, job);
        // A change of the limit may have been said over a connection that broke, or while it was being started.
        if let Some(limit) = self.jobs.get(&job).and_then(|known| known.body.as_ref()).map(|body| body.limit)
        {
            self.effects.push(Effect::Tell { supervisor: id, job, what: Tell::Limit(limit) });
        }
        if !withdraw.is_empty() {
            let what = Tell::Withdraw(runs_of(withdraw));
            self.effects.push(Effect::Tell { supervisor: id, job, what });
        }
        if goes {
            self.acknowledge_ends();
            self.effects.push(Effect::Tell { supervisor: id, job, what: Tell::Finish });
        }
    }

    /// Makes a supervisor that speaks the job's current one, unless a newer one is.
    fn adopt(&mut self, now: Now, id: SupervisorId, job: JobId) {
        let known = self.jobs.entry(job).or_default();
        match known.current {
            Some(current) if current == id => {}
            Some(current) if current > id => known.others.push(id),
            older => {
                known.others.extend(older);
                known.current = Some(id);
            }
        }
        self.rest_unless_needed(now, job);
    }

    fn rest_unless_needed(&mut self, now: Now, job: JobId) {
        if self.jobs.get(&job).is_some_and(|known| known.entries.is_empty() && known.idle.is_none()) {
            self.rest(now, job);
        }
    }

    pub(super) fn on_started(&mut self, id: SupervisorId, job: JobId, which: Try, start: WallTime) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        match known.entries.get(&which).map(|entry| &entry.state) {
            Some(State::Held | State::Given(_)) => {
                known.losses = 0;
                known.set(which, State::Started(id, start));
            }
            Some(State::Started(..)) => {}
            Some(State::Ended(..) | State::Never) | None => return,
        }
        self.mark(job, which);
    }

    fn on_notices(&mut self, id: SupervisorId, job: JobId, list: Vec<Notice>) {
        let Some(supervisor) = self.supervisors.get_mut(&id) else { return };
        let last = list.iter().map(|notice| notice.number).max();
        supervisor.seen = supervisor.seen.max(last.unwrap_or_default());
        self.acknowledge.insert(id);
        let mut never = Vec::new();
        for Notice { number, which, end } in list {
            match end {
                Some(end) => self.on_ended(id, job, number, which, *end),
                None => never.push(which),
            }
        }
        // A tombstone is safe once it stands in the log, where it is before the acknowledgement goes out.
        self.on_never(job, never);
    }

    pub(super) fn on_ended(&mut self, id: SupervisorId, job: JobId, number: u64, which: Try, end: End) {
        let Some(supervisor) = self.supervisors.get_mut(&id) else { return };
        let Some(known) = self.jobs.get_mut(&job) else { return };
        match known.entries.get(&which).map(|entry| &entry.state) {
            Some(State::Held | State::Given(_) | State::Started(..)) => {
                known.losses = 0;
                supervisor.unsafe_notices.insert(number);
                known.set(which, State::Ended(Some((id, number)), Box::new(end)));
                self.mark(job, which);
            }
            Some(State::Ended(..) | State::Never) | None => {}
        }
    }

    fn on_never(&mut self, job: JobId, list: Vec<Try>) {
        let Some(known) = self.jobs.get_mut(&job) else { return };
        let waiting = |which: &Try| {
            let state = known.entries.get(which).map(|entry| &entry.state);
            matches!(state, Some(State::Held | State::Given(_)))
        };
        let never: Vec<Try> = list.into_iter().filter(waiting).collect();
        self.bury(job, never);
    }

    pub(super) fn set(&mut self, job: JobId, which: Try, state: State) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.set(which, state);
        }
    }

    fn bury(&mut self, id: JobId, never: Vec<Try>) {
        if never.is_empty() {
            return;
        }
        for which in &never {
            self.set(id, *which, State::Never);
            self.mark(id, *which);
        }
        if !bug::is_made(Bug::ForgetTombstone) {
            self.records.push(Record::Never { job: id, attempts: runs_of(never) });
        }
    }

    /// What is wanted back and turns out to be with nobody never starts. Only who puts something back has to ask.
    pub(super) fn bury_withdrawn(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id).filter(|job| job.unsettled == 0 && !job.earlier_boot) else {
            return;
        };
        let withdrawn = |which: &&Try| job.entries.get(which).is_some_and(|entry| entry.withdrawing);
        let withdrawn: Vec<Try> = job.held.iter().filter(withdrawn).copied().collect();
        self.bury(id, withdrawn);
    }

    fn give(&mut self, id: JobId, supervisor: SupervisorId) {
        self.tell_contact_to(supervisor, id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let room = GIVEN_MAX.saturating_sub(job.given);
        let next: Vec<Try> = job.held.iter().take(room).copied().collect();
        let mut by_time = std::collections::BTreeMap::<_, Vec<Try>>::new();
        for which in next {
            by_time.entry(job.entries.get(&which).and_then(|entry| entry.not_after)).or_default().push(which);
            job.set(which, State::Given(supervisor));
        }
        for (not_after, tries) in by_time {
            let counts = |which: &Try| Some((*which, job.entries.get(which)?.unstarted));
            let unstarted = tries.iter().filter_map(counts).filter(|(_, count)| *count > 0).collect();
            let what = Tell::Run { attempts: runs_of(tries), unstarted, slots: job.slots, not_after };
            self.effects.push(Effect::Tell { supervisor, job: id, what });
        }
    }

    fn start_supervisor(&mut self, now: Now, id: JobId) {
        let Some(body) = self.jobs.get(&id).and_then(|job| job.body.clone()) else {
            let cause = Cause::said(CauseKind::Launch, "the node's spool does not have the job's record");
            return self.end_held(now, id, &cause);
        };
        let supervisor = self.new_supervisor();
        self.supervisors.insert(supervisor, Supervisor::new(id, Phase::Starting));
        if let Some(job) = self.jobs.get_mut(&id) {
            job.current = Some(supervisor);
        }
        self.effects.push(Effect::Start { supervisor, job: id, body: Arc::clone(&body) });
    }

    /// One of those found at the beginning is known now.
    pub(super) fn settle(&mut self, job: JobId, before: &Phase) {
        if *before == Phase::Unknown {
            self.unsettled = self.unsettled.saturating_sub(1);
            if let Some(job) = self.jobs.get_mut(&job) {
                job.unsettled = job.unsettled.saturating_sub(1);
            }
        }
    }

    /// The supervisor is none of the job's any more.
    pub(super) fn leave(&mut self, id: SupervisorId, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job) {
            job.others.retain(|other| *other != id);
            if job.current == Some(id) {
                job.current = None;
            }
        }
    }
}
