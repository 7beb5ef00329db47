//! What nodes report: the inventory, starts, ends. An end is committed once; a repeat is only
//! confirmed again.

use std::collections::{BTreeMap, BTreeSet};

use super::Core;
use super::command::{Effect, Outcome};
use super::dispatch::add_to_runs;
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{Attempt, Instance, JobId, NodeId, Ordinal, SessionId, TaskRef};
use crate::model::record::{Live, Phase, Wanted};
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::task_set::TaskSet;
use crate::model::text::{NODE_WORDS_BYTES_MAX, clip};
use crate::model::time::{Now, WallTime};
use crate::session::{Inventory, NodeSession};
use crate::wire::node::{Act, KillReason, Report, TaskRun, ToNode};

impl Core {
    pub(super) fn on_report(
        &mut self,
        now: Now,
        node: NodeId,
        session: SessionId,
        report: Box<Report>,
        outcome: &mut Outcome,
    ) {
        let Some(open) = self.sessions.get_mut(&node).filter(|open| open.id == session) else { return };
        let taken = open.take(&report);
        let instance = open.instance;
        self.heard(now, node);
        let confirm = ToNode::Confirmed { report: report.number };
        let inventory = match taken {
            Ok(inventory) => inventory,
            Err(crate::session::Unexpected::Repeated) => {
                return outcome.effects.push(Effect::Send { node, session, message: Box::new(confirm) });
            }
            Err(crate::session::Unexpected::Gap) => {
                return self.end_session(node, "a report is missing in between", outcome);
            }
        };
        let open = self.sessions.get(&node).is_some_and(NodeSession::is_open) && inventory.is_none();
        let mut freed: BTreeMap<JobId, u32> = BTreeMap::new();
        if open {
            for started in &report.started {
                self.on_started(
                    now,
                    node,
                    started.attempt.task,
                    started.attempt.attempt,
                    started.start,
                    outcome,
                );
            }
        }
        for ended in report.ended {
            let mut end = End { node: Some(node), ..ended.end };
            clip(&mut end.cause.text, NODE_WORDS_BYTES_MAX);
            clip(&mut end.cause.by, NODE_WORDS_BYTES_MAX);
            // What could not even be launched is no sign of a fast flow.
            *freed.entry(ended.task.job).or_default() += u32::from(end.start.is_some());
            self.on_ended(now, node, ended.task, end, outcome);
        }
        for never in &report.never {
            *freed.entry(never.task.job).or_default() += 0;
            self.on_never(now, node, never.task, never.attempt, outcome);
        }
        outcome.effects.push(Effect::Send { node, session, message: Box::new(confirm) });
        if let Some(inventory) = inventory {
            self.conclude(now, node, instance, &inventory, outcome);
            let held: Vec<JobId> = self.jobs_on(node);
            freed.extend(held.into_iter().map(|job| (job, 0)));
        }
        for (job, ended) in freed {
            self.refill(now, job, node, ended, outcome);
        }
    }

    fn on_started(
        &mut self,
        now: Now,
        node: NodeId,
        task: TaskRef,
        attempt: Attempt,
        start: WallTime,
        outcome: &mut Outcome,
    ) {
        let Some(live) = self.live(node, task, attempt) else { return };
        if matches!(live.phase, Phase::Handed | Phase::Starting) {
            let wanted = live.wanted;
            let phase = if wanted == Wanted::Run || wanted == Wanted::Back {
                Phase::Running
            } else {
                Phase::Completing
            };
            let live = Live { phase, start: Some(start), ..live };
            let first = self.cluster.jobs.get(&task.job).is_some_and(|job| job.first_start.is_none());
            self.commit(Change::Live { job: task.job, set: TaskSet::one(task.ordinal), live }, outcome);
            self.note_launch(now, task, &live, None, outcome);
            if first {
                self.wake_dependents(now, task.job, None, outcome);
            }
        }
    }

    /// The live record of an attempt, if it is the current one and on that node.
    fn live(&self, node: NodeId, task: TaskRef, attempt: Attempt) -> Option<Live> {
        let live = self.cluster.jobs.get(&task.job)?.live.get(&task.ordinal).copied()?;
        let same = live.attempt == attempt || bug::is_made(Bug::LateToNew);
        (live.node == node && same).then_some(live)
    }

