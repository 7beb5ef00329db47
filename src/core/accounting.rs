//! Accounts and qualities of service in memory: the tree, who belongs where, and what is used of what limits bound.
//! What is used follows from the jobs; it is kept up change by change, at the cost of the depth of the tree.

use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use super::job::Job;
use super::share::Uses;
use crate::model::account::{ACCOUNT_DEPTH_MAX, AccountRecord, Caps, Limits, QOS_NORMAL, QosRecord};
use crate::model::change::Change;
use crate::model::ids::Uid;
use crate::model::priority::{DecayedUse, PriorityRecord};
use crate::model::record::{JobRecord, Slots};
use crate::model::state::State;
use crate::wire::account::Used;

/// Something that limits bind together.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// An account and all below it.
    Account(Arc<str>),
    /// What one user has in an account and all below it.
    AccountUser(Arc<str>, Uid),
    /// A quality of service.
    Qos(Arc<str>),
    /// What one user has in a quality of service.
    QosUser(Arc<str>, Uid),
}

/// Accounts, qualities of service, and their use.
#[derive(Clone, Debug, Default)]
pub struct Accounting {
    /// Accounts by name.
    pub accounts: OrdMap<Arc<str>, Arc<AccountRecord>>,
    /// Qualities of service by name.
    pub qos: OrdMap<Arc<str>, Arc<QosRecord>>,
    /// User and account: who may use which.
    members: OrdSet<(Arc<str>, Arc<str>)>,
    /// User and account: who coordinates which.
    coordinators: OrdSet<(Arc<str>, Arc<str>)>,
    used: OrdMap<Scope, Used>,
    /// What is spent of budgets, in cpu milliseconds.
    spent: OrdMap<Arc<str>, u64>,
    /// How priorities are worked out.
    pub priority: PriorityRecord,
    /// What everybody has used for fair share.
    pub uses: Uses,
    /// Whether `used` has to be counted anew, since what is defined has changed.
    stale: bool,
}

/// By how much a use changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    running: i64,
    cpus: i64,
    submitted: i64,
}

impl Delta {
    /// All that a job uses.
    pub fn whole(job: &Job) -> Delta {
        let slots = job.slots.values().fold(Delta::default(), |sum, slots| sum.plus(&Delta::slots(slots)));
        Delta { submitted: unfinished(job), ..slots }
    }

    /// More unfinished tasks.
    pub fn tasks(submitted: i64) -> Delta {
        Delta { submitted, ..Delta::default() }
    }

    /// From some slots to others.
    pub fn between(old: Option<&Slots>, new: Option<&Slots>) -> Delta {
        let of = |slots: Option<&Slots>| slots.map(Delta::slots).unwrap_or_default();
        of(new).plus(&of(old).negative())
    }

    /// The opposite.
    #[must_use]
    pub fn negative(self) -> Delta {
        Delta { running: -self.running, cpus: -self.cpus, submitted: -self.submitted }
    }

    fn slots(slots: &Slots) -> Delta {
        let count = i64::from(slots.count);
        Delta { running: count, cpus: count * i64::from(slots.charge.cpus), submitted: 0 }
    }

    fn plus(self, other: &Delta) -> Delta {
        Delta {
            running: self.running + other.running,
            cpus: self.cpus + other.cpus,
            submitted: self.submitted + other.submitted,
        }
    }
}

/// Tasks of a job that have not ended.
pub fn unfinished(job: &Job) -> i64 {
    let waiting = job.tasks.counted(State::Pending) + job.tasks.counted(State::Held);
    i64::from(waiting) + job.live.len() as i64
}

impl Accounting {
    /// Takes in what is defined.
    pub fn absorb(&mut self, change: &Change) {
        match change {
            Change::Account(record) => {
                self.forget_names(&record.name);
                let name: Arc<str> = record.name.as_str().into();
                let pair = |user: &String| (Arc::<str>::from(user.as_str()), name.clone());
                self.members.extend(record.users.iter().map(pair));
                self.coordinators.extend(record.coordinators.iter().map(pair));
                self.accounts.insert(name.clone(), Arc::new((**record).clone()));
            }
            Change::AccountRemoved(name) => {
                self.forget_names(name);
                self.accounts.remove(name.as_str());
                self.spent.remove(name.as_str());
            }
            Change::Qos(record) => {
                self.qos.insert(record.name.as_str().into(), Arc::new((**record).clone()));
            }
            Change::QosRemoved(name) => {
                self.qos.remove(name.as_str());
            }
            Change::Priority(record) => self.priority = **record,
            _ => return,
        }
        self.stale = true;
    }

