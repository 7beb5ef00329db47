//! Fair share: who has used how much of what is his. Shares and use are those of Slurm's *classic* fair share
//! (<https://slurm.schedmd.com/classic_fair_share.html>, `PriorityFlags=NO_FAIR_TREE`):
//!
//! - Normalised shares `S`: a user's share among all that stand beside him below his account, times that account's among
//!   those beside it, and so on up.
//! - Normalised use `U`: decayed use, by what was held most of, of an account and all below it, or of a user in an
//!   account, over that of all.
//! - Effective use `E`: of an account at the top `U`; of what stands below another `U + (E(above) − U) · share / shares beside it`.
//! - The factor is `2^(−E / S)`: 1 for who has used nothing, ½ for who has used just his share.
//!
//! Use decays alike for all, so that time alone changes no factor. While no accounts are defined, all users stand beside one
//! another, with equal shares.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;

use super::accounting::Accounting;
use super::job::Job;
use super::state::Cluster;
use crate::model::account::{AccountRecord, SHARE_DEFAULT};
use crate::model::ids::NodeId;
use crate::model::priority::DecayedUse;
use crate::model::record::{JobRecord, Slots};
use crate::model::resources::Resources;
use crate::model::time::WallTime;

/// A user in an account: account, user. Without accounts the first is empty.
pub type Member = (Arc<str>, Arc<str>);

/// Who uses how much.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// Decayed use, as of the last time that a rate changed.
    pub decayed: OrdMap<Member, DecayedUse>,
    /// What is held now, in thousandths of a cpu.
    pub rates: OrdMap<Member, u64>,
}

/// How somebody stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stand {
    /// Normalised shares, 0 to 1.
    pub shares: f64,
    /// Decayed use, in cpu seconds.
    pub cpu_seconds: f64,
    /// The same as a part of all, 0 to 1.
    pub used: f64,
    /// Effective use, 0 to 1.
    pub effective: f64,
}

impl Stand {
    /// The factor, 0 to 1.
    pub fn factor(&self) -> f64 {
        if self.shares > 0.0 { (-self.effective / self.shares).exp2() } else { 0.0 }
    }
}

/// How all accounts stood at a moment.
#[derive(Clone, Debug, Default)]
pub struct Fairness {
    /// Use by member.
    used: BTreeMap<Member, f64>,
    total: f64,
    accounts: BTreeMap<Arc<str>, Level>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Level {
    stand: Stand,
    /// The shares of all right below it, accounts and users.
    below: f64,
}

impl Accounting {
    /// In whose name a job uses the cluster.
    pub fn member(&self, record: &JobRecord) -> Member {
        let account = if self.accounts.is_empty() { "".into() } else { record.spec.account.as_str().into() };
        (account, Arc::clone(&record.user))
    }

    /// Everybody who holds something or has used something.
    pub fn users(&self) -> Vec<Member> {
        let both = self.uses.decayed.keys().chain(self.uses.rates.keys());
        let all: BTreeSet<Member> = both.cloned().collect();
        all.into_iter().collect()
    }

    /// What somebody's use is at a moment.
    pub fn use_at(&self, member: &Member, at: WallTime) -> DecayedUse {
        let rate = self.uses.rates.get(member).copied().unwrap_or_default();
        let old = self.uses.decayed.get(member).copied().unwrap_or(DecayedUse::new(0.0, at));
        old.later(at, rate, self.priority.half_life)
    }

