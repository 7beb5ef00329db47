//! Jobs in full, and why they wait.

use std::sync::Arc;

use super::{found, note_foreign, refuse, tables_failed};
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::controller::{clock, handlers::list::explain, history};
use crate::core::Caller;
use crate::core::authorise::may_see;
use crate::core::info::put_end;
use crate::core::job::Job;
use crate::core::select::{Chosen, choose};
use crate::core::state::View;
use crate::model::ids::{Attempt, Ordinal, TaskRef};
use crate::model::parse::dependency;
use crate::model::policy::PartitionPolicy;
use crate::model::record::{JobRecord, Live};
use crate::model::state::{CauseKind, End, State};
use crate::model::time::{Seconds, WallTime};
use crate::sched::{Demand, Explanation, MemoryDemand, Reason as Why};
use crate::wire::client::{Reply, Selection};
use crate::wire::info::{
    Advice, AttemptInfo, Condition, JobDetail, JobInfo, Reason, TimelineEntry, cause_line,
};

/// Answers with the whole records.
///
/// # Errors
/// If the client is gone.
pub async fn show(
    office: &Arc<Office>,
    caller: &Caller,
    selection: &Selection,
    replies: &mut Replies,
) -> Result<(), Undelivered> {
    let view = office.published.view();
    let history = match found::jobs(office, &view, &caller.identity, selection) {
        Ok(history) => history,
        Err(error) => return refuse(replies, tables_failed(&error)).await,
    };
    let chosen = match choose(&view.cluster, &view.nodes, &history, &caller.identity, selection) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    let private: Vec<&Job> = chosen.iter().map(|one| &*one.job).collect();
    note_foreign(office, caller, "show with what is private", &private);
    // Looking ahead takes its time, and whoever asks for a long list gets it for the first of them alone.
    let details = tokio::task::block_in_place(|| {
        let depth = |at: usize| match (chosen.len(), at < ESTIMATED_MAX) {
            (1, _) => Depth::Advice,
            (_, true) => Depth::Estimate,
            _ => Depth::Plain,
        };
        chosen.iter().enumerate().map(|(at, one)| detail(office, &view, caller, one, depth(at))).collect()
    });
    replies.last(&Reply::Detail(details)).await
}

/// The most jobs of one answer whose starts are estimated.
const ESTIMATED_MAX: usize = 50;

/// How far ahead is looked for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    Plain,
    /// When it starts.
    Estimate,
    /// And what would let it start sooner.
    Advice,
}

fn detail(office: &Office, view: &View, caller: &Caller, one: &Chosen, depth: Depth) -> JobDetail {
    let job = &one.job;
    let explain = explain(office);
    let mut rows = super::list::complete(office, view, Some(&caller.identity), one, false, &*explain);
    let info = rows.swap_remove(0);
    let waits = matches!(info.state, State::Pending | State::Held) || job.pending() > 0;
    let explanation = waits.then(|| office.explainer.explain(job.id()));
    let listed = explanation.as_ref().filter(|explanation| explanation.reason != Why::NotWaiting);
    let demand = listed.filter(|_| depth >= Depth::Estimate);
    let demand = demand.and_then(|_| office.explainer.demand(job.id()));
    let start = demand.as_ref().and_then(|demand| office.explainer.start_of(demand)).map(|start| start.at);
    let record = &job.record;
    let mut conditions = if waits { view.conditions(job) } else { Vec::new() };
    conditions.extend(listed.map(on_nodes).unwrap_or_default());
    JobDetail {
        priority: view.priority_parts(&one.job),
        spec: may_see(&caller.identity, record).then(|| Box::new((*record.spec).clone())),
        dependencies: record
            .open_waits()
            .map(|wait| format!("{}:{}", dependency::word(wait.condition.kind), wait.parent))
            .collect(),
        timeline: timeline(office, view, one),
        attempts: attempts(office, view, one),
        ahead: listed.map(|explanation| u64::from(explanation.ahead)),
        conditions,
        policy: view.policy(job),
        estimate: start.or(listed.and_then(|explanation| explanation.start)),
        advice: demand
            .filter(|_| depth == Depth::Advice)
            .map(|demand| advice(office, view.policy(job), &demand, start))
            .unwrap_or_default(),
        info,
    }
}

/// A change is worth a word if it brings the start forward by more than this.
const SOONER_MICROS: i64 = 1_000_000;

