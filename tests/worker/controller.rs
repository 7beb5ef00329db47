//! A controller that only speaks the node's protocol, and the folder of a node that believes it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use jsched::model::identity::Role;
use jsched::model::ids::*;
use jsched::model::resources::Resources;
use jsched::model::spec::{Files, LostPolicy, Output, WorkDir};
use jsched::model::state::End;
use jsched::model::task_set::IndexSet;
use jsched::model::time::{Seconds, TimeLimit, WallTime};
use jsched::net::endpoint::{self, Listener, Peer};
use jsched::net::frame::{FRAME_BYTES_MAX, FrameReader, FrameWriter, Patience};
use jsched::pki::authority::Authority;
use jsched::pki::certificate::{Subject, Validity};
use jsched::pki::credentials::{CredentialFiles, Credentials};
use jsched::pki::file::{Publish, write_public};
use jsched::pki::key::KeyPair;
use jsched::pki::request::PublicKey;
use jsched::wire::codec;
use jsched::wire::data::DataHello;
use jsched::wire::node::*;
use jsched::worker::supervisor::clock;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How long anything may take before the test gives up.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The controller, its cluster, and one node's folder.
pub struct Cluster {
    pub folder: tempfile::TempDir,
    arrivals: UnboundedReceiver<Arrived>,
    acceptor: JoinHandle<()>,
    daemon: Option<Child>,
    waiting: Vec<Arrived>,
    pub epoch: u64,
    pub position: u64,
    sessions: u64,
}

/// A connection that has said what it is for.
struct Arrived {
    kind: Vec<u8>,
    connection: quinn::Connection,
    reader: FrameReader,
    writer: FrameWriter,
}

/// Takes connections in until the test is over. One whose daemon was killed meanwhile is none.
async fn accept(listener: Listener, tell: UnboundedSender<Arrived>) {
    while let Some(arrival) = listener.accept().await {
        let tell = tell.clone();
        tokio::spawn(async move {
            let Ok((connection, peer)) = arrival.admit().await else { return };
            assert!(matches!(peer, Peer::Known(bearer) if bearer.identity.role == Role::Node));
            let Ok((send, receive)) = connection.accept_bi().await else { return };
            let mut reader = FrameReader::new(receive, FRAME_BYTES_MAX);
            let Ok(Some(kind)) = reader.next(Patience::of(PATIENCE)).await else { return };
            let (kind, writer) = (kind.to_vec(), FrameWriter::new(send, FRAME_BYTES_MAX));
            let _ = tell.send(Arrived { kind, connection, reader, writer });
        });
    }
}

/// A control connection.
pub struct Session {
    pub hello: Hello,
    pub connection: quinn::Connection,
    reader: FrameReader,
    writer: FrameWriter,
    pub number: SessionId,
}

/// What an inventory, or several reports, said.
#[derive(Debug, Default)]
pub struct Said {
    pub queued: Vec<(u64, u32)>,
    pub started: Vec<(u64, u32)>,
    pub ended: Vec<((u64, u32), End)>,
    pub never: Vec<(u64, u32)>,
    pub refused: Vec<String>,
    pub last_report: u64,
    pub whole: bool,
}

