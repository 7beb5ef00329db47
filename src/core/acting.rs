//! A verb on many jobs: chosen, then checked, then done job by job, in one go or in steps between which others get their
//! turn. What one of them can't do is done to none, as things stand when that is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Core;
use super::act::is_requeue;
use super::authorise::may_change;
use super::command::{Caller, Found, Outcome};
use super::select::{Chosen, choose, choose_some};
use crate::model::ids::JobId;
use crate::model::task_set::TaskSet;
use crate::model::time::Now;
use crate::wire::client::{Act, ActLine, Refusal, RefusalCode, Reply, Verb};

/// The most bytes that the lines of an answer take, so that it fits a frame and a row of the tables. What was done is done;
/// the jobs behind are told of in one line. Small in tests.
pub const LINES_BYTES_MAX: usize = if cfg!(test) { 2_000 } else { 3 << 20 };

/// How far a verb is.
#[derive(Debug)]
pub struct Acting {
    pub(super) caller: Caller,
    pub(super) act: Act,
    found: Found,
    /// What it is done to, as far as that is known, and from which number on it is not.
    targets: Vec<Target>,
    from: Option<JobId>,
    /// How many of them were looked at, and to how many it was done.
    checked: usize,
    done: usize,
    /// How many ended tasks are to run again.
    ended: u64,
    /// How many stay ahead of those that went first.
    ahead: BTreeMap<JobId, u64>,
    lines: Lines,
    /// The jobs that something was done to.
    hit: Vec<JobId>,
}

/// A chosen job: by number, since what was done to one may have done something to the next.
#[derive(Debug)]
struct Target {
    id: JobId,
    tasks: Option<TaskSet>,
    named: bool,
}

/// As many lines as fit, and one for all the others.
#[derive(Debug, Default)]
struct Lines {
    lines: Vec<ActLine>,
    bytes: usize,
    more: u64,
    more_tasks: u64,
}

impl Acting {
    /// One that has not begun.
    pub fn new(caller: Caller, act: Act, found: Found) -> Acting {
        Acting {
            caller,
            act,
            found,
            targets: Vec::new(),
            from: Some(JobId(0)),
            checked: 0,
            done: 0,
            ended: 0,
            ahead: BTreeMap::new(),
            lines: Lines::default(),
            hit: Vec::new(),
        }
    }

    fn push(&mut self, line: ActLine) {
        if line.tasks > 0 {
            let digits = line.id.split(|sign: char| !sign.is_ascii_digit()).next();
            self.hit.extend(digits.and_then(|digits| digits.parse().ok()).map(JobId));
        }
        self.lines.push(line);
    }
}

impl Core {
    /// Takes a verb on by about so many jobs. Gives the answer when there is no more to do.
    pub(super) fn acting_step(
        &mut self,
        now: Now,
        acting: &mut Acting,
        most: usize,
        outcome: &mut Outcome,
    ) -> Option<Reply> {
        match self.act_further(now, acting, most, outcome) {
            Ok(false) => None,
            Ok(true) => {
                let Acting { caller, act, found, lines, hit, .. } = acting;
                let reply = Reply::Acted { lines: std::mem::take(lines).into_vec() };
                if !act.dry_run {
                    self.audit_act(now, caller, act, std::mem::take(hit), outcome);
                    self.remember_key(now, caller, &act.key, found, &reply, outcome);
                }
                Some(reply)
            }
            Err(refusal) => Some(Reply::Refused(refusal)),
        }
    }

    /// Whether that was all.
    fn act_further(
        &mut self,
        now: Now,
        acting: &mut Acting,
        most: usize,
        outcome: &mut Outcome,
    ) -> Result<bool, Refusal> {
        if let Some(from) = acting.from {
            return self.choose_further(acting, from, most).map(|()| false);
        }
        let count = acting.targets.len();
        if acting.checked < count {
            return self.check_some(acting, most).map(|()| false);
        }
        if acting.done == 0 && matches!(acting.act.verb, Verb::First) && !acting.act.dry_run {
            let chosen: Vec<Chosen> = (0..count).filter_map(|at| self.chosen(acting, at)).collect();
            acting.ahead = self.first(&chosen.iter().collect::<Vec<_>>(), outcome)?;
        }
        let until = acting.done.saturating_add(most).min(count);
        while acting.done < until {
            self.act_on_next(now, acting, outcome)?;
        }
        Ok(acting.done == count)
    }

