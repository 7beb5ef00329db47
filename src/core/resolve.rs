//! A request against the cluster as it is: partition, time limit, memory, and whether any node could ever run it.

use std::sync::Arc;

use super::state::{Cluster, Node};
use crate::model::ids::Uid;
use crate::model::record::{Memory, PartitionRecord, PartitionState};
use crate::model::resources::Resources;
use crate::model::spec::{JobSpec, MemoryRequest};
use crate::model::time::TimeLimit;
use crate::wire::client::{Refusal, RefusalCode};

/// A request with the cluster's defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Partitions that it may run in.
    pub partitions: Arc<[String]>,
    /// Its time limit.
    pub limit: TimeLimit,
    /// Memory of one slot.
    pub memory: Memory,
    /// Cpus of one slot.
    pub cpus: u32,
}

/// Whether two requests of one user resolve to the same.
pub fn asks_the_same(one: &JobSpec, other: &JobSpec) -> bool {
    one.request == other.request
        && one.place == other.place
        && one.times == other.times
        && one.restart == other.restart
        && one.account == other.account
        && one.qos == other.qos
}

/// Fills in what the user did not say.
///
/// # Errors
/// A refusal that names what can't be and what could.
pub fn resolve(cluster: &Cluster, uid: Uid, spec: &JobSpec) -> Result<Resolved, Refusal> {
    let cpus = spec.request.cpus().filter(|cpus| *cpus > 0).ok_or_else(|| {
        Refusal::new(RefusalCode::Invalid, "tasks × cpus per task is 0 or too large", "check -n and -c")
    })?;
    let partitions = wanted_partitions(cluster, spec)?;
    let mut last_refusal = None;
    let mut fitting: Vec<(&Arc<PartitionRecord>, TimeLimit)> = Vec::new();
    for partition in partitions {
        match admits(partition, spec).and_then(|()| limit_in(partition, spec)) {
            Ok(limit) => fitting.push((partition, limit)),
            Err(refusal) => last_refusal = Some(refusal),
        }
    }
    let Some((first, limit)) = fitting.first().copied() else {
        return Err(last_refusal.unwrap_or_else(no_partition));
    };
    let memory = memory_of(spec, first, cpus)?;
    let resolved = Resolved {
        partitions: fitting.iter().map(|(partition, _)| partition.name.clone()).collect(),
        limit,
        memory,
        cpus,
    };
    check_possible(cluster, uid, spec, &resolved)?;
    Ok(resolved)
}

fn no_partition() -> Refusal {
    Refusal::new(
        RefusalCode::NoSuchPartition,
        "no partition was named, and none is the default",
        "name one with -p; `jnode partition list` shows them",
    )
}

fn wanted_partitions<'a>(
    cluster: &'a Cluster,
    spec: &JobSpec,
) -> Result<Vec<&'a Arc<PartitionRecord>>, Refusal> {
    let named: Vec<&Arc<PartitionRecord>> = if spec.place.partitions.is_empty() {
        cluster.partitions.values().filter(|partition| partition.default).collect()
    } else {
        let find = |name: &String| {
            cluster.partitions.get(name.as_str()).ok_or_else(|| {
                let known: Vec<&str> = cluster.partitions.keys().map(|name| &**name).collect();
                Refusal::new(
                    RefusalCode::NoSuchPartition,
                    format!("there is no partition `{name}`"),
                    format!("there are: {}", known.join(", ")),
                )
            })
        };
        spec.place.partitions.iter().map(find).collect::<Result<_, _>>()?
    };
    if named.is_empty() {
        return Err(no_partition());
    }
    let open: Vec<_> =
        named.iter().copied().filter(|partition| partition.state != PartitionState::Closed).collect();
    if open.is_empty() {
        let names: Vec<&str> = named.iter().map(|partition| partition.name.as_str()).collect();
        return Err(Refusal::new(
            RefusalCode::Impossible,
            format!("partition {} is closed", names.join(", ")),
            "it accepts nothing now; `jnode partition list` shows the others",
        ));
    }
    Ok(open)
}

fn admits(partition: &PartitionRecord, spec: &JobSpec) -> Result<(), Refusal> {
    if !partition.accounts.is_empty() && !partition.accounts.contains(&spec.account) {
        let said = if spec.account.is_empty() { "none".to_owned() } else { format!("`{}`", spec.account) };
        return Err(Refusal::new(
            RefusalCode::Impossible,
            format!("partition {} takes only jobs of certain accounts, not {said}", partition.name),
            format!("name one with --account: {}", partition.accounts.join(", ")),
        ));
    }
    let least = spec.request.nodes.map_or(1, |(least, _)| least);
    match partition.nodes_max.filter(|most| least > *most) {
        Some(most) => Err(Refusal::new(
            RefusalCode::Impossible,
            format!("{least} nodes are more than partition {} allows: {most}", partition.name),
            "ask for fewer --nodes",
        )),
        None => Ok(()),
    }
}

