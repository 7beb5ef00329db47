//! kill -9 of controller, node daemon and supervisor while jobs run: the jobs go on, and their ends are right.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod evidence;
mod harness;

use std::fs;
use std::process::{Child, Stdio};
use std::thread;

use evidence::{
    Dice, exists, insist, job, ledger, open_gate, parent, pid_in, revived, send, submit, word, words_of,
};
use harness::{Cluster, poll};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;

/// Says something, uses cpu and memory, waits for its gate, says something more, and fails with 7.
const WORKER: &str = r#"
echo "$JSCHED_JOB_NAME $JSCHED_ATTEMPT" >> ledger
echo "before $JSCHED_ATTEMPT"
i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done
ballast=$(head -c 40000000 /dev/zero | tr '\0' x)
echo $$ > "$JSCHED_JOB_NAME.pid.new"; mv "$JSCHED_JOB_NAME.pid.new" "$JSCHED_JOB_NAME.pid"
while [ ! -e "$JSCHED_JOB_NAME.gate" ]; do sleep 0.05; done
echo "after ${#ballast}"
exit 7
"#;
/// What it says.
const WORDS: &str = "before 1\nafter 40000000\n";

/// Both daemons are dead when the job ends; waiting and following commands see its end all the same.
#[test]
fn jobs_end_while_both_daemons_are_dead() {
    let cluster = Cluster::builder().cpus(4).start();
    fs::write(cluster.work.join("worker.sh"), format!("#!/bin/bash\n{WORKER}")).unwrap();
    for (first, second) in [("jctld", "n1"), ("n1", "jctld")] {
        let tags = ["followed", "waited"].map(|how| format!("{how}-{first}-first"));
        let follower = background(&cluster, "jsubmit", &["-J", &tags[0], "--follow", "worker.sh"]);
        let waiter = background(&cluster, "jsubmit", &["-J", &tags[1], "--wait", "worker.sh"]);
        let workers = tags.each_ref().map(|tag| pid_in(&cluster, &format!("{tag}.pid")));
        let ids = tags.each_ref().map(|tag| id_of(&cluster, tag));

        // What died first is started again first. The clock of `dev` stands until the jobs are gone.
        let dev = parent(cluster.pid("jctld").unwrap());
        let first_old = cluster.kill9(first);
        poll("the first death to be seen", || !exists(first_old));
        send(dev, Signal::SIGSTOP);
        let second_old = cluster.kill9(second);
        tags.iter().for_each(|tag| open_gate(&cluster.work, &format!("{tag}.gate")));
        poll("the jobs to end", || !workers.into_iter().any(exists));
        send(dev, Signal::SIGCONT);
        revived(&cluster, first, first_old);
        revived(&cluster, second, second_old);

        for (id, tag) in ids.iter().zip(&tags) {
            insist(&cluster, "jqueue", &["wait", id]).expect(7);
            check(&cluster, id, tag);
        }
        assert_eq!(ended(waiter).code, 7);
        let followed = ended(follower);
        assert_eq!((followed.code, followed.stdout.as_str()), (7, WORDS), "{followed:?}");
    }
}

/// Daemons die again and again while jobs run.
#[test]
fn running_jobs_outlive_their_daemons() {
    let mut dice = Dice::new("running jobs");
    let cluster = Cluster::builder().nodes(2).cpus(4).start();
    let tags: Vec<String> = (0..6).map(|number| format!("j{number}")).collect();
    fs::write(cluster.work.join("worker.sh"), format!("#!/bin/bash\n{WORKER}")).unwrap();
    let waiter = background(&cluster, "jsubmit", &["-J", "waited", "--wait", "worker.sh"]);
    pid_in(&cluster, "waited.pid");
    let ids: Vec<String> =
        tags.iter().map(|tag| submit(&cluster, tag, &["-J", tag, "-c", "1", "--wrap", WORKER])).collect();
    for tag in &tags {
        pid_in(&cluster, &format!("{tag}.pid"));
    }
    let mut gates = tags.iter();
    for names in [["jctld", "n1"], ["n2", "jctld"], ["n1", "n2"]] {
        let old = names.map(|name| {
            let old = cluster.kill9(name);
            dice.pause(30);
            old
        });
        for tag in gates.by_ref().take(2) {
            open_gate(&cluster.work, &format!("{tag}.gate"));
        }
        for (name, old) in names.iter().zip(old) {
            revived(&cluster, name, old);
            dice.pause(300);
        }
    }
    for (id, tag) in ids.iter().zip(&tags) {
        insist(&cluster, "jqueue", &["wait", id]).expect(7);
        check(&cluster, id, tag);
    }
    open_gate(&cluster.work, "waited.gate");
    assert_eq!(ended(waiter).code, 7);
    cluster.wait_until("nothing of the jobs to be left", || {
        !cluster.processes().iter().any(|process| process.contains(".gate"))
    });
}