    pub(super) fn on_ended(
        &mut self,
        now: Now,
        node: NodeId,
        task: TaskRef,
        end: End,
        outcome: &mut Outcome,
    ) {
        if !end.state.is_end() {
            return;
        }
        let Some(live) = self.live(node, task, end.attempt) else {
            if let Some(live) = self.abandoned(node, task, end.attempt) {
                self.on_late_end(now, task, live, end, outcome);
            } else if bug::is_made(Bug::EndedTwice) {
                self.commit(Change::Ended { task, end: Box::new(end) }, outcome);
            }
            return;
        };
        self.note_launch(now, task, &live, Some(&end), outcome);
        let end = self.with_wish(task, &live, end);
        self.end_attempt(now, task, live, end, outcome);
    }

    /// A cancel that was durable before the end record makes the end Cancelled, the code kept.
    fn with_wish(&self, task: TaskRef, live: &Live, end: End) -> End {
        if live.wanted != Wanted::Cancel || end.state == State::Cancelled {
            return end;
        }
        let note = self.cluster.jobs.get(&task.job).and_then(|job| job.cancel.clone());
        let cause = match note {
            Some(note) => Cause { kind: CauseKind::Cancel, by: note.by.clone(), text: note.text.clone() },
            None => Cause::plain(CauseKind::Cancel),
        };
        End { state: State::Cancelled, cause, ..end }
    }

    fn on_never(&mut self, now: Now, node: NodeId, task: TaskRef, attempt: Attempt, outcome: &mut Outcome) {
        let Some(live) = self.live(node, task, attempt) else {
            return self.on_late_never(node, task, attempt, outcome);
        };
        let job = self.cluster.jobs.get(&task.job);
        let latest = job.and_then(|job| job.slots.get(&node)).and_then(|slots| slots.not_after);
        if live.wanted == Wanted::Run && !self.is_held(task.job) && latest.is_some_and(|at| now.wall < at) {
            // By our clock it was not too late. Sent there again at once, it would come back at once, and so on.
            self.sight(node).clock_unsure = true;
            self.untold.nodes.insert(node);
        }
        self.take_back(now, task, live, outcome);
    }

    /// An attempt that never started, and never will: its number is used up, but it was no start.
    pub(super) fn take_back(&mut self, now: Now, task: TaskRef, live: Live, outcome: &mut Outcome) {
        let old = self.cluster.jobs.get(&task.job).and_then(|job| job.exceptions.get(&task.ordinal).copied());
        let mut exception = old.unwrap_or_default();
        exception.attempts = live.attempt;
        exception.unstarted += 1;
        self.commit(Change::Exception { task, exception }, outcome);
        let set = TaskSet::one(task.ordinal);
        if live.wanted == Wanted::Cancel {
            let end = End {
                state: State::Cancelled,
                exit_code: 0,
                signal: 0,
                cause: Cause::plain(CauseKind::Cancel),
                node: None,
                start: None,
                end: now.wall,
                usage: Usage::default(),
                attempt: live.attempt,
            };
            let end = self.with_wish(task, &live, End { state: State::Failed, ..end });
            self.commit(Change::Ended { task, end: Box::new(end) }, outcome);
            return self.after_ends(now, task.job, &set, outcome);
        }
        self.commit(Change::Waiting { job: task.job, set, held: self.is_held(task.job) }, outcome);
    }

    pub(super) fn is_held(&self, job: JobId) -> bool {
        self.cluster.jobs.get(&job).is_some_and(|job| super::state::is_held(&job.record))
    }

    /// The inventory is complete: what the node lacks is sent again or has been lost, what it has too much is ended.
    fn conclude(
        &mut self,
        now: Now,
        node: NodeId,
        instance: Instance,
        inventory: &Inventory,
        outcome: &mut Outcome,
    ) {
        self.conclude_abandoned(now, node, instance, inventory, outcome);
        let mut known: BTreeSet<(TaskRef, Attempt)> = BTreeSet::new();
        for id in self.jobs_on(node) {
            let Some(job) = self.cluster.jobs.get(&id).cloned() else { continue };
            let mut again: Vec<TaskRun> = Vec::new();
            for (ordinal, live) in job.live.iter().filter(|(_, live)| live.node == node) {
                let task = TaskRef { job: id, ordinal: *ordinal };
                let key = (task, live.attempt);
                known.insert(key);
                if let Some(start) = inventory.started.get(&key) {
                    self.on_started(now, node, task, live.attempt, *start, outcome);
                    self.repeat_wish(&job, *ordinal, *live, outcome);
                } else if inventory.queued.contains(&key) {
                    self.repeat_wish(&job, *ordinal, *live, outcome);
                } else if live.phase == Phase::Handed || live.phase == Phase::Starting {
                    if live.instance == instance || bug::is_made(Bug::LaunchToNewBoot) {
                        add_to_runs(&mut again, *ordinal, live.attempt);
                    } else {
                        self.lose(now, task, *live, "the node rebooted", outcome);
                    }
                } else {
                    let same = live.instance == instance;
                    let why = if same { "the node no longer has it" } else { "the node rebooted" };
                    self.lose(now, task, *live, why, outcome);
                }
            }
            let wanted = self.split_by_wish(&job, again);
            for (ordinal, live) in wanted.1 {
                self.take_back(now, TaskRef { job: id, ordinal }, live, outcome);
            }
            let has = |(ordinal, live): (&Ordinal, &Live)| {
                let key = (TaskRef { job: id, ordinal: *ordinal }, live.attempt);
                live.node == node && (inventory.started.contains_key(&key) || inventory.queued.contains(&key))
            };
            if job.record.version > 1 && job.live.iter().any(has) {
                // A change of its limit may have been told to a session that was gone.
                let limit = job.record.limit;
                self.send_order(node, id, Act::Limit { limit }, outcome);
            }
            if !wanted.0.is_empty()
                && let Some(slots) = job.slots.get(&node).copied()
            {
                self.send_launch(&job, node, wanted.0, slots, outcome);
            }
        }
        known.append(&mut self.adopt(now, node, instance, inventory, outcome));
        self.end_strangers(node, inventory, &known, outcome);
        let instance_now = Some(instance);
        let sight = self.sight(node);
        sight.ready = true;
        sight.instance = instance_now;
        self.untold.nodes.insert(node);
    }

