//! The verbs that change jobs and nodes, and what jobs say about trying again.

use crate::harness::Cluster;
use crate::{bash, holds, log, show, state, submit, until, until_gate, wait, write};

#[test]
fn tries_and_dependents() {
    let cluster = Cluster::builder().cpus(4).start();
    counterparts(&cluster);
    again(&cluster);
    memory_that_grows(&cluster);
    dependents(&cluster);
}

#[test]
fn places_limits_and_reasons() {
    let cluster = Cluster::builder().cpus(2).start();
    limits_of_what_runs(&cluster);
    first_in_line(&cluster);
    reasons_and_starts(&cluster);
    fetched(&cluster);
    sums_and_refusals(&cluster);
}

#[test]
fn nodes_are_chosen_and_drained() {
    let cluster = Cluster::builder().nodes(2).cpus(2).start();
    weights_features_partitions(&cluster);
    drained_at_a_deadline(&cluster);
}

/// Tasks wait for their counterparts, one by one.
fn counterparts(cluster: &Cluster) {
    let line = format!("{}; [ $SLURM_ARRAY_TASK_ID != 2 ]", until_gate("part.$SLURM_ARRAY_TASK_ID"));
    let first = submit(cluster, ["--mem=10M", "-a", "1-3", "--wrap", &line]);
    let condition = format!("aftercorr:{first}");
    let then = submit(cluster, ["--mem=10M", "-a", "1-3", "-d", &condition, "--wrap", "true"]);
    let task = |index: u32| state(cluster, &format!("{then}_{index}"));
    assert_eq!(
        (task(1).as_str(), &show(cluster, &then)["reason"]["code"]),
        ("pending", &"Dependency".into())
    );
    let listed = cluster.run("jqueue", ["-j", &then, "--no-header"]).ok();
    holds(&listed, &[&format!("{then}_[1-3]"), " PD ", "Dependency"]);
    write(cluster, "part.2", "");
    cluster.wait_until("task 2 to fail with its counterpart", || task(2) == "dependency_failed");
    assert_eq!(task(1), "pending");
    write(cluster, "part.1", "");
    cluster.wait_until("task 1 to follow its counterpart", || task(1) == "completed");
    assert_eq!(task(3), "pending");
    write(cluster, "part.3", "");
    assert_eq!((wait(cluster, &then), task(3).as_str()), (125, "completed"));
    let said = cluster.run("jsubmit", ["-a", "1-4", "-d", &condition, "--wrap", "true"]);
    said.expect(1);
    holds(&said.stderr, &["1 of its tasks have no counterpart"]);
}

/// `--retry` and `--retry-on`: which end is tried again, and how often.
fn again(cluster: &Cluster) {
    let ended = |args: &[&str]| {
        let id = cluster.run("jsubmit", ["--parsable", "--mem=10M"].iter().chain(args)).ok();
        let code = wait(cluster, &id);
        (code, show(cluster, &id)["attempt"].as_u64().unwrap())
    };
    let until_third = "[ $JSCHED_ATTEMPT = 3 ]";
    assert_eq!(ended(&["--retry", "2", "--wrap", until_third]), (0, 3));
    assert_eq!(ended(&["--retry", "1", "--wrap", until_third]), (1, 2));
    assert_eq!(ended(&["--retry-on=fail", "--wrap", "exit 4"]), (4, 4));
    assert_eq!(ended(&["--retry-on=exit:75", "--wrap", "[ $JSCHED_ATTEMPT = 2 ] || exit 75"]), (0, 2));
    assert_eq!(ended(&["--retry-on=exit:75", "--wrap", "exit 74"]), (74, 1));
    assert_eq!(
        ended(&["--retry-on=timeout", "-t", "1s", "--wrap", "[ $JSCHED_ATTEMPT = 2 ] || sleep 60"]),
        (0, 2)
    );
    cluster.run("jsubmit", ["--no-requeue", "--retry", "2", "--wrap", "true"]).expect(64);
}

