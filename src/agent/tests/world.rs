//! Models of supervisors and of the controller, and what goes back and forth between them and an agent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::*;
use super::messages::*;
use crate::model::ids::*;
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::{BootTime, Now, WallTime};
use crate::wire::node::*;

pub(super) fn end(which: Try, state: State, kind: CauseKind) -> End {
    End {
        state,
        exit_code: 0,
        signal: 0,
        cause: Cause::plain(kind),
        node: None,
        start: Some(WallTime(1)),
        end: WallTime(2),
        usage: Usage::default(),
        attempt: which.attempt,
    }
}

/// A supervisor process and its records.
#[derive(Default)]
pub(super) struct Process {
    pub(super) job: JobId,
    pub(super) alive: bool,
    pub(super) speaks: bool,
    /// Found by a daemon that knew nothing of its job: all that it can be told is to go.
    pub(super) deaf: bool,
    pub(super) inbox: VecDeque<Tell>,
    pub(super) outbox: VecDeque<Said>,
    pub(super) queue: BTreeSet<Try>,
    pub(super) unacknowledged: BTreeMap<u64, Notice>,
    pub(super) numbers: u64,
    pub(super) intents: BTreeSet<Try>,
    pub(super) started: BTreeSet<Try>,
    pub(super) ended: BTreeMap<Try, End>,
}

impl Process {
    pub(super) fn remains(&self) -> Remains {
        Remains {
            intents: self.intents.iter().copied().collect(),
            started: self.started.iter().map(|which| (*which, WallTime(1))).collect(),
            ended: self.ended.iter().map(|(which, end)| (*which, end.clone())).collect(),
        }
    }

    pub(super) fn running(&self) -> Vec<Try> {
        self.started.iter().filter(|which| !self.ended.contains_key(which)).copied().collect()
    }

    pub(super) fn connect(&mut self) {
        self.speaks = true;
        self.outbox = VecDeque::from([Said::Ready {
            held: self.queue.iter().copied().collect(),
            started: self.running().into_iter().map(|which| (which, WallTime(1))).collect(),
            notices: self.unacknowledged.values().cloned().collect(),
        }]);
    }

    pub(super) fn finish(&mut self, which: Try, state: State, kind: CauseKind) {
        let end = end(which, state, kind);
        self.ended.insert(which, end.clone());
        self.notice(which, Some(Box::new(end)));
    }

    pub(super) fn notice(&mut self, which: Try, end: Option<Box<End>>) {
        self.numbers += 1;
        let notice = Notice { number: self.numbers, which, end };
        self.unacknowledged.insert(self.numbers, notice.clone());
        self.outbox.push_back(Said::Notices(vec![notice]));
    }

