//! Verbs on accounts and qualities of service. All that is asked for is checked before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::audit::Deed;
use super::authorise::{Right, allowed, may_change_account};
use super::command::{Caller, Outcome};
use super::config::AtKey;
use super::{Core, refuse};
use crate::model::account::{
    ACCOUNT_DEPTH_MAX, ACCOUNT_NAMES_MAX, ACCOUNTS_MAX, AccountRecord, Budget, Limits, QosRecord,
};
use crate::model::change::Change;
use crate::model::identity::name_is_valid;
use crate::model::time::Now;
use crate::wire::account::{AccountSettings, LimitSettings, Names, QosSettings};
use crate::wire::client::{AccountAct, Refusal, RefusalCode, Reply};

impl Core {
    pub(super) fn account_act(
        &mut self,
        now: Now,
        caller: &Caller,
        act: &AccountAct,
        outcome: &mut Outcome,
    ) -> Reply {
        let done = match act {
            AccountAct::Set { new, settings } => self.set_account(now, caller, *new, settings, outcome),
            AccountAct::Remove { name } => self.remove_account(caller, name, outcome),
            AccountAct::QosSet { new, settings } => self.set_qos(caller, *new, settings, outcome),
            AccountAct::QosRemove { name } => self.remove_qos(caller, name, outcome),
            AccountAct::List | AccountAct::QosList => {
                return refuse(RefusalCode::Invalid, "this request changes nothing", "");
            }
        };
        match done {
            Ok((line, warnings)) => {
                self.audit(now, caller, Deed::of(audit_words(act)), true, outcome);
                Reply::Done { lines: vec![line], warnings }
            }
            Err(refusal) => Reply::Refused(refusal),
        }
    }

    fn set_account(
        &mut self,
        now: Now,
        caller: &Caller,
        new: bool,
        settings: &AccountSettings,
        outcome: &mut Outcome,
    ) -> Result<(String, Vec<String>), Refusal> {
        let name = settings.name.as_str();
        let accounting = &self.cluster.accounting;
        let old = accounting.accounts.get(name).map(|old| (**old).clone());
        self.may_set(caller, old.as_ref(), settings)?;
        check_name("account", name)?;
        match (new, &old) {
            (true, Some(_)) => {
                let message = format!("account {name} exists already");
                let hint = format!("`jctld account set {name} …` changes it");
                return Err(Refusal::new(RefusalCode::Conflict, message, hint));
            }
            (false, None) => return Err(no_account(name)),
            (true, None) if accounting.accounts.len() >= ACCOUNTS_MAX => {
                return Err(Refusal::new(
                    RefusalCode::Limit,
                    format!("{ACCOUNTS_MAX} accounts are the most"),
                    "",
                ));
            }
            _ => {}
        }
        let first = accounting.accounts.is_empty();
        let since = old.as_ref().and_then(|old| old.budget).map(|budget| budget.since);
        if let Some(Some(parent)) = &settings.parent {
            self.check_above(name, parent)?;
        }
        let record = old.unwrap_or_else(|| AccountRecord::new(name));
        let record =
            self.settled_account(now, record, settings).map_err(|(key, refusal)| named(key, refusal))?;
        // One default a user: whoever is given a new one loses the old one.
        let taken = |other: &&std::sync::Arc<AccountRecord>| {
            other.name != record.name
                && other.default_for.iter().any(|user| record.default_for.contains(user))
        };
        let others: Vec<AccountRecord> =
            self.cluster.accounting.accounts.values().filter(taken).map(|other| (**other).clone()).collect();
        for mut other in others {
            other.default_for.retain(|user| !record.default_for.contains(user));
            self.commit(Change::Account(Box::new(other)), outcome);
        }
        let line = format!("account {name} {}", if new { "added" } else { "changed" });
        let warnings = accounts_begin_or_end(first, false).into_iter().collect();
        // A new budget begins with nothing spent.
        let begins = record.budget.map(|budget| budget.since) != since;
        self.commit(Change::Account(Box::new(record)), outcome);
        if begins {
            self.commit(Change::BudgetSpent { account: name.to_owned(), cpu_ms: 0 }, outcome);
        }
        Ok((line, warnings))
    }

    /// Whether the caller may do that: an admin all of it, a coordinator below his own.
    fn may_set(
        &self,
        caller: &Caller,
        old: Option<&AccountRecord>,
        settings: &AccountSettings,
    ) -> Result<(), Refusal> {
        let accounting = &self.cluster.accounting;
        let under = match &settings.parent {
            Some(parent) => parent.as_deref(),
            None => old.and_then(|old| old.parent.as_deref()),
        };
        let there =
            old.is_none_or(|old| may_change_account(&caller.identity, accounting, old.parent.as_deref()));
        if there && may_change_account(&caller.identity, accounting, under) {
            return Ok(());
        }
        Err(not_below(&settings.name))
    }

