//! Messages of a controller, as tests need them.

use super::super::*;
use crate::model::ids::*;
use crate::model::resources::Resources;
use crate::model::spec::{Files, LostPolicy, Output, WorkDir};
use crate::model::time::{Seconds, TimeLimit, WallTime};
use crate::wire::node::*;

pub(super) fn body() -> Box<JobBody> {
    Box::new(JobBody {
        name: "job".to_owned(),
        user: "ann".to_owned(),
        uid: Uid(1000),
        partition: "main".to_owned(),
        account: String::new(),
        qos: String::new(),
        script: ContentHash::of(b"script"),
        environment: ContentHash::of(b"environment"),
        arguments: vec![],
        work_dir: WorkDir::Private,
        submit_dir: "/".to_owned(),
        submit_host: "login".to_owned(),
        umask: 0o022,
        files: Files { input: String::new(), output: Output::Nothing, error: None, append: false },
        resources: Resources { cpus: 1, memory_bytes: 1, tmp_bytes: 0 },
        tasks: None,
        tasks_per_node: None,
        cpus_per_task: None,
        memory_per_node_bytes: None,
        memory_per_cpu_bytes: None,
        limit: TimeLimit(None),
        grace: Seconds(30),
        warning: None,
        lost: LostPolicy::Fenced(None),
        indexes: None,
        lines: None,
        submit_time: WallTime(0),
    })
}

pub(super) fn contents() -> Vec<Content> {
    [&b"script"[..], b"environment"]
        .map(|bytes| Content { hash: ContentHash::of(bytes), bytes: bytes.to_vec() })
        .to_vec()
}

pub(super) fn run(which: Try) -> TaskRun {
    TaskRun { first: which.ordinal, last: which.ordinal, attempt: which.attempt }
}

pub(super) fn launch(which: Try) -> Act {
    let (body, contents) = (Some(body()), contents());
    Act::Launch(Launch {
        body,
        contents,
        attempts: vec![run(which)],
        unstarted: Vec::new(),
        slots: 2,
        not_after: None,
    })
}

pub(super) fn welcome(incarnation: Incarnation, epoch: u64, position: u64) -> Welcome {
    Welcome {
        incarnation,
        epoch: Epoch(epoch),
        position: Position(position),
        session: SessionId(1),
        cluster: "c".to_owned(),
        beat: Seconds(5),
        lease: Seconds(60),
        comes_over: false,
    }
}
