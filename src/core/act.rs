//! Verbs on jobs: cancel, signal, hold, release, requeue, suspend, resume, set.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::authorise::{allowed, may_change, needed};
use super::command::{Caller, Found, Outcome};
use super::job::Job;
use super::report::requeue_reason;
use super::resolve::resolve;
use super::select::{Chosen, choose};
use super::submit::key_owner;
use super::{Core, refuse};
use crate::model::change::Change;
use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskRef};
use crate::model::record::{CancelNote, Exception, Hold, Live, Phase, Wanted};
use crate::model::spec::{MemoryRequest, Output};
use crate::model::state::{Cause, CauseKind, State};
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{Act, ActLine, Refusal, RefusalCode, Reply, Request, Settings, Verb};
use crate::wire::codec::decode;
use crate::wire::node::{Act as Order, KillReason, TaskRun};

use super::dispatch::add_to_runs;

impl Core {
    /// A mutating request: the table first, then the key, then the act itself.
    pub(super) fn client(
        &mut self,
        now: Now,
        caller: &Caller,
        request: &Request,
        found: &Found,
        outcome: &mut Outcome,
    ) -> Reply {
        if let Some(reply) = self.barred(now, caller, request) {
            return reply;
        }
        let right = needed(request);
        if !allowed(caller.identity.role, right) {
            let message = format!("role {} may not do this", caller.identity.role);
            return refuse(RefusalCode::NotAllowed, message, "`jqueue whoami` says who you are here");
        }
        let key = match request {
            Request::Submit(submit) if !submit.test_only => Some(&submit.key),
            Request::Act(act) if !act.dry_run => Some(&act.key),
            _ => None,
        };
        if let Some(reply) = key.and_then(|key| self.answer_to_key(caller, key, found)) {
            return reply;
        }
        match request {
            Request::Submit(submit) => self.submit(now, caller, submit, found, outcome),
            Request::Act(act) => {
                let reply = self.act(now, caller, act, found, outcome);
                if !act.dry_run && matches!(reply, Reply::Acted { .. }) {
                    self.remember_key(now, caller, &act.key, found, &reply, outcome);
                }
                reply
            }
            Request::NodeAct(act) => self.node_act(now, caller, act, outcome),
            Request::Admin(admin) => self.admin(now, caller, admin, outcome),
            _ => refuse(RefusalCode::Invalid, "this request changes nothing", ""),
        }
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

    fn act(&mut self, now: Now, caller: &Caller, act: &Act, found: &Found, outcome: &mut Outcome) -> Reply {
        let chosen = match choose(&self.cluster, &found.jobs, &caller.identity, &act.selection) {
            Ok(chosen) => chosen,
            Err(refusal) => return Reply::Refused(refusal),
        };
        for one in &chosen {
            let record = &one.job.record;
            if one.named && !may_change(&caller.identity, record) {
                let message = format!("job {} belongs to {}", record.id, record.user);
                return refuse(RefusalCode::NotAllowed, message, "operators may change it");
            }
        }
        let mut lines = Vec::new();
        for one in chosen {
            if !may_change(&caller.identity, &one.job.record) {
                continue;
            }
            match self.act_on(now, caller, act, one, found, outcome) {
                Ok(line) => lines.extend(line),
                Err(refusal) => return Reply::Refused(refusal),
            }
        }
        Reply::Acted { lines }
    }

    fn act_on(
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
        if one.job.ended.is_some() && act.verb != Verb::Requeue {
            line.note = "already ended".to_owned();
            line.new = line.old.clone();
            return Ok(one.named.then_some(line));
        }
        if let Verb::Set(settings) = &act.verb {
            self.check_set(caller, &one.job, settings)?;
        }
        if act.verb == Verb::Release && one.job.record.hold == Hold::Admin {
            let operator = allowed(caller.identity.role, super::authorise::Right::Operate);
            if !operator {
                let message = format!("job {} is held by an operator", line.id);
                return Err(Refusal::new(RefusalCode::NotAllowed, message, "ask an operator to release it"));
            }
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
            Verb::Release => self.release(&one, outcome),
            Verb::Requeue => self.requeue(now, &one, found, outcome),
            Verb::Suspend => self.suspend(&one, true, outcome),
            Verb::Resume => self.suspend(&one, false, outcome),
            Verb::First => {
                return Err(Refusal::new(RefusalCode::NotSupported, "not supported yet: jqueue first", ""));
            }
            Verb::Set(settings) => self.set(&one, settings, outcome)?,
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

    fn release(&mut self, one: &Chosen, outcome: &mut Outcome) -> u64 {
        let id = one.job.id();
        if one.tasks.is_none() {
            self.change_record(id, outcome, |record| record.hold = Hold::No);
        }
        let set = one.job.tasks.select(Some(&one.set()), |state| state == State::Held);
        let count = set.count();
        if count > 0 {
            self.commit(Change::Waiting { job: id, set, held: false }, outcome);
        }
        count
    }

    fn requeue(&mut self, now: Now, one: &Chosen, _found: &Found, outcome: &mut Outcome) -> u64 {
        let id = one.job.id();
        let set = one.set();
        let ended = one.job.tasks.select(Some(&set), State::is_end);
        let live: Vec<Ordinal> = live_in(&one.job, &set).map(|(ordinal, _)| ordinal).collect();
        if !ended.is_empty() {
            if one.job.ended.is_some() {
                self.bring_back(&one.job, outcome);
            }
            for ordinal in ended.iter() {
                let old = one.job.exceptions.get(&ordinal).copied().unwrap_or_default();
                let ran =
                    !matches!(one.job.tasks.get(ordinal), Some(State::DependencyFailed | State::Deadline));
                let attempts = if ran { old.attempts.max(Attempt(1)) } else { old.attempts };
                let exception = Exception { attempts, ..old };
                if exception != old {
                    self.commit(Change::Exception { task: TaskRef { job: id, ordinal }, exception }, outcome);
                }
            }
            let held = self.is_held(id);
            self.commit(Change::Waiting { job: id, set: ended.clone(), held }, outcome);
            self.evaluate_dependencies(now, id, &Found::default(), outcome);
        }
        self.kill_live(
            &one.job,
            &|ordinal| set.contains(ordinal),
            Wanted::Requeue,
            requeue_reason(),
            outcome,
        );
        ended.count() + live.len() as u64
    }

    /// An ended job is among the living again, as it was.
    fn bring_back(&mut self, job: &Job, outcome: &mut Outcome) {
        let mut record = (*job.record).clone();
        record.waits_for.clear();
        record.version += 1;
        let states = State::ALL.iter().filter_map(|state| {
            let set = job.tasks.select(None, |here| here == *state);
            (!set.is_empty()).then_some((*state, set))
        });
        let change = Change::JobAgain {
            record: Arc::new(record),
            states: states.collect(),
            exceptions: job.exceptions.iter().map(|(ordinal, exception)| (*ordinal, *exception)).collect(),
        };
        self.commit(change, outcome);
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

    fn check_set(&self, caller: &Caller, job: &Job, settings: &Settings) -> Result<(), Refusal> {
        let operator = allowed(caller.identity.role, super::authorise::Right::Operate);
        if settings.nice.is_some_and(|nice| nice < job.record.spec.nice) && !operator {
            let message = "only operators lower a nice value";
            return Err(Refusal::new(RefusalCode::NotAllowed, message, ""));
        }
        if job.live.is_empty() {
            return Ok(());
        }
        // What the nodes were told stands: no order changes a running attempt's limits yet.
        if settings.time.is_some() || settings.memory_bytes.is_some() || settings.cpus.is_some() {
            let message = format!(
                "job {} runs: not supported yet: its time, memory and cpus cannot be changed",
                job.id()
            );
            return Err(Refusal::new(RefusalCode::Conflict, message, "requeue it, or change what waits"));
        }
        Ok(())
    }

    fn set(&mut self, one: &Chosen, settings: &Settings, outcome: &mut Outcome) -> Result<u64, Refusal> {
        let id = one.job.id();
        let Some(job) = self.cluster.jobs.get(&id).cloned() else { return Ok(0) };
        let mut record = (*job.record).clone();
        let spec = Arc::make_mut(&mut record.spec);
        let put = |target: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                target.clone_from(value);
            }
        };
        put(&mut spec.account, &settings.account);
        put(&mut spec.qos, &settings.qos);
        put(&mut spec.name, &settings.name);
        put(&mut spec.comment, &settings.comment);
        if let Some(time) = settings.time {
            spec.times.limit = Some(time);
        }
        if let Some(bytes) = settings.memory_bytes {
            spec.request.memory =
                if bytes == 0 { MemoryRequest::WholeNode } else { MemoryRequest::PerNode(bytes) };
        }
        if let Some(cpus) = settings.cpus {
            spec.request.tasks = None;
            spec.request.tasks_per_node = None;
            spec.request.cpus_per_task = Some(cpus);
        }
        if let Some(partitions) = &settings.partitions {
            spec.place.partitions.clone_from(partitions);
        }
        if let Some(nodes) = &settings.nodelist {
            spec.place.nodes.clone_from(nodes);
        }
        if let Some(nodes) = &settings.exclude {
            spec.place.exclude.clone_from(nodes);
        }
        spec.nice = settings.nice.unwrap_or(spec.nice);
        spec.priority = settings.priority.or(spec.priority);
        spec.times.begin = settings.begin.or(spec.times.begin);
        spec.times.deadline = settings.deadline.or(spec.times.deadline);
        if let (Some(array), Some(limit)) = (&mut spec.array, settings.array_limit) {
            array.limit = (limit > 0).then_some(limit);
        }
        if let Some((retries, on)) = settings.retry {
            spec.restart.retries = retries;
            spec.restart.on = on;
        }
        let resolved = resolve(&self.cluster, record.uid, &record.spec)?;
        record.partitions = resolved.partitions;
        record.limit = resolved.limit;
        record.memory = resolved.memory;
        record.cpus = resolved.cpus;
        if record == *job.record {
            return Ok(0);
        }
        record.version += 1;
        self.commit(Change::Job(Arc::new(record)), outcome);
        for session in self.sessions.values_mut() {
            session.forget_body(id);
        }
        self.set_timers(id);
        Ok(u64::from(job.unfinished()))
    }
}

/// A job's live tasks within a set.
fn live_in<'a>(job: &'a Job, set: &'a TaskSet) -> impl Iterator<Item = (Ordinal, Live)> + 'a {
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
