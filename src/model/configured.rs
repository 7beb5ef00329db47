//! What is configured of partitions, nodes, accounts and qualities of service, key by key, as the verbs take it and as
//! it stands in the cluster's TOML. Keys that say nothing are left out.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::account::{AccountRecord, Caps, Limits, QosRecord};
use super::parse::{hostlist, memory};
use super::priority::PriorityRecord;
use super::record::{NodeRecord, PartitionRecord, PartitionState};
use super::time::TimeLimit;

/// What stands behind a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A word, or several.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
    /// Names.
    List(Vec<String>),
}

/// Keys and what stands behind them, in the order in which they are written.
pub type Keys = Vec<(&'static str, Value)>;

impl fmt::Display for Value {
    /// As a verb takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => f.write_str(text),
            Value::Number(number) => write!(f, "{number}"),
            Value::Flag(flag) => f.write_str(if *flag { "yes" } else { "no" }),
            Value::List(names) => f.write_str(&names.join(",")),
        }
    }
}

/// Of priorities.
pub fn of_priority(record: &PriorityRecord) -> Keys {
    let number = |weight: u32| Value::Number(weight.into());
    vec![
        ("half-life", time(TimeLimit(record.half_life))),
        ("calc-period", time(TimeLimit(Some(record.period)))),
        ("max-age", time(TimeLimit(Some(record.age_max)))),
        ("weight-age", number(record.age)),
        ("weight-fair-share", number(record.fair_share)),
        ("weight-job-size", number(record.size)),
        ("weight-partition", number(record.partition)),
        ("weight-qos", number(record.qos)),
        ("favor-small", Value::Flag(record.favour_small)),
    ]
}

/// Of a partition.
pub fn of_partition(record: &PartitionRecord) -> Keys {
    let nodes = record.nodes.as_ref().map_or_else(|| "ALL".to_owned(), |nodes| hostlist::fold(nodes));
    let state = match record.state {
        PartitionState::Up => "up",
        PartitionState::Down => "down",
        PartitionState::Closed => "closed",
    };
    let mut keys = vec![
        ("nodes", Value::Text(nodes)),
        ("default", Value::Flag(record.default)),
        ("state", Value::Text(state.to_owned())),
        ("policy", Value::Text(record.policy.name().to_owned())),
        ("priority", Value::Number(record.priority.into())),
        ("max-time", time(record.max_time)),
    ];
    if let Some(limit) = record.default_time {
        keys.push(("default-time", time(limit)));
    }
    if let Some(bytes) = record.default_memory_per_cpu_bytes {
        keys.push(("default-mem-per-cpu", Value::Text(memory::write(bytes))));
    }
    if let Some(most) = record.nodes_max {
        keys.push(("max-nodes", Value::Number(most.into())));
    }
    if !record.accounts.is_empty() {
        keys.push(("accounts", Value::List(record.accounts.clone())));
    }
    keys
}

/// Of a node.
pub fn of_node(record: &NodeRecord) -> Keys {
    vec![("features", Value::List(record.features.clone())), ("weight", Value::Number(record.weight.into()))]
}

/// Of an account.
pub fn of_account(record: &AccountRecord) -> Keys {
    let mut keys = Keys::new();
    if let Some(parent) = &record.parent {
        keys.push(("parent", Value::Text(parent.clone())));
    }
    keys.push(("share", Value::Number(record.share.into())));
    keys.push(("users", Value::List(record.users.clone())));
    let lists = [("coordinators", &record.coordinators), ("default-for", &record.default_for)];
    for (key, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        keys.push((key, Value::List(names.clone())));
    }
    if !record.user_shares.is_empty() {
        let word = |(user, share): &(String, u32)| format!("{user}:{share}");
        keys.push(("user-shares", Value::List(record.user_shares.iter().map(word).collect())));
    }
    of_limits(&record.limits, &mut keys);
    if let Some(budget) = record.budget {
        keys.push(("budget", Value::Text(format!("{}cpu-hours", budget.cpu_hours))));
    }
    keys
}

/// Of a quality of service.
pub fn of_qos(record: &QosRecord) -> Keys {
    let mut keys = vec![("priority", Value::Number(record.priority.into()))];
    of_limits(&record.limits, &mut keys);
    keys
}

fn of_limits(limits: &Limits, keys: &mut Keys) {
    let of = |caps: &Caps| [caps.running, caps.cpus, caps.submitted];
    let all = ["max-running", "max-cpus", "max-submitted"].into_iter().zip(of(&limits.all));
    let each = ["max-running-per-user", "max-cpus-per-user", "max-submitted-per-user"];
    for (key, most) in all.chain(each.into_iter().zip(of(&limits.each_user))) {
        keys.extend(most.map(|most| (key, Value::Number(most.into()))));
    }
    keys.extend(limits.time_max.map(|most| ("max-time", time(TimeLimit(Some(most))))));
}

fn time(limit: TimeLimit) -> Value {
    Value::Text(limit.to_string())
}
