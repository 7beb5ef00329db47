//! Starts a private cluster of real daemons for a test, and ends everything it started, also when the test panics.
//!
//! ```ignore
//! mod harness;
//! use harness::Cluster;
//!
//! let cluster = Cluster::start(2);
//! let id = cluster.run("jsubmit", ["--parsable", "--wrap", "true"]).ok();
//! cluster.kill9("jctld");
//! cluster.wait_until("the job to end", || cluster.run("jqueue", ["wait", &id]).code == 0);
//! ```
//!
//! A test waits for conditions, never for time. When it fails, the tails of all logs follow its message; with
//! `JSCHED_TEST_KEEP=1` the folder stays.
#![allow(dead_code, reason = "every test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a harness fails by panicking")]

pub mod daemons;
pub mod mount;
mod processes;
pub mod relay;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long a condition may take to come true, a cluster to be ready, or a command to end. Far beyond what they
/// need: it bounds a hanging test, it measures nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long `jctld dev` may take to end after SIGTERM, before everything is killed.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(10);

/// How much of each log a failing test shows, in lines.
const TAIL_LINES: usize = 25;

/// A running `jctld dev` with its node daemons, in a temporary folder.
pub struct Cluster {
    /// The folder of the cluster itself: state, certificates, logs, `pids`.
    pub dir: PathBuf,
    /// What `JSCHED_CONFIG` is for the commands.
    pub config: PathBuf,
    /// A folder for the jobs' own files; commands run in it.
    pub work: PathBuf,
    builder: Builder,
    dev: Option<Child>,
    root: TempDir,
}

/// How a cluster shall be.
#[derive(Clone)]
pub struct Builder {
    programs: Option<PathBuf>,
    nodes: usize,
    cpus: Option<u32>,
    settings: Vec<String>,
    variables: Vec<(String, PathBuf)>,
}

/// What a command did.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code, 128+n if signal n ended it.
    pub code: i32,
    /// All of standard output.
    pub stdout: String,
    /// All of standard error.
    pub stderr: String,
}

impl Builder {
    /// `--nodes`: so many node daemons.
    pub fn nodes(mut self, nodes: usize) -> Builder {
        self.nodes = nodes;
        self
    }

    /// `--cpus`: so many cpus on each node, whatever the machine has.
    pub fn cpus(mut self, cpus: u32) -> Builder {
        self.cpus = Some(cpus);
        self
    }

    /// `--set KEY=VALUE`, such as `node_timeout=3s`.
    pub fn set(mut self, setting: &str) -> Builder {
        self.settings.push(setting.to_owned());
        self
    }

    /// A variable in the environment of the daemons.
    pub fn variable(mut self, name: &str, value: &Path) -> Builder {
        self.variables.push((name.to_owned(), value.to_path_buf()));
        self
    }

    /// Takes the programs from this folder instead of the ones that were built with the test.
    pub fn programs(mut self, folder: &Path) -> Builder {
        self.programs = Some(folder.to_path_buf());
        self
    }

    /// Starts the cluster and returns when it takes jobs.
    pub fn start(self) -> Cluster {
        let root = tempfile::Builder::new().prefix("jsched-test-").tempdir().unwrap();
        let work = root.path().join("work");
        fs::create_dir(&work).unwrap();
        let dir = root.path().join("cluster");
        let mut cluster = Cluster { dir, config: PathBuf::new(), work, builder: self, dev: None, root };
        cluster.start_again();
        cluster
    }
}

impl Cluster {
    /// A cluster of so many nodes with the default settings.
    pub fn start(nodes: usize) -> Cluster {
        Cluster::builder().nodes(nodes).start()
    }

    /// A cluster with one node, to be changed and started.
    pub fn builder() -> Builder {
        Builder { programs: None, nodes: 1, cpus: None, settings: Vec::new(), variables: Vec::new() }
    }

