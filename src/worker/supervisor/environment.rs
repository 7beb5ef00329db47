//! The environment of a job: what its user sent, and over it the names that jsched and Slurm define. Pure.
//!
//! What all tasks have in common is made once; for each task only its own names are added.

use crate::model::ids::JobId;
use crate::model::spec::MemoryRequest;
use crate::model::time::WallTime;
use crate::wire::supervisor::{Job, TaskRun};

/// The variable in which each process finds its own number.
pub const PID_VARIABLE: &str = "SLURM_TASK_PID";
/// What `SLURM_JOB_END_TIME` says without a limit: this long after the start, as Slurm has it.
const NO_LIMIT_SECONDS: u64 = 365 * 86_400;
const MIB: u64 = 1 << 20;
const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// All of Slurm's names that we define: none of them gets through from the environment that was sent, so that a
/// job submitted from within another does not take itself for that one.
const SLURM_NAMES: &[&str] = &[
    "SLURMD_NODENAME",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_COUNT",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_ARRAY_TASK_MAX",
    "SLURM_ARRAY_TASK_MIN",
    "SLURM_ARRAY_TASK_STEP",
    "SLURM_CLUSTER_NAME",
    "SLURM_CPUS_ON_NODE",
    "SLURM_CPUS_PER_TASK",
    "SLURM_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_GTIDS",
    "SLURM_JOBID",
    "SLURM_JOB_ACCOUNT",
    "SLURM_JOB_CPUS_PER_NODE",
    "SLURM_JOB_END_TIME",
    "SLURM_JOB_GID",
    "SLURM_JOB_GPUS",
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_NODELIST",
    "SLURM_JOB_NUM_NODES",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_QOS",
    "SLURM_JOB_START_TIME",
    "SLURM_JOB_UID",
    "SLURM_JOB_USER",
    "SLURM_LOCALID",
    "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_GPU",
    "SLURM_MEM_PER_NODE",
    "SLURM_NNODES",
    "SLURM_NODEID",
    "SLURM_NODELIST",
    "SLURM_NPROCS",
    "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE",
    "SLURM_PROCID",
    "SLURM_RESTART_COUNT",
    "SLURM_STEPID",
    "SLURM_STEP_ID",
    "SLURM_STEP_NODELIST",
    "SLURM_STEP_NUM_NODES",
    "SLURM_STEP_NUM_TASKS",
    "SLURM_STEP_TASKS_PER_NODE",
    "SLURM_SUBMIT_DIR",
    "SLURM_SUBMIT_HOST",
    "SLURM_TASKS_PER_NODE",
    "SLURM_TASK_PID",
];

/// The entries of the user's environment that reach the job, in their order: everything but our own names, and
/// what is no `NAME=VALUE`. Of a name sent twice the first counts, as everywhere.
pub fn sent(environment: &[u8]) -> impl Iterator<Item = &[u8]> {
    environment.split(|byte| *byte == 0).filter(|entry| name(entry).is_some_and(|name| !is_ours(name)))
}