    pub(super) fn hear(&mut self) {
        match self.inbox.pop_front() {
            Some(Tell::Run { attempts, .. }) => {
                for which in tries_of(&attempts) {
                    assert!(
                        !self.intents.contains(&which) && self.queue.insert(which),
                        "given twice: {which:?}"
                    );
                }
            }
            Some(Tell::Withdraw(attempts)) => {
                let (never, rest): (Vec<Try>, Vec<Try>) =
                    tries_of(&attempts).partition(|which| self.queue.remove(which));
                never.into_iter().for_each(|which| self.notice(which, None));
                self.outbox.push_back(Said::Kept(rest));
            }
            Some(Tell::Kill { attempts, .. }) => {
                let running = self.running();
                for which in tries_of(&attempts).filter(|which| running.contains(which)) {
                    self.finish(which, State::Cancelled, CauseKind::Cancel);
                }
            }
            Some(Tell::Acknowledge(up_to)) => self.unacknowledged.retain(|number, _| *number > up_to),
            Some(Tell::Finish) if self.queue.is_empty() && self.running().is_empty() => {
                assert!(self.unacknowledged.is_empty(), "told to go with ends unsafe");
                self.alive = false;
            }
            _ => {}
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    Never,
    Ended(End),
    /// The controller saw another boot.
    BootOver,
}

pub(super) struct World {
    pub(super) agent: Option<Agent>,
    pub(super) now: Now,
    pub(super) instance: Instance,
    pub(super) log: Vec<Record>,
    pub(super) contents: BTreeSet<ContentHash>,
    pub(super) processes: BTreeMap<SupervisorId, Process>,
    pub(super) leftovers: BTreeSet<SupervisorId>,
    pub(super) starts: BTreeMap<(JobId, Try), u32>,
    pub(super) refusals: usize,
    // The controller.
    pub(super) session: u64,
    pub(super) connected: bool,
    pub(super) position: u64,
    pub(super) inventory: bool,
    pub(super) to_node: VecDeque<ToNode>,
    pub(super) mentioned: BTreeSet<(JobId, Try)>,
    pub(super) ordered: BTreeMap<(JobId, Try), BootId>,
    pub(super) outcomes: BTreeMap<(JobId, Try), Outcome>,
}

impl World {
    pub(super) fn new() -> World {
        let mut world = World {
            agent: None,
            now: Now::default(),
            instance: Instance { spool: SpoolId([1; 16]), boot: BootId([1; 16]) },
            log: vec![],
            contents: BTreeSet::new(),
            processes: BTreeMap::new(),
            leftovers: BTreeSet::new(),
            starts: BTreeMap::new(),
            refusals: 0,
            session: 0,
            connected: false,
            position: 0,
            inventory: false,
            to_node: VecDeque::new(),
            mentioned: BTreeSet::new(),
            ordered: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        };
        world.restart();
        world
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.to_node.clear();
        if let Some(agent) = &mut self.agent {
            agent.on_disconnected();
        }
    }

    /// Whatever lived in the daemon's memory is gone; it lives again from its spool.
    pub(super) fn restart(&mut self) {
        self.disconnect();
        self.leftovers.clear();
        for process in self.processes.values_mut().filter(|process| process.alive) {
            process.speaks = false;
            while !process.inbox.is_empty() {
                process.hear();
            }
        }
        let supervisors = self.processes.iter().map(|(id, process)| (*id, process.job)).collect();
        let contents = self.contents.iter().copied().collect();
        let facts = Facts { instance: self.instance, records: self.log.clone(), supervisors, contents };
        let agent = Agent::new(self.now, facts);
        for process in self.processes.values_mut() {
            process.deaf = agent.body(process.job).is_none();
        }
        self.agent = Some(agent);
    }

    pub(super) fn reboot(&mut self) {
        self.processes.values_mut().for_each(|process| process.alive = false);
        self.instance.boot.0[0] += 1;
        self.restart();
    }

    pub(super) fn connect(&mut self) {
        let agent = self.agent.as_mut().unwrap();
        if self.connected || !agent.is_settled() {
            return;
        }
        self.session += 1;
        self.connected = true;
        self.inventory = false;
        self.mentioned.clear();
        let (incarnation, _, position) = agent.office();
        assert!(incarnation.is_none_or(|mine| mine == Incarnation([5; 16])) && position.0 <= self.position);
        let mut welcome = welcome(Incarnation([5; 16]), 1, self.position);
        welcome.session = SessionId(self.session);
        agent.on_connected(self.now, &welcome);
    }

    /// Ends a turn; with a number, the daemon dies after so many effects.
    pub(super) fn flush(&mut self, dies_after: Option<usize>) {
        let effects = self.agent.as_mut().unwrap().flush(self.now);
        let count = dies_after.map_or(effects.len(), |n| n.min(effects.len()));
        for effect in effects.into_iter().take(count) {
            self.carry_out(effect);
        }
        if dies_after.is_some() {
            self.restart();
        }
    }

    pub(super) fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Keep(content) => drop(self.contents.insert(content.hash)),
            Effect::Drop(hash) => drop(self.contents.remove(&hash)),
            Effect::Append(records) => self.log.extend(records),
            Effect::Start { supervisor, job, body } => {
                assert!(self.contents.contains(&body.script) && self.contents.contains(&body.environment));
                let mut process = Process { job, alive: true, ..Process::default() };
                process.connect();
                assert!(self.processes.insert(supervisor, process).is_none());
            }
            Effect::Tell { supervisor, what, .. } => {
                if let Some(process) = self.processes.get_mut(&supervisor).filter(|process| process.alive) {
                    assert!(
                        !process.deaf || !matches!(what, Tell::Run { .. }),
                        "said to one who cannot know: {what:?}"
                    );
                    process.inbox.push_back(what);
                }
            }
            Effect::EndLeftovers { supervisor, .. } => drop(self.leftovers.insert(supervisor)),
            Effect::Remove { supervisor, .. } => {
                let process = self.processes.remove(&supervisor).unwrap();
                assert!(!process.alive, "the folder of a living supervisor");
            }
            Effect::Report(report) => self.controller_hears(report),
            Effect::Refuse(refused) => {
                self.refusals += 1;
                assert!(refused.reason.starts_with(MISSING_CONTENT), "{}", refused.reason);
            }
            Effect::Beat(number) => self.to_node.push_back(ToNode::Beat { number }),
        }
    }