    /// A record with what is asked for; whether its parent fits is not looked at.
    pub(super) fn settled_account(
        &self,
        now: Now,
        mut record: AccountRecord,
        settings: &AccountSettings,
    ) -> Result<AccountRecord, AtKey> {
        if let Some(parent) = &settings.parent {
            record.parent.clone_from(parent);
        }
        if let Some(share) = settings.share {
            record.share = share;
        }
        self.set_names("users", &mut record.users, settings.users.as_ref())?;
        self.set_names("coordinators", &mut record.coordinators, settings.coordinators.as_ref())?;
        self.set_names("default-for", &mut record.default_for, settings.default_for.as_ref())?;
        if settings.default_for.is_some()
            && let Some(user) = record.default_for.iter().find(|user| !record.users.contains(user))
        {
            let message = format!("{user} is not in account {}", record.name);
            let refusal = Refusal::new(RefusalCode::Invalid, message, format!("users=+{user} adds them"));
            return Err(("default-for", refusal));
        }
        record.default_for.retain(|user| record.users.contains(user));
        if let Some(shares) = &settings.user_shares {
            let all: BTreeMap<String, u32> = shares.iter().cloned().collect();
            if let Some(user) = all.keys().find(|user| !record.users.contains(user)) {
                let message = format!("{user} is not in account {}", record.name);
                let refusal = Refusal::new(RefusalCode::Invalid, message, format!("users=+{user} adds them"));
                return Err(("user-shares", refusal));
            }
            record.user_shares = all.into_iter().collect();
        }
        record.user_shares.retain(|(user, _)| record.users.contains(user));
        set_limits(&mut record.limits, &settings.limits);
        if let Some(hours) = settings.budget {
            let since = record.budget.map_or(now.wall, |budget| budget.since);
            let until = record.budget.and_then(|budget| budget.until);
            record.budget = hours.map(|cpu_hours| Budget { cpu_hours, since, until });
        }
        if let Some(until) = settings.until {
            let Some(budget) = &mut record.budget else {
                let message = "there is no budget that could end then";
                return Err(("until", Refusal::new(RefusalCode::Invalid, message, "say budget=N, too")));
            };
            budget.until = until;
        }
        Ok(record)
    }

    fn check_above(&self, name: &str, parent: &str) -> Result<(), Refusal> {
        let accounting = &self.cluster.accounting;
        if !accounting.accounts.contains_key(parent) {
            let message = format!("parent: there is no account `{parent}`");
            return Err(Refusal::new(RefusalCode::NoSuchAccount, message, "add it first"));
        }
        let mut way: Vec<&str> = accounting.chain(parent).map(|one| one.name.as_str()).collect();
        if parent == name || way.contains(&name) {
            way.truncate(way.iter().position(|one| *one == name).map_or(way.len(), |at| at + 1));
            let message =
                format!("parent: {name} would stand above itself: {name} below {}", way.join(" below "));
            return Err(Refusal::new(RefusalCode::Invalid, message, "name an account that is not below it"));
        }
        if way.len() + self.height(name) > ACCOUNT_DEPTH_MAX {
            let message =
                format!("parent: more than {ACCOUNT_DEPTH_MAX} accounts would stand one above the other");
            return Err(Refusal::new(RefusalCode::Limit, message, ""));
        }
        Ok(())
    }

    /// How many accounts stand one below the other from this one on, itself included.
    fn height(&self, name: &str) -> usize {
        let mut level: Vec<String> = vec![name.to_owned()];
        let mut height = 0;
        while !level.is_empty() && height <= ACCOUNT_DEPTH_MAX {
            height += 1;
            let below = level.iter().flat_map(|one| self.cluster.accounting.below(one));
            level = below.map(|one| one.name.clone()).collect();
        }
        height
    }