/// What is the same for all tasks of a job.
pub fn of_job(job: &Job) -> Vec<(&'static str, String)> {
    let cpus = job.granted.cpus.to_string();
    let tasks = job.request.tasks.or(job.request.tasks_per_node).unwrap_or(1).to_string();
    let mut pairs = user_pairs(job);
    pairs.extend([
        ("JSCHED_JOB_NAME", job.name.clone()),
        ("JSCHED_SUBMIT_DIR", job.submit_dir.clone()),
        ("SLURM_JOB_NAME", job.name.clone()),
        ("SLURM_JOB_NODELIST", job.node_name.clone()),
        ("SLURM_NODELIST", job.node_name.clone()),
        ("SLURMD_NODENAME", job.node_name.clone()),
        ("SLURM_JOB_NUM_NODES", "1".to_owned()),
        ("SLURM_NNODES", "1".to_owned()),
        ("SLURM_JOB_PARTITION", job.partition.clone()),
        ("SLURM_JOB_ACCOUNT", job.account.clone()),
        ("SLURM_JOB_QOS", job.qos.clone()),
        ("SLURM_JOB_USER", job.user.name.clone()),
        ("SLURM_JOB_UID", job.user.uid.to_string()),
        ("SLURM_JOB_GID", job.user.gid.to_string()),
        ("SLURM_CLUSTER_NAME", job.cluster.clone()),
        ("SLURM_SUBMIT_DIR", job.submit_dir.clone()),
        ("SLURM_SUBMIT_HOST", job.submit_host.clone()),
        ("SLURM_JOB_CPUS_PER_NODE", cpus.clone()),
        ("SLURM_CPUS_ON_NODE", cpus),
        ("SLURM_TASKS_PER_NODE", tasks.clone()),
        ("SLURM_NODEID", "0".to_owned()),
        ("SLURM_PROCID", "0".to_owned()),
        ("SLURM_LOCALID", "0".to_owned()),
        ("SLURM_GTIDS", "0".to_owned()),
    ]);
    asked_pairs(job, &tasks, &mut pairs);
    if let Some(array) = &job.array {
        pairs.extend([
            ("SLURM_ARRAY_JOB_ID", job.job.to_string()),
            ("SLURM_ARRAY_TASK_COUNT", array.count.to_string()),
            ("SLURM_ARRAY_TASK_MIN", array.min.to_string()),
            ("SLURM_ARRAY_TASK_MAX", array.max.to_string()),
            ("SLURM_ARRAY_TASK_STEP", array.step.to_string()),
        ]);
    }
    pairs
}

/// What is a task's own, besides `PID_VARIABLE`, its mark and its private folder.
pub fn of_task(job: &Job, run: &TaskRun, start: WallTime) -> Vec<(&'static str, String)> {
    let number = run.number.to_string();
    let limit = job.time_limit.0.map_or(NO_LIMIT_SECONDS, |limit| limit.0);
    let end = start.unix_seconds().saturating_add_unsigned(limit);
    let mut pairs = vec![
        ("JSCHED_JOB_ID", written_id(job.job, run)),
        ("JSCHED_JOB_NUMBER", number.clone()),
        ("JSCHED_ATTEMPT", run.task.attempt.to_string()),
        ("JSCHED_RESTART_COUNT", run.restarts.to_string()),
        ("SLURM_JOB_ID", number.clone()),
        ("SLURM_JOBID", number),
        ("SLURM_JOB_START_TIME", start.unix_seconds().to_string()),
        ("SLURM_JOB_END_TIME", end.to_string()),
    ];
    if let Some(line) = &run.line {
        pairs.push(("JSCHED_LINE", line.clone()));
    }
    if run.restarts > 0 {
        pairs.push(("SLURM_RESTART_COUNT", run.restarts.to_string()));
    }
    if let Some(index) = run.index {
        pairs.push(("SLURM_ARRAY_TASK_ID", index.to_string()));
    }
    pairs
}

/// A task's id as users write it.
pub fn written_id(job: JobId, run: &TaskRun) -> String {
    run.index.map_or_else(|| job.to_string(), |index| format!("{job}_{index}"))
}

/// What every login has, where the submitted environment lacks it (`--export=NONE`).
fn user_pairs(job: &Job) -> Vec<(&'static str, String)> {
    let user = &job.user;
    let wanted = [
        ("HOME", user.home.as_str()),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
        ("PATH", DEFAULT_PATH),
    ];
    let is_sent = |wanted: &str| sent(&job.environment).any(|entry| name(entry) == Some(wanted.as_bytes()));
    let missing = wanted.into_iter().filter(|(name, value)| !value.is_empty() && !is_sent(name));
    missing.map(|(name, value)| (name, value.to_owned())).collect()
}

