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
