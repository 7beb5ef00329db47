//! Jobs, nodes and the cluster for tests: one moment, hostile names.

use super::info::{EndedRow, JobInfo, NodeInfo, PartitionInfo, Private, Reason};
use crate::model::ids::{Attempt, ContentHash, JobId, NodeId, TaskIndex};
use crate::model::policy::PartitionPolicy;
use crate::model::resources::Resources;
use crate::model::state::{Cause, CauseKind, End, State, Usage};
use crate::model::time::{Seconds, TimeLimit, WallTime};

/// 2026-11-22T15:41:56Z.
pub(crate) const NOW: WallTime = WallTime(1_795_362_116_000_000);

pub(crate) fn ago(seconds: i64) -> WallTime {
    WallTime(NOW.0 - seconds * 1_000_000)
}

/// A job in that state, as far along as the state says.
pub(crate) fn job(job: JobId, state: State) -> JobInfo {
    let started = state.is_live() || state.is_end();
    JobInfo {
        id: job.to_string(),
        job,
        task: None,
        number: job,
        name: "train".to_owned(),
        user: "alice".to_owned(),
        account: "physics".to_owned(),
        qos: String::new(),
        partition: "main".to_owned(),
        state,
        reason: match state {
            State::Pending => reason("Resources", "waits for 4 cpus on one node"),
            State::Held => reason("JobHeldUser", "held by its owner"),
            _ => Reason::default(),
        },
        nodes: if started { vec!["n1".to_owned()] } else { vec![] },
        cpus: 2,
        memory_bytes: 3 << 29,
        limit: TimeLimit(Some(Seconds(3_600))),
        priority: 1_000,
        submit_time: ago(7_200),
        eligible_time: Some(ago(7_200)),
        start_time: started.then(|| ago(600)),
        end_time: state.is_end().then(|| ago(60)),
        end: state.is_end().then(|| end(state)),
        attempt: Attempt(u32::from(started)),
        restarts: 0,
        tasks: vec![],
        handed: 0,
        private: Some(Private {
            work_dir: "/home/alice".to_owned(),
            output: format!("/home/alice/jsched-{job}.out"),
            error: format!("/home/alice/jsched-{job}.out"),
            comment: "evil\u{1b}[31m\nline".to_owned(),
            script_hash: ContentHash([0xab; 32]),
        }),
    }
}

/// An array of 10,000 tasks.
pub(crate) fn array(id: JobId) -> JobInfo {
    let tasks =
        vec![(State::Pending, 5_728), (State::Running, 50), (State::Completed, 4_210), (State::Failed, 12)];
    JobInfo { id: format!("{id}_[0-9999%50]"), tasks, handed: 20, ..job(id, State::Running) }
}

/// One of its tasks.
pub(crate) fn task(array: JobId, index: u32, state: State) -> JobInfo {
    let number = JobId(array.0 + 1 + u64::from(index));
    JobInfo {
        id: format!("{array}_{index}"),
        job: array,
        task: Some(TaskIndex(index)),
        number,
        ..job(array, state)
    }
}

pub(crate) fn reason(code: &str, text: &str) -> Reason {
    Reason { code: code.to_owned(), text: text.to_owned() }
}

/// How something in that state came to its end.
pub(crate) fn end(state: State) -> End {
    let (exit_code, signal, cause) = match state {
        State::Completed => (0, 0, Cause::plain(CauseKind::Exit)),
        State::Failed => (3, 0, Cause::plain(CauseKind::Exit)),
        State::Cancelled => {
            let cause =
                Cause { kind: CauseKind::Cancel, by: "bob".to_owned(), text: "no more\u{7}".to_owned() };
            (0, 15, cause)
        }
        State::Timeout => (0, 0, Cause::plain(CauseKind::TimeLimit)),
        State::OutOfMemory => (0, 9, Cause::plain(CauseKind::Memory)),
        _ => (0, 9, Cause::said(CauseKind::Node, "n1 is gone")),
    };
    End {
        state,
        exit_code,
        signal,
        cause,
        node: Some(NodeId(1)),
        start: Some(ago(600)),
        end: ago(60),
        usage: Usage { cpu_ms: 540_500, memory_peak_bytes: 1 << 30 },
        attempt: Attempt(1),
    }
}

/// The same as a row of history.
pub(crate) fn ended(array: JobId, index: Option<u32>, state: State) -> EndedRow {
    EndedRow {
        id: index.map_or_else(|| array.to_string(), |index| format!("{array}_{index}")),
        job: array,
        task: index.map(TaskIndex),
        name: "train".to_owned(),
        user: "alice".to_owned(),
        node: "n1".to_owned(),
        cpus: 2,
        memory_bytes: 3 << 29,
        limit: TimeLimit(Some(Seconds(3_600))),
        end: end(state),
    }
}

/// A node in that state.
pub(crate) fn node(name: &str, state: &str, cpus_allocated: u32) -> NodeInfo {
    NodeInfo {
        name: name.to_owned(),
        state: state.to_owned(),
        reason: if state == "drained" { "disk\n broken (bob)".to_owned() } else { String::new() },
        reason_since: (state == "drained").then(|| ago(3_600)),
        total: Resources { cpus: 64, memory_bytes: 256 << 30, tmp_bytes: 1 << 40 },
        allocated: Resources {
            cpus: cpus_allocated,
            memory_bytes: u64::from(cpus_allocated) << 32,
            tmp_bytes: 0,
        },
        jobs: cpus_allocated.into(),
        load_hundredths: 105,
        boot_time: Some(ago(100_000)),
        version: "0.1.0".to_owned(),
        certificate_expires: Some(WallTime(NOW.0 + 30 * 86_400 * 1_000_000)),
        partitions: vec!["main".to_owned()],
        limits: "cgroup v2".to_owned(),
        only_uid: None,
        features: vec!["ssd".to_owned()],
        weight: 1,
        drain_until: None,
    }
}

/// The partition of all of them.
pub(crate) fn partition(nodes: &[NodeInfo]) -> PartitionInfo {
    PartitionInfo {
        name: "main".to_owned(),
        state: "up".to_owned(),
        default: true,
        max_time: TimeLimit(None),
        default_time: Some(TimeLimit(Some(Seconds(86_400)))),
        nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        priority: 0,
        default_memory_per_cpu_bytes: None,
        nodes_max: None,
        accounts: vec![],
        policy: PartitionPolicy::default(),
    }
}
