//! A job for tests that start no process.

use crate::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskIndex, Uid};
use crate::model::resources::Resources;
use crate::model::spec::{Files, Output, Request, WorkDir};
use crate::model::time::{Seconds, TimeLimit};
use crate::wire::supervisor::{ArrayFacts, AttemptRef, Job, TaskRun, User};

/// An array with a limit of a minute.
pub fn job() -> Job {
    Job {
        job: JobId(123),
        array: Some(ArrayFacts { count: 10, min: 0, max: 9, step: 1 }),
        name: "test".into(),
        user: User {
            name: "alice".into(),
            uid: Uid(1_000),
            gid: 1_000,
            groups: vec![1_000],
            home: "/home/alice".into(),
            shell: "/bin/sh".into(),
            switch: true,
        },
        root_allowed: false,
        script: b"#!/bin/sh\n".to_vec(),
        environment: Vec::new(),
        arguments: Vec::new(),
        work_dir: WorkDir::Path("/w".into()),
        submit_dir: "/submit".into(),
        submit_host: "login".into(),
        umask: 0o022,
        files: Files { input: String::new(), output: Output::Nothing, error: None, append: false },
        node: NodeId(1),
        node_name: "n1".into(),
        cluster: "c".into(),
        partition: "main".into(),
        account: String::new(),
        qos: String::new(),
        request: Request::default(),
        granted: Resources { cpus: 1, memory_bytes: 1 << 30, tmp_bytes: 0 },
        time_limit: TimeLimit(Some(Seconds(60))),
        kill_grace: Seconds(30),
        warning: None,
        cgroups: None,
        tmp_base: "/tmp".into(),
        slots: 1,
        lease: None,
    }
}

/// The second start of its task 6.
pub fn run() -> TaskRun {
    TaskRun {
        task: AttemptRef { ordinal: Ordinal(6), attempt: Attempt(2) },
        index: Some(TaskIndex(6)),
        number: JobId(130),
        restarts: 1,
        line: Some("a line".into()),
        not_after: None,
    }
}