    /// Starts the stopped cluster on the same state, and returns when it takes jobs.
    pub fn start_again(&mut self) {
        assert!(self.dev.is_none(), "the cluster is running");
        let said = self.root.path().join("dev.stdout");
        let mut command = self.command("jctld");
        command.arg("dev").arg("--dir").arg(&self.dir).arg("--nodes").arg(self.builder.nodes.to_string());
        if let Some(cpus) = self.builder.cpus {
            command.arg("--cpus").arg(cpus.to_string());
        }
        for setting in &self.builder.settings {
            command.arg("--set").arg(setting);
        }
        for (name, value) in &self.builder.variables {
            command.env(name, value);
        }
        let stderr =
            File::options().create(true).append(true).open(self.root.path().join("dev.stderr")).unwrap();
        command.stdin(Stdio::null()).stdout(File::create(&said).unwrap()).stderr(stderr);
        self.dev = Some(command.spawn().expect("cannot start `jctld dev`"));

        let mut config = None;
        poll("`jctld dev` to be ready", || {
            let ended = self.dev.as_mut().unwrap().try_wait().unwrap().map(code_of);
            config = fs::read_to_string(&said)
                .unwrap()
                .lines()
                .find_map(|line| line.strip_prefix("ready: export JSCHED_CONFIG=").map(PathBuf::from));
            assert!(
                config.is_some() || ended.is_none(),
                "`jctld dev` ended before it was ready, with {ended:?}"
            );
            config.is_some()
        });
        self.config = config.unwrap();
    }

    /// Stops all daemons as Ctrl-C would, and returns when `jctld dev` is gone. The state stays.
    pub fn stop(&mut self) -> ExitStatus {
        let mut dev = self.dev.take().expect("the cluster is not running");
        signal(&dev, Signal::SIGTERM);
        wait_for(&mut dev, STOP_PATIENCE).unwrap_or_else(|| {
            self.dev = Some(dev);
            panic!("`jctld dev` goes on {STOP_PATIENCE:?} after SIGTERM")
        })
    }

    /// Runs a command to its end, in the work folder. A hanging one is killed, and the test fails.
    pub fn run<I: AsRef<OsStr>>(&self, program: &str, args: impl IntoIterator<Item = I>) -> Output {
        self.run_with_input(program, args, "")
    }

    /// As `run`, with a text on standard input.
    pub fn run_with_input<I: AsRef<OsStr>>(
        &self,
        program: &str,
        args: impl IntoIterator<Item = I>,
        input: &str,
    ) -> Output {
        let mut command = self.command(program);
        command.args(args);
        finish(command, input)
    }

