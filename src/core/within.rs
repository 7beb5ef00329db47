//! Requests from inside a job: the attempt that asks must be running on the node that speaks for it, and its reach is
//! its own job, the jobs that it submitted, and theirs.

use super::Core;
use super::command::Caller;
use super::state::Cluster;
use crate::model::identity::{Identity, Role, Serial, Within};
use crate::model::ids::{JobId, Uid};
use crate::model::record::ANCESTORS_MAX;
use crate::wire::client::{Refusal, RefusalCode, Request};

/// What to do about a credential that is of no use any more.
const HINT: &str =
    "commands inside a job work as long as it runs; from outside, use a configuration of your own";

impl Cluster {
    /// Who asks from inside a job: its owner, in the role of the job. `serial` is the certificate of the node.
    ///
    /// # Errors
    /// If that attempt does not run there.
    pub fn job_identity(&self, within: Within, serial: Serial) -> Result<Identity, Refusal> {
        self.check_within(&within)?;
        let job = self.jobs.get(&within.task.job).ok_or_else(|| over(&within))?;
        Ok(Identity {
            role: Role::Job,
            name: job.record.user.to_string(),
            uid: Some(job.record.uid),
            serial,
            within: Some(within),
        })
    }

    /// Whether that attempt runs in that life of that node.
    ///
    /// # Errors
    /// If it does not: it has ended, or never was there.
    pub fn check_within(&self, within: &Within) -> Result<(), Refusal> {
        let live = self.jobs.get(&within.task.job).and_then(|job| job.live.get(&within.task.ordinal));
        let there = live.is_some_and(|live| {
            (live.node, live.instance, live.attempt) == (within.node, within.instance, within.attempt)
        });
        if there { Ok(()) } else { Err(over(within)) }
    }

    /// The job and all that descend from it, as far as memory holds them.
    pub fn family(&self, job: JobId, from: JobId) -> impl DoubleEndedIterator<Item = JobId> + '_ {
        let below = self.descendants.range((job, from)..=(job, JobId(u64::MAX))).map(|(_, id)| *id);
        Some(job).filter(|job| *job >= from).into_iter().chain(below)
    }
}

impl Core {
    /// Why an attempt may not ask this, if it may not.
    pub(super) fn barred_within(&self, caller: &Caller, request: &Request) -> Option<Refusal> {
        let within = caller.identity.within.as_ref()?;
        if let Err(refusal) = self.cluster.check_within(within) {
            return Some(refusal);
        }
        if !matches!(request, Request::Submit(_)) {
            return None;
        }
        if !self.settings.submit_from_jobs {
            let hint = "submit from a login machine; an admin can set submit_from_jobs = true in jctld.toml";
            return Some(Refusal::new(RefusalCode::NotAllowed, "jobs may not submit jobs here", hint));
        }
        let known = caller.identity.uid.is_some_and(|uid| self.may_still_submit(&caller.identity.name, uid));
        (!known).then(|| {
            let message = format!("{} is no user here any more", caller.identity.name);
            Refusal::new(RefusalCode::NotAllowed, message, "ask an admin: `jctld user add`")
        })
    }

    /// A user who was removed while jobs run on submits nothing more through them.
    fn may_still_submit(&self, name: &str, uid: Uid) -> bool {
        if let Some(user) = self.cluster.users.get(name) {
            return user.uid == uid;
        }
        // Not every bearer of a certificate is in the list of users (`jctld ca issue`).
        let people = self.cluster.certificates.values().filter(|record| record.name == name);
        people
            .filter(|record| matches!(record.role, Role::User | Role::Operator | Role::Admin))
            .any(|record| record.revoked.is_none())
    }

    /// The jobs that a new one descends from, nearest first: none for what a person submits.
    pub(super) fn ancestors(&self, caller: &Caller) -> Vec<JobId> {
        let Some(within) = &caller.identity.within else { return Vec::new() };
        let parent = within.task.job;
        let before = self.cluster.jobs.get(&parent).map(|job| job.record.ancestors.as_slice());
        std::iter::once(parent).chain(before.into_iter().flatten().copied()).take(ANCESTORS_MAX).collect()
    }
}

/// The refusal for a job that cannot be named from inside the one that asks.
pub fn out_of_reach(caller: &Identity, id: JobId) -> Refusal {
    let own = caller.within.map_or_else(String::new, |within| format!(" {}", within.task.job));
    Refusal::new(
        RefusalCode::NotAllowed,
        format!("job {id} is out of reach from inside job{own}"),
        "a job reaches itself, the jobs that it submitted, and theirs; use `jqueue` outside for others",
    )
}