    pub(super) fn runs(&self, job: JobId, which: Try) -> bool {
        self.processes.values().any(|process| process.job == job && process.running().contains(&which))
    }

    pub(super) fn controller_hears(&mut self, report: Report) {
        assert!(self.connected);
        for ended in &report.ended {
            let which = Try { attempt: ended.end.attempt, ordinal: ended.task.ordinal };
            assert!(!self.runs(ended.task.job, which) || self.processes.values().any(|p| !p.alive));
            self.settle((ended.task.job, which), Outcome::Ended(ended.end.clone()));
        }
        for never in &report.never {
            let key = (never.task.job, Try { attempt: never.attempt, ordinal: never.task.ordinal });
            assert!(!self.starts.contains_key(&key), "never, but it has started");
            self.settle(key, Outcome::Never);
        }
        let refs = report.started.iter().map(|started| started.attempt).chain(report.queued.iter().copied());
        self.mentioned
            .extend(refs.map(|one| (one.task.job, Try { attempt: one.attempt, ordinal: one.task.ordinal })));
        self.to_node.push_back(ToNode::Confirmed { report: report.number });
        if report.last_of_inventory {
            self.inventory = true;
            let open = self.ordered.iter().filter(|(key, _)| !self.outcomes.contains_key(key));
            let open: Vec<_> = open.map(|(key, boot)| (*key, *boot)).collect();
            for (key, boot) in open {
                if boot != self.instance.boot {
                    self.outcomes.insert(key, Outcome::BootOver);
                } else if !self.mentioned.contains(&key) {
                    self.order(key.0, launch(key.1));
                }
            }
        }
    }

    pub(super) fn settle(&mut self, key: (JobId, Try), outcome: Outcome) {
        let known = self.outcomes.entry(key).or_insert_with(|| outcome.clone());
        let late = *known == Outcome::BootOver;
        assert!(late || *known == outcome, "{key:?}: first {known:?}, then {outcome:?}");
    }

    pub(super) fn order(&mut self, job: JobId, act: Act) {
        self.position += 1;
        self.to_node.push_back(ToNode::Order(Order {
            incarnation: Incarnation([5; 16]),
            epoch: Epoch(1),
            position: Position(self.position),
            session: SessionId(self.session),
            instance: self.instance,
            job,
            act,
        }));
    }

    /// The controller wants something of the `n`th open attempt, or of a new one.
    pub(super) fn controller_acts(&mut self, what: u8, n: usize) {
        if !self.connected || !self.inventory {
            return;
        }
        let open: Vec<_> =
            self.ordered.keys().filter(|key| !self.outcomes.contains_key(key)).copied().collect();
        if what < 3 || open.is_empty() {
            let job = JobId(1 + n as u64 % 3);
            let ordinal = Ordinal(n as u32 % 5);
            let before = self.ordered.keys().filter(|key| key.0 == job && key.1.ordinal == ordinal).count();
            let which = Try { attempt: Attempt(before as u32 + 1), ordinal };
            self.ordered.insert((job, which), self.instance.boot);
            return self.order(job, launch(which));
        }
        let (job, which) = open[n % open.len()];
        let attempts = vec![run(which)];
        let act = match what {
            3 => launch(which),
            4 => Act::Withdraw { attempts },
            5 => Act::Signal { attempts, signal: 10, batch_only: false },
            _ => Act::Kill { attempts, reason: KillReason::Deadline },
        };
        self.order(job, act);
    }