    /// A command ready to be changed and run: in the work folder, with this cluster's configuration, and without
    /// what the tester's own environment says about batch systems. Give it to `finish`, or spawn it.
    pub fn command(&self, program: &str) -> Command {
        let folder = self.builder.programs.clone().unwrap_or_else(built_programs);
        let mut command = Command::new(folder.join(program));
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["JSCHED_", "JSUBMIT_", "JQUEUE_", "SLURM", "SBATCH_"].iter().any(|own| text.starts_with(own))
            {
                command.env_remove(&name);
            }
        }
        // The folder in the environment is also the mark by which everything started here is found again.
        command.env("HOME", self.root.path());
        if !self.config.as_os_str().is_empty() {
            command.env("JSCHED_CONFIG", &self.config);
        }
        command.current_dir(&self.work);
        command
    }

    /// The process of a daemon (`jctld`, `n1`, `n2`, …) as `pids` has it now.
    pub fn pid(&self, name: &str) -> Option<Pid> {
        let pids = fs::read_to_string(self.dir.join("pids")).ok()?;
        let line = pids.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.trim().parse().ok().map(Pid::from_raw)
    }

    /// Kills a daemon with signal 9 and returns when that process is gone. `jctld dev` starts it again by itself:
    /// wait for what the test needs, or for `pid` to give another process.
    pub fn kill9(&self, name: &str) -> Pid {
        let pid = self.pid(name).unwrap_or_else(|| panic!("no {name} in {}/pids", self.dir.display()));
        kill(pid, Signal::SIGKILL)
            .unwrap_or_else(|error| panic!("cannot kill {name}, process {pid}: {error}"));
        poll("a killed daemon to be gone", || !processes::is_alive(pid));
        pid
    }

    /// Looks again and again until the condition holds; fails the test with `what` when it takes too long.
    pub fn wait_until(&self, what: &str, condition: impl FnMut() -> bool) {
        poll(what, condition);
    }

    /// The processes that belong to this cluster now: daemons, supervisors, jobs, commands; a line each.
    pub fn processes(&self) -> Vec<String> {
        processes::of(self.root.path()).iter().map(ToString::to_string).collect()
    }

    /// The ends of all logs, for a failing test.
    pub fn tails(&self) -> String {
        let mut files = vec![self.root.path().join("dev.stdout"), self.root.path().join("dev.stderr")];
        files.extend(logs(&self.dir));
        let mut text = String::new();
        for file in files {
            let bytes = fs::read(&file).unwrap_or_default();
            // The spool and the journal call their files logs, too, and nobody can read those.
            if bytes.contains(&0) {
                continue;
            }
            let content = String::from_utf8_lossy(&bytes).into_owned();
            let lines: Vec<&str> = content.lines().collect();
            let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            if !shown.is_empty() {
                text += &format!("--- the end of {}\n{}\n", file.display(), shown.join("\n"));
            }
        }
        text
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            // Taken before the processes go, so that the logs end where the test did.
            eprintln!("{}--- processes\n{}", self.tails(), self.processes().join("\n"));
        }
        if let Some(mut dev) = self.dev.take() {
            signal(&dev, Signal::SIGTERM);
            if wait_for(&mut dev, STOP_PATIENCE).is_none() {
                let _ = dev.kill();
                let _ = dev.wait();
            }
        }
        let left = processes::end_all(self.root.path(), STOP_PATIENCE);
        if std::env::var_os("JSCHED_TEST_KEEP").is_some() {
            self.root.disable_cleanup(true);
            eprintln!("kept: {}", self.root.path().display());
        }
        // A second panic while the first unwinds would abort the whole test run.
        if !left.is_empty() && !thread::panicking() {
            panic!("processes that cannot be ended: {left:?}");
        }
    }
}

impl Output {
    /// Standard output without white space around it; fails the test unless the command ended with 0.
    #[track_caller]
    pub fn ok(&self) -> String {
        self.expect(0)
    }

    /// Standard output without white space around it; fails the test unless the command ended with this code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> String {
        assert_eq!(self.code, code, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self.stdout.trim().to_owned()
    }

    /// Standard output as JSON, whatever the exit code.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

/// Runs a command to its end with a text on standard input, and collects what it says.
pub fn finish(mut command: Command, input: &str) -> Output {
    let what = format!("{command:?} to end");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let (mut stdin, input) = (child.stdin.take().unwrap(), input.to_owned());
    // A command may end without having read its input: that is no failure here.
    let writer = thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let stdout = collect(child.stdout.take().unwrap());
    let stderr = collect(child.stderr.take().unwrap());
    let Some(status) = wait_for(&mut child, PATIENCE) else {
        let _ = child.kill();
        let _ = child.wait();
        panic!("waited {PATIENCE:?} for {what}");
    };
    writer.join().unwrap();
    Output { code: code_of(status), stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
}

/// Ends all processes that belong to a folder; says how many would not go.
pub fn end_all(folder: &Path) -> usize {
    processes::end_all(folder, STOP_PATIENCE).len()
}

/// Looks again and again until the condition holds; panics with `what` after `PATIENCE`.
#[track_caller]
pub fn poll(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        thread::sleep(POLL);
    }
}

fn collect(mut stream: impl std::io::Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn wait_for(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(POLL);
    }
}

fn signal(child: &Child, signal: Signal) {
    // The process may have ended by itself: then there is nobody to tell.
    let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
}

fn code_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// All `*.log` files below a folder, in order.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|extension| extension == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Where cargo put the programs of this package for its integration tests.
fn built_programs() -> PathBuf {
    let Some(jctld) = option_env!("CARGO_BIN_EXE_jctld") else { panic!("this package builds no jctld") };
    Path::new(jctld).parent().unwrap().to_path_buf()
}