    fn choose_further(&self, acting: &mut Acting, from: JobId, most: usize) -> Result<(), Refusal> {
        let Acting { caller, act, found, .. } = &*acting;
        let (cluster, sights, history, selection) =
            (&self.cluster, &self.sights, &found.jobs, &act.selection);
        let selectors = selection.selectors.len();
        let (chosen, next) = if selection.selectors.is_empty() {
            choose_some(cluster, sights, history, &caller.identity, (&selection.filter, from, most))
        } else {
            (choose(cluster, sights, history, &caller.identity, selection)?, None)
        };
        let mine = |one: &Chosen| may_change(&caller.identity, &one.job.record);
        if let Some(one) = chosen.iter().find(|one| one.named && !mine(one)) {
            let record = &one.job.record;
            let message = format!("job {} belongs to {}", record.id, record.user);
            return Err(Refusal::new(RefusalCode::NotAllowed, message, "operators may change it"));
        }
        let target = |one: Chosen| Target { id: one.job.id(), tasks: one.tasks, named: one.named };
        let mine = chosen.into_iter().filter(mine).map(target).collect::<Vec<Target>>();
        acting.targets.extend(mine);
        acting.from = next;
        if next.is_none() && selectors == 0 {
            // What memory has let go of meanwhile has come with the last part.
            acting.targets.sort_by_key(|target| target.id);
            acting.targets.dedup_by_key(|target| target.id);
        }
        Ok(())
    }

    /// A target as it is now.
    fn chosen(&self, acting: &Acting, at: usize) -> Option<Chosen> {
        let target = acting.targets.get(at)?;
        let job = self.cluster.jobs.get(&target.id).or_else(|| acting.found.jobs.get(&target.id))?;
        Some(Chosen { job: Arc::clone(job), tasks: target.tasks.clone(), named: target.named })
    }

    fn check_some(&self, acting: &mut Acting, most: usize) -> Result<(), Refusal> {
        let count = acting.targets.len();
        let until = acting.checked.saturating_add(most).min(count);
        for at in acting.checked..until {
            let Some(one) = self.chosen(acting, at) else { continue };
            self.check_act(&acting.caller, &acting.act, &one, &acting.found)?;
            if is_requeue(&acting.act.verb) {
                acting.ended += Core::ended_in(&one);
                Core::check_requeue(acting.ended)?;
            }
        }
        acting.checked = until;
        Ok(())
    }

    fn act_on_next(&mut self, now: Now, acting: &mut Acting, outcome: &mut Outcome) -> Result<(), Refusal> {
        let one = self.chosen(acting, acting.done);
        acting.done += 1;
        let Some(one) = one else { return Ok(()) };
        let id = one.job.id();
        let Acting { caller, act, found, .. } = &*acting;
        let mut line = self.act_on(now, caller, act, one, found, outcome)?;
        if let Some(line) = &mut line
            && let Some(higher) = acting.ahead.get(&id).filter(|count| **count > 0)
        {
            line.note = format!("{higher} of higher priority stay ahead of it");
        }
        let with_dependents = matches!(act.verb, Verb::RequeueWith { dependents: true, .. });
        let more = if with_dependents && !act.dry_run {
            self.requeue_dependents(now, caller, id, found, outcome)
        } else {
            Vec::new()
        };
        line.into_iter().chain(more).for_each(|line| acting.push(line));
        Ok(())
    }
}

impl Lines {
    fn push(&mut self, line: ActLine) {
        self.bytes += 16 + line.id.len() + line.old.len() + line.new.len() + line.note.len();
        if self.more == 0 && self.bytes <= LINES_BYTES_MAX {
            return self.lines.push(line);
        }
        self.more += 1;
        self.more_tasks += line.tasks;
    }

    fn into_vec(mut self) -> Vec<ActLine> {
        if self.more > 0 {
            self.lines.push(ActLine {
                id: format!("{} jobs more", self.more),
                old: String::new(),
                new: String::new(),
                note: "`jqueue` shows them".to_owned(),
                tasks: self.more_tasks,
            });
        }
        self.lines
    }
}