/// `--mem=A..B`: twice as much after each end for lack of it.
fn memory_that_grows(cluster: &Cluster) {
    let line = "python3 -c 'import time; x = bytearray(100 << 20); time.sleep(3)'";
    let id = submit(cluster, ["--mem=40M..200M", "--wrap", line]);
    assert_eq!(wait(cluster, &id), 0, "{}", cluster.run("jqueue", ["show", &id]).stdout);
    let job = show(cluster, &id);
    assert_eq!((&job["attempt"], &job["memory_limit_bytes"]), (&3.into(), &(160u64 << 20).into()));
    assert_eq!(job["request"]["mem_bytes"], "40M..200M");
    let id = submit(cluster, ["--mem=20M..30M", "--wrap", line]);
    assert_eq!((wait(cluster, &id), &show(cluster, &id)["attempt"]), (137, &2.into()));
}

/// `requeue --with`, and `--dependents` for what failed because of it.
fn dependents(cluster: &Cluster) {
    let line = "[ $SLURM_MEM_PER_NODE = 77 ]";
    let root = submit(cluster, ["--mem=11M", "--wrap", line]);
    let on = |parent: &str| format!("afterok:{parent}");
    let child = submit(cluster, ["--mem=10M", "-d", &on(&root), "--wrap", "echo child"]);
    let grandchild = submit(cluster, ["--mem=10M", "-d", &on(&child), "--wrap", "echo grandchild"]);
    assert_eq!(wait(cluster, &grandchild), 125);
    assert_eq!(state(cluster, &child), "dependency_failed");
    let said = cluster.run("jqueue", ["requeue", &root, "--with", "mem=900T"]);
    said.expect(1);
    assert_eq!(state(cluster, &root), "failed");
    let said = cluster.run("jqueue", ["requeue", &root, "--with", "mem=77M", "--dependents"]).ok();
    holds(&said, &[&format!("it depends on {root}"), &format!("it depends on {child}")]);
    assert_eq!((wait(cluster, &root), wait(cluster, &grandchild)), (0, 0));
    assert_eq!(
        (show(cluster, &root)["attempt"].as_u64(), log(cluster, &grandchild)),
        (Some(2), "grandchild".to_owned())
    );
}

fn limits_of_what_runs(cluster: &Cluster) {
    let id = submit(cluster, ["--mem=10M", "-t", "10", "--wrap", "sleep 600"]);
    until(cluster, &id, "running");
    cluster.run("jqueue", ["set", &id, "time=20"]).ok();
    assert_eq!(show(cluster, &id)["time_limit_seconds"], 1_200);
    let said = cluster.run("jqueue", ["set", &id, "mem=20M"]);
    said.expect(1);
    holds(&said.stderr, &["runs", "requeue"]);
    cluster.run("jqueue", ["set", &id, "time=1s"]).ok();
    assert_eq!((wait(cluster, &id), state(cluster, &id).as_str()), (124, "timeout"));
    // Of an array: what runs and what comes, in the same supervisor.
    let id = submit(cluster, ["--mem=10M", "-t", "10", "-a", "1-2%1", "--wrap", "sleep 600"]);
    until(cluster, &format!("{id}_1"), "running");
    cluster.run("jqueue", ["set", &id, "time=1s"]).ok();
    assert_eq!((wait(cluster, &id), state(cluster, &format!("{id}_2")).as_str()), (124, "timeout"));
    cluster.run("jqueue", ["set", &format!("{id}_2"), "time=1s"]).ok();
}

fn first_in_line(cluster: &Cluster) {
    let busy = submit(cluster, ["--mem=10M", "-c", "2", "--wrap", &until_gate("first")]);
    until(cluster, &busy, "running");
    let line = "echo $SLURM_JOB_ID >> order";
    let ids: Vec<String> =
        (0..4).map(|_| submit(cluster, ["--mem=10M", "-c", "2", "--wrap", line])).collect();
    cluster.run("jqueue", ["first", &ids[3], &ids[1]]).ok();
    cluster
        .wait_until("it to be the next", || cluster.run("jqueue", ["prio", &ids[3]]).ok().contains("rank 1"));
    write(cluster, "first", "");
    ids.iter().for_each(|id| assert_eq!(wait(cluster, id), 0));
    let wanted = [&ids[3], &ids[1], &ids[0], &ids[2]].map(|id| format!("{id}\n")).concat();
    assert_eq!(crate::read(cluster, "order"), wanted);
}