    /// How all stand at a moment. Costs the number of members that have used something, and of accounts.
    pub fn fairness(&self, at: WallTime, users: usize) -> Fairness {
        let mut fairness = Fairness::default();
        let here = |member: &&Member| self.accounts.is_empty() == member.0.is_empty();
        for member in self.uses.decayed.keys().filter(here) {
            let used = self.use_at(member, at).cpu_seconds();
            fairness.used.insert(member.clone(), used);
            fairness.total += used;
            for account in self.chain(&member.0) {
                let level = fairness.accounts.entry(account.name.as_str().into()).or_default();
                level.stand.cpu_seconds += used;
            }
        }
        if self.accounts.is_empty() {
            let root = Level { stand: Stand { shares: 1.0, ..Stand::default() }, below: users.max(1) as f64 };
            fairness.accounts.insert("".into(), root);
            return fairness;
        }
        let mut below: BTreeMap<Option<&str>, Vec<&Arc<AccountRecord>>> = BTreeMap::new();
        for account in self.accounts.values() {
            below.entry(account.parent.as_deref()).or_default().push(account);
        }
        // From the top down.
        let mut next: Vec<(Option<&str>, f64, Option<f64>)> = vec![(None, 1.0, None)];
        while let Some((above, shares, effective)) = next.pop() {
            let here = below.get(&above).map_or(&[][..], Vec::as_slice);
            let users = above.and_then(|above| self.accounts.get(above)).map_or(0.0, |one| user_shares(one));
            let all = users + here.iter().map(|account| f64::from(account.share)).sum::<f64>();
            if let Some(level) = above.and_then(|above| fairness.accounts.get_mut(above)) {
                level.below = all;
            }
            for account in here {
                let level = fairness.accounts.entry(account.name.as_str().into()).or_default();
                let part = if all > 0.0 { f64::from(account.share) / all } else { 0.0 };
                let used = if fairness.total > 0.0 { level.stand.cpu_seconds / fairness.total } else { 0.0 };
                let stand = &mut level.stand;
                (stand.shares, stand.used) = (shares * part, used);
                stand.effective = effective.map_or(used, |above| used + (above - used) * part);
                next.push((Some(&account.name), stand.shares, Some(stand.effective)));
            }
        }
        fairness
    }
}

impl Fairness {
    /// How an account and all below it stand.
    pub fn of_account(&self, account: &str) -> Stand {
        self.accounts.get(account).map(|level| level.stand).unwrap_or_default()
    }

    /// How a user stands in an account; one who is not in it has no shares there.
    pub fn of_member(&self, accounting: &Accounting, member: &Member) -> Stand {
        let cpu_seconds = self.used.get(member).copied().unwrap_or_default();
        let used = if self.total > 0.0 { cpu_seconds / self.total } else { 0.0 };
        let mut stand = Stand { cpu_seconds, used, ..Stand::default() };
        let Some(level) = self.accounts.get(&member.0) else { return stand };
        let share = match accounting.accounts.get(&member.0) {
            Some(account) if !account.users.iter().any(|user| **user == *member.1) => 0.0,
            Some(account) => f64::from(account.share_of(&member.1)),
            None => f64::from(SHARE_DEFAULT),
        };
        let part = if level.below > 0.0 { share / level.below } else { 0.0 };
        stand.shares = level.stand.shares * part;
        let above = if member.0.is_empty() { used } else { level.stand.effective };
        stand.effective = used + (above - used) * part;
        stand
    }
}

fn user_shares(account: &AccountRecord) -> f64 {
    account.users.iter().map(|user| f64::from(account.share_of(user))).sum()
}

impl Cluster {
    /// What slots count against shares, in thousandths of a cpu: the larger of their cpus and of the memory's part of the node.
    pub(super) fn rate_of(&self, node: NodeId, slots: &Slots) -> u64 {
        let node = self.nodes.get(&node).and_then(|node| node.record.hardware.as_ref());
        let total = node.map(|hardware| hardware.resources).unwrap_or_default();
        dominant_milli(&slots.charge, &total).saturating_mul(u64::from(slots.count))
    }

    /// The same of all that a job holds.
    pub(super) fn whole_rate(&self, job: &Job) -> u64 {
        job.slots.iter().map(|(node, slots)| self.rate_of(*node, slots)).sum()
    }

    /// Reckons anew what everybody holds.
    pub(super) fn recount_rates(&mut self) {
        let mut rates: BTreeMap<Member, u64> = BTreeMap::new();
        if self.accounting.priority.fair_share > 0 {
            for job in self.jobs.values().filter(|job| !job.slots.is_empty()) {
                let rate = self.whole_rate(job);
                *rates.entry(self.accounting.member(&job.record)).or_default() += rate;
            }
        }
        rates.retain(|_, rate| *rate > 0);
        self.accounting.uses.rates = rates.into_iter().collect();
    }

    /// Somebody holds more or less from now on.
    pub(super) fn change_rate(&mut self, member: &Member, old: u64, new: u64) {
        if old == new || self.accounting.priority.fair_share == 0 || self.accounting.is_stale() {
            return;
        }
        let rates = &mut self.accounting.uses.rates;
        let rate = rates.get(member).copied().unwrap_or_default().saturating_sub(old).saturating_add(new);
        if rate == 0 {
            rates.remove(member);
        } else {
            rates.insert(member.clone(), rate);
        }
    }
}

fn dominant_milli(charge: &Resources, total: &Resources) -> u64 {
    let by_cpus = u128::from(charge.cpus) * 1_000;
    let by_memory = u128::from(charge.memory_bytes) * u128::from(total.cpus) * 1_000;
    let by_memory = by_memory / u128::from(total.memory_bytes.max(1));
    u64::try_from(by_cpus.max(by_memory)).unwrap_or(u64::MAX)
}
