//! `jctld config apply`: the whole configuration compared with what is so, checked as it would be afterwards, and put
//! in force by one command or not at all. By the same functions as the verbs that change one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::audit::Deed;
use super::command::{Caller, Outcome};
use super::drain::check_features;
use super::node_act::{PARTITIONS_MAX, new_partition};
use super::state::Cluster;
use super::{Core, account_act};
use crate::model::account::{ACCOUNT_DEPTH_MAX, ACCOUNTS_MAX, AccountRecord, QosRecord};
use crate::model::change::Change;
use crate::model::configured::{self, Keys};
use crate::model::identity::name_is_valid;
use crate::model::ids::NodeId;
use crate::model::parse::hostlist;
use crate::model::priority::{PriorityRecord, SPAN_MAX, SPAN_MIN, WEIGHT_MAX};
use crate::model::record::PartitionRecord;
use crate::model::time::{Now, Seconds, TimeLimit};
use crate::wire::account::{AccountSettings, QosSettings};
use crate::wire::client::{PartitionSettings, Refusal, RefusalCode, Reply};
use crate::wire::config::{
    Becomes, ConfigChange, ConfigEntry, KeyChange, Misfit, NodeSettings, Section, Wanted,
};

/// A refusal, and the key that it is about; empty: none in particular.
pub(super) type AtKey = (&'static str, Refusal);

/// What a configuration comes to.
#[derive(Default)]
struct Made {
    differences: Vec<ConfigChange>,
    changes: Vec<Change>,
    /// Which nodes change: whose constraints they meet may be others by then.
    nodes: BTreeSet<NodeId>,
    warnings: Vec<String>,
}

impl Made {
    fn differ(&mut self, section: Section, name: &str, old: Option<&Keys>, new: Option<&Keys>) -> bool {
        let becomes = match (old, new) {
            (None, _) => Becomes::Added,
            (_, None) => Becomes::Removed,
            _ => Becomes::Changed,
        };
        let none = Keys::new();
        let keys = key_changes(old.unwrap_or(&none), new.unwrap_or(&none));
        if becomes == Becomes::Changed && keys.is_empty() {
            return false;
        }
        let keys = if becomes == Becomes::Removed { Vec::new() } else { keys };
        self.differences.push(ConfigChange { section, name: name.to_owned(), becomes, keys });
        true
    }
}

impl Core {
    /// Puts a configuration in force, or says what that would change.
    pub(super) fn apply_config(
        &mut self,
        now: Now,
        caller: &Caller,
        wanted: &Wanted,
        dry_run: bool,
        outcome: &mut Outcome,
    ) -> Reply {
        let made = match self.configure(now, wanted) {
            Ok(made) => made,
            Err(misfit) => return Reply::Misconfigured(Box::new(misfit)),
        };
        if !dry_run && !made.changes.is_empty() {
            self.untold.places |= !made.nodes.is_empty();
            let word = |change: &ConfigChange| change.section.entry(&change.name, " ");
            let words: Vec<String> = made.differences.iter().map(word).collect();
            for change in made.changes {
                self.commit(change, outcome);
            }
            let deed = Deed::of(format!("apply a configuration: {}", words.join(", ")));
            self.audit(now, caller, deed, true, outcome);
        }
        Reply::Configured { changes: made.differences, warnings: made.warnings }
    }

    fn configure(&self, now: Now, wanted: &Wanted) -> Result<Made, Misfit> {
        let mut made = Made::default();
        if let Some(record) = &wanted.priority {
            check_priority(record).map_err(misfit(Section::Priority, ""))?;
            let old = configured::of_priority(&self.cluster.accounting.priority);
            if made.differ(Section::Priority, "", Some(&old), Some(&configured::of_priority(record))) {
                made.changes.push(Change::Priority(Box::new(*record)));
            }
        }
        let accounts = match &wanted.accounts {
            Some(all) => self.wanted_accounts(now, all)?,
            None => copies(&self.cluster.accounting.accounts),
        };
        let partitions = match &wanted.partitions {
            Some(all) => self.wanted_partitions(all, &accounts)?,
            None => copies(&self.cluster.partitions),
        };
        let qos = match &wanted.qos {
            Some(all) => wanted_qos(all)?,
            None => copies(&self.cluster.accounting.qos),
        };
        self.check_leavers(&partitions, &accounts, &qos)?;
        self.check_lists(&partitions, &accounts)?;
        self.compare_partitions(&partitions, &mut made);
        self.compare_nodes(&wanted.nodes, &mut made)?;
        self.compare_accounts(&accounts, &mut made);
        self.compare_qos(&qos, &mut made);
        Ok(made)
    }

    fn wanted_partitions(
        &self,
        all: &[PartitionSettings],
        accounts: &BTreeMap<String, AccountRecord>,
    ) -> Result<BTreeMap<String, PartitionRecord>, Misfit> {
        let at = |name: &str| misfit(Section::Partition, name);
        let known = |name: &str| accounts.is_empty() || accounts.contains_key(name);
        let mut wanted = BTreeMap::new();
        let mut default: Option<&str> = None;
        for settings in all {
            let name = settings.name.as_str();
            let record = new_partition(name);
            let record = self.settled_partition(record, settings, &known).map_err(at(name))?;
            if let Some(first) = default.filter(|_| record.default) {
                let message = format!("partition {first} is the default already");
                return Err(at(name)(("default", Refusal::new(RefusalCode::Invalid, message, "name one"))));
            }
            default = default.or_else(|| record.default.then_some(name));
            enter(&mut wanted, name, record).map_err(at(name))?;
        }
        if wanted.len() > PARTITIONS_MAX {
            return Err(at("")(("", too_many("partitions", PARTITIONS_MAX))));
        }
        Ok(wanted)
    }

    fn wanted_accounts(
        &self,
        now: Now,
        all: &[AccountSettings],
    ) -> Result<BTreeMap<String, AccountRecord>, Misfit> {
        let at = |name: &str| misfit(Section::Account, name);
        let mut wanted = BTreeMap::new();
        let mut defaults: BTreeMap<String, String> = BTreeMap::new();
        for settings in all {
            let name = settings.name.as_str();
            account_act::check_name("account", name).map_err(|refusal| at(name)(("", refusal)))?;
            // A budget that was there goes on counting.
            let old = self.cluster.accounting.accounts.get(name);
            let record = AccountRecord { budget: old.and_then(|old| old.budget), ..AccountRecord::new(name) };
            let record = self.settled_account(now, record, settings).map_err(at(name))?;
            for user in &record.default_for {
                if let Some(other) = defaults.insert(user.clone(), name.to_owned()) {
                    let message = format!("{other} is the default account of {user} already");
                    let refusal = Refusal::new(RefusalCode::Invalid, message, "a user has one");
                    return Err(at(name)(("default-for", refusal)));
                }
            }
            enter(&mut wanted, name, record).map_err(at(name))?;
        }
        if wanted.len() > ACCOUNTS_MAX {
            return Err(at("")(("", too_many("accounts", ACCOUNTS_MAX))));
        }
        for name in wanted.keys() {
            check_tree(&wanted, name).map_err(|refusal| at(name)(("parent", refusal)))?;
        }
        Ok(wanted)
    }

    /// What goes must not be in use: by unfinished jobs.
    fn check_leavers(
        &self,
        partitions: &BTreeMap<String, PartitionRecord>,
        accounts: &BTreeMap<String, AccountRecord>,
        qos: &BTreeMap<String, QosRecord>,
    ) -> Result<(), Misfit> {
        let Cluster { partitions: old, accounting, .. } = &self.cluster;
        let gone = |name: &Arc<str>, kept: bool| (!kept).then(|| name.to_string());
        let no_partitions: BTreeSet<String> =
            old.keys().filter_map(|name| gone(name, partitions.contains_key(&**name))).collect();
        let no_accounts: BTreeSet<String> =
            accounting.accounts.keys().filter_map(|n| gone(n, accounts.contains_key(&**n))).collect();
        let no_qos: BTreeSet<String> =
            accounting.qos.keys().filter_map(|name| gone(name, qos.contains_key(&**name))).collect();
        if no_partitions.is_empty() && no_accounts.is_empty() && no_qos.is_empty() {
            return Ok(());
        }
        for job in self.cluster.jobs.values().filter(|job| job.ended.is_none()) {
            let (record, spec) = (&job.record, &job.record.spec);
            let partition = record.partitions.iter().find(|name| no_partitions.contains(*name));
            let used = [
                (Section::Partition, partition),
                (Section::Account, Some(&spec.account).filter(|name| no_accounts.contains(*name))),
                (Section::Qos, Some(&spec.qos).filter(|name| no_qos.contains(*name))),
            ];
            if let Some((section, name)) = used.into_iter().find_map(|(section, name)| Some((section, name?)))
            {
                let message = format!("it would go, and job {} is of it", record.id);
                let hint = "keep it in the file, wait, or cancel the jobs";
                return Err(misfit(section, name)(("", Refusal::new(RefusalCode::Conflict, message, hint))));
            }
        }
        Ok(())
    }

    /// Partitions that stay as they are must not be for accounts that go.
    fn check_lists(
        &self,
        partitions: &BTreeMap<String, PartitionRecord>,
        accounts: &BTreeMap<String, AccountRecord>,
    ) -> Result<(), Misfit> {
        let old = &self.cluster.accounting.accounts;
        for partition in partitions.values() {
            let gone = |name: &&String| old.contains_key(name.as_str()) && !accounts.contains_key(*name);
            if let Some(name) = partition.accounts.iter().find(gone) {
                let message = format!("it would go, and partition {} is for it", partition.name);
                let refusal = Refusal::new(RefusalCode::Conflict, message, "take it out there, too");
                return Err(misfit(Section::Account, name)(("", refusal)));
            }
        }
        Ok(())
    }

    fn compare_partitions(&self, wanted: &BTreeMap<String, PartitionRecord>, made: &mut Made) {
        let old = &self.cluster.partitions;
        for (name, record) in wanted {
            let before = old.get(name.as_str()).map(|old| configured::of_partition(old));
            if made.differ(Section::Partition, name, before.as_ref(), Some(&configured::of_partition(record)))
            {
                made.changes.push(Change::Partition(Box::new(record.clone())));
            }
        }
        for name in old.keys().filter(|name| !wanted.contains_key(&***name)) {
            made.differ(Section::Partition, name, Some(&Keys::new()), None);
            made.changes.push(Change::PartitionRemoved(name.to_string()));
        }
    }

    fn compare_nodes(&self, wanted: &[NodeSettings], made: &mut Made) -> Result<(), Misfit> {
        let mut seen = BTreeSet::new();
        for settings in wanted {
            let at = misfit(Section::Node, &settings.entry);
            let ids = self.find_nodes(&settings.names).map_err(|refusal| at(("", refusal)))?;
            check_features(&settings.features).map_err(|refusal| at(("features", refusal)))?;
            let mut alike: Vec<(Vec<KeyChange>, Vec<String>)> = Vec::new();
            for (id, name) in ids.into_iter().zip(&settings.names) {
                let Some(node) = self.cluster.nodes.get(&id) else { continue };
                if !seen.insert(id) {
                    let message = format!("node {name} stands in two places");
                    return Err(at(("", Refusal::new(RefusalCode::Invalid, message, "name it once"))));
                }
                let mut record = (*node.record).clone();
                record.features.clone_from(&settings.features);
                record.weight = settings.weight;
                let keys = key_changes(&configured::of_node(&node.record), &configured::of_node(&record));
                if keys.is_empty() {
                    continue;
                }
                match alike.iter_mut().find(|(same, _)| *same == keys) {
                    Some((_, names)) => names.push(name.clone()),
                    None => alike.push((keys, vec![name.clone()])),
                }
                record.version_number += 1;
                made.changes.push(Change::Node(Box::new(record)));
                made.nodes.insert(id);
            }
            made.differences.extend(alike.into_iter().map(|(keys, names)| ConfigChange {
                section: Section::Node,
                name: hostlist::fold(&names),
                becomes: Becomes::Changed,
                keys,
            }));
        }
        Ok(())
    }

    fn compare_accounts(&self, wanted: &BTreeMap<String, AccountRecord>, made: &mut Made) {
        let old = &self.cluster.accounting.accounts;
        for (name, record) in wanted {
            let before = old.get(name.as_str());
            let keys = before.map(|old| configured::of_account(old));
            if !made.differ(Section::Account, name, keys.as_ref(), Some(&configured::of_account(record))) {
                continue;
            }
            let since = |record: &AccountRecord| record.budget.map(|budget| budget.since);
            let begins = before.and_then(|old| since(old)) != since(record);
            made.changes.push(Change::Account(Box::new(record.clone())));
            if begins {
                made.changes.push(Change::BudgetSpent { account: name.clone(), cpu_ms: 0 });
            }
        }
        for name in old.keys().filter(|name| !wanted.contains_key(&***name)) {
            made.differ(Section::Account, name, Some(&Keys::new()), None);
            made.changes.extend(self.forgotten_use(name));
            made.changes.push(Change::AccountRemoved(name.to_string()));
        }
        made.warnings.extend(account_act::accounts_begin_or_end(old.is_empty(), wanted.is_empty()));
    }

    fn compare_qos(&self, wanted: &BTreeMap<String, QosRecord>, made: &mut Made) {
        let old = &self.cluster.accounting.qos;
        for (name, record) in wanted {
            let before = old.get(name.as_str()).map(|old| configured::of_qos(old));
            if made.differ(Section::Qos, name, before.as_ref(), Some(&configured::of_qos(record))) {
                made.changes.push(Change::Qos(Box::new(record.clone())));
            }
        }
        for name in old.keys().filter(|name| !wanted.contains_key(&***name)) {
            made.differ(Section::Qos, name, Some(&Keys::new()), None);
            made.changes.push(Change::QosRemoved(name.to_string()));
        }
    }
}

impl Cluster {
    /// All that is configured, in the order in which it is written; nodes of the same settings together.
    pub fn configuration(&self) -> Vec<ConfigEntry> {
        let entry = |section: Section, name: &str, keys: Keys| ConfigEntry {
            section,
            name: name.to_owned(),
            keys: keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        };
        let partitions = self.partitions.values();
        let partitions =
            partitions.map(|one| entry(Section::Partition, &one.name, configured::of_partition(one)));
        let mut alike: BTreeMap<(u32, Vec<String>), Vec<String>> = BTreeMap::new();
        for name in self.node_names.keys() {
            let Some(node) = self.node_named(name) else { continue };
            let settings = (node.record.weight, node.record.features.clone());
            alike.entry(settings).or_default().push(name.to_string());
        }
        let nodes = alike.values().filter_map(|names| {
            let node = self.node_named(names.first()?)?;
            Some(entry(Section::Node, &hostlist::fold(names), configured::of_node(&node.record)))
        });
        let accounts = self.accounting.accounts.values();
        let accounts = accounts.map(|one| entry(Section::Account, &one.name, configured::of_account(one)));
        let qos = self.accounting.qos.values();
        let qos = qos.map(|one| entry(Section::Qos, &one.name, configured::of_qos(one)));
        let priority = entry(Section::Priority, "", configured::of_priority(&self.accounting.priority));
        std::iter::once(priority).chain(partitions).chain(nodes).chain(accounts).chain(qos).collect()
    }
}

fn wanted_qos(all: &[QosSettings]) -> Result<BTreeMap<String, QosRecord>, Misfit> {
    let at = |name: &str| misfit(Section::Qos, name);
    let mut wanted = BTreeMap::new();
    for settings in all {
        let name = settings.name.as_str();
        account_act::check_name("QOS", name).map_err(|refusal| at(name)(("", refusal)))?;
        let record = QosRecord { name: name.to_owned(), ..QosRecord::default() };
        enter(&mut wanted, name, account_act::settled_qos(record, settings)).map_err(at(name))?;
    }
    if wanted.len() > ACCOUNTS_MAX {
        return Err(at("")(("", too_many("QOS", ACCOUNTS_MAX))));
    }
    Ok(wanted)
}

/// What makes no sense, whoever sends it.
fn check_priority(record: &PriorityRecord) -> Result<(), AtKey> {
    let weights = [
        ("weight-age", record.age),
        ("weight-fair-share", record.fair_share),
        ("weight-job-size", record.size),
        ("weight-partition", record.partition),
        ("weight-qos", record.qos),
    ];
    if let Some((key, _)) = weights.into_iter().find(|(_, weight)| *weight > WEIGHT_MAX) {
        let message = format!("{WEIGHT_MAX} points are the most");
        return Err((key, Refusal::new(RefusalCode::Limit, message, "")));
    }
    let spans = [
        ("half-life", record.half_life.unwrap_or(SPAN_MAX), SPAN_MIN),
        ("max-age", record.age_max, SPAN_MIN),
        ("calc-period", record.period, Seconds(1)),
    ];
    match spans.into_iter().find(|(_, span, least)| !(*least..=SPAN_MAX).contains(span)) {
        Some((key, _, least)) => {
            let (least, most) = (TimeLimit(Some(least)), TimeLimit(Some(SPAN_MAX)));
            Err((key, Refusal::new(RefusalCode::Limit, format!("from {least} to {most}"), "")))
        }
        None => Ok(()),
    }
}

/// No account stands above itself, and none too deep.
fn check_tree(accounts: &BTreeMap<String, AccountRecord>, name: &str) -> Result<(), Refusal> {
    let mut way = vec![name];
    while let Some(parent) = way.last().and_then(|last| accounts.get(*last)?.parent.as_deref()) {
        if !accounts.contains_key(parent) {
            let message = format!("there is no account `{parent}`");
            return Err(Refusal::new(RefusalCode::NoSuchAccount, message, "define it, too"));
        }
        if way.contains(&parent) {
            let message = format!("accounts in a circle: {} below {parent}", way.join(" below "));
            return Err(Refusal::new(RefusalCode::Invalid, message, "one of them needs another parent"));
        }
        way.push(parent);
        if way.len() > ACCOUNT_DEPTH_MAX {
            let message = format!("more than {ACCOUNT_DEPTH_MAX} accounts stand one above the other");
            return Err(Refusal::new(RefusalCode::Limit, message, ""));
        }
    }
    Ok(())
}

fn key_changes(old: &Keys, new: &Keys) -> Vec<KeyChange> {
    let of =
        |keys: &Keys, key: &str| keys.iter().find(|(one, _)| *one == key).map(|(_, value)| value.clone());
    let gone = old.iter().filter(|(key, _)| of(new, key).is_none());
    let all = new.iter().chain(gone).map(|(key, _)| KeyChange {
        key: (*key).to_owned(),
        from: of(old, key),
        to: of(new, key),
    });
    all.filter(|change| change.from != change.to).collect()
}

fn misfit(section: Section, name: &str) -> impl Fn(AtKey) -> Misfit + use<> {
    let name = name.to_owned();
    move |(key, refusal)| Misfit { section, name: name.clone(), key: key.to_owned(), refusal }
}

fn enter<T>(all: &mut BTreeMap<String, T>, name: &str, record: T) -> Result<(), AtKey> {
    if !name_is_valid(name) {
        return Err(("", Refusal::new(RefusalCode::Invalid, format!("`{name}` can't be a name"), "")));
    }
    match all.insert(name.to_owned(), record) {
        None => Ok(()),
        Some(_) => Err(("", Refusal::new(RefusalCode::Invalid, "it stands in two places", "say it once"))),
    }
}

fn too_many(what: &str, most: usize) -> Refusal {
    Refusal::new(RefusalCode::Limit, format!("{most} {what} are the most"), "")
}

fn copies<T: Clone>(all: &imbl::OrdMap<Arc<str>, Arc<T>>) -> BTreeMap<String, T> {
    all.iter().map(|(name, record)| (name.to_string(), (**record).clone())).collect()
}