/// What would let a job start sooner: a shorter limit, less memory, fewer cpus, each by half.
fn advice(office: &Office, policy: PartitionPolicy, demand: &Demand, start: Option<WallTime>) -> Vec<Advice> {
    if start.is_some_and(|start| start.0 <= clock::wall().0 + SOONER_MICROS) {
        return Vec::new();
    }
    let mut tries: Vec<(String, Demand)> = Vec::new();
    if let Some(limit) = demand.limit.filter(|limit| limit.0 >= 120) {
        let half = Seconds(limit.0 / 2);
        tries.push((format!("time={}s", half.0), Demand { limit: Some(half), ..demand.clone() }));
    }
    if let MemoryDemand::Fixed(bytes) = demand.memory
        && bytes >= 2 << 20
    {
        let memory = MemoryDemand::Fixed(bytes / 2);
        tries.push((format!("mem={}M", bytes >> 21), Demand { memory, ..demand.clone() }));
    }
    if demand.cpus > 1 {
        let cpus = demand.cpus / 2;
        tries.push((format!("cpus={cpus}"), Demand { cpus, ..demand.clone() }));
    }
    let sooner = |at: WallTime| start.is_none_or(|start| at.0 + SOONER_MICROS < start.0);
    let tried = tries.into_iter().filter_map(|(change, mut demand)| {
        // It may come further ahead by the change.
        demand.rank.order = policy.order(demand.limit, demand.cpus);
        let at = office.explainer.start_of(&demand)?.at;
        sooner(at).then_some(Advice { change, start: Some(at) })
    });
    tried.collect()
}

/// What keeps it from the nodes, counted; who has room for it is not told.
fn on_nodes(explanation: &Explanation) -> Vec<Condition> {
    let told = explanation.conditions.iter().filter(|condition| condition.reason != Why::None);
    let one = |condition: &crate::sched::Condition| Condition {
        code: condition.reason.word().to_owned(),
        nodes: u64::from(condition.nodes),
        text: counted(condition.reason, condition.nodes, explanation),
        until: None,
    };
    told.map(one).collect()
}

/// `3 of 12 nodes are down, unreachable, drained or draining`.
fn counted(reason: Why, nodes: u32, of: &Explanation) -> String {
    let many = nodes != 1;
    let (are, fit) = if many { ("are", "fit") } else { ("is", "fits") };
    let said = match reason {
        Why::ReqNodes => format!("{are} ruled out by --nodelist, --exclude, --constraint or for this user"),
        Why::ReqNodeNotAvail => format!("{are} down, unreachable, drained or draining"),
        Why::PartitionConfig => format!("{are} too small for it, even empty"),
        Why::Resources => format!("{fit} it by size, but too little is free there now"),
        Why::Priority => match of.behind {
            Some(job) => {
                format!("{fit} it, but what is free there is kept for job {job}, which is ahead of it")
            }
            None => format!("{fit} it, but what is free there is kept for jobs ahead of it"),
        },
        other => sentence(other).to_owned(),
    };
    let all = if of.nodes == 1 { "node" } else { "nodes" };
    format!("{nodes} of {} {all} {said}", of.nodes)
}

/// The scheduler's one reason that counts most.
pub fn reason_of(explanation: &Explanation) -> Reason {
    let mut text = sentence(explanation.reason).to_owned();
    if explanation.reason == Why::Priority && explanation.ahead > 0 {
        text.push_str(&format!("; {} ahead", explanation.ahead));
    }
    Reason { code: explanation.reason.word().to_owned(), text }
}

fn sentence(reason: Why) -> &'static str {
    match reason {
        Why::None => "it can start now",
        Why::NotWaiting => "the scheduler has not looked at it yet",
        Why::BeginTime => "its begin time has not come",
        Why::Deadline => "it can no longer start in time",
        Why::NoNodes => "no node is in its partitions",
        Why::ReqNodes => "--nodelist or --exclude rule the node out",
        Why::ReqNodeNotAvail => "the node is down, unreachable, or draining",
        Why::PartitionConfig => "the node is too small for it",
        Why::Resources => "too little is free there now",
        Why::Priority => "what is free is kept for a job ahead of it",
        Why::Limit => "a job ahead of it waits for a limit that both are under",
    }
}

