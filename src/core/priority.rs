//! Priorities: Slurm's multifactor plugin in its terms (<https://slurm.schedmd.com/priority_multifactor.html>). Each factor
//! is 0 to 1, and counts as many points as its weight:
//!
//! - age: the time since a job was submitted, or since its begin time, over `max-age`;
//! - fair share: see [`super::share`];
//! - job size: its cpus over those of the cluster, or what is missing to that with `favor-small`;
//! - partition: its priority over the highest, unless partitions come one after the other (no weight);
//! - QOS: its priority over the highest; without a weight its priority is added as it is.
//!
//! To that comes what an operator gave it, less its nice value. Age and fair share move by themselves: the scheduler is told
//! of them apart from the rest, for all that share one at once (`sched/standing.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accounting::Accounting;
use super::command::Outcome;
use super::job::Job;
use super::share::{Fairness, Member, Stand};
use super::state::{Cluster, View};
use super::{Core, notes};
use crate::model::change::Change;
use crate::model::priority::UNITS_PER_POINT;
use crate::model::time::{Seconds, WallTime};
use crate::sched::{Ageing, Note, ShareId};
use crate::wire::info::{PriorityPart, ShareInfo};

/// How ages and shares stood when they were last reckoned.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// When; `None`: never.
    at: Option<WallTime>,
    fairness: Fairness,
}

/// What the scheduler was told of it.
#[derive(Debug, Default)]
pub(super) struct Told {
    ids: BTreeMap<Member, ShareId>,
    standings: BTreeMap<ShareId, i64>,
    ageing: Option<Ageing>,
}

impl Core {
    /// Reckons ages and standings anew if it is time, and tells what is different.
    pub(super) fn renew_standing(&mut self, all: bool, notes: &mut Vec<Note>) {
        let now = self.now.wall;
        let record = self.cluster.accounting.priority;
        if !all && self.standing_due().is_none_or(|due| due > now) {
            return;
        }
        let mut standing = Standing::default();
        if record.moves() {
            // Not back by a little: that would be more work than it is worth.
            standing.at = Some(self.standing.at.filter(|_| !self.is_ahead()).map_or(now, |at| at.max(now)));
        }
        if record.fair_share > 0 {
            standing.fairness = self.cluster.accounting.fairness(now, self.cluster.users.len());
        }
        let ageing = standing.at.filter(|_| record.age > 0).map(|at| Ageing {
            weight: i64::from(record.age) * UNITS_PER_POINT,
            span: record.age_max,
            at,
        });
        if ageing != self.told.ageing {
            self.told.ageing = ageing;
            notes.push(Note::Ageing(ageing));
        }
        // Readers want to see what the scheduler reckons with.
        self.looked |= standing.at.is_some() || self.standing.at.is_some();
        self.standing = Arc::new(standing);
        let known: Vec<(Member, ShareId)> =
            self.told.ids.iter().map(|(member, id)| (member.clone(), *id)).collect();
        for (member, share) in known {
            self.tell_standing(&member, share, notes);
        }
    }

    fn tell_standing(&mut self, member: &Member, share: ShareId, notes: &mut Vec<Note>) {
        let standing = self.standing.of(&self.cluster.accounting, || member.clone());
        if self.told.standings.insert(share, standing) != Some(standing) {
            notes.push(Note::Share { share, standing });
        }
    }

    /// Whose standing counts for a job, told to the scheduler when he is new.
    pub(super) fn tell_share(&mut self, job: &Job, notes: &mut Vec<Note>) {
        if self.cluster.accounting.priority.fair_share == 0 {
            return;
        }
        let member = self.cluster.accounting.member(&job.record);
        if self.told.ids.contains_key(&member) {
            return;
        }
        let share = ShareId(self.told.ids.len() as u32 + 1);
        self.told.ids.insert(member.clone(), share);
        self.tell_standing(&member, share, notes);
    }

