//! The commands against real daemons: what INTERFACE promises to people, a file for each theme. Each test has a
//! cluster of its own and plays its scenes one after the other on it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../harness/mod.rs"]
mod harness;

mod accounts;
mod arrays;
mod audit;
mod batch;
mod configuration;
mod environment;
mod inside;
mod launches;
mod lost;
mod network;
mod pressure;
mod quiet;
mod records;
mod refusals;
mod scheduling;
mod shares;
mod verbs;
mod views;
mod waiting;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::{Cluster, Output};
use serde_json::Value;

/// A line for bash as a user types it, with the commands in the path.
fn bash(cluster: &Cluster, line: &str) -> Output {
    let pattern = cluster.command("jsubmit");
    let folder = Path::new(pattern.get_program()).parent().unwrap().display().to_string();
    let mut command = Command::new("bash");
    command.args(["-c", line]).current_dir(&cluster.work);
    for (name, value) in pattern.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap()));
    harness::finish(command, "")
}

/// Submits, and gives the number.
#[track_caller]
fn submit<const N: usize>(cluster: &Cluster, args: [&str; N]) -> String {
    cluster.run("jsubmit", ["--parsable"].iter().chain(&args)).ok()
}

/// Submits, waits for the end, and gives the number.
#[track_caller]
fn done<const N: usize>(cluster: &Cluster, args: [&str; N]) -> String {
    cluster.run("jsubmit", ["--parsable", "--wait"].iter().chain(&args)).ok()
}

/// How `jqueue wait` exits for a job.
fn wait(cluster: &Cluster, job: &str) -> i32 {
    cluster.run("jqueue", ["wait", job]).code
}

/// What `jqueue log` prints of a job.
#[track_caller]
fn log(cluster: &Cluster, job: &str) -> String {
    cluster.run("jqueue", ["log", job]).ok()
}

/// A job as `jqueue show --json` gives it.
#[track_caller]
fn show(cluster: &Cluster, job: &str) -> Value {
    let output = cluster.run("jqueue", ["show", job, "--json"]);
    output.ok();
    output.json()["data"].clone()
}

/// A job's state as `jqueue show --json` gives it.
#[track_caller]
fn state(cluster: &Cluster, job: &str) -> String {
    show(cluster, job)["state"].as_str().unwrap().to_owned()
}

/// Waits until a job is in that state.
#[track_caller]
fn until(cluster: &Cluster, job: &str, wanted: &str) {
    cluster.wait_until(&format!("{job} to be {wanted}"), || state(cluster, job) == wanted);
}

/// Writes a file in the work folder.
fn write(cluster: &Cluster, name: &str, text: &str) {
    fs::write(cluster.work.join(name), text).unwrap();
}

/// Reads a file of the work folder.
#[track_caller]
fn read(cluster: &Cluster, name: &str) -> String {
    fs::read_to_string(cluster.work.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A line that runs until the work folder has the file `gate`.
fn until_gate(gate: &str) -> String {
    format!("until [ -e {gate} ]; do sleep 0.05; done")
}

/// Fails unless the text holds all of these.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}` in:\n{text}");
    }
}