    /// Splits tasks to be sent again from those that nobody wants any more.
    fn split_by_wish(
        &self,
        job: &super::job::Job,
        runs: Vec<TaskRun>,
    ) -> (Vec<TaskRun>, Vec<(Ordinal, Live)>) {
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        for run in runs {
            for ordinal in (run.first.0..=run.last.0).map(Ordinal) {
                match job.live.get(&ordinal) {
                    Some(live) if live.wanted == Wanted::Run => {
                        add_to_runs(&mut wanted, ordinal, run.attempt)
                    }
                    Some(live) => unwanted.push((ordinal, *live)),
                    None => {}
                }
            }
        }
        (wanted, unwanted)
    }

    /// A cancel or requeue that the node may not have heard is said again.
    fn repeat_wish(&mut self, job: &super::job::Job, ordinal: Ordinal, live: Live, outcome: &mut Outcome) {
        let attempts = vec![TaskRun { first: ordinal, last: ordinal, attempt: live.attempt }];
        let act = match live.wanted {
            Wanted::Run => return,
            Wanted::Back => Act::Withdraw { attempts },
            Wanted::Cancel => Act::Kill { attempts, reason: job.cancel_reason() },
            Wanted::Requeue => Act::Kill { attempts, reason: requeue_reason() },
            Wanted::Preempt => Act::Kill { attempts, reason: super::drain::drain_reason() },
        };
        self.send_order(live.node, job.id(), act, outcome);
    }

    fn end_strangers(
        &mut self,
        node: NodeId,
        inventory: &Inventory,
        known: &BTreeSet<(TaskRef, Attempt)>,
        outcome: &mut Outcome,
    ) {
        let all = inventory.queued.iter().chain(inventory.started.keys());
        let mut by_job: BTreeMap<JobId, Vec<TaskRun>> = BTreeMap::new();
        for (task, attempt) in all.filter(|key| !known.contains(key)) {
            add_to_runs(by_job.entry(task.job).or_default(), task.ordinal, *attempt);
        }
        for (job, attempts) in by_job {
            self.send_order(node, job, Act::Kill { attempts, reason: KillReason::GivenUp }, outcome);
        }
    }

    /// An attempt is known to be dead without having reported its end.
    pub(super) fn lose(&mut self, now: Now, task: TaskRef, live: Live, why: &str, outcome: &mut Outcome) {
        let end = self.with_wish(task, &live, super::lost::lost_end(now, &live, why));
        self.end_attempt(now, task, live, end, outcome);
    }

    pub(super) fn jobs_on(&self, node: NodeId) -> Vec<JobId> {
        self.cluster.on_node.range((node, JobId(0))..=(node, JobId(u64::MAX))).map(|(_, job)| *job).collect()
    }
}

/// What an attempt that is wanted back by its owner is told.
pub(super) fn requeue_reason() -> KillReason {
    KillReason::Preempt { text: "requeued".to_owned() }
}

impl super::job::Job {
    /// Why its tasks are cancelled, for the node.
    pub(super) fn cancel_reason(&self) -> KillReason {
        match &self.cancel {
            Some(note) => KillReason::Cancel { by: note.by.clone(), text: note.text.clone() },
            None => KillReason::Cancel { by: String::new(), text: String::new() },
        }
    }
}