    /// Takes in what somebody has used for fair share.
    pub fn absorb_use(&mut self, account: &str, user: &str, used: Option<DecayedUse>) {
        let member = (account.into(), user.into());
        match used {
            Some(used) => self.uses.decayed.insert(member, used),
            None => self.uses.decayed.remove(&member),
        };
    }

    /// Whether anything limits how many unfinished jobs several users have together.
    pub fn has_submitted_caps(&self) -> bool {
        let of_accounts = self.accounts.values().map(|account| &account.limits);
        let of_qos = self.qos.values().map(|qos| &qos.limits);
        of_accounts.chain(of_qos).any(|limits| limits.all.submitted.is_some())
    }

    /// Takes in how much of a budget is spent; true if that makes a difference to who may start.
    pub fn absorb_spent(&mut self, account: &str, cpu_ms: u64) -> bool {
        let is_all = |this: &Accounting| this.budget_of(account).is_some_and(|spent| spent.is_all());
        let before = is_all(self);
        if cpu_ms == 0 {
            self.spent.remove(account);
        } else {
            self.spent.insert(account.into(), cpu_ms);
        }
        is_all(self) != before
    }

    /// What is spent of an account's budget, in cpu milliseconds.
    pub fn spent_ms(&self, account: &str) -> u64 {
        self.spent.get(account).copied().unwrap_or_default()
    }

    fn forget_names(&mut self, account: &str) {
        let Some(old) = self.accounts.get(account).cloned() else { return };
        for user in &old.users {
            self.members.remove(&(user.as_str().into(), account.into()));
        }
        for user in &old.coordinators {
            self.coordinators.remove(&(user.as_str().into(), account.into()));
        }
    }

    /// Whether nothing at all is defined.
    pub fn is_empty(&self) -> bool {
        self.accounts.is_empty() && self.qos.is_empty()
    }

