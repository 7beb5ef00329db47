//! Who starts first on one node of four cpus.

use crate::harness::Cluster;
use crate::{show, state, submit, until, until_gate, wait, write};

#[test]
fn scheduling() {
    let cluster = Cluster::builder().cpus(4).start();
    several_on_a_node(&cluster);
    backfill_delays_nobody(&cluster);
    rank_before_order(&cluster);
    lowered_limit_of_an_array(&cluster);
    policies_of_a_partition(&cluster);
}

fn several_on_a_node(cluster: &Cluster) {
    let gate = until_gate("all");
    let ids: Vec<String> =
        (0..5).map(|_| submit(cluster, ["--mem=10M", "-t", "10", "--wrap", &gate])).collect();
    for id in &ids[..4] {
        until(cluster, id, "running");
    }
    assert_eq!(show(cluster, &ids[4])["reason"]["code"], "Resources");
    let nodes = cluster.run("jnode", ["--json"]).json();
    let node = &nodes["data"][0];
    assert_eq!(
        (&node["state"], &node["cpus_allocated"], &node["jobs"]),
        (&"full".into(), &4.into(), &4.into())
    );
    write(cluster, "all", "");
    assert_eq!(wait(cluster, &ids[4]), 0);
}

/// A holds 3 cpus, B wants 4; C ends before A may, so it goes ahead; D would not, so it waits behind B.
fn backfill_delays_nobody(cluster: &Cluster) {
    let job = |name: &str, cpus: &str, limit: &str| {
        submit(
            cluster,
            ["-J", name, "-c", cpus, "-t", limit, "--mem=10M", "--wrap", &until_gate(&format!("go.{name}"))],
        )
    };
    let a = job("A", "3", "60s");
    until(cluster, &a, "running");
    let (b, c, d) = (job("B", "4", "60s"), job("C", "1", "30s"), job("D", "1", "10"));
    until(cluster, &c, "running");
    assert_eq!(show(cluster, &b)["reason"]["code"], "Resources");
    assert_eq!(show(cluster, &d)["reason"]["code"], "Priority");
    let why = cluster.run("jqueue", ["why", &d, "--json"]).json();
    assert_eq!((&why["data"]["rank"], &why["data"]["ahead"]), (&2.into(), &1.into()));
    assert!(cluster.run("jqueue", ["why", &b, "--json"]).json()["data"]["start"]["promise"].is_string());
    write(cluster, "go.C", "");
    assert_eq!(wait(cluster, &c), 0);
    assert_eq!((state(cluster, &b).as_str(), state(cluster, &d).as_str()), ("pending", "pending"));
    write(cluster, "go.A", "");
    until(cluster, &b, "running");
    assert_eq!(state(cluster, &d), "pending");
    write(cluster, "go.B", "");
    write(cluster, "go.D", "");
    assert_eq!((wait(cluster, &b), wait(cluster, &d)), (0, 0));
    let time = |id: &str, field: &str| {
        show(cluster, id)[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap()
    };
    assert!(time(&a, "end_time") <= time(&b, "start_time"), "B starts when A ends");
    assert!(time(&b, "start_time") <= time(&d, "start_time"), "D does not start before B");
}

/// Of jobs that want the whole node, the higher priority goes first, then the earlier submit; `--nice` goes last.
fn rank_before_order(cluster: &Cluster) {
    let gate = submit(cluster, ["-c4", "--mem=10M", "--wrap", &until_gate("rank")]);
    until(cluster, &gate, "running");
    let job = |option: &str| submit(cluster, ["-c4", "--mem=10M", option, "--wrap", "true"]);
    let (nice, first, second, high) =
        (job("--nice=10"), job("--nice=0"), job("--nice=0"), job("--priority=1000"));
    write(cluster, "rank", "");
    let order = [&high, &first, &second, &nice];
    let starts: Vec<jiff::Timestamp> = order
        .iter()
        .map(|id| {
            assert_eq!(wait(cluster, id), 0);
            show(cluster, id)["start_time"].as_str().unwrap().parse().unwrap()
        })
        .collect();
    assert!(starts.is_sorted(), "{order:?} started at {starts:?}");
}

/// `set array-limit=` is seen by the next start.
fn lowered_limit_of_an_array(cluster: &Cluster) {
    let line = "until [ -e wide ]; do sleep 0.05; done";
    let id = submit(cluster, ["-a", "1-4%1", "--mem=10M", "--wrap", line]);
    cluster.wait_until("one task to run", || show(cluster, &id)["tasks"]["running"] == 1);
    cluster.run("jqueue", ["set", &id, "array-limit=3"]).ok();
    cluster.wait_until("three tasks to run", || show(cluster, &id)["tasks"]["running"] == 3);
    assert_eq!(show(cluster, &id)["tasks"]["pending"], 1);
    write(cluster, "wide", "");
    assert_eq!(wait(cluster, &id), 0);
}

/// A policy holds from the next event on, for those who wait already, and over restarts.
fn policies_of_a_partition(cluster: &Cluster) {
    let policy =
        |policy: &str| cluster.run("jnode", ["partition", "set", "main", &format!("policy={policy}")]);
    let job = |cpus: &str, limit: &str, gate: &str| {
        submit(cluster, ["-c", cpus, "-t", limit, "--mem=10M", "--wrap", &until_gate(gate)])
    };
    let gate = job("4", "10", "sorted");
    until(cluster, &gate, "running");
    let long = submit(cluster, ["-c4", "--mem=10M", "-t", "60", "--priority=9", "--wrap", "true"]);
    let short = job("4", "10", "short");
    policy("sjf-easy").ok();
    let rank = |id: &str| cluster.run("jqueue", ["prio", id, "--json"]).json()["data"].clone();
    cluster.wait_until("the short one to be the first", || rank(&short)["rank"] == 1);
    assert_eq!((&rank(&long)["rank"], &rank(&long)["policy"]), (&2.into(), &"sjf-easy".into()));
    write(cluster, "sorted", "");
    until(cluster, &short, "running");
    assert_eq!(state(cluster, &long), "pending");
    write(cluster, "short", "");
    assert_eq!(wait(cluster, &long), 0);

    policy("fifo").ok();
    let (holder, big) = (job("3", "10", "strict"), job("4", "1", "strict"));
    until(cluster, &holder, "running");
    let small = submit(cluster, ["-c1", "--mem=10M", "-t", "30s", "--wrap", "true"]);
    cluster.wait_until("it to wait for its turn", || show(cluster, &small)["reason"]["code"] == "Priority");
    cluster.kill9("jctld");
    let listed = || cluster.run("jnode", ["partition", "list", "--json"]);
    cluster.wait_until("jctld to return", || listed().code == 0);
    assert_eq!(listed().json()["data"][0]["policy"], "fcfs");
    assert_eq!((state(cluster, &small).as_str(), state(cluster, &big).as_str()), ("pending", "pending"));
    policy("easy").ok();
    assert_eq!(wait(cluster, &small), 0);
    assert_eq!(state(cluster, &big), "pending");
    write(cluster, "strict", "");
    assert_eq!(wait(cluster, &big), 0);

    // C waits for all four cpus and has a reservation, though B stands before it: D would hold one of them too long.
    policy("conservative").ok();
    let holder = job("3", "10", "planned");
    until(cluster, &holder, "running");
    let (b, c) = (job("2", "10", "planned"), job("4", "10", "planned"));
    let d = submit(cluster, ["-c1", "--mem=10M", "-t", "25", "--wrap", "true"]);
    cluster.wait_until("it to wait for its turn", || show(cluster, &d)["reason"]["code"] == "Priority");
    assert_eq!((state(cluster, &b).as_str(), state(cluster, &c).as_str()), ("pending", "pending"));
    policy("easy").ok();
    assert_eq!(wait(cluster, &d), 0);
    assert_eq!(state(cluster, &b), "pending");
    write(cluster, "planned", "");
    assert_eq!(wait(cluster, &c), 0);
    policy("wfp3-easy").expect(65);
    policy("fastest").expect(64);
    policy("priority-easy").ok();
}
