//! What must hold after every step, as code: used by every layer of tests.

use std::collections::BTreeMap;

use super::job::table_state;
use super::state::Cluster;
use crate::model::ids::{JobId, NodeId};
use crate::model::record::Phase;
use crate::model::resources::Resources;
use crate::model::state::State;

/// Looks at the whole state; for tests and checks, not for every step of a daemon.
///
/// # Errors
/// The first thing that does not hold, in words.
pub fn check(cluster: &Cluster) -> Result<(), String> {
    let mut held: BTreeMap<NodeId, (Resources, u64)> = BTreeMap::new();
    let (mut pending, mut live) = (0u64, 0u64);
    for (id, job) in &cluster.jobs {
        check_job(*id, job)?;
        let unsettled = cluster.unsettled.is_some_and(|(first, behind)| (first..behind).contains(id));
        if unsettled && !(job.live.is_empty() && job.slots.is_empty()) {
            return Err(format!("job {id} has started, and its submission is not accepted"));
        }
        for (node, slots) in &job.slots {
            let entry = held.entry(*node).or_default();
            entry.0 = entry.0.plus(&slots.charge.times(slots.count));
            entry.1 += u64::from(slots.count);
            if !cluster.on_node.contains(&(*node, *id)) {
                return Err(format!("job {id} holds slots on node {node}, which does not know it"));
            }
        }
        pending += u64::from(job.tasks.counted(State::Pending) + job.tasks.counted(State::Held));
        live += job.live.len() as u64;
    }
    check_shares(cluster)?;
    if (pending, live) != (cluster.totals.pending, cluster.totals.live) {
        return Err(format!("totals are {:?}, counted {pending} and {live}", cluster.totals));
    }
    let mut open: BTreeMap<crate::model::ids::Uid, u32> = BTreeMap::new();
    for job in cluster.jobs.values().filter(|job| job.ended.is_none()) {
        *open.entry(job.record.uid).or_default() += 1;
    }
    let mut waits: std::collections::BTreeMap<crate::model::ids::Uid, u64> =
        std::collections::BTreeMap::new();
    for job in cluster.jobs.values().filter(|job| !job.record.waits_for.is_empty()) {
        *waits.entry(job.record.uid).or_default() += job.record.waits_for.len() as u64;
    }
    if !waits.iter().eq(cluster.waits_of.iter()) {
        return Err(format!("jobs waited for by owner are {waits:?}, counted {:?}", cluster.waits_of));
    }
    let mut tasks: BTreeMap<crate::model::ids::Uid, u64> = BTreeMap::new();
    for job in cluster.jobs.values().filter(|job| job.ended.is_none()) {
        *tasks.entry(job.record.uid).or_default() += u64::from(job.tasks.count());
    }
    if !tasks.iter().eq(cluster.tasks_of.iter()) {
        return Err(format!(
            "tasks of unfinished jobs by owner are {tasks:?}, counted {:?}",
            cluster.tasks_of
        ));
    }
    if !open.iter().eq(cluster.open_of.iter()) {
        return Err(format!("unfinished jobs by owner are {:?}, counted {open:?}", cluster.open_of));
    }
    if !cluster.accounting.is_stale() {
        let mut again = cluster.accounting.clone();
        again.recount(cluster.jobs.values());
        if again.all_used() != cluster.accounting.all_used() {
            let (have, want) = (cluster.accounting.all_used(), again.all_used());
            return Err(format!("accounts use {have:?}, counted {want:?}"));
        }
    }
    for (id, node) in &cluster.nodes {
        let (charge, slots) = held.remove(id).unwrap_or_default();
        if node.allocated != charge || node.slots != slots {
            return Err(format!("node {id} counts {:?}, jobs hold {charge:?}", node.allocated));
        }
        let total = node.record.hardware.as_ref().map(|hardware| hardware.resources).unwrap_or_default();
        let fits = charge.cpus <= total.cpus && charge.memory_bytes <= total.memory_bytes;
        if !fits {
            return Err(format!("node {id} is oversubscribed: {charge:?} of {total:?}"));
        }
    }
    Ok(())
}

/// What everybody holds for fair share is what it comes to, and whoever holds something has begun to use it.
fn check_shares(cluster: &Cluster) -> Result<(), String> {
    let hardware = cluster.nodes.values().filter_map(|node| node.record.hardware.as_ref());
    let cpus: u64 = hardware.map(|hardware| u64::from(hardware.resources.cpus)).sum();
    if cpus != cluster.totals.cpus {
        return Err(format!("there are {cpus} cpus, counted {}", cluster.totals.cpus));
    }
    let uses = &cluster.accounting.uses;
    let mut again = cluster.clone();
    again.recount_rates();
    if again.accounting.uses.rates != uses.rates {
        return Err(format!("rates are {:?}, counted {:?}", again.accounting.uses.rates, uses.rates));
    }
    match uses.rates.keys().find(|member| !uses.decayed.contains_key(*member)) {
        Some(member) => Err(format!("{member:?} holds something, and since when is not kept")),
        None => Ok(()),
    }
}

fn check_job(id: JobId, job: &super::job::Job) -> Result<(), String> {
    let states: u32 = job.tasks.counts().iter().sum();
    if states != job.tasks.count() {
        return Err(format!("job {id} has {} tasks and {states} states", job.tasks.count()));
    }
    let on_nodes: u32 =
        State::ALL.iter().filter(|state| state.is_live()).map(|s| job.tasks.counted(*s)).sum();
    if on_nodes as usize != job.live.len() {
        return Err(format!("job {id} has {on_nodes} tasks in live states and {} on nodes", job.live.len()));
    }
    let mut running: BTreeMap<NodeId, u32> = BTreeMap::new();
    for (ordinal, live) in &job.live {
        if job.tasks.get(*ordinal) != Some(table_state(live.phase)) {
            return Err(format!(
                "job {id}: task {ordinal} is {:?} and {:?}",
                live.phase,
                job.tasks.get(*ordinal)
            ));
        }
        if !job.slots.contains_key(&live.node) {
            return Err(format!("job {id}: task {ordinal} is on node {} without a slot", live.node));
        }
        let used = job.exceptions.get(ordinal).copied().unwrap_or_default().attempts;
        if live.attempt <= used {
            return Err(format!("job {id}: task {ordinal} has attempt {} again", live.attempt));
        }
        *running.entry(live.node).or_default() += u32::from(live.phase != Phase::Handed);
    }
    let handed = job.live.values().filter(|live| live.phase == Phase::Handed).count() as u32;
    if handed != job.handed {
        return Err(format!("job {id} counts {} handed tasks of {handed}", job.handed));
    }
    if job.ended.is_some() && (job.unfinished() > 0 || !job.slots.is_empty()) {
        return Err(format!("job {id} has ended with {} tasks unfinished", job.unfinished()));
    }
    if job.ended.is_none() && job.unfinished() == 0 {
        return Err(format!("job {id} has no unfinished task and has not ended"));
    }
    Ok(())
}
