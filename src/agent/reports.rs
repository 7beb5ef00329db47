//! The session with the controller: what it is told, and what it has confirmed.

use std::collections::{BTreeSet, VecDeque};

use super::brain::Agent;
use super::effects::Effect;
use super::jobs::State;
use super::records::Try;
use crate::model::ids::{JobId, Position, SessionId, TaskRef};
use crate::model::state::End;
use crate::model::time::{BootTime, Now, Seconds};
use crate::wire::node::{AttemptRef, Ended, ITEMS_MAX, Report, Started, Welcome};

/// How long what there is to say waits for the confirmation of an earlier report, in microseconds; then it goes all
/// the same.
pub const REPORT_HOLD_MICROS: u64 = 20_000;
/// A report is closed when it has about so many bytes.
pub const REPORT_BYTES_MAX: usize = 1 << 20;

/// About what an item takes on the wire, texts not counted.
const ITEM_BYTES: usize = 64;
/// The most beats whose answers are waited for.
const BEATS_OPEN_MAX: usize = 64;

/// What holds as long as one connection does.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    /// Or why its orders are refused and its confirmations mean nothing.
    pub(super) obey: Result<(), String>,
    /// The highest position seen when it began.
    pub(super) floor: Position,
    /// Of what something is to be said.
    pub(super) dirty: BTreeSet<(JobId, Try)>,
    pub(super) next_beat: BootTime,
    inventory_due: bool,
    reports: u64,
    /// The last report that was confirmed, and when the last one was sent.
    confirmed: u64,
    sent: BootTime,
    unconfirmed: VecDeque<(u64, Vec<(JobId, Try)>)>,
    beat: Seconds,
    beats: u64,
    beats_open: VecDeque<(u64, BootTime)>,
}

impl Session {
    pub(super) fn new(now: Now, welcome: &Welcome, floor: Position, obey: Result<(), String>) -> Session {
        Session {
            id: welcome.session,
            obey,
            floor,
            dirty: BTreeSet::new(),
            next_beat: now.boot,
            inventory_due: true,
            reports: 0,
            confirmed: 0,
            sent: now.boot,
            unconfirmed: VecDeque::new(),
            beat: Seconds(welcome.beat.0.max(1)),
            beats: 0,
            beats_open: VecDeque::new(),
        }
    }

    /// When the beat of that number was sent, if its answer was not seen yet; answers to earlier ones are void.
    pub(super) fn answered(&mut self, number: u64) -> Option<BootTime> {
        while let Some((open, sent)) = self.beats_open.front().copied() {
            if open > number {
                return None;
            }
            self.beats_open.pop_front();
            if open == number {
                return Some(sent);
            }
        }
        None
    }

    /// Until when what there is to say waits: one report is under way, and its confirmation lets the next one take
    /// all that has gathered. Ends of short tasks so travel together, and nobody waits who is alone.
    pub(super) fn held_until(&self) -> Option<BootTime> {
        let waits = !self.inventory_due && !self.dirty.is_empty() && self.confirmed < self.reports;
        waits.then_some(BootTime(self.sent.0.saturating_add(REPORT_HOLD_MICROS)))
    }

    fn next_report(&mut self, now: BootTime) -> Report {
        self.sent = now;
        self.reports += 1;
        Report { number: self.reports, ..Report::default() }
    }

    /// Sends a report and remembers what its confirmation will mean.
    fn close(&mut self, report: Report, safe: Vec<(JobId, Try)>, effects: &mut Vec<Effect>) {
        if !safe.is_empty() {
            self.unconfirmed.push_back((report.number, safe));
        }
        effects.push(Effect::Report(report));
    }
}

impl Agent {
    /// Everything up to that report is durable with the controller.
    pub fn on_confirmed(&mut self, now: Now, report: u64) {
        let Some(session) = &mut self.session else { return };
        session.confirmed = session.confirmed.max(report);
        if session.obey.is_err() {
            return;
        }
        let mut safe = Vec::new();
        while session.unconfirmed.front().is_some_and(|(number, _)| *number <= report) {
            safe.extend(session.unconfirmed.pop_front().into_iter().flat_map(|(_, tries)| tries));
        }
        for (job, which) in safe {
            self.forget(now, job, which);
        }
    }

    /// Says what there is to say: the whole inventory first, then what has changed; and a beat when it is due.
    pub(super) fn report(&mut self, now: Now) {
        let settled = self.is_settled();
        let Some(session) = &mut self.session else { return };
        if !settled {
            return;
        }
        let held = session.held_until().is_some_and(|until| now.boot < until);
        let inventory = std::mem::take(&mut session.inventory_due);
        let dirty = if held { BTreeSet::new() } else { std::mem::take(&mut session.dirty) };
        let all: Vec<(JobId, Try)> = if inventory {
            let tries = |(id, job): (&JobId, &super::jobs::Job)| {
                let id = *id;
                job.entries.keys().map(move |which| (id, *which)).collect::<Vec<_>>()
            };
            self.jobs.iter().flat_map(tries).collect()
        } else {
            dirty.into_iter().collect()
        };
        let mut open: Option<Report> = None;
        let (mut safe, mut items, mut bytes) = (Vec::new(), 0, 0);
        for (id, which) in all {
            let Some(entry) = self.jobs.get(&id).and_then(|job| job.entries.get(&which)) else { continue };
            if !inventory && matches!(entry.state, State::Held | State::Given(_)) {
                continue;
            }
            let report = open.get_or_insert_with(|| session.next_report(now.boot));
            bytes += ITEM_BYTES + add(report, id, which, &entry.state);
            items += 1;
            if matches!(entry.state, State::Ended(..) | State::Never) {
                safe.push((id, which));
            }
            if items >= ITEMS_MAX || bytes >= REPORT_BYTES_MAX {
                session.close(open.take().unwrap_or_default(), std::mem::take(&mut safe), &mut self.effects);
                (items, bytes) = (0, 0);
            }
        }
        if inventory {
            open.get_or_insert_with(|| session.next_report(now.boot)).last_of_inventory = true;
        }
        if let Some(report) = open {
            session.close(report, safe, &mut self.effects);
        }
        if session.next_beat <= now.boot {
            session.beats += 1;
            session.beats_open.push_back((session.beats, now.boot));
            if session.beats_open.len() > BEATS_OPEN_MAX {
                session.beats_open.pop_front();
            }
            session.next_beat = now.boot.plus(session.beat);
            self.effects.push(Effect::Beat(session.beats));
        }
    }
}

/// Puts an attempt into a report; returns the bytes of its texts.
fn add(report: &mut Report, job: JobId, which: Try, state: &State) -> usize {
    let task = TaskRef { job, ordinal: which.ordinal };
    let attempt = AttemptRef { task, attempt: which.attempt };
    match state {
        State::Held | State::Given(_) => report.queued.push(attempt),
        State::Started(_, start) => report.started.push(Started { attempt, start: *start }),
        State::Ended(_, end) => {
            report.ended.push(Ended { task, end: End::clone(end) });
            return end.cause.text.len() + end.cause.by.len();
        }
        State::Never => report.never.push(attempt),
    }
    0
}