fn timeline(office: &Office, view: &View, one: &Chosen) -> Vec<TimelineEntry> {
    let job = &one.job;
    let mut entries =
        vec![TimelineEntry { at: job.record.submit_time, attempt: Attempt(0), text: submitted(&job.record) }];
    let single = !job.is_array() || one.set().count() == 1;
    if !single {
        if let Some(start) = job.first_start {
            entries.push(TimelineEntry {
                at: start,
                attempt: Attempt(0),
                text: "first task started".to_owned(),
            });
        }
        if let Some(end) = job.ended {
            entries.push(TimelineEntry { at: end, attempt: Attempt(0), text: "all tasks ended".to_owned() });
        }
        return entries;
    }
    let ordinal = one.set().iter().next().unwrap_or_default();
    let task = TaskRef { job: job.id(), ordinal };
    for end in history::attempts(&*office.tables, view, task).unwrap_or_default() {
        let node = end.node.map(|node| format!(" on {}", view.node_name(node))).unwrap_or_default();
        if let Some(start) = end.start {
            let text = format!("started{node}");
            entries.push(TimelineEntry { at: start, attempt: end.attempt, text });
        }
        let text = format!("{}{node}: {}", end.state.word().replace('_', " "), how_it_ended(&end));
        entries.push(TimelineEntry { at: end.end, attempt: end.attempt, text });
    }
    let given_up = view.cluster.abandoned_of(task);
    let now = job.live.get(&ordinal).map(|live| (*live, false));
    for (live, given_up) in given_up.map(|live| (live, true)).chain(now) {
        let node = view.node_name(live.node);
        let attempt = live.attempt;
        let mut say = |at, text| entries.push(TimelineEntry { at, attempt, text });
        say(live.given, format!("given to {node}"));
        if let Some(start) = live.start {
            say(start, format!("started on {node}"));
        }
        if given_up {
            let text = format!("given up: {node} was silent; not known to be dead");
            say(live.start.unwrap_or(live.given), text);
        }
    }
    entries.sort_by_key(|entry| entry.at);
    entries
}

/// Every attempt of the one task that is meant.
fn attempts(office: &Office, view: &View, one: &Chosen) -> Vec<AttemptInfo> {
    let (job, set) = (&one.job, one.set());
    if set.count() != 1 {
        return Vec::new();
    }
    let ordinal = set.iter().next().unwrap_or_default();
    let task = TaskRef { job: job.id(), ordinal };
    let ended = history::attempts(&*office.tables, view, task).unwrap_or_default();
    let mut attempts: Vec<AttemptInfo> = ended
        .into_iter()
        .filter(|end| end.node.is_some())
        .map(|end| AttemptInfo {
            attempt: end.attempt,
            node: end.node.map(|node| view.node_name(node)).unwrap_or_default(),
            start: end.start,
            state: end.state,
            end: Some(end),
        })
        .collect();
    let open = |live: Live, state: State| AttemptInfo {
        attempt: live.attempt,
        node: view.node_name(live.node),
        start: live.start,
        state,
        end: None,
    };
    attempts.extend(view.cluster.abandoned_of(task).map(|live| open(live, State::Unreachable)));
    attempts.extend(job.live.get(&ordinal).map(|live| open(*live, view.shown(job, ordinal))));
    attempts.sort_by_key(|one| one.attempt);
    attempts
}

fn submitted(record: &JobRecord) -> String {
    let from = record.ancestors.first().map(|job| format!(" from job {job}")).unwrap_or_default();
    format!("submitted by {}{from} on {}", record.user, record.spec.submit_host)
}

/// The code or the signal where it ran, and the cause where that is not its own exit.
fn how_it_ended(end: &End) -> String {
    let code = match (end.start, end.signal, end.exit_code) {
        (None, ..) => "never ran".to_owned(),
        (Some(_), 0, code) => format!("exit code {code}"),
        (Some(_), signal, _) => format!("signal {signal}"),
    };
    match end.cause.kind {
        CauseKind::Exit => code,
        _ => format!("{}; {code}", cause_line(&end.cause)),
    }
}

/// Fills in the last end of a task of an array from the tables.
pub fn put_last_end(office: &Office, view: &View, job: &Job, row: &mut JobInfo) {
    let ordinal = row.task.and_then(|index| job.record.spec.array.as_ref()?.indexes.ordinal(index));
    let Some(ordinal) = ordinal else { return };
    let task = TaskRef { job: job.id(), ordinal: Ordinal(ordinal.0) };
    let ends = history::attempts(&*office.tables, view, task).unwrap_or_default();
    if let Some(end) = ends.last() {
        put_end(view, row, end);
    }
}