/// Names that stand there only when their option was given.
fn asked_pairs(job: &Job, tasks: &str, pairs: &mut Vec<(&'static str, String)>) {
    let request = &job.request;
    if request.tasks.is_some() || request.tasks_per_node.is_some() {
        pairs.push(("SLURM_NTASKS", tasks.to_owned()));
        pairs.push(("SLURM_NPROCS", tasks.to_owned()));
    }
    if let Some(count) = request.tasks_per_node {
        pairs.push(("SLURM_NTASKS_PER_NODE", count.to_string()));
    }
    if let Some(count) = request.cpus_per_task {
        pairs.push(("SLURM_CPUS_PER_TASK", count.to_string()));
    }
    match request.memory {
        MemoryRequest::Default => {}
        MemoryRequest::PerCpu(bytes) => pairs.push(("SLURM_MEM_PER_CPU", (bytes / MIB).to_string())),
        MemoryRequest::PerNode(_) | MemoryRequest::WholeNode | MemoryRequest::Range(..) => {
            pairs.push(("SLURM_MEM_PER_NODE", (job.granted.memory_bytes / MIB).to_string()));
        }
    }
}

/// The name of an entry; `None` if it has none.
fn name(entry: &[u8]) -> Option<&[u8]> {
    let at = entry.iter().position(|byte| *byte == b'=')?;
    if at == 0 { None } else { entry.get(..at) }
}

fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"JSCHED_")
        || name == b"TMPDIR"
        || name == b"PWD"
        || std::str::from_utf8(name).is_ok_and(|name| SLURM_NAMES.binary_search(&name).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::worker::supervisor::test_job::{job, run};

    #[test]
    fn our_names_are_sorted_and_complete() {
        assert!(SLURM_NAMES.is_sorted());
        let mut job = job();
        job.request.tasks = Some(2);
        job.request.tasks_per_node = Some(2);
        job.request.cpus_per_task = Some(3);
        job.request.memory = MemoryRequest::PerCpu(5 << 20);
        let pairs = of_job(&job).into_iter().chain(of_task(&job, &run(), WallTime(7_900_000)));
        let mut seen = std::collections::BTreeMap::new();
        for (name, value) in pairs {
            let known =
                is_ours(name.as_bytes()) || ["HOME", "USER", "LOGNAME", "SHELL", "PATH"].contains(&name);
            assert!(known, "{name} could be forged");
            assert_eq!(seen.insert(name, value), None, "{name} stands twice");
        }
        for (name, value) in [
            ("SLURM_NTASKS", "2"),
            ("SLURM_CPUS_PER_TASK", "3"),
            ("SLURM_MEM_PER_CPU", "5"),
            ("SLURM_ARRAY_TASK_ID", "6"),
            ("SLURM_ARRAY_JOB_ID", "123"),
            ("SLURM_JOB_ID", "130"),
            ("JSCHED_JOB_ID", "123_6"),
            ("SLURM_JOB_START_TIME", "7"),
            ("SLURM_JOB_END_TIME", "67"),
            ("SLURM_RESTART_COUNT", "1"),
            ("JSCHED_LINE", "a line"),
        ] {
            assert_eq!(seen.get(name).map(String::as_str), Some(value), "{name}");
        }
        let plain = of_job(&Job { request: Default::default(), array: None, ..job });
        let asked = |(name, _): &(&str, String)| {
            name.contains("NTASKS") || name.contains("MEM_PER") || name.contains("ARRAY")
        };
        assert!(!plain.iter().any(asked));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_our_names_win(mut entries in prop::collection::vec(".*", 0..8), at in 0usize..60, value in ".*") {
            let name = SLURM_NAMES.get(at).copied().unwrap_or("JSCHED_ANYTHING");
            entries.push(format!("{name}={value}"));
            entries.push("OTHER_SLURM=1".to_owned());
            let bytes = entries.join("\0").into_bytes();
            let through: Vec<&[u8]> = sent(&bytes).collect();
            prop_assert!(through.contains(&b"OTHER_SLURM=1".as_slice()));
            prop_assert!(through.iter().all(|entry| entry.contains(&b'=') && !entry.starts_with(b"=")));
            let forged = format!("{name}=");
            prop_assert!(!through.iter().any(|entry| entry.starts_with(forged.as_bytes())));
        }
    }
}
