//! A job made ready: script written, environment built, private folders; and the start of each of its tasks.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};

use super::command;
use super::environment::{self, PID_VARIABLE};
use super::folders::Folders;
use super::gate::{GATE_FILE, Gate};
use crate::model::pattern::{self, Facts};
use crate::model::spec::{ENVIRONMENT_BYTES_MAX, Output, SCRIPT_BYTES_MAX, WorkDir};
use crate::model::state::State;
use crate::model::time::WallTime;
use crate::wire::inside::SOCKET_VARIABLE;
use crate::wire::supervisor::{GROUPS_MAX, Job, SLOTS_MAX, TaskRun};
use crate::worker::launch::{
    Child, Direct, Groups, How, Launch, LaunchError, Launcher, Step, Stream, Strings, Switch,
};
use crate::worker::private::PREFIX;
use crate::worker::tree::MARK_VARIABLE;

/// The name of the script in the supervisor's folder.
pub const SCRIPT_FILE: &str = "script";

/// Why a job can't be made ready here.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The message makes no sense.
    #[error("the job was refused by its supervisor: {0}")]
    Refused(&'static str),
    /// Something of ours could not be written.
    #[error("{path}: {error}; the node's disk must have room, and its folders must belong to the daemon")]
    Io {
        /// What.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A task that could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotStarted {
    /// Failed if the job's own paths are wrong, NodeFail if the node is.
    pub state: State,
    /// The node, the path, what the system said, and the ways out.
    pub text: String,
    /// Whether its files had been opened.
    pub had_files: bool,
}

/// The files of a task, absolute; empty for nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFiles {
    /// Standard output.
    pub output: String,
    /// Standard error; the same text as `output` if they go together.
    pub error: String,
    /// Whether output was truncated.
    pub truncated: bool,
    /// The private folder for temporary files.
    pub tmp: String,
    /// The private working directory, if the job has one.
    pub private: Option<String>,
}

/// A job, ready to run tasks.
#[derive(Debug)]
pub struct Prepared {
    /// The job, without script, environment and arguments.
    pub job: Job,
    /// The user to become.
    pub switch: Option<Switch>,
    /// By which its own commands ask the controller.
    pub gate: Gate,
    supervisor: String,
    script: String,
    direct: Option<Direct>,
    /// The private folders of its attempts.
    pub folders: Folders,
    arguments: Strings,
    environment: Strings,
    reset_oom_score: bool,
}

/// What could not be prepared, and why.
#[derive(Debug)]
pub struct NotPrepared {
    /// Why.
    pub error: PrepareError,
    /// The job.
    pub job: Box<Job>,
}

/// What all tasks of a job need.
struct Laid {
    switch: Option<Switch>,
    gate: Gate,
    script: String,
    direct: Option<Direct>,
    folders: Folders,
    arguments: Strings,
    environment: Strings,
}

impl Laid {
    fn out(job: &Job, folder: &Path, supervisor: &str) -> Result<Laid, PrepareError> {
        check(job)?;
        let script = folder.join(SCRIPT_FILE);
        write_script(&script, job).map_err(|error| PrepareError::Io { path: script.clone(), error })?;
        let script = script.to_str().ok_or(PrepareError::Refused("its folder's path is no text"))?.to_owned();
        let mut arguments = Strings::new();
        arguments.push(script.as_bytes());
        job.arguments.iter().for_each(|argument| arguments.push(argument.as_bytes()));
        let mut environment = Strings::new();
        environment::sent(&job.environment).for_each(|entry| environment.push(entry));
        for (name, value) in environment::of_job(job) {
            environment.push_pair(name, &value);
        }
        let direct = command::direct(&job.script, &job.arguments, &environment);
        let user = &job.user;
        let groups = user.groups.clone();
        let switch = user.switch.then_some(Switch { uid: user.uid.0, gid: user.gid, groups });
        let base = private_folder(&job.tmp_base, supervisor);
        let folders = Folders::create(base.clone(), switch.as_ref())
            .map_err(|error| PrepareError::Io { path: base.clone(), error })?;
        let gate =
            Gate::listen(&base, switch.as_ref()).map_err(|error| PrepareError::Io { path: base, error })?;
        environment.push_pair(SOCKET_VARIABLE, &gate.path().to_string_lossy());
        Ok(Laid { switch, gate, script, direct, folders, arguments, environment })
    }
}

