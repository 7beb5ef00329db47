//! Limits on what runs: numbers for the scheduler, room for what it places, and reasons for those who wait.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accounting::{Accounting, Scope};
use super::belong::{scope_word, time_over};
use super::job::Job;
use super::state::{Cluster, View};
use crate::model::ids::Uid;
use crate::model::record::JobRecord;
use crate::model::spec::JobSpec;
use crate::model::time::TimeLimit;
use crate::sched::{Bound, CapId, Note};
use crate::wire::account::Used;
use crate::wire::client::{Refusal, RefusalCode};

/// So many users of a limit are named.
const USERS_TOLD_MAX: usize = 3;
/// So many are looked at for that.
const USERS_LOOKED_AT_MAX: usize = 200;

/// The scheduler's numbers of what limits bind together.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    ids: BTreeMap<Scope, CapId>,
    told: BTreeMap<CapId, Bound>,
    /// By account, quality of service and user.
    lists: BTreeMap<(String, String, Uid), Arc<[CapId]>>,
}

impl Numbers {
    /// What is defined has changed: the scheduler hears what bounds there are now.
    pub(super) fn renew(&mut self, accounting: &Accounting, notes: &mut Vec<Note>) {
        self.lists.clear();
        for (scope, cap) in &self.ids {
            let bound = bound_of(accounting, scope);
            if self.told.insert(*cap, bound) != Some(bound) {
                notes.push(Note::Cap { cap: *cap, bound });
            }
        }
    }

    /// The bounds of a job. New ones are told.
    pub(super) fn of(&mut self, accounting: &Accounting, job: &JobRecord, notes: &mut Vec<Note>) {
        if accounting.is_empty() {
            return;
        }
        let key = (job.spec.account.clone(), job.spec.qos.clone(), job.uid);
        if self.lists.contains_key(&key) {
            return;
        }
        let mut list = Vec::new();
        for scope in accounting.scopes_of(job) {
            let bound = bound_of(accounting, &scope);
            if bound == Bound::default() {
                continue;
            }
            let next = CapId(self.ids.len() as u32);
            let cap = *self.ids.entry(scope).or_insert(next);
            if self.told.insert(cap, bound) != Some(bound) {
                notes.push(Note::Cap { cap, bound });
            }
            list.push(cap);
        }
        list.sort_unstable();
        self.lists.insert(key, list.into());
    }

    /// The bounds of a job of whom the scheduler has been told.
    pub(super) fn known(&self, job: &JobRecord) -> Arc<[CapId]> {
        if self.lists.is_empty() {
            return Arc::from([]);
        }
        let key = (job.spec.account.clone(), job.spec.qos.clone(), job.uid);
        self.lists.get(&key).cloned().unwrap_or_else(|| Arc::from([]))
    }
}

fn bound_of(accounting: &Accounting, scope: &Scope) -> Bound {
    let caps = accounting.caps(scope);
    if let Scope::Account(name) = scope
        && accounting.budget_of(name).is_some_and(|spent| spent.is_all())
    {
        return Bound { slots: Some(0), cpus: None };
    }
    Bound { slots: caps.running.map(u64::from), cpus: caps.cpus.map(u64::from) }
}

impl Accounting {
    /// How many more slots of so many cpus a job may have.
    pub fn room(&self, job: &JobRecord, cpus: u32) -> u32 {
        if self.budgets(&job.spec.account).any(|spent| spent.is_all()) {
            return 0;
        }
        let room = |scope: Scope| {
            let (caps, used) = (self.caps(&scope), self.used(&scope));
            let slots = caps.running.map(|most| u64::from(most).saturating_sub(used.running));
            let by_cpus =
                caps.cpus.map(|most| u64::from(most).saturating_sub(used.cpus) / u64::from(cpus.max(1)));
            slots.into_iter().chain(by_cpus).min()
        };
        let least = self.scopes_of(job).filter_map(room).min();
        least.map_or(u32::MAX, |least| u32::try_from(least).unwrap_or(u32::MAX))
    }

    /// Whether more is held than a limit of a job allows: then what comes free is not taken again.
    pub fn is_over(&self, job: &JobRecord) -> bool {
        let over = |most: Option<u32>, used: u64| most.is_some_and(|most| used > u64::from(most));
        let spent = self.budgets(&job.spec.account).any(|spent| spent.is_all());
        spent
            || self.scopes_of(job).any(|scope| {
                let (caps, used) = (self.caps(&scope), self.used(&scope));
                over(caps.running, used.running) || over(caps.cpus, used.cpus)
            })
    }
}

