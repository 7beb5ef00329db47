//! Builders for tests, which state only what matters to them.

use super::{Caller, Settings};
use crate::model::identity::{Identity, Role, Serial};
use crate::model::ids::{ContentHash, JobId, NodeId, Uid};
use crate::model::record::{Hold, JobRecord, Memory, NodeRecord};
use crate::model::spec::{
    ArraySpec, Dependencies, Files, JobSpec, MemoryRequest, Output, Place, Request, Restart, Times, WorkDir,
};
use crate::model::task_set::IndexSet;
use crate::model::time::{Seconds, TimeLimit, WallTime};

/// A job of so many cpus, with that limit, and an array if `tasks` is given.
pub fn spec(cpus: u32, limit: Option<u64>, tasks: Option<&str>) -> JobSpec {
    let hash = ContentHash::of(b"x");
    JobSpec {
        name: "job".to_owned(),
        script: hash,
        environment: hash,
        arguments: vec![],
        work_dir: WorkDir::Path("/tmp".to_owned()),
        submit_dir: "/tmp".to_owned(),
        submit_host: "host".to_owned(),
        umask: 0o22,
        files: Files { input: String::new(), output: Output::Nothing, error: None, append: false },
        request: Request {
            cpus_per_task: Some(cpus),
            memory: MemoryRequest::PerNode(1),
            ..Request::default()
        },
        place: Place::default(),
        times: Times { limit: limit.map(|s| TimeLimit(Some(Seconds(s)))), ..Times::default() },
        account: String::new(),
        qos: String::new(),
        nice: 0,
        priority: None,
        array: tasks.map(|text| ArraySpec {
            indexes: IndexSet::parse(text).unwrap(),
            limit: None,
            lines: None,
        }),
        dependencies: Dependencies::default(),
        hold: false,
        restart: Restart::default(),
        signal: None,
        comment: String::new(),
        harmless: vec![],
        tied: false,
    }
}

/// A job's record.
pub fn job_record(id: JobId) -> JobRecord {
    JobRecord {
        id,
        uid: Uid(1_000),
        user: "ada".into(),
        spec: spec(1, None, None).into(),
        submit_time: WallTime(1),
        partitions: ["main".to_owned()].into(),
        limit: TimeLimit(None),
        memory: Memory::Fixed(1),
        cpus: 1,
        hold: Hold::No,
        waits_for: vec![],
        never: String::new(),
        place: id.0,
        version: 1,
        ancestors: Vec::new(),
        since: WallTime(1),
        key: "k".into(),
    }
}

/// An admin.
pub fn admin() -> Caller {
    let identity = Identity {
        role: Role::Admin,
        name: "root".to_owned(),
        uid: Some(Uid(0)),
        serial: Serial([1; 16]),
        within: None,
    };
    Caller { identity, from: "here".to_owned() }
}

/// How a core is set up.
pub fn settings() -> Settings {
    Settings {
        cluster: "test".to_owned(),
        node_timeout: Seconds(300),
        lease: Seconds(1_800),
        kill_grace: Seconds(30),
        jobs_per_user_max: 1_000,
        allow_root: false,
        submit_from_jobs: true,
        addresses: vec![],
        fingerprint: [0; 32],
    }
}

/// A node that has not joined.
pub fn node(id: NodeId, name: &str) -> NodeRecord {
    super::drain::new_node(id, name)
}
