//! Nodes on which nothing can be launched, and what `jqueue show` knows of every attempt.

use std::fs;

use serde_json::Value;

use crate::harness::Cluster;
use crate::{bash, holds, show, state, submit, until, wait};

/// From now on no job can be launched there: what it needs for its private folders is gone.
fn spoil(cluster: &Cluster, node: &str) {
    let tmp = cluster.dir.join(node).join("tmp");
    fs::rename(&tmp, tmp.with_extension("away")).unwrap();
    fs::write(&tmp, "").unwrap();
}

fn mend(cluster: &Cluster, node: &str) {
    let tmp = cluster.dir.join(node).join("tmp");
    fs::remove_file(&tmp).unwrap();
    fs::rename(tmp.with_extension("away"), &tmp).unwrap();
}

fn node(cluster: &Cluster, name: &str) -> Value {
    let output = cluster.run("jnode", ["show", name, "--json"]);
    output.ok();
    let data = output.json()["data"].clone();
    if data.is_array() { data[0].clone() } else { data }
}

#[test]
fn a_node_that_swallows_jobs_is_taken_out_and_the_jobs_are_not_burnt() {
    let cluster = Cluster::builder().nodes(2).cpus(2).start();
    a_black_hole(&cluster);
    nowhere(&cluster);
}

fn a_black_hole(cluster: &Cluster) {
    // While the other takes nothing, every job goes where it fails.
    cluster.run("jnode", ["drain", "n2", "--reason", "later"]).ok();
    spoil(cluster, "n1");
    let jobs: Vec<String> = (0..4).map(|_| submit(cluster, ["--wrap", "echo well"])).collect();
    cluster.wait_until("n1 to be taken out", || node(cluster, "n1")["state"] == "drained");
    let out = node(cluster, "n1");
    let said = out["reason"].to_string();
    holds(&said, &["launches in a row failed", "jnode resume n1", "tmp"]);
    holds(&cluster.run("jnode", [] as [&str; 0]).ok(), &["launches in a row failed", "jctld"]);
    for job in &jobs {
        assert_eq!(state(cluster, job), "pending");
    }
    // Elsewhere they run, and it has cost them nothing.
    cluster.run("jnode", ["resume", "n2"]).ok();
    for job in &jobs {
        assert_eq!(wait(cluster, job), 0);
    }
    let tried = jobs.iter().map(|job| show(cluster, job));
    let tried: Vec<Value> = tried.filter(|job| job["attempt"].as_u64() > Some(1)).collect();
    assert!(!tried.is_empty());
    for job in &tried {
        assert_eq!(job["restarts"], 0, "{job:#}");
        let attempts = job["attempts"].as_array().unwrap();
        assert_eq!(attempts.len() as u64, job["attempt"].as_u64().unwrap(), "{job:#}");
        let (last, failed) = attempts.split_last().unwrap();
        assert_eq!((&last["node"], &last["state"]), (&"n2".into(), &"completed".into()), "{job:#}");
        assert!(last["start_time"].is_string() && last["end_time"].is_string() && last["exit_code"] == 0);
        for (place, attempt) in failed.iter().enumerate() {
            assert_eq!(attempt["attempt"], place as u64 + 1);
            assert_eq!((&attempt["node"], &attempt["state"]), (&"n1".into(), &"node_fail".into()));
            assert_eq!((&attempt["start_time"], &attempt["cause"]["kind"]), (&Value::Null, &"launch".into()));
            assert!(attempt["end_time"].is_string());
            holds(attempt["cause"]["text"].as_str().unwrap(), &["n1: ", "tmp"]);
        }
    }
    let id = tried[0]["id"].as_str().unwrap();
    holds(&cluster.run("jqueue", ["show", id]).ok(), &["attempt 1: node fail on n1", "never ran", "on n2"]);

    // Mended and resumed, it works again.
    mend(cluster, "n1");
    cluster.run("jnode", ["resume", "n1"]).ok();
    let job = submit(cluster, ["-w", "n1", "--wrap", "true"]);
    assert_eq!(wait(cluster, &job), 0);
    assert_eq!(node(cluster, "n1")["state"], "idle");
}

/// What can be launched nowhere is held in the end, and takes no second node with it.
fn nowhere(cluster: &Cluster) {
    spoil(cluster, "n1");
    spoil(cluster, "n2");
    let array = submit(cluster, ["-a", "1-2", "-o", "none", "--wrap", "true"]);
    let (first, second) = (format!("{array}_1"), format!("{array}_2"));
    until(cluster, &first, "held");
    until(cluster, &second, "held");
    let drained = ["n1", "n2"].iter().filter(|name| node(cluster, name)["state"] == "drained").count();
    assert_eq!(drained, 1);
    let held = show(cluster, &first);
    assert_eq!(held["reason"]["code"], "JobHoldMaxRequeue", "{held:#}");
    let attempts = held["attempts"].as_array().unwrap();
    assert_eq!(attempts.len() as u64, held["attempt"].as_u64().unwrap());
    mend(cluster, "n1");
    mend(cluster, "n2");
    bash(cluster, "jnode resume 'n[1-2]'").ok();
    cluster.run("jqueue", ["release", &array]).ok();
    assert_eq!(wait(cluster, &array), 0);
    assert_eq!(show(cluster, &second)["restarts"], 0);
}