    /// The number of whose standing counts for a job.
    pub(super) fn share_of(&self, job: &Job) -> ShareId {
        let accounting = &self.cluster.accounting;
        let by_priority = notes::policy(&self.cluster, job).by_priority();
        if accounting.priority.fair_share == 0 || !by_priority {
            return ShareId::default();
        }
        self.told.ids.get(&accounting.member(&job.record)).copied().unwrap_or_default()
    }

    /// When ages and standings are to be reckoned next, if there is anybody to whom it matters.
    pub(super) fn standing_due(&self) -> Option<WallTime> {
        let record = &self.cluster.accounting.priority;
        if !record.moves() || self.cluster.totals.pending == 0 {
            return None;
        }
        let next = self.standing.at.filter(|_| !self.is_ahead());
        Some(next.map_or(WallTime(0), |at| at.plus(record.period)))
    }

    /// Whether the clock was set back behind what was reckoned last.
    fn is_ahead(&self) -> bool {
        let period = self.cluster.accounting.priority.period;
        self.standing.at.is_some_and(|at| at.micros_since(self.now.wall) > period.micros())
    }

    /// Before somebody holds more or less: what he has used up to now.
    pub(super) fn reckon_use(&mut self, change: &Change, outcome: &mut Outcome) {
        let cluster = &self.cluster;
        if cluster.accounting.priority.fair_share == 0 {
            return;
        }
        let accounts = &cluster.accounting.accounts;
        let member = |id| cluster.jobs.get(id).map(|job| cluster.accounting.member(&job.record));
        let members: Vec<Member> = match change {
            Change::Slots { job, .. } => member(job).into_iter().collect(),
            Change::Job(record) if cluster.jobs.get(&record.id).is_some_and(|job| !job.slots.is_empty()) => {
                let (old, new) = (member(&record.id), cluster.accounting.member(record));
                if old.as_ref() == Some(&new) { Vec::new() } else { old.into_iter().chain([new]).collect() }
            }
            // Others hold it from now on, or it counts otherwise.
            Change::Account(_) if accounts.is_empty() => cluster.accounting.users(),
            Change::AccountRemoved(name) if accounts.len() == 1 && accounts.contains_key(name.as_str()) => {
                cluster.accounting.users()
            }
            Change::Priority(_) => cluster.accounting.users(),
            Change::Node(record) if cluster.has_other_hardware(record) => cluster.accounting.users(),
            _ => return,
        };
        for member in members {
            self.settle_use(&member, outcome);
        }
    }

    /// Whoever holds something and has used nothing yet begins with nothing.
    pub(super) fn begin_use(&mut self, outcome: &mut Outcome) {
        let uses = &self.cluster.accounting.uses;
        let new = uses.rates.keys().filter(|member| !uses.decayed.contains_key(*member));
        let new: Vec<Member> = new.cloned().collect();
        for member in new {
            self.settle_use(&member, outcome);
        }
    }

    /// Writes down what somebody has used up to now.
    fn settle_use(&mut self, (account, user): &Member, outcome: &mut Outcome) {
        let accounting = &self.cluster.accounting;
        let member = (Arc::clone(account), Arc::clone(user));
        let used = accounting.use_at(&member, self.now.wall);
        if accounting.uses.decayed.get(&member) != Some(&used) {
            let (account, user) = (account.to_string(), user.to_string());
            self.absorb(Change::Use { account, user, used: Some(used) }, outcome);
        }
    }

    /// An account goes, and with it what was used in it.
    pub(super) fn forgotten_use(&self, account: &str) -> Vec<Change> {
        let members = self.cluster.accounting.uses.decayed.keys().filter(|(of, _)| **of == *account);
        let change = |(account, user): &Member| Change::Use {
            account: account.to_string(),
            user: user.to_string(),
            used: None,
        };
        members.map(change).collect()
    }
}

impl Standing {
    /// How shares stand at a moment, whoever waits.
    pub fn at(cluster: &Cluster, at: WallTime) -> Standing {
        Standing { at: Some(at), fairness: cluster.accounting.fairness(at, cluster.users.len()) }
    }

