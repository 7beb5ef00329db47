//! A job as its user asked for it, understood but not yet resolved against the cluster.

use serde::{Deserialize, Serialize};

pub use super::parse::feature::Constraint;

use super::ids::{ContentHash, JobId, Ordinal, TaskIndex};
use super::task_set::{IndexSet, TaskSet};
use super::time::{Seconds, TimeLimit, WallTime};

/// The most bytes of a job name.
pub const JOB_NAME_BYTES_MAX: usize = 255;
/// The most bytes of a comment.
pub const COMMENT_BYTES_MAX: usize = 1_024;
/// The most bytes of any path or pattern.
pub const PATH_BYTES_MAX: usize = 4_096;
/// The script of a job that is a command: the command stands in its arguments, so that nothing has to be quoted. A node
/// that knows this text starts the command without a shell.
pub const COMMAND_SCRIPT: &str = "#!/bin/sh\nexec \"$@\"\n";
/// The most bytes of a batch script.
pub const SCRIPT_BYTES_MAX: usize = 4 << 20;
/// The most bytes of an environment.
pub const ENVIRONMENT_BYTES_MAX: usize = 2 << 20;
/// The most bytes of all arguments together.
pub const ARGUMENTS_BYTES_MAX: usize = 64 << 10;
/// The most dependencies of one job.
pub const DEPENDENCIES_MAX: usize = 1_024;
/// The most bytes of what one job asks for, about, script and environment apart.
pub const SPEC_BYTES_MAX: usize = 1 << 20;

/// What a user submits: one job or one array. Everything that the user did not say is `None` or empty, and is
/// filled in by the controller from partition and cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// The batch script, or the script made of a command or `--wrap` line.
    pub script: ContentHash,
    /// `NAME=VALUE` with a NUL after each.
    pub environment: ContentHash,
    /// What follows the script on the command line.
    pub arguments: Vec<String>,
    /// Where it runs.
    pub work_dir: WorkDir,
    /// Where it was submitted.
    pub submit_dir: String,
    /// On which host.
    pub submit_host: String,
    /// The submitter's umask.
    pub umask: u32,
    /// File patterns and modes.
    pub files: Files,
    /// What one node must give.
    pub request: Request,
    /// Which nodes will do.
    pub place: Place,
    /// When it may run.
    pub times: Times,
    /// Account, or empty.
    pub account: String,
    /// Quality of service, or empty.
    pub qos: String,
    /// Lowers the priority; negative for operators.
    pub nice: i32,
    /// Set by an operator: overrides what is computed.
    pub priority: Option<u32>,
    /// Its tasks, if it is an array.
    pub array: Option<ArraySpec>,
    /// What it waits for.
    pub dependencies: Dependencies,
    /// Submitted on hold.
    pub hold: bool,
    /// What happens when an attempt is lost or fails.
    pub restart: Restart,
    /// A signal before the time limit.
    pub signal: Option<Warning>,
    /// Free words.
    pub comment: String,
    /// Options that were accepted and change nothing here, as written (`--mail-type=END`).
    pub harmless: Vec<String>,
    /// Cancelled when the command that submitted it is gone (`--tied`).
    pub tied: bool,
}

/// Where a job runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkDir {
    /// That directory, absolute.
    Path(String),
    /// A private folder on the node (`--chdir=job`).
    Private,
}

/// Input and output, as patterns relative to the working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// Standard input; empty means `/dev/null`.
    pub input: String,
    /// Standard output.
    pub output: Output,
    /// Standard error; `None`: together with standard output.
    pub error: Option<Output>,
    /// Whether the first start appends rather than truncates.
    pub append: bool,
}

/// Where a stream of output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Nowhere (`none`).
    Nothing,
    /// A file of this pattern; the default pattern was already filled in.
    Pattern(String),
}

/// Resources, as asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// `-n`, if given.
    pub tasks: Option<u32>,
    /// `--ntasks-per-node`, if given.
    pub tasks_per_node: Option<u32>,
    /// `-c`, if given.
    pub cpus_per_task: Option<u32>,
    /// Memory.
    pub memory: MemoryRequest,
    /// `--tmp`.
    pub tmp_bytes: u64,
    /// `--mincpus`.
    pub cpus_min: u32,
    /// The whole node for this job alone.
    pub exclusive: bool,
    /// `-N`, least and most, if given. More than 1 at least can't run yet.
    pub nodes: Option<(u32, u32)>,
}

impl Request {
    /// Processors of one allocation on one node: tasks × cpus per task, at least `--mincpus`; 1 by default.
    /// `None` on overflow.
    pub fn cpus(&self) -> Option<u32> {
        let tasks = self.tasks.or(self.tasks_per_node).unwrap_or(1);
        Some(tasks.checked_mul(self.cpus_per_task.unwrap_or(1))?.max(self.cpus_min))
    }
}

/// Memory, as asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemoryRequest {
    /// Not said: the partition's or the node's share per cpu.
    #[default]
    Default,
    /// That much on the node.
    PerNode(u64),
    /// That much for each cpu.
    PerCpu(u64),
    /// All that the node has (`--mem=0`).
    WholeNode,
    /// The first at the beginning, twice as much after each end for lack of it, at most the second (`--mem=4G..16G`).
    Range(u64, u64),
}

/// Which nodes will do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Any of these partitions; empty: the default one.
    pub partitions: Vec<String>,
    /// Only these nodes; empty: any.
    pub nodes: Vec<String>,
    /// None of these.
    pub exclude: Vec<String>,
    /// Only nodes with these features; nothing: any.
    pub constraint: Option<Constraint>,
}

