//! The rest of Slurm's options, which the help does not list: known by name, so that abbreviations are resolved as
//! Slurm resolves them and a script that asks for one is told so, rather than sent looking for a slip of the finger.

use super::Group::{General, What, When, Where};
use super::Takes::{Maybe, Nothing, Value};
use super::table::slurm;
use super::{OptionDef, Takes};

const fn unknown_here(long: &'static str, takes: Takes) -> OptionDef {
    slurm(long, takes, General, "Not supported yet").refused().hidden()
}

#[rustfmt::skip]
pub(super) static OPTIONS: &[OptionDef] = &[
    // True of any job on one node, or of every job here.
    slurm("use-min-nodes", Nothing, Where, "As few nodes as will do; true of one node").variables(&["SBATCH_USE_MIN_NODES"]).hidden(),
    slurm("switches", Value("N[@TIME]"), Where, "At most so many switches; true of one node").variables(&["SBATCH_REQ_SWITCH"]).hidden(),
    slurm("wait-all-nodes", Value("0|1"), When, "Start when all nodes are ready; true of every job").variables(&["SBATCH_WAIT_ALL_NODES"]).hidden(),
    slurm("ignore-pbs", Nothing, What, "Leave #PBS lines alone; true of every script").variables(&["SBATCH_IGNORE_PBS"]).hidden(),
    slurm("kill-on-invalid-dep", Value("yes|no"), When, "As --on-dep-fail=cancel or hold").hidden(),

    unknown_here("batch", Value("FEATURES")).variables(&["SBATCH_BATCH"]),
    unknown_here("bb", Value("SPEC")),
    unknown_here("bbf", Value("FILE")),
    unknown_here("cluster-constraint", Value("FEATURES")),
    unknown_here("consolidate-segments", Nothing),
    unknown_here("container", Value("PATH")).variables(&["SBATCH_CONTAINER"]),
    unknown_here("container-id", Value("ID")).variables(&["SBATCH_CONTAINER_ID"]),
    unknown_here("core-spec", Value("N")).letter('S').variables(&["SBATCH_CORE_SPEC"]),
    unknown_here("cores-per-socket", Value("N")),
    unknown_here("delay-boot", Value("MINUTES")).variables(&["SBATCH_DELAY_BOOT"]),
    unknown_here("export-file", Value("FILE")),
    unknown_here("extra", Value("TEXT")),
    unknown_here("extra-node-info", Value("S[:C[:T]]")).letter('B'),
    unknown_here("gid", Value("GROUP")),
    unknown_here("gpu-bind", Value("HOW")).variables(&["SBATCH_GPU_BIND"]),
    unknown_here("gpu-freq", Value("FREQUENCY")).variables(&["SBATCH_GPU_FREQ"]),
    unknown_here("gpus-per-socket", Value("N")).variables(&["SBATCH_GPUS_PER_SOCKET"]),
    unknown_here("mcs-label", Value("LABEL")),
    unknown_here("mem-bind", Value("HOW")).variables(&["SBATCH_MEM_BIND"]),
    unknown_here("network", Value("TYPE")).variables(&["SBATCH_NETWORK"]),
    unknown_here("nodefile", Value("FILE")).letter('F'),
    unknown_here("ntasks-per-socket", Value("N")),
    unknown_here("oom-kill-step", Maybe("0|1")).variables(&["SBATCH_OOM_KILL_STEP"]),
    unknown_here("overcommit", Nothing).letter('O').variables(&["SBATCH_OVERCOMMIT"]),
    unknown_here("oversubscribe", Nothing).letter('s').also(&["share"]),
    unknown_here("power", Value("FLAGS")).variables(&["SBATCH_POWER"]),
    unknown_here("prefer", Value("FEATURES")),
    unknown_here("propagate", Maybe("LIMITS")),
    unknown_here("reboot", Nothing),
    unknown_here("resv-ports", Maybe("N")),
    unknown_here("segment", Value("SIZE")),
    unknown_here("sockets-per-node", Value("N")),
    unknown_here("spread-job", Nothing).variables(&["SBATCH_SPREAD_JOB"]),
    unknown_here("spread-segments", Nothing),
    unknown_here("stepmgr", Nothing).variables(&["SBATCH_STEPMGR"]),
    unknown_here("thread-spec", Value("N")).variables(&["SBATCH_THREAD_SPEC"]),
    unknown_here("tres-bind", Value("TRES")).variables(&["SBATCH_TRES_BIND"]),
    unknown_here("tres-per-job", Value("TRES")),
    unknown_here("tres-per-task", Value("TRES")).variables(&["SBATCH_TRES_PER_TASK"]),
    unknown_here("uid", Value("USER")),
    unknown_here("wckey", Value("KEY")).variables(&["SBATCH_WCKEY"]),
];
