//! Whoever waits costs nothing: system calls while nothing happens, counted by strace(1) where that is there.

use std::process::{Child, Command, Stdio};

use nix::unistd::Pid;

use super::harness::Cluster;
use super::submit;

/// So many wait for one job.
const WAITERS: usize = 100;
/// Fewer system calls than this make a waiting command in [`WINDOW_SECONDS`], and the controller for each of them.
const CALLS_MAX: u64 = 50;
const WINDOW_SECONDS: u32 = 10;

/// Begins to count the system calls of a process.
fn count(pid: Pid) -> Child {
    let mut command = Command::new("timeout");
    command.args(["--signal=INT", &WINDOW_SECONDS.to_string(), "strace", "-f", "-c", "-U", "calls,name"]);
    command.args(["-p", &pid.to_string()]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// How many there were, and which.
fn counted(counting: Child) -> (u64, String) {
    let told = counting.wait_with_output().unwrap().stderr;
    let text = String::from_utf8_lossy(&told).into_owned();
    // Nothing is printed of a process that made none.
    let total = text.lines().find_map(|line| line.trim().strip_suffix(" total"));
    (total.map_or(0, |count| count.trim().parse().unwrap()), text)
}

#[test]
fn whoever_waits_costs_nothing() {
    let there = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !there {
        println!("skipped: strace is not here");
        return;
    }
    let cluster = Cluster::start(1);
    let id = submit(&cluster, ["--wrap", "echo ready; sleep 1000"]);
    cluster
        .wait_until("the job to say something", || cluster.run("jqueue", ["log", &id]).stdout == "ready\n");
    let start = |args: &[&str]| {
        let mut command = cluster.command("jqueue");
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut waiters = vec![start(&["--watch", "--json"]), start(&["log", "-f", &id])];
    waiters.extend((2..WAITERS).map(|_| start(&["wait", &id])));
    let pid = |child: &Child| Pid::from_raw(i32::try_from(child.id()).unwrap());
    let controller = cluster.pid("jctld").unwrap();
    let mut seen = String::new();
    // In the first of these windows they still say hello.
    cluster.wait_until("all of them to be quiet", || {
        let commands: Vec<Child> = waiters.iter().take(3).map(|waiter| count(pid(waiter))).collect();
        let own = counted(count(controller));
        let of_commands: Vec<(u64, String)> = commands.into_iter().map(counted).collect();
        seen = format!("{of_commands:?}, the controller {own:?}");
        of_commands.iter().all(|(calls, _)| *calls < CALLS_MAX) && own.0 < CALLS_MAX * WAITERS as u64
    });
    println!("{seen}");
    for waiter in &mut waiters {
        assert!(waiter.try_wait().unwrap().is_none(), "somebody has stopped waiting");
        waiter.kill().unwrap();
        waiter.wait().unwrap();
    }
}