    pub(super) fn node_hears(&mut self) {
        let agent = self.agent.as_mut().unwrap();
        match self.to_node.pop_front() {
            Some(ToNode::Order(order)) => agent.on_order(self.now, order),
            Some(ToNode::Confirmed { report }) => agent.on_confirmed(self.now, report),
            Some(ToNode::Beat { number }) => agent.on_beat_answer(self.now, number),
            None => {}
        }
    }

    /// One step of one supervisor, or of the daemon's dealings with it.
    pub(super) fn supervisor_acts(&mut self, what: u8, n: usize) {
        let ids: Vec<SupervisorId> = self.processes.keys().copied().collect();
        let Some(&id) = ids.get(n % ids.len().max(1)) else { return };
        let agent = self.agent.as_mut().unwrap();
        let process = self.processes.get_mut(&id).unwrap();
        if !process.alive {
            let remains = process.remains();
            if self.leftovers.remove(&id) {
                // What still ran is ended, without a record.
                process.started.clear();
                agent.on_leftovers_ended(self.now, id);
            } else {
                agent.on_supervisor_lost(self.now, id, remains);
            }
            return;
        }
        if !process.speaks {
            process.connect();
        }
        let (job, boot) = (process.job, self.instance.boot);
        let first = process.queue.first().copied();
        match (what, first) {
            (0 | 1, _) => process.hear(),
            (2..=4, _) => {
                if let Some(said) = process.outbox.pop_front() {
                    agent.on_supervisor(self.now, id, said);
                }
            }
            (5 | 6, Some(which)) => {
                process.queue.remove(&which);
                process.intents.insert(which);
                process.started.insert(which);
                process.outbox.push_back(Said::Started(vec![(which, WallTime(1))]));
                *self.starts.entry((job, which)).or_default() += 1;
                assert_eq!(
                    self.ordered[&(job, which)],
                    boot,
                    "started in another boot than it was ordered in"
                );
            }
            (7, Some(which)) => {
                // Dies between intent and record of the start; the process may have come to be.
                process.queue.remove(&which);
                process.intents.insert(which);
                process.alive = false;
                *self.starts.entry((job, which)).or_default() += 1;
            }
            (8 | 9, _) => {
                if let Some(which) = process.running().first() {
                    process.finish(*which, State::Completed, CauseKind::Exit);
                }
            }
            (10, _) => process.alive = false,
            _ => {}
        }
    }

    pub(super) fn check(&self) {
        assert!(self.starts.values().all(|starts| *starts <= 1), "{:?}", self.starts);
        for process in self.processes.values() {
            for (which, end) in &process.ended {
                if let Some(Outcome::Ended(known)) = self.outcomes.get(&(process.job, *which)) {
                    assert_eq!(known, end, "an end was recorded, another was reported");
                }
            }
        }
    }

    /// Lets everything come to rest, fairly; true when it has.
    pub(super) fn come_to_rest(&mut self) -> bool {
        for _ in 0..2_000 {
            self.now.boot = BootTime(self.now.boot.0 + FINISH_LINGER_MICROS);
            self.connect();
            self.node_hears();
            for n in 0..self.processes.len() {
                for what in [0, 2, 5, 8] {
                    self.supervisor_acts(what, n);
                }
            }
            self.flush(None);
            self.check();
            let open = self.ordered.keys().filter(|key| !self.outcomes.contains_key(key)).count();
            let rest = self.agent.as_ref().unwrap().attempts() == 0;
            if open == 0 && rest && self.processes.is_empty() && self.to_node.is_empty() {
                return true;
            }
        }
        false
    }
}
