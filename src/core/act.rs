//! Verbs on jobs: cancel, signal, hold, release, requeue, suspend, resume, set.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::authorise::{Right, allowed, needed};
use super::command::{Caller, Found, Outcome};
use super::job::Job;
use super::select::Chosen;
use super::submit::key_owner;
use super::work::Work;
use super::{Core, refuse};
use crate::model::bug::{self, Bug};
use crate::model::change::Change;
use crate::model::ids::{JobId, NodeId, Ordinal};
use crate::model::record::{CancelNote, Hold, Live, Phase, Wanted};
use crate::model::spec::Output;
use crate::model::state::{Cause, CauseKind, State};
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{Act, ActLine, ConfigAct, Refusal, RefusalCode, Reply, Request, Verb};
use crate::wire::codec::decode;
use crate::wire::node::{Act as Order, KillReason, TaskRun};

use super::dispatch::add_to_runs;

/// The most bytes of the reason of a cancel; it stands in the end of each task.
pub const REASON_BYTES_MAX: usize = 1_024;

impl Core {
    /// A mutating request: the table first, then the key, then the act itself.
    pub(super) fn client(
        &mut self,
        now: Now,
        caller: Caller,
        request: Request,
        found: Found,
        outcome: &mut Outcome,
    ) -> Reply {
        if let Some(reply) = self.admit(now, &caller, &request, &found) {
            return reply;
        }
        match request {
            Request::Submit(_) | Request::Act(_) => {
                self.in_one_go(now, Work::new(caller, request, found), outcome)
            }
            Request::NodeAct(act) => self.node_act(now, &caller, &act, outcome),
            Request::Admin(admin) => self.admin(now, &caller, &admin, outcome),
            Request::Account(act) => self.account_act(now, &caller, &act, outcome),
            Request::Config(ConfigAct::Apply { wanted, dry_run }) => {
                self.apply_config(now, &caller, &wanted, dry_run, outcome)
            }
            _ => refuse(RefusalCode::Invalid, "this request changes nothing", ""),
        }
    }

    /// Why a request is not even looked at, or what it was answered before.
    pub(super) fn admit(
        &mut self,
        now: Now,
        caller: &Caller,
        request: &Request,
        found: &Found,
    ) -> Option<Reply> {
        if let Some(reply) = self.barred(now, caller, request) {
            return Some(reply);
        }
        let right = needed(request);
        if !allowed(caller.identity.role, right) {
            let message = format!("role {} may not do this", caller.identity.role);
            return Some(refuse(RefusalCode::NotAllowed, message, "`jqueue whoami` says who you are here"));
        }
        let key = match request {
            Request::Submit(submit) if !submit.test_only => Some(&submit.key),
            Request::Act(act) if !act.dry_run => Some(&act.key),
            _ => None,
        };
        key.and_then(|key| self.answer_to_key(caller, key, found))
    }

    fn answer_to_key(&self, caller: &Caller, key: &str, found: &Found) -> Option<Reply> {
        let owner = key_owner(caller);
        let here = self.cluster.keys.get(&(owner.as_str().into(), key.into())).map(|record| &**record);
        let record = here.or(found.key.as_ref())?;
        if Some(record.request) != found.request_hash {
            return Some(refuse(
                RefusalCode::KeyReused,
                format!("the key `{key}` was used for another request"),
                "use another --key, or none: one is made for you",
            ));
        }
        Some(decode(&record.reply).unwrap_or_else(|error| {
            refuse(RefusalCode::Conflict, format!("the answer kept for this key is unreadable: {error}"), "")
        }))
    }