impl Prepared {
    /// Checks the job and writes what all its tasks need.
    ///
    /// # Errors
    /// Why that is not to be had, with the job: nothing is left of the attempt, and it can be made again.
    pub fn new(
        mut job: Job,
        folder: &Path,
        supervisor: &str,
        reset_oom_score: bool,
    ) -> Result<Prepared, NotPrepared> {
        let laid = match Laid::out(&job, folder, supervisor) {
            Ok(laid) => laid,
            Err(error) => {
                let base = private_folder(&job.tmp_base, supervisor);
                let _ = std::fs::remove_file(base.join(GATE_FILE));
                let _ = std::fs::remove_dir(&base);
                let _ = std::fs::remove_file(folder.join(SCRIPT_FILE));
                return Err(NotPrepared { error, job: Box::new(job) });
            }
        };
        let Laid { switch, gate, script, direct, folders, arguments, environment } = laid;
        // What is large is kept in one form only.
        (job.script, job.environment, job.arguments) = (Vec::new(), Vec::new(), Vec::new());
        let supervisor = supervisor.to_owned();
        Ok(Prepared {
            job,
            switch,
            gate,
            supervisor,
            script,
            direct,
            folders,
            arguments,
            environment,
            reset_oom_score,
        })
    }

    /// Starts a task.
    pub fn start(
        &mut self,
        launcher: &mut Launcher,
        run: &TaskRun,
        groups: &Groups<'_>,
        now: WallTime,
    ) -> Result<(Child, TaskFiles), NotStarted> {
        let made = self.take_folders();
        let (tmp, private) = made.map_err(|(path, error)| self.broken(&format!("{path}: {error}")))?;
        let started = self.launch(launcher, run, groups, now, &tmp, private.as_deref());
        let (child, mut files) = match started {
            Ok(started) => started,
            Err(failure) => {
                // Nothing has run in them.
                [Some(tmp), private].into_iter().flatten().for_each(|folder| {
                    self.folders.give_back(folder);
                });
                return Err(failure);
            }
        };
        (files.tmp, files.private) = (tmp, private);
        Ok((child, files))
    }

    /// The end of a task that could not be started for a reason that lies with the node.
    pub fn broken(&self, text: &str) -> NotStarted {
        let text = format!("{}: {text}", self.job.node_name);
        NotStarted { state: State::NodeFail, text, had_files: false }
    }

    /// The files that a task without a private working directory has.
    pub fn files_of(&self, run: &TaskRun) -> Option<TaskFiles> {
        let WorkDir::Path(work_dir) = &self.job.work_dir else { return None };
        self.streams(run, work_dir).ok().map(|(_, files)| files)
    }

    /// Removes what `new` made, as far as it is empty.
    pub fn remove_folders(&mut self) {
        self.gate.remove();
        self.folders.remove();
    }

    fn launch(
        &self,
        launcher: &mut Launcher,
        run: &TaskRun,
        groups: &Groups<'_>,
        now: WallTime,
        tmp: &str,
        private: Option<&str>,
    ) -> Result<(Child, TaskFiles), NotStarted> {
        let work_dir = match (&self.job.work_dir, private) {
            (WorkDir::Path(path), _) => path,
            (WorkDir::Private, folder) => folder.unwrap_or(tmp),
        };
        let too_long = |error: pattern::TooLong| NotStarted {
            state: State::Failed,
            text: format!("{}: {error}", self.job.node_name),
            had_files: false,
        };
        let (streams, files) = self.streams(run, work_dir).map_err(too_long)?;
        let mut own = Strings::new();
        for (name, value) in environment::of_task(&self.job, run, now) {
            own.push_pair(name, &value);
        }
        own.push_pair("TMPDIR", tmp);
        own.push_pair("PWD", work_dir);
        let (ordinal, attempt) = (run.task.ordinal, run.task.attempt);
        own.push_pair(MARK_VARIABLE, &format!("{}.{ordinal}.{attempt}", self.supervisor));
        let launched = launcher.spawn(&Launch {
            direct: self.direct.as_ref(),
            program: &self.script,
            arguments: &[&self.arguments],
            environment: &[&self.environment, &own],
            pid_variable: Some(PID_VARIABLE),
            switch: self.switch.as_ref(),
            root_allowed: self.job.root_allowed,
            umask: self.job.umask,
            work_dir,
            input: &streams[0],
            output: &streams[1],
            error: &streams[2],
            groups,
            reset_oom_score: self.reset_oom_score,
            limits: &[],
        });
        launched.map(|child| (child, files)).map_err(|error| self.not_started(&error))
    }

