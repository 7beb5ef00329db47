//! Jobs that are tied to the command that submitted them (`jsubmit --tied`): they are cancelled when it has not been
//! there for [`TIED_FOR`].

use std::collections::BTreeMap;

use super::Core;
use super::authorise::may_change;
use super::command::{Caller, Outcome};
use crate::model::identity::{Identity, Role, Serial};
use crate::model::ids::JobId;
use crate::model::time::{BootTime, Now, Seconds};

/// So long a job outlives its command.
pub const TIED_FOR: Seconds = Seconds(60);

/// What became of the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// It is there.
    Here,
    /// It went, and was last heard of so long ago.
    Gone(Seconds),
}

/// How a tied job's command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tie {
    /// How many streams hold it: one, or two while a broken one is being replaced.
    holders: u32,
    /// With none: when the job is cancelled.
    until: BootTime,
}

/// By job. Not durable: a new controller gives every command as long again.
pub(super) type Ties = BTreeMap<JobId, Tie>;

impl Core {
    /// A tied job was submitted.
    pub(super) fn tie(&mut self, now: Now, id: JobId) {
        if self.cluster.jobs.get(&id).is_some_and(|job| job.record.spec.tied && job.ended.is_none()) {
            self.ties.insert(id, Tie { holders: 0, until: now.boot.plus(TIED_FOR) });
        }
    }

    /// After taking office: every tied job's command has as long again to come back.
    pub(super) fn expect_tied(&mut self, now: Now) {
        let ids: Vec<JobId> = self.cluster.jobs.keys().copied().collect();
        ids.into_iter().for_each(|id| self.tie(now, id));
    }

    pub(super) fn on_tie(
        &mut self,
        now: Now,
        caller: &Caller,
        jobs: &[JobId],
        held: Held,
        outcome: &mut Outcome,
    ) {
        for id in jobs {
            let Some(job) = self.cluster.jobs.get(id) else { continue };
            let owner = Some(job.record.uid);
            if caller.identity.uid != owner || !may_change(&caller.identity, &job.record) {
                continue;
            }
            let Some(tie) = self.ties.get_mut(id) else { continue };
            match held {
                Held::Here => tie.holders += 1,
                Held::Gone(silent) => {
                    tie.holders = tie.holders.saturating_sub(1);
                    tie.until = now.boot.plus(Seconds(TIED_FOR.0.saturating_sub(silent.0)));
                }
            }
        }
        self.end_untied(now, outcome);
    }

    /// Cancels the jobs whose commands have been gone for too long.
    pub(super) fn end_untied(&mut self, now: Now, outcome: &mut Outcome) {
        if self.ties.is_empty() {
            return;
        }
        let jobs = &self.cluster.jobs;
        self.ties.retain(|id, _| jobs.get(id).is_some_and(|job| job.ended.is_none()));
        let due = |tie: &Tie| tie.holders == 0 && tie.until <= now.boot;
        let over: Vec<JobId> = self.ties.iter().filter(|(_, tie)| due(tie)).map(|(id, _)| *id).collect();
        for id in over {
            self.ties.remove(&id);
            let Some(job) = self.cluster.jobs.get(&id) else { continue };
            let (name, uid) = (job.record.user.to_string(), Some(job.record.uid));
            let identity = Identity { role: Role::User, name, uid, serial: Serial([0; 16]), within: None };
            let caller = Caller { identity, from: String::new() };
            let why = format!("its command (jsubmit --tied) was gone for {} s", TIED_FOR.0);
            self.cancel_whole(now, &caller, id, &why, outcome);
        }
    }
}
