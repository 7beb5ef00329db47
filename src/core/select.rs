//! From selectors and filters to jobs and tasks, in memory and in what history gave.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::authorise::in_reach;
use super::job::Job;
use super::state::Cluster;
use super::within::out_of_reach;
use crate::model::identity::Identity;
use crate::model::ids::{JobId, NodeId, Ordinal};
use crate::model::state::State;
use crate::model::task_set::TaskSet;
use crate::wire::client::{Filter, Refusal, RefusalCode, Selection, Selector};

/// What is seen of nodes.
pub type Sights = imbl::OrdMap<NodeId, std::sync::Arc<super::NodeSight>>;

/// A job and which of its tasks are meant.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The job.
    pub job: Arc<Job>,
    /// The tasks; all of them if `None`.
    pub tasks: Option<TaskSet>,
    /// Whether it was named rather than found by a filter.
    pub named: bool,
}

impl Chosen {
    /// The tasks as a set.
    pub fn set(&self) -> TaskSet {
        self.tasks.clone().unwrap_or_else(|| TaskSet::first(self.job.tasks.count()))
    }
}

/// Finds what a selection means. `history` are ended jobs that the tables know and memory does not.
///
/// # Errors
/// A selector that names nothing known.
pub fn choose(
    cluster: &Cluster,
    sights: &Sights,
    history: &BTreeMap<JobId, Arc<Job>>,
    caller: &Identity,
    selection: &Selection,
) -> Result<Vec<Chosen>, Refusal> {
    let mut chosen = Vec::new();
    for selector in &selection.selectors {
        let found = find(cluster, history, caller, selector)?;
        if let Some(one) = found.iter().find(|one| !in_reach(caller, &one.job.record)) {
            return Err(out_of_reach(caller, one.job.id()));
        }
        chosen.extend(found);
    }
    if selection.selectors.is_empty() {
        let all = behind(cluster, caller, &selection.filter, JobId(0));
        chosen.extend(all.filter(|job| is_meant(&selection.filter, job)).map(unnamed));
        chosen.extend(past(cluster, history, &selection.filter).map(unnamed));
        // What memory holds and what history holds overlap in their numbers.
        chosen.sort_by_key(|one| one.job.id());
    }
    Ok(passed(cluster, sights, caller, &selection.filter, chosen).collect())
}

/// The same for a selection without selectors, part by part: at most `most` jobs in memory are looked at, from that number
/// on. Gives also from where to go on, if there is more; what history has comes with the last part.
pub fn choose_some(
    cluster: &Cluster,
    sights: &Sights,
    history: &BTreeMap<JobId, Arc<Job>>,
    caller: &Identity,
    (filter, from, most): (&Filter, JobId, usize),
) -> (Vec<Chosen>, Option<JobId>) {
    let (mut chosen, mut seen, mut next) = (Vec::new(), 0, None);
    for job in behind(cluster, caller, filter, from) {
        if seen == most {
            next = Some(job.id());
            break;
        }
        seen += 1;
        chosen.extend(Some(job).filter(|job| is_meant(filter, job)).map(unnamed));
    }
    if next.is_none() {
        chosen.extend(past(cluster, history, filter).map(unnamed));
    }
    (passed(cluster, sights, caller, filter, chosen).collect(), next)
}

fn unnamed(job: &Arc<Job>) -> Chosen {
    Chosen { job: job.clone(), tasks: None, named: false }
}

/// Ended jobs are meant only if they are asked for.
fn is_meant(filter: &Filter, job: &Job) -> bool {
    job.ended.is_none_or(|at| filter.ended_since.is_some_and(|since| at >= since))
}

fn past<'a>(
    cluster: &'a Cluster,
    history: &'a BTreeMap<JobId, Arc<Job>>,
    filter: &'a Filter,
) -> impl Iterator<Item = &'a Arc<Job>> {
    let gone = history.values().filter(|job| !cluster.jobs.contains_key(&job.id()));
    gone.filter(|job| job.ended.is_some() && is_meant(filter, job))
}

fn passed<'a>(
    cluster: &'a Cluster,
    sights: &'a Sights,
    caller: &'a Identity,
    filter: &'a Filter,
    chosen: Vec<Chosen>,
) -> impl Iterator<Item = Chosen> + 'a {
    let near = chosen.into_iter().filter(|one| in_reach(caller, &one.job.record));
    near.filter_map(|one| narrow(cluster, sights, caller, filter, one))
}

/// The jobs in memory that a filter may mean, in the order of their numbers, from one on.
fn behind<'a>(
    cluster: &'a Cluster,
    caller: &Identity,
    filter: &Filter,
    from: JobId,
) -> Box<dyn Iterator<Item = &'a Arc<Job>> + 'a> {
    if let Some(within) = &caller.within {
        let family = cluster.family(within.task.job, from);
        return Box::new(family.filter_map(|id| cluster.jobs.get(&id)));
    }
    if let (true, Some(uid)) = (filter.own, caller.uid) {
        let mine = cluster.by_user.range((uid, from)..=(uid, JobId(u64::MAX)));
        return Box::new(mine.filter_map(|(_, id)| cluster.jobs.get(id)));
    }
    Box::new(cluster.jobs.range(from..).map(|(_, job)| job))
}

