//! What lies in history and matters for a request, looked up before the core or a reader needs it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::controller::history;
use crate::controller::office::Office;
use crate::core::job::Job;
use crate::core::state::View;
use crate::model::identity::Identity;
use crate::model::ids::JobId;
use crate::store::tables::TablesError;
use crate::wire::client::{Selection, Selector};

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