impl Cluster {
    pub fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let now = clock::now().wall;
        std::fs::create_dir(folder.path().join("ca")).unwrap();
        let authority = Authority::create(&folder.path().join("ca"), "test", now).unwrap();
        let node = folder.path().join("n1");
        std::fs::create_dir(&node).unwrap();
        let files = CredentialFiles::in_folder(&node);
        let issue = |subject: &Subject, key: &KeyPair, role| {
            authority.issue(subject, &PublicKey::of(key).unwrap(), Validity::usual(role, now)).unwrap()
        };
        let key = KeyPair::generate().unwrap();
        let issued = issue(&Subject::node("n1").unwrap(), &key, Role::Node);
        key.write(&files.key, Publish::New).unwrap();
        write_public(&files.certificate, issued.pem.as_bytes(), Publish::New).unwrap();
        write_public(&files.authorities, authority.pem().as_bytes(), Publish::New).unwrap();
        let key = KeyPair::generate().unwrap();
        let issued = issue(&Subject::controller(), &key, Role::Controller);
        let credentials =
            Credentials::new(&issued.der, &key, std::slice::from_ref(authority.certificate())).unwrap();
        let listener = endpoint::server("127.0.0.1:0".parse().unwrap(), &credentials).unwrap();
        let address = listener.local_address().unwrap();
        let config = format!("controllers = [\"{address}\"]\nallow_root_jobs = true\n");
        std::fs::write(node.join("jworkerd.toml"), config).unwrap();
        std::fs::create_dir(folder.path().join("work")).unwrap();
        let (tell, arrivals) = unbounded_channel();
        let acceptor = tokio::spawn(accept(listener, tell));
        Cluster {
            folder,
            arrivals,
            acceptor,
            daemon: None,
            waiting: Vec::new(),
            epoch: 1,
            position: 10,
            sessions: 0,
        }
    }

    pub fn node(&self) -> PathBuf {
        self.folder.path().join("n1")
    }

    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    pub fn start_daemon(&mut self) {
        let mut options = std::fs::OpenOptions::new();
        let log = options.create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_jworkerd"));
        command
            .arg("run")
            .arg("--dir")
            .arg(self.node())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.daemon = Some(command.spawn().unwrap());
    }

    /// What `jworkerd status` says.
    pub fn status(&self) -> serde_json::Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jworkerd"));
        let output = command.arg("--dir").arg(self.node()).args(["status", "--json"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["data"].clone()
    }

    /// As kill -9 does.
    pub fn kill_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
    }

    /// As SIGTERM does; the daemon has to end well.
    pub fn stop_daemon(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(daemon.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(daemon.wait().unwrap().success());
    }

    /// The next control connection, up to its welcome.
    pub async fn session(&mut self) -> Session {
        let (connection, mut reader, writer) = self.connection("control").await;
        let frame = reader.next(Patience::of(PATIENCE)).await.unwrap().unwrap();
        let hello = codec::decode::<Hello>(&frame).unwrap();
        self.sessions += 1;
        let number = SessionId(self.sessions);
        let mut session = Session { hello, connection, reader, writer, number };
        let welcome = Welcome {
            incarnation: Incarnation([5; 16]),
            epoch: Epoch(self.epoch),
            position: Position(self.position),
            session: number,
            cluster: "test".to_owned(),
            beat: Seconds(5),
            comes_over: false,
            lease: Seconds(60),
        };
        session.push(&codec::encode(&welcome).unwrap()).await;
        session
    }

    /// The next data connection.
    pub async fn data(&mut self) -> (quinn::Connection, DataHello) {
        let (connection, mut reader, _writer) = self.connection("data").await;
        let frame = reader.next(Patience::of(PATIENCE)).await.unwrap().unwrap();
        (connection, codec::decode::<DataHello>(&frame).unwrap())
    }

    /// The next connection of that kind; those of the other kind wait.
    async fn connection(&mut self, kind: &str) -> (quinn::Connection, FrameReader, FrameWriter) {
        loop {
            self.waiting.retain(|arrived| arrived.connection.close_reason().is_none());
            if let Some(at) = self.waiting.iter().position(|arrived| arrived.kind == kind.as_bytes()) {
                let Arrived { connection, reader, writer, .. } = self.waiting.remove(at);
                return (connection, reader, writer);
            }
            let next = tokio::time::timeout(PATIENCE, self.arrivals.recv()).await;
            self.waiting.push(next.expect("the node does not come").unwrap());
        }
    }

    /// An order of a session.
    pub fn order(&mut self, session: &Session, job: u64, act: Act) -> Order {
        self.position += 1;
        Order {
            incarnation: Incarnation([5; 16]),
            epoch: Epoch(self.epoch),
            position: Position(self.position),
            session: session.number,
            instance: session.hello.instance,
            job: JobId(job),
            act,
        }
    }

    /// A launch of tasks of an array with that script.
    pub fn launch(&self, script: &str, first: u32, last: u32, slots: u32) -> Act {
        let script = format!("#!/bin/sh\n{script}\n").into_bytes();
        let environment = b"PATH=/usr/bin:/bin\0".to_vec();
        let contents: Vec<Content> =
            [script, environment].map(|bytes| Content { hash: ContentHash::of(&bytes), bytes }).to_vec();
        let body = Box::new(body(&self.work(), contents[0].hash, contents[1].hash));
        Act::Launch(Launch {
            body: Some(body),
            contents,
            attempts: vec![run(first, last)],
            unstarted: Vec::new(),
            slots,
            not_after: None,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
        self.acceptor.abort();
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        for pid in supervisors(&self.node()) {
            let _ =
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL);
        }
        // The jobs of these tests end when their working folder is gone.
    }
}

impl Session {
    async fn push(&mut self, frame: &[u8]) {
        self.writer.push(frame).unwrap();
        self.writer.flush(PATIENCE).await.unwrap();
    }

    pub async fn send(&mut self, message: ToNode) {
        self.push(&codec::encode(&message).unwrap()).await;
    }

    pub async fn confirm(&mut self, report: u64) {
        self.send(ToNode::Confirmed { report }).await;
    }

    /// Listens until what was said is enough; beats are answered meanwhile.
    pub async fn hear(&mut self, said: &mut Said, enough: impl Fn(&Said) -> bool) {
        while !enough(said) {
            let frame = self.reader.next(Patience::of(PATIENCE)).await.expect("the node is silent");
            match codec::decode::<FromNode>(&frame.expect("the node has closed")).unwrap() {
                FromNode::Beat(beat) => self.send(ToNode::Beat { number: beat.number }).await,
                FromNode::Refused(refused) => said.refused.push(refused.reason),
                FromNode::Report(report) => said.take(report),
            }
        }
    }

    /// Hears the whole inventory.
    pub async fn inventory(&mut self) -> Said {
        let mut said = Said::default();
        self.hear(&mut said, |said| said.whole).await;
        said
    }
}

impl Said {
    fn take(&mut self, report: Report) {
        assert_eq!(report.number, self.last_report + 1);
        let short = |one: &AttemptRef| (one.task.job.0, one.task.ordinal.0);
        self.queued.extend(report.queued.iter().map(short));
        self.started.extend(report.started.iter().map(|started| short(&started.attempt)));
        self.never.extend(report.never.iter().map(short));
        self.ended.extend(report.ended.into_iter().map(|e| ((e.task.job.0, e.task.ordinal.0), e.end)));
        self.last_report = report.number;
        self.whole |= report.last_of_inventory;
    }
}

/// The supervisors of a node that have a job.
pub fn supervisors(node: &Path) -> Vec<i32> {
    supervisors_in(&node.join("spool/jobs"))
}

/// The supervisors of a node that were started ahead and have none.
pub fn supervisors_ahead(node: &Path) -> Vec<i32> {
    supervisors_in(&node.join("spool/ahead"))
}

/// Supervisors work in their folders.
fn supervisors_in(folder: &Path) -> Vec<i32> {
    let folder = folder.canonicalize().unwrap_or_default();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let works_in = std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
        line.contains("supervise") && works_in.starts_with(&folder)
    })
    .collect()
}