    fn set_names(
        &self,
        key: &'static str,
        list: &mut Vec<String>,
        names: Option<&Names>,
    ) -> Result<(), AtKey> {
        let Some(names) = names else { return Ok(()) };
        let refused = |code, message: String, hint: &str| Err((key, Refusal::new(code, message, hint)));
        let mut set: BTreeSet<String> = match names {
            Names::All(_) => BTreeSet::new(),
            Names::Edit { .. } => list.iter().cloned().collect(),
        };
        let (add, remove): (&[String], &[String]) = match names {
            Names::All(all) => (all, &[]),
            Names::Edit { add, remove } => (add, remove),
        };
        if let Some(unknown) = add.iter().find(|name| !self.cluster.users.contains_key(name.as_str())) {
            let message = format!("there is no user `{unknown}`");
            return refused(RefusalCode::NoSuchUser, message, "`jctld user list` shows them");
        }
        set.extend(add.iter().cloned());
        for name in remove {
            if !set.remove(name) {
                let message = format!("`{name}` is not there to be taken out");
                return refused(RefusalCode::NoSuchUser, message, "`jctld account list` shows who is");
            }
        }
        if set.len() > ACCOUNT_NAMES_MAX {
            return refused(RefusalCode::Limit, format!("at most {ACCOUNT_NAMES_MAX} names"), "");
        }
        *list = set.into_iter().collect();
        Ok(())
    }

    fn remove_account(
        &mut self,
        caller: &Caller,
        name: &str,
        outcome: &mut Outcome,
    ) -> Result<(String, Vec<String>), Refusal> {
        let accounting = &self.cluster.accounting;
        let old = accounting.accounts.get(name);
        let above = old.and_then(|old| old.parent.as_deref());
        if !may_change_account(&caller.identity, accounting, above) {
            return Err(not_below(name));
        }
        if old.is_none() {
            return Err(no_account(name));
        }
        let conflict = |message: String, hint: &str| Err(Refusal::new(RefusalCode::Conflict, message, hint));
        if let Some(below) = accounting.below(name).next() {
            return conflict(
                format!("account {} stands below {name}", below.name),
                "remove or move it first",
            );
        }
        let names =
            |job: &&std::sync::Arc<super::job::Job>| job.ended.is_none() && job.record.spec.account == name;
        if let Some(job) = self.cluster.jobs.values().find(names) {
            let hint = "wait, cancel them, or `jqueue set JOB account=`";
            return conflict(format!("job {} is of account {name}", job.id()), hint);
        }
        let listed = |partition: &&std::sync::Arc<crate::model::record::PartitionRecord>| {
            partition.accounts.iter().any(|account| account == name)
        };
        if let Some(partition) = self.cluster.partitions.values().find(listed) {
            let hint = "take it out with `jnode partition set NAME accounts=…`";
            return conflict(format!("partition {} is for account {name}", partition.name), hint);
        }
        for change in self.forgotten_use(name) {
            self.commit(change, outcome);
        }
        self.commit(Change::AccountRemoved(name.to_owned()), outcome);
        let none_left = self.cluster.accounting.accounts.is_empty();
        let warnings = accounts_begin_or_end(false, none_left).into_iter().collect();
        Ok((format!("account {name} removed"), warnings))
    }

    /// A user who is gone is in no account any more.
    pub(super) fn leave_accounts(&mut self, user: &str, outcome: &mut Outcome) {
        let accounting = &self.cluster.accounting;
        let mut names: BTreeSet<String> = accounting.accounts_of(user).map(|name| name.to_string()).collect();
        names.extend(accounting.coordinated_by(user).map(|name| name.to_string()));
        for name in names {
            let Some(old) = self.cluster.accounting.accounts.get(name.as_str()) else { continue };
            let mut record = (**old).clone();
            for list in [&mut record.users, &mut record.coordinators, &mut record.default_for] {
                list.retain(|one| one != user);
            }
            record.user_shares.retain(|(one, _)| one != user);
            self.commit(Change::Account(Box::new(record)), outcome);
        }
    }

    fn set_qos(
        &mut self,
        caller: &Caller,
        new: bool,
        settings: &QosSettings,
        outcome: &mut Outcome,
    ) -> Result<(String, Vec<String>), Refusal> {
        let name = settings.name.as_str();
        may_administer(caller)?;
        check_name("QOS", name)?;
        let all = &self.cluster.accounting.qos;
        let old = all.get(name).map(|old| (**old).clone());
        match (new, &old) {
            (true, Some(_)) => {
                let hint = format!("`jctld qos set {name} …` changes it");
                return Err(Refusal::new(RefusalCode::Conflict, format!("QOS {name} exists already"), hint));
            }
            (false, None) => return Err(no_qos(name)),
            (true, None) if all.len() >= ACCOUNTS_MAX => {
                return Err(Refusal::new(RefusalCode::Limit, format!("{ACCOUNTS_MAX} QOS are the most"), ""));
            }
            _ => {}
        }
        let mut warnings = Vec::new();
        if all.is_empty() {
            warnings.push("from now on jobs may name only a QOS that is defined".to_owned());
        }
        let record = old.unwrap_or_else(|| QosRecord { name: name.to_owned(), ..QosRecord::default() });
        let record = settled_qos(record, settings);
        self.commit(Change::Qos(Box::new(record)), outcome);
        Ok((format!("QOS {name} {}", if new { "added" } else { "changed" }), warnings))
    }