/// Whatever runs below a supervisor dies with it; the job runs again only if it may.
#[test]
fn a_killed_supervisor_leaves_no_orphan() {
    let cluster = Cluster::builder().cpus(4).start();
    // A second process in a session of its own, and one whose parent is gone.
    let script = r#"
echo "$JSCHED_JOB_NAME $JSCHED_ATTEMPT" >> ledger
setsid sleep 1001 &
(sleep 1002 &)
echo $$ > "$JSCHED_JOB_NAME.$JSCHED_ATTEMPT.pid"
if [ $JSCHED_ATTEMPT = 2 ]; then exit 0; fi
sleep 1003
"#;
    let again = submit(&cluster, "again", &["-J", "again", "--wrap", script]);
    let once = submit(&cluster, "once", &["-J", "once", "--no-requeue", "--wrap", script]);
    // A start that the supervisor has not written down yet would end as lost in the launch.
    for id in [&again, &once] {
        cluster.wait_until("the start to be known", || word(&job(&cluster, id), "state") == "running");
    }
    for tag in ["again", "once"] {
        let first = pid_in(&cluster, &format!("{tag}.1.pid"));
        let supervisor = supervisor_of(first);
        send(supervisor, Signal::SIGKILL);
    }
    insist(&cluster, "jqueue", &["wait", &once]).expect(125);
    insist(&cluster, "jqueue", &["wait", &again]).expect(0);
    let once = job(&cluster, &once);
    assert_eq!((word(&once, "state"), word(&once["cause"], "kind")), ("node_fail", "supervisor"), "{once}");
    assert_eq!(once["attempt"], 1, "{once}");
    let again = job(&cluster, &again);
    assert_eq!((word(&again, "state"), &again["attempt"]), ("completed", &Value::from(2)), "{again}");
    assert!(again["timeline"].to_string().contains("supervisor"), "{again}");
    let lines = ledger(&cluster);
    let expected = ["again 1", "again 2", "once 1"].map(|line| (line.to_owned(), 1));
    assert_eq!(lines, expected.into_iter().collect());
    cluster.wait_until("no orphan to be left", || {
        !cluster.processes().iter().any(|process| process.contains("sleep 100"))
    });
}

/// A supervisor that dies while no node daemon is there, and a job whose first process is killed.
#[test]
fn deaths_that_nobody_sees() {
    let cluster = Cluster::builder().cpus(4).start();
    let script = r#"echo $$ > "$JSCHED_JOB_NAME.pid"; sleep 1001; true"#;
    let lost = submit(&cluster, "lost", &["-J", "lost", "--no-requeue", "--wrap", script]);
    let shot = submit(&cluster, "shot", &["-J", "shot", "--wrap", script]);
    let (first, other) = (pid_in(&cluster, "lost.pid"), pid_in(&cluster, "shot.pid"));
    for id in [&lost, &shot] {
        cluster.wait_until("the start to be known", || word(&job(&cluster, id), "state") == "running");
    }
    let old = cluster.kill9("n1");
    send(supervisor_of(first), Signal::SIGKILL);
    send(other, Signal::SIGKILL);
    revived(&cluster, "n1", old);
    insist(&cluster, "jqueue", &["wait", &lost]).expect(125);
    insist(&cluster, "jqueue", &["wait", &shot]).expect(137);
    let lost = job(&cluster, &lost);
    assert_eq!((word(&lost, "state"), word(&lost["cause"], "kind")), ("node_fail", "supervisor"), "{lost}");
    let shot = job(&cluster, &shot);
    assert_eq!((word(&shot, "state"), &shot["signal"]), ("failed", &Value::from(9)), "{shot}");
    assert_eq!((&lost["attempt"], &shot["attempt"]), (&Value::from(1), &Value::from(1)));
    cluster.wait_until("no orphan to be left", || {
        !cluster.processes().iter().any(|process| process.contains("sleep 100"))
    });
}

/// The end of a [`WORKER`] is all there: its code, its output, what it used, and that it ran once.
fn check(cluster: &Cluster, id: &str, tag: &str) {
    let job = job(cluster, id);
    assert_eq!((word(&job, "state"), &job["exit_code"]), ("failed", &Value::from(7)), "{job}");
    assert_eq!((&job["attempt"], &job["restarts"]), (&Value::from(1), &Value::from(0)), "{job}");
    assert!(job["cpu_seconds"].as_f64().unwrap() > 0.01, "{job}");
    assert!(job["memory_peak_bytes"].as_u64().unwrap() > 40_000_000, "{job}");
    assert_eq!(insist(cluster, "jqueue", &["log", id]).stdout, WORDS, "{job}");
    assert_eq!(ledger(cluster).get(&format!("{tag} 1")), Some(&1));
    assert_eq!(ledger(cluster).get(&format!("{tag} 2")), None);
}

/// The supervisor above a job's process.
fn supervisor_of(mut pid: Pid) -> Pid {
    loop {
        pid = parent(pid);
        assert!(pid.as_raw() > 1, "no supervisor above the job");
        if words_of(pid).iter().any(|word| word == "supervise") {
            return pid;
        }
    }
}

fn id_of(cluster: &Cluster, name: &str) -> String {
    let id = insist(cluster, "jqueue", &["show", &format!("name:{name}"), "--json"]);
    word(&id.json()["data"], "id").to_owned()
}

/// A command that runs while the test goes on. The harness ends it if the test fails.
fn background(cluster: &Cluster, program: &str, args: &[&str]) -> Child {
    let mut command = cluster.command(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// What a background command did, once it has ended.
fn ended(child: Child) -> harness::Output {
    let pid = child.id();
    let reader = thread::spawn(move || child.wait_with_output().unwrap());
    poll(&format!("background command {pid} to end"), || reader.is_finished());
    let output = reader.join().unwrap();
    harness::Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
