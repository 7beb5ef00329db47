//! Jobs in full, and why they wait.

use std::sync::Arc;

use super::{found, refuse, tables_failed};
use crate::controller::office::Office;
use crate::controller::server::{Replies, Undelivered};
use crate::controller::{handlers::list::explain, history};
use crate::core::Caller;
use crate::core::authorise::may_see;
use crate::core::info::put_end;
use crate::core::job::Job;
use crate::core::select::{Chosen, choose};
use crate::core::state::View;
use crate::model::ids::{Attempt, Ordinal, TaskRef};
use crate::model::parse::dependency;
use crate::model::record::JobRecord;
use crate::model::state::{CauseKind, End, State};
use crate::sched::{Explanation, Reason as Why};
use crate::wire::client::{Reply, Selection};
use crate::wire::info::{Condition, JobDetail, JobInfo, Reason, TimelineEntry, cause_line};

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
    let chosen = match choose(&view.cluster, &history, &caller.identity, selection) {
        Ok(chosen) => chosen,
        Err(refusal) => return refuse(replies, refusal).await,
    };
    let details = chosen.iter().map(|one| detail(office, &view, caller, one)).collect();
    replies.last(&Reply::Detail(details)).await
}

fn detail(office: &Office, view: &View, caller: &Caller, one: &Chosen) -> JobDetail {
    let job = &one.job;
    let explain = explain(office);
    let mut rows = super::list::complete(office, view, Some(&caller.identity), one, false, &*explain);
    let info = rows.swap_remove(0);
    let waiting = matches!(info.state, State::Pending);
    let explanation = waiting.then(|| office.explainer.explain(job.id()));
    let record = &job.record;
    JobDetail {
        spec: may_see(&caller.identity, record).then(|| Box::new((*record.spec).clone())),
        dependencies: record
            .waits_for
            .iter()
            .map(|wait| format!("{}:{}", dependency::word(wait.condition.kind), wait.parent))
            .collect(),
        timeline: timeline(office, view, one),
        ahead: explanation.as_ref().map(|explanation| u64::from(explanation.ahead)),
        conditions: explanation.as_ref().map(conditions).unwrap_or_default(),
        estimate: explanation.and_then(|explanation| explanation.start),
        info,
    }
}

fn conditions(explanation: &Explanation) -> Vec<Condition> {
    let one = |condition: &crate::sched::Condition| Condition {
        code: condition.reason.word().to_owned(),
        nodes: u64::from(condition.nodes),
        text: sentence(condition.reason).to_owned(),
    };
    explanation.conditions.iter().map(one).collect()
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
    if let Some(live) = job.live.get(&ordinal) {
        let node = view.node_name(live.node);
        let attempt = live.attempt;
        entries.push(TimelineEntry { at: live.given, attempt, text: format!("given to {node}") });
        if let Some(start) = live.start {
            entries.push(TimelineEntry { at: start, attempt, text: format!("started on {node}") });
        }
    }
    entries.sort_by_key(|entry| entry.at);
    entries
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