fn limit_in(partition: &PartitionRecord, spec: &JobSpec) -> Result<TimeLimit, Refusal> {
    let most = partition.max_time;
    let asked = spec.times.limit;
    let limit = asked.or(partition.default_time).unwrap_or(most);
    let too_long = match (limit.0, most.0) {
        (Some(limit), Some(most)) => limit > most,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if !too_long {
        return Ok(limit);
    }
    if asked.is_none() {
        return Ok(most);
    }
    Err(Refusal::new(
        RefusalCode::Impossible,
        format!("a time limit of {limit} is more than partition {} allows: {most}", partition.name),
        format!("ask for at most --time={most}"),
    ))
}

fn memory_of(spec: &JobSpec, partition: &PartitionRecord, cpus: u32) -> Result<Memory, Refusal> {
    let per_cpu = |bytes: u64| {
        bytes.checked_mul(u64::from(cpus)).map(Memory::Fixed).ok_or_else(|| {
            Refusal::new(RefusalCode::Invalid, "memory per cpu × cpus is too large", "check --mem-per-cpu")
        })
    };
    match spec.request.memory {
        MemoryRequest::PerNode(bytes) | MemoryRequest::Range(bytes, _) => Ok(Memory::Fixed(bytes)),
        MemoryRequest::PerCpu(bytes) => per_cpu(bytes),
        MemoryRequest::WholeNode => Ok(Memory::Whole),
        MemoryRequest::Default if spec.request.exclusive => Ok(Memory::Whole),
        MemoryRequest::Default => partition.default_memory_per_cpu_bytes.map_or(Ok(Memory::Share), per_cpu),
    }
}

/// Memory that one slot takes on a node.
pub fn memory_on(total: &Resources, memory: Memory, cpus: u32) -> u64 {
    match memory {
        Memory::Fixed(bytes) => bytes,
        Memory::Whole => total.memory_bytes,
        Memory::Share => (total.memory_bytes / u64::from(total.cpus.max(1))).saturating_mul(u64::from(cpus)),
    }
}

fn check_possible(cluster: &Cluster, uid: Uid, spec: &JobSpec, resolved: &Resolved) -> Result<(), Refusal> {
    for name in spec.place.nodes.iter().chain(&spec.place.exclude) {
        if cluster.node_named(name).is_none() {
            return Err(Refusal::new(
                RefusalCode::NoSuchNode,
                format!("there is no node `{name}`"),
                "`jnode` shows them",
            ));
        }
    }
    if !cluster.knows_nodes() {
        return Ok(());
    }
    let all = cluster.candidates(&resolved.partitions, &spec.place.nodes);
    let all = all.filter_map(|node| Some((node, node.record.hardware.as_ref()?.resources)));
    let here = all.filter(|(node, _)| may_run_on(cluster, uid, spec, &resolved.partitions, node));
    let fits = |total: &Resources| {
        let shape = Resources {
            cpus: resolved.cpus,
            memory_bytes: memory_on(total, resolved.memory, resolved.cpus),
            tmp_bytes: spec.request.tmp_bytes,
        };
        total.fits(&shape) > 0
    };
    // Usually the first one fits, and no more of them are looked at.
    let mut largest: Option<(&Arc<Node>, Resources)> = None;
    for (node, total) in here {
        if fits(&total) {
            return Ok(());
        }
        let size = |total: &Resources| (total.cpus, total.memory_bytes);
        if largest.as_ref().is_none_or(|(_, most)| size(&total) >= size(most)) {
            largest = Some((node, total));
        }
    }
    let asked = describe(resolved, spec);
    let Some((node, total)) = largest else {
        return Err(Refusal::new(
            RefusalCode::Impossible,
            format!("no node of partition {} may run it", resolved.partitions.join(", ")),
            "check -p, -w and -x; `jnode` shows the nodes, and whose jobs they take",
        ));
    };
    Err(Refusal::new(
        RefusalCode::Impossible,
        format!(
            "it asks for {asked}; the largest node, {}, offers {} cpus, {} of memory, {} of temporary disk",
            node.record.name,
            total.cpus,
            bytes_word(total.memory_bytes),
            bytes_word(total.tmp_bytes)
        ),
        "ask for less, or for another partition",
    ))
}

/// Whether a job may ever run on a node, sizes aside.
pub fn may_run_on(cluster: &Cluster, uid: Uid, spec: &JobSpec, partitions: &[String], node: &Node) -> bool {
    let record = &node.record;
    let in_partition = partitions.iter().any(|name| {
        cluster.partitions.get(name.as_str()).is_some_and(|partition| partition.has(&record.name))
    });
    in_partition
        && record.only_uid.is_none_or(|only| only == uid)
        && (spec.place.nodes.is_empty() || spec.place.nodes.contains(&record.name))
        && !spec.place.exclude.contains(&record.name)
        && spec.place.constraint.as_ref().is_none_or(|wanted| wanted.holds(&record.features))
}

fn describe(resolved: &Resolved, spec: &JobSpec) -> String {
    let mut words = format!("{} cpu{}", resolved.cpus, if resolved.cpus == 1 { "" } else { "s" });
    if let Memory::Fixed(bytes) = resolved.memory {
        words.push_str(&format!(", {} of memory", bytes_word(bytes)));
    }
    if spec.request.tmp_bytes > 0 {
        words.push_str(&format!(", {} of temporary disk", bytes_word(spec.request.tmp_bytes)));
    }
    words
}

/// A size in words: `4 GiB`, `1.5 GiB`, `512 MiB`.
pub fn bytes_word(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value.fract() < 0.05 || value >= 100.0 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
