//! What happens around real daemons: links that are cut in one direction, slow and lossy; a controller that stands still for
//! longer than every time-out, or moves to another address; a disk that runs full.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use evidence::{SIGN, ended_job, insist, job, jobs, ledger, revived, send, submit, word};
use harness::mount::Mount;
use harness::relay::Relay;
use harness::{Cluster, poll};
use nix::sys::signal::Signal;

/// A job that signs once it runs, waits for a file, and ends with 7.
fn until(file: &str) -> String {
    format!("{SIGN}; until test -e {file}; do sleep 0.05; done; exit 7")
}

fn listen(cluster: &Cluster) -> SocketAddr {
    let settings = fs::read_to_string(cluster.dir.join("controller/jctld.toml")).unwrap();
    let line = settings.lines().find_map(|line| line.strip_prefix("listen = ")).unwrap();
    line.trim_matches('"').parse().unwrap()
}

/// Replaces a text in a file, which must have it.
fn replace(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(from), "{} has no {from}: {text}", file.display());
    fs::write(file, text.replace(from, to)).unwrap();
}

fn node_state(cluster: &Cluster) -> String {
    insist(cluster, "jnode", &["--json"]).json()["data"][0]["state"].as_str().unwrap_or_default().to_owned()
}

fn running(cluster: &Cluster, id: &str) {
    insist(cluster, "jqueue", &["wait", "--for", "start", id]).expect(0);
}

/// Each signed once, and its one attempt ended with 7.
fn once(cluster: &Cluster, ids: &[(&str, &str)]) {
    for (name, id) in ids {
        let ended = ended_job(cluster, id);
        assert_eq!(
            (word(&ended, "state"), ended["exit_code"].as_i64()),
            ("failed", Some(7)),
            "{name}: {ended:#}"
        );
        assert_eq!(ended["attempt"], 1, "{name}");
        assert_eq!(ledger(cluster).get(&format!("{name} 1")), Some(&1), "{name}");
    }
    assert_eq!(ledger(cluster).len(), ids.len());
}

/// A node behind a bad link: slow and lossy it works; cut in either direction it is unreachable, its jobs run on, those
/// that stand still go on, and what has ended meanwhile is known once the link is back. Nothing starts twice.
#[test]
fn a_node_behind_a_bad_link() {
    let cluster = Cluster::builder().cpus(4).set("node_timeout=3s").set("lease=300s").start();
    let relay = Relay::to(listen(&cluster));
    let settings = cluster.dir.join("n1/jworkerd.toml");
    replace(&settings, &listen(&cluster).to_string(), &relay.address.to_string());
    let old = cluster.kill9("n1");
    revived(&cluster, "n1", old);
    relay.drop_one_in(7);
    relay.delay(Duration::from_millis(1));
    let lossy = submit(&cluster, "lossy", &["-J", "lossy", "-o", "none", "--wrap", &until("lossy")]);
    running(&cluster, &lossy);
    fs::write(cluster.work.join("lossy"), "").unwrap();
    ended_job(&cluster, &lossy);
    relay.drop_one_in(0);
    relay.delay(Duration::ZERO);
    let mut ids = vec![("lossy".to_owned(), lossy)];
    for (name, policy) in [("answers", "--no-requeue"), ("questions", "--requeue")] {
        let id = submit(&cluster, name, &["-J", name, policy, "-o", "none", "--wrap", &until(name)]);
        running(&cluster, &id);
        let cut = |cut: bool| match name {
            "answers" => relay.cut_answers(cut),
            _ => relay.cut_questions(cut),
        };
        cut(true);
        poll("the node to be unreachable", || node_state(&cluster) == "unreachable");
        assert_eq!(word(&job(&cluster, &id), "state"), "unreachable", "{name}");
        fs::write(cluster.work.join(name), "").unwrap();
        cut(false);
        ids.push((name.to_owned(), id));
        ended_job(&cluster, &ids.last().unwrap().1);
        poll("the node to be back", || node_state(&cluster) == "idle");
    }
    let ids: Vec<(&str, &str)> = ids.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    once(&cluster, &ids);
}

/// The controller stands still for longer than node timeout and lease: fenced jobs do, too, then, and go on with it; what
/// was asked meanwhile is answered once.
#[test]
fn a_controller_that_stands_still() {
    let cluster = Cluster::builder().cpus(4).set("node_timeout=2s").start();
    let fenced = submit(&cluster, "fenced", &["-J", "fenced", "-o", "none", "--wrap", &until("go")]);
    let never =
        submit(&cluster, "never", &["-J", "never", "--no-requeue", "-o", "none", "--wrap", &until("go")]);
    let ends =
        submit(&cluster, "ends", &["-J", "ends", "--no-requeue", "-o", "none", "--wrap", &until("end")]);
    for id in [&fenced, &never, &ends] {
        running(&cluster, id);
    }
    let controller = cluster.pid("jctld").unwrap();
    send(controller, Signal::SIGSTOP);
    let mut asks = cluster.command("jsubmit");
    asks.args(["--parsable", "--key", "asked", "-J", "asked", "-o", "none", "--wrap", &until("go")]);
    let asked = asks.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    fs::write(cluster.work.join("end"), "").unwrap();
    poll("the fenced job to stand still", || cluster.processes().iter().any(|process| is_stopped(process)));
    send(controller, Signal::SIGCONT);
    let asked = asked.wait_with_output().unwrap();
    let again = submit(&cluster, "asked", &["-J", "asked", "-o", "none", "--wrap", &until("go")]);
    if asked.status.success() {
        assert_eq!(String::from_utf8_lossy(&asked.stdout).trim(), again);
    }
    fs::write(cluster.work.join("go"), "").unwrap();
    once(&cluster, &[("fenced", &fenced), ("never", &never), ("ends", &ends), ("asked", &again)]);
}