/// Why something waits, when it starts, and what would be sooner.
fn reasons_and_starts(cluster: &Cluster) {
    let a = submit(cluster, ["--mem=10M", "-c", "2", "-t", "10", "--wrap", &until_gate("why")]);
    until(cluster, &a, "running");
    let b = submit(cluster, ["--mem=10M", "-c", "2", "-t", "10", "--wrap", "true"]);
    let c = submit(cluster, ["--mem=10M", "-c", "2", "-t", "10", "--wrap", "true"]);
    let why = |id: &str| {
        let mut found = serde_json::Value::Null;
        cluster.wait_until("the scheduler to know it", || {
            found = cluster.run("jqueue", ["why", id, "--json"]).json()["data"].clone();
            found["start"]["promise"].is_string()
        });
        found
    };
    let time = |value: &serde_json::Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let (second, third) = (why(&b), why(&c));
    assert_eq!((&third["rank"], &third["ahead"]), (&2.into(), &1.into()));
    assert_eq!(
        (&third["conditions"][0]["code"], &third["conditions"][0]["nodes"]),
        (&"Resources".into(), &1.into())
    );
    assert_eq!(
        third["conditions"][0]["text"],
        "1 of 1 node fits it by size, but too little is free there now"
    );
    let between = time(&third["start"]["promise"]).duration_since(time(&second["start"]["promise"]));
    assert_eq!(between.as_secs(), 600);
    holds(&cluster.run("jqueue", ["why", &c]).ok(), &["rank 2", "starts about"]);
    let listed = cluster.run("jqueue", ["--start", "--json"]).json();
    let starts: Vec<bool> =
        listed["data"].as_array().unwrap().iter().map(|job| job["expected_start_time"].is_string()).collect();
    assert_eq!(starts, [true, true]);
    // One that is only tried out comes behind them.
    let tried =
        cluster.run("jsubmit", ["--test-only", "--json", "--mem=10M", "-c", "2", "--wrap", "true"]).json();
    let after = time(&tried["data"]["start"]).duration_since(time(&third["start"]["promise"]));
    assert_eq!((after.as_secs(), &tried["data"]["nodes"]), (600, &serde_json::json!(["n1"])));
    let held = submit(cluster, ["--hold", "-d", &format!("afterany:{b}"), "-b", "now+1h", "--wrap", "true"]);
    let why = cluster.run("jqueue", ["why", &held, "--json"]).json()["data"].clone();
    let codes: Vec<&str> =
        why["conditions"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["JobHeldUser", "Dependency", "BeginTime"]);
    assert!(why["conditions"][2]["until"].is_string());
    // Setting what it waits for: not itself, not in a circle; nothing at all.
    cluster.run("jqueue", ["set", &b, &format!("dependency=afterok:{held}")]).expect(1);
    cluster.run("jqueue", ["set", &held, "dependency=", "begin=now"]).ok();
    write(cluster, "why", "");
    cluster.run("jqueue", ["release", &held]).ok();
    assert_eq!((wait(cluster, &c), wait(cluster, &held)), (0, 0));
}

/// CPU-hours of what has ended; and a refused look leaves its line in the audit.
fn sums_and_refusals(cluster: &Cluster) {
    cluster.wait_until("what has ended to be summed", || {
        let sums = cluster.run("jqueue", ["usage", "--by", "partition", "--json"]).json();
        sums["data"].as_array().unwrap().iter().any(|row| row["cpu_hours"].as_f64().unwrap_or(0.0) > 0.0)
    });
    cluster.run("jctld", ["user", "add", "eve", "--uid", "4245", "--out", "eve"]).ok();
    let eve = "export JSCHED_CONFIG=$PWD/eve/client.toml";
    assert_eq!(bash(cluster, &format!("{eve}; jqueue log 1")).code, 77);
    cluster.wait_until("the refusal to be in the audit", || {
        let audit = cluster.run("jctld", ["audit"]).ok();
        audit.lines().any(|line| line.contains("eve") && line.contains("read output"))
    });
}

