//! `jctld dev`: a whole private cluster below one folder: CA, controller and node daemons as separate processes, made
//! by the same steps as on separate machines, kept alive until this process is told to stop.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use thiserror::Error;
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::config::{Config, ConfigError, Span};
use super::init::{Admin, InitError, init, whoami};
use crate::model::ids::Uid;
use crate::model::parse::span::span;
use crate::model::time::Seconds;
use crate::worker::tree;

/// A daemon that died is started again after this.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How long the cluster may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// How long daemons may take to stop before they are killed.
const STOP_PATIENCE: Duration = Duration::from_secs(10);
/// The node timeout of `dev`.
const NODE_TIMEOUT: Seconds = Seconds(15);
/// The most nodes of `dev`.
pub const NODES_MAX: u32 = 64;

/// What `dev` was asked for.
#[derive(Clone, Debug)]
pub struct Dev {
    /// The folder.
    pub dir: PathBuf,
    /// Node daemons.
    pub nodes: u32,
    /// Cpus of each; `None`: what the machine has.
    pub cpus: Option<u32>,
    /// `KEY=VALUE` for `jctld.toml`.
    pub overrides: Vec<String>,
}

/// Why the cluster is not up.
#[derive(Debug, Error)]
pub enum DevError {
    /// It could not be made.
    #[error(transparent)]
    Init(#[from] InitError),
    /// Its settings.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An override that is none.
    #[error("--set {0}: {1}")]
    Override(String, String),
    /// The operating system.
    #[error("{0}: {1}")]
    System(String, std::io::Error),
    /// Something did not work in time, or at all.
    #[error("{0}")]
    Failed(String),
}

/// Something that happened to a daemon.
enum Event {
    Died(String),
}

/// The cluster's processes.
struct Fleet {
    dir: PathBuf,
    programs: PathBuf,
    pids: Vec<(String, u32)>,
    events: mpsc::UnboundedSender<Event>,
}

/// Runs the cluster until SIGTERM or SIGINT.
///
/// # Errors
/// What did not come up; everything that did is stopped again.
pub async fn dev(dev: &Dev) -> Result<(), DevError> {
    if dev.nodes > NODES_MAX {
        return Err(DevError::Failed(format!("--nodes {} is more than {NODES_MAX}", dev.nodes)));
    }
    fs::create_dir_all(dev.dir.join("logs")).map_err(at(&dev.dir))?;
    let dir = fs::canonicalize(&dev.dir).map_err(at(&dev.dir))?;
    let settings = dir.join("controller/jctld.toml");
    if !settings.exists() {
        make(&dir, &settings, dev)?;
    }
    let programs = std::env::current_exe().map_err(at(Path::new("jctld")))?;
    let programs = programs.parent().map(Path::to_owned).unwrap_or_default();
    let (events, mut happened) = mpsc::unbounded_channel();
    let mut fleet = Fleet { dir: dir.clone(), programs, pids: Vec::new(), events };
    let mut terminate = signal(SignalKind::terminate()).map_err(at(&dir))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(at(&dir))?;
    let up = tokio::select! {
        up = bring_up(&mut fleet, dev) => up,
        _ = terminate.recv() => Err(DevError::Failed("stopped while starting".to_owned())),
        _ = interrupt.recv() => Err(DevError::Failed("stopped while starting".to_owned())),
    };
    if let Err(error) = up {
        fleet.stop().await;
        return Err(error);
    }
    println!("ready: export JSCHED_CONFIG={}", dir.join("client.toml").display());
    loop {
        tokio::select! {
            event = happened.recv() => {
                let Some(Event::Died(name)) = event else { continue };
                tracing::warn!(name, "a daemon died; it is started again");
                tokio::time::sleep(RESTART_PAUSE).await;
                fleet.start(&name)?;
            }
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
        }
    }
    fleet.stop().await;
    Ok(())
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> DevError {
    let path = path.display().to_string();
    move |error| DevError::System(path, error)
}

/// Makes CA, controller and the first admin, who is whoever runs this.
fn make(dir: &Path, settings: &Path, dev: &Dev) -> Result<(), DevError> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(at(dir))?;
    let address: SocketAddr = socket.local_addr().map_err(at(dir))?;
    drop(socket);
    let (name, uid) = whoami();
    let mut config = Config {
        listen: address,
        node_timeout: Span(NODE_TIMEOUT),
        lease: Span(NODE_TIMEOUT),
        allow_root: uid == Uid(0),
        ..Config::new(vec![address.to_string()])
    };
    for word in &dev.overrides {
        override_one(&mut config, word)?;
    }
    let client = dir.join("client/client.toml");
    init(settings, &config, "dev", &Admin { name, uid }, &client)?;
    let text = format!(
        "controllers = [\"{address}\"]\ncertificate = \"client/cert.pem\"\nkey = \"client/key.pem\"\nca = \
         \"client/ca.pem\"\n"
    );
    fs::write(dir.join("client.toml"), text).map_err(at(dir))
}

fn override_one(config: &mut Config, word: &str) -> Result<(), DevError> {
    let bad = |why: &str| DevError::Override(word.to_owned(), why.to_owned());
    let (key, value) = word.split_once('=').ok_or_else(|| bad("write KEY=VALUE"))?;
    let time = || span(value).map(Span).map_err(|error| bad(&error.to_string()));
    match key {
        "node_timeout" => {
            // The lease is the node timeout here, unless it is set by itself.
            let follows = config.lease == config.node_timeout;
            config.node_timeout = time()?;
            if follows {
                config.lease = config.node_timeout;
            }
        }
        "lease" => config.lease = time()?,
        "kill_grace" => config.kill_grace = time()?,
        "export_bytes" => config.export_bytes = value.parse().map_err(|_| bad("it takes bytes"))?,
        "user_certificates" => config.user_certificates = time()?,
        "node_certificates" => config.node_certificates = time()?,
        "controller_certificates" => config.controller_certificates = time()?,
        "jobs_per_user_max" => {
            config.jobs_per_user_max = value.parse().map_err(|_| bad("it takes a number"))?;
        }
        "submit_from_jobs" => {
            config.submit_from_jobs = value.parse().map_err(|_| bad("it takes true or false"))?;
        }
        "mirror" => config.mirror = Some(value.into()),
        "mirror_required" => {
            config.mirror_required = value.parse().map_err(|_| bad("it takes true or false"))?;
        }
        "fence" => config.fence = Some(value.into()),
        "listen" => config.listen = value.parse().map_err(|_| bad("it takes ADDRESS:PORT"))?,
        _ => {
            return Err(bad(
                "known keys: node_timeout, lease, kill_grace, jobs_per_user_max, export_bytes, submit_from_jobs, fence, mirror, \
                 mirror_required, listen, \
                 user_certificates, node_certificates, controller_certificates",
            ));
        }
    }
    config.check_lives().map_err(|why| bad(&why))
}

/// Starts the controller, lets nodes that are new join, and starts them.
async fn bring_up(fleet: &mut Fleet, dev: &Dev) -> Result<(), DevError> {
    fleet.start("jctld")?;
    fleet.wait_for("the controller", &["jqueue", "whoami"], |_| true).await?;
    for number in 1..=dev.nodes {
        let name = format!("n{number}");
        let folder = fleet.dir.join(&name);
        if !folder.join("cert.pem").exists() {
            let token = fleet.client(&["jnode", "add", &name, "--replace"]).await?;
            let token = token.split_whitespace().find(|word| word.starts_with("jsched1-"));
            let token = token.ok_or_else(|| DevError::Failed("`jnode add` printed no token".to_owned()))?;
            fs::create_dir_all(&folder).map_err(at(&folder))?;
            let folder_word = folder.display().to_string();
            fleet.client(&["jworkerd", "--dir", &folder_word, "join", token]).await?;
            adjust_node(&folder, dev)?;
        }
        fleet.start(&name)?;
    }
    let count = dev.nodes as usize;
    let ready = move |text: &str| {
        let nodes = text.lines().filter(|line| {
            ["idle", "mixed", "full"].iter().any(|state| line.split_whitespace().nth(1) == Some(state))
        });
        nodes.count() >= count
    };
    fleet.wait_for("the nodes", &["jnode", "--no-header"], ready).await
}

/// What the node daemons of `dev` do that those of a real cluster do not.
fn adjust_node(folder: &Path, dev: &Dev) -> Result<(), DevError> {
    use std::io::Write;
    let path = folder.join("jworkerd.toml");
    let mut file = fs::OpenOptions::new().append(true).open(&path).map_err(at(&path))?;
    // As without root: several clusters on one machine must not share control groups.
    let mut text = "control_groups = false\n".to_owned();
    if nix::unistd::getuid().is_root() {
        text.push_str("allow_root_jobs = true\n");
    }
    if let Some(cpus) = dev.cpus {
        text.push_str(&format!("cpus = {cpus}\n"));
    }
    file.write_all(text.as_bytes()).map_err(at(&path))
}

impl Fleet {
    /// Starts a daemon; its death is an event.
    fn start(&mut self, name: &str) -> Result<(), DevError> {
        let (program, arguments): (&str, Vec<String>) = if name == "jctld" {
            let settings = self.dir.join("controller/jctld.toml").display().to_string();
            ("jctld", vec!["--settings".to_owned(), settings, "run".to_owned()])
        } else {
            let folder = self.dir.join(name).display().to_string();
            ("jworkerd", vec!["--dir".to_owned(), folder, "run".to_owned()])
        };
        let path = self.dir.join("logs").join(format!("{name}.log"));
        let log = fs::OpenOptions::new().create(true).append(true).open(&path).map_err(at(&path))?;
        let program = self.programs.join(program);
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
        let mut child: Child = command.spawn().map_err(at(&program))?;
        let pid = child.id().unwrap_or(0);
        self.pids.retain(|(other, _)| other != name);
        self.pids.push((name.to_owned(), pid));
        self.write_pids()?;
        let (events, name) = (self.events.clone(), name.to_owned());
        tokio::spawn(async move {
            let _ = child.wait().await;
            let _ = events.send(Event::Died(name));
        });
        Ok(())
    }

