//! Lost contact: a node falls silent while its jobs run on, and comes back.

use std::collections::BTreeMap;

use nix::sys::signal::{Signal, kill};

use crate::harness::Cluster;
use crate::{read, show, state, submit, wait};

/// A job that writes a line with its attempt and the time, ten times a second, until `stop` is there.
const TICKING: &str =
    "while ! test -e stop; do echo $JSCHED_ATTEMPT $(date +%s%3N) >> $SLURM_JOB_NAME.ticks; sleep 0.1; done";

/// Stops a node's daemon, or lets it go on: its supervisors and jobs are not touched.
fn signal(cluster: &Cluster, node: &str, signal: Signal) {
    kill(cluster.pid(node).unwrap(), signal).unwrap();
}

/// The times at which each attempt has written.
fn ticks(cluster: &Cluster, name: &str) -> BTreeMap<u32, Vec<u64>> {
    let mut ticks: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    let text = std::fs::read_to_string(cluster.work.join(format!("{name}.ticks"))).unwrap_or_default();
    for line in text.lines() {
        let Some((attempt, at)) = line.split_once(' ') else { continue };
        ticks.entry(attempt.parse().unwrap()).or_default().push(at.parse().unwrap());
    }
    ticks
}

fn ticking(cluster: &Cluster, name: &str, policy: &str) -> String {
    let id = submit(cluster, ["-J", name, "--mem=10M", policy, "--wrap", TICKING]);
    cluster.wait_until("the job ticks", || ticks(cluster, name).contains_key(&1));
    id
}

/// Each policy has its way with the silence of a node: a fenced job stands still before it starts elsewhere, one that
/// may overlap starts at once, and the others run on and nothing starts.
#[test]
fn a_silent_node() {
    let cluster = Cluster::builder().nodes(2).cpus(4).set("node_timeout=3s").start();
    // All four on the first node: the other one is away meanwhile.
    cluster.run("jnode", ["drain", "n2", "--reason", "test"]).ok();
    let fenced = ticking(&cluster, "fenced", "--requeue");
    let proof = ticking(&cluster, "proof", "--requeue=proof");
    let never = ticking(&cluster, "never", "--no-requeue");
    let overlap = ticking(&cluster, "overlap", "--requeue=overlap");
    cluster.run("jnode", ["resume", "n2"]).ok();
    signal(&cluster, "n1", Signal::SIGSTOP);
    cluster.wait_until("the job that may overlap runs twice", || ticks(&cluster, "overlap").contains_key(&2));
    cluster.wait_until("the others are unreachable", || state(&cluster, &proof) == "unreachable");
    assert_eq!(state(&cluster, &never), "unreachable");
    cluster.wait_until("the fenced job starts elsewhere", || ticks(&cluster, "fenced").contains_key(&2));
    let runs_on = |name: &str| {
        let before = ticks(&cluster, name)[&1].len();
        cluster.wait_until("it runs on", || ticks(&cluster, name)[&1].len() > before + 5);
        assert_eq!(ticks(&cluster, name).len(), 1, "{name}");
    };
    runs_on("proof");
    runs_on("never");
    let shown = cluster.run("jqueue", ["show", &fenced]).ok();
    assert!(shown.contains("given up: n1 was silent"), "{shown}");

    // Back again: what was given up is killed, what nothing has replaced is as it was.
    signal(&cluster, "n1", Signal::SIGCONT);
    let nodes = || cluster.run("jnode", ["--json"]).json()["data"].clone();
    cluster.wait_until("the node takes work again", || {
        let n1 = nodes().as_array().unwrap().iter().find(|node| node["name"] == "n1").unwrap().clone();
        n1["state"] == "mixed" && n1["reason"].is_null()
    });
    assert_eq!(
        (state(&cluster, &proof), state(&cluster, &never)),
        ("running".to_owned(), "running".to_owned())
    );
    let all = ticks(&cluster, "fenced");
    assert_eq!(all.len(), 2);
    assert!(all[&1].last() < all[&2].first(), "two attempts of a fenced job ran at once: {all:?}");
    let shown = cluster.run("jqueue", ["show", &fenced]).ok();
    assert!(shown.contains("attempt 1: node fail on n1") && shown.contains("attempt 2"), "{shown}");
    crate::write(&cluster, "stop", "");
    for (id, attempt) in [(&fenced, 2), (&proof, 1), (&never, 1), (&overlap, 2)] {
        assert_eq!(wait(&cluster, id), 0);
        assert_eq!(show(&cluster, id)["attempt"], attempt);
    }
    assert_eq!(read(&cluster, "proof.ticks").lines().filter(|line| line.starts_with("2 ")).count(), 0);
}