/// When a job may run, and for how long.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Its limit, if it says one.
    pub limit: Option<TimeLimit>,
    /// The least that it could do with.
    pub minimum: Option<Seconds>,
    /// Not before.
    pub begin: Option<WallTime>,
    /// Must have ended by then.
    pub deadline: Option<WallTime>,
    /// Must have started by then.
    pub start_by: Option<WallTime>,
}

/// The tasks of an array.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArraySpec {
    /// Their indexes.
    pub indexes: IndexSet,
    /// At most so many at once; `None`: no limit.
    pub limit: Option<u32>,
    /// For `--each-line`: the lines, newline after each; task k gets line k, counted from 1.
    pub lines: Option<ContentHash>,
}

/// What a job waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependencies {
    /// The conditions.
    pub conditions: Vec<Dependency>,
    /// Whether one that holds is enough (`?`) rather than all (`,`).
    pub any: bool,
    /// What to do when they can no longer hold.
    pub on_failure: OnDependencyFailure,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// What must have happened.
    pub kind: DependencyKind,
    /// To whom.
    pub parent: Parent,
    /// Only for `After`: and this long ago.
    pub delay: Seconds,
}

/// What must have happened to a parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DependencyKind {
    /// It has started or was cancelled.
    After,
    /// It has ended.
    AfterAny,
    /// It has ended well.
    AfterOk,
    /// It has ended badly.
    AfterNotOk,
    /// The task of the same index has ended well.
    AfterCorrelated,
    /// All earlier jobs of this name and user have ended.
    Singleton,
}

/// Whom a dependency means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Parent {
    /// A whole job or array, by its number; or a task's own number.
    Job(JobId),
    /// Some tasks of an array, by their indexes.
    Tasks(JobId, IndexSet),
    /// The caller's newest job of that name.
    Name(String),
    /// The job at that place (from 0) of the same `--jobs` call.
    Batch(u32),
    /// Nobody in particular (`singleton`).
    Nobody,
}

/// What to do with a job whose dependencies can no longer hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnDependencyFailure {
    /// End it as DependencyFailed.
    #[default]
    Cancel,
    /// Hold it.
    Hold,
    /// Run it all the same.
    Run,
}

/// What happens when an attempt is lost or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// After the node was lost.
    pub lost: LostPolicy,
    /// How often for the causes in `on`.
    pub retries: u32,
    /// For these causes.
    pub on: RetryOn,
}

impl Default for Restart {
    fn default() -> Restart {
        Restart { lost: LostPolicy::Fenced(None), retries: 0, on: RetryOn::default() }
    }
}

/// How a job may start again whose node was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LostPolicy {
    /// On proof at once, otherwise when its lease has run out (this long, or the cluster's).
    Fenced(Option<Seconds>),
    /// Only on proof.
    Proof,
    /// At the node timeout, unfenced.
    Overlap,
    /// Never.
    Never,
}

/// Causes after which a job is tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// Its node was lost.
    pub node: bool,
    /// It had to give way.
    pub preempt: bool,
    /// Its time limit.
    pub timeout: bool,
    /// Its memory limit.
    pub oom: bool,
    /// It failed.
    pub fail: bool,
    /// It ended with this code: its own "again".
    pub exit: Option<u8>,
}

/// A signal before the time limit (`--signal [B:]SIG[@SECONDS]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Which.
    pub signal: u8,
    /// So long before the limit.
    pub before: Seconds,
    /// To the batch shell alone rather than to all processes.
    pub batch_only: bool,
}

/// Which tasks of which job a verb means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The job.
    pub job: JobId,
    /// Its tasks; `None`: all.
    pub tasks: Option<TaskSet>,
}

impl JobSpec {
    /// The index of the task at `ordinal`, if it is an array.
    pub fn index_of(&self, ordinal: Ordinal) -> Option<TaskIndex> {
        self.array.as_ref().and_then(|array| array.indexes.index(ordinal))
    }

    /// The content that it names.
    pub fn contents(&self) -> impl Iterator<Item = ContentHash> {
        let lines = self.array.as_ref().and_then(|array| array.lines);
        [Some(self.script), Some(self.environment), lines].into_iter().flatten()
    }

    /// About how many bytes it takes where it is kept: at least half of that, and never twice as much.
    pub fn rough_bytes(&self) -> usize {
        let Files { input, output, error, append: _ } = &self.files;
        let Place { partitions, nodes, exclude, constraint } = &self.place;
        let pattern = |output: &Output| match output {
            Output::Pattern(pattern) => pattern.len(),
            Output::Nothing => 0,
        };
        let dir = match &self.work_dir {
            WorkDir::Path(path) => path.len(),
            WorkDir::Private => 0,
        };
        let lists = [&self.arguments, &self.harmless, partitions, nodes, exclude].into_iter().flatten();
        let words = lists.map(|word| word.len() + 2).sum::<usize>();
        let features = constraint.iter().flat_map(|wanted| wanted.names()).map(|name| name.len() + 2);
        let runs = self.array.as_ref().map_or(0, |array| array.indexes.runs().len() * 12);
        let conditions = &self.dependencies.conditions;
        let parents = conditions.iter().map(|condition| match &condition.parent {
            Parent::Tasks(_, indexes) => 16 + indexes.runs().len() * 12,
            Parent::Name(name) => 16 + name.len(),
            Parent::Job(_) | Parent::Batch(_) | Parent::Nobody => 16,
        });
        let short =
            [&self.name, &self.submit_dir, &self.submit_host, &self.account, &self.qos, &self.comment];
        let short = short.into_iter().map(String::len).sum::<usize>();
        let files = input.len() + pattern(output) + error.as_ref().map_or(0, pattern);
        256 + short + dir + files + words + features.sum::<usize>() + runs + parents.sum::<usize>()
    }

    /// How many tasks it makes.
    pub fn task_count(&self) -> u32 {
        self.array.as_ref().map_or(1, |array| array.indexes.count())
    }
}