    /// What would keep a verb from being done to a job.
    pub(super) fn check_act(
        &self,
        caller: &Caller,
        act: &Act,
        one: &Chosen,
        found: &Found,
    ) -> Result<(), Refusal> {
        let ended = one.job.ended.is_some();
        match &act.verb {
            // It changes the places of the owner's other jobs, which a job's own commands don't reach.
            Verb::First if caller.identity.within.is_some() => {
                let message = "from inside a job nobody changes the order of the owner's jobs";
                Err(Refusal::new(RefusalCode::NotAllowed, message, "do it from outside"))
            }
            Verb::Set(settings) if !ended => self.changed(caller, one, settings, false, found).map(|_| ()),
            Verb::RequeueWith { settings: Some(settings), .. } => {
                self.changed(caller, one, settings, true, found).map(|_| ())
            }
            Verb::Release if !ended && one.job.record.hold == Hold::Admin => {
                if allowed(caller.identity.role, Right::Operate) {
                    return Ok(());
                }
                let message = format!("job {} is held by an operator", chosen_id(one));
                Err(Refusal::new(RefusalCode::NotAllowed, message, "ask an operator to release it"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn act_on(
        &mut self,
        now: Now,
        caller: &Caller,
        act: &Act,
        one: Chosen,
        found: &Found,
        outcome: &mut Outcome,
    ) -> Result<Option<ActLine>, Refusal> {
        let old = words(&one.job, &one.set());
        let mut line =
            ActLine { id: chosen_id(&one), old, new: String::new(), note: String::new(), tasks: 0 };
        if one.job.ended.is_some() && !is_requeue(&act.verb) {
            line.note = "already ended".to_owned();
            line.new = line.old.clone();
            return Ok(one.named.then_some(line));
        }
        if act.dry_run {
            line.tasks = one.set().count();
            line.new = line.old.clone();
            line.note = "nothing was done (--dry-run)".to_owned();
            return Ok(Some(line));
        }
        let before = one.job.clone();
        let id = before.id();
        line.tasks = match &act.verb {
            Verb::Cancel { reason } => self.cancel(now, caller, &one, reason, outcome),
            Verb::Signal { signal, batch_only } => self.signal(&one, *signal, *batch_only, outcome),
            Verb::Hold => self.hold(caller, &one, outcome),
            Verb::Release => self.release(now, &one, outcome),
            Verb::Requeue => self.requeue(now, &one, None, found, outcome),
            Verb::RequeueWith { settings, .. } => {
                let with = settings.as_ref().map(|with| self.changed(caller, &one, with, true, found));
                self.requeue(now, &one, with.transpose()?, found, outcome)
            }
            Verb::Suspend => self.suspend(&one, true, outcome),
            Verb::Resume => self.suspend(&one, false, outcome),
            // All that were chosen change places together, before the lines are written.
            Verb::First => u64::from(before.unfinished()).saturating_sub(before.live.len() as u64),
            Verb::Set(settings) => {
                let record = self.changed(caller, &one, settings, false, found)?;
                u64::from(self.put_record(now, record, found, outcome)) * u64::from(before.unfinished())
            }
        };
        let now_is = self.cluster.jobs.get(&id).map_or(before, Arc::clone);
        line.new = words(&now_is, &one.set());
        if line.tasks == 0 && line.note.is_empty() {
            line.note = "nothing to do".to_owned();
        }
        Ok((one.named || line.tasks > 0).then_some(line))
    }

    fn cancel(
        &mut self,
        now: Now,
        caller: &Caller,
        one: &Chosen,
        reason: &str,
        outcome: &mut Outcome,
    ) -> u64 {
        let set = one.set();
        let id = one.job.id();
        let by = caller.identity.actor();
        let waiting = one.job.tasks.select(Some(&set), |state| matches!(state, State::Pending | State::Held));
        let live: Vec<Ordinal> = live_in(&one.job, &set).map(|(ordinal, _)| ordinal).collect();
        if !live.is_empty() {
            let note = CancelNote { by: by.clone(), text: reason.to_owned() };
            self.commit(Change::CancelNote { job: id, note }, outcome);
        }
        let cause = Cause { kind: CauseKind::Cancel, by: by.clone(), text: reason.to_owned() };
        let count = waiting.count() + live.len() as u64;
        self.end_unstarted(now, id, waiting, State::Cancelled, cause, outcome);
        let kill = KillReason::Cancel { by, text: reason.to_owned() };
        self.kill_live(&one.job, &|ordinal| set.contains(ordinal), Wanted::Cancel, kill, outcome);
        count
    }

    /// Wants the end of a job's live tasks: durable first, then the nodes are told; a node that is not there is told
    /// when it comes back.
    pub(super) fn kill_live(
        &mut self,
        job: &Job,
        which: &dyn Fn(Ordinal) -> bool,
        wanted: Wanted,
        reason: KillReason,
        outcome: &mut Outcome,
    ) {
        let mut by_node: BTreeMap<NodeId, Vec<TaskRun>> = BTreeMap::new();
        for (ordinal, live) in job.live.iter().filter(|(ordinal, _)| which(**ordinal)) {
            let phase = match live.phase {
                Phase::Running | Phase::Suspended => Phase::Completing,
                other => other,
            };
            let live = Live { wanted, phase, ..*live };
            self.commit(Change::Live { job: job.id(), set: TaskSet::one(*ordinal), live }, outcome);
            add_to_runs(by_node.entry(live.node).or_default(), *ordinal, live.attempt);
        }
        if bug::is_made(Bug::FreeWithoutNever) && wanted == Wanted::Requeue {
            for (ordinal, live) in job.live.iter().filter(|(_, live)| live.phase == Phase::Starting) {
                let task = crate::model::ids::TaskRef { job: job.id(), ordinal: *ordinal };
                let live = Live { wanted, ..*live };
                self.take_back(Now::default(), task, live, outcome);
            }
        }
        for (node, attempts) in by_node {
            self.send_order(node, job.id(), Order::Kill { attempts, reason: reason.clone() }, outcome);
        }
    }

    fn signal(&mut self, one: &Chosen, signal: u8, batch_only: bool, outcome: &mut Outcome) -> u64 {
        let set = one.set();
        let by_node =
            runs_by_node(&one.job, &set, |phase| phase == Phase::Running || phase == Phase::Completing);
        let count = by_node.values().flatten().map(|run| u64::from(run.last.0 - run.first.0) + 1).sum();
        for (node, attempts) in by_node {
            self.send_order(node, one.job.id(), Order::Signal { attempts, signal, batch_only }, outcome);
        }
        count
    }

    fn suspend(&mut self, one: &Chosen, stop: bool, outcome: &mut Outcome) -> u64 {
        let set = one.set();
        let (from, to) =
            if stop { (Phase::Running, Phase::Suspended) } else { (Phase::Suspended, Phase::Running) };
        let by_node = runs_by_node(&one.job, &set, |phase| phase == from);
        let mut count = 0;
        for (ordinal, live) in live_in(&one.job, &set).filter(|(_, live)| live.phase == from) {
            let live = Live { phase: to, ..live };
            self.commit(Change::Live { job: one.job.id(), set: TaskSet::one(ordinal), live }, outcome);
            count += 1;
        }
        for (node, attempts) in by_node {
            self.send_order(node, one.job.id(), Order::Suspend { attempts, stop }, outcome);
        }
        count
    }

    fn hold(&mut self, caller: &Caller, one: &Chosen, outcome: &mut Outcome) -> u64 {
        let id = one.job.id();
        let own = caller.identity.uid == Some(one.job.record.uid);
        if one.tasks.is_none() {
            let hold = if own { Hold::User } else { Hold::Admin };
            self.change_record(id, outcome, |record| record.hold = hold);
        }
        let set = one.job.tasks.select(Some(&one.set()), |state| state == State::Pending);
        let count = set.count();
        if count > 0 {
            self.commit(Change::Waiting { job: id, set, held: true }, outcome);
        }
        let early = runs_by_node(&one.job, &one.set(), |phase| phase == Phase::Handed);
        for (node, attempts) in early {
            self.send_order(node, id, Order::Withdraw { attempts }, outcome);
        }
        count
    }

    fn release(&mut self, now: Now, one: &Chosen, outcome: &mut Outcome) -> u64 {
        let id = one.job.id();
        if one.tasks.is_none() {
            self.change_record(id, outcome, |record| record.hold = Hold::No);
        }
        let set = one.job.tasks.select(Some(&one.set()), |state| state == State::Held);
        let count = set.count();
        if count > 0 {
            self.forgive_launches(id, &set, outcome);
        }
        if count > 0 && one.job.record.waits_by_task() {
            self.correlate(now, id, &set, &Found::default(), outcome);
        } else if count > 0 {
            self.commit(Change::Waiting { job: id, set, held: false }, outcome);
        }
        count
    }

    fn change_record(
        &mut self,
        id: JobId,
        outcome: &mut Outcome,
        change: impl FnOnce(&mut crate::model::record::JobRecord),
    ) {
        let Some(job) = self.cluster.jobs.get(&id) else { return };
        let mut record = (*job.record).clone();
        change(&mut record);
        if record != *job.record {
            record.version += 1;
            self.commit(Change::Job(Arc::new(record)), outcome);
        }
    }
}

pub(super) fn is_requeue(verb: &Verb) -> bool {
    matches!(verb, Verb::Requeue | Verb::RequeueWith { .. })
}

/// A job's live tasks within a set.
pub(super) fn live_in<'a>(job: &'a Job, set: &'a TaskSet) -> impl Iterator<Item = (Ordinal, Live)> + 'a {
    let pairs = job.live.iter().filter(|(ordinal, _)| set.contains(**ordinal));
    pairs.map(|(ordinal, live)| (*ordinal, *live))
}

fn runs_by_node(job: &Job, set: &TaskSet, pass: impl Fn(Phase) -> bool) -> BTreeMap<NodeId, Vec<TaskRun>> {
    let mut by_node: BTreeMap<NodeId, Vec<TaskRun>> = BTreeMap::new();
    for (ordinal, live) in live_in(job, set).filter(|(_, live)| pass(live.phase)) {
        add_to_runs(by_node.entry(live.node).or_default(), ordinal, live.attempt);
    }
    by_node
}

/// The id of what was chosen, as users write it.
pub fn chosen_id(one: &Chosen) -> String {
    let id = one.job.id();
    match (&one.tasks, &one.job.record.spec.array) {
        (Some(set), Some(array)) if set.count() == 1 => format!("{id}_{}", array.indexes.write(set)),
        (Some(set), Some(array)) => {
            // A list of thousands of single indexes helps nobody.
            let list =
                array.indexes.write_short(set, 200).unwrap_or_else(|| format!("{} tasks", set.count()));
            format!("{id}_[{list}]")
        }
        _ => id.to_string(),
    }
}

/// The state of some tasks in words: one, or the counts.
fn words(job: &Job, set: &TaskSet) -> String {
    if set.count() == 1 {
        let state = set.iter().next().and_then(|ordinal| job.shown_state(ordinal));
        return state.map_or("unknown", State::word).to_owned();
    }
    let mut words = Vec::new();
    for state in State::ALL {
        let count = if set.count() == u64::from(job.tasks.count()) {
            u64::from(job.tasks.counted(state))
        } else {
            job.tasks.select(Some(set), |here| here == state).count()
        };
        if count > 0 {
            words.push(format!("{count} {}", state.word().replace('_', " ")));
        }
    }
    words.join(", ")
}

/// The output file's pattern of a job, for a stream.
pub fn pattern_of(job: &Job, error: bool) -> Option<&str> {
    let files = &job.record.spec.files;
    let output = if error { files.error.as_ref().unwrap_or(&files.output) } else { &files.output };
    match output {
        Output::Pattern(pattern) => Some(pattern),
        Output::Nothing => None,
    }
}

impl Core {
    /// Cancels all of a job.
    pub(super) fn cancel_whole(
        &mut self,
        now: Now,
        caller: &Caller,
        id: JobId,
        why: &str,
        outcome: &mut Outcome,
    ) {
        let Some(job) = self.cluster.jobs.get(&id).map(|job| (**job).clone()) else { return };
        let one = Chosen { job: Arc::new(job), tasks: None, named: true };
        self.cancel(now, caller, &one, why, outcome);
    }
}
