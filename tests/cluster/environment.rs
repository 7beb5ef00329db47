//! What a job finds in its environment.

use std::collections::BTreeMap;

use crate::harness::Cluster;
use crate::{bash, done, log, write};

/// What every job gets, without `SLURM_`.
const ALWAYS: &str = "JOB_ID JOBID JOB_NAME JOB_NODELIST NODELIST JOB_NUM_NODES NNODES JOB_PARTITION JOB_ACCOUNT \
                      JOB_QOS JOB_USER JOB_UID JOB_GID CLUSTER_NAME SUBMIT_DIR SUBMIT_HOST JOB_CPUS_PER_NODE \
                      TASKS_PER_NODE CPUS_ON_NODE JOB_START_TIME JOB_END_TIME NODEID PROCID LOCALID GTIDS TASK_PID";

/// What only those get who ask for it.
const ASKED: &str = "NTASKS NPROCS NTASKS_PER_NODE CPUS_PER_TASK MEM_PER_NODE MEM_PER_CPU";

#[test]
fn environment_of_jobs() {
    let cluster = Cluster::builder().cpus(4).start();
    variables(&cluster);
    exports(&cluster);
}

fn variables(cluster: &Cluster) {
    let plain = variables_of(cluster, &done(cluster, ["-J", "plain", "-t", "10", "--wrap", "env -0"]));
    for name in ALWAYS.split_whitespace() {
        assert!(plain.contains_key(&format!("SLURM_{name}")), "no SLURM_{name} in {plain:#?}");
    }
    for name in ASKED.split_whitespace().chain(["RESTART_COUNT", "ARRAY_JOB_ID"]) {
        assert!(!plain.contains_key(&format!("SLURM_{name}")), "SLURM_{name} was not asked for");
    }
    let is = |name: &str, value: &str| assert_eq!(plain.get(name).map(String::as_str), Some(value), "{name}");
    is("SLURM_JOB_ID", "1");
    is("SLURM_JOB_NAME", "plain");
    is("SLURM_JOB_NODELIST", "n1");
    is("SLURMD_NODENAME", "n1");
    is("SLURM_JOB_PARTITION", "main");
    is("SLURM_CPUS_ON_NODE", "1");
    is("SLURM_TASKS_PER_NODE", "1");
    is("SLURM_SUBMIT_DIR", &cluster.work.display().to_string());
    is("JSCHED_JOB_ID", "1");
    is("JSCHED_JOB_NUMBER", "1");
    is("JSCHED_ATTEMPT", "1");
    is("JSCHED_RESTART_COUNT", "0");
    let time = |name: &str| plain[name].parse::<u64>().unwrap();
    assert_eq!(time("SLURM_JOB_END_TIME") - time("SLURM_JOB_START_TIME"), 600);

    let asked = done(cluster, ["-n2", "-c2", "--ntasks-per-node=2", "--mem-per-cpu=50", "--wrap", "env -0"]);
    let asked = variables_of(cluster, &asked);
    let expected = [
        ("NTASKS", "2"),
        ("NPROCS", "2"),
        ("NTASKS_PER_NODE", "2"),
        ("CPUS_PER_TASK", "2"),
        ("MEM_PER_CPU", "50"),
    ];
    for (name, value) in expected.into_iter().chain([("CPUS_ON_NODE", "4"), ("JOB_CPUS_PER_NODE", "4")]) {
        assert_eq!(asked[&format!("SLURM_{name}")], value, "{name}");
    }
    let whole = variables_of(cluster, &done(cluster, ["--mem=100M", "--wrap", "env -0"]));
    assert_eq!(whole["SLURM_MEM_PER_NODE"], "100");

    let again = cluster
        .run("jsubmit", ["--parsable", "-W", "--retry=1", "--wrap", "env -0; exit $((JSCHED_ATTEMPT < 2))"]);
    let again = variables_of(cluster, &again.ok());
    assert_eq!((again["SLURM_RESTART_COUNT"].as_str(), again["JSCHED_ATTEMPT"].as_str()), ("1", "2"));
}

fn exports(cluster: &Cluster) {
    let line = "export OWN='a b' SLURM_JOB_ID=forged; module() { echo \"module $*\"; }; export -f module; \
                jsubmit --parsable -W --wrap 'module load x; echo $OWN $SLURM_JOB_ID' --export=";
    let with = |export: &str| {
        let id = bash(cluster, &format!("{line}{export}; true")).ok();
        (log(cluster, &id), id)
    };
    // A plain sh drops the names of functions from its environment: the script names the shell.
    write(cluster, "m.sh", "#!/bin/bash\nmodule load x; echo $OWN $SLURM_JOB_ID\n");
    let (whole, _) = line.split_once("--wrap").unwrap();
    let id = bash(cluster, &format!("{whole} m.sh")).ok();
    assert_eq!(log(cluster, &id), format!("module load x\na b {id}"));
    let (text, id) = with("NONE");
    assert!(text.ends_with(&format!("\n{id}")) && !text.contains("module load"), "{text}");
    let (text, id) = with("OWN,OTHER=1");
    assert!(text.ends_with(&format!("a b {id}")), "{text}");
}

fn variables_of(cluster: &Cluster, job: &str) -> BTreeMap<String, String> {
    let text = log(cluster, job);
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