    fn write_pids(&self) -> Result<(), DevError> {
        let lines: Vec<String> = self.pids.iter().map(|(name, pid)| format!("{name} {pid}\n")).collect();
        let (path, temporary) = (self.dir.join("pids"), self.dir.join("pids.new"));
        fs::write(&temporary, lines.concat()).map_err(at(&temporary))?;
        fs::rename(&temporary, &path).map_err(at(&path))
    }

    /// Runs a command of ours to its end and gives its stdout.
    async fn client(&self, words: &[&str]) -> Result<String, DevError> {
        let Some((program, arguments)) = words.split_first() else { return Ok(String::new()) };
        let path = self.programs.join(program);
        let output = Command::new(&path)
            .args(arguments)
            .env("JSCHED_CONFIG", self.dir.join("client.toml"))
            .stdin(Stdio::null())
            .output()
            .await
            .map_err(at(&path))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(DevError::Failed(format!(
                "`{program} {}` failed: {said}",
                words.get(1).unwrap_or(&"")
            )));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    async fn wait_for(
        &self,
        what: &str,
        words: &[&str],
        ready: impl Fn(&str) -> bool,
    ) -> Result<(), DevError> {
        let begun = tokio::time::Instant::now();
        loop {
            let last = match self.client(words).await {
                Ok(text) if ready(&text) => return Ok(()),
                Ok(text) => text,
                Err(error) => error.to_string(),
            };
            if begun.elapsed() > READY_PATIENCE {
                let logs = self.dir.join("logs");
                return Err(DevError::Failed(format!(
                    "{what} did not come up: {}; see {}",
                    last.trim(),
                    logs.display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    /// Stops everything: the nodes first, with what runs there, then the controller.
    async fn stop(&mut self) {
        let pids = std::mem::take(&mut self.pids);
        for (name, pid) in pids.iter().rev() {
            stop_process(*pid).await;
            if name != "jctld" {
                end_supervisors(&self.dir.join(name));
            }
        }
        let _ = fs::remove_file(self.dir.join("pids"));
    }
}

async fn stop_process(pid: u32) {
    use nix::sys::signal::{Signal, kill};
    let Ok(raw) = i32::try_from(pid) else { return };
    let process = nix::unistd::Pid::from_raw(raw);
    if raw <= 0 || kill(process, Signal::SIGTERM).is_err() {
        return;
    }
    let begun = tokio::time::Instant::now();
    while kill(process, None).is_ok() {
        if begun.elapsed() > STOP_PATIENCE {
            let _ = kill(process, Signal::SIGKILL);
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Supervisors outlive their node daemon on purpose; here the whole cluster ends, and what runs in it.
fn end_supervisors(folder: &Path) {
    use nix::sys::signal::{Signal, kill};
    // Twice: what forked between the look and the signal is seen by the second look.
    for _ in 0..2 {
        let table = tree::table();
        let supervisors: Vec<i32> = table.keys().copied().filter(|pid| is_supervisor(*pid, folder)).collect();
        for pid in tree::with_descendants(&table, supervisors) {
            let _ = kill(nix::unistd::Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

fn is_supervisor(pid: i32, folder: &Path) -> bool {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = words.split(|byte| *byte == 0).skip(1);
    let below = folder.as_os_str().as_encoded_bytes();
    words.next() == Some(b"supervise".as_slice()) && words.any(|word| word.starts_with(below))
}