/// Output files, whole, under their own names; what is there already stays.
fn fetched(cluster: &Cluster) {
    let id = submit(
        cluster,
        [
            "--mem=10M",
            "-a",
            "1-2",
            "-o",
            "deep-%A.%a.out",
            "-e",
            "deep.err",
            "--wrap",
            "echo $SLURM_ARRAY_TASK_ID; echo e >&2",
        ],
    );
    assert_eq!(wait(cluster, &id), 0);
    let said = cluster.run("jqueue", ["fetch", &id, "*", "here"]).ok();
    assert_eq!(said.lines().count(), 3, "{said}");
    assert_eq!(crate::read(cluster, &format!("here/deep-{id}.2.out")), "2\n");
    assert_eq!(crate::read(cluster, "here/deep.err"), "e\ne\n");
    cluster.run("jqueue", ["fetch", &id, "*", "here"]).expect(1);
    let said = cluster.run("jqueue", ["fetch", &format!("{id}_1"), "*.out", "there", "--json"]).json();
    assert_eq!((&said["data"][0]["bytes"], said["data"].as_array().unwrap().len()), (&2.into(), 1));
    cluster.run("jqueue", ["fetch", &id, "no*such", "there"]).expect(1);
}

fn weights_features_partitions(cluster: &Cluster) {
    let on = |id: &str| show(cluster, id)["nodes"][0].as_str().unwrap_or_default().to_owned();
    cluster.run("jnode", ["set", "n2", "weight=0", "features=big,ssd"]).ok();
    let said = cluster.run("jnode", ["show", "n2", "--json"]).json()["data"].clone();
    assert_eq!((&said["features"], &said["weight"]), (&serde_json::json!(["big", "ssd"]), &0.into()));
    let light = submit(cluster, ["--mem=10M", "--wrap", "true"]);
    assert_eq!((wait(cluster, &light), on(&light).as_str()), (0, "n2"));
    cluster.run("jnode", ["set", "n2", "weight=9"]).ok();
    let light = submit(cluster, ["--mem=10M", "--wrap", "true"]);
    assert_eq!((wait(cluster, &light), on(&light).as_str()), (0, "n1"));
    let big = submit(cluster, ["--mem=10M", "-C", "big&ssd|gpu", "--wrap", "true"]);
    assert_eq!((wait(cluster, &big), on(&big).as_str()), (0, "n2"));
    let said = cluster.run("jsubmit", ["-C", "big&gpu", "--wrap", "true"]);
    said.expect(1);
    holds(&said.stderr, &["no node of partition main may run it"]);
    cluster.run("jnode", ["partition", "set", "fast", "nodes=n1", "accounts=lab"]).ok();
    cluster.run("jnode", ["set", "n2", "partitions=fast"]).ok();
    let nodes = |name: &str| {
        cluster
            .run("jnode", ["partition", "list"])
            .ok()
            .lines()
            .find(|line| line.starts_with(name))
            .unwrap()
            .to_owned()
    };
    holds(&nodes("fast"), &["n[1-2]"]);
    assert!(!nodes("main").contains("n2"));
    cluster.run("jsubmit", ["-p", "fast", "--wrap", "true"]).expect(1);
    cluster.run("jsubmit", ["-p", "fast", "-A", "lab", "--wrap", "true"]).ok();
    cluster.run("jnode", ["set", "n1", "gres=gpu:1"]).expect(65);
    cluster.run("jnode", ["set", "n2", "partitions=main,fast", "weight=1"]).ok();
}

/// What is left at the deadline of a drain gives way and runs elsewhere.
fn drained_at_a_deadline(cluster: &Cluster) {
    let id = submit(cluster, ["--mem=10M", "-C", "big", "--wrap", &until_gate("moved")]);
    until(cluster, &id, "running");
    cluster.run("jnode", ["set", "n1", "features=big"]).ok();
    let said = cluster.run("jnode", ["drain", "n2", "--reason", "move", "--deadline", "now+5s", "--wait"]);
    said.ok();
    holds(&said.stderr, &["is ended then"]);
    cluster.wait_until("it to run elsewhere", || {
        let job = show(cluster, &id);
        (&job["attempt"], &job["nodes"], &job["state"])
            == (&2.into(), &serde_json::json!(["n1"]), &"running".into())
    });
    holds(&cluster.run("jqueue", ["show", &id]).ok(), &["preempted on n2", "drained"]);
    write(cluster, "moved", "");
    assert_eq!(wait(cluster, &id), 0);
}
