//! What is reported of jobs, nodes and the cluster, and the verbs of operators and admins.

use crate::harness::Cluster;
use crate::{bash, done, holds, show, state, submit, until, until_gate, wait, write};

#[test]
fn records_and_verbs() {
    let mut cluster = Cluster::builder().nodes(2).cpus(4).start();
    one_job(&cluster);
    lists(&cluster);
    changes(&cluster);
    nodes(&cluster);
    admins(&cluster);
    stop_and_go_on(&mut cluster);
}

fn one_job(cluster: &Cluster) {
    let id = submit(cluster, ["-J", "dies", "--mem=50M", "-t", "10", "--wrap", "echo output; exit 3"]);
    assert_eq!(wait(cluster, &id), 3);
    let shown = cluster.run("jqueue", ["show", &id]).ok();
    holds(&shown, &["dies", "state       failed", "exit code 3", "timeline", "started on n", "failed on n"]);
    let why = cluster.run("jqueue", ["why", &id]).ok();
    holds(&why, &["failed", "exit code 3", "| output"]);
    let eff = cluster.run("jqueue", ["eff", &id]).ok();
    holds(&eff, &["dies", "50M"]);
    let hist = cluster.run("jqueue", ["hist", "-n", "dies", "--no-header"]).ok();
    holds(&hist, &["dies", " F ", " 3 "]);
    let job = show(cluster, &id);
    for field in [
        "id",
        "array_id",
        "task",
        "number",
        "name",
        "user",
        "account",
        "qos",
        "partition",
        "state",
        "reason",
        "nodes",
        "node_count",
        "cpus",
        "memory_limit_bytes",
        "gres",
        "time_limit_seconds",
        "elapsed_seconds",
        "exit_code",
        "signal",
        "cause",
        "attempt",
        "restarts",
        "priority",
        "submit_time",
        "eligible_time",
        "start_time",
        "end_time",
        "work_dir",
        "output",
        "error",
        "comment",
        "dependencies",
        "script_hash",
        "cpu_seconds",
        "memory_peak_bytes",
        "request",
    ] {
        assert!(job.get(field).is_some(), "no {field} in {job:#}");
    }
    assert_eq!(job["cause"]["kind"], "exit");
    assert!(job["memory_peak_bytes"].as_u64().unwrap() > 0);

    // What the defaults gave is shown, too, and stays after the end.
    let id = done(cluster, ["--wrap", "true"]);
    let node = cluster.run("jnode", ["--json"]).json()["data"][0]["memory_bytes"].as_u64().unwrap();
    assert_eq!(show(cluster, &id)["memory_limit_bytes"].as_u64(), Some(node / 4));
    assert_eq!(show(cluster, &id)["time_limit_seconds"], 86_400);
}

fn lists(cluster: &Cluster) {
    let held = submit(cluster, ["-J", "held", "--hold", "--wrap", "true"]);
    let listed = cluster.run("jqueue", Vec::<&str>::new()).ok();
    assert!(listed.starts_with("JOBID PARTITION NAME USER ST TIME"), "{listed}");
    holds(&listed, &["(JobHeldUser)", " PD "]);
    let all = cluster.run("jqueue", ["-t", "all", "--no-header", "-o", "number"]).ok();
    let numbers: Vec<u64> = all.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(numbers.len() >= 3 && numbers.is_sorted(), "{numbers:?}");
    // The footer is for people: it stands on standard error when that is a terminal.
    // What has ended is counted where history stands, which is a moment behind.
    cluster.wait_until("the footer to know of both ends", || {
        let footer = bash(cluster, "script -qec jqueue /dev/null").ok();
        footer.contains("in the last hour 2 ended, 1 failed (1): `jqueue why 1`")
    });
    assert!(cluster.run("jqueue", ["-o", "bogus"]).code == 64);
    holds(&cluster.run("jqueue", ["-o", "help"]).ok(), &["memory_peak_bytes", "%R"]);
    cluster.run("jcancel", [&held]).ok();
}