fn find(
    cluster: &Cluster,
    history: &BTreeMap<JobId, Arc<Job>>,
    caller: &Identity,
    selector: &Selector,
) -> Result<Vec<Chosen>, Refusal> {
    let named = |job: &Arc<Job>, tasks| Chosen { job: job.clone(), tasks, named: true };
    match selector {
        Selector::Number(number) => {
            let (job, task) =
                by_number(cluster, history, *number).ok_or_else(|| unknown(&number.to_string()))?;
            Ok(vec![named(job, task.map(TaskSet::one))])
        }
        Selector::Tasks(id, indexes) => {
            let job = cluster.jobs.get(id).or_else(|| history.get(id));
            let job = job.ok_or_else(|| unknown(&id.to_string()))?;
            let Some(array) = &job.record.spec.array else {
                return Err(Refusal::new(RefusalCode::NoSuchJob, format!("job {id} is no array"), ""));
            };
            let set = array.indexes.ordinals(indexes);
            if set.is_empty() {
                let message = format!("array {id} has none of these tasks");
                return Err(Refusal::new(RefusalCode::NoSuchJob, message, format!("`jqueue show {id}`")));
            }
            Ok(vec![named(job, Some(set))])
        }
        Selector::Name(name) => {
            let Some(uid) = caller.uid else { return Err(unknown(&format!("name:{name}"))) };
            let name_arc: std::sync::Arc<str> = name.as_str().into();
            let range = (uid, name_arc.clone(), JobId(0))..=(uid, name_arc, JobId(u64::MAX));
            let named_so = cluster.by_name.range(range).filter_map(|(_, _, id)| cluster.jobs.get(id));
            let here: Vec<&Arc<Job>> = named_so.filter(|job| in_reach(caller, &job.record)).collect();
            let open: Vec<Chosen> =
                here.iter().filter(|job| job.ended.is_none()).map(|job| named(job, None)).collect();
            if !open.is_empty() {
                return Ok(open);
            }
            let is_meant = |job: &&Arc<Job>| job.record.uid == uid && &job.record.spec.name == name;
            let past = history.values().filter(is_meant).filter(|job| in_reach(caller, &job.record));
            let newest = here.into_iter().chain(past).max_by_key(|job| job.id());
            newest.map(|job| vec![named(job, None)]).ok_or_else(|| unknown(&format!("name:{name}")))
        }
        Selector::Last => {
            let Some(uid) = caller.uid else { return Err(unknown("last")) };
            let mine = cluster.by_user.range((uid, JobId(0))..=(uid, JobId(u64::MAX))).next_back();
            let newest = match &caller.within {
                Some(within) => cluster.family(within.task.job, JobId(0)).next_back(),
                None => mine.map(|(_, id)| *id),
            };
            let here = newest.and_then(|id| cluster.jobs.get(&id));
            let past = history.values().filter(|job| job.record.uid == uid);
            let past = past.filter(|job| in_reach(caller, &job.record));
            let newest = here.into_iter().chain(past).max_by_key(|job| job.id());
            newest.map(|job| vec![named(job, None)]).ok_or_else(|| unknown("last"))
        }
    }
}

fn by_number<'a>(
    cluster: &'a Cluster,
    history: &'a BTreeMap<JobId, Arc<Job>>,
    number: JobId,
) -> Option<(&'a Arc<Job>, Option<Ordinal>)> {
    if let Some((job, task)) = cluster.job_of_number(number) {
        return Some((job, task));
    }
    let (id, job) = history.range(..=number).next_back()?;
    if *id == number {
        return Some((job, None));
    }
    let offset = number.0 - id.0;
    (job.is_array() && offset <= u64::from(job.tasks.count()))
        .then(|| (job, Some(Ordinal((offset - 1) as u32))))
}

/// Applies the filter; a filter by state picks tasks inside arrays.
fn narrow(
    cluster: &Cluster,
    sights: &Sights,
    caller: &Identity,
    filter: &Filter,
    mut one: Chosen,
) -> Option<Chosen> {
    let record = &one.job.record;
    let spec = &record.spec;
    let among = |list: &[String], value: &str| list.is_empty() || list.iter().any(|word| word == value);
    let fits = (!filter.own || caller.uid == Some(record.uid))
        && among(&filter.users, &record.user)
        && among(&filter.names, &spec.name)
        && among(&filter.accounts, &spec.account)
        && among(&filter.qos, &spec.qos)
        && (filter.partitions.is_empty()
            || record.partitions.iter().any(|name| filter.partitions.contains(name)));
    if !fits {
        return None;
    }
    if !filter.nodes.is_empty() {
        let names = one.job.slots.keys().filter_map(|node| cluster.nodes.get(node));
        let mut names = names.map(|node| &node.record.name);
        if !names.any(|name| filter.nodes.contains(name)) {
            return None;
        }
    }
    if !filter.states.is_empty() {
        let set = in_states(&one.job, sights, one.tasks.as_ref(), &filter.states);
        if set.is_empty() {
            return None;
        }
        one.tasks = Some(set);
    }
    Some(one)
}

/// The tasks that people are shown in one of these states: what is handed to a node but has not started waits, what
/// runs on a silent node is unreachable.
fn in_states(job: &Job, sights: &Sights, among: Option<&TaskSet>, states: &[State]) -> TaskSet {
    let still =
        job.tasks.select(among, |state| !state.is_live() && states.contains(&job.shown_waiting(state)));
    let mut runs = still.runs().to_vec();
    for (ordinal, live) in &job.live {
        let silent = sights.get(&live.node).is_some_and(|sight| sight.unreachable);
        let state = if silent { Some(State::Unreachable) } else { job.shown_state(*ordinal) };
        let meant = among.is_none_or(|tasks| tasks.contains(*ordinal));
        if meant && state.is_some_and(|state| states.contains(&state)) {
            runs.push((ordinal.0, ordinal.0));
        }
    }
    TaskSet::from_runs(runs)
}

/// The refusal for a job that is not known.
pub fn unknown(id: &str) -> Refusal {
    Refusal::new(
        RefusalCode::NoSuchJob,
        format!("there is no job {id}"),
        "`jqueue -t all` lists yours, also ended ones",
    )
}