    fn remove_qos(
        &mut self,
        caller: &Caller,
        name: &str,
        outcome: &mut Outcome,
    ) -> Result<(String, Vec<String>), Refusal> {
        may_administer(caller)?;
        if !self.cluster.accounting.qos.contains_key(name) {
            return Err(no_qos(name));
        }
        let names =
            |job: &&std::sync::Arc<super::job::Job>| job.ended.is_none() && job.record.spec.qos == name;
        if let Some(job) = self.cluster.jobs.values().find(names) {
            let message = format!("job {} is of QOS {name}", job.id());
            let hint = "wait, cancel them, or `jqueue set JOB qos=`";
            return Err(Refusal::new(RefusalCode::Conflict, message, hint));
        }
        self.commit(Change::QosRemoved(name.to_owned()), outcome);
        Ok((format!("QOS {name} removed"), Vec::new()))
    }
}

/// A record with what is asked for.
pub(super) fn settled_qos(mut record: QosRecord, settings: &QosSettings) -> QosRecord {
    record.priority = settings.priority.unwrap_or(record.priority);
    set_limits(&mut record.limits, &settings.limits);
    record
}

/// What is said when there were no accounts and are some now, or the other way round.
pub(super) fn accounts_begin_or_end(none_before: bool, none_now: bool) -> Option<String> {
    let words = match (none_before, none_now) {
        (true, false) => {
            "from now on jobs are taken only from users who are in an account; what was submitted before goes on"
        }
        (false, true) => "that was the last account: jobs of any account are taken again",
        _ => return None,
    };
    Some(words.to_owned())
}

/// A refusal that names its key.
pub(super) fn named(key: &str, refusal: Refusal) -> Refusal {
    let message = if key.is_empty() { refusal.message } else { format!("{key}: {}", refusal.message) };
    Refusal { message, ..refusal }
}

fn may_administer(caller: &Caller) -> Result<(), Refusal> {
    if allowed(caller.identity.role, Right::Administer) {
        return Ok(());
    }
    let message = format!("role {} may not change QOS", caller.identity.role);
    Err(Refusal::new(RefusalCode::NotAllowed, message, "ask an admin"))
}

fn not_below(name: &str) -> Refusal {
    let message = format!("account {name} is not below one that you coordinate");
    Refusal::new(RefusalCode::NotAllowed, message, "ask an admin, or whoever coordinates what is above it")
}

pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name_is_valid(name) {
        return Ok(());
    }
    let hint = "letters, digits, `-`, `_` and `.`, at most 63";
    Err(Refusal::new(RefusalCode::Invalid, format!("`{name}` can't be the name of a {what}"), hint))
}

fn no_account(name: &str) -> Refusal {
    let message = format!("there is no account `{name}`");
    Refusal::new(RefusalCode::NoSuchAccount, message, "`jctld account list` shows them")
}

fn no_qos(name: &str) -> Refusal {
    Refusal::new(RefusalCode::NoSuchQos, format!("there is no QOS `{name}`"), "`jctld qos list` shows them")
}

fn set_limits(limits: &mut Limits, given: &LimitSettings) {
    let put = |to: &mut Option<u32>, given: Option<Option<u32>>| *to = given.unwrap_or(*to);
    put(&mut limits.all.running, given.running);
    put(&mut limits.all.cpus, given.cpus);
    put(&mut limits.all.submitted, given.submitted);
    put(&mut limits.each_user.running, given.user_running);
    put(&mut limits.each_user.cpus, given.user_cpus);
    put(&mut limits.each_user.submitted, given.user_submitted);
    limits.time_max = given.time.unwrap_or(limits.time_max);
}

fn audit_words(act: &AccountAct) -> String {
    match act {
        AccountAct::Set { new: true, settings } => format!("add account {}", settings.name),
        AccountAct::Set { new: false, settings } => format!("set account {}", settings.name),
        AccountAct::Remove { name } => format!("remove account {name}"),
        AccountAct::QosSet { new: true, settings } => format!("add QOS {}", settings.name),
        AccountAct::QosSet { new: false, settings } => format!("set QOS {}", settings.name),
        AccountAct::QosRemove { name } => format!("remove QOS {name}"),
        AccountAct::List | AccountAct::QosList => "list".to_owned(),
    }
}