/// Whether the process of this line stands still and is a job's.
fn is_stopped(line: &str) -> bool {
    let pid = line.split(' ').next().unwrap_or_default();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    state == Some("T") && !line.contains("jctld")
}

/// The controller comes up at another address, which nodes and clients have in their lists: jobs go on.
#[test]
fn a_controller_that_moves() {
    let cluster = Cluster::builder().cpus(2).start();
    let (old, new) = (listen(&cluster), UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let both = format!("{old}\", \"{new}");
    replace(&cluster.config, &old.to_string(), &both);
    replace(&cluster.dir.join("n1/jworkerd.toml"), &old.to_string(), &both);
    let daemon = cluster.kill9("n1");
    revived(&cluster, "n1", daemon);
    let runs = submit(&cluster, "runs", &["-J", "runs", "-o", "none", "--wrap", &until("go")]);
    running(&cluster, &runs);
    replace(&cluster.dir.join("controller/jctld.toml"), &old.to_string(), &new.to_string());
    let daemon = cluster.kill9("jctld");
    revived(&cluster, "jctld", daemon);
    assert_eq!(word(&job(&cluster, &runs), "state"), "running");
    let later = submit(&cluster, "later", &["-J", "later", "-o", "none", "--wrap", &until("go")]);
    running(&cluster, &later);
    fs::write(cluster.work.join("go"), "").unwrap();
    once(&cluster, &[("runs", &runs), ("later", &later)]);
    assert_eq!(listen(&cluster), new);
}

/// The disk of the state folder runs full: nothing new is acknowledged, what runs goes on and ends, cancels and questions
/// get through, and all is well once there is room.
#[test]
fn a_full_disk_of_the_controller() {
    let mut cluster = Cluster::builder().cpus(4).start();
    cluster.stop();
    let Some(mount) = Mount::over(&cluster.dir.join("controller/state"), "120m") else { return };
    cluster.start_again();
    let runs = submit(&cluster, "runs", &["-J", "runs", "-o", "none", "--wrap", &until("go")]);
    let waits = submit(&cluster, "waits", &["-J", "waits", "-H", "-o", "none", "--wrap", SIGN]);
    running(&cluster, &runs);
    mount.fill(0);
    let filler = format!("#!/bin/sh\n# {}\n", "x".repeat(60_000));
    let mut told = 0;
    poll("a submission to be refused", || {
        let path = cluster.work.join("filler.sh");
        fs::write(&path, format!("{filler}# {told}\n")).unwrap();
        let output = cluster.run("jsubmit", ["--parsable", "-H", "-o", "none", path.to_str().unwrap()]);
        match output.code {
            0 => told += 1,
            _ => assert!(output.stderr.contains("nearly full"), "{output:?}"),
        }
        output.code != 0
    });
    let status = insist(&cluster, "jctld", &["status", "--json"]).json()["data"].to_string();
    assert!(status.contains("nearly full"), "{status}");
    insist(&cluster, "jcancel", &[&waits]).expect(0);
    fs::write(cluster.work.join("go"), "").unwrap();
    poll("the running job to end", || {
        let output = cluster.run("jqueue", ["--json"]);
        output.code == 0
            && output.json()["data"].as_array().unwrap().iter().all(|job| word(job, "name") != "runs")
    });
    mount.empty();
    let mut after = String::new();
    poll("a submission to be taken again", || {
        let output = cluster.run("jsubmit", ["--parsable", "-J", "after", "-o", "none", "--wrap", SIGN]);
        after = output.stdout.trim().to_owned();
        output.code == 0
    });
    insist(&cluster, "jqueue", &["wait", &after]).expect(0);
    let ended = ended_job(&cluster, &runs);
    assert_eq!((word(&ended, "state"), ended["exit_code"].as_i64()), ("failed", Some(7)), "{ended:#}");
    assert_eq!(word(&ended_job(&cluster, &waits), "state"), "cancelled");
    println!("{told} submissions were taken until the disk was full");
    assert_eq!(jobs(&cluster).len(), told + 3);
    cluster.stop();
}

/// The disk of a node's spool runs full: what runs there goes on, its end arrives, nothing starts twice, and the node works
/// again once there is room.
#[test]
fn a_full_disk_of_a_node() {
    let mut cluster = Cluster::builder().cpus(4).start();
    cluster.stop();
    let Some(mount) = Mount::over(&cluster.dir.join("n1/spool"), "20m") else { return };
    cluster.start_again();
    let runs =
        submit(&cluster, "runs", &["-J", "runs", "--no-requeue", "-o", "none", "--wrap", &until("go")]);
    running(&cluster, &runs);
    mount.fill(0);
    fs::write(cluster.work.join("go"), "").unwrap();
    let later = submit(&cluster, "later", &["-J", "later", "-o", "none", "--wrap", &until("go")]);
    let ended = ended_job(&cluster, &runs);
    assert_eq!((word(&ended, "state"), ended["exit_code"].as_i64()), ("failed", Some(7)), "{ended:#}");
    mount.empty();
    poll("the node to work again", || {
        let state = word(&job(&cluster, &later), "state").to_owned();
        if state == "held" {
            insist(&cluster, "jqueue", &["release", &later]);
        }
        if node_state(&cluster).starts_with("drain") {
            insist(&cluster, "jnode", &["resume", "n1"]);
        }
        state == "failed"
    });
    let signed = ledger(&cluster);
    assert!(signed.values().all(|times| *times == 1), "{signed:?}");
    println!("{:#}", job(&cluster, &later)["attempts"]);
    cluster.stop();
}
