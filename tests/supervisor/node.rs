//! A stand-in for the node daemon: a folder, a supervisor in it, and a connection.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use jsched::model::ids::{Attempt, JobId, NodeId, Ordinal, TaskIndex, Uid};
use jsched::model::resources::Resources;
use jsched::model::spec::{Files, Output, Request, WorkDir};
use jsched::model::state::End;
use jsched::model::time::{Seconds, TimeLimit};
use jsched::wire::supervisor::*;
use jsched::worker::supervisor::client::{self, Connection};
use jsched::worker::tree;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Nothing here takes nearly as long; it only keeps a broken test from hanging.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Node {
    pub root: tempfile::TempDir,
    pub folder: PathBuf,
    pub id: String,
    pub process: Option<Child>,
    pub link: Option<Connection>,
    /// Everything that was said, in order.
    pub heard: Vec<FromSupervisor>,
    pub cgroups: Option<Cgroups>,
    pid: i32,
}

impl Node {
    pub fn start() -> Node {
        let mut node = Node::without_supervisor();
        let program = Path::new(env!("CARGO_BIN_EXE_jworkerd"));
        node.process = Some(client::start(program, &node.folder, &node.id).unwrap());
        node.connect();
        node
    }

    pub fn without_supervisor() -> Node {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for (name, mode) in [("tmp", 0o1777), ("work", 0o777), ("spool", 0o711)] {
            std::fs::create_dir(root.path().join(name)).unwrap();
            std::fs::set_permissions(root.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let id = format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = root.path().join("spool").join(&id);
        Node { root, folder, id, process: None, link: None, heard: Vec::new(), cgroups: None, pid: 0 }
    }

    /// Connects and says hello; gives the inventory.
    pub fn connect(&mut self) -> Inventory {
        self.link = None;
        let mut link = wait_for(|| Connection::open(&self.folder).ok());
        link.send(&ToSupervisor::Hello { version: VERSION }).unwrap();
        let Some(FromSupervisor::Welcome { pid, inventory, .. }) = link.receive().unwrap() else {
            panic!("no welcome")
        };
        self.pid = pid as i32;
        self.link = Some(link);
        inventory
    }

    pub fn send(&mut self, message: ToSupervisor) {
        self.link.as_mut().unwrap().send(&message).unwrap();
    }

    /// Listens until `wanted` finds something in what is said, then and before.
    pub fn hear<T>(&mut self, wanted: impl Fn(&FromSupervisor) -> Option<T>) -> T {
        let since = Instant::now();
        if let Some(found) = self.heard.iter().find_map(&wanted) {
            return found;
        }
        loop {
            assert!(since.elapsed() < PATIENCE, "not heard; heard {:#?}", self.heard);
            let message = self.link.as_mut().unwrap().receive().unwrap().expect("the supervisor closed");
            let found = wanted(&message);
            self.heard.push(message);
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Waits for the end of a task.
    pub fn end_of(&mut self, run: &TaskRun) -> End {
        let task = run.task;
        self.hear(|message| end_in(message, task))
    }

    /// Waits for the start of a task.
    pub fn start_of(&mut self, run: &TaskRun) -> StartedAttempt {
        let task = run.task;
        self.hear(|message| match message {
            FromSupervisor::Started { attempts } => {
                attempts.iter().find(|started| started.task == task).cloned()
            }
            _ => None,
        })
    }

    /// Runs one task of a job to its end.
    pub fn run_one(&mut self, job: Job) -> End {
        let run = run(1);
        self.send(ToSupervisor::Job(Box::new(job)));
        self.send(ToSupervisor::Run { tasks: vec![run.clone()] });
        self.end_of(&run)
    }

    /// Acknowledges everything and waits for the supervisor to leave.
    pub fn finish(&mut self) {
        self.send(ToSupervisor::Acknowledge { up_to: u64::MAX });
        self.send(ToSupervisor::Finish);
        let status = self.process.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        assert_eq!(self.log(), "");
        // Only private working directories stay, and what is around them.
        let inside = |folder: &std::path::Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
        };
        let stays = |path: &PathBuf| path.to_string_lossy().ends_with(jsched::worker::private::SUFFIX);
        let mut left = inside(&self.root.path().join("tmp"));
        left.retain(|folder| {
            let inner = inside(folder);
            inner.is_empty() || !inner.iter().all(stays)
        });
        assert!(left.is_empty(), "{left:?}");
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join(client::LOG_FILE)).unwrap()
    }

    pub fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.work().join(name)).unwrap_or_default()
    }