    /// An account and those above it, the nearest first.
    pub fn chain<'a>(&'a self, account: &str) -> impl Iterator<Item = &'a Arc<AccountRecord>> + use<'a> {
        let above = |account: &&'a Arc<AccountRecord>| self.accounts.get(account.parent.as_deref()?);
        std::iter::successors(self.accounts.get(account), above).take(ACCOUNT_DEPTH_MAX)
    }

    /// Whether `above` stands above an account, or is that account itself.
    pub fn is_within(&self, account: &str, above: &str) -> bool {
        self.chain(account).any(|one| one.name == above)
    }

    /// Accounts right below another.
    pub fn below<'a>(&'a self, account: &'a str) -> impl Iterator<Item = &'a Arc<AccountRecord>> {
        self.accounts.values().filter(move |one| one.parent.as_deref() == Some(account))
    }

    /// The accounts that a user may use, by name.
    pub fn accounts_of<'a>(&'a self, user: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        of_user(&self.members, user)
    }

    /// The accounts that a user coordinates, by name.
    pub fn coordinated_by<'a>(&'a self, user: &str) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        of_user(&self.coordinators, user)
    }

    /// The account of a user's jobs that name none: the one that is his default, else the first by name.
    pub fn default_of(&self, user: &str) -> Option<&Arc<str>> {
        let said = |account: &&Arc<str>| {
            let record = self.accounts.get(*account);
            record.is_some_and(|record| record.default_for.iter().any(|one| one == user))
        };
        self.accounts_of(user).find(said).or_else(|| self.accounts_of(user).next())
    }

    /// Whether a user may use an account.
    pub fn is_member(&self, user: &str, account: &str) -> bool {
        self.members.contains(&(user.into(), account.into()))
    }

    /// The quality of service of jobs that name none.
    pub fn default_qos(&self) -> &'static str {
        if self.qos.contains_key(QOS_NORMAL) { QOS_NORMAL } else { "" }
    }

    /// All that binds the jobs of a user in an account and a quality of service: the account first, then those above
    /// it, then the quality of service.
    pub fn scopes<'a>(&'a self, account: &str, qos: &str, uid: Uid) -> impl Iterator<Item = Scope> + use<'a> {
        let accounts = self.chain(account).flat_map(move |record| {
            let name: Arc<str> = record.name.as_str().into();
            [Scope::Account(name.clone()), Scope::AccountUser(name, uid)]
        });
        let qos = self.qos.get(qos).into_iter().flat_map(move |record| {
            let name: Arc<str> = record.name.as_str().into();
            [Scope::Qos(name.clone()), Scope::QosUser(name, uid)]
        });
        accounts.chain(qos)
    }

    /// The same for a job.
    pub fn scopes_of<'a>(&'a self, record: &JobRecord) -> impl Iterator<Item = Scope> + use<'a> {
        self.scopes(&record.spec.account, &record.spec.qos, record.uid)
    }

    /// The limits of accounts and quality of service that hold for a job, with their scopes' names.
    pub fn limits<'a>(
        &'a self,
        account: &str,
        qos: &str,
    ) -> impl Iterator<Item = (bool, &'a str, &'a Limits)> {
        let accounts = self.chain(account).map(|one| (false, one.name.as_str(), &one.limits));
        accounts.chain(self.qos.get(qos).map(|one| (true, one.name.as_str(), &one.limits)))
    }

    /// The bounds of a scope.
    pub fn caps(&self, scope: &Scope) -> Caps {
        let caps = match scope {
            Scope::Account(name) => self.accounts.get(name).map(|one| one.limits.all),
            Scope::AccountUser(name, _) => self.accounts.get(name).map(|one| one.limits.each_user),
            Scope::Qos(name) => self.qos.get(name).map(|one| one.limits.all),
            Scope::QosUser(name, _) => self.qos.get(name).map(|one| one.limits.each_user),
        };
        caps.unwrap_or_default()
    }

    /// What is used of a scope.
    pub fn used(&self, scope: &Scope) -> Used {
        self.used.get(scope).copied().unwrap_or_default()
    }

    /// What each user has of an account or a quality of service.
    pub fn used_by_user(&self, scope: &Scope) -> impl Iterator<Item = (Uid, &Used)> {
        let (Scope::Account(name) | Scope::AccountUser(name, _) | Scope::Qos(name) | Scope::QosUser(name, _)) =
            scope;
        let of = |uid| match scope {
            Scope::Account(_) | Scope::AccountUser(..) => Scope::AccountUser(name.clone(), uid),
            Scope::Qos(_) | Scope::QosUser(..) => Scope::QosUser(name.clone(), uid),
        };
        let users = self.used.range(of(Uid(0))..=of(Uid(u32::MAX)));
        users.filter_map(|(scope, used)| match scope {
            Scope::AccountUser(_, uid) | Scope::QosUser(_, uid) => Some((*uid, used)),
            _ => None,
        })
    }

    /// What is used has to be counted anew.
    pub fn set_stale(&mut self) {
        self.stale = true;
    }

    /// Whether what is used has to be counted anew.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    /// Counts what jobs use anew.
    pub fn recount<'a>(&mut self, jobs: impl Iterator<Item = &'a Arc<Job>>) {
        self.used.clear();
        self.stale = false;
        if self.is_empty() {
            return;
        }
        for job in jobs {
            self.add(&job.record, Delta::whole(job));
        }
    }

    /// A job uses more or less.
    pub fn add(&mut self, record: &JobRecord, delta: Delta) {
        if self.stale || self.is_empty() || delta == Delta::default() {
            return;
        }
        let scopes: Vec<Scope> = self.scopes_of(record).collect();
        for scope in scopes {
            let old = self.used(&scope);
            let new = Used {
                running: old.running.saturating_add_signed(delta.running),
                cpus: old.cpus.saturating_add_signed(delta.cpus),
                submitted: old.submitted.saturating_add_signed(delta.submitted),
            };
            if new == Used::default() {
                self.used.remove(&scope);
            } else {
                self.used.insert(scope, new);
            }
        }
    }

    /// All that is used, for checks.
    pub fn all_used(&self) -> &OrdMap<Scope, Used> {
        &self.used
    }
}

fn of_user<'a>(
    pairs: &'a OrdSet<(Arc<str>, Arc<str>)>,
    user: &str,
) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
    let user: Arc<str> = user.into();
    let from = (user.clone(), Arc::from(""));
    pairs.range(from..).take_while(move |(of, _)| *of == user).map(|(_, account)| account)
}