    fn streams(&self, run: &TaskRun, work_dir: &str) -> Result<([Stream; 3], TaskFiles), pattern::TooLong> {
        let job = &self.job;
        let facts = Facts {
            number: run.number,
            job: job.job,
            index: run.index,
            name: &job.name,
            user: &job.user.name,
            node: &job.node_name,
        };
        let first = run.restarts == 0 && !job.files.append;
        let truncates = |pattern: &str| first && (job.array.is_none() || pattern::tells_tasks_apart(pattern));
        let open = |output: &Output| match output {
            Output::Nothing => Ok((Stream::Null, String::new(), false)),
            Output::Pattern(pattern) => {
                let path = pattern::fill(pattern, work_dir, &facts)?;
                let truncate = truncates(pattern) && path != "/dev/null";
                let how = if truncate { How::Truncate } else { How::Append };
                Ok((Stream::File(path.clone(), how), path, truncate))
            }
        };
        let input = match job.files.input.as_str() {
            "" => Stream::Null,
            pattern => Stream::File(pattern::fill(pattern, work_dir, &facts)?, How::Read),
        };
        let (output, output_path, truncated) = open(&job.files.output)?;
        let (error, error_path) = match &job.files.error {
            None => (Stream::SameAsOutput, output_path.clone()),
            Some(error) => {
                let (stream, path, _) = open(error)?;
                if path == output_path { (Stream::SameAsOutput, path) } else { (stream, path) }
            }
        };
        let files = TaskFiles {
            output: output_path,
            error: error_path,
            truncated,
            tmp: String::new(),
            private: None,
        };
        Ok(([input, output, error], files))
    }

    fn not_started(&self, error: &LaunchError) -> NotStarted {
        let LaunchError::Step { step, .. } = error else {
            let own = matches!(error, LaunchError::Root | LaunchError::Nul(_));
            let failure = self.broken(&error.to_string());
            return if own { NotStarted { state: State::Failed, ..failure } } else { failure };
        };
        let way_out = match step {
            Step::WorkDir => "use a directory that every node has (--chdir), or a private one (--chdir=job)",
            Step::Input => "point --input at a file that this node has",
            Step::Output | Step::Error => {
                "point --output and --error at a directory that this node has and the user may write, or use \
                 --output=none"
            }
            Step::Exec => "the first line of the script must name a program that this node has",
            _ => return self.broken(&error.to_string()),
        };
        let text = format!("{}: {error}; {way_out}", self.job.node_name);
        NotStarted { state: State::Failed, text, had_files: *step == Step::Exec }
    }

    /// The private folders of an attempt. A working directory is always a new one: its path is part of the output's.
    fn take_folders(&mut self) -> Result<(String, Option<String>), (String, io::Error)> {
        let tmp = self.folders.take()?;
        match self.job.work_dir {
            WorkDir::Path(_) => Ok((tmp, None)),
            WorkDir::Private => Ok((tmp, Some(self.folders.make_work()?))),
        }
    }
}

/// The folder around the private folders of a supervisor's attempts.
pub fn private_folder(tmp_base: &str, supervisor: &str) -> PathBuf {
    Path::new(tmp_base).join(format!("{PREFIX}{supervisor}"))
}

fn check(job: &Job) -> Result<(), PrepareError> {
    let own = nix::unistd::geteuid();
    let wrong = [
        (!job.user.switch && job.user.uid.0 != own.as_raw(), "it is for another user than the daemon's own"),
        (job.user.switch && !own.is_root(), "only a daemon that runs as root can switch to a user"),
        (job.user.uid.0 == 0 && !job.root_allowed, "jobs do not run as uid 0 here"),
        (job.user.groups.len() > GROUPS_MAX, "its user is in too many groups"),
        (job.slots > SLOTS_MAX, "it has too many slots"),
        (job.umask > 0o777, "its umask is none"),
        (job.script.is_empty() || job.script.len() > SCRIPT_BYTES_MAX, "its script is empty or too large"),
        (job.environment.len() > ENVIRONMENT_BYTES_MAX, "its environment is too large"),
        (!job.tmp_base.starts_with('/'), "its folder for temporary files is not absolute"),
        (
            matches!(&job.work_dir, WorkDir::Path(path) if !path.starts_with('/')),
            "its working directory is not absolute",
        ),
        (job.arguments.iter().any(|argument| argument.contains('\0')), "an argument contains a NUL byte"),
    ];
    wrong.iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, text)| Err(PrepareError::Refused(text)))
}

/// The script belongs to the user and only he can read it; the folder around it is the daemon's, so nothing in
/// it can be replaced. The file is closed before the first start: a file that is open for writing can't be executed.
fn write_script(path: &Path, job: &Job) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&job.script)?;
    if job.user.switch {
        let (uid, gid) = (Uid::from_raw(job.user.uid.0), Gid::from_raw(job.user.gid));
        nix::unistd::fchown(file.as_fd(), Some(uid), Some(gid))?;
    }
    file.set_permissions(PermissionsExt::from_mode(0o500))
}