/// Checks that limits on cpus ever let a job of that size start.
///
/// # Errors
/// A limit that is below it.
pub(super) fn size_within(accounting: &Accounting, spec: &JobSpec, cpus: u32) -> Result<(), Refusal> {
    for (qos, name, limits) in accounting.limits(&spec.account, &spec.qos) {
        let least = [limits.all.cpus, limits.each_user.cpus].into_iter().flatten().min();
        if let Some(most) = least.filter(|most| *most < cpus) {
            let whose = scope_word(qos, name);
            let message = format!("it asks for {cpus} cpus, and {whose} allows {most} at once");
            return Err(Refusal::new(
                RefusalCode::Limit,
                message,
                "ask for fewer, or for another account or QOS",
            ));
        }
    }
    Ok(())
}

impl View {
    /// The limits that keep a job from starting now, in Slurm's words, with their values and who uses them.
    pub fn limits(&self, job: &Job) -> Vec<(&'static str, String)> {
        let accounting = &self.cluster.accounting;
        let record = &job.record;
        let mut found = Vec::new();
        for spent in accounting.budgets(&record.spec.account).filter(|spent| spent.is_all()) {
            let text = format!("account {} has used {}", spent.account.name, spent.words());
            found.push(("AssocGrpCPUMinutesLimit", text));
        }
        if let Some((most, qos, name)) = time_over(accounting, record) {
            let code = if qos { "QOSMaxWallDurationPerJobLimit" } else { "AssocMaxWallDurationPerJobLimit" };
            let most = TimeLimit(Some(most));
            let whose = scope_word(qos, &name);
            found.push((code, format!("{whose} allows a time limit of {most}, and it has {}", record.limit)));
        }
        for scope in accounting.scopes_of(record) {
            let (caps, used) = (accounting.caps(&scope), accounting.used(&scope));
            if let Some(most) = caps.running.filter(|most| used.running >= u64::from(*most)) {
                let running = |used: &Used| used.running;
                found.push((codes(&scope).0, self.says(&scope, most, "running jobs", "run", running)));
            }
            let needs = u64::from(record.cpus);
            if let Some(most) = caps.cpus.filter(|most| used.cpus + needs > u64::from(*most)) {
                let text = self.says(&scope, most, "cpus", "are in use", |used| used.cpus);
                let text = format!("{text}, and it asks for {needs}");
                found.push((codes(&scope).1, text));
            }
        }
        found
    }

    /// `account physics allows 4 cpus at once; 4 are in use (ada 3, ben 1)`.
    fn says(
        &self,
        scope: &Scope,
        most: u32,
        what: &str,
        verb: &str,
        amount: impl Fn(&Used) -> u64,
    ) -> String {
        let now = amount(&self.cluster.accounting.used(scope));
        match scope {
            Scope::Account(name) | Scope::Qos(name) => {
                let whose = scope_word(matches!(scope, Scope::Qos(_)), name);
                let who = self.users_of(scope, amount);
                format!("{whose} allows {most} {what} at once; {now} {verb}{who}")
            }
            Scope::AccountUser(name, uid) | Scope::QosUser(name, uid) => {
                let whose = scope_word(matches!(scope, Scope::QosUser(..)), name);
                let user = self.user_name(*uid);
                format!("{whose} allows each user {most} {what} at once; {now} of {user} {verb}")
            }
        }
    }

    fn users_of(&self, scope: &Scope, amount: impl Fn(&Used) -> u64) -> String {
        let used = self.cluster.accounting.used_by_user(scope).take(USERS_LOOKED_AT_MAX);
        let mut users: Vec<(u64, Uid)> =
            used.map(|(uid, used)| (amount(used), uid)).filter(|(amount, _)| *amount > 0).collect();
        users.sort_unstable_by(|one, other| other.cmp(one));
        let more = users.len().saturating_sub(USERS_TOLD_MAX);
        let name = |(amount, uid): &(u64, Uid)| format!("{} {amount}", self.user_name(*uid));
        let mut words: Vec<String> = users.iter().take(USERS_TOLD_MAX).map(name).collect();
        if more > 0 {
            words.push(format!("{more} others"));
        }
        if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) }
    }

    fn user_name(&self, uid: Uid) -> String {
        name_of(&self.cluster, uid)
    }
}

/// A user's name, or the uid.
fn name_of(cluster: &Cluster, uid: Uid) -> String {
    let user = cluster.users.values().find(|user| user.uid == uid);
    user.map_or_else(|| format!("uid {uid}"), |user| user.name.clone())
}

/// Slurm's words for limits on running jobs and on cpus.
fn codes(scope: &Scope) -> (&'static str, &'static str) {
    match scope {
        Scope::Account(_) => ("AssocGrpJobsLimit", "AssocGrpCpuLimit"),
        Scope::AccountUser(..) => ("AssocMaxJobsLimit", "AssocGrpCpuLimit"),
        Scope::Qos(_) => ("QOSGrpJobsLimit", "QOSGrpCpuLimit"),
        Scope::QosUser(..) => ("QOSMaxJobsPerUserLimit", "QOSMaxCpuPerUserLimit"),
    }
}