    /// What somebody's fair share adds to priorities.
    fn of(&self, accounting: &Accounting, member: impl FnOnce() -> Member) -> i64 {
        if accounting.priority.fair_share == 0 {
            return 0;
        }
        let factor = self.fairness.of_member(accounting, &member()).factor();
        units(accounting.priority.fair_share, factor)
    }

    /// How an account stands.
    pub fn of_account(&self, account: &str) -> Option<ShareInfo> {
        self.at.map(|_| told(&self.fairness.of_account(account)))
    }

    /// How a user stands in an account.
    pub fn of_member(&self, accounting: &Accounting, account: &str, user: &str) -> Option<ShareInfo> {
        self.at.map(|_| told(&self.fairness.of_member(accounting, &(account.into(), user.into()))))
    }

    /// A job's age as it counts: waited seconds, at most those that count in full.
    fn age(&self, cluster: &Cluster, job: &Job) -> Seconds {
        let Some((at, from)) = self.at.zip(ages_from(cluster, job)) else { return Seconds(0) };
        let waited = u64::try_from(at.unix_seconds() - from.unix_seconds()).unwrap_or_default();
        Seconds(waited.min(cluster.accounting.priority.age_max.0))
    }
}

/// Since when a job ages, if that counts.
pub fn ages_from(cluster: &Cluster, job: &Job) -> Option<WallTime> {
    let counts = cluster.accounting.priority.age > 0 && notes::policy(cluster, job).by_priority();
    let record = &job.record;
    counts.then(|| record.spec.times.begin.unwrap_or(record.since).max(record.since))
}

/// The part of a job's priority that stays, in units of [`UNITS_PER_POINT`].
pub fn fixed(cluster: &Cluster, job: &Job) -> i64 {
    given(job) - nice(job) + qos(cluster, job).0 + partition(cluster, job).0 + size(cluster, job).0
}

/// A job's priority as it stood when ages and shares were last reckoned, in points, rounded down.
pub fn points(cluster: &Cluster, standing: &Standing, job: &Job) -> i64 {
    if !notes::policy(cluster, job).by_priority() {
        return 0;
    }
    let accounting = &cluster.accounting;
    let moves =
        age_units(cluster, standing, job) + standing.of(accounting, || accounting.member(&job.record));
    (fixed(cluster, job) + moves).div_euclid(UNITS_PER_POINT)
}

fn given(job: &Job) -> i64 {
    job.record.spec.priority.map_or(0, i64::from) * UNITS_PER_POINT
}

fn nice(job: &Job) -> i64 {
    i64::from(job.record.spec.nice) * UNITS_PER_POINT
}

/// What a job has for its quality of service, the priority of that, and the highest.
fn qos(cluster: &Cluster, job: &Job) -> (i64, i32, i32) {
    let all = &cluster.accounting.qos;
    let own = all.get(job.record.spec.qos.as_str()).map_or(0, |qos| qos.priority);
    match cluster.accounting.priority.qos {
        0 => (i64::from(own) * UNITS_PER_POINT, own, 0),
        weight => {
            let most = all.values().map(|qos| qos.priority).max().unwrap_or_default();
            (units(weight, part_of(own, most)), own, most)
        }
    }
}

/// The same of its partition.
fn partition(cluster: &Cluster, job: &Job) -> (i64, i32, i32) {
    let weight = cluster.accounting.priority.partition;
    if weight == 0 {
        return (0, 0, 0);
    }
    let own = notes::partition_priority(cluster, job);
    let most = cluster.partitions.values().map(|one| one.priority).max().unwrap_or_default();
    (units(weight, part_of(own, most)), own, most)
}