    /// A job of the caller's own user that runs these lines.
    pub fn job(&self, lines: &str) -> Job {
        let own = nix::unistd::geteuid().as_raw();
        Job {
            job: JobId(123),
            array: None,
            name: "test".into(),
            user: User {
                name: "me".into(),
                uid: Uid(own),
                gid: nix::unistd::getegid().as_raw(),
                groups: vec![],
                home: "/".into(),
                shell: "/bin/sh".into(),
                switch: false,
            },
            root_allowed: true,
            script: format!("#!/bin/sh\n{lines}\n").into_bytes(),
            environment: b"PATH=/usr/bin:/bin\0".to_vec(),
            arguments: vec![],
            work_dir: WorkDir::Path(self.work().to_str().unwrap().into()),
            submit_dir: "/submit".into(),
            submit_host: "login".into(),
            umask: 0o022,
            files: Files {
                input: String::new(),
                output: Output::Pattern("out".into()),
                error: None,
                append: false,
            },
            node: NodeId(7),
            node_name: "n1".into(),
            cluster: "c".into(),
            partition: "main".into(),
            account: String::new(),
            qos: String::new(),
            request: Request::default(),
            granted: Resources { cpus: 1, memory_bytes: 0, tmp_bytes: 0 },
            time_limit: TimeLimit(None),
            kill_grace: Seconds(30),
            warning: None,
            cgroups: self.cgroups.clone(),
            tmp_base: self.root.path().join("tmp").to_str().unwrap().into(),
            slots: 1,
            lease: None,
        }
    }

    /// How many living processes carry this supervisor's mark.
    pub fn marked(&self) -> usize {
        let mark = format!("{}.", self.id);
        let table = tree::table();
        let of = |pid| tree::mark_of(pid).is_some_and(|value| value.starts_with(&mark));
        table.values().filter(|process| process.is_alive() && of(process.pid)).count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
        // A supervisor that outlived its daemon.
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        if line.contains(&self.id) {
            let _ = tree::process(self.pid).map(|process| process.signal(9));
        }
        let remains = tree::Remains { supervisor: &self.id, firsts: &[], cgroups: self.cgroups.as_ref() };
        let _ = tree::end_all(&remains);
    }
}

pub fn end_in(message: &FromSupervisor, task: AttemptRef) -> Option<End> {
    let FromSupervisor::Reports { reports } = message else { return None };
    reports.iter().find(|report| report.task == task).map(|report| match &report.news {
        News::Ended(end) => End::clone(end),
        News::Never => panic!("{task:?} was never started"),
    })
}

pub fn run(ordinal: u32) -> TaskRun {
    TaskRun {
        task: AttemptRef { ordinal: Ordinal(ordinal), attempt: Attempt(1) },
        index: None,
        number: JobId(123),
        restarts: 0,
        line: None,
        not_after: None,
    }
}

/// A task of an array whose indexes are its ordinals.
pub fn array_run(ordinal: u32) -> TaskRun {
    TaskRun { index: Some(TaskIndex(ordinal)), number: JobId(124 + u64::from(ordinal)), ..run(ordinal) }
}

pub fn as_array(job: Job, count: u32, slots: u32) -> Job {
    Job { array: Some(ArrayFacts { count, min: 0, max: count - 1, step: 1 }), slots, ..job }
}

/// Asks again and again; the pause is no wait for time, only for others' turn.
pub fn wait_for<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(since.elapsed() < PATIENCE, "the condition did not come true");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn is_root(what: &str) -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        println!("skipped, only root can: {what}");
    }
    root
}
