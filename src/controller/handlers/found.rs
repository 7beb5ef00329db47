//! What lies in history and matters for a request, looked up before the core or a reader needs it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::controller::history;
use crate::controller::office::Office;
use crate::core::job::Job;
use crate::core::select::choose;
use crate::core::state::View;
use crate::model::identity::Identity;
use crate::model::ids::JobId;
use crate::store::tables::TablesError;
use crate::wire::client::{Selection, Selector};

/// The most ended jobs that one requeue brings back.
const DEPENDENTS_MAX: usize = 10_000;

/// Ended jobs that ended because of those of a selection, directly or down the line, and the other parents that these
/// wait for: what `requeue --dependents` needs.
///
/// # Errors
/// What the tables said.
pub fn dependents(
    office: &Office,
    view: &View,
    caller: &Identity,
    selection: &Selection,
    jobs: &mut BTreeMap<JobId, Arc<Job>>,
) -> Result<(), TablesError> {
    let tables = &*office.tables;
    let chosen = choose(&view.cluster, &view.nodes, jobs, caller, selection).unwrap_or_default();
    let mut parents: Vec<JobId> = chosen.iter().map(|one| one.job.id()).collect();
    let mut seen: BTreeSet<JobId> = parents.iter().copied().collect();
    let mut wanted: BTreeSet<JobId> = BTreeSet::new();
    while let Some(parent) = parents.pop() {
        let here = view.cluster.dependents.range((parent, JobId(0))..=(parent, JobId(u64::MAX)));
        let mut children: Vec<JobId> = here.map(|(_, child)| *child).collect();
        children.extend(history::failed_by(tables, parent)?);
        for child in children {
            if !seen.insert(child) || seen.len() > DEPENDENTS_MAX {
                continue;
            }
            parents.push(child);
            let record = match view.cluster.jobs.get(&child) {
                Some(job) => job.record.clone(),
                None => match history::job(tables, child)? {
                    Some(job) => jobs.entry(child).or_insert_with(|| Arc::new(job)).record.clone(),
                    None => continue,
                },
            };
            wanted.extend(record.waits_for.iter().map(|wait| wait.parent));
        }
    }
    for id in wanted.into_iter().filter(|id| !view.cluster.jobs.contains_key(id)) {
        if !jobs.contains_key(&id)
            && let Some(job) = history::job(tables, id)?
        {
            jobs.insert(id, Arc::new(job));
        }
    }
    Ok(())
}

/// Ended jobs that a selection may mean and that memory does not hold.
///
/// # Errors
/// What the tables said.
pub fn jobs(
    office: &Office,
    view: &View,
    caller: &Identity,
    selection: &Selection,
) -> Result<BTreeMap<JobId, Arc<Job>>, TablesError> {
    let tables = &*office.tables;
    let mut jobs = BTreeMap::new();
    let mut add = |job: Option<Job>| {
        if let Some(job) = job {
            jobs.insert(job.id(), Arc::new(job));
        }
    };
    for selector in &selection.selectors {
        match selector {
            Selector::Number(id) | Selector::Tasks(id, _) => {
                if view.cluster.job_of_number(*id).is_none() {
                    add(history::owner_of(tables, *id)?);
                }
            }
            Selector::Name(name) => {
                add(history::newest_named(tables, caller, name)?);
            }
            Selector::Last => {
                add(history::newest_of(tables, caller)?);
            }
        }
    }
    if selection.selectors.is_empty()
        && let Some(since) = selection.filter.ended_since
    {
        let only_own = selection.filter.own || caller.within.is_some();
        let uid = only_own.then_some(caller.uid).flatten();
        return history::ended_since(tables, since, uid);
    }
    Ok(jobs)
}
