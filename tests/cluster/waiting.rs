//! Waiting for jobs: exit codes, output followed live, changes pushed.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::harness::Cluster;
use crate::{bash, holds, show, submit, until, until_gate, wait, write};

#[test]
fn waiting() {
    let cluster = Cluster::builder().cpus(4).start();
    exit_codes(&cluster);
    forms_of_waiting(&cluster);
    following(&cluster);
    interrupted(&cluster);
    watching(&cluster);
}

fn exit_codes(cluster: &Cluster) {
    let job = |line: &str, more: &[&str]| {
        let args = [&["--parsable", "--mem=64M", "--wrap", line], more].concat();
        cluster.run("jsubmit", args).ok()
    };
    let good = job("true", &[]);
    let failed = job("exit 3", &[]);
    let killed = job("kill -9 $$", &[]);
    let late = job("trap 'exit 0' TERM; while :; do sleep 0.1; done", &["-t", "1s"]);
    let fat = job("(head -c 400M /dev/zero; sleep 600) | tail", &[]);
    let held = job("true", &["--hold"]);
    let orphan = job("true", &["-d", &format!("afterok:{failed}")]);
    cluster.run("jcancel", [&held]).ok();
    let codes =
        [(&good, 0), (&failed, 3), (&killed, 137), (&late, 124), (&fat, 137), (&held, 130), (&orphan, 125)];
    for (id, code) in codes {
        assert_eq!(wait(cluster, id), code, "{:#}", show(cluster, id));
    }
    for (id, state) in
        [(&killed, "failed"), (&late, "timeout"), (&fat, "out_of_memory"), (&held, "cancelled")]
    {
        assert_eq!(show(cluster, id)["state"], state);
    }
    assert_eq!(
        (&show(cluster, &killed)["signal"], &show(cluster, &late)["exit_code"]),
        (&9.into(), &0.into())
    );
    cluster.run("jqueue", ["wait", &good, &failed, &late]).expect(124);
    assert_eq!(cluster.run("jcancel", [&good]).expect(0).lines().count(), 1, "it says that it has ended");
    cluster.run("jqueue", ["wait", "99999"]).expect(1);
    cluster.run("jqueue", ["wait"]).expect(64);
}

fn forms_of_waiting(cluster: &Cluster) {
    let id = submit(cluster, ["-J", "gated", "--wrap", &format!("{}; exit 5", until_gate("form"))]);
    cluster.run("jqueue", ["wait", "name:gated", "--for", "start"]).expect(0);
    assert_eq!(show(cluster, &id)["state"], "running");
    let said = cluster.run("jqueue", ["wait", &id, "--timeout", "1s"]);
    said.expect(75);
    holds(&said.stderr, &[&id]);
    write(cluster, "form", "");
    cluster.run("jqueue", ["wait", "name:gated"]).expect(5);
    cluster.run("jqueue", ["wait", "--for", "start", &id]).expect(5);
    assert_eq!(
        cluster.run("jsubmit", ["-W", "--parsable", "-a", "1-3", "--wrap", "exit $SLURM_ARRAY_TASK_ID"]).code,
        3
    );
    // What is cancelled while it runs is dead when `--wait` comes back.
    let id = submit(cluster, ["--wrap", "echo $$ > pid; exec sleep 600"]);
    cluster.wait_until("its pid", || cluster.work.join("pid").exists());
    cluster.run("jcancel", ["--wait", "--reason", "enough", &id]).ok();
    assert_eq!(bash(cluster, "kill -0 $(cat pid)").code, 1);
    let job = show(cluster, &id);
    assert_eq!((&job["state"], &job["cause"]["text"]), (&"cancelled".into(), &"enough".into()));
}

/// `--follow`: standard output is the job's alone, live, and the job's code.
fn following(cluster: &Cluster) {
    let line = format!("echo first; echo bad >&2; {}; echo last; exit 7", until_gate("more"));
    let mut child = start(cluster.command("jsubmit"), &["--follow", "-e", "err", "--wrap", &line]);
    let mut output = BufReader::new(child.0.stdout.take().unwrap());
    let mut text = String::new();
    output.read_line(&mut text).unwrap();
    assert_eq!(text, "first\n", "before the end");
    write(cluster, "more", "");
    output.read_line(&mut text).unwrap();
    assert_eq!(output.read_line(&mut String::new()).unwrap(), 0, "nothing else");
    assert_eq!(text, "first\nlast\n");
    assert_eq!(child.0.wait().unwrap().code(), Some(7));
}

/// INT ends the waiting, not the job, and says how to go on.
fn interrupted(cluster: &Cluster) {
    for option in ["--wait", "--follow"] {
        let mut child = start(cluster.command("jsubmit"), &[option, "-J", "int", "--wrap", "sleep 600"]);
        let mut talk = BufReader::new(if option == "--wait" {
            Box::new(child.0.stdout.take().unwrap()) as Box<dyn std::io::Read>
        } else {
            Box::new(child.0.stderr.take().unwrap())
        });
        let mut line = String::new();
        talk.read_line(&mut line).unwrap();
        let id = line.trim().rsplit(' ').next().unwrap().to_owned();
        kill(Pid::from_raw(child.0.id().cast_signed()), Signal::SIGINT).unwrap();
        assert_eq!(child.0.wait().unwrap().code(), Some(75), "{option}");
        let mut rest = String::new();
        match child.0.stderr.take() {
            Some(mut stderr) => std::io::Read::read_to_string(&mut stderr, &mut rest).unwrap(),
            None => std::io::Read::read_to_string(&mut talk, &mut rest).unwrap(),
        };
        holds(&rest, &[&format!("{id} goes on: `jqueue wait {id}`, `jcancel {id}`")]);
        until(cluster, &id, "running");
        cluster.run("jcancel", [&id]).ok();
        assert_eq!(wait(cluster, &id), 130);
    }
}

/// `--watch --json`: folded by id, the latest is what `show` says.
fn watching(cluster: &Cluster) {
    let mut child = start(cluster.command("jqueue"), &["--watch", "--json"]);
    let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    let mut next = move || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    let mut jobs: BTreeMap<String, Value> = BTreeMap::new();
    assert!(first["snapshot"].is_array());
    let mut position = first["position"].as_u64().unwrap();
    let ids = [submit(cluster, ["--wrap", "true"]), submit(cluster, ["--wrap", "exit 2"])];
    while !ids.iter().all(|id| jobs.get(id).is_some_and(|job| job["end_time"].is_string())) {
        let line = next();
        let here = line["position"].as_u64().unwrap();
        assert!(here >= position, "positions never go back");
        position = here;
        jobs.insert(line["job"]["id"].as_str().unwrap().to_owned(), line["job"].clone());
    }
    for id in &ids {
        let shown = show(cluster, id);
        for field in ["state", "exit_code", "start_time", "end_time", "nodes", "name"] {
            assert_eq!(jobs[id][field], shown[field], "{field}");
        }
    }
}

/// A command that is ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(mut command: Command, args: &[&str]) -> Running {
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Running(command.spawn().unwrap())
}