/// With nowhere else to go, a fenced job that was frozen goes on where it stands when contact returns; one that ended
/// before its lease did has ended, whoever has given it up meanwhile.
#[test]
fn nothing_has_replaced_it() {
    let cluster = Cluster::builder().nodes(1).cpus(4).set("node_timeout=3s").start();
    let ticker = submit(&cluster, ["-J", "only", "--mem=10M", "--wrap", TICKING]);
    let ends = submit(&cluster, ["--mem=10M", "--wrap", "until test -e end; do sleep 0.1; done; exit 7"]);
    cluster.wait_until("the job ticks", || ticks(&cluster, "only").contains_key(&1));
    cluster.wait_until("the other runs", || state(&cluster, &ends) == "running");
    signal(&cluster, "n1", Signal::SIGSTOP);
    crate::write(&cluster, "end", "");
    cluster.wait_until("both are given up", || {
        state(&cluster, &ticker) == "pending" && state(&cluster, &ends) == "pending"
    });
    let frozen_at = ticks(&cluster, "only")[&1].len();
    signal(&cluster, "n1", Signal::SIGCONT);
    assert_eq!(wait(&cluster, &ends), 7);
    cluster.wait_until("it goes on", || ticks(&cluster, "only")[&1].len() > frozen_at + 2);
    cluster.wait_until("it is shown so", || state(&cluster, &ticker) == "running");
    crate::write(&cluster, "stop", "");
    assert_eq!(wait(&cluster, &ticker), 0);
    for id in [&ticker, &ends] {
        assert_eq!(show(&cluster, id)["attempt"], 1);
    }
}

/// The site's fence command is proof: what waits for that alone starts elsewhere at once.
#[test]
fn fenced_by_the_site() {
    let folder = tempfile::tempdir().unwrap();
    let (script, asked) = (folder.path().join("fence"), folder.path().join("asked"));
    // The first time it can't say; the second time it can.
    let text = format!(
        "#!/bin/sh\necho \"$1\" >> {asked}\ntest $(wc -l < {asked}) -gt 1 || {{ echo not yet >&2; exit 1; }}\n",
        asked = asked.display()
    );
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let fence = format!("fence={}", script.display());
    let cluster = Cluster::builder().nodes(2).cpus(2).set("node_timeout=3s").set(&fence).start();
    let line = "test $JSCHED_ATTEMPT = 2 || sleep 1000";
    let job = submit(&cluster, ["--requeue=proof", "-w", "n1", "--mem=10M", "--wrap", line]);
    cluster.wait_until("it runs", || state(&cluster, &job) == "running");
    cluster.run("jqueue", ["set", &job, "nodelist=n2"]);
    signal(&cluster, "n1", Signal::SIGSTOP);
    cluster.wait_until("the first attempt is known to be dead", || {
        show(&cluster, &job)["attempts"][0]["state"] == "node_fail"
    });
    let first = show(&cluster, &job)["attempts"][0].clone();
    assert!(first["cause"]["text"].as_str().unwrap().contains("fence command"), "{first}");
    assert_eq!(std::fs::read_to_string(&asked).unwrap().lines().collect::<Vec<_>>(), ["n1", "n1"]);
    signal(&cluster, "n1", Signal::SIGCONT);
    assert_eq!(wait(&cluster, &job), 0);
}