fn over(within: &Within) -> Refusal {
    let message = format!("attempt {} of job {} does not run there", within.attempt, within.task.job);
    Refusal::new(RefusalCode::NotAllowed, message, HINT)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::authorise::{in_reach, may_change};
    use crate::core::job::Job;
    use crate::core::tests_spec::job_record;
    use crate::core::{NodeSight, Settings};
    use crate::model::change::Change;
    use crate::model::ids::{Attempt, BootId, Instance, NodeId, Ordinal, Position, SpoolId, TaskRef};
    use crate::model::record::{Live, Phase, Wanted};
    use crate::model::task_set::TaskSet;
    use crate::model::time::{Seconds, WallTime};

    fn within(job: u64, node: u32, attempt: u32) -> Within {
        Within {
            task: TaskRef { job: JobId(job), ordinal: Ordinal(0) },
            attempt: Attempt(attempt),
            node: NodeId(node),
            instance: Instance { spool: SpoolId([1; 16]), boot: BootId([2; 16]) },
        }
    }

    fn running(core: &mut Core, job: u64, node: u32) {
        let at = within(job, node, 1);
        let live = Live {
            node: at.node,
            instance: at.instance,
            attempt: at.attempt,
            phase: Phase::Starting,
            given: WallTime(0),
            start: None,
            wanted: Wanted::Run,
        };
        let set = TaskSet::one(Ordinal(0));
        core.commit(Change::Live { job: JobId(job), set, live }, &mut Default::default());
    }

    fn core() -> Core {
        let _ = NodeSight::default();
        let settings = Settings {
            cluster: "c".to_owned(),
            node_timeout: Seconds(300),
            lease: Seconds(300),
            kill_grace: Seconds(30),
            jobs_per_user_max: 9,
            allow_root: false,
            submit_from_jobs: true,
            addresses: vec![],
            fingerprint: [0; 32],
        };
        Core::new(Cluster::default(), settings, Position(0))
    }

    #[test]
    fn an_attempt_asks_only_while_it_runs_and_only_from_its_node() {
        let mut core = core();
        core.commit(Change::Job(Arc::new(job_record(JobId(1)))), &mut Default::default());
        let ask = |core: &Core, at: Within| core.cluster.job_identity(at, Serial([0; 16]));
        assert!(ask(&core, within(1, 1, 1)).is_err(), "not started");
        running(&mut core, 1, 1);
        let identity = ask(&core, within(1, 1, 1)).unwrap();
        assert_eq!((identity.role, identity.uid), (Role::Job, Some(job_record(JobId(1)).uid)));
        let mut reborn = within(1, 1, 1);
        reborn.instance.spool = SpoolId([9; 16]);
        for wrong in [within(1, 2, 1), within(1, 1, 2), within(2, 1, 1), reborn] {
            assert!(ask(&core, wrong).is_err(), "{wrong:?}");
        }
        let set = TaskSet::one(Ordinal(0));
        core.commit(Change::Waiting { job: JobId(1), set, held: false }, &mut Default::default());
        assert!(ask(&core, within(1, 1, 1)).is_err(), "it is off its node");
    }

    #[test]
    fn the_reach_is_the_job_and_what_descends_from_it_to_the_last_generation_kept() {
        let mut core = core();
        let chain = ANCESTORS_MAX as u64 + 2;
        core.commit(Change::Job(Arc::new(job_record(JobId(1)))), &mut Default::default());
        let caller = |core: &Core, job: u64| Caller {
            identity: core.cluster.job_identity(within(job, 1, 1), Serial([0; 16])).unwrap(),
            from: String::new(),
        };
        for id in 2..=chain {
            running(&mut core, id - 1, 1);
            let mut record = job_record(JobId(id));
            record.ancestors = core.ancestors(&caller(&core, id - 1));
            core.commit(Change::Job(Arc::new(record)), &mut Default::default());
        }
        core.commit(Change::Job(Arc::new(job_record(JobId(100)))), &mut Default::default());
        let jobs: Vec<Job> = core.cluster.jobs.values().map(|job| (**job).clone()).collect();
        let reach = |from: u64| -> Vec<u64> {
            let identity = caller(&core, from).identity;
            let mine = jobs.iter().filter(|job| in_reach(&identity, &job.record));
            assert!(mine.clone().all(|job| may_change(&identity, &job.record)));
            let ids: Vec<u64> = mine.map(|job| job.id().0).collect();
            let family: Vec<u64> = core.cluster.family(JobId(from), JobId(0)).map(|id| id.0).collect();
            assert_eq!(ids, family, "the index says the same");
            ids
        };
        assert_eq!(reach(1), (1..=chain - 1).collect::<Vec<u64>>(), "the last is a generation too far");
        assert_eq!(reach(2), (2..=chain).collect::<Vec<u64>>());
        let mut stranger = caller(&core, 1).identity;
        stranger.uid = Some(Uid(77));
        assert!(!jobs.iter().any(|job| in_reach(&stranger, &job.record)), "never across owners");
    }
}
