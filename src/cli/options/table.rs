//! The table itself: the options that INTERFACE names, as the help lists them.

use super::Group::{
    self, Arrays, Data, Faults, General, Harmless, ManyJobs, Rank, Resources, Telling, Waiting, What, When,
    Where,
};
use super::Takes::{Maybe, Nothing, Value};
use super::{OptionDef, Standing, Takes};

/// One of Slurm's options.
pub(super) const fn slurm(long: &'static str, takes: Takes, group: Group, help: &'static str) -> OptionDef {
    OptionDef {
        long,
        short: None,
        aliases: &[],
        takes,
        standing: Standing::Honoured,
        group,
        slurm: true,
        in_script: true,
        hidden: false,
        variables: &[],
        help,
    }
}

/// One of our own.
const fn ours(long: &'static str, takes: Takes, group: Group, help: &'static str) -> OptionDef {
    OptionDef { slurm: false, ..slurm(long, takes, group, help) }
}

impl OptionDef {
    pub(super) const fn letter(self, letter: char) -> OptionDef {
        OptionDef { short: Some(letter), ..self }
    }

    pub(super) const fn also(self, aliases: &'static [&'static str]) -> OptionDef {
        OptionDef { aliases, ..self }
    }

    pub(super) const fn variables(self, variables: &'static [&'static str]) -> OptionDef {
        OptionDef { variables, ..self }
    }

    pub(super) const fn refused(self) -> OptionDef {
        OptionDef { standing: Standing::Refused, ..self }
    }

    pub(super) const fn harmless(self) -> OptionDef {
        OptionDef { standing: Standing::Harmless, ..self }
    }

    pub(super) const fn hidden(self) -> OptionDef {
        OptionDef { hidden: true, ..self }
    }

    const fn command_line_only(self) -> OptionDef {
        OptionDef { in_script: false, ..self }
    }
}

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDef] = &[
    slurm("job-name", Value("NAME"), What, "Name of the job; by default the script's").letter('J').variables(&["SBATCH_JOB_NAME"]),
    slurm("chdir", Value("DIR"), What, "Working directory; `job`: a private folder on the node, kept for a day after the end").letter('D').also(&["workdir"]),
    slurm("input", Value("FILE"), What, "Standard input; by default /dev/null").letter('i').variables(&["SBATCH_INPUT"]),
    slurm("output", Value("PATTERN"), What, "Standard output; by default jsched-%j.out, of arrays jsched-%A_%a.out; `none` keeps nothing").letter('o').variables(&["SBATCH_OUTPUT"]),
    slurm("error", Value("PATTERN"), What, "Standard error; by default together with the output").letter('e').variables(&["SBATCH_ERROR"]),
    slurm("open-mode", Value("MODE"), What, "`truncate` (default) or `append`: what the first start does with files that exist").variables(&["SBATCH_OPEN_MODE"]),
    slurm("export", Value("WHAT"), What, "ALL (default), NONE, or V=1,W,…: which variables the job gets").variables(&["SBATCH_EXPORT"]),
    slurm("get-user-env", Maybe("SECONDS"), What, "Start from the environment of a login shell").variables(&["SBATCH_GET_USER_ENV"]),
    slurm("comment", Value("TEXT"), What, "Free words, kept with the job"),
    slurm("wrap", Value("LINE"), What, "Run this line by sh instead of a script").command_line_only(),

    slurm("nodes", Value("MIN[-MAX]"), Resources, "How many nodes; one for now").letter('N'),
    slurm("ntasks", Value("N"), Resources, "How many tasks").letter('n').also(&["tasks"]),
    slurm("ntasks-per-node", Value("N"), Resources, "How many tasks on each node").also(&["tasks-per-node"]),
    slurm("cpus-per-task", Value("N"), Resources, "Cpus of each task").letter('c'),
    slurm("mem", Value("SIZE"), Resources, "Memory on the node: MiB, or with K, M, G, T; 0: all of it; 4G..16G: twice as much after each end for lack of it").variables(&["SBATCH_MEM_PER_NODE"]),
    slurm("mem-per-cpu", Value("SIZE"), Resources, "Memory for each cpu").variables(&["SBATCH_MEM_PER_CPU"]),
    slurm("mem-per-gpu", Value("SIZE"), Resources, "Memory for each GPU").variables(&["SBATCH_MEM_PER_GPU"]).refused(),
    slurm("gpus", Value("[TYPE:]N"), Resources, "GPUs of the job").letter('G').variables(&["SBATCH_GPUS"]).refused(),
    slurm("gpus-per-node", Value("[TYPE:]N"), Resources, "GPUs on each node").variables(&["SBATCH_GPUS_PER_NODE"]).refused(),
    slurm("gpus-per-task", Value("[TYPE:]N"), Resources, "GPUs of each task").variables(&["SBATCH_GPUS_PER_TASK"]).refused(),
    slurm("cpus-per-gpu", Value("N"), Resources, "Cpus for each GPU").variables(&["SBATCH_CPUS_PER_GPU"]).refused(),
    slurm("ntasks-per-gpu", Value("N"), Resources, "Tasks for each GPU").refused(),
    slurm("gres", Value("NAME[:TYPE][:N]"), Resources, "Generic resources").variables(&["SBATCH_GRES"]).refused(),
    slurm("mincpus", Value("N"), Resources, "Least cpus on the node"),
    slurm("tmp", Value("SIZE"), Resources, "Least temporary disk on the node"),
    slurm("licenses", Value("NAME[:N]"), Resources, "Licences").letter('L').refused(),
    slurm("exclusive", Maybe("WHOM"), Resources, "The whole node for this job alone").variables(&["SBATCH_EXCLUSIVE"]),
    slurm("contiguous", Nothing, Resources, "Nodes side by side; true of one node"),

    slurm("partition", Value("A[,B]"), Where, "One of these partitions").letter('p').variables(&["SBATCH_PARTITION"]),
    slurm("nodelist", Value("LIST"), Where, "Only these nodes, as n[001-016,20]").letter('w'),
    slurm("exclude", Value("LIST"), Where, "None of these nodes").letter('x'),
    slurm("constraint", Value("FEATURES"), Where, "Only nodes with these features: a&b|c").letter('C').variables(&["SBATCH_CONSTRAINT"]),
    slurm("reservation", Value("NAME"), Where, "Inside this reservation").variables(&["SBATCH_RESERVATION"]).refused(),

    slurm("time", Value("TIME"), When, "Time limit: minutes, HH:MM:SS, D-HH[:MM[:SS]], 1h30m; 0: none").letter('t').variables(&["SBATCH_TIMELIMIT"]),
    slurm("time-min", Value("TIME"), When, "The least time that it could do with"),
    slurm("begin", Value("WHEN"), When, "Not before: now+2h, 16:00, tomorrow, 2026-12-01T08:00").letter('b'),
    slurm("deadline", Value("WHEN"), When, "Must have ended by then"),
    ours("start-by", Value("WHEN"), When, "Must have started by then, else it ends as Deadline"),
    slurm("dependency", Value("LIST"), When, "after[:id+min], afterany, afterok, afternotok, aftercorr, singleton; `,` all of them, `?` any").letter('d'),
    ours("on-dep-fail", Value("ACT"), When, "When its dependencies can't hold any more: cancel (default), hold or run"),
    slurm("hold", Nothing, When, "Wait until it is released").letter('H'),

    slurm("account", Value("NAME"), Rank, "Whose share it uses").letter('A').variables(&["SBATCH_ACCOUNT"]),
    slurm("qos", Value("NAME"), Rank, "Quality of service").letter('q').variables(&["SBATCH_QOS"]),
    slurm("nice", Maybe("N"), Rank, "Lower its priority by N, 100 by default"),
    slurm("priority", Value("N"), Rank, "Set its priority (operators)").variables(&["SBATCH_PRIORITY"]),

    slurm("array", Value("INDEXES[%LIMIT]"), Arrays, "One task for each index, as 0-99:2%10").letter('a').variables(&["SBATCH_ARRAY_INX"]),
    ours("each-line", Value("FILE"), Arrays, "One task for each line, counted from 1, in JSCHED_LINE; --array picks lines"),

    ours("jobs", Value("FILE"), ManyJobs, "Submit one job for each line of JSON; `-`: standard input").command_line_only(),

    slurm("requeue", Maybe("HOW"), Faults, "Start again after the node was lost: fenced[:TIME] (default), proof or overlap").variables(&["SBATCH_REQUEUE"]),
    slurm("no-requeue", Nothing, Faults, "Never start again").variables(&["SBATCH_NO_REQUEUE"]),
    ours("retry", Value("N"), Faults, "Try again so often after the causes of --retry-on; alone: after a failure"),
    ours("retry-on", Value("CAUSES"), Faults, "node, preempt, timeout, oom, fail, exit:N; alone: three times"),
    slurm("signal", Value("[B:]SIG[@SECONDS]"), Faults, "A signal before the time limit, 60 seconds by default").variables(&["SBATCH_SIGNAL"]),
    ours("checkpoint", Value("HOW"), Faults, "Save and go on later").refused(),

    ours("stage-in", Value("FILE[:NAME]"), Data, "Bring this file to the job").refused(),
    ours("stage-out", Value("GLOB"), Data, "Keep these files of the job").refused(),
    ours("keep-copies", Value("K"), Data, "Keep so many copies").refused(),

    slurm("wait", Nothing, Waiting, "Wait for the end; exit as the job did").letter('W').variables(&["SBATCH_WAIT"]),
    ours("follow", Nothing, Waiting, "Wait, and show the output as it comes").letter('f'),
    ours("tied", Nothing, Waiting, "Wait, and cancel the job when this command ends or is gone for 60 seconds"),
    slurm("test-only", Nothing, Waiting, "Show what was understood and when it would start; submit nothing"),
    ours("key", Value("KEY"), Waiting, "Submit under this key: a repeat gives the same job").command_line_only(),

    slurm("mail-type", Value("WHEN"), Harmless, "Mail about the job").harmless(),
    slurm("mail-user", Value("WHOM"), Harmless, "To whom").harmless(),
    ours("notify", Value("HOW"), Telling, "mail:…, webhook:… or cmd:…").refused(),
    slurm("quiet", Nothing, Telling, "Say nothing on standard error but errors").letter('Q'),
    slurm("verbose", Nothing, Telling, "Say what was understood").letter('v'),
    slurm("parsable", Nothing, Telling, "Print the id alone"),

    ours("json", Nothing, General, "Answer in JSON").command_line_only(),
    ours("config", Value("FILE"), General, "Client configuration").command_line_only(),
    slurm("help", Nothing, General, "Print help").letter('h').command_line_only(),
    slurm("usage", Nothing, General, "Print the usage in a few lines").command_line_only(),
    slurm("version", Nothing, General, "Print the version").letter('V').command_line_only(),

    slurm("hint", Value("HINT"), Harmless, "Hints on binding").variables(&["SBATCH_HINT", "SLURM_HINT"]).harmless(),
    slurm("distribution", Value("HOW"), Harmless, "Distribution of tasks over nodes").letter('m').variables(&["SBATCH_DISTRIBUTION"]).harmless(),
    slurm("clusters", Value("NAME"), Harmless, "This cluster's name").letter('M').also(&["cluster"]).variables(&["SBATCH_CLUSTERS", "SLURM_CLUSTERS"]).harmless(),
    slurm("cpu-freq", Value("FREQUENCY"), Harmless, "Frequency of the cpus").variables(&["SBATCH_CPU_FREQ_REQ"]).harmless(),
    slurm("acctg-freq", Value("SECONDS"), Harmless, "How often usage is sampled").variables(&["SBATCH_ACCTG_FREQ"]).harmless(),
    slurm("profile", Value("WHAT"), Harmless, "Profiling").variables(&["SBATCH_PROFILE"]).harmless(),
    slurm("gres-flags", Value("FLAGS"), Harmless, "Binding of generic resources").variables(&["SBATCH_GRES_FLAGS"]).harmless(),
    slurm("threads-per-core", Value("1"), Harmless, "Threads of a core; 1").variables(&["SBATCH_THREADS_PER_CORE"]).harmless(),
    slurm("ntasks-per-core", Value("1"), Harmless, "Tasks of a core; 1").harmless(),
    slurm("no-kill", Maybe("off"), Harmless, "Go on when one of several nodes fails").letter('k').variables(&["SBATCH_NO_KILL"]).harmless(),
];
