//! A private cluster for a task: `jctld dev` in a temporary folder, and its orderly end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::{interrupt, program};

/// How long the cluster may take until jobs can be submitted.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(20);

/// How often a wait looks.
const POLL: Duration = Duration::from_millis(20);

/// How much of each log a failure shows, in lines.
const TAIL_LINES: usize = 20;

/// What `jctld dev` prints when jobs can be submitted, before the path of the configuration.
const READY: &str = "ready: export JSCHED_CONFIG=";

/// A running private cluster. When it is dropped everything is stopped and removed.
pub struct Dev {
    /// Everything lies here: `cluster/`, and the task's own files beside it.
    root: TempDir,
    programs: PathBuf,
    /// What `JSCHED_CONFIG` is for the commands.
    pub config: PathBuf,
    process: Option<Child>,
}

impl Dev {
    /// Starts `jctld dev` with the programs of a folder and further arguments, and waits until it is ready.
    pub fn start(programs: &Path, prefix: &str, arguments: &[&str]) -> Result<Dev, Failure> {
        let root = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir()
            .map_err(Failure::file(&std::env::temp_dir()))?;
        let programs = programs.to_path_buf();
        let mut dev = Dev { root, programs, config: PathBuf::new(), process: None };
        let mut command = dev.command("jctld");
        command.arg("dev").arg("--dir").arg(dev.dir()).args(arguments);
        // In a group of its own, so that Ctrl-C reaches the task alone, which then stops the cluster in order.
        command.process_group(0);
        command.stdin(Stdio::null()).stdout(dev.log("dev.stdout")?).stderr(dev.log("dev.stderr")?);
        let line = program::line(&command);
        let process = command.spawn().map_err(|source| Failure::Start { command: line.clone(), source })?;
        dev.process = Some(process);
        dev.wait_until_ready(&line).map_err(|failure| dev.with_tails(failure))?;
        Ok(dev)
    }

    /// Another cluster with the same programs.
    pub fn another(&self, prefix: &str, arguments: &[&str]) -> Result<Dev, Failure> {
        Dev::start(&self.programs, prefix, arguments)
    }

    /// A folder for the task's own files, beside the cluster's.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// One of the commands, configured for this cluster.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        for (variable, _) in std::env::vars_os() {
            let text = variable.to_string_lossy();
            if ["JSCHED_", "JSUBMIT_", "JQUEUE_", "SLURM", "SBATCH_"].iter().any(|own| text.starts_with(own))
            {
                command.env_remove(&variable);
            }
        }
        if !self.config.as_os_str().is_empty() {
            command.env("JSCHED_CONFIG", &self.config);
        }
        command.current_dir(self.root());
        command
    }

    /// Runs one of the commands in a folder; fails unless it ends with 0.
    pub fn run(&self, folder: &Path, words: &[&str]) -> Result<program::Finished, Failure> {
        let (name, arguments) = words.split_first().unwrap_or((&"", &[]));
        let mut command = self.command(name);
        command.args(arguments).current_dir(folder);
        program::collect(command)?.expect(0)
    }

    /// The daemons and their processes, as `pids` has them now.
    pub fn pids(&self) -> Vec<(String, i32)> {
        let text = fs::read_to_string(self.dir().join("pids")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.filter_map(|(name, pid)| Some((name.to_owned(), pid.trim().parse().ok()?))).collect()
    }

    /// Adds the ends of all logs to a failure.
    pub fn with_tails(&self, failure: Failure) -> Failure {
        if matches!(failure, Failure::Interrupted) {
            return failure;
        }
        let mut files = vec![self.root().join("dev.stdout"), self.root().join("dev.stderr")];
        files.extend(files_below(&self.dir(), "log"));
        Failure::Wrong(format!("{failure}{}", tails(&files)))
    }

    /// Stops all daemons as Ctrl-C would, makes sure that none is left, and removes the folder.
    pub fn stop(mut self) -> Result<(), Failure> {
        self.end()
    }

    /// Leaves the cluster running and its folder where it is; returns the process to send SIGTERM to.
    pub fn keep(mut self) -> (PathBuf, u32) {
        self.root.disable_cleanup(true);
        let pid = self.process.take().map_or(0, |process| process.id());
        (self.root.path().to_path_buf(), pid)
    }

    fn dir(&self) -> PathBuf {
        self.root().join("cluster")
    }

    fn log(&self, name: &str) -> Result<File, Failure> {
        let path = self.root().join(name);
        File::create(&path).map_err(Failure::file(&path))
    }

    fn wait_until_ready(&mut self, line: &str) -> Result<(), Failure> {
        let said = self.root().join("dev.stdout");
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            let ended = self.process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            let text = fs::read_to_string(&said).map_err(Failure::file(&said))?;
            // A line counts when it is whole.
            let ready =
                text.split_inclusive('\n').find_map(|line| line.strip_prefix(READY)?.strip_suffix('\n'));
            if let Some(config) = ready {
                self.config = PathBuf::from(config);
                return Ok(());
            }
            if let Some(status) = ended {
                let code = program::code(status);
                return Err(Failure::Ended {
                    command: line.to_owned(),
                    code,
                    said: " before it was ready".to_owned(),
                });
            }
            if Instant::now() > deadline {
                return Err(Failure::Wrong(format!("`{line}` was not ready after {READY_PATIENCE:?}")));
            }
            interrupt::check()?;
            thread::sleep(POLL);
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let daemons = self.pids();
        // It may have ended by itself: that shows below.
        let _ = kill(Pid::from_raw(process.id().cast_signed()), Signal::SIGTERM);
        let deadline = Instant::now() + STOP_PATIENCE;
        while !matches!(process.try_wait(), Ok(Some(_)) | Err(_)) {
            if Instant::now() > deadline {
                let _ = process.kill();
                let _ = process.wait();
                end_daemons(&daemons);
                return Err(Failure::Wrong(format!(
                    "`jctld dev` went on {STOP_PATIENCE:?} after SIGTERM, and was killed"
                )));
            }
            thread::sleep(POLL);
        }
        let left: Vec<String> = daemons
            .iter()
            .filter(|(_, pid)| is_alive(*pid))
            .map(|(name, pid)| format!("{name} (process {pid})"))
            .collect();
        end_daemons(&daemons);
        if left.is_empty() {
            return Ok(());
        }
        Err(Failure::Wrong(format!("`jctld dev` ended and left behind {}, killed now", left.join(", "))))
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        if let Err(failure) = self.end() {
            eprintln!("{failure}");
        }
    }
}

/// The ends of the files that hold anything, each under its name.
pub fn tails(files: &[PathBuf]) -> String {
    let mut text = String::new();
    for file in files {
        let content = String::from_utf8_lossy(&fs::read(file).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = content.lines().collect();
        let shown = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        if !shown.is_empty() {
            text += &format!("\n--- the end of {}\n{}", file.display(), shown.join("\n"));
        }
    }
    text
}

/// All files below a folder that end so, in order.
pub fn files_below(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return found };
    for entry in entries.flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files_below(&path, extension));
        } else if path.extension().is_some_and(|own| own == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn end_daemons(daemons: &[(String, i32)]) {
    for (_, pid) in daemons.iter().filter(|(_, pid)| is_alive(*pid)) {
        let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
    }
}

/// The process is there and no zombie.
fn is_alive(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}