/// Waits until a condition holds.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

pub fn run(first: u32, last: u32) -> TaskRun {
    TaskRun { first: Ordinal(first), last: Ordinal(last), attempt: Attempt(1) }
}

fn body(work: &Path, script: ContentHash, environment: ContentHash) -> JobBody {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten().map_or("me".to_owned(), |user| user.name);
    JobBody {
        name: "test".to_owned(),
        user,
        uid: Uid(uid.as_raw()),
        partition: "main".to_owned(),
        account: String::new(),
        qos: String::new(),
        script,
        environment,
        arguments: vec![work.to_str().unwrap().to_owned()],
        work_dir: WorkDir::Path(work.to_str().unwrap().to_owned()),
        submit_dir: "/".to_owned(),
        submit_host: "login".to_owned(),
        umask: 0o022,
        files: Files {
            input: String::new(),
            output: Output::Pattern("out-%a".to_owned()),
            error: None,
            append: false,
        },
        resources: Resources { cpus: 1, memory_bytes: 0, tmp_bytes: 0 },
        tasks: None,
        tasks_per_node: None,
        cpus_per_task: None,
        memory_per_node_bytes: None,
        memory_per_cpu_bytes: None,
        limit: TimeLimit(None),
        grace: Seconds(1),
        warning: None,
        lost: LostPolicy::Fenced(None),
        indexes: Some(IndexSet::parse("0-99").unwrap()),
        lines: None,
        submit_time: WallTime(0),
    }
}