/// `set`, `suspend`, `resume`, `requeue` of what has ended and of what runs.
fn changes(cluster: &Cluster) {
    let id = submit(cluster, ["--hold", "--wrap", "true"]);
    let settings = [
        "time=2h",
        "mem=70M",
        "cpus=2",
        "name=new",
        "comment=c",
        "nice=4",
        "nodelist=n2",
        "begin=now",
        "account=a",
    ];
    cluster.run("jqueue", ["set", &id].iter().chain(&settings)).ok();
    let job = show(cluster, &id);
    assert_eq!((&job["time_limit_seconds"], &job["memory_limit_bytes"]), (&7200.into(), &(70 << 20).into()));
    assert_eq!((&job["cpus"], &job["name"], &job["account"]), (&2.into(), &"new".into(), &"a".into()));
    cluster.run("jqueue", ["set", &id, "cpus=9000"]).expect(1);
    cluster.run("jqueue", ["set", &id, "colour=red"]).expect(64);
    cluster.run("jqueue", ["release", &id]).ok();
    assert_eq!(wait(cluster, &id), 0);
    assert_eq!(show(cluster, &id)["nodes"], serde_json::json!(["n2"]));
    holds(&cluster.run("jqueue", ["release", &id]).ok(), &["already ended"]);
    cluster.run("jqueue", ["requeue", &id]).ok();
    assert_eq!(wait(cluster, &id), 0);
    assert_eq!(show(cluster, &id)["attempt"], 2);

    let id = submit(cluster, ["--wrap", &until_gate("changed")]);
    until(cluster, &id, "running");
    cluster.run("jqueue", ["suspend", &id]).ok();
    until(cluster, &id, "suspended");
    cluster.run("jqueue", ["resume", &id]).ok();
    until(cluster, &id, "running");
    cluster.run("jqueue", ["set", &id, "cpus=1"]).expect(1);
    cluster.run("jqueue", ["requeue", &id]).ok();
    cluster.wait_until("the second attempt", || show(cluster, &id)["attempt"] == 2);
    write(cluster, "changed", "");
    assert_eq!(wait(cluster, &id), 0);
}

fn nodes(cluster: &Cluster) {
    let node = |name: &str| cluster.run("jnode", ["show", name, "--json"]).json()["data"].clone();
    let running = submit(cluster, ["-w", "n1", "--wrap", &until_gate("drained")]);
    until(cluster, &running, "running");
    let said = cluster.run("jnode", ["drain", "n1", "--reason", "disk bad"]).ok();
    holds(&said, &["n1 drain", &running]);
    let listed = cluster.run("jnode", Vec::<&str>::new()).ok();
    holds(&listed, &["NODE STATE", "draining", "disk bad (", "since 2"]);
    let waiting = submit(cluster, ["-w", "n1", "--wrap", "true"]);
    assert_eq!(show(cluster, &waiting)["reason"]["code"], "ReqNodeNotAvail");
    write(cluster, "drained", "");
    cluster.run("jnode", ["wait", "n1", "--for", "drained"]).ok();
    cluster.run("jnode", ["resume", "n1"]).ok();
    assert_eq!(wait(cluster, &waiting), 0);
    cluster.run("jnode", ["down", "n2", "--reason", "x"]).ok();
    assert!(node("n2").to_string().contains("\"state\":\"down\""));
    cluster.run("jnode", ["resume", "n2"]).ok();
    cluster.run("jnode", ["wait", "n[1-2]", "--for", "up"]).ok();
    assert_eq!(cluster.run("jnode", ["hosts", "n[1-3,7]"]).ok(), "n1\nn2\nn3\nn7");
    cluster.run("jnode", ["drain", "n1"]).expect(64);
    cluster.run("jnode", ["show", "n9"]).expect(1);
    let list = cluster.run("jnode", ["partition", "list"]).ok();
    holds(&list, &["main*", "n[1-2]", "1-00:00:00"]);
}

fn admins(cluster: &Cluster) {
    holds(&cluster.run("jqueue", ["whoami"]).ok(), &["role         admin", "cluster", "certificate"]);
    holds(&cluster.run("jctld", ["status"]).ok(), &["epoch", "2 of 2 reachable", "there were no tables yet"]);
    holds(&cluster.run("jctld", ["verify"]).ok(), &["everything is sound"]);
    cluster.run("jctld", ["user", "add", "ann", "--uid", "4244", "--role", "operator", "--out", "ann"]).ok();
    let ann = "export JSCHED_CONFIG=$PWD/ann/client.toml";
    holds(&bash(cluster, &format!("{ann}; jqueue whoami")).ok(), &["ann", "operator"]);
    bash(cluster, &format!("{ann}; jnode drain n1 --reason r && jnode resume n1")).ok();
    assert_eq!(bash(cluster, &format!("{ann}; jctld user list")).code, 77);
    holds(&cluster.run("jctld", ["user", "list"]).ok(), &["ann", "operator"]);
    holds(&cluster.run("jctld", ["ca", "list"]).ok(), &["ann", "controller", "node"]);
    holds(&cluster.run("jctld", ["audit"]).ok(), &["drain", "ann"]);
    let key = std::fs::metadata(cluster.work.join("ann/key.pem")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&key.permissions()) & 0o777, 0o600);
}

/// What ended, what is held and the numbers are there after a stop of everything.
fn stop_and_go_on(cluster: &mut Cluster) {
    let held = submit(cluster, ["--hold", "-J", "over", "--wrap", "echo late"]);
    cluster.stop();
    cluster.start_again();
    assert_eq!(state(cluster, &held), "held");
    assert_eq!(state(cluster, "1"), "failed");
    holds(&cluster.run("jctld", ["status"]).ok(), &["the tables were sound"]);
    cluster.run("jqueue", ["release", "name:over"]).ok();
    assert_eq!(wait(cluster, &held), 0);
    assert_eq!(crate::log(cluster, &held), "late");
    let next = done(cluster, ["--wrap", "true"]);
    assert!(next.parse::<u64>().unwrap() > held.parse::<u64>().unwrap());
}