/// What a job has for its size, and the cpus of the cluster.
fn size(cluster: &Cluster, job: &Job) -> (i64, u64) {
    let weights = &cluster.accounting.priority;
    let all = cluster.totals.cpus.max(1);
    let part = (f64::from(job.record.cpus) / all as f64).min(1.0);
    let factor = if weights.favour_small { 1.0 - part } else { part };
    (units(weights.size, factor), all)
}

fn age_units(cluster: &Cluster, standing: &Standing, job: &Job) -> i64 {
    let weights = &cluster.accounting.priority;
    if weights.age == 0 {
        return 0;
    }
    units(weights.age, standing.age(cluster, job).0 as f64 / weights.age_max.0.max(1) as f64)
}

fn all_parts(cluster: &Cluster, standing: &Standing, job: &Job) -> Vec<PriorityPart> {
    let mut parts = Vec::new();
    if !notes::policy(cluster, job).by_priority() {
        return parts;
    }
    let mut add = |name: &str, units: i64, weight: u32, text: String| {
        let weight = (weight > 0).then_some(weight);
        if weight.is_some() || units != 0 {
            parts.push(PriorityPart { name: name.to_owned(), units, weight, text });
        }
    };
    let accounting = &cluster.accounting;
    let weights = &accounting.priority;
    let of = |own: i32, most: i32| format!("priority {own} of at most {most}");
    let age = standing.age(cluster, job);
    let text = format!("it has waited for {} of {} seconds", age.0, weights.age_max.0);
    add("age", age_units(cluster, standing, job), weights.age, text);
    let member = accounting.member(&job.record);
    let stand = standing.fairness.of_member(accounting, &member);
    add(
        "fair-share",
        standing.of(accounting, || member.clone()),
        weights.fair_share,
        share_words(&member, &stand),
    );
    let (points, all) = size(cluster, job);
    let smaller = if weights.favour_small { ", and smaller is more" } else { "" };
    add("size", points, weights.size, format!("{} of {all} cpus{smaller}", job.record.cpus));
    let (points, own, most) = partition(cluster, job);
    add("partition", points, weights.partition, of(own, most));
    let (points, own, most) = qos(cluster, job);
    let name = format!("QOS {}", job.record.spec.qos);
    let text = if weights.qos > 0 { format!("{name}: {}", of(own, most)) } else { name };
    add("qos", points, weights.qos, text);
    add("given", given(job), 0, "set by an operator".to_owned());
    add("nice", -nice(job), 0, format!("nice {}", job.record.spec.nice));
    parts
}

/// `ada in physics has 25.0 % of the shares and used 40.0 % of what was used, 35.0 % with those beside him`.
fn share_words((account, user): &Member, stand: &Stand) -> String {
    let whose = if account.is_empty() { user.to_string() } else { format!("{user} in {account}") };
    let (shares, used, effective) = (stand.shares * 1e2, stand.used * 1e2, stand.effective * 1e2);
    format!(
        "{whose} has {shares:.1} % of the shares and {used:.1} % of what was used, {effective:.1} % with those alongside"
    )
}

impl View {
    /// What a job's priority consists of.
    pub fn priority_parts(&self, job: &Job) -> Vec<PriorityPart> {
        all_parts(&self.cluster, &self.standing, job)
    }
}

/// Both counted from 0.
fn part_of(own: i32, most: i32) -> f64 {
    if most <= 0 { 0.0 } else { (f64::from(own) / f64::from(most)).clamp(0.0, 1.0) }
}

fn units(weight: u32, factor: f64) -> i64 {
    (f64::from(weight) * UNITS_PER_POINT as f64 * factor.clamp(0.0, 1.0)) as i64
}

fn told(stand: &Stand) -> ShareInfo {
    let billionths = |part: f64| (part.clamp(0.0, 1.0) * 1e9).round() as u32;
    ShareInfo {
        shares: billionths(stand.shares),
        used: billionths(stand.used),
        effective: billionths(stand.effective),
        factor: billionths(stand.factor()),
        cpu_ms: (stand.cpu_seconds * 1e3).max(0.0) as u64,
    }
}
